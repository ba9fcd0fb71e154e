"""How a request that is under way is watched and stopped, down to its socket."""

from __future__ import annotations

import errno
import select
import socket
import sys
import threading
from collections.abc import Callable

if sys.platform == "linux":
    try:
        import fcntl
        import termios
    except ImportError:
        fcntl = None  # type: ignore[assignment]  # a Python that was built without it

from .base import Body, NetworkFailure, Stopped
from .tcp_info import TcpInfo, read_tcp_info

__all__ = ["RequestControl", "set_timeout"]

_SMALL = 16384
"""Bytes of a body that leave together with the head of the request, and in one write."""


def _never() -> None:
    return


def set_timeout(connection: socket.socket, seconds: float | None) -> None:
    """Set the timeout of the socket, unless it is set already: each time would be a system call."""
    if connection.gettimeout() != seconds:
        connection.settimeout(seconds)


if sys.platform == "win32":

    def _says_something(connection: socket.socket) -> bool:
        return bool(select.select([connection], [], [], 0)[0])

else:

    def _says_something(connection: socket.socket) -> bool:
        # select() does not take the numbers of more than a thousand files.
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        return bool(poll.poll(0))


if sys.platform == "linux":

    def _unsent(connection: socket.socket) -> int:
        """Return how many bytes wait in the buffer of the socket, or are on their way; 0 if nobody tells."""
        try:
            return int.from_bytes(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        except (AttributeError, OSError, ValueError):  # There is no fcntl, or the socket has been closed meanwhile.
            return 0

else:

    def _unsent(connection: socket.socket) -> int:
        """Return 0: only Linux tells how many bytes wait in the buffer of a socket, or are on their way."""
        return 0


def _has_answered(connection: socket.socket) -> bool:
    """Return whether the final answer begins to come in, as far as that can be seen without reading it."""
    if type(connection) is not socket.socket:
        # With TLS, what comes need not belong to an answer.
        return False
    try:
        start = connection.recv(10, socket.MSG_PEEK) if _says_something(connection) else b""
    except OSError:
        return False
    # Interim answers, such as 100 and 103, may come at any time.
    return len(start) == 10 and start[9:] != b"1"


class RequestControl:
    """Counts the bytes that the requests of one lease send, and stops them from another thread. ``seen`` is whether it
    saw the request begin on a socket, and ``fresh`` whether that was opened for it. ``early``: the answer came before
    the server can have had the whole body.

    A request *begins* with the first write to its socket. That write and :meth:`stop` exclude each other, so once
    ``stop`` has returned no request begins any more. It is the only lock held during I/O: the first write goes into
    an empty send buffer and does not block.
    """

    __slots__ = (
        "_begun",
        "_body",
        "_end",
        "_gate",
        "_size",
        "_socket",
        "_stall",
        "_written",
        "early",
        "fresh",
        "on_progress",
        "seen",
        "stopped",
    )

    def __init__(self, tick: Callable[[], None] = _never) -> None:
        self._gate = threading.Lock()
        self._socket: socket.socket | None = None
        self._stall: float | None = None
        self._begun = False
        self._written = self._size = 0
        self._body: Body | None = None
        self._end: threading.Event | None = None
        self.early = False
        self.fresh = False
        self.seen = False
        self.stopped = False
        self.on_progress = tick

    @property
    def sent(self) -> int:
        """Bytes of the chunk that the kernel took."""
        return 0 if self._body is None else self._body.payload(self._written)

    @property
    def departed(self) -> int:
        """The bytes of the chunk that have left this machine, as far as the system tells: what still waits in the
        buffer of the socket does not count. On a slow line that buffer may hold a whole chunk."""
        connection = self._socket
        if connection is None or self._body is None:
            return self.sent
        return self._body.payload(max(self._written - _unsent(connection), 0))

    def tcp_info(self) -> TcpInfo | None:
        """Return what the system tells of the connection of the request under way; None if that is nothing."""
        connection = self._socket
        return None if connection is None else read_tcp_info(connection)

    def prepare(self, body: Body | None, *, stall: float | None) -> None:
        """Prepare for a request, of which nothing is sent yet. ``stall`` is the longest wait for room to send.

        Raises Stopped.
        """
        self.rewind()
        self._body = body
        self._size = 0 if body is None else len(body)
        self.early = self.fresh = self.seen = False
        self._stall = stall
        if self.stopped:
            raise Stopped

    def rewind(self) -> None:
        """Start to count anew, because the request is sent once more from its first byte."""
        self._begun = self.early = False
        self._written = 0

    @property
    def started(self) -> bool:
        """Whether a byte of the request has been written, or handed to what writes it."""
        return self._begun

    @property
    def cut(self) -> bool:
        """Whether the request has begun but is not written to its end. One that was not seen is not cut."""
        return self._begun and self._written < self._size

    @property
    def whole(self) -> bool:
        """Whether a body has been written to its end, so that the server may have it."""
        return self._begun and self._body is not None and self._written >= self._size

    @property
    def body_pending(self) -> bool:
        """Whether there is a body that is not written to its end."""
        return self._written < self._size

    def hand(self, size: int) -> None:
        """Count bytes of the body that were handed to what writes them, unless that is a watched socket.

        Raises Stopped.
        """
        if self.stopped:
            raise Stopped
        if not self.seen:
            self._begun = True
            self._count(size)

    def opened(self) -> None:
        """Note that a new connection was opened for the request."""
        self.fresh = True

    def write(self, connection: socket.socket, data: bytes | memoryview) -> None:
        """Write all of the data. The first write of a request is its head.

        Raises Stopped, OSError, and NetworkFailure if the server has not taken a byte for too long.

        The stall limit counts from the last byte that found room, so a slow link is not a stalled one.
        """
        if not self._begun or connection is not self._socket:
            # A request begins anew behind a proxy's answer to CONNECT, on the wrapped socket.
            self.begin(connection, data)
        elif data:
            self.early = self.early or _has_answered(connection)
            self._push(connection, memoryview(data), counted=True)

    def begin(self, connection: socket.socket, head: bytes | memoryview, piece: bytes | memoryview = b"") -> None:
        """Write the head of the request and the first piece of its body. See :meth:`write`."""
        # What is short leaves in one packet: a second write costs as much as the first.
        together = 0 < len(piece) <= _SMALL
        first = memoryview(b"".join((head, piece)) if together else head)
        with self._gate:
            # Set before the check: a stop that could not wait for us any longer finds one or the other.
            self._socket = connection
            if self.stopped:
                raise Stopped
            self._begun = self.seen = True
            # No timeout is set for it, because there is room.
            size = self._put(connection, first)
        if size < len(head):
            self._push(connection, first[size : len(head)])
            size = len(head)
        if together:
            self._count(size - len(head))
        rest = first[size:] if together else memoryview(piece)
        if rest:
            self._push(connection, rest, counted=True)

    def _push(self, connection: socket.socket, view: memoryview, *, counted: bool = False) -> None:
        set_timeout(connection, self._stall)
        while view:
            if self.stopped:
                raise Stopped
            size = self._put(connection, view)
            view = view[size:]
            if counted:
                self._count(size)
                if view and not self.early and _has_answered(connection):
                    self.early = True

    def _count(self, size: int) -> None:
        self._written += size
        self.on_progress()

    def _put(self, connection: socket.socket, view: memoryview) -> int:
        try:
            return connection.send(view)
        except TimeoutError:
            if _says_something(connection):
                # It says something instead of reading: that is worth more. What is broken is read to its end.
                raise BrokenPipeError(errno.EPIPE, "the server answered and reads no more") from None
            raise NetworkFailure(f"the server took no byte for {self._stall:g} s") from None

    def answered(self) -> None:
        """Note that the answer has just come. If the server, which acknowledges with it what it has received, lacks
        some of the body by then, the answer does not speak of that. A body that left in one write is not looked at."""
        if self._size > _SMALL and self._socket is not None and _unsent(self._socket):
            self.early = True

    def forget_progress(self) -> None:
        """Report no more progress."""
        self.on_progress = _never

    def done(self) -> None:
        """Forget the socket: the answer has come, or will never."""
        self._socket = None

    @property
    def holds_end(self) -> bool:
        """Whether the end of the body waits for :meth:`release`."""
        return self._end is not None

    def hold(self) -> None:
        """Hold back the end of the body until :meth:`release`. Call this before the body is sent."""
        self._end = threading.Event()

    def release(self) -> None:
        """Let the end of the body be sent. Any thread may call this."""
        if self._end is not None:
            self._end.set()

    def wait_for_release(self, seconds: float) -> bool:
        """Wait for at most so many seconds, and return whether the end of the body may be sent. Raises Stopped if it
        may not and nothing of the request was sent yet, and once the request has been stopped."""
        released = self._end is None or self._end.wait(seconds if self.seen else 0.0)
        if self.stopped or not (released or self.seen):
            raise Stopped
        return released

    def stop(self, *, hard: bool, patience: float = 0.5) -> None:
        """Let no request begin any more, and cut off what is being sent. Any thread may call this.

        A request that is sent completely and waits for its answer may finish, unless ``hard``. One that begins just now
        is waited for, for ``patience`` seconds.
        """
        held = self._gate.acquire(timeout=patience)
        self.stopped = True
        if self._end is not None:
            self._end.set()
        connection = self._socket
        if held:
            self._gate.release()
        if connection is not None and (hard or self.body_pending or not held):
            try:
                # The base class's method, even for TLS: SSLSocket.shutdown would go on in plain text.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except (OSError, TypeError):
                pass
