"""``retry_for`` ends every wait: whatever holds a file back, it has a last chance at its deadline, and fails then."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, Request, ScriptedServer

from resumable import FileState, Resumable, RetriesExhausted

Make = Callable[..., Path]

DEADLINE = 0.2
HEADERS = {
    "seconds": "1" + "0" * 21,
    "too many seconds": "9" * 400,
    "a fraction": "86400.5",
    "a list": "0, 86400",
    "a date": email.utils.formatdate(time.time() + 86400, usegmt=True),
    "the last date": "Fri, 31 Dec 9999 23:59:59 GMT",
    "dates": ", ".join(email.utils.formatdate(time.time() + day * 86400, usegmt=True) for day in (0, 1)),
}
WAITS: Mapping[str, tuple[str | None, dict[str, Any]]] = {
    **{name: (value, {}) for name, value in HEADERS.items()},
    "a past date": ("Thu, 01 Jan 1970 00:00:00 GMT", {"chunk_retry_interval": 3600}),
    "a negative number": ("-5", {"chunk_retry_interval": 3600}),
    "nonsense": ("soon", {"chunk_retry_interval": 3600}),
    "the user": (None, {"chunk_retry_interval": 3600}),
    "a callable of the user": (None, {"chunk_retry_interval": lambda attempt: 1e9}),
    "both": (HEADERS["seconds"], {"chunk_retry_interval": lambda attempt: 1e9}),
}


class Clock:
    """The clock of a session. It stands still, however long the machine takes, until the test lets it go."""

    def __init__(self) -> None:
        self._zero: float | None = None

    def __call__(self) -> float:
        return 0.0 if self._zero is None else time.monotonic() - self._zero

    def go(self, since: float = 0.0) -> None:
        """Go on as time does, from so many seconds on."""
        if self._zero is None:
            self._zero = time.monotonic() - since


def failing(status: int, value: str | None, since: int) -> Callable[[Request], tuple[Any, ...]]:
    """The behaviour of a server that takes the chunks before this number and asks for a long wait from then on."""

    def behave(request: Request) -> tuple[Any, ...]:
        if request.chunk is None:
            return (204,)
        return (200,) if request.number < since else (status, "", {} if value is None else {"Retry-After": value})

    return behave


@pytest.mark.parametrize("status", [429, 502, 503])
@pytest.mark.parametrize("since", [1, 2])
@pytest.mark.parametrize("wait", WAITS)
def test_a_file_fails_at_its_deadline_after_a_last_chance(
    wire: ScriptedServer, make: Make, status: int, since: int, wait: str
) -> None:
    value, options = WAITS[wait]
    clock = Clock()
    tried: list[float] = []
    fail = failing(status, value, since)

    def behave(request: Request) -> tuple[Any, ...]:
        if request.chunk is not None and request.number == since:
            tried.append(clock())
        return fail(request)

    wire.behave = behave
    session = Resumable(wire.url, chunk_size=10, retry_for=DEADLINE, auto_upload=False, clock=clock, **options)
    session.on("chunk_retry", lambda: clock.go())
    try:
        file = session.add_file(make("a.bin", 30))
        session.join(PATIENCE, raise_errors=False)
    finally:
        session.close()
    first, last = tried
    assert first == 0
    assert last >= DEADLINE
    assert isinstance(file.error, RetriesExhausted)
    assert (file.error.status, file.error.attempts) == (status, 2)


@pytest.mark.parametrize("since", [1, 2])
def test_files_that_were_never_sent_have_their_deadline_too(wire: ScriptedServer, make: Make, since: int) -> None:
    """Held back for what the server said of another, each is sent once before it fails."""
    wire.behave = failing(429, HEADERS["seconds"], since)
    with Resumable(wire.url, chunk_size=10, retry_for=DEADLINE, simultaneous_uploads=1) as session:
        files = session.add_files([make(f"{number}.bin", 30) for number in range(4)])
        session.join(PATIENCE, raise_errors=False)
    assert {file.state for file in files} == {FileState.ERROR}
    names = {request.fields["resumableFilename"] for request in wire.uploads}
    assert names == {"0.bin", "1.bin", "2.bin", "3.bin"}


def test_a_file_that_is_added_while_the_server_is_left_alone_has_its_own_time(wire: ScriptedServer, make: Make) -> None:
    wire.behave = failing(503, HEADERS["seconds"], 2)
    with Resumable(wire.url, chunk_size=10, retry_for=DEADLINE, max_chunk_retries=0) as session:
        first = session.add_file(make("first.bin", 30))
        with pytest.raises(RetriesExhausted):
            first.wait(PATIENCE)
        added = time.monotonic()
        second = session.add_file(make("second.bin", 30))
        session.join(PATIENCE, raise_errors=False)
    assert time.monotonic() - added >= DEADLINE
    assert second.state is FileState.ERROR
    assert [request.fields["resumableFilename"] for request in wire.uploads].count("second.bin") > 0


def test_a_server_that_takes_the_last_chance_is_well_again(wire: ScriptedServer, make: Make) -> None:
    """Nobody waits for the rest of what it had asked for."""
    busy = iter([True])

    def behave(request: Request) -> tuple[Any, ...]:
        if request.chunk is None:
            return (204,)
        return (503, "", {"Retry-After": "86400"}) if request.number == 2 and next(busy, False) else (200,)

    wire.behave = behave
    clock = Clock()
    with Resumable(wire.url, chunk_size=10, retry_for=DEADLINE, clock=clock) as session:
        session.on("chunk_retry", lambda: clock.go())
        file = session.add_file(make("a.bin", 1000))
        session.join(PATIENCE)
    assert file.is_complete()


@pytest.mark.parametrize("status", [408, 502, 507])
def test_a_server_that_is_not_busy_and_says_when_to_come_back_gets_only_that_chunk_later(
    wire: ScriptedServer, make: Make, status: int
) -> None:
    failed = iter([True])

    def behave(request: Request) -> tuple[Any, ...]:
        if request.chunk is None:
            return (204,)
        first = request.fields["resumableFilename"] == "a.bin" and next(failed, False)
        return (status, "", {"Retry-After": "1"}) if first else (200,)

    wire.behave = behave
    clock = Clock()
    with Resumable(wire.url, chunk_size=10, chunk_retry_interval=0, auto_upload=False, clock=clock) as session:
        _, other = session.add_files([make("a.bin", 10), make("b.bin", 50)])
        other.on("success", lambda: clock.go(2))
        assert session.join(PATIENCE)
    assert wire.uploads[-1].fields["resumableFilename"] == "a.bin"
