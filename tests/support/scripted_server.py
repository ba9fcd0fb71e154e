"""An HTTP server that says exactly what a test tells it to, byte by byte, over a plain or a TLS socket.

A *step* is a function of an :class:`Exchange`: one request and the socket that it came on. Steps are used up in the
order in which requests come; behind the last one, ``otherwise`` answers. Leaving the ``with`` block asserts that
every step has been used.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import parse_qsl, urlsplit

from .breaking_proxy import reset

__all__ = ["Exchange", "Received", "Script", "Step", "Store", "answer", "head", "hold", "raw"]


@dataclass
class Received:
    """One request. ``body`` is what was read of it, ``connection`` counts from 0; headers have names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    connection: int
    body: bytes = b""

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the query."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def number(self) -> int:
        """The number of the chunk, from 1."""
        return int(self.parameters["resumableChunkNumber"])

    @property
    def chunk(self) -> bytes:
        """The bytes of the chunk: the body, or the last part of the form that it is."""
        form = re.match(r"multipart/form-data; boundary=(.+)", self.headers.get("content-type", ""))
        if form is None:
            return self.body
        end = f"\r\n--{form[1]}--\r\n".encode()
        assert self.body.endswith(end)
        start = self.body.index(b"\r\n\r\n", self.body.index(b"filename=")) + 4
        return self.body[start : -len(end)]


@dataclass
class Exchange:
    """A request, and what a step does about it. ``stopping`` is set when the server is to stop."""

    request: Received
    connection: socket.socket
    stopping: threading.Event
    buffered: bytearray
    over: bool = False

    def read(self) -> None:
        """The body of the request has been read, as much of it as comes."""
        left = int(self.request.headers.get("content-length", 0))
        pieces = [bytes(self.buffered[:left])]
        del self.buffered[:left]
        left -= len(pieces[0])
        while left and (piece := self.connection.recv(min(left, 65536))):
            pieces.append(piece)
            left -= len(piece)
        self.request.body = b"".join(pieces)
        if left:
            raise ConnectionAbortedError("the body is not whole")

    def send(self, data: bytes) -> None:
        """The data is sent."""
        self.connection.sendall(data)

    def close(self) -> None:
        """The connection has ended, in order: what was not read is read first, or the client would see a reset."""
        self.over = True
        self.connection.shutdown(socket.SHUT_WR)
        try:
            while self.connection.recv(65536):
                pass
        except OSError:
            pass
        self.connection.close()

    def reset(self) -> None:
        """The connection was reset."""
        self.over = True
        reset(self.connection)

    def hold(self) -> None:
        """Nothing happens until the server stops."""
        self.over = True
        self.stopping.wait()


Step = Callable[[Exchange], None]


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """The head of an answer."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Reason\r\n{lines}\r\n".encode("latin-1")


def answer(status: int = 200, body: bytes = b"", *, read: bool = True, close: bool = False, **headers: str) -> Step:
    """A whole answer, after the request was read unless ``read`` says no. ``Retry_After="1"`` is a header."""
    fields = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}

    def step(exchange: Exchange) -> None:
        if read:
            exchange.read()
        exchange.send(head(status, fields) + body)
        if close:
            exchange.close()

    return step


def raw(data: bytes, *, end: str = "close") -> Step:
    """Exactly these bytes, then ``close``, ``reset``, ``hold``, or ``keep``."""

    def step(exchange: Exchange) -> None:
        exchange.read()
        exchange.send(data)
        if end != "keep":
            getattr(exchange, end)()

    return step


def hold(exchange: Exchange) -> None:
    """Never answers."""
    exchange.read()
    exchange.hold()


class Script:
    """``with Script(step, step, otherwise=step) as server: upload to server.url``. ``requests`` are those that came."""

    def __init__(
        self,
        *steps: Step,
        otherwise: Step | None = None,
        port: int = 0,
        context: ssl.SSLContext | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self._steps = list(steps)
        self._otherwise = otherwise or answer()
        self._context = context
        self.requests: list[Received] = []
        self.connections = 0
        self.seen = threading.Condition()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(128)
        self.port = self._listener.getsockname()[1]
        self.url = (
            f"http://127.0.0.1:{self.port}/upload" if context is None else f"https://localhost:{self.port}/upload"
        )

    @property
    def uploads(self) -> list[Received]:
        """The requests that had a chunk to send."""
        return [request for request in self.requests if request.method != "GET"]

    @property
    def tests(self) -> list[Received]:
        """The requests that asked for a chunk."""
        return [request for request in self.requests if request.method == "GET"]

    def await_requests(self, count: int, seconds: float = 20) -> None:
        """So many requests have come. Raises AssertionError if not in time."""
        with self.seen:
            assert self.seen.wait_for(lambda: len(self.requests) >= count, seconds), f"{len(self.requests)} came"

    def __enter__(self) -> Script:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self.seen:
            waiting = list(self._open)
        for connection in waiting:
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(5)
        if kind is None:
            assert not self._steps, f"{len(self._steps)} steps were never used"

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, connection, self.connections)
            self.connections += 1

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with self.seen:
                self._open.add(connection)
            buffered = bytearray()
            while (request := _request(connection, buffered, number)) is not None:
                with self.seen:
                    step = self._steps.pop(0) if self._steps else self._otherwise
                    self.requests.append(request)
                    self.seen.notify_all()
                exchange = Exchange(request, connection, self._stopping, buffered)
                step(exchange)
                if exchange.over:
                    return
        except OSError:
            pass
        finally:
            with self.seen:
                self._open.discard(connection)
            connection.close()


def _request(connection: socket.socket, buffered: bytearray, number: int) -> Received | None:
    while b"\r\n\r\n" not in buffered:
        piece = connection.recv(65536)
        if not piece:
            return None
        buffered += piece
    text, _, rest = bytes(buffered).partition(b"\r\n\r\n")
    buffered[:] = rest
    first, *lines = text.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    fields = (line.partition(":") for line in lines)
    return Received(method, target, {name.lower(): value.strip() for name, _, value in fields}, number)


@dataclass
class Store:
    """A step that keeps chunks: 200 for a chunk that is here, 404 for one that is not."""

    chunks: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def __call__(self, exchange: Exchange) -> None:
        exchange.read()
        request = exchange.request
        key = (request.parameters["resumableIdentifier"], request.number)
        if request.method == "GET":
            answer(200 if key in self.chunks else 404, read=False)(exchange)
            return
        assert len(request.chunk) == int(request.parameters["resumableCurrentChunkSize"])
        self.chunks[key] = request.chunk
        answer(200, b"stored", read=False)(exchange)

    def content(self, identifier: str) -> bytes:
        """The chunks of one upload, in order, joined."""
        return b"".join(self.chunks[key] for key in sorted(self.chunks) if key[0] == identifier)
