"""What a server does not take is an error, and never a success, though some say 200 to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from resumable import ServerRefused

from .bench import running
from .client import CHUNK, Client
from .registry import Record
from .tap import Tap

pytestmark = pytest.mark.timeout(300)

MIB = 1024 * 1024


@pytest.mark.only(lambda record: record.name == "php-sample")
def test_a_chunk_that_is_larger_than_php_takes_is_an_error(client: Client) -> None:
    path = client.source(7 * MIB)
    result = client.upload(path, chunk_size=2 * MIB)
    assert [type(error) for error in result.errors] == [ServerRefused]
    assert client.copies(path) == 0
    assert client.tap.uploads()[-1].status == 200


@pytest.mark.xfail(reason="the server takes its two directory entries for 8 KiB of the file, and says nothing")
@pytest.mark.only(lambda record: record.name == "php-sample")
@pytest.mark.parametrize("options", [{"chunk_size": 4096}, {"chunk_size": CHUNK, "force_chunk_size": True}])
def test_a_file_that_php_puts_together_before_the_last_chunk_is_no_success(client: Client, options: dict) -> None:
    path = client.source(2 * options["chunk_size"] + 100)
    assert client.wrong(client.upload(path, **options)) == []


@pytest.mark.only(lambda record: record.chunked)
def test_a_last_chunk_that_is_shorter_than_the_server_wants_is_an_error(client: Client) -> None:
    result = client.upload(client.source(3 * CHUNK - 1), force_chunk_size=True)
    assert [type(error) for error in result.errors] == [ServerRefused]


@pytest.mark.only(lambda record: not record.chunked and record.name != "php-sample")
def test_a_file_may_be_cut_so_that_the_last_chunk_is_shorter(client: Client) -> None:
    path = client.source(3 * CHUNK - 1)
    result = client.upload(path, force_chunk_size=True)
    assert result, result.errors
    assert client.copies(path) == 1
    assert len(client.tap.uploads()) == 3


@pytest.mark.only(lambda record: record.kind == "nginx")
def test_a_chunk_that_is_larger_than_nginx_takes_by_default_is_an_error(record: Record, tmp_path: Path) -> None:
    with running(replace(record, settings=()), tmp_path / "root") as server, Tap(server.url) as tap:
        client = Client(server, tap, tmp_path)
        path = client.source(3 * MIB)
        result = client.upload(path, chunk_size=MIB)
        assert [error.status for error in result.errors] == [413]
        assert client.copies(path) == 0
        again = client.upload(path, chunk_size=MIB // 2, force_chunk_size=True)
        assert again, again.errors
        assert client.copies(path) == 1
