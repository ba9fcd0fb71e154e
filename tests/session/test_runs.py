"""Runs: how they begin, what ends them, what is told of them, and what they leave behind."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from support.scripted_server import LEAVE, PATIENCE, Request, ScriptedServer, holding
from support.sizes import sized
from support.threads import wait_until_answers_are_awaited, wait_until_threads_are_gone

from resumable import (
    Result,
    Resumable,
    ResumableFile,
    SessionState,
    StateError,
    UploadCancelled,
    UploadFailed,
    WaitTimeout,
    upload,
)
from resumable.dispatch import dispatcher

Make = Callable[..., Path]


def refusing(*names: str) -> Callable[[Request], tuple[Any, ...]]:
    """The behaviour of a server that refuses files of these names."""

    def behave(request: Request) -> tuple[Any, ...]:
        if request.chunk is None:
            return (404,)
        return (415, "not this") if request.file_name in names else (200, "ok")

    return behave


# -- beginning and ending ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deliver", [None, "manual"])
def test_a_run_that_began_by_itself_is_one_run_however_fast_the_server(
    wire: ScriptedServer, make: Make, deliver: Any
) -> None:
    events = []
    with Resumable(wire.url, deliver=deliver) as session:
        session.on("catch_all", lambda event, *_: events.append(event))
        for number in range(5):
            file = session.add_file(make(str(number)))
            file.wait(PATIENCE)
        assert session.state is SessionState.UPLOADING
        session.join(PATIENCE)
        assert session.state is SessionState.IDLE
    assert (events.count("upload_start"), events.count("complete")) == (1, 1)
    assert events[-1] == "complete"


def test_a_run_that_upload_began_ends_when_nothing_is_open(wire: ScriptedServer, make: Make) -> None:
    events: list[str] = []
    ended = threading.Semaphore(0)
    with Resumable(wire.url, auto_upload=False) as session:
        session.on("catch_all", lambda event, *_: events.append(event))
        session.on("complete", lambda: ended.release())
        for number in range(3):
            session.add_file(make(str(number)))
            session.upload()
            assert ended.acquire(timeout=PATIENCE)
            assert session.state is SessionState.IDLE
        session.upload()
        assert ended.acquire(timeout=PATIENCE), "a run with nothing to do is over at once"
    assert (events.count("upload_start"), events.count("complete")) == (4, 4)


def test_several_runs_in_one_session_each_tell_what_became_of_their_files(wire: ScriptedServer, make: Make) -> None:
    wire.behave = refusing("bad")
    with Resumable(wire.url, auto_upload=False) as session:
        first = session.add_file(make("good"))
        assert session.join(PATIENCE) == Result(succeeded=(first,))
        second = session.add_file(make("bad"))
        with pytest.raises(UploadFailed) as caught:
            session.join(PATIENCE)
        assert caught.value.result == Result(failed=(second,))
        assert caught.value.errors == (second.error,)
        assert session.join(PATIENCE).failed == (second,), "each error is raised once"
        third = session.add_file(make("other"))
        assert session.join(PATIENCE) == Result(succeeded=(third,))
        wire.behave = refusing()
        second.retry()
        assert session.join(PATIENCE) == Result(succeeded=(second,))
        wait_until_threads_are_gone()


def test_a_failure_in_a_run_that_nobody_joined_is_raised_after_the_next(wire: ScriptedServer, make: Make) -> None:
    wire.behave = refusing("bad")
    with pytest.raises(UploadFailed) as caught, Resumable(wire.url, auto_upload=False) as session:  # noqa: PT012
        for name in ("bad", "good"):
            file = session.add_file(make(name))
            over = threading.Event()
            session.on("complete", over.set)
            session.upload()
            assert over.wait(PATIENCE)
    assert caught.value.result == Result(succeeded=(file,), failed=(session.files[0],))


def test_a_failure_after_a_timeout_is_raised_by_the_next_join(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    with Resumable(wire.url, test_chunks=False) as session:
        bad = session.add_file(make("bad"))
        wire.wait_held()
        assert session.is_uploading()
        with pytest.raises(WaitTimeout):
            session.join(0.01)
        over = threading.Event()
        session.on("complete", over.set)
        wire.behave = lambda request: (200,)
        wire.release(415)
        assert over.wait(PATIENCE)
        good = session.add_file(make("good"))
        assert session.join(PATIENCE, raise_errors=False) == Result(succeeded=(good,), failed=(bad,))
        assert not session.join(PATIENCE, raise_errors=False)
        last = session.add_file(make("last"))
        assert session.join(PATIENCE) == Result(succeeded=(last,)), "what was told once is over"


def test_runs_follow_each_other_at_once_without_losing_a_worker(wire: ScriptedServer, make: Make) -> None:
    path, runs = make(), sized(100, 300)
    with Resumable(wire.url, auto_upload=False, test_chunks=False, simultaneous_uploads=2) as session:
        for number in range(runs):
            session.add_file(path, unique_identifier=str(number))
            session.join(PATIENCE)
    assert len(wire.uploads) == runs


def test_an_error_that_came_again_after_a_retry_is_raised_again(wire: ScriptedServer, make: Make) -> None:
    wire.behave = refusing("bad")
    with Resumable(wire.url) as session:
        file = session.add_file(make("bad"))
        for _ in range(5):
            with pytest.raises(UploadFailed) as caught:
                session.join(PATIENCE)
            assert caught.value.errors == (file.error,)
            file.retry()
        session.join(PATIENCE, raise_errors=False)


def test_errors_that_a_result_has_told_are_not_raised_on_leaving(wire: ScriptedServer, make: Make) -> None:
    wire.behave = refusing("bad")
    with Resumable(wire.url) as session:
        session.add_file(make("bad"))
        assert session.join(PATIENCE, raise_errors=False).errors
    with pytest.raises(UploadFailed, match="415"), Resumable(wire.url) as session:
        session.add_file(make("bad"))


def test_one_bad_file_does_not_end_the_batch(wire: ScriptedServer, make: Make) -> None:
    wire.behave = refusing("1", "3")
    with pytest.raises(UploadFailed) as caught, Resumable(wire.url) as session:
        session.add_files([make(str(number)) for number in range(5)])
    result = caught.value.result
    assert [file.file_name for file in result.succeeded] == ["0", "2", "4"]
    assert [file.file_name for file in result.failed] == ["1", "3"]
    assert str(caught.value).endswith("(and 1 more file)")
    assert len(caught.value.errors) == 2


def test_joining_starts_what_nobody_has_started(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, auto_upload=False) as session:
        file = session.add_file(make())
        assert session.join(PATIENCE).succeeded == (file,)
    with Resumable(wire.url, auto_upload=False) as session:
        other = session.add_file(make("other"))
    assert other.is_complete()


def test_joining_an_empty_session_returns_at_once(wire: ScriptedServer) -> None:
    with Resumable(wire.url) as session:
        assert session.join() == Result()
    assert session.state is SessionState.CLOSED


def test_several_threads_may_join(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    results = []
    with Resumable(wire.url) as session:
        file = session.add_file(make())
        threads = [threading.Thread(target=lambda: results.append(session.join(PATIENCE))) for _ in range(4)]
        for thread in threads:
            thread.start()
        wire.wait_held()
        wire.release()
        for thread in threads:
            thread.join()
    assert results == [Result(succeeded=(file,))] * 4


def test_a_timeout_changes_nothing(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    with Resumable(wire.url) as session:
        file = session.add_file(make())
        wire.wait_held()
        for call, what in ((session.join, "the upload"), (file.wait, "the upload of 'a.bin'")):
            with pytest.raises(WaitTimeout, match=f"{what} is still going on"):
                call(0.01)
        assert file.is_uploading()
        wire.behave = lambda request: (200,)
        wire.release()
    assert file.is_complete()


# -- pausing -------------------------------------------------------------------------------------------------------


def test_a_paused_run_is_still_the_run_that_it_was(wire: ScriptedServer, make: Make) -> None:
    events = []
    with Resumable(wire.url, chunk_size=10) as session:
        session.on("catch_all", lambda event, *_: events.append(event))
        first = session.add_file(make("first"))
        first.wait(PATIENCE)
        session.pause()
        session.pause()
        assert session.state is SessionState.PAUSED
        assert not session.is_uploading()
        second = session.add_file(make("second"))
        assert session.state is SessionState.PAUSED, "adding does not end a pause"
        session.resume()
        session.resume()
        second.wait(PATIENCE)
        assert session.state is SessionState.UPLOADING, "it is still held open"
        assert not session.is_uploading(), "nothing is left to send"
        third = session.add_file(make("third"))
        third.wait(PATIENCE)
    assert [event for event in events if event in ("upload_start", "pause", "complete")] == [
        "upload_start",
        "pause",
        "upload_start",
        "complete",
    ]


def test_pausing_and_resuming_what_does_not_run_does_nothing(wire: ScriptedServer, make: Make) -> None:
    events = []
    with Resumable(wire.url, auto_upload=False) as session:
        session.on("catch_all", lambda event, *_: events.append(event))
        session.pause()
        session.resume()
        assert session.state is SessionState.IDLE
        session.add_file(make())
        assert wire.settle() == 0
    assert "pause" not in events
    assert events.count("upload_start") == 1


def test_a_request_that_waits_for_its_answer_when_the_session_is_paused_counts(
    wire: ScriptedServer, make: Make
) -> None:
    wire.behave = holding
    with Resumable(wire.url, chunk_size=10) as session:
        file = session.add_file(make(size=20))
        wire.wait_held()
        wait_until_answers_are_awaited()
        session.pause()
        stored = threading.Event()
        file.on("chunk_success", lambda: stored.set())
        wire.release()
        assert stored.wait(PATIENCE)
        assert file.bytes_confirmed == 10
        assert session.state is SessionState.PAUSED
        wire.behave = lambda request: (200,)
        session.resume()
    assert len(wire.uploads) == 2


# -- cancelling and closing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["nothing", "pause", "pause_file"])
def test_cancel_and_close_free_a_worker_whose_server_never_answers(
    wire: ScriptedServer, make: Make, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "STOP_TIMEOUT", PATIENCE)
    wire.behave = holding
    for end in ("cancel", "close", "remove", "file"):
        session = Resumable(wire.url, chunk_size=10, simultaneous_uploads=2, chunk_order="free")
        file = session.add_file(make(size=100), unique_identifier=end)
        held = wire.wait_held(2)
        if before == "pause":
            session.pause()
        elif before == "pause_file":
            file.pause()
        begun = time.monotonic()
        {
            "cancel": session.cancel,
            "close": session.close,
            "remove": lambda: session.remove_file(file),  # noqa: B023
            "file": file.cancel,
        }[end]()
        for request in held:
            assert request.gone.wait(PATIENCE)
        session.close()
        assert time.monotonic() - begun < PATIENCE / 2, "nobody had to be abandoned"
        wait_until_threads_are_gone()
        wire.held.clear()


def test_what_is_cancelled_is_told_once_and_is_no_completion(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    events = []
    with Resumable(wire.url) as session:
        session.on("catch_all", lambda event, *arguments: events.append((event, *arguments)))
        files = session.add_files([make("a"), make("b")])
        wire.wait_held(2)
        session.cancel()
        assert session.state is SessionState.IDLE
        assert session.files == []
        assert session.get_size() == 0
        result = session.join(PATIENCE)
        assert result.cancelled == tuple(files), "in the order in which they were added"
        assert not result
    named = [event for event in events if event[0] not in ("file_progress", "progress")]
    assert named[named.index(("before_cancel",)) :] == [
        ("before_cancel",),
        ("file_cancelled", files[1], "cancelled"),
        ("file_cancelled", files[0], "cancelled"),
        ("cancel",),
    ]


def test_a_session_can_be_used_after_a_cancel(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    path = make()
    with Resumable(wire.url) as session:
        session.add_file(path)
        wire.wait_held()
        session.cancel()
        wire.behave = refusing()
        again = session.add_file(path)
        assert session.join(PATIENCE) == Result(succeeded=(again,))


def test_leaving_the_block_with_an_exception_cancels(
    wire: ScriptedServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "STOP_TIMEOUT", PATIENCE)
    wire.behave = holding
    events = []
    begun = time.monotonic()
    session = Resumable(wire.url)
    session.on("catch_all", lambda event, *_: events.append(event))

    def block() -> None:
        with session:
            session.add_file(make())
            wire.wait_held()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert time.monotonic() - begun < PATIENCE / 2
    assert session.state is SessionState.CLOSED
    assert session.files == []
    assert "file_cancelled" in events
    assert events[-1] == "cancel"
    assert "complete" not in events


def test_a_block_that_closed_its_session_ends_well_or_as_it_raised(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url) as session:
        session.add_file(make())
        session.join(PATIENCE)
        session.close()
    session = Resumable(wire.url)
    session.close()
    with pytest.raises(ZeroDivisionError), session:
        raise ZeroDivisionError


def test_a_closed_session_says_so(wire: ScriptedServer, make: Make) -> None:
    wire.behave = refusing("bad")
    session = Resumable(wire.url)
    done, bad = session.add_files([make("good"), make("bad")])
    session.join(PATIENCE, raise_errors=False)
    session.close()
    for call in (
        lambda: session.add_file(make()),
        lambda: session.add_files([make()]),
        session.upload,
        bad.retry,
        done.bootstrap,
        lambda: done.mark_chunks_completed(1),
    ):
        with pytest.raises(StateError, match="closed"):
            call()
    session.close()
    session.resume()
    assert done.is_complete()
    assert "closed" in repr(session)


def test_closing_wakes_those_who_wait(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    session = Resumable(wire.url)
    file = session.add_file(make())
    outcome: list[Any] = []

    def wait() -> None:
        try:
            file.wait(PATIENCE)
        except UploadCancelled as error:
            outcome.append(error.reason)

    threads = [
        threading.Thread(target=wait),
        threading.Thread(target=lambda: outcome.append(session.join(PATIENCE))),
    ]
    for thread in threads:
        thread.start()
    wire.wait_held()
    session.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(map(str, outcome)) == sorted(["closed", str(Result(cancelled=(file,)))])


# -- Ctrl-C --------------------------------------------------------------------------------------------------------


def interrupt_once_joined(session: Resumable) -> None:
    while not session._dispatcher._shared.waiting:
        pass
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_ctrl_c_while_joining_pauses_and_is_raised(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    with Resumable(wire.url, chunk_size=10) as session:
        session.add_file(make(size=100))
        wire.wait_held()
        interrupts = threading.Thread(target=interrupt_once_joined, args=(session,))
        interrupts.start()
        with pytest.raises(KeyboardInterrupt):
            session.join(PATIENCE)
        interrupts.join()
        assert session.state is SessionState.PAUSED
        begun = wire.settle()
        wire.release()
        assert wire.settle() == begun
        wire.behave = refusing()
        session.resume()
        assert session.join(PATIENCE).succeeded


def test_ctrl_c_takes_the_lock_from_nobody(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    interrupted, left = threading.Event(), threading.Event()
    early = []

    def interrupt(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    def hold() -> None:
        while not shared.waiters._gates:
            pass
        with shared.lock:
            shared.waiters.notify_all()
            early.append(left.wait(0.1))  # it goes on as far as it can without the lock
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            assert interrupted.wait(PATIENCE)
            early.append(left.wait(0.3))

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with Resumable(wire.url) as session:
            shared = session._dispatcher._shared
            session.add_file(make())
            wire.wait_held()
            holding_it = threading.Thread(target=hold)
            holding_it.start()
            with pytest.raises(KeyboardInterrupt):
                session.join(PATIENCE)
            left.set()
            holding_it.join(PATIENCE)
            session.cancel()
    finally:
        signal.signal(signal.SIGINT, before)
    assert early == [False, False], "whoever waits cannot go before the lock is free"


PROGRAM = """
import sys
from resumable import Resumable
try:
    with Resumable(sys.argv[1]) as session:
        session.add_file(sys.argv[2])
except KeyboardInterrupt:
    print("interrupted", session.state.value, flush=True)
"""


@pytest.mark.timed
def test_ctrl_c_ends_a_program_within_two_seconds_although_the_server_hangs(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, wire.url, make()], stdout=subprocess.PIPE, text=True, env=environment
    )
    wire.wait_held()
    program.send_signal(signal.SIGINT)
    begun = time.monotonic()
    said, _ = program.communicate(timeout=PATIENCE)
    assert time.monotonic() - begun < 2 + LEAVE
    assert said.splitlines()[-1] == "interrupted closed"
    assert program.returncode == 0


# -- the function --------------------------------------------------------------------------------------------------


def test_upload_takes_a_path_several_or_a_directory(wire: ScriptedServer, make: Make) -> None:
    one, two = make("one"), make("tree/two")
    make("tree/below/three")
    result = upload(one, wire.url)
    assert [file.relative_path for file in result.succeeded] == ["one"]
    result = upload([one, two.parent], wire.url)
    assert [file.relative_path for file in result.succeeded] == ["one", "tree/below/three", "tree/two"]
    wire.behave = refusing("one")
    with pytest.raises(UploadFailed):
        upload(one, wire.url)


def test_a_session_never_used_opens_nothing_and_starts_nothing(wire: ScriptedServer) -> None:
    before = set(threading.enumerate())
    session = Resumable(wire.url)
    assert isinstance(session.files, list)
    assert set(threading.enumerate()) <= before
    assert wire.settle() == 0
    session.close()


def test_a_session_that_nobody_holds_is_collected_once_nothing_is_open(wire: ScriptedServer, make: Make) -> None:
    session = Resumable(wire.url)
    file = session.add_file(make())
    file.wait(PATIENCE)
    forgotten = weakref.ref(session)
    del session, file
    wait_until_threads_are_gone()
    gc.collect()
    assert forgotten() is None


def test_a_run_that_is_held_open_goes_on_although_its_threads_have_gone(wire: ScriptedServer, make: Make) -> None:
    events = []
    with Resumable(wire.url) as session:
        session.on("catch_all", lambda event: events.append(event))
        for name in ("first", "second"):
            file = session.add_file(make(name))
            file.wait(PATIENCE)
            wait_until_threads_are_gone()
        file.bootstrap()
        file.wait(PATIENCE)
    assert events.count("file_success") == 3
    assert (events.count("upload_start"), events.count("complete")) == (1, 1)


def test_no_file_is_lost_when_threads_add_and_others_join(wire: ScriptedServer, make: Make) -> None:
    path = make()
    with Resumable(wire.url, test_chunks=False, simultaneous_uploads=4) as session:
        added: list[ResumableFile] = []
        over = threading.Event()

        def add(name: int) -> None:
            for number in range(50):
                added.append(session.add_file(path, unique_identifier=f"{name}-{number}"))

        def join() -> None:
            while not over.is_set():
                session.join(PATIENCE)

        threads = [threading.Thread(target=add, args=(name,)) for name in range(4)]
        joiner = threading.Thread(target=join)
        for thread in [*threads, joiner]:
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        joiner.join()
    assert len(added) == len(wire.uploads) == 200
    assert all(file.is_complete() for file in added)


def test_a_handler_of_complete_is_told_what_became_of_the_files(wire: ScriptedServer, make: Make) -> None:
    wire.behave = refusing("bad")
    heard: list[Result | None] = []
    with Resumable(wire.url, auto_upload=False) as session:
        session.on("complete", lambda: heard.append(session.result))
        assert session.result is None
        good, bad = session.add_files([make("good"), make("bad")])
        session.join(PATIENCE, raise_errors=False)
        session.remove_file(good)
        other = session.add_file(make("other"))
        session.join(PATIENCE)
        assert session.result == Result(succeeded=(other,))
        session.add_file(make("never"))
        session.cancel()
        assert session.result == Result(succeeded=(other,)), "what is cancelled is not completed"
    assert heard == [Result(succeeded=(good,), failed=(bad,)), Result(succeeded=(other,))]


def test_the_result_in_a_pickled_failure_can_be_looked_at(wire: ScriptedServer, make: Make) -> None:
    wire.behave = refusing("bad")
    with pytest.raises(UploadFailed) as caught, Resumable(wire.url) as session:
        session.add_file(make("bad"))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert [str(error) for error in copy.errors] == [str(error) for error in caught.value.errors]
    assert copy.result.failed[0].relative_path == "bad"
    assert copy.result.errors == ()


def test_a_handler_that_cannot_be_called_connects_no_other(wire: ScriptedServer, make: Make) -> None:
    heard: list[Any] = []
    with Resumable(wire.url, auto_upload=False) as session:
        with pytest.raises(TypeError, match="int cannot be"):
            session.add_file(make(), on={"success": heard.append, "error": 3})  # type: ignore[dict-item]
        assert session.files == []
        assert not session.signals.has_receivers("file_success")


def test_sessions_are_made_for_requests_at_once_and_not_for_threads(wire: ScriptedServer, make: Make) -> None:
    made: list[requests.Session] = []

    def factory() -> requests.Session:
        made.append(requests.Session())
        return made[-1]

    path = make()
    with Resumable(wire.url, session=factory, simultaneous_uploads=2, test_chunks=False) as session:
        for run in range(5):
            session.add_file(path, relative_path=f"{run}")
            session.join(PATIENCE)
            wait_until_threads_are_gone()
    assert len(made) <= 2
