"""Which files are taken, under which names, and what is said where they are not."""

from __future__ import annotations

import copy
import io
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from support.descriptors import open_below
from support.scripted_server import PATIENCE, ScriptedServer
from support.threads import wait_until_threads_are_gone

from resumable import (
    ChunkState,
    FileRejected,
    FileState,
    HookError,
    OptionError,
    Resumable,
    SessionState,
    SourceError,
    UnknownEvent,
    identifiers,
    upload,
)

Make = Callable[..., Path]


@pytest.mark.parametrize(
    ("given", "path", "name"),
    [
        (None, "a.bin", "a.bin"),
        ("docs/b.txt", "docs/b.txt", "b.txt"),
        (PurePosixPath("docs/b.txt"), "docs/b.txt", "b.txt"),
        (PureWindowsPath(r"C:\docs\b.txt"), "docs/b.txt", "b.txt"),
        (r"docs\b.txt", "docs/b.txt", "b.txt"),
        (r"C:\docs\b.txt", "docs/b.txt", "b.txt"),
        ("/docs/./b.txt", "docs/b.txt", "b.txt"),
        ("./b.txt", "b.txt", "b.txt"),
        ("", "a.bin", "a.bin"),
        (PurePosixPath("C:/docs/b.txt"), "docs/b.txt" if sys.platform == "win32" else "C:/docs/b.txt", "b.txt"),
        ("x/C:/b.txt", "x/C:/b.txt", "b.txt"),
        (".", "a.bin", "a.bin"),
        ("a:b/c", "a:b/c", "c"),
    ],
)
def test_the_relative_path_has_slashes_and_neither_drive_nor_root(
    wire: ScriptedServer, make: Make, given: Any, path: str, name: str
) -> None:
    with Resumable(wire.url) as session:
        file = session.add_file(make(), relative_path=given)
    assert (file.relative_path, file.file_name) == (path, name)
    (request,) = wire.uploads
    assert request.fields["resumableRelativePath"] == path
    assert request.fields["resumableFilename"] == request.file_name == name


def test_every_kind_of_source_is_taken(wire: ScriptedServer, make: Make) -> None:
    content = bytes(range(10))
    with make().open("rb") as opened, Resumable(wire.url) as session:
        session.add_file(str(make("text")))
        session.add_file(make("path"))
        session.add_file(content, relative_path="bytes")
        session.add_file(bytearray(content), relative_path="array")
        session.add_file(io.BytesIO(content), relative_path="memory")
        session.add_file(opened)
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        with open(reading, "rb") as pipe:
            session.add_file(pipe, relative_path="pipe")
        session.join(PATIENCE)
    assert {request.file_name for request in wire.uploads} == {
        "text", "path", "bytes", "array", "memory", "a.bin", "pipe",
    }  # fmt: skip
    assert all(request.chunk == content for request in wire.uploads)


def test_the_type_is_guessed_or_given(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, auto_upload=False) as session:
        assert session.add_file(make("a.png")).mime_type == "image/png"
        assert session.add_file(make("b.none-such")).mime_type == ""
        assert session.add_file(make("c.png"), mime_type="text/x-mine").mime_type == "text/x-mine"
        assert session.add_file(make("d.png"), mime_type="").mime_type == ""
        session.cancel()


@pytest.mark.parametrize(
    ("allowed", "name", "taken"),
    [
        ((), "a", True),
        (("png",), "a.png", True),
        ((".png",), "A.PNG", True),
        (("png",), "apng", False),
        (("image/*",), "a.png", True),
        (("image/png",), "a.png", True),
        (("image/jpeg",), "a.png", False),
        (("text/*", "jpg"), "a.jpg", True),
        ("png", "a.png", True),
        (("png",), "a.txt", False),
    ],
)
def test_the_type_of_a_file_is_checked(wire: ScriptedServer, make: Make, allowed: Any, name: str, taken: bool) -> None:
    with Resumable(wire.url, file_type=allowed, auto_upload=False) as session:
        if taken:
            assert session.add_file(make(name)).file_name == name
        else:
            with pytest.raises(FileRejected, match="file_type allows"):
                session.add_file(make(name))
        session.cancel()


def test_a_file_that_is_there_already_is_refused_or_skipped(wire: ScriptedServer, make: Make) -> None:
    skipped: list[Any] = []
    path = make()
    with Resumable(wire.url, auto_upload=False) as session:
        session.on("files_added", lambda files, left: skipped.extend(left))
        file = session.add_file(path)
        with pytest.raises(FileRejected, match="is there already") as caught:
            session.add_file(path)
        assert caught.value.option == "unique_identifier"
        assert [each.file_name for each in session.add_files([path, make("b"), make("b")])] == ["b"]
        assert session.get_from_unique_identifier(file.unique_identifier or "") is file
        file.cancel()
        assert session.get_from_unique_identifier(file.unique_identifier or "") is None
        again = session.add_file(path)
        assert session.get_from_unique_identifier(again.unique_identifier or "") is again
        assert session.get_from_unique_identifier("none") is None
    assert skipped == [path, make("b")]


def test_of_threads_that_add_the_same_file_one_succeeds(wire: ScriptedServer, make: Make) -> None:
    path = make()
    for _ in range(20):
        outcome: list[str] = []
        with Resumable(wire.url, auto_upload=False, max_files=3) as session:
            start = threading.Barrier(8)

            def add(number: int) -> None:
                start.wait()  # noqa: B023
                try:
                    session.add_file(path, unique_identifier=f"{number % 4}")
                    outcome.append("added")  # noqa: B023
                except FileRejected as error:
                    outcome.append(error.option)  # noqa: B023

            threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(session.files) == outcome.count("added") == 3
            session.cancel()


def test_one_file_is_replaced_by_the_next(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (404,) if request.chunk is None else None
    cancelled = []
    with Resumable(wire.url, max_files=1) as session:
        session.on("file_cancelled", cancelled.append)
        first = session.add_file(make("first"))
        (held,) = wire.wait_held()
        wire.behave = lambda request: (404,) if request.chunk is None else (200,)
        second = session.add_file(make("second"))
        assert held.gone.wait(PATIENCE)
        assert session.files == [second]
        second.wait(PATIENCE)
        third = session.add_file(make("second"), unique_identifier=second.unique_identifier)
        assert session.files == [third], "also where it is the same file"
        assert session.add_files([make("x"), make("y")]) == []
        assert session.add_files([]) == []
    assert cancelled == [first]
    assert third.is_complete()


def test_a_replacement_in_a_run_that_upload_began_is_part_of_it(wire: ScriptedServer, make: Make) -> None:
    events = []
    wire.behave = lambda request: (404,) if request.chunk is None else None
    with Resumable(wire.url, max_files=1, auto_upload=False) as session:
        session.on("catch_all", lambda event, *_: events.append(event))
        session.add_file(make("first"))
        session.upload()
        wire.wait_held()
        wire.behave = lambda request: (404,) if request.chunk is None else (200,)
        second = session.add_file(make("second"))
        second.wait(PATIENCE)
    assert (events.count("upload_start"), events.count("complete")) == (1, 1)


@pytest.mark.parametrize("way", ["remove", "cancel", "cancel all", "replace", "fail fast", "close"])
@pytest.mark.parametrize("kind", ["bytes", "stream"])
def test_nothing_is_kept_of_bytes_and_streams_that_left_the_session(
    wire: ScriptedServer, make: Make, kind: str, way: str
) -> None:
    wire.behave = lambda request: (415,) if way == "fail fast" else (200,)
    options: dict[str, Any] = {"max_files": 1 if way == "replace" else None, "fail_fast": way == "fail fast"}
    reading, writing = os.pipe()
    os.write(writing, b"content")
    os.close(writing)
    with (
        open(reading, "rb") as pipe,
        Resumable(wire.url, auto_upload=False, simultaneous_uploads=1, **options) as session,
    ):
        if way == "fail fast":
            session.add_file(make())
        file = session.add_file(b"content" if kind == "bytes" else pipe, relative_path="b")
        assert file.chunks[0].read() == b"content"
        ends: dict[str, Callable[[], Any]] = {
            "remove": lambda: session.remove_file(file),
            "cancel": file.cancel,
            "cancel all": session.cancel,
            "replace": lambda: session.add_file(make()),
            "fail fast": lambda: (session.join(PATIENCE, raise_errors=False), wait_until_threads_are_gone()),
            "close": session.close,
        }
        ends[way]()
        with pytest.raises(SourceError, match="closed"):
            file.chunks[0].read()


def test_too_many_files_are_all_refused(wire: ScriptedServer, make: Make) -> None:
    told: list[Any] = []
    paths = [make(str(number)) for number in range(3)]
    with Resumable(wire.url, max_files=2) as session:
        session.on("files_added", lambda files, skipped: told.append((files, skipped)))
        assert session.add_files(paths) == []
    assert told == [([], paths)]


@pytest.mark.parametrize(
    ("prepare", "error", "words"),
    [
        (lambda path: path / "missing", SourceError, "cannot read"),
        (lambda path: path, SourceError, "a directory; add_directory"),
        (lambda path: os.mkfifo(path / "fifo") or path / "fifo", SourceError, "a FIFO"),
        (lambda path: b"no name", SourceError, "it has no name"),
        (lambda path: 7, SourceError, "'int' is no path"),
        (lambda path: io.StringIO("text"), SourceError, "as text|no name"),
    ],
)
def test_what_cannot_be_a_source_is_refused_at_once(
    wire: ScriptedServer, tmp_path: Path, prepare: Callable[[Path], Any], error: type[Exception], words: str
) -> None:
    with Resumable(wire.url) as session:
        with pytest.raises(error, match=words):
            session.add_file(prepare(tmp_path))
        assert session.files == []
    assert wire.settle() == 0


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no list of open descriptors")
def test_of_a_batch_with_a_bad_source_none_is_added_and_streams_are_closed(
    wire: ScriptedServer, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    reading, writing = os.pipe()
    os.write(writing, b"content")
    os.close(writing)
    with Resumable(wire.url) as session, open(reading, "rb") as pipe:
        with pytest.raises(SourceError, match="missing"):
            session.add_files([make(), (pipe, "spooled.bin"), Path("/missing")])
        assert session.files == []
        assert open_below(tmp_path) == []
    assert wire.settle() == 0


def test_of_a_batch_whose_hook_raises_none_is_added(wire: ScriptedServer, make: Make) -> None:
    def identify(path: Any, relative_path: str) -> str:
        if relative_path == "c":
            raise ValueError("on purpose")
        return relative_path

    with Resumable(wire.url, generate_unique_identifier=identify) as session:
        with pytest.raises(HookError, match="hook generate_unique_identifier raised ValueError: on purpose"):
            session.add_files([make("a"), make("b"), make("c")])
        assert session.files == []
        with pytest.raises(HookError):
            session.add_file(make("c"))


@pytest.mark.parametrize("sources", ["path", b"bytes", Path("path")])
def test_one_source_is_no_batch(wire: ScriptedServer, sources: Any) -> None:
    with Resumable(wire.url) as session, pytest.raises(TypeError, match="add_file takes one"):
        session.add_files(sources)


def test_a_directory_is_added_under_its_name(wire: ScriptedServer, make: Make) -> None:
    root = make("tree/a.txt").parent
    make("tree/below/b.txt")
    make("tree/below/c.bin")
    make("tree/left/d.txt")
    with Resumable(wire.url) as session:
        files = session.add_directory(root, "**/*.txt", exclude=["left"])
        assert [file.relative_path for file in files] == ["tree/a.txt", "tree/below/b.txt"]
        with pytest.raises(SourceError):
            session.add_directory(root / "a.txt")
    assert {request.fields["resumableRelativePath"] for request in wire.uploads} == {"tree/a.txt", "tree/below/b.txt"}


def test_the_default_identifier_is_the_same_on_every_run_and_another_for_another_file(
    wire: ScriptedServer, make: Make
) -> None:
    def identifier(path: Path, **options: Any) -> str | None:
        with Resumable(wire.url, auto_upload=False, **options) as session:
            try:
                return session.add_file(path).unique_identifier
            finally:
                session.cancel()

    path = make()
    first = identifier(path)
    assert first == identifier(path)
    os.utime(path, ns=(1, 1))
    assert identifier(path) != first
    assert identifier(path, generate_unique_identifier=identifiers.resumablejs) == "10-abin"
    assert identifier(path, generate_unique_identifier=lambda path, relative_path: 7) == "7"
    assert identifier(path, generate_unique_identifier=lambda path, relative_path: None) == identifier(path)


def test_a_slow_identifier_is_made_on_a_worker(wire: ScriptedServer, make: Make) -> None:
    states = []
    with Resumable(wire.url, generate_unique_identifier=identifiers.content, auto_upload=False) as session:
        file = session.add_file(make())
        states.append((file.state, file.unique_identifier))
        session.upload()
        session.join(PATIENCE)
        states.append((file.state, (file.unique_identifier or "")[:3]))
        assert session.get_from_unique_identifier(file.unique_identifier or "") is file
        same = session.add_file(make("same-content"))
        result = session.join(PATIENCE, raise_errors=False)
        assert result.failed == (same,)
        assert isinstance(same.error, FileRejected), "two files must not be one upload"
        file.cancel()
        same.retry()
        session.join(PATIENCE)
    assert states == [(FileState.PREPARING, None), (FileState.SUCCESS, "10-")]
    assert [request.file_name for request in wire.uploads] == ["a.bin", "same-content"]


def test_adding_many_files_takes_no_longer_for_each(wire: ScriptedServer, make: Make) -> None:
    path = make()
    looked: list[int] = []

    class Text(str):
        """An identifier that counts how often it is compared."""

        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            looked.append(1)
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    with Resumable(wire.url, auto_upload=False) as session:
        for number in range(1000):
            session.add_file(path, unique_identifier=Text(f"file {number}"))
        assert len(looked) < 2000
        session.cancel()


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_link_that_leads_nowhere_is_skipped_by_its_name(wire: ScriptedServer, make: Make) -> None:
    root = make("root/a.bin").parent
    (root / "gone").symlink_to(root / "nowhere")
    with Resumable(wire.url) as session:
        (file,) = session.add_directory(root)
        result = session.join(PATIENCE)
    assert result.succeeded == (file,)
    assert [(reason.source, reason.option) for reason in result.skipped] == [(str(root / "gone"), "links")]
    assert not result


def test_a_path_in_the_home_is_found_and_one_of_that_very_name_first(
    wire: ScriptedServer, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    make("a.bin", 10)
    make("work/~/b.bin", 20)
    monkeypatch.chdir(tmp_path / "work")
    with Resumable(wire.url) as session:
        assert session.add_file("~/a.bin").size == 10
        assert session.add_file(Path("~/b.bin")).size == 20


def test_of_many_sources_each_that_is_there_already_is_skipped(wire: ScriptedServer) -> None:
    told: list[Any] = []
    sources = [(b"%d" % number, f"{number}.bin") for number in range(600)]
    again = sources[300:350]
    with Resumable(wire.url, auto_upload=False) as session:
        session.on("files_added", lambda files, skipped: told.append((files, skipped)))
        files = session.add_files([*sources[:320], *again, *sources[320:]])
        session.cancel()
    # The first of two that are the same is taken.
    assert [file.file_name for file in files] == [name for _, name in sources]
    assert told == [(files, [source for source, _ in again])]


MISTAKES: dict[str, tuple[type[Exception], Callable[[Resumable, Any], object]]] = {
    "timeout must be a number of seconds or None, got nan": (
        OptionError,
        lambda session, file: session.join(float("nan")),
    ),
    "timeout must be a number of seconds or None, got True": (OptionError, lambda session, file: file.wait(True)),
    "timeout must be a number of seconds or None, got 'soon'": (OptionError, lambda session, file: file.wait("soon")),
    "chunks must be a number of chunks, or the indexes of some; got [0.5]": (
        OptionError,
        lambda session, file: file.mark_chunks_completed([0.5]),
    ),
    "'float' object cannot be interpreted as an integer": (TypeError, lambda session, file: file.chunks[0.5]),
    "there is no event '1'": (UnknownEvent, lambda session, file: file.on(1, print)),
    "on must be a mapping of events to handlers, got 1": (
        OptionError,
        lambda session, file: session.add_file(b"x", "x", on=1),  # type: ignore[arg-type]
    ),
    "relative_path must be a path, got 1": (
        OptionError,
        lambda session, file: session.add_file(b"x", 1),  # type: ignore[arg-type]
    ),
    "pattern must be a pattern such as '**/*.jpg', got None": (
        OptionError,
        lambda session, file: session.add_directory(".", None),  # type: ignore[arg-type]
    ),
    "exclude must be a list of patterns such as '*.tmp', got 1": (
        OptionError,
        lambda session, file: session.add_in_background(".", exclude=1),  # type: ignore[arg-type]
    ),
    "add_files takes several sources; add_file takes one": (
        TypeError,
        lambda session, file: session.add_files(None),  # type: ignore[arg-type]
    ),
    "remove_file takes a file of this session, got str": (
        TypeError,
        lambda session, file: session.remove_file("a.bin"),  # type: ignore[arg-type]
    ),
    "a session cannot be copied or pickled: make another one with the same options": (
        TypeError,
        lambda session, file: copy.copy(session),
    ),
    "cancel must be a threading.Event, or None; got True": (
        OptionError,
        lambda session, file: upload(b"x", "http://127.0.0.1:9/", relative_path="x", cancel=True),  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize("said", MISTAKES)
def test_a_call_with_something_else_than_it_takes_is_one_sentence_and_changes_nothing(said: str) -> None:
    kind, call = MISTAKES[said]
    with Resumable("http://127.0.0.1:9/", auto_upload=False) as session:
        file = session.add_file(bytes(20), "a.bin")
        with pytest.raises(kind) as caught:
            call(session, file)
        assert str(caught.value) == said
        assert session.files == [file]
        assert session.state is SessionState.IDLE
        assert file.chunks[0].state is ChunkState.PENDING
        session.cancel()


def test_a_session_leaves_its_files_alone_if_it_is_to_remove_one_of_another() -> None:
    with (
        Resumable("http://127.0.0.1:9/", auto_upload=False) as session,
        Resumable("http://127.0.0.1:9/", auto_upload=False) as other,
    ):
        mine, theirs = session.add_file(b"x", "a.bin"), other.add_file(b"x", "a.bin")
        with pytest.raises(TypeError, match="got one of another session"):
            session.remove_file(theirs)
        assert (session.files, other.files) == ([mine], [theirs])
        session.cancel()
        other.cancel()


def test_a_relative_path_in_bytes_is_the_same_in_text(wire: ScriptedServer) -> None:
    with Resumable(wire.url) as session:
        assert session.add_file(b"x", os.fsencode("ü/a.bin")).relative_path == "ü/a.bin"  # type: ignore[arg-type]
