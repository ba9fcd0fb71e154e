"""One connection of a client: bytes in and bytes out, where every wait has an end."""

from __future__ import annotations

import math
import re
import selectors
import socket
import time
from dataclasses import dataclass

from ...errors import OptionError

__all__ = ["Body", "Connection", "HeadTooLong", "Limits"]

_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""One that needs no file handle of its own."""

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_PIECE = 16 * 1024
_DROPPED = 256 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True)
class Limits:
    """What clients may take of a server. Raises :class:`~resumable.errors.OptionError` where one is not positive and
    finite.

    A client is cut where ``rate_window`` seconds of waiting for it brought fewer than ``min_rate`` bytes a second;
    what the server itself needs does not count.
    """

    max_connections: int = 256
    """Connections at once in each process, each with a thread. Those above it are told 503 and ``Retry-After: 1``."""

    idle_timeout: float = 15.0
    """Seconds that a connection is kept between two requests."""

    header_timeout: float = 10.0
    """Seconds from the first byte of a request, or from connecting, to the end of its header; then 408."""

    header_size: int = 64 * 1024
    """Bytes that the request line and the header fields may have together; then 431."""

    header_count: int = 100
    """Header fields that a request may have; then 400."""

    min_rate: int = 1024
    """Bytes a second that a client must send of a body, or take of an answer; then 408, or the end."""

    rate_window: float = 30.0
    """Seconds of waiting over which ``min_rate`` is counted; a silence is over after twice as many at the latest."""

    linger: float = 2.0
    """Seconds for which a connection that is closed early still takes and drops what the client sends, so that the
    client reads the answer and not a reset."""

    grace: float = 5.0
    """Seconds that running requests are given when the server stops, before their connections are shut down."""

    def __post_init__(self) -> None:
        for option, value in vars(self).items():
            if not 0 < value < math.inf:
                raise OptionError(option, value, "more than 0, and finite")


class HeadTooLong(Exception):
    """The head of a request has more bytes than it may have."""


class _Pace:
    """How long the other side was waited for, against the bytes that came of it."""

    def __init__(self, limits: Limits) -> None:
        self._window = limits.rate_window
        self._least = limits.min_rate * limits.rate_window
        self._moved = 0
        self.left = self._window

    def moved(self, count: int) -> None:
        self._moved += count

    def waited(self, seconds: float) -> None:
        """Raises TimeoutError where that makes a window in which too little moved."""
        self.left -= seconds
        if self.left <= 0:
            if self._moved < self._least:
                raise TimeoutError("the client is too slow")
            self._moved = 0
            self.left = self._window


class Connection:
    """A connected socket, which it owns, on the one thread that serves it. Only :meth:`abort` is for other threads."""

    def __init__(self, sock: socket.socket, limits: Limits) -> None:
        self.limits = limits
        self._socket = sock
        self._selector = _Selector()
        self._received = bytearray()
        self._answer = bytearray()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ)

    def read_head(self, patience: float) -> bytes:
        """Request line and header fields with the empty line behind them; nothing where the client left before.

        The first byte has to come within ``patience`` seconds, else it is nothing too. Raises TimeoutError where the
        rest does not come in time, and HeadTooLong.
        """
        received = self._received
        deadline = time.monotonic() + patience
        begun = False
        searched = skipped = 0
        while True:
            while received.startswith(b"\r\n"):  # to be ignored here, says RFC 9112, section 2.2
                del received[:2]
                skipped += 2  # else one that sends nothing else were read for ever
            end = _END_OF_HEAD.search(received, max(0, searched - 3))
            size = end.end() if end else len(received)
            if size + skipped > self.limits.header_size:
                raise HeadTooLong
            if end:
                head = bytes(received[:size])
                del received[:size]
                return head
            if received and not begun:
                begun = True
                deadline = time.monotonic() + self.limits.header_timeout
            searched = size
            piece = self._receive_until(deadline)
            if not piece:
                if begun and piece is None:
                    raise TimeoutError("the header did not come in time")
                return b""
            received += piece

    def read(self, size: int, pace: _Pace) -> bytes:
        """At most ``size`` bytes, as many as there are; none where the client has finished. Raises OSError."""
        if self._received:
            piece = bytes(self._received[:size])
            del self._received[:size]
            return piece
        while True:
            try:
                piece = self._socket.recv(size)
            except BlockingIOError:
                self._wait(selectors.EVENT_READ, pace)
            else:
                pace.moved(len(piece))
                return piece

    def write(self, data: bytes) -> None:
        """It is sent with what follows, by :meth:`flush`."""
        self._answer += data

    def flush(self) -> None:
        """All that was written is on its way. Raises OSError, TimeoutError too, and then nothing may follow."""
        answer, self._answer = self._answer, bytearray()
        pace = _Pace(self.limits)
        with memoryview(answer) as view:
            sent = 0
            while sent < len(view):
                try:
                    count = self._socket.send(view[sent:])
                except BlockingIOError:
                    self._wait(selectors.EVENT_WRITE, pace)
                else:
                    sent += count
                    pace.moved(count)

    def linger(self) -> None:
        """Say that nothing more will come, and drop what the client sends until it has finished or time is up."""
        deadline = time.monotonic() + self.limits.linger
        try:
            self._socket.shutdown(socket.SHUT_WR)
            while time.monotonic() < deadline and self._receive_until(deadline, _DROPPED):
                pass
        except OSError:
            pass

    def abort(self) -> None:
        """Whatever its thread waits for on the socket ends at once. For any thread, also when it is closed."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """The socket is closed."""
        self._selector.close()
        self._socket.close()

    def _receive_until(self, deadline: float, size: int = _PIECE) -> bytes | None:
        """What has come; nothing where the client has finished, None where nothing came until the deadline."""
        while True:
            try:
                return self._socket.recv(size)
            except BlockingIOError:
                self._selector.modify(self._socket, selectors.EVENT_READ)
                left = deadline - time.monotonic()
                if left <= 0 or not self._selector.select(left):
                    return None

    def _wait(self, event: int, pace: _Pace) -> None:
        began = time.monotonic()
        self._selector.modify(self._socket, event)
        self._selector.select(pace.left)
        pace.waited(time.monotonic() - began)


class Body:
    """The body of one request as ``wsgi.input``: the ``left`` bytes that are to come, and none behind them."""

    def __init__(self, connection: Connection, length: int, *, expected: bool) -> None:
        self.left = length
        self._connection = connection
        self._pace = _Pace(connection.limits)
        self._expected = expected

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, as many as have come; none at the end, or where the client is gone. Raises OSError.

        A client that waits to be told to continue (RFC 9110, section 10.1.1) is told when the body is first wanted.
        """
        size = min(size, self.left)
        if not size:
            return b""
        if self._expected:
            self._expected = False
            self._connection.write(_CONTINUE)
            self._connection.flush()
        piece = self._connection.read(size, self._pace)
        self.left -= len(piece)
        return piece
