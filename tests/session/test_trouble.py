"""What nobody foresees: a system without threads, a transport that breaks, handlers that end programs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, ScriptedServer
from support.threads import wait_until_threads_are_gone

from resumable import FileState, Resumable, SourceError, StateError
from resumable.transport.base import Reply, Request
from resumable.transport.control import RequestControl

Make = Callable[..., Path]


class BrokenText(Exception):
    """An exception of somebody who made a mistake in it."""

    def __str__(self) -> str:
        raise AttributeError("reason")

    __repr__ = __str__


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], bool]], None]:
    """A function that makes the system start only threads whose name it may start."""
    start = threading.Thread.start

    def limit(allowed: Callable[[str], bool]) -> None:
        def limited(thread: threading.Thread) -> None:
            if thread.name.startswith("resumable-") and not allowed(thread.name):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)

    return limit


def test_where_there_are_few_threads_few_workers_do_the_work(
    wire: ScriptedServer, make: Make, scarce: Any, caplog: pytest.LogCaptureFixture
) -> None:
    started: list[str] = []

    def allowed(name: str) -> bool:
        started.append(name)
        return "events" in name or sum("worker" in each for each in started) <= 2

    scarce(allowed)
    with Resumable(wire.url, chunk_size=10, simultaneous_uploads=8) as session:
        file = session.add_file(make(size=200))
    assert file.is_complete()
    assert "goes on with 2 workers" in caplog.text


def test_where_there_is_no_thread_at_all_adding_says_so_and_joining_tries_again(
    wire: ScriptedServer, make: Make, scarce: Any
) -> None:
    scarce(lambda name: "events" in name)
    with Resumable(wire.url) as session:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            session.add_file(make())
        (file,) = session.files
        scarce(lambda name: True)
        session.join(PATIENCE)
    assert file.is_complete()


def test_handlers_for_which_there_was_no_thread_are_called_when_there_is_one(
    wire: ScriptedServer, make: Make, scarce: Any, caplog: pytest.LogCaptureFixture
) -> None:
    heard = []
    scarce(lambda name: "worker" in name)
    with Resumable(wire.url) as session:
        session.on("file_success", heard.append)
        file = session.add_file(make())
        wire.wait(lambda: wire.uploads)
        while not file.is_complete():
            wire.settle()
        assert heard == []
        scarce(lambda name: True)
        session.join(PATIENCE)
        assert heard == [file]
    assert "starts no thread for the handlers" in caplog.text


@pytest.mark.parametrize("kind", ["worker", "events"])
def test_an_interruption_while_a_thread_is_started_leaves_a_session_that_can_go_on(
    wire: ScriptedServer, make: Make, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    start = threading.Thread.start
    interrupted: list[str] = []

    def interrupt(thread: threading.Thread) -> None:
        if thread.name.startswith(f"resumable-{kind}") and not interrupted:
            interrupted.append(thread.name)
            raise KeyboardInterrupt
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupt)
    heard = []
    with Resumable(wire.url, auto_upload=False) as session:
        # Told of at once, so that it is this thread that wants one for the handlers.
        session.on("file_added", lambda file: None)
        session.on("file_success", heard.append)
        try:
            session.add_file(make())
            session.upload()
        except KeyboardInterrupt:
            interrupted.append("told")
        (file,) = session.files
        session.join(PATIENCE)
    assert interrupted[1:] == ["told"]
    assert heard == [file]


@pytest.mark.usefixtures("failures")
@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit("broken"), BrokenText()])
def test_a_transport_that_breaks_fails_its_file_and_leaks_no_slot(make: Make, error: BaseException) -> None:
    class Broken:
        def send(self, request: Request, control: RequestControl) -> Reply:
            if "wrong" in request.url:  # no identifier of hexadecimal digits has that in it
                raise error
            return Reply(200, {}, "")

        def close(self) -> None: ...

    with Resumable(
        "http://127.0.0.1:1/", transport=Broken(), simultaneous_uploads=1, test_chunks=False, auto_upload=False
    ) as session:
        wrong, right = session.add_files([make("wrong"), make("right")])
        result = session.join(PATIENCE, raise_errors=False)
    assert (result.failed, result.succeeded) == ((wrong,), (right,))
    assert "broken" in str(wrong.error).lower()


@pytest.mark.usefixtures("failures")
def test_a_handler_that_wants_to_end_the_program_ends_no_worker(wire: ScriptedServer, make: Make) -> None:
    heard = []
    all_heard = threading.Event()

    def leave(chunk: Any) -> None:
        heard.append(chunk.index)
        if len(heard) == 20:
            all_heard.set()
        if threading.current_thread() is not threading.main_thread():
            raise SystemExit

    with Resumable(
        wire.url, chunk_size=10, deliver=lambda function: function(), simultaneous_uploads=2, auto_upload=False
    ) as session:
        session.on("chunk_success", leave)
        file = session.add_file(make(size=200))
        session.join(PATIENCE)  # for the transfers alone
        assert all_heard.wait(PATIENCE)
    assert file.is_complete()
    assert sorted(heard) == list(range(20))


@pytest.mark.usefixtures("failures")
def test_telling_goes_on_after_it_failed_in_a_way_that_nobody_foresaw(
    wire: ScriptedServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd:
        @property
        def __self__(self) -> Any:
            raise ValueError("odd")

        def __call__(self, sender: Any, **facts: Any) -> None: ...

    heard = []
    with Resumable(wire.url) as session:
        odd = Odd()
        session.signals.file_added.connect(odd, weak=False)
        session.on("file_success", heard.append)
        file = session.add_file(make())
        session.join(PATIENCE)
    assert heard == [file]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "the delivery of an event failed" in record.getMessage()


def test_a_session_closed_while_files_are_added_keeps_nothing_of_them(wire: ScriptedServer, make: Make) -> None:
    def identify(path: Any, relative_path: str) -> str:
        session.close()
        return relative_path

    heard: list[Any] = []
    session = Resumable(wire.url, auto_upload=False, generate_unique_identifier=identify)
    with pytest.raises(StateError, match="the session is closed"):
        session.add_file(make(), on={"success": heard.append})
    assert session.files == []
    assert session.get_from_unique_identifier("a.bin") is None
    assert not session.signals.file_success.receivers
    session = Resumable(wire.url, auto_upload=False, generate_unique_identifier=identify)
    with pytest.raises(StateError, match="the session is closed"):
        session.add_files([make()])
    assert session.files == []


def test_a_session_closed_while_a_directory_is_walked_looks_no_further(wire: ScriptedServer, make: Make) -> None:
    root = make("top/a").parent
    make("top/b")
    session = Resumable(wire.url)
    seen: list[str] = []

    def select(path: str, is_directory: bool) -> bool:
        seen.append(path)
        session.close()
        return True

    with pytest.raises(StateError, match="the session is closed"):
        session.add_directory(root, select=select)
    assert len(seen) == 1


def test_a_join_that_a_handler_ends_is_over(wire: ScriptedServer, make: Make) -> None:
    events: list[str] = []
    with Resumable(wire.url, deliver=lambda function: function(), test_chunks=False) as session:
        session.add_file(make("first")).wait(PATIENCE)
        wait_until_threads_are_gone()  # or one of them might call the handler

        @session.on("complete")
        def leave() -> None:
            leave.off()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            session.join(PATIENCE)
        session.on("catch_all", lambda event: events.append(event))
        for name in ("second", "third"):
            session.add_file(make(name)).wait(PATIENCE)
    assert (events.count("upload_start"), events.count("complete")) == (1, 1)


@pytest.mark.usefixtures("failures")
@pytest.mark.parametrize("deliver", ["thread", lambda function: function()], ids=["thread", "at once"])
@pytest.mark.parametrize("event", ["file_progress", "chunk_success", "file_success"])
def test_ctrl_c_raised_by_a_handler_on_a_thread_of_the_session_is_logged(
    wire: ScriptedServer, make: Make, caplog: pytest.LogCaptureFixture, deliver: Any, event: str
) -> None:
    def leave() -> None:
        if not called.is_set():
            called.set()
            raise KeyboardInterrupt

    def behave(request: Any) -> Any:
        assert added.wait(PATIENCE)
        return plain(request)

    # Until it is called this thread leaves the session alone, and calls no handler but those of file_added.
    added, called, plain = threading.Event(), threading.Event(), wire.behave
    wire.behave = behave
    with Resumable(wire.url, deliver=deliver, throttle_progress_callbacks=0, simultaneous_uploads=1) as session:
        session.on(event, leave)
        file = session.add_file(make())
        added.set()
        assert called.wait(PATIENCE)
        file.wait(PATIENCE)
    assert file.is_complete()
    assert "a handler raised KeyboardInterrupt" in caplog.text


def test_ctrl_c_in_a_handler_is_raised_by_whoever_calls_it(wire: ScriptedServer, make: Make) -> None:
    def leave() -> None:
        raise KeyboardInterrupt

    with Resumable(wire.url, deliver="manual", auto_upload=False) as session:
        session.on("file_added", leave)
        file = session.add_file(make())
        with pytest.raises(KeyboardInterrupt):
            session.process_events()
        assert file.state is FileState.READY
        session.join(PATIENCE)
    assert file.is_complete()


@pytest.mark.usefixtures("failures")
def test_what_raises_an_exception_without_a_text_is_named(wire: ScriptedServer, make: Make) -> None:
    def fail(*_: Any) -> None:
        raise BrokenText

    class Source:
        stat = fail
        open = fail

    told = []
    with Resumable(wire.url, preprocess=fail, fail_fast=False) as session:
        session.on("handler_error", lambda event, handler, error: told.append((event, type(error))))
        session.on("file_error", fail)
        file = session.add_file(make())
        with pytest.raises(SourceError, match=r"'a\.bin': RuntimeError: BrokenText, which cannot be shown"):
            session.add_file(Source(), relative_path="a.bin")
        session.join(PATIENCE, raise_errors=False)
    assert "hook preprocess raised RuntimeError: BrokenText, which cannot be shown" in str(file.error)
    assert told == [("file_error", BrokenText)]
