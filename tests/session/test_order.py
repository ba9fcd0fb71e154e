"""Handlers are called one at a time and in order, and what they command is true at once."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, Request, ScriptedServer, Store, lacking
from support.sizes import sized

from resumable import (
    ChunkState,
    FileState,
    Resumable,
    ResumableFile,
    SessionState,
    StateError,
)

Make = Callable[..., Path]


class Ledger:
    """Hears everything, and notes where handlers overlap and what contradicts the order of the transitions."""

    def __init__(self, session: Resumable) -> None:
        self.faults: list[str] = []
        self.events: list[str] = []
        self.threads: set[str] = set()
        self.ended: set[ResumableFile] = set()
        self.stored: Counter[ResumableFile] = Counter()
        self.inside = threading.Lock()
        session.on("catch_all", self.hear)

    def hear(self, event: str, *arguments: Any) -> None:
        if not self.inside.acquire(blocking=False):
            self.faults.append(f"{event} overlaps")
            return
        try:
            self.threads.add(threading.current_thread().name)
            self.events.append(event)
            self.check(event, arguments)
        finally:
            self.inside.release()

    def check(self, event: str, arguments: tuple[Any, ...]) -> None:
        file = next((each for each in arguments if isinstance(each, ResumableFile)), None)
        if event.startswith("chunk_"):
            file = arguments[0].file
        if file is not None and file in self.ended and event != "error":
            self.faults.append(f"{event} of a file that has ended")
        if event == "chunk_success":
            self.stored[file] += 1
            if arguments[0].state is not ChunkState.DONE:
                self.faults.append("a stored chunk is not done")
        if event in ("file_success", "file_error", "file_cancelled"):
            self.ended.add(file)
        if event == "file_success" and self.stored[file] != len(file.chunks):
            self.faults.append(f"success after {self.stored[file]} of {len(file.chunks)} chunks")
        if event == "complete" and "complete" in self.events[:-1]:
            self.faults.append("complete twice")


@pytest.mark.once
@pytest.mark.usefixtures("failures")
@pytest.mark.parametrize("seed", range(sized(3, 12)))
def test_handlers_never_overlap_and_come_in_the_order_of_the_transitions(
    wire: ScriptedServer, make: Make, seed: int
) -> None:
    chance = random.Random(seed)
    memory: dict[tuple[str, int], bytes] = {}
    keep = Store(memory, missing=204)
    wire.behave = lambda request: (503,) if chance.random() < 0.1 else keep(request)
    pauses = threading.Semaphore(0)
    with Resumable(
        wire.url,
        chunk_size=10,
        simultaneous_uploads=8,
        chunk_retry_interval=0,
        test_chunks=bool(seed % 2),
        throttle_progress_callbacks=0,
    ) as session:
        ledger = Ledger(session)

        def slow() -> None:
            pauses.acquire(timeout=0.001)

        def raising() -> None:
            raise RuntimeError("on purpose")

        def again(chunk: Any) -> None:
            if chunk.number % 7 == 0:
                chunk.file.pause()
                chunk.file.resume()
            if chunk.number % 11 == 0:
                session.pause()
                assert session.state in (SessionState.PAUSED, SessionState.IDLE)
                session.resume()

        session.on("chunk_success", slow)
        session.on("chunk_success", raising)
        session.on("chunk_success", again)
        session.on("file_progress", raising)
        files = session.add_files([make(f"{name}.bin", 10 * 25) for name in range(4)])
        session.join(PATIENCE)
    assert not ledger.faults
    assert ledger.threads == {"resumable-events"}
    assert [file.state for file in files] == [FileState.SUCCESS] * 4
    assert ledger.events.count("complete") == 1
    assert ledger.events[-1] == "complete"
    for file in files:
        chunks = [memory[file.unique_identifier or "", number] for number in range(1, 26)]
        assert b"".join(chunks) == bytes(index % 251 for index in range(250))


@pytest.mark.once
@pytest.mark.parametrize("test_chunks", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_no_request_begins_after_pause_has_returned(
    wire: ScriptedServer, make: Make, test_chunks: bool, inside: bool
) -> None:
    faults = []
    with Resumable(
        wire.url, chunk_size=10, simultaneous_uploads=8, test_chunks=test_chunks, chunk_order="free", trust_tests=True
    ) as session:
        trials = sized(5, 100)
        for trial in range(trials):
            turn = threading.Event()
            begun: list[int] = []

            def pause(begun: list[int] = begun, turn: threading.Event = turn) -> None:
                if not turn.is_set():
                    session.pause()
                    begun.append(wire.settle())
                    turn.set()

            after = len(wire.requests) + 1 + trial % 13
            if inside:
                subscription = session.on("chunk_success", lambda _chunk, pause=pause: pause())
                file = session.add_file(make(f"{trial}.bin", 10 * 40))
                assert turn.wait(PATIENCE)
                subscription.off()
            else:
                file = session.add_file(make(f"{trial}.bin", 10 * 40))
                wire.wait(lambda after=after: len(wire.requests) >= after)
                pause()
            assert session.state is SessionState.PAUSED
            # Nothing moves any more, so what is asked a moment later is still what it was.
            for _ in range(3):
                if wire.settle() != begun[0]:
                    faults.append((trial, begun[0], wire.settle()))
            session.resume()
            file.wait(PATIENCE)
    assert not faults


@pytest.mark.parametrize("what", ["file", "session"])
def test_cancel_inside_a_handler_is_true_at_once(wire: ScriptedServer, make: Make, what: str) -> None:
    wire.behave = lambda request: None if request.chunk is not None and request.number > 3 else _usual(request)
    seen: dict[str, Any] = {}
    with Resumable(wire.url, chunk_size=10, simultaneous_uploads=8, test_chunks=False, chunk_order="free") as session:

        def stop(chunk: Any) -> None:
            if chunk.number != 3:
                return
            file = chunk.file
            wire.wait_held(5)
            (file if what == "file" else session).cancel()
            seen["begun"] = wire.settle()
            seen["state"] = file.state
            seen["files"] = session.files
            seen["session"] = session.state

        events = []
        session.on("catch_all", lambda event, *_: events.append(event))
        session.on("chunk_success", stop)
        session.add_file(make(size=1000))
        for request in wire.wait_held(5):
            assert request.gone.wait(PATIENCE), "the body was not cut off"
        result = session.join(PATIENCE)
    assert seen["state"] is FileState.CANCELLED
    assert seen["files"] == []
    assert len(result.cancelled) == 1
    assert not result
    assert wire.settle() == seen["begun"]
    assert events.count("file_cancelled") == 1
    if what == "session":
        assert seen["session"] is SessionState.IDLE
        assert "complete" not in events
        assert events[-1] == "cancel"
    else:
        assert events.count("complete") == 1


def _usual(request: Request) -> tuple[Any, ...]:
    return (404,) if request.chunk is None else (200,)


def test_what_would_wait_for_itself_is_refused_inside_a_handler(wire: ScriptedServer, make: Make) -> None:
    refused = []
    with Resumable(wire.url) as session:

        def wait(file: ResumableFile) -> None:
            for call in (session.join, session.close, file.wait):
                try:
                    call()
                except StateError as error:
                    refused.append(str(error))

        session.on("file_success", wait)
        session.add_file(make())
    assert len(refused) == 3
    assert all("a handler is running on this thread" in each for each in refused)


def test_what_would_wait_for_itself_is_refused_inside_a_hook(wire: ScriptedServer, make: Make) -> None:
    refused = []

    def preprocess(chunk: Any) -> None:
        for call in (session.join, session.close, chunk.file.wait):
            try:
                call()
            except StateError as error:
                refused.append(str(error))

    with Resumable(wire.url, preprocess=preprocess) as session:
        session.add_file(make())
    assert len(refused) == 3
    assert all("a hook is running on this thread" in each for each in refused)


def test_a_handler_may_do_everything_else(wire: ScriptedServer, make: Make) -> None:
    done = []
    paths = [make("second.bin"), make("third.bin")]
    with Resumable(wire.url, chunk_size=10) as session:

        @session.on("file_success")
        def more(file: ResumableFile) -> None:
            if paths:
                other = session.add_file(paths.pop())
                other.on("success", done.append)
                session.update_query({"more": "1"})
                assert 0 < session.progress() <= 1
                assert repr(file)

        session.add_file(make("first.bin"))
    assert sorted(file.file_name for file in done) == ["second.bin", "third.bin"]
    assert [request.fields.get("more") for request in wire.uploads][::2] == [None, "1"]


@pytest.mark.once
def test_join_waits_for_the_runs_that_handlers_begin_and_tells_what_became_of_all(
    wire: ScriptedServer, make: Make
) -> None:
    wire.behave = lambda request: (415,) if request.file_name == "1" else _usual(request)
    for _ in range(20):
        paths = [make(str(number)) for number in (3, 2, 1)]
        with Resumable(wire.url) as session:
            session.on("complete", lambda: session.add_file(paths.pop()) if paths else None)  # noqa: B023
            session.add_file(make("0"))
            result = session.join(PATIENCE, raise_errors=False)
        assert sorted(file.file_name for file in result.succeeded) == ["0", "2", "3"]
        assert [file.file_name for file in result.failed] == ["1"]


@pytest.mark.unmeasured
@pytest.mark.once
def test_a_slow_handler_holds_the_workers_back_and_memory_stays_bounded(wire: ScriptedServer, make: Make) -> None:
    go = threading.Event()
    size = 1300
    with Resumable(wire.url, chunk_size=1, simultaneous_uploads=8, test_chunks=False, chunk_order="free") as session:
        heard = []

        @session.on("chunk_success")
        def slow(chunk: Any) -> None:
            assert go.wait(PATIENCE)
            heard.append(chunk.index)

        file = session.add_file(make(size=size))
        # 1024 notices may wait; each worker may be on its way with one more chunk.
        wire.wait(lambda: len(wire.uploads) >= 1024)
        waiting = wire.settle()
        for _ in range(5):
            assert wire.settle() <= 1024 + 1 + 8
        assert waiting < size
        file.pause()
        file.resume()
        assert not go.is_set(), "commands are never held back"
        go.set()
    assert sorted(heard) == list(range(size))


@pytest.mark.once
def test_progress_is_told_while_one_body_is_on_its_way(make: Make) -> None:
    size = 1 << 26
    half = threading.Event()
    with (
        ScriptedServer(behave=lacking) as wire,
        Resumable(
            wire.url, chunk_size=size, test_chunks=False, simultaneous_uploads=1, throttle_progress_callbacks=0
        ) as session,
    ):
        session.on("file_progress", lambda file: half.set() if file.bytes_sent > size / 2 else None)
        wire.behave = lambda request: (200,) if half.wait(PATIENCE) else (400,)
        session.add_file(b"\0" * size, relative_path="zeros")
    assert half.is_set()
