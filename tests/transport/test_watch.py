"""What stops a request, where nobody keeps to a time."""

from __future__ import annotations

import socket
import threading

import pytest
from support.breaking_proxy import reset

from resumable.transport.body import TextBody
from resumable.transport.control import RequestControl

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


@pytest.mark.parametrize(
    ("said", "early"),
    [
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"HTTP/1.1 102 Processing\r\n\r\n", False, id="interim"),
        pytest.param(b"HTTP/1.1", False, id="the beginning"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", True, id="final"),
    ],
)
def test_an_answer_before_the_last_write_is_an_early_one(said: bytes, early: bool) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        control = RequestControl()
        control.prepare(TextBody(b"12345678"), stall=PATIENCE)
        control.write(ours, b"POST / HTTP/1.1\r\n\r\n")
        control.write(ours, b"1234")
        assert not control.early
        theirs.sendall(said)
        control.write(ours, b"5678")
        control.answered()
        assert control.early is early
        control.rewind()
        assert not control.early


def test_a_connection_that_is_reset_before_the_last_write_gave_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
        with ours:
            control = RequestControl()
            control.prepare(TextBody(b"1234"), stall=PATIENCE)
            control.write(ours, b"POST / HTTP/1.1\r\n\r\n")
            reset(theirs)
            with pytest.raises(OSError, match=r"reset|pipe"):
                control.write(ours, b"1234")
            assert not control.early
