"""A session belongs to the process that made it."""

from __future__ import annotations

import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, ScriptedServer

from resumable import Resumable, StateError

Make = Callable[..., Path]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def in_child(function: Callable[[], Any]) -> str:
    """What the function did in the child of a fork: what it returned, or the traceback."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # From 3.12 on Python warns of what this is about: that threads do not survive.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            said = str(function())
        except BaseException:
            said = traceback.format_exc()
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def refused(*calls: Callable[[], Any]) -> str:
    """The calls that raised no StateError."""
    wrong = []
    for call in calls:
        try:
            call()
            wrong.append(f"{call} returned")
        except StateError as error:
            if "made in another process" not in str(error):
                wrong.append(str(error))
    return "; ".join(wrong)


def test_in_the_child_of_a_fork_every_call_is_refused_and_none_hangs(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: None
    with Resumable(wire.url, chunk_size=10, throttle_progress_callbacks=0) as session:
        file = session.add_file(make(size=1000))
        wire.wait_held()
        calls: list[Callable[[], Any]] = [
            session.join, session.upload, session.pause, session.resume, session.cancel, session.close,
            lambda: session.add_file(make("b")), lambda: session.add_files([]), lambda: session.files,
            lambda: session.state, session.progress, lambda: session.remove_file(file),
            lambda: session.get_from_unique_identifier("x"), file.wait, file.pause, file.resume, file.cancel,
            file.retry, file.bootstrap, lambda: file.mark_chunks_completed(1), lambda: file.state, file.progress,
            lambda: file.speed, lambda: file.chunks[0].state, lambda: file.on("success", print),
        ]  # fmt: skip
        # Also while another thread holds the lock, which nobody would ever release in the child.
        shared = session._dispatcher._shared.lock
        held, go = threading.Event(), threading.Event()

        def hold() -> None:
            with shared:
                held.set()
                go.wait(PATIENCE)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(PATIENCE)
        said = in_child(lambda: refused(*calls))
        go.set()
        thread.join()
        assert said == ""
        wire.behave = lambda request: (200,)
        wire.release()
    assert file.is_complete(), "the parent goes on"


def test_a_child_that_ends_inside_the_block_ends_as_it_wants(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: None
    with Resumable(wire.url) as session:
        session.add_file(make())
        wire.wait_held()

        def leave() -> str:
            try:
                with session:
                    sys.exit(7)
            except SystemExit as error:
                return f"left with {error.code}"

        def finish() -> None:
            with session:
                pass

        assert in_child(leave) == "left with 7"
        assert "made in another process" in in_child(finish), "the child must not believe that all was sent"
        wire.behave = lambda request: (200,)
        wire.release()
    assert len(wire.uploads) == 1


def test_the_child_of_a_fork_may_have_a_session_of_its_own(wire: ScriptedServer, make: Make) -> None:
    path = make("of-child")
    with Resumable(wire.url) as session:
        session.add_file(make())

        def upload() -> bool:
            with Resumable(wire.url) as own:
                file = own.add_file(path)
            return file.is_complete()

        assert in_child(upload) == "True"
    assert {request.file_name for request in wire.uploads} == {"a.bin", "of-child"}


def test_a_session_and_its_files_can_be_shown_in_the_child_of_a_fork(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, auto_upload=False) as session:
        file = session.add_file(make())
        assert in_child(lambda: repr(session)) == f"<Resumable to {wire.url}, of another process>"
        assert in_child(lambda: repr(file)) == "<ResumableFile 'a.bin', 10 bytes, of another process>"


def test_handlers_that_are_called_by_hand_are_not_called_in_the_child_of_a_fork(make: Make) -> None:
    added: list[str] = []
    with Resumable("http://127.0.0.1:9/", auto_upload=False, deliver="manual") as session:
        session.on("file_added", lambda file: added.append(file.file_name))
        session.add_file(make("a.bin"))
        assert in_child(lambda: refused(session.process_events)) == ""
        assert session.process_events() > 0
        assert added == ["a.bin"], "the parent's handlers are told once, in the parent"
        session.cancel()
