"""A session that is closed in the middle: each file ends once, as cancelled, and a later session goes on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, ScriptedServer, Store, holding
from support.threads import wait_until_threads_are_gone

from resumable import (
    FileState,
    Resumable,
    ResumableFile,
    SessionState,
    UploadCancelled,
    UploadFailed,
)

Make = Callable[..., Path]
Told = list[tuple[str, str]]

ENDS = ("file_success", "file_error", "file_cancelled")


def endings(session: Resumable) -> Told:
    """The list into which every end of a file goes, with the reason of a cancelled one."""
    told: Told = []

    def hear(event: str, *arguments: Any) -> None:
        if event in ENDS:
            told.append((arguments[0].relative_path, arguments[1] if event == "file_cancelled" else event))

    session.on("catch_all", hear)
    return told


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Any:
    yield
    wait_until_threads_are_gone()


def test_closing_in_the_middle_ends_every_file_as_cancelled(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    session = Resumable(wire.url, simultaneous_uploads=1)
    told = endings(session)
    files = session.add_files([make("sent"), make("waiting")])
    paused = session.add_file(make("paused"))
    paused.pause()
    wire.wait_held()
    session.close()
    assert sorted(told) == [("paused", "closed"), ("sent", "closed"), ("waiting", "closed")]
    assert {file.state for file in (*files, paused)} == {FileState.CANCELLED}
    assert session.join(PATIENCE, raise_errors=False).cancelled == (*files, paused)
    session.close()
    assert len(told) == 3


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("deliver", ["thread", "at once", "manual"])
def test_the_events_have_come_when_close_returns(wire: ScriptedServer, make: Make, deliver: str, paused: bool) -> None:
    wire.behave = holding
    ways: dict[str, Any] = {"thread": None, "at once": lambda function: function(), "manual": "manual"}
    session = Resumable(wire.url, deliver=ways[deliver])
    told = endings(session)
    session.add_file(make("a"))
    wire.wait_held()
    if paused:
        session.pause()
    session.close()
    assert told == [("a", "closed")]


def test_more_files_than_one_call_delivers_by_hand_all_have_their_event(wire: ScriptedServer, make: Make) -> None:
    session = Resumable(wire.url, deliver="manual", auto_upload=False)
    told = endings(session)
    path = make()
    for number in range(1100):
        session.add_file(path, unique_identifier=str(number))
    while session.process_events():
        pass
    session.close()
    assert told == [("a.bin", "closed")] * 1100


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, SystemExit])
def test_a_block_that_raises_closes_its_files(wire: ScriptedServer, make: Make, error: type[BaseException]) -> None:
    wire.behave = holding
    session = Resumable(wire.url)
    told = endings(session)

    def block() -> None:
        with session:
            session.add_file(make("a"))
            wire.wait_held()
            raise error

    with pytest.raises(error):
        block()
    assert told == [("a", "closed")]
    assert session.state is SessionState.CLOSED


def test_ctrl_c_on_leaving_the_block_closes_its_files(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    session = Resumable(wire.url)
    told = endings(session)

    def interrupt() -> None:
        wire.wait_held()
        while not session._dispatcher._shared.waiting:
            pass
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    interrupts = threading.Thread(target=interrupt)
    with pytest.raises(KeyboardInterrupt), session:  # noqa: PT012
        file = session.add_file(make("a"))
        interrupts.start()
    interrupts.join()
    assert (file.state, told) == (FileState.CANCELLED, [("a", "closed")])


def test_a_file_that_waits_for_its_retry_or_never_began_is_closed_too(wire: ScriptedServer, make: Make) -> None:
    again = threading.Event()
    wire.behave = lambda request: (503,)
    session = Resumable(wire.url, chunk_retry_interval=3600)
    told = endings(session)
    session.on("file_retry", again.set)
    file = session.add_file(make("a"))
    assert again.wait(PATIENCE)
    session.close()
    assert (file.state, told) == (FileState.CANCELLED, [("a", "closed")])
    session = Resumable(wire.url, auto_upload=False)
    told = endings(session)
    file = session.add_file(make("b"))
    session.close()
    assert (file.state, told) == (FileState.CANCELLED, [("b", "closed")])


def test_a_file_whose_hook_runs_is_closed_and_stays_so(wire: ScriptedServer, make: Make) -> None:
    entered, leave = threading.Event(), threading.Event()

    def prepare(file: ResumableFile) -> None:
        entered.set()
        leave.wait(PATIENCE)

    session = Resumable(wire.url, preprocess_file=prepare)
    told = endings(session)
    file = session.add_file(make("a"))
    assert entered.wait(PATIENCE)
    session.close()
    assert (file.state, told) == (FileState.CANCELLED, [("a", "closed")])
    leave.set()
    wait_until_threads_are_gone()
    assert (file.state, told) == (FileState.CANCELLED, [("a", "closed")])


def test_files_that_had_ended_end_only_once(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (404,) if request.chunk is None else (415,) if request.file_name == "bad" else (200,)
    session = Resumable(wire.url)
    told = endings(session)
    session.add_files([make("good"), make("bad")])
    with pytest.raises(UploadFailed):
        session.join(PATIENCE)
    session.close()
    assert sorted(told) == [("bad", "file_error"), ("good", "file_success")]


def test_threads_that_wait_for_a_file_learn_why_it_does_not_come(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    session = Resumable(wire.url)
    file = session.add_file(make())
    reasons = []

    def wait() -> None:
        with pytest.raises(UploadCancelled) as caught:
            file.wait(PATIENCE)
        reasons.append(caught.value.reason)

    thread = threading.Thread(target=wait)
    thread.start()
    wire.wait_held()
    session.close()
    thread.join(PATIENCE)
    assert reasons == ["closed"]


def test_a_late_handler_hears_that_its_file_was_closed(wire: ScriptedServer, make: Make) -> None:
    session = Resumable(wire.url, auto_upload=False, deliver="manual")
    file = session.add_file(make())
    session.close()
    heard: list[Any] = []
    file.on("cancelled", lambda file, reason: heard.append(reason))
    session.process_events()
    assert heard == ["closed"]


def test_each_way_to_be_cancelled_has_its_reason(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (404,) if request.chunk is None else (415,) if request.file_name == "bad" else None
    with Resumable(wire.url, auto_upload=False) as session:
        told = endings(session)
        session.add_file(make("file")).cancel()
        session.remove_file(session.add_file(make("removed")))
        session.add_file(make("session"))
        session.cancel()
        session.join(PATIENCE)
    assert told == [("file", "cancelled"), ("removed", "removed"), ("session", "cancelled")]
    with Resumable(wire.url, auto_upload=False, max_files=1) as session:
        told = endings(session)
        session.add_file(make("first"))
        session.add_file(make("second")).cancel()
        session.join(PATIENCE)
    assert told == [("first", "replaced"), ("second", "cancelled")]
    with Resumable(wire.url, auto_upload=False, fail_fast=True) as session:
        told = endings(session)
        session.add_files([make("bad"), make("other")])
        session.join(PATIENCE, raise_errors=False)
    assert told == [("bad", "file_error"), ("other", "fail_fast")]


def test_a_later_session_sends_only_what_is_missing(wire: ScriptedServer, make: Make) -> None:
    memory: dict[tuple[str, int], bytes] = {}
    keep = Store(memory, missing=204)
    wire.behave = lambda request: keep(request) if request.chunk is None or len(memory) < 3 else None
    session = Resumable(wire.url, chunk_size=10, simultaneous_uploads=1)
    path = make(size=100)
    session.add_file(path)
    wire.wait_held()
    session.close()
    wire.behave = keep
    before = len(wire.uploads)
    with Resumable(wire.url, chunk_size=10) as session:
        file = session.add_file(path)
    assert file.is_complete()
    assert len(wire.uploads) - before == 7
    assert b"".join(memory[file.unique_identifier or "", number] for number in range(1, 11)) == path.read_bytes()
