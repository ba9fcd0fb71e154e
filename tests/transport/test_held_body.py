"""How long the end of a body waits to be sent."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable

import pytest

from resumable.transport.base import Stopped
from resumable.transport.body import HOLD_LIMIT, ChunkBody, HeldBody, Patience, chunk_buffer
from resumable.transport.control import RequestControl

SIZE = 100_000
FIFTH = (SIZE - 2000) // 5
DATA = b"x" * SIZE


class Zeros:
    """A source that never changes."""

    def read_into(self, buffer: memoryview, offset: int) -> None:
        buffer[:] = DATA[: len(buffer)]

    def verify_unchanged(self) -> None:
        return


@pytest.mark.parametrize(
    ("departures", "until"),
    [
        pytest.param([], HOLD_LIMIT, id="nothing leaves"),
        pytest.param([0.0, 0.5], HOLD_LIMIT, id="at once"),
        pytest.param([1.0, 2.0], HOLD_LIMIT, id="fast"),
        pytest.param([1.0, 3.0], 6.0, id="slow"),
        pytest.param([1.0, 3.5, 6.5, 9.0], 18.0, id="very slow, with gaps"),
        pytest.param([1.5, 12.0], HOLD_LIMIT, id="after it was given up"),
    ],
)
def test_a_request_waits_as_long_again_as_its_bytes_took_and_at_least_for_some_seconds(
    departures: list[float], until: float
) -> None:
    patience = Patience(100.0)
    now = 0.0
    while not patience.is_over(sum(time <= now for time in departures), 100.0 + now):
        now += 0.25
    assert now == until


def send(look: Callable[[int, socket.socket, RequestControl], None]) -> tuple[list[int], bytes]:
    """A chunk whose end is held is sent to somebody who looks once a second: the looks, and what came."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * SIZE)
        control = RequestControl()
        looks: list[int] = []

        def clock() -> float:
            looks.append(len(looks))
            look(looks[-1], theirs, control)
            return float(looks[-1])

        chunk = ChunkBody(Zeros(), 0, SIZE, buffer=chunk_buffer())
        body = HeldBody(chunk, Zeros(), control, clock=clock)
        control.hold()
        control.prepare(body, stall=30.0)
        try:
            control.begin(ours, b"head")
            for piece in body:
                control.write(ours, piece)
        finally:
            control.done()
            ours.close()
        with theirs.makefile("rb") as came:
            return looks, came.read()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which bytes have left")
def test_what_a_slow_line_has_not_taken_yet_is_not_given_up() -> None:
    """Most of what comes before the end has left after 5 s, and the end may be sent after 8."""

    def look(second: int, theirs: socket.socket, control: RequestControl) -> None:
        if 0 < second <= 5:
            theirs.recv(FIFTH, socket.MSG_WAITALL)
        elif second == 8:
            control.release()

    looks, rest = send(look)
    assert looks == list(range(9))
    assert rest == DATA[FIFTH * 5 - 4 :]


def test_what_has_left_at_once_is_given_up_after_some_seconds() -> None:
    def look(second: int, theirs: socket.socket, control: RequestControl) -> None:
        if second == 1:
            theirs.recv(FIFTH * 5, socket.MSG_WAITALL)

    with pytest.raises(Stopped):
        send(look)


def test_an_end_is_not_held_on_a_connection_that_nobody_sees() -> None:
    control = RequestControl()
    control.hold()
    with pytest.raises(Stopped):
        control.wait_for_release(60.0)
    control.release()
    assert control.wait_for_release(60.0)
