"""A source that changes while it is sent: the upload fails and says so, and no mixture is called a success."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.client import CHUNK, content, upload
from support.descriptors import open_below
from support.scripted_server import Request, ScriptedServer, answer

from resumable import (
    Resumable,
    SourceChanged,
    SourceError,
    identifiers,
)

BLIND: dict[str, Any] = {"test_chunks": False}
SIZE = 6 * CHUNK


def truncate(path: Path) -> None:
    os.truncate(path, SIZE // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewrite(path: Path) -> None:
    # In place, of the same size, and made to differ in time even where the clock of the file system is coarse.
    path.write_bytes(content(SIZE, seed=1))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def replace(path: Path) -> None:
    # By another file of the same size and time.
    other = path.with_suffix(".new")
    other.write_bytes(content(SIZE, seed=1))
    status = path.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def delete(path: Path) -> None:
    path.unlink()


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo(path: Path) -> None:
    os.mkfifo(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


CHANGES: dict[str, tuple[Callable[[Path], None], type[Exception]]] = {
    "truncated": (truncate, SourceChanged),
    "emptied": (empty, SourceChanged),
    "grown": (grow, SourceChanged),
    "rewritten": (rewrite, SourceChanged),
    "replaced": (replace, SourceChanged),
    "deleted": (delete, SourceError),
    "made a directory": (directory, SourceError),
    "made a FIFO": (fifo, SourceChanged),
}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("change", CHANGES)
def test_a_source_that_changes_between_two_chunks_fails(change: str, workers: int, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content(SIZE))
    do, kind = CHANGES[change]

    def changing(request: Request) -> None:
        request.read()
        if request.number == 2:
            do(path)
        answer(read=False)(request)

    with ScriptedServer(otherwise=changing) as server:
        run = upload(server.url, path, (content(10), "b.bin"), simultaneous_uploads=workers, **BLIND)
    # A file cannot become a directory at once: another worker may find nothing there.
    assert type(run.error) is kind or (change == "made a directory" and isinstance(run.error, kind))
    assert str(path) in str(run.error)
    assert [file.file_name for file in run.result.succeeded] == ["b.bin"]
    assert run.files[0].progress() < 1


@pytest.mark.parametrize("change", ["truncated", "grown", "rewritten"])
def test_a_source_that_changes_within_a_chunk_fails_and_the_chunk_is_not_whole(change: str, tmp_path: Path) -> None:
    # One chunk of many pieces: the server holds back until the change has been made.
    path = tmp_path / "a.bin"
    size = 24 << 20
    path.write_bytes(bytes(size))
    do, kind = CHANGES[change]
    whole = []

    def slow(request: Request) -> None:
        if change == "rewritten":
            with path.open("r+b") as file:
                file.write(b"x")
        else:
            do(path)
        request.read()
        whole.append(True)
        answer(read=False)(request)

    with ScriptedServer(slow, receive_buffer=4096) as server:
        run = upload(server.url, path, chunk_size=size, **BLIND)
    assert type(run.error) is kind
    assert whole == []


def test_a_source_that_was_changed_before_it_was_opened_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content(SIZE))
    with ScriptedServer(otherwise=answer(404)) as server, Resumable(server.url, auto_upload=False) as session:
        session.add_file(path)
        grow(path)
        result = session.join(raise_errors=False)
    assert [type(error) for error in result.errors] == [SourceChanged]
    assert server.uploads == []


def test_a_changed_file_is_another_upload(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content(SIZE))
    with ScriptedServer(otherwise=answer()) as server:
        first = upload(server.url, path, **BLIND)
        rewrite(path)
        second = upload(server.url, path, **BLIND)
    assert first.files[0].unique_identifier != second.files[0].unique_identifier


def test_an_open_file_that_is_deleted_is_sent_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content(SIZE))
    with path.open("rb") as file, ScriptedServer(otherwise=answer()) as server:
        path.unlink()
        run = upload(server.url, file, **BLIND)
    assert run.count("file_success") == 1
    assert b"".join(request.chunk for request in server.uploads) == content(SIZE)


def test_an_object_that_fails_to_read_fails_its_file_only() -> None:
    class Broken:
        name = "broken.bin"

        def stat(self) -> os.stat_result:
            return os.stat_result((0o100644, 1, 1, 1, 0, 0, SIZE, 0, 0, 0))

        def open(self, mode: str) -> Any:
            raise RuntimeError("the disk is gone")

    with ScriptedServer(otherwise=answer()) as server:
        run = upload(server.url, Broken(), (content(10), "b.bin"), **BLIND)
    assert type(run.error) is SourceError
    assert "the disk is gone" in str(run.error)
    assert [file.file_name for file in run.result.succeeded] == ["b.bin"]


def test_a_slow_identifier_of_a_file_that_vanished_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content(SIZE))
    identify = identifiers.content
    with (
        ScriptedServer() as server,
        Resumable(server.url, auto_upload=False, generate_unique_identifier=identify) as session,
    ):
        session.add_file(path)
        path.unlink()
        result = session.join(raise_errors=False)
    assert [type(error) for error in result.errors] == [SourceError]
    assert server.requests == []


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no list of open descriptors")
@pytest.mark.parametrize("end", [Resumable.cancel, lambda session: session.remove_file(session.files[0])])
def test_the_copy_of_a_stream_is_gone_when_the_session_is_closed_though_its_file_was_removed(
    end: Callable[[Resumable], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    session = Resumable("http://127.0.0.1:9/", auto_upload=False)
    reading, writing = os.pipe()
    os.write(writing, b"x" * 1000)
    os.close(writing)
    with open(reading, "rb", buffering=0) as stream:
        session.add_file(stream, relative_path="stream.bin")
    assert len(open_below(tmp_path)) == 1
    end(session)
    session.close()
    assert open_below(tmp_path) == []
