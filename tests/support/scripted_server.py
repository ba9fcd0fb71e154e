"""A real HTTP/1.1 server on loopback that writes down every request and does with it what the test says.

A *step* is a function of a :class:`Request`. It returns an answer, ``(status, body, headers)``, the last two of which
may be missing, or it acts by itself, byte by byte, with ``request.send``, ``close``, ``reset`` and ``hold``. If it does
neither, the request is held: the test answers it later with ``request.answer`` or ``request.cut``.

There are two ways to say which step is for which request:

- ``server.behave`` is the step for all of them. It is called for one request at a time, when that has come in full.
- ``ScriptedServer(step, step, otherwise=step)`` uses up its steps in the order in which requests come. A step is called
  as soon as the head is there, beside others, and reads the body with ``request.read`` or leaves it unread. Leaving the
  ``with`` block asserts that every step was used.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from .scripted_request import Answer, Request, Step, head

__all__ = [
    "LEAVE",
    "PATIENCE",
    "THREAD_NAME",
    "Answer",
    "Request",
    "ScriptedServer",
    "Step",
    "Store",
    "answer",
    "head",
    "hold",
    "holding",
    "lacking",
    "raw",
]

LEAVE = 3.0
"""Seconds that a busy machine may take for what is promised to be quick; what breaks the promise takes much longer."""

PATIENCE = 60.0
"""Seconds after which a test that waits for something fails."""

THREAD_NAME = "scripted-server"
"""The name of all threads of these servers, by which they are told from those of clients."""


def answer(status: int = 200, body: bytes = b"", *, read: bool = True, close: bool = False, **headers: str) -> Step:
    """A whole answer, after the request was read unless ``read`` says no. ``Retry_After="1"`` is a header."""
    fields = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}

    def step(request: Request) -> None:
        if read:
            request.read()
        request.send(head(status, fields) + body)
        if close:
            request.close()

    return step


def raw(data: bytes, *, end: str = "close") -> Step:
    """Exactly these bytes, then ``close``, ``reset``, ``hold``, or ``keep``."""

    def step(request: Request) -> None:
        request.read()
        request.send(data)
        if end != "keep":
            getattr(request, end)()

    return step


def hold(request: Request) -> None:
    """Never answers."""
    request.read()
    request.hold()


def lacking(request: Request) -> Answer:
    """A server that lacks every chunk, and takes every chunk."""
    return (404,) if request.chunk is None else (200, f"got {request.fields.get('resumableChunkNumber')}")


def holding(request: Request) -> Answer | None:
    """A server that lacks every chunk, and never answers one that is sent."""
    return (404,) if request.chunk is None else None


@dataclass
class Store:
    """A step that keeps chunks, by identifier and number: 200 for one that is here, ``missing`` for one that is not."""

    chunks: dict[tuple[str, int], bytes] = field(default_factory=dict)
    missing: int = 404

    def __call__(self, request: Request) -> Answer:
        request.read()
        key = request.identifier, request.number
        if request.chunk is None:
            return (200 if key in self.chunks else self.missing,)
        assert len(request.chunk) == int(request.fields["resumableCurrentChunkSize"])
        self.chunks[key] = request.chunk
        return 200, f"got {request.number}"

    def content(self, identifier: str) -> bytes:
        """The chunks of one upload, in order, joined."""
        return b"".join(self.chunks[key] for key in sorted(self.chunks) if key[0] == identifier)


class _Connection:
    """A client, read by a thread of its own. ``request`` is its last one; ``waiting`` says that the thread reads."""

    def __init__(self, server: ScriptedServer, client: socket.socket, number: int) -> None:
        self.server = server
        self.socket = client
        self.number = number
        self.request: Request | None = None
        self.waiting = False
        self._buffer = bytearray()

    def wait(self) -> bool:
        """Wait for bytes and take them; False at their end. The first ones of a request are counted with them."""
        condition = self.server.condition
        with condition:
            self.waiting = True
            condition.notify_all()
        secure = isinstance(self.socket, ssl.SSLSocket)
        piece = self.socket.recv(65536) if secure else self.socket.recv(1, socket.MSG_PEEK)
        with condition:
            if not secure:
                piece = self.socket.recv(65536)
            begins = not self._buffer and (self.request is None or self.request.answered)
            self.server.begun += bool(piece and begins)
            self.waiting = False
            self._buffer += piece
            condition.notify_all()
        return bool(piece)

    def next(self) -> Request | None:
        """Wait for the head of the next request; None if there is none."""
        while b"\r\n\r\n" not in self._buffer:
            if not self.wait():
                return None
        text = self.take(self._buffer.index(b"\r\n\r\n") + 4)[:-4]
        self.request = Request(self.server, self, text.decode("latin-1"))
        return self.request

    def take(self, length: int) -> bytes:
        """Read this many bytes, or fewer at the end."""
        while len(self._buffer) < length and self.wait():
            pass
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    def await_answer(self, request: Request) -> None:
        """Return when the request is answered and the client says something again, or when the client has left."""
        while not request.answered and not request.over:
            if not self.wait():
                request.over = not request.answered

    def end(self) -> None:
        """Let both sides see the end."""
        try:
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
        except OSError:
            pass


class ScriptedServer:
    """The server, which runs in its ``with`` block. ``requests`` are those that came.

    ``context`` makes it speak TLS. ``path`` lets it listen on a socket in the file system. ``to_anything`` is what it
    says to every connection as soon as there is a byte, whatever that is; then it reads no requests.
    """

    def __init__(
        self,
        *steps: Step,
        otherwise: Step | None = None,
        behave: Step = lambda request: (200,),
        port: int = 0,
        path: Path | None = None,
        context: ssl.SSLContext | None = None,
        receive_buffer: int | None = None,
        to_anything: bytes | None = None,
    ) -> None:
        self.behave = behave
        self.requests: list[Request] = []
        self.held: list[Request] = []
        self.begun = 0
        """How many requests have begun."""
        self.connections = 0
        self.errors: list[Exception] = []
        self.stopping = threading.Event()
        self.condition = threading.Condition()
        self._steps = list(steps)
        self._otherwise = otherwise
        self._context = context
        self._to_anything = to_anything
        self._behaving = threading.Lock()
        self._open: set[_Connection] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
        if receive_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if path is None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(("127.0.0.1", port))
            self.port = self._listener.getsockname()[1]
            host = "http://127.0.0.1" if context is None else "https://localhost"
            self.url = f"{host}:{self.port}/upload"
        else:
            self._listener.bind(str(path))
            self.url = f"http+unix://{quote(str(path), safe='')}/upload"
        self._listener.listen(128)
        self._listener.setblocking(False)
        self._wake, self._woken = socket.socketpair()

    def __enter__(self) -> ScriptedServer:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._wake.close()
        self._threads[0].join(PATIENCE)
        for each in (self._listener, self._woken):
            each.close()
        with self.condition:
            waiting = list(self._open)
        for connection in waiting:
            connection.end()
        for thread in self._threads:
            thread.join(5)
        assert not self.errors, self.errors
        if kind is None:
            assert not self._steps, f"{len(self._steps)} steps were never used"

    # -- what tests ask ------------------------------------------------------------------------------------------

    @property
    def uploads(self) -> list[Request]:
        """The requests that brought a chunk."""
        return [request for request in self.requests if request.chunk is not None]

    @property
    def pending_bytes(self) -> list[int]:
        """How many bytes of each body have come that has not come in full, ascending."""
        return sorted(len(connection._buffer) for connection in self._open if connection._buffer)

    @property
    def numbers(self) -> list[int]:
        """The numbers of the chunks that came, in order."""
        return [request.number for request in self.uploads]

    @property
    def tests(self) -> list[Request]:
        """The requests that asked for a chunk."""
        return [request for request in self.requests if request.chunk is None]

    def wait(self, until: Callable[[], Any], what: str = "the requests") -> None:
        """Return when ``until()`` holds, which is asked whenever something has happened here."""
        with self.condition:
            assert self.condition.wait_for(until, PATIENCE), f"{what} did not come: {self.requests}"

    def wait_requests(self, count: int) -> None:
        """Return when there were so many requests."""
        self.wait(lambda: len(self.requests) >= count, f"{count} requests")

    def wait_held(self, count: int = 1) -> list[Request]:
        """Return the requests that are held, when there are at least so many."""
        self.wait(lambda: len(self.held) >= count, f"{count} requests to be held")
        return list(self.held)

    def release(self, status: int = 200, body: str = "ok") -> None:
        """Give this answer to all requests that are held."""
        with self.condition:
            held, self.held = self.held, []
        for request in held:
            request.answer(status, body)

    def settle(self) -> int:
        """Take in all that clients have sent before this was called, and return how many requests have begun."""

        def nothing_comes() -> bool:
            sockets = [self._listener, *(connection.socket for connection in self._open)]
            return all(connection.waiting for connection in self._open) and not select.select(sockets, [], [], 0)[0]

        self.wait(nothing_comes, "an end of what clients sent")
        return self.begun

    def others(self, request: Request) -> list[Request]:
        """Take in the heads of all requests that came on new connections before this was called, and return those that
        are not answered, besides this one."""

        def known() -> bool:
            fresh = any(connection.request is None for connection in self._open)
            return not fresh and not select.select([self._listener], [], [], 0)[0]

        self.wait(known, "the heads of requests")
        with self.condition:
            begun = [connection.request for connection in self._open]
        return [other for other in begun if other is not None and other is not request and not other.answered]

    def left(self, request: Request) -> None:
        """Do something about a client that has left before it was answered; for classes derived from this one."""

    # -- the threads ---------------------------------------------------------------------------------------------

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name=THREAD_NAME, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while self._woken not in select.select([self._listener, self._woken], [], [])[0]:
            with self.condition:
                try:
                    client, _ = self._listener.accept()
                except OSError:
                    continue  # the client has left
                client.setblocking(True)
                connection = _Connection(self, client, self.connections)
                self.connections += 1
                self._open.add(connection)
                self.condition.notify_all()
            self._start(self._serve, connection)

    def _serve(self, connection: _Connection) -> None:
        try:
            if self._context is not None:
                connection.socket = self._context.wrap_socket(connection.socket, server_side=True)
            if self._to_anything is not None:
                self._say(connection.socket, self._to_anything)
                return
            while (request := connection.next()) is not None:
                self._handle(request)
                if not request.over:
                    connection.await_answer(request)
                if request.over:
                    return
        except OSError:
            pass
        except Exception as error:
            self.errors.append(error)
        finally:
            with self.condition:
                self._open.discard(connection)
                unanswered = connection.request if connection.request and not connection.request.answered else None
                if unanswered is not None:
                    unanswered.gone.set()
                connection.socket.close()
                self.condition.notify_all()
            if unanswered is not None:
                self.left(unanswered)

    def _handle(self, request: Request) -> None:
        with self.condition:
            step = self._steps.pop(0) if self._steps else self._otherwise
            if step is not None:
                self._record(request)
        if step is None:
            self._behave(request)
        elif (returned := step(request)) is not None:
            request.answer(*returned)

    def _behave(self, request: Request) -> None:
        request.read()
        with self._behaving:
            try:
                returned = self.behave(request)
            except Exception as error:
                self.errors.append(error)
                returned = 400, "the test is wrong"
            with self.condition:
                self._record(request)
                if returned is None and not request.answered and not request.over:
                    self.held.append(request)
        if returned is not None:
            request.answer(*returned)

    def _record(self, request: Request) -> None:
        self.requests.append(request)
        self.condition.notify_all()

    @staticmethod
    def _say(client: socket.socket, data: bytes) -> None:
        if client.recv(65536):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
