"""What stops a request, where nobody keeps to a time."""

from __future__ import annotations

import socket
import threading

import pytest

from resumable.transport.base import RequestControl

PATIENCE = 30.0


@pytest.mark.parametrize("hard", [False, True])
def test_a_worker_that_stands_still_at_its_first_write_sends_nothing_after_the_stop(hard: bool) -> None:
    looked, go_on = threading.Event(), threading.Event()
    failures = []

    class Slow(RequestControl):
        def _put(self, connection: socket.socket, view: memoryview) -> int:
            looked.set()
            assert go_on.wait(PATIENCE)
            return super()._put(connection, view)

    def begin() -> None:
        control.prepare(None, stall=PATIENCE)
        try:
            control.begin(ours, b"GET / HTTP/1.1\r\n\r\n")
        except OSError as error:
            failures.append(error)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        control = Slow()
        worker = threading.Thread(target=begin)
        worker.start()
        assert looked.wait(PATIENCE)
        control.stop(hard=hard, patience=0.01)
        go_on.set()
        worker.join(PATIENCE)
        assert theirs.recv(100) == b""
    assert [type(failure) for failure in failures] == [BrokenPipeError]
