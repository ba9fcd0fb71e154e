"""Programs that never join: a window, an asyncio program. Their runs end too, once, and say what became of the files.

The clock of most sessions here is the test's own, so that no pace of the machine matters.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, Request, ScriptedServer
from support.threads import threads_of_sessions, wait_until_threads_are_gone

from resumable import (
    Result,
    Resumable,
    ResumableFile,
    SessionState,
    UploadFailed,
)

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    wait_until_threads_are_gone()


class Runs:
    """A session whose time passes when told to, and the results of its runs."""

    def __init__(self, url: str, delay: float = 10, **options: Any) -> None:
        self.now = 1000.0
        self.results: list[Result] = []
        self.ended = threading.Semaphore(0)
        self.session = Resumable(url, completion_delay=delay, clock=lambda: self.now, **options)
        self.session.on("complete", self.complete)

    def complete(self, result: Result) -> None:
        """The run is over."""
        self.results.append(result)
        self.ended.release()

    def pass_time(self, seconds: float = 100) -> None:
        """The clock goes on, and whoever waits for a time looks at it."""
        self.now += seconds
        self.session.resume()  # does nothing else, unless it is paused

    def wait(self) -> Result:
        """The result of the next run that ends, for which time passes."""
        while not self.ended.acquire(timeout=0.01):
            self.pass_time()
        return self.results[-1]


@pytest.fixture
def runs(wire: ScriptedServer) -> Iterator[Runs]:
    """A session outside any ``with`` block."""
    runs = Runs(wire.url)
    yield runs
    runs.session.close()


def refusing(request: Request) -> tuple[Any, ...]:
    """The behaviour of a server that refuses files called bad."""
    return (404,) if request.chunk is None else (415,) if request.file_name == "bad" else (200,)


# -- the end comes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deliver", ["thread", "at once", "loop", "manual"])
def test_a_program_that_never_joins_is_told_the_end(wire: ScriptedServer, make: Make, deliver: str) -> None:
    """With the options as they are, on the clock as it is."""
    calls: list[Callable[[], None]] = []
    ways: dict[str, Any] = {
        "thread": None, "at once": lambda call: call(), "loop": calls.append, "manual": "manual",
    }  # fmt: skip
    events: list[Any] = []
    ended = threading.Event()
    session = Resumable(wire.url, deliver=ways[deliver])
    session.on("catch_all", lambda event, *arguments: events.append((event, *arguments)))
    session.on("complete", ended.set)
    files = session.add_files([make("a"), make("b")])
    while not ended.wait(0.01):
        if deliver == "manual":
            session.process_events()
        while calls:
            calls.pop(0)()
    names = [event for event, *_ in events]
    assert (names.count("upload_start"), names.count("complete")) == (1, 1)
    assert events[-1] == ("complete", Result(tuple(files)))
    assert session.state is SessionState.IDLE
    assert session.result == Result(tuple(files))
    session.close()


def test_an_asyncio_program_awaits_the_end(wire: ScriptedServer, make: Make) -> None:
    async def main() -> Result:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Result] = loop.create_future()
        session = Resumable(wire.url, deliver=loop.call_soon_threadsafe, loop=loop)
        session.on("complete", ended.set_result)
        session.add_file(make())
        result = await asyncio.wait_for(ended, PATIENCE)
        session.close()
        return result

    assert len(asyncio.run(main()).succeeded) == 1


def test_nothing_is_uploading_as_soon_as_nothing_is_left_to_send(runs: Runs, make: Make) -> None:
    seen = []
    runs.session.on("file_success", lambda: seen.append((runs.session.is_uploading(), runs.session.state)))
    runs.session.add_file(make())
    runs.wait()
    assert seen == [(False, SessionState.UPLOADING)]
    assert not runs.session.is_uploading()


def test_files_that_failed_are_in_the_result(runs: Runs, wire: ScriptedServer, make: Make) -> None:
    wire.behave = refusing
    good, bad = runs.session.add_files([make("good"), make("bad")])
    assert runs.wait() == Result((good,), (bad,))
    with pytest.raises(UploadFailed) as caught:
        runs.session.join(PATIENCE)
    assert caught.value.result == Result((good,), (bad,))


def test_without_a_delay_a_run_ends_with_its_last_handler(wire: ScriptedServer, make: Make) -> None:
    runs = Runs(wire.url, 0)
    for name in ("a", "b"):
        file = runs.session.add_file(make(name))
        assert runs.ended.acquire(timeout=PATIENCE)
        assert runs.results[-1] == Result((file,))
    runs.session.close()


def test_a_delay_of_centuries_holds_nothing_up(wire: ScriptedServer, make: Make) -> None:
    session = Resumable(wire.url, completion_delay=1e300)
    file = session.add_file(make())
    file.wait(PATIENCE)
    assert session.join(PATIENCE).succeeded == (file,)
    session.add_file(make("b")).wait(PATIENCE)
    session.close()
    wait_until_threads_are_gone()


@pytest.mark.parametrize("end", ["upload", "join"])
def test_upload_and_join_end_the_run_at_once(runs: Runs, make: Make, end: str) -> None:
    file = runs.session.add_file(make())
    file.wait(PATIENCE)
    getattr(runs.session, end)()
    assert runs.ended.acquire(timeout=PATIENCE)
    assert runs.results == [Result((file,))]


def test_where_no_thread_can_be_started_the_run_ends_without_the_delay(
    runs: Runs, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if "completion" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    file = runs.session.add_file(make())
    assert runs.ended.acquire(timeout=PATIENCE)
    assert runs.results == [Result((file,))]


# -- the run stays open --------------------------------------------------------------------------------------------


def test_a_file_that_comes_in_time_belongs_to_the_run(runs: Runs, make: Make) -> None:
    files = []
    for name in ("a", "b", "c"):
        files.append(runs.session.add_file(make(name)))
        files[-1].wait(PATIENCE)
        runs.pass_time(9)
    assert runs.wait() == Result(tuple(files))


def test_a_file_that_comes_later_begins_the_next_run(runs: Runs, make: Make) -> None:
    first = runs.session.add_file(make("a"))
    assert runs.wait() == Result((first,))
    second = runs.session.add_file(make("b"))
    assert runs.wait() == Result((second,))
    assert runs.session.join(PATIENCE) == Result((first, second)), "nobody has joined the first"


def test_a_slow_handler_may_add_the_next_file(runs: Runs, make: Make) -> None:
    names = ["b", "c"]
    added = []

    def another() -> None:
        runs.pass_time()
        if names:
            added.append(runs.session.add_file(make(names.pop(0))))

    runs.session.on("file_success", another)
    added.append(runs.session.add_file(make("a")))
    assert runs.wait() == Result(tuple(added))
    assert len(added) == 3


def test_a_late_handler_counts_as_one_that_runs(runs: Runs, make: Make) -> None:
    file = runs.session.add_file(make("a"))
    file.wait(PATIENCE)
    files = [file]

    def late() -> None:
        runs.pass_time()
        files.append(runs.session.add_file(make("b")))

    file.on("success", late)
    assert runs.wait() == Result(tuple(files))


def test_an_async_handler_may_add_the_next_file(wire: ScriptedServer, make: Make) -> None:
    async def main() -> tuple[list[Result], list[ResumableFile]]:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        runs = Runs(wire.url, deliver=loop.call_soon_threadsafe, loop=loop)
        runs.session.on("complete", ended.set)
        added = [runs.session.add_file(make("a"))]

        @runs.session.on("file_success")
        async def another(file: ResumableFile) -> None:
            for _ in range(10):
                runs.pass_time()
                await asyncio.sleep(0.01)
            if file.file_name == "a":
                added.append(runs.session.add_file(make("b")))

        while not ended.is_set():
            await asyncio.sleep(0.01)
            runs.pass_time()
        runs.session.close()
        return runs.results, added

    results, added = asyncio.run(main())
    assert results == [Result(tuple(added))]
    assert len(added) == 2


def test_the_run_stays_open_while_files_are_looked_for(runs: Runs, make: Make) -> None:
    first = runs.session.add_file(make("a"))

    def found() -> Iterator[Path]:
        first.wait(PATIENCE)
        for name in ("b", "c"):
            runs.pass_time()
            yield make(name)

    others = runs.session.add_files(found())
    assert runs.wait() == Result((first, *others))


def test_the_run_stays_open_while_an_identifier_is_made(wire: ScriptedServer, make: Make) -> None:
    def identify(path: Any, relative_path: Any) -> str:
        if runs.session.files:
            runs.session.files[0].wait(PATIENCE)
            runs.pass_time()
        return str(relative_path).replace("/", "-")

    runs = Runs(wire.url, generate_unique_identifier=identify)
    files = tuple(runs.session.add_file(make(name)) for name in ("a", "b"))
    assert runs.wait() == Result(files)
    runs.session.close()


def test_files_that_many_threads_add_are_each_in_one_result(wire: ScriptedServer, make: Make) -> None:
    path = make()
    added: list[ResumableFile] = []
    results: list[Result] = []
    session = Resumable(wire.url, completion_delay=0, test_chunks=False)
    session.on("complete", results.append)

    def add(name: int) -> None:
        for number in range(25):
            added.append(session.add_file(path, unique_identifier=f"{name}-{number}"))

    threads = [threading.Thread(target=add, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = session.join(PATIENCE)
    session.close()
    told = [file for result in results for file in result.succeeded]
    assert len(told) == len(set(told)) == 100
    assert set(told) == set(added) == set(whole.succeeded)


def test_a_run_that_is_paused_in_its_last_moment_stays_open(runs: Runs, make: Make) -> None:
    file = runs.session.add_file(make())
    file.wait(PATIENCE)
    runs.session.pause()
    runs.now += 100
    runs.session.pause()
    assert runs.session.state is SessionState.PAUSED
    assert not runs.ended.acquire(timeout=0.05)
    runs.session.resume()
    assert runs.wait() == Result((file,))


def test_a_file_that_is_tried_again_keeps_the_run_open(runs: Runs, wire: ScriptedServer, make: Make) -> None:
    wire.behave = refusing
    wire_was_bad = []

    def again(file: ResumableFile) -> None:
        wire_was_bad.append(file)
        runs.pass_time()
        wire.behave = lambda request: (200,)
        file.retry()

    runs.session.on("file_error", again)
    file = runs.session.add_file(make("bad"))
    assert runs.wait() == Result((file,))
    assert wire_was_bad == [file]


def test_a_run_in_a_block_stays_open_until_its_end(wire: ScriptedServer, make: Make) -> None:
    runs = Runs(wire.url, 0)
    file = runs.session.add_file(make("a"))
    assert runs.wait() == Result((file,))
    with runs.session as session:
        files = []
        for name in ("b", "c"):
            files.append(session.add_file(make(name)))
            files[-1].wait(PATIENCE)
            runs.pass_time()
        assert not runs.ended.acquire(timeout=0.05)
    assert runs.results[1:] == [Result(tuple(files))]


# -- what happens meanwhile ----------------------------------------------------------------------------------------


def test_a_handler_of_the_end_may_begin_the_next_run(runs: Runs, make: Make) -> None:
    names = ["b", "c"]
    files = []

    def another() -> None:
        if names:
            files.append(runs.session.add_file(make(names.pop(0))))

    runs.session.on("complete", another)
    files.append(runs.session.add_file(make("a")))
    for _ in range(3):
        runs.wait()
    assert runs.results == [Result((file,)) for file in files]


def test_a_session_that_is_cancelled_in_its_last_moment_is_not_complete(runs: Runs, make: Make) -> None:
    runs.session.add_file(make("a")).wait(PATIENCE)
    runs.session.cancel()
    runs.pass_time()
    file = runs.session.add_file(make("b"))
    assert runs.wait() == Result((file,))
    assert len(runs.results) == 1


def test_a_session_that_is_closed_in_its_last_moment_is_not_complete(runs: Runs, make: Make) -> None:
    runs.session.add_file(make()).wait(PATIENCE)
    runs.session.close()
    wait_until_threads_are_gone()
    assert runs.results == []


def test_the_last_file_may_be_removed_instead_of_sent(runs: Runs, wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (404,) if request.chunk is None else None
    file = runs.session.add_file(make())
    wire.wait_held()
    runs.session.remove_file(file)
    assert runs.wait() == Result(cancelled=(file,))


def test_a_session_that_nobody_holds_completes_and_is_collected(wire: ScriptedServer, make: Make) -> None:
    ended = threading.Event()
    session = Resumable(wire.url)
    session.on("complete", ended.set)
    session.add_file(make())
    forgotten = weakref.ref(session)
    del session
    while not ended.wait(0.01):
        gc.collect()
    wait_until_threads_are_gone()
    gc.collect()
    assert forgotten() is None


def test_one_thread_at_most_waits_for_the_end(runs: Runs, make: Make) -> None:
    for number in range(20):
        runs.session.add_file(make(str(number))).wait(PATIENCE)
        names = [thread.name for thread in threads_of_sessions()]
        assert names.count("resumable-completion") <= 1
    runs.wait()
    wait_until_threads_are_gone()


def test_handlers_of_the_end_may_leave_the_result_out(runs: Runs, make: Make) -> None:
    heard: list[Any] = []

    def plain(sender: Any) -> None:
        heard.append(sender)

    def facts(sender: Any, *, result: Result) -> None:
        heard.append(result)

    runs.session.on("complete", lambda: heard.append("nothing"))
    runs.session.signals.complete.connect(plain)
    runs.session.signals.complete.connect(facts)
    file = runs.session.add_file(make())
    runs.wait()
    runs.session.join(PATIENCE)
    assert heard == ["nothing", runs.session, Result((file,))]
