"""Servers that know nothing of hashes take the field behind the chunk."""

from __future__ import annotations

import pytest

from .client import CHUNK, Client

pytestmark = pytest.mark.timeout(300)  # the first test of a server waits until it is installed


def test_a_file_whose_chunks_have_hashes_arrives(client: Client) -> None:
    path = client.source(3 * CHUNK + 1)
    result = client.upload(path, checksum="sha256", file_checksum=True)
    assert result, result.errors
    assert client.copies(path) == 1
