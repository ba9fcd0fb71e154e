"""One connection of a client: bytes in and bytes out, with a limit on every wait."""

from __future__ import annotations

import math
import re
import selectors
import socket
import ssl
import time
from dataclasses import dataclass

from ...buffers import new_buffer
from ...errors import OptionError
from ..rate import RateCheck
from .tls import TLSSocket

__all__ = ["Connection", "HeadTooLong", "Limits", "RequestBody", "TLSAttempt"]

_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""A selector that needs no file handle of its own."""

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_PIECE = 16 * 1024
_BUFFER = 256 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# A TLS record with a handshake message, of any version: the first bytes of a client that was given an https:// URL.
_TLS_HANDSHAKE = b"\x16\x03"


@dataclass(frozen=True)
class Limits:
    """How much of a server its clients may use. Raises :class:`~resumable.errors.OptionError` unless all are positive
    and finite.

    A client must send at least ``min_rate`` bytes per second on average over ``rate_window`` seconds of waiting for it;
    otherwise it is disconnected. The time that the server itself needs does not count.
    """

    max_connections: int = 256
    """Concurrent connections in each process, each with a thread. Any more get 503 and ``Retry-After: 1``."""

    idle_timeout: float = 15.0
    """Seconds that a connection is kept open between two requests."""

    header_timeout: float = 10.0
    """Seconds from the first byte of a request, or from connecting, to the end of its header; after that 408."""

    header_size: int = 64 * 1024
    """Bytes that the request line and the header fields may have together; above that 431."""

    header_count: int = 100
    """Header fields that a request may have; above that 400."""

    min_rate: int = 1024
    """Bytes a second that a client must send of a body, or read of an answer; below that 408, or it is disconnected."""

    rate_window: float = 30.0
    """Seconds of waiting over which ``min_rate`` is measured; a silent client is cut after twice as many at most."""

    linger: float = 2.0
    """Seconds for which a connection that is closed early still reads and drops what the client sends, so that the
    client gets the answer and not a reset."""

    grace: float = 5.0
    """Seconds that running requests may still take when the server stops, before their connections are shut down."""

    def __post_init__(self) -> None:
        for option, value in vars(self).items():
            if not 0 < value < math.inf:
                raise OptionError(option, value, "more than 0, and finite")


class HeadTooLong(Exception):
    """Raised if the head of a request has more bytes than allowed."""


class TLSAttempt(Exception):
    """Raised if a client speaks TLS, which this server does not."""


class Connection:
    """A connected socket that it owns, used by the one thread that serves it. Only :meth:`abort` is thread-safe.

    With a ``context`` it speaks TLS.
    """

    def __init__(self, sock: socket.socket, limits: Limits, context: ssl.SSLContext | None = None) -> None:
        self.limits = limits
        self.secure = context is not None
        self._selector = _Selector()
        self._received = bytearray()
        self._answer = bytearray()
        self._buffer = new_buffer(_BUFFER)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock if context is None else TLSSocket(sock, context)
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._event = selectors.EVENT_READ

    def read_head(self, patience: float) -> bytes:
        """Read the request line and the header fields, up to and with the empty line behind them.

        Return nothing if the client has left, or if no byte arrives within ``patience`` seconds. Raises TimeoutError if
        the rest does not arrive in time, :class:`HeadTooLong`, :class:`TLSAttempt`, and with TLS ``PlainAttempt``.
        """
        received = self._received
        deadline = time.monotonic() + patience
        begun = False
        searched = skipped = 0
        while True:
            while received.startswith(b"\r\n"):  # to be ignored here, says RFC 9112, section 2.2
                del received[:2]
                skipped += 2  # counted, or a client that sends nothing else would be read for ever
            end = _END_OF_HEAD.search(received, max(0, searched - 3))
            size = end.end() if end else len(received)
            if size + skipped > self.limits.header_size:
                raise HeadTooLong
            if end:
                head = bytes(received[:size])
                del received[:size]
                return head
            if received.startswith(_TLS_HANDSHAKE):
                raise TLSAttempt
            if received and not begun:
                begun = True
                deadline = time.monotonic() + self.limits.header_timeout
            searched = size
            piece = self._receive_until(deadline)
            if not piece:
                if begun and piece is None:
                    raise TimeoutError("the header did not arrive in time")
                return b""
            received += piece

    def read_view(self, size: int, rate: RateCheck) -> memoryview:
        """Return at most ``size`` bytes, as many as there are; none if the client has finished. Raises OSError.

        They are in a buffer that the next call overwrites.
        """
        if self._received:
            piece = memoryview(bytes(self._received[:size]))
            del self._received[:size]
            return piece
        while True:
            try:
                count = self._socket.recv_into(self._buffer, min(size, _BUFFER))
            except BlockingIOError as error:
                self._wait(getattr(error, "event", selectors.EVENT_READ), rate)
            else:
                rate.moved(count)
                return self._buffer[:count]

    def write(self, data: bytes) -> None:
        """Keep these bytes for the next :meth:`flush`."""
        self._answer += data

    def flush(self) -> None:
        """Send all that was written. Raises OSError or TimeoutError; nothing may be written after that."""
        answer, self._answer = self._answer, bytearray()
        rate = RateCheck(self.limits.min_rate, self.limits.rate_window)
        with memoryview(answer) as view:
            sent = 0
            while sent < len(view):
                try:
                    count = self._socket.send(view[sent:])
                except BlockingIOError as error:
                    self._wait(getattr(error, "event", selectors.EVENT_WRITE), rate)
                else:
                    sent += count
                    rate.moved(count)

    def linger(self) -> None:
        """Signal the end of the answer, and drop what the client sends until it has finished or time is up."""
        deadline = time.monotonic() + self.limits.linger
        try:
            if isinstance(self._socket, TLSSocket):
                self._socket.finish()
            else:
                self._socket.shutdown(socket.SHUT_WR)
            while time.monotonic() < deadline and self._receive_until(deadline, _BUFFER):
                pass
        except OSError:
            pass

    def abort(self) -> None:
        """End at once whatever its thread waits for on the socket. May be called on any thread, and after closing."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """Close the socket."""
        self._selector.close()
        self._socket.close()

    def _receive_until(self, deadline: float, size: int = _PIECE) -> memoryview | None:
        """Return what has arrived; nothing if the client has finished, None if nothing arrives before the deadline."""
        while True:
            try:
                return self._buffer[: self._socket.recv_into(self._buffer, size)]
            except BlockingIOError as error:
                left = deadline - time.monotonic()
                if left <= 0 or not self._select(getattr(error, "event", selectors.EVENT_READ), left):
                    return None

    def _wait(self, event: int, rate: RateCheck) -> None:
        began = time.monotonic()
        self._select(event, rate.left)
        rate.waited(time.monotonic() - began)

    def _select(self, event: int, patience: float) -> bool:
        """Wait for the event, and return whether it has come."""
        if event != self._event:
            self._selector.modify(self._socket, event)
            self._event = event
        return bool(self._selector.select(patience))


class RequestBody:
    """The body of one request as ``wsgi.input``: the ``left`` bytes that are still to come, and none behind them."""

    def __init__(self, connection: Connection, length: int, *, expected: bool) -> None:
        self.left = length
        self._connection = connection
        self._rate = RateCheck(connection.limits.min_rate, connection.limits.rate_window)
        self._expected = expected

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, as many as there are; none at the end, or if the client has left.

        Raises OSError.
        """
        return bytes(self.read_view(size))

    def read_view(self, size: int) -> bytes | memoryview:
        """Do the same as :meth:`read`, but the bytes are in a buffer that the next call of either may overwrite.

        A client that waits for permission to continue (RFC 9110, section 10.1.1) gets it with the first call. Raises
        OSError.
        """
        size = min(size, self.left)
        if not size:
            return b""
        if self._expected:
            self._expected = False
            self._connection.write(_CONTINUE)
            self._connection.flush()
        piece = self._connection.read_view(size, self._rate)
        self.left -= len(piece)
        return piece

    def abort(self) -> None:
        """End the connection. Nothing more is read, and no answer is sent."""
        self._connection.abort()
