"""The three ways in which handlers are called: an own thread, a function that posts, and by hand."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import LEAVE, PATIENCE, ScriptedServer
from support.threads import threads_of_sessions, wait_until_threads_are_gone

from resumable import (
    FileState,
    Resumable,
    SessionState,
    StateError,
    UploadCancelled,
    WaitTimeout,
)
from resumable.core.records import Notice
from resumable.core.retry import SessionPolicy
from resumable.dispatch.deliveries import MOST, make_delivery
from resumable.dispatch.delivery import LINGER
from resumable.dispatch.shared_state import SharedState

Make = Callable[..., Path]


class Post:
    """What posts to the thread that calls :meth:`run`, as the post functions of window systems do."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.posted = 0

    def __call__(self, function: Callable[[], None]) -> None:
        self.posted += 1
        self.queue.put(function)

    def run(self, until: Callable[[], Any]) -> None:
        """What is posted is called, until something holds."""
        deadline = time.monotonic() + PATIENCE
        while not until():
            self.queue.get(timeout=deadline - time.monotonic())()


class Window(Post):
    """As the loop of a window says that the window is gone."""

    closed = False


# -- an own thread -------------------------------------------------------------------------------------------------


def test_a_notice_that_comes_while_the_thread_is_about_to_leave_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    shared = SharedState(SessionPolicy(), listeners=defaultdict(lambda: ["somebody"]), clock=time.monotonic)
    lock, outbox = shared.lock, shared.outbox
    delivery = make_delivery(None, shared, lambda notice, entry: told.put(notice.event), lambda: None)
    late = iter([Notice("cancel")])
    wait = delivery._notices_ready.wait

    def waiting(seconds: float | None = None) -> bool:
        # Its time for more is over, and before it has the lock again somebody else had it.
        if seconds == LINGER and (notice := next(late, None)):
            outbox.extend([notice])
            return False
        return wait(seconds)

    monkeypatch.setattr(delivery._notices_ready, "wait", waiting)
    with lock:
        outbox.extend([Notice("pause")])
    delivery.post()
    assert told.get(timeout=PATIENCE) == "pause"
    assert told.get(timeout=PATIENCE) == "cancel"


# -- posted --------------------------------------------------------------------------------------------------------


def test_posted_handlers_run_on_the_thread_that_takes_what_was_posted(wire: ScriptedServer, make: Make) -> None:
    post, heard = Post(), []
    with Resumable(wire.url, chunk_size=10, deliver=post, simultaneous_uploads=8) as session:
        session.on("catch_all", lambda event, *_: heard.append((event, threading.current_thread())))
        session.add_file(make(size=1000))
        post.run(lambda: any(event == "chunk_success" for event, _ in heard))
        assert {thread for _, thread in heard} == {threading.current_thread()}
        session.join(PATIENCE)
        post.run(lambda: heard[-1][0] == "complete")
    assert {thread for _, thread in heard} == {threading.current_thread()}
    assert [event for event, _ in heard].count("chunk_success") == 100
    assert post.posted < len(heard), "one call delivers many notices"


def test_posted_notices_come_in_bounded_batches(wire: ScriptedServer, make: Make) -> None:
    post = Post()
    sizes = []
    with Resumable(wire.url, chunk_size=1, deliver=post, test_chunks=False) as session:
        count = [0]
        session.on("catch_all", lambda *_: count.__setitem__(0, count[0] + 1))
        session.add_file(make(size=150))
        session.join(PATIENCE)
        while count[0] == 0 or not post.queue.empty():
            before = count[0]
            post.queue.get(timeout=PATIENCE)()
            sizes.append(count[0] - before)
    assert max(sizes) <= 64
    assert sum(sizes) > 150


@pytest.mark.once
@pytest.mark.unmeasured
def test_join_on_the_thread_that_is_posted_to_waits_for_the_transfers_alone(wire: ScriptedServer, make: Make) -> None:
    # More chunks than notices may wait: nobody takes them, and the transfers must not wait for that.
    post, heard = Post(), []
    with Resumable(wire.url, chunk_size=1, deliver=post, test_chunks=False, chunk_order="free") as session:
        session.on("chunk_success", heard.append)
        file = session.add_file(make(size=1200))
        assert session.join(PATIENCE)
        assert heard == []
        file.wait(PATIENCE)
        post.run(lambda: len(heard) == 1200)
    assert len(wire.uploads) == 1200


def test_a_real_event_loop_calls_the_handlers(wire: ScriptedServer, make: Make) -> None:
    heard: list[Any] = []
    path = make(size=300)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        session = Resumable(wire.url, chunk_size=10, deliver=loop.call_soon_threadsafe, loop=loop)

        async def success(file: Any) -> None:
            await asyncio.sleep(0)
            heard.append((file.state, threading.current_thread()))
            done.set()

        session.on("chunk_success", lambda: heard.append(threading.current_thread()))
        session.on("file_success", success)
        session.add_file(path)
        await asyncio.wait_for(done.wait(), PATIENCE)
        await asyncio.to_thread(session.join, PATIENCE)
        await asyncio.to_thread(session.close)

    asyncio.run(main())
    here = threading.current_thread()
    assert heard == [here] * 30 + [(FileState.SUCCESS, here)]


def test_a_post_that_calls_at_once_is_no_recursion(wire: ScriptedServer, make: Make) -> None:
    # As the signal of a window system that is emitted on the thread of the window.
    overlaps, heard, inside, all_heard = [], [], threading.Lock(), threading.Event()
    with Resumable(
        wire.url, chunk_size=1, deliver=lambda function: function(), simultaneous_uploads=8, test_chunks=False
    ) as session:

        def handler(chunk: Any) -> None:
            if not inside.acquire(blocking=False):
                overlaps.append(chunk)
                return
            session.pause()
            session.resume()
            heard.append(chunk.index)
            inside.release()
            if len(heard) == 80:
                all_heard.set()

        session.on("chunk_success", handler)
        session.on("file_progress", lambda: session.progress())
        session.add_file(make(size=80))
        assert all_heard.wait(PATIENCE), overlaps  # the end of the block waits for the transfers alone
    assert not overlaps
    assert sorted(heard) == list(range(80))


def test_a_handler_that_takes_in_what_was_posted_does_not_spin(wire: ScriptedServer, make: Make) -> None:
    # As a dialog that is shown in a handler, and runs the event loop of the window meanwhile.
    post, heard = Post(), []
    with Resumable(wire.url, chunk_size=10, deliver=post) as session:

        def dialog() -> None:
            session.pause()
            session.resume()
            heard.append(post.queue.empty())

        session.on("chunk_success", dialog)
        session.add_file(make(size=100))
        session.join(PATIENCE)
        post.run(lambda: len(heard) == 10)
    assert all(heard), "nothing is posted while a handler runs"


@pytest.mark.once
@pytest.mark.unmeasured
@pytest.mark.usefixtures("failures")
def test_a_post_that_raises_stops_no_transfer(wire: ScriptedServer, make: Make) -> None:
    calls = []

    def post(function: Callable[[], None]) -> None:
        calls.append(function)
        raise RuntimeError("the loop is closed")

    with Resumable(wire.url, chunk_size=1, deliver=post, test_chunks=False) as session:
        session.on("chunk_success", lambda: None)
        session.add_file(make(size=1200))
        assert session.join(PATIENCE)
    assert len(wire.uploads) == 1200
    assert len(calls) > 1, "the next notice tries again"


def test_a_post_that_goes_on_raising_is_logged_once(
    wire: ScriptedServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with Resumable(wire.url, chunk_size=10, deliver=loop.call_soon_threadsafe) as session:
        session.on("chunk_success", lambda chunk: None)
        session.add_file(make(size=100))
        session.join(PATIENCE)
    assert caplog.text.count("the handlers wait") == 1
    caplog.clear()


def test_ctrl_c_in_a_posted_handler_goes_to_the_thread_and_loses_no_other_notice(
    wire: ScriptedServer, make: Make
) -> None:
    post, heard = Post(), []
    with Resumable(wire.url, chunk_size=10, deliver=post) as session:

        def handler(chunk: Any) -> None:
            heard.append(chunk.index)
            if len(heard) == 3:
                raise KeyboardInterrupt

        session.on("chunk_success", handler)
        session.add_file(make(size=100))
        with pytest.raises(KeyboardInterrupt):
            post.run(lambda: False)
        session.join(PATIENCE)
        post.run(lambda: len(heard) == 10)


def test_a_window_that_is_gone_gets_no_handler_more_in_a_batch_or_a_call_on_its_thread(
    wire: ScriptedServer, make: Make
) -> None:
    post = Window()
    heard: list[str] = []

    def hear(event: str, *_: Any) -> None:
        heard.append(event)
        post.closed = event == "chunk_success"

    with Resumable(wire.url, chunk_size=10, deliver=post, auto_upload=False) as session:
        session.on("catch_all", hear)
        session.add_file(make(size=50))
        session.upload()
        post.run(lambda: post.closed)
        session.join(PATIENCE)
        session.cancel()
    assert heard.count("chunk_success") == 1
    assert heard[-1] == "chunk_success"


# -- by hand -------------------------------------------------------------------------------------------------------


def test_by_hand_nothing_is_told_before_somebody_asks(wire: ScriptedServer, make: Make) -> None:
    heard = []
    with Resumable(wire.url, chunk_size=10, deliver="manual") as session:
        session.on("catch_all", lambda event, *_: heard.append((event, threading.current_thread())))
        session.add_file(make(size=100))
        wire.wait(lambda: len(wire.uploads) == 10)
        assert heard == []
        told = 0
        while not any(event == "file_success" for event, _ in heard):
            told += session.process_events()
        assert told == len(heard)
        session.join(PATIENCE)
        assert heard[-1] == ("complete", threading.current_thread())
        assert session.process_events() == 0
    assert {thread for _, thread in heard} == {threading.current_thread()}
    assert not [thread for thread in threads_of_sessions() if "events" in thread.name]


def test_by_hand_no_more_is_told_at_once_than_a_window_can_wait_for(wire: ScriptedServer) -> None:
    heard = []
    with Resumable(wire.url, deliver="manual", auto_upload=False) as session:
        session.on("file_added", heard.append)
        files = session.add_files([(b"", f"{number}.txt") for number in range(MOST + 1)])
        assert session.process_events() == MOST
        assert session.process_events() == 1
        assert heard == files
        session.cancel()


@pytest.mark.unmeasured
@pytest.mark.once
def test_join_by_hand_drains_more_than_can_wait(wire: ScriptedServer, make: Make) -> None:
    heard = []
    with Resumable(wire.url, chunk_size=1, deliver="manual", test_chunks=False) as session:
        session.on("chunk_success", lambda chunk: heard.append(chunk.index))
        session.add_file(make(size=1200))
        session.join(PATIENCE)
        assert len(heard) == 1200


def test_what_comes_while_events_are_processed_waits_for_the_next_time(wire: ScriptedServer, make: Make) -> None:
    over = []
    wire.behave = lambda request: (200,) if request.number < 400 else None
    with Resumable(wire.url, chunk_size=1, deliver="manual", test_chunks=False) as session:

        @session.on("chunk_success")
        def more(chunk: Any) -> None:
            # Each handler waits until there is more to tell, so that draining to the end would never end.
            wire.wait(lambda: over or len(wire.uploads) >= min(chunk.number + 3, 400))

        session.add_file(make(size=500))
        wire.wait(lambda: len(wire.uploads) >= 3)
        assert 0 < session.process_events() < 500
        over.append(True)
        session.cancel()


def test_a_timeout_is_kept_although_there_is_always_more_to_tell(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, chunk_size=1, deliver="manual", test_chunks=False) as session:
        enough = threading.Event()
        session.on("chunk_success", lambda: enough.wait(0.002))
        session.add_file(make(size=100_000))
        with pytest.raises(WaitTimeout, match=r"still going on after 0\.3 s"):
            session.join(0.3)
        enough.set()
        session.cancel()


def test_events_are_processed_by_hand_only_where_that_was_asked_for(wire: ScriptedServer) -> None:
    for deliver in (None, Post()):
        with Resumable(wire.url, deliver=deliver) as session, pytest.raises(StateError, match="'manual'"):
            session.process_events()


def test_processing_inside_a_handler_does_nothing(wire: ScriptedServer, make: Make) -> None:
    told = []
    with Resumable(wire.url, deliver="manual") as session:
        session.on("file_added", lambda: told.append(session.process_events()))
        session.add_file(make())
    assert told == [0]


def test_while_another_thread_processes_join_waits_and_does_not_spin(wire: ScriptedServer, make: Make) -> None:
    go, entered = threading.Event(), threading.Event()
    with Resumable(wire.url, deliver="manual") as session:

        def handler() -> None:
            entered.set()
            assert go.wait(PATIENCE)

        session.on("file_success", handler)
        session.add_file(make())

        def process() -> None:
            while not entered.is_set():
                session.process_events()

        other = threading.Thread(target=process)
        other.start()
        assert entered.wait(PATIENCE)
        spent = time.thread_time()
        with pytest.raises(WaitTimeout):
            session.join(0.5)
        assert time.thread_time() - spent < 0.25
        go.set()
        other.join()


def test_ctrl_c_in_a_handler_that_join_calls_pauses_and_is_raised(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, chunk_size=10, deliver="manual", simultaneous_uploads=1) as session:
        heard = []

        def handler(chunk: Any) -> None:
            heard.append(chunk.index)
            if chunk.index == 2:
                raise KeyboardInterrupt

        session.on("chunk_success", handler)
        wire.behave = lambda request: None if request.chunk is not None and request.number > 5 else (200, "", {})
        session.add_file(make(size=1000))
        with pytest.raises(KeyboardInterrupt):
            session.join(PATIENCE)
        assert session.state is SessionState.PAUSED
        session.cancel()


# -- an own thread -------------------------------------------------------------------------------------------------


def test_handlers_of_a_run_share_one_thread_with_what_belongs_to_it(wire: ScriptedServer, make: Make) -> None:
    kept: list[sqlite3.Connection] = []
    rows: list[tuple[str]] = []
    with Resumable(wire.url) as session:

        @session.on("upload_start")
        def start() -> None:
            kept.append(sqlite3.connect(":memory:"))
            kept[0].execute("create table done (name text)")

        @session.on("file_success")
        def success(file: Any) -> None:
            kept[0].execute("insert into done values (?)", (file.file_name,))

        @session.on("complete")
        def complete() -> None:
            rows.extend(kept[0].execute("select name from done"))
            kept[0].close()

        session.add_file(make())
    assert rows == [("a.bin",)]


def test_threads_are_daemons_that_begin_with_the_first_run_and_go_when_it_is_over(
    wire: ScriptedServer, make: Make
) -> None:
    session = Resumable(wire.url, simultaneous_uploads=2, auto_upload=False)
    assert not threads_of_sessions()
    for _ in range(3):
        session.add_file(make(), unique_identifier=f"{_}")
        wire.behave = lambda request: None
        session.upload()
        wire.wait_held()
        assert all(thread.daemon for thread in threads_of_sessions())
        assert {thread.name.rpartition("-")[0] for thread in threads_of_sessions()} <= {"resumable-worker", "resumable"}
        wire.behave = lambda request: (200,)
        wire.release()
        session.join(PATIENCE)
        wait_until_threads_are_gone()
    session.close()


@pytest.mark.usefixtures("failures")
def test_a_handler_that_wants_to_end_the_program_ends_nothing(wire: ScriptedServer, make: Make) -> None:
    told = []
    with Resumable(wire.url) as session:

        @session.on("file_added")
        def leave() -> None:
            raise SystemExit(3)

        session.on("file_added", lambda: told.append("the others run"))
        session.on("handler_error", lambda event, handler, exception: told.append((event, type(exception))))
        session.add_file(make())
        assert session.join(PATIENCE)
    assert told == [("file_added", SystemExit), "the others run"]


def test_join_returns_after_every_handler_has_returned(wire: ScriptedServer, make: Make) -> None:
    for _ in range(5):
        done = []
        with Resumable(wire.url, chunk_size=10) as session:
            nap = threading.Event()
            session.on("chunk_success", lambda chunk: (nap.wait(0.002), done.append(chunk.index)))  # noqa: B023
            session.on("complete", lambda: (nap.wait(0.01), done.append("complete")))  # noqa: B023
            session.add_file(make(size=100))
            session.join(PATIENCE)
            assert len(done) == 11
            assert done[-1] == "complete"


@pytest.mark.once
def test_wait_for_a_file_does_not_wait_for_what_others_do(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (404,) if request.chunk is None else (200,)
    with Resumable(wire.url, chunk_size=1, test_chunks=False, simultaneous_uploads=1) as session:
        heard = []
        nap = threading.Event()
        session.on("chunk_success", lambda chunk: nap.wait(0.002))
        first = session.add_file(make("first", 20))
        session.add_file(make("second", 100_000))
        first.on("success", lambda: (nap.wait(0.05), heard.append("first")))
        first.wait(PATIENCE)
        assert heard == ["first"]
        assert len(wire.uploads) < 50_000
        session.cancel()


def test_wait_returns_after_a_handler_that_came_late(wire: ScriptedServer, make: Make) -> None:
    heard = []
    with Resumable(wire.url) as session:
        file = session.add_file(make())
        file.wait(PATIENCE)
        nap = threading.Event()
        file.on("success", lambda: (nap.wait(0.05), heard.append("late")))
        file.wait(PATIENCE)
        assert heard == ["late"]


@pytest.mark.timed
def test_closing_takes_two_seconds_at_most_although_a_handler_and_the_server_hang(
    wire: ScriptedServer, make: Make
) -> None:
    wire.behave = lambda request: None if request.number > 1 else (200,)
    go = threading.Event()
    session = Resumable(wire.url, chunk_size=10, test_chunks=False)
    entered = threading.Event()
    session.on("chunk_success", lambda: (entered.set(), go.wait(PATIENCE)))
    file = session.add_file(make(size=100))
    assert entered.wait(PATIENCE)
    wire.wait_held(2)
    begun = time.monotonic()
    session.close()
    assert time.monotonic() - begun < 2 + LEAVE
    assert session.state is SessionState.CLOSED
    go.set()
    with pytest.raises(UploadCancelled):
        file.wait(PATIENCE)
    result = session.join(PATIENCE)
    assert result.cancelled == (file,)
    assert not result
    session.close()
