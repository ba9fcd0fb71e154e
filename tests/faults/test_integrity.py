"""What is changed between the disk here and the disk there is found, and mended if chunks have hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.breaking_proxy import FlippingProxy, ReplacingProxy
from support.client import upload
from support.marked import MARKS, marked

from resumable import ServerRefused
from resumable.receiver import FileStore, Receiver, Server

SIZE = 1000
DATA = marked(9, SIZE, 3)


@pytest.fixture
def received(tmp_path: Path) -> Path:
    return tmp_path / "received"


@pytest.fixture
def proxy(received: Path) -> Iterator[FlippingProxy]:
    """A receiver behind a proxy that flips a bit of each chunk that is marked."""
    server = Server(Receiver(FileStore(received, fsync="never")))
    with server, FlippingProxy(server.url, MARKS) as proxy:
        yield proxy
        assert not proxy.values


@pytest.mark.parametrize(
    "options",
    [{"checksum": "sha256"}, pytest.param({"checksum": "blake2b", "method": "octet"}, marks=pytest.mark.once)],
    ids=["form", "octet"],
)
def test_a_bit_that_is_flipped_on_the_way_is_found_and_mended(
    proxy: FlippingProxy, received: Path, options: dict[str, Any]
) -> None:
    data = marked(300, SIZE, 100)
    run = upload(proxy.url, data, chunk_size=SIZE, simultaneous_uploads=4, **options)
    assert (received / "sample.bin").read_bytes() == data
    assert sorted(event[1].number for event in run.events if event[0] == "chunk_retry") == [51, 151, 251]


@pytest.mark.parametrize(
    ("where", "options"),
    [
        # The chunk would have its hash, but be another one, or one of another file.
        ("resumableChunkNumber=|2", {"method": "octet"}),
        ("resumable|Filename=", {"method": "octet"}),
        ("=|sample.bin", {"params_in": "query"}),
        ('"resumableChunkNumber"\r\n\r\n|2', {"params_in": "form"}),
        ("mine=|2", {"query": {"mine": "2"}}),
        ("resumableParameters=|1", {}),
        # The receiver would refuse the request for good, or the client the answer.
        ("|POST / HTTP", {"params_in": "form"}),
        ("Host: |127.0.0.1", {}),
        ("boundary=|----", {}),
        ("Content-|Length", {}),
        ('name="resumableTotalSize|"', {}),
        ('name="resumableChunkSha25|6"', {}),
        ("HTTP/1.1 |200 OK", {}),
    ],
)
def test_a_bit_that_is_flipped_beside_a_chunk_is_found_and_mended(
    received: Path, where: str, options: dict[str, Any]
) -> None:
    before, _, after = where.partition("|")
    flipped = before + chr(ord(after[0]) ^ 1) + after[1:]
    server = Server(Receiver(FileStore(received, fsync="never")))
    with server, ReplacingProxy(server.url, (before + after).encode(), flipped.encode()) as proxy:
        run = upload(proxy.url, DATA, chunk_size=SIZE, checksum="sha256", test_chunks=False, **options)
        assert proxy.old is None
    assert (received / "sample.bin").read_bytes() == DATA
    assert [event for event in run.names if event == "chunk_retry"] == ["chunk_retry"]


def test_without_hashes_nobody_notices(proxy: FlippingProxy, received: Path) -> None:
    run = upload(proxy.url, DATA, chunk_size=SIZE)
    assert run.result
    stored = (received / "sample.bin").read_bytes()
    assert [mine ^ theirs for mine, theirs in zip(DATA, stored, strict=True) if mine != theirs] == [1] * len(MARKS)


def test_the_hash_of_the_file_alone_finds_it_and_nothing_is_published(proxy: FlippingProxy, received: Path) -> None:
    run = upload(proxy.url, DATA, chunk_size=SIZE, file_checksum=True)
    assert isinstance(run.error, ServerRefused)
    assert run.error.status == 409
    assert not (received / "sample.bin").exists()
    # What was stored of it is gone, so that a second attempt does not begin with the same bytes.
    run = upload(proxy.url, DATA, chunk_size=SIZE, file_checksum=True)
    assert (received / "sample.bin").read_bytes() == DATA
    assert run.files[0].sha256 == hashlib.sha256(DATA).hexdigest()


def test_both_hashes_mend_the_chunk_and_prove_the_file(proxy: FlippingProxy, received: Path) -> None:
    run = upload(proxy.url, DATA, chunk_size=SIZE, simultaneous_uploads=4, checksum="md5", file_checksum=True)
    assert hashlib.sha256((received / "sample.bin").read_bytes()).hexdigest() == run.files[0].sha256
    assert run.count("chunk_retry") == len(MARKS)
