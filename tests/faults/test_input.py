"""Bad input: an error of our own type at once, nothing sent, nothing lost."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.client import CHUNK, content, upload
from support.scripted_server import ScriptedServer, answer, hold

from resumable import (
    FileRejected,
    FileState,
    HookError,
    OptionError,
    Resumable,
    ResumableError,
    ServerRefused,
    SourceError,
    StateError,
    UnknownEvent,
    UnknownOption,
    UploadFailed,
    WaitTimeout,
)

BLIND: dict[str, Any] = {"test_chunks": False}


def a_directory(path: Path) -> Any:
    (path / "directory").mkdir()
    return path / "directory"


def a_fifo(path: Path) -> Any:
    os.mkfifo(path / "fifo")
    return path / "fifo"


def a_socket(path: Path) -> Any:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path / "socket"))
    return path / "socket"


def a_dangling_link(path: Path) -> Any:
    (path / "link").symlink_to(path / "nothing")
    return path / "link"


def a_link_to_itself(path: Path) -> Any:
    (path / "loop").symlink_to(path / "loop")
    return path / "loop"


def a_text_file(path: Path) -> Any:
    (path / "text.txt").write_text("x")
    return (path / "text.txt").open()


def a_file_that_is_closed(path: Path) -> Any:
    file = (path / "closed.bin").open("wb")
    file.close()
    return file


def a_file_opened_for_writing(path: Path) -> Any:
    return (path / "written.bin").open("wb")


SOURCES: dict[str, Callable[[Path], Any]] = {
    "missing": lambda path: path / "missing.bin",
    "below a file": lambda path: __file__ + "/a.bin",
    "a directory": a_directory,
    "a FIFO": a_fifo,
    "a socket": a_socket,
    "a device": lambda path: "/dev/zero",
    "a dangling link": a_dangling_link,
    "a link to itself": a_link_to_itself,
    "an empty path": lambda path: "",
    "a path with a NUL": lambda path: "a\0b",
    "a path that is too long": lambda path: path / ("x" * 300),
    "a text file": a_text_file,
    "a closed file": a_file_that_is_closed,
    "a file for writing": a_file_opened_for_writing,
    "bytes without a name": lambda path: b"abc",
    "a stream without a name": lambda path: io.BytesIO(b"abc"),
    "a number": lambda path: 42,
    "nothing": lambda path: None,
    "a list": lambda path: ["a.bin"],
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_that_is_none_is_an_error_at_once_and_harms_nobody(source: str, tmp_path: Path) -> None:
    made = SOURCES[source](tmp_path)
    with ScriptedServer(answer(), answer()) as server:
        with Resumable(server.url, **BLIND) as session:
            events: list[Any] = []
            first = session.add_file(content(10), relative_path="first.bin")
            session.on("file_error", events.append)
            with pytest.raises(SourceError) as caught:
                session.add_file(made)
            assert session.files == [first]
            second = session.add_file(content(10), relative_path="second.bin")
        assert (first.state, second.state) == (FileState.SUCCESS, FileState.SUCCESS)
    assert str(caught.value).startswith("cannot read ")
    assert events == []
    if hasattr(made, "close"):
        made.close()


def test_a_stream_that_is_a_fifo_is_read_to_its_end(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, content(3 * CHUNK))
    os.close(writing)
    with os.fdopen(reading, "rb") as stream, ScriptedServer(otherwise=answer()) as server:
        run = upload(server.url, (stream, "stream.bin"), **BLIND)
    assert run.count("file_success") == 1
    assert b"".join(request.chunk for request in server.uploads) == content(3 * CHUNK)


def test_a_file_that_may_not_be_read_is_an_error_at_once(tmp_path: Path) -> None:
    path = tmp_path / "locked.bin"
    path.write_bytes(content(10))
    path.chmod(0)
    text = """
        import os, sys
        from resumable import Resumable, SourceError
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        with Resumable("http://127.0.0.1:9/", auto_upload=False) as session:
            try:
                session.add_file(sys.argv[1])
            except SourceError as error:
                print(error.errno, error)
            session.cancel()
        """
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_uid == os.geteuid():
            parent.chmod(parent.stat().st_mode | 0o111)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text), str(path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert result.stdout == f"13 cannot read {str(path)!r}: Permission denied\n", result.stderr


def test_none_of_a_batch_is_added_where_one_cannot_be_read(tmp_path: Path) -> None:
    good = tmp_path / "good.bin"
    good.write_bytes(content(10))
    with ScriptedServer() as server, Resumable(server.url) as session:
        with pytest.raises(SourceError):
            session.add_files([good, tmp_path / "missing.bin"])
        assert session.files == []
    assert server.requests == []


def test_one_refused_file_does_not_end_the_batch(tmp_path: Path) -> None:
    with ScriptedServer(otherwise=answer()) as server:
        with Resumable(server.url, max_file_size=100, **BLIND) as session:
            skipped: list[Any] = []
            session.on("files_added", lambda files, refused: skipped.extend(refused))
            large = content(101)
            added = session.add_files([(content(10), "a.bin"), (large, "b.bin"), (content(20), "c.bin")])
        assert [file.file_name for file in added] == ["a.bin", "c.bin"]
        assert skipped == [large]
        assert all(file.is_complete() for file in added)


def test_one_failed_file_does_not_end_the_run_and_all_errors_are_there() -> None:
    with ScriptedServer(answer(404, b"first"), answer(), answer(409, b"third"), answer()) as server:
        session = Resumable(server.url, simultaneous_uploads=1, auto_upload=False, **BLIND)
        for name in "abcd":
            session.add_file(content(10), relative_path=name)
        with pytest.raises(UploadFailed) as caught:
            session.__exit__(None, None, None)
    assert [error.status for error in caught.value.errors] == [404, 409]
    assert [file.file_name for file in caught.value.result.succeeded] == ["b", "d"]
    assert [file.file_name for file in caught.value.result.failed] == ["a", "c"]
    assert "first" in str(caught.value)
    assert "and 1 more" in str(caught.value)


def test_fail_fast_ends_the_run_with_the_first_failure() -> None:
    with ScriptedServer(answer(), answer(404)) as server:
        run = upload(
            server.url, *[(content(10), name) for name in "abcd"], fail_fast=True, simultaneous_uploads=1, **BLIND
        )
    assert [file.state for file in run.files] == [
        FileState.SUCCESS,
        FileState.ERROR,
        FileState.CANCELLED,
        FileState.CANCELLED,
    ]
    assert type(run.error) is ServerRefused
    assert not run.result


def test_fail_fast_does_not_wait_for_what_hangs() -> None:
    with ScriptedServer(hold, answer(404)) as server:
        run = upload(
            server.url,
            *[(content(10), name) for name in "ab"],
            fail_fast=True,
            simultaneous_uploads=2,
            timeout=300,
            **BLIND,
        )
    assert sorted(file.state.value for file in run.files) == ["cancelled", "error"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("target", "example.com/upload"),
        ("target", "//example.com/upload"),
        ("target", "ftp://example.com/"),
        ("target", "http://"),
        ("target", "http:///upload"),
        ("target", "http://example.com:port/"),
        ("target", "http://example.com:99999/"),
        ("target", "http://exa mple.com/"),
        ("target", "http://example.com/\r\nX: y"),
        ("target", ""),
        ("target", None),
        ("target", 42),
        ("target", b"http://example.com/"),
        ("test_target", "example.com"),
        ("chunk_size", 0),
        ("chunk_size", -1),
        ("chunk_size", "1M"),
        ("chunk_size", 1.5),
        ("chunk_size", True),
        ("simultaneous_uploads", 0),
        ("max_chunk_retries", -1),
        ("chunk_retry_interval", -1),
        ("chunk_retry_interval", float("nan")),
        ("timeout", -1),
        ("timeout", (1, 2, 3)),
        ("timeout", "soon"),
        ("final_chunk_timeout", -1),
        ("retry_for", -1),
        ("headers", "Authorization: x"),
        ("headers", {"X": "a\r\nY: b"}),
        ("headers", {"X": "\u20ac"}),
        ("headers", [("X", "y")]),
        ("query", "a=b"),
        ("method", "stream"),
        ("upload_method", "PO ST"),
        ("params_in", "cookie"),
        ("chunk_format", "base32"),
        ("chunk_order", "random"),
        ("permanent_errors", (42,)),
        ("permanent_errors", "404"),
        ("max_files", 0),
        ("min_file_size", -1),
        ("preprocess", 42),
        ("session", 42),
        ("transport", object()),
        ("deliver", "sometime"),
        ("loop", 42),
        ("plugins", [object()]),
        ("plugins", "all"),
        ("redirect_origins", ("example.com",)),
        ("redirect_origins", ("https://example.com/path",)),
        ("auto_upload", "yes"),
    ],
)
def test_a_bad_value_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(OptionError) as caught:
        Resumable(**{"target": "http://example.com/", option: value})
    assert caught.value.option == option
    assert str(caught.value).startswith(f"{option} must be ")
    assert isinstance(caught.value, ResumableError)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("chunksize", "chunk_size"),
        ("chunkSize", "chunk_size"),
        ("simultaneousUploads", "simultaneous_uploads"),
        ("xyzzy", ""),
    ],
)
def test_an_unknown_option_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownOption) as caught:
        Resumable("http://example.com/", **{name: 1})
    assert isinstance(caught.value, TypeError)
    assert repr(name) in str(caught.value)
    assert (f"did you mean {near!r}" in str(caught.value)) == bool(near)


def test_a_target_is_not_forgotten() -> None:
    with pytest.raises(TypeError):
        Resumable()  # type: ignore[call-arg]


def test_a_closed_session_takes_nothing_and_loses_nothing() -> None:
    with ScriptedServer(otherwise=answer()) as server:
        session = Resumable(server.url, **BLIND)
        file = session.add_file(content(10), relative_path="a.bin")
        session.join(60)
        session.close()
        session.close()
        for call in (
            lambda: session.add_file(content(10), relative_path="b.bin"),
            lambda: session.add_files([(content(10), "b.bin")]),
            lambda: session.add_directory(Path(__file__).parent),
            session.upload,
            session.pause,
            session.cancel,
            file.bootstrap,
        ):
            with pytest.raises(StateError):
                call()
        assert file.is_complete()
        assert len(server.requests) == 1


def test_joining_a_closed_session_does_not_hang() -> None:
    with ScriptedServer(hold) as server:
        session = Resumable(server.url, **BLIND)
        file = session.add_file(content(10), relative_path="a.bin")
        server.wait_requests(1)
        session.close()
        result = session.join(5, raise_errors=False)
        assert file not in result.succeeded
        assert not file.is_complete()


def test_waiting_has_a_deadline_and_changes_nothing() -> None:
    with ScriptedServer(hold) as server:
        session = Resumable(server.url, **BLIND)
        file = session.add_file(content(10), relative_path="a.bin")
        server.wait_requests(1)
        with pytest.raises(WaitTimeout):
            session.join(0.1)
        with pytest.raises(WaitTimeout):
            file.wait(0.1)
        assert file.state is FileState.UPLOADING
        session.close()


def test_errors_that_were_looked_at_are_not_raised_again_by_the_block() -> None:
    with ScriptedServer(answer(404)) as server, Resumable(server.url, **BLIND) as session:
        session.add_file(content(10), relative_path="a.bin")
        assert len(session.join(60, raise_errors=False).errors) == 1


def test_the_same_file_twice_is_refused_and_uploaded_once() -> None:
    with ScriptedServer(answer()) as server, Resumable(server.url, **BLIND) as session:
        session.add_file(content(10), relative_path="a.bin")
        with pytest.raises(FileRejected):
            session.add_file(content(10), relative_path="a.bin")


def test_an_unknown_event_names_the_nearest() -> None:
    session = Resumable("http://example.com/")
    with pytest.raises(UnknownEvent, match="file_success"):
        session.on("file_sucess", print)
    with pytest.raises(TypeError):
        session.on("file_success", 42)
    session.close()


HOOKS: dict[str, Any] = {
    "preprocess": lambda chunk: 1 / 0,
    "preprocess_file": lambda file: 1 / 0,
    "find_uploaded": lambda file: 1 / 0,
    "after_file": lambda file: 1 / 0,
    "headers": lambda file, chunk: 1 / 0,
    "query": lambda file, chunk: 1 / 0,
    "target": lambda parameters: 1 / 0,
    "test_target": lambda parameters: 1 / 0,
    "accept_response": lambda reply: 1 / 0,
    "chunk_exists": lambda reply: 1 / 0,
    "should_retry": lambda error, attempt: 1 / 0,
}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_raises_fails_its_file_and_no_other(hook: str) -> None:
    with ScriptedServer(otherwise=answer(503 if hook == "should_retry" else 200)) as server:
        options = {hook: HOOKS[hook]}
        url = options.pop("target", server.url)
        run = upload(url, content(10), **options)
    assert type(run.error) is HookError
    assert run.error.hook == ("target" if hook == "test_target" else hook)
    assert type(run.error.__cause__) is ZeroDivisionError
    assert run.error.file is run.files[0]
    assert (run.error.chunk is None) == (hook in ("preprocess_file", "find_uploaded", "after_file"))


@pytest.mark.parametrize(
    ("hook", "value"),
    [
        ("headers", 42),
        ("query", "a=b"),
        ("target", None),
        ("target", "example.com"),
        ("target", 42),
        ("target", "http://["),
        ("preprocess", 42),
        ("preprocess_file", 42),
        ("find_uploaded", 42),
        ("find_uploaded", [1]),
        ("find_uploaded", [(0, "1")]),
        ("headers", {"X": "a\r\nY: b"}),
        ("headers", {"X Y": "a"}),
        ("headers", {"X": "\u20ac"}),
    ],
)
def test_a_hook_that_returns_nonsense_fails_its_file(hook: str, value: Any, way: dict[str, Any]) -> None:
    with ScriptedServer(otherwise=answer(404)) as server:
        options = {hook: lambda *arguments: value}
        run = upload(options.pop("target", server.url), content(10), **options, **way)
    assert isinstance(run.error, ResumableError)
    assert run.count("chunk_retry") == 0
    assert server.uploads == []


def test_a_target_may_be_made_for_each_request_and_tests_have_their_own() -> None:
    asked: list[tuple[str, list[str]]] = []
    with ScriptedServer(answer(404), answer()) as server:

        def made(kind: str) -> Callable[[list[str]], str]:
            def make(parameters: list[str]) -> str:
                asked.append((kind, parameters))
                return f"{server.url}/{kind}"

            return make

        run = upload(made("uploads"), content(10), test_target=made("tests"))
    assert run.count("file_success") == 1
    assert [request.target for request in server.requests] == ["/upload/tests", "/upload/uploads"]
    assert [kind for kind, _ in asked] == ["tests", "uploads"]
    assert "resumableChunkNumber=1" in asked[0][1]


def test_the_query_can_be_replaced_by_a_callable_and_back() -> None:
    with ScriptedServer(otherwise=answer()) as server:
        session = Resumable(server.url, query=lambda file, chunk: {"a": "1"}, **BLIND)
        for query in ({"a": "2"}, lambda file, chunk: {"a": "3"}, {}):
            session.add_file(content(10), relative_path=f"{len(server.requests)}.bin")
            session.join(60)
            session.update_query(query)
        session.add_file(content(10), relative_path="last.bin")
        session.join(60)
        session.close()
    assert [request.parameters.get("a") for request in server.requests] == ["1", "2", "3", None]
