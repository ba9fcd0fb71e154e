"""After an outage the first chunk that gets through wakes the others; one that is refused for itself waits on."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, Request, ScriptedServer

from resumable import Resumable

Make = Callable[..., Path]


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random waits are as long as they can be."""
    monkeypatch.setattr(random, "uniform", lambda low, high: high)


@pytest.fixture
def session(wire: ScriptedServer, clock: Clock, longest: None) -> Iterator[Resumable]:
    """A session that sends three chunks at once, with the waits that are the default."""
    session = Resumable(wire.url, chunk_size=10, chunk_order="free", test_chunks=False, auto_upload=False, clock=clock)
    yield session
    session.close()


def set_clock(session: Resumable, clock: Clock, now: float) -> None:
    """Set the clock, and have whoever waits look at it."""
    clock.now = now
    session.resume()


@pytest.mark.parametrize("cut", [False, True], ids=["502", "cut"])
def test_one_success_after_an_outage_is_enough(
    wire: ScriptedServer, make: Make, session: Resumable, clock: Clock, cut: bool
) -> None:
    """All chunks failed so often that they wait for a minute, each from another time on. When the first of them gets
    through, the rest follows though the clock stands still."""
    heard = threading.Semaphore(0)
    session.on("chunk_retry", lambda chunk, message: heard.release())
    wire.behave = lambda request: None
    session.add_file(make("a.bin", 160))
    session.upload()
    first = 0.0
    for _ in range(8):
        set_clock(session, clock, clock.now + 61)
        requests = wire.wait_held(3)
        wire.held = []
        first = clock.now
        for request in requests:
            if cut:
                request.cut()
            else:
                request.answer(502)
            assert heard.acquire(timeout=PATIENCE)
            clock.now += 15
    stored: set[int] = set()

    def take(request: Request) -> tuple[Any, ...]:
        stored.add(request.number)
        return (200,)

    wire.behave = take
    set_clock(session, clock, first + 60)
    wire.wait(lambda: len(stored) == 16, "all chunks")


def test_a_chunk_that_is_refused_while_others_succeed_does_not_burn_its_retries(
    wire: ScriptedServer, make: Make, session: Resumable, clock: Clock
) -> None:
    """Its second attempt comes after the first wait, and not after each success of another."""
    stored: set[int] = set()

    def behave(request: Request) -> tuple[Any, ...]:
        if request.number == 2:
            return (502,)
        stored.add(request.number)
        return (200,)

    wire.behave = behave
    session.add_file(make("a.bin", 2000))
    session.upload()
    wire.wait(lambda: len(stored) == 199, "all other chunks")
    assert [request.number for request in wire.uploads].count(2) == 1
    while [request.number for request in wire.uploads].count(2) < 4:
        set_clock(session, clock, clock.now + 1)
        wire.settle()


def test_a_success_does_not_shorten_the_wait_that_the_user_chose(
    wire: ScriptedServer, make: Make, clock: Clock
) -> None:
    stored: set[int] = set()

    def behave(request: Request) -> tuple[Any, ...]:
        if request.number == 1 and 1 not in stored:
            stored.add(1)
            return (502,)
        stored.add(request.number)
        return (200,)

    wire.behave = behave
    options: dict[str, Any] = {"chunk_order": "free", "test_chunks": False, "auto_upload": False, "chunk_size": 10}
    session = Resumable(wire.url, clock=clock, chunk_retry_interval=30, **options)
    try:
        session.add_file(make("a.bin", 200))
        session.upload()
        wire.wait(lambda: len(stored) == 20, "all other chunks")
        assert wire.settle() == 20
    finally:
        session.close()
