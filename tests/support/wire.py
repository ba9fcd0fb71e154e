"""A real HTTP/1.1 server on loopback that writes down every request and answers as the test says.

One thread serves all connections, so that it can say for sure which requests had begun at a given moment: those whose
first byte lies in a socket by then (:meth:`Wire.settle`). An answer may be held back until the test gives it.
"""

from __future__ import annotations

import contextlib
import queue
import re
import selectors
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

__all__ = ["PATIENCE", "Request", "Wire", "stored"]

LEAVE = 3.0
"""Seconds that a busy machine may take where a time is promised; what breaks the promise takes much longer."""

PATIENCE = 30.0
"""Seconds after which a test that waits for something fails."""

Answer = tuple[Any, ...]
"""(status,), (status, body) or (status, body, headers)."""


class Request:
    """One request that has arrived in full. ``fields`` are the parameters of the query and of the form together."""

    def __init__(self, wire: Wire, connection: _Connection, head: str, body: bytes) -> None:
        self._wire = wire
        self._connection = connection
        first, *lines = head.split("\r\n")
        self.method, self.target, _ = first.split(" ")
        parts = urlsplit(self.target)
        self.path = parts.path
        self.query = parse_qsl(parts.query, keep_blank_values=True)
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.body = body
        self.form: list[tuple[str, str]] = []
        self.part_type = self.part_name = self.file_name = None
        self.chunk: bytes | None = None if self.method in ("GET", "HEAD") else body
        content_type = self.headers.get("content-type", "")
        if content_type.startswith("multipart/form-data"):
            self._read_form(content_type.partition("boundary=")[2].strip('"'))
        self.fields = dict([*self.form, *self.query])
        self.gone = threading.Event()
        self.answered = False

    def _read_form(self, boundary: str) -> None:
        for part in self.body.split(b"--" + boundary.encode())[1:-1]:
            head, _, content = part[2:].partition(b"\r\n\r\n")
            content = content[:-2]
            text = head.decode("utf-8", "surrogateescape")
            name = re.search(r'; name="([^"]*)"', text)[1]  # type: ignore[index]
            file_name = re.search(r'; filename="([^"]*)"', text)
            if file_name is None and not content.startswith(b"data:"):
                self.form.append((name, content.decode("utf-8")))
                continue
            self.part_name, self.file_name, self.chunk = name, file_name and file_name[1], content
            kind = re.search(r"Content-Type: ([^\r\n]*)", text)
            self.part_type = kind and kind[1]

    @property
    def number(self) -> int:
        """The chunk's number, from 1."""
        return int(self.fields["resumableChunkNumber"])

    @property
    def identifier(self) -> str:
        """The file's identifier."""
        return self.fields["resumableIdentifier"]

    def answer(self, status: int = 200, body: str = "", headers: Mapping[str, str] | None = None) -> None:
        """The client gets this answer now. Any thread may call this."""
        payload = body.encode("utf-8")
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        if status not in (204, 304):
            lines.append(f"Content-Length: {len(payload)}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._wire._call(lambda: self._connection.reply(self, "\r\n".join([*lines, "", ""]).encode() + payload))

    def cut(self) -> None:
        """The client gets no answer, and the connection ends."""
        self._wire._call(self._connection.close)

    def __repr__(self) -> str:
        return (
            f"<{self.method} {self.fields.get('resumableChunkNumber', '?')} of {self.fields.get('resumableFilename')}>"
        )


class _Connection:
    """One client. Used by the server's thread alone."""

    def __init__(self, wire: Wire, peer: socket.socket) -> None:
        self.wire = wire
        self.peer = peer
        self.data = bytearray()
        self.current: Request | None = None
        self.open = True

    def readable(self) -> None:
        """What has come is taken in."""
        try:
            piece = self.peer.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self.close()
            return
        if not self.data and self.current is None:
            self.wire._began()
        self.data += piece
        self._parse()

    def _parse(self) -> None:
        end = self.data.find(b"\r\n\r\n")
        if end < 0 or self.current is not None:
            return
        head = self.data[:end].decode("latin-1")
        found = re.search(r"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        length = int(found[1]) if found else 0
        if len(self.data) < end + 4 + length:
            return
        body = bytes(self.data[end + 4 : end + 4 + length])
        del self.data[: end + 4 + length]
        self.current = Request(self.wire, self, head, body)
        self.wire._arrived(self.current)

    def reply(self, request: Request, data: bytes) -> None:
        """The answer goes out, where the client is still there."""
        if not self.open or self.current is not request:
            return
        self.current = None
        request.answered = True
        self.peer.setblocking(True)
        with contextlib.suppress(OSError):
            self.peer.sendall(data)
        self.peer.setblocking(False)

    def close(self) -> None:
        """The connection is over."""
        if not self.open:
            return
        self.open = False
        self.wire._forget(self)
        self.peer.close()
        if self.current is not None:
            self.current.gone.set()
            self.wire._changed()


def stored(memory: dict[tuple[str, int], bytes]) -> Callable[[Request], Answer]:
    """The behaviour of a server that keeps what it gets in ``memory``, by identifier and number."""

    def behave(request: Request) -> Answer:
        key = request.identifier, request.number
        if request.chunk is None:
            return (200,) if key in memory else (204,)
        memory[key] = request.chunk
        return 200, f"got {request.number}"

    return behave


def _usual(request: Request) -> Answer:
    return (404,) if request.chunk is None else (200, f"got {request.fields.get('resumableChunkNumber')}")


class Wire:
    """The server. ``behave(request)`` returns an answer, or None to hold it; it runs on the server's thread."""

    def __init__(self, behave: Callable[[Request], Answer | None] = _usual) -> None:
        self.behave = behave
        self.requests: list[Request] = []
        self.held: list[Request] = []
        self.begun = 0
        self.errors: list[Exception] = []
        self.condition = threading.Condition()
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._connections: set[_Connection] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._woken, selectors.EVENT_READ, self._command)
        self._thread = threading.Thread(target=self._serve, name="wire", daemon=True)
        self._running = True

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/upload"

    def __enter__(self) -> Wire:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._stop)
        self._thread.join(PATIENCE)
        for connection in list(self._connections):
            connection.close()
        for each in (self._listener, self._wake, self._woken):
            each.close()
        self._selector.close()
        assert not self.errors, self.errors

    # -- what tests ask ------------------------------------------------------------------------------------------

    def wait(self, until: Callable[[], Any], what: str = "the requests") -> None:
        """Returns when ``until()`` holds, which is asked whenever something has happened here."""
        with self.condition:
            assert self.condition.wait_for(until, PATIENCE), f"{what} did not come: {self.requests}"

    def wait_held(self, count: int = 1) -> list[Request]:
        """The requests that are held back, of which there are at least so many."""
        self.wait(lambda: len(self.held) >= count, f"{count} requests to be held")
        return list(self.held)

    def release(self, status: int = 200, body: str = "ok") -> None:
        """Whatever is held back gets this answer."""
        with self.condition:
            held, self.held = self.held, []
        for request in held:
            request.answer(status, body)

    def settle(self) -> int:
        """How many requests have begun: all whose first byte had been sent when this was called are counted."""
        box: queue.SimpleQueue[int] = queue.SimpleQueue()

        def look() -> None:
            while self._turn(0):
                pass
            box.put(self.begun)

        self._call(look)
        return box.get(timeout=PATIENCE)

    @property
    def posts(self) -> list[Request]:
        """The requests that brought a chunk."""
        return [request for request in self.requests if request.chunk is not None]

    @property
    def tests(self) -> list[Request]:
        """The requests that asked for a chunk."""
        return [request for request in self.requests if request.chunk is None]

    # -- the thread ----------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while self._running:
            self._turn(None)

    def _turn(self, timeout: float | None) -> bool:
        events = self._selector.select(timeout)
        inside = timeout is not None
        busy = False
        for key, _ in events:
            if inside and key.data == self._command:
                continue
            busy = True
            key.data()
        return busy

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        peer.setblocking(False)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(self, peer)
        self._connections.add(connection)
        self._selector.register(peer, selectors.EVENT_READ, connection.readable)

    def _command(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        while True:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                return
            call()

    def _call(self, function: Callable[[], None]) -> None:
        self._calls.put(function)
        with contextlib.suppress(OSError):
            self._wake.send(b"!")

    def _stop(self) -> None:
        self._running = False

    def _forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection.peer)

    def _began(self) -> None:
        with self.condition:
            self.begun += 1
            self.condition.notify_all()

    def _changed(self) -> None:
        with self.condition:
            self.condition.notify_all()

    def _arrived(self, request: Request) -> None:
        answer: Answer | None = (400, "the test is wrong")
        try:
            answer = self.behave(request)
        except Exception as error:
            self.errors.append(error)
        with self.condition:
            self.requests.append(request)
            if answer is None:
                self.held.append(request)
            self.condition.notify_all()
        if answer is not None:
            request.answer(*answer)
