"""URLs as sources: what fsspec reads is read in ranges, as it is sent, and only as long as it stays what it was."""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import resumable
from resumable import Resumable, SourceChanged, SourceError, UploadFailed
from resumable.receiver import Server
from resumable.sources.path import make_source
from resumable.sources.url import find_urls, is_url

MIB = 1 << 20


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """The ranges that are read, each with the thread that reads it."""
    reads: list[tuple[int, int, int]] = []
    read = MemoryFileSystem.cat_file

    def note(self: Any, path: str, start: int | None = None, end: int | None = None, **options: Any) -> Any:
        assert start is not None
        assert end is not None
        reads.append((start, end, threading.get_ident()))
        return read(self, path, start, end, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", note)
    return reads


@pytest.fixture
def place() -> Iterator[str]:
    """A directory of its own in the memory of this process."""
    name = f"/{uuid.uuid4().hex}"
    yield name
    for path in [path for path in MemoryFileSystem.store if path.startswith(name)]:
        del MemoryFileSystem.store[path]


def put(path: str, data: bytes) -> None:
    fsspec.filesystem("memory").pipe(path, data)


def test_a_url_is_read_in_ranges_by_several_workers(
    tmp_path: Path, place: str, reads: list[tuple[int, int, int]]
) -> None:
    content = (bytes(range(251)) * (5 * MIB // 251 + 1))[: 5 * MIB + 17]
    put(f"{place}/big.bin", content)
    with Server(tmp_path / "in") as server:
        (file,) = resumable.upload(f"memory:/{place}/big.bin", server.url, simultaneous_uploads=3).succeeded
        assert (file.relative_path, file.size) == ("big.bin", len(content))
        assert (tmp_path / "in" / "big.bin").read_bytes() == content
        (again,) = resumable.upload(f"memory:/{place}/big.bin", server.url).succeeded
    assert again.bytes_sent == 0
    assert again.unique_identifier == file.unique_identifier
    assert max(end - start for start, end, _ in reads) <= MIB
    assert sum(end - start for start, end, _ in reads) == len(content)
    assert len({thread for _, _, thread in reads}) > 1


def test_a_url_that_changes_on_the_way_is_no_mixture(tmp_path: Path, place: str) -> None:
    put(f"{place}/a.bin", b"a" * 40)

    def change(chunk: resumable.ResumableChunk) -> None:
        if chunk.number == 3:
            put(f"{place}/a.bin", b"b" * 40)

    with Server(tmp_path / "in") as server:
        session = Resumable(server.url, chunk_size=10, simultaneous_uploads=1, preprocess=change)
        file = session.add_file(f"memory:/{place}/a.bin", "x/y.bin")
        with pytest.raises(SourceChanged, match="created"):
            file.wait(60)
        assert file.relative_path == "x/y.bin"
        session.close()
    assert not list((tmp_path / "in").rglob("y.bin"))


def test_a_url_that_is_gone_says_so(place: str) -> None:
    put(f"{place}/a.bin", b"abc")
    source = make_source(f"memory:/{place}/a.bin")
    assert (source.name, source.size, str(source.path)) == ("a.bin", 3, f"memory:/{place}/a.bin")
    assert source.path.stat().st_size == 3
    assert source.path.open("rb").read() == b"abc"
    with source.open() as reader:
        fsspec.filesystem("memory").rm(f"{place}/a.bin")
        with pytest.raises(SourceError, match="it was deleted after it had been added"):
            reader.verify_unchanged()


@pytest.mark.parametrize(
    ("facts", "version", "time"),
    [
        ({"ETag": '"abc"', "LastModified": "2024-05-01T00:00:00Z"}, '"abc"', 1714521600 * 10**9),
        ({"mtime": 5.5}, 5_500_000_000, 5_500_000_000),
        ({"etag": "x", "mtime": "yesterday"}, "x", 0),
        ({}, 0, 0),
    ],
)
def test_the_version_is_what_the_store_says(
    monkeypatch: pytest.MonkeyPatch, place: str, facts: dict[str, Any], version: Any, time: int
) -> None:
    put(f"{place}/a.bin", b"abc")
    monkeypatch.setattr(MemoryFileSystem, "info", lambda self, path: {"name": path, "size": 3, "type": "file", **facts})
    source = make_source(f"memory:/{place}/a.bin")
    assert (source.version, source.mtime_ns) == (version, time)
    with source.open() as reader:
        facts["etag"] = "other"
        with pytest.raises(SourceChanged):
            reader.verify_unchanged()


def test_directories_and_patterns_stand_for_their_files(tmp_path: Path, place: str) -> None:
    for name in ("run/a.bin", "run/deep/b.bin", "run/deep/c.txt"):
        put(f"{place}/{name}", name.encode())
    url = f"memory:/{place}/run"
    assert [path for _, path, _ in find_urls(url)] == ["run/a.bin", "run/deep/b.bin", "run/deep/c.txt"]
    assert [path for _, path, _ in find_urls(f"{url}/")] == ["run/a.bin", "run/deep/b.bin", "run/deep/c.txt"]
    assert [path for _, path, _ in find_urls(f"{url}/**/*.bin")] == ["a.bin", "deep/b.bin"]
    assert [(path, size) for _, path, size in find_urls(f"{url}/deep/c.txt")] == [("c.txt", None)]
    with pytest.raises(SourceError, match="the pattern matches nothing"):
        list(find_urls(f"{url}/*.jpg"))
    with pytest.raises(SourceError, match="it is a directory"):
        make_source(url)
    with Server(tmp_path / "in") as server:
        for number in (1, 2):
            resumable.upload(url, server.url, shard=(number, 2))
    assert (tmp_path / "in" / "run" / "deep" / "b.bin").read_bytes() == b"run/deep/b.bin"
    assert len(list((tmp_path / "in").rglob("*.*"))) >= 3


def test_what_cannot_be_read_is_one_sentence(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    with pytest.raises(SourceError, match="there is nothing at this URL"):
        make_source(f"memory:/{place}/none.bin")
    with pytest.raises(SourceError, match="fsspec does not read nothing://"):
        make_source("nothing://a/b")
    with pytest.raises(SourceError) as refused:
        make_source("ftp://user:s3cret@127.0.0.1:1/a.bin")
    assert "s3cret" not in str(refused.value)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(SourceError, match="python -m pip install fsspec"):
        make_source("memory://a/b")
    with pytest.raises(SourceError):
        resumable.upload("s3://bucket/key", "http://127.0.0.1:9/")


def test_a_size_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    put(f"{place}/a.bin", b"abc")
    monkeypatch.setattr(MemoryFileSystem, "info", lambda self, path: {"name": path, "size": None, "type": "file"})
    with pytest.raises(SourceError, match="its size is not known"):
        make_source(f"memory:/{place}/a.bin")


def test_a_url_may_be_sent_in_parts(tmp_path: Path, place: str) -> None:
    put(f"{place}/a.bin", bytes(range(100)))
    with Server(tmp_path / "in") as server:
        for number in (1, 2, 3):
            resumable.upload(f"memory:/{place}/a.bin", server.url, part=(number, 3), chunk_size=10)
    assert (tmp_path / "in" / "a.bin").read_bytes() == bytes(range(100))


def test_a_store_that_fails_on_the_way_fails_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    put(f"{place}/a.bin", b"abc")

    def fail(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Access Denied")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail)
    with Server(tmp_path / "in") as server, pytest.raises(UploadFailed, match="Access Denied"):
        resumable.upload(f"memory:/{place}/a.bin", server.url)


def test_only_text_with_a_scheme_is_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(is_url(text) for text in ("s3://b/k", "memory://a", "simplecache::s3://b/k", "http+x://a"))
    assert not any(is_url(text) for text in ("a.bin", "C:/a", "C://a", "/tmp/a", "lab:photos", b"s3://b/k", Path("s3")))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "memory:").mkdir()
    (tmp_path / "memory:" / "a").touch()
    assert not is_url("memory://a")
