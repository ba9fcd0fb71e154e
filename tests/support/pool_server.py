"""A server with a pool of workers that writes down when each request became whole.

Each worker takes one connection at a time and serves its requests, as servers with processes or threads do. So it can
be too small for a client, take a lock too early, or lose its patience, as real ones do.
"""

from __future__ import annotations

import contextlib
import math
import queue
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

__all__ = ["Arrival", "PoolServer"]


class Arrival(NamedTuple):
    """A chunk whose request was read to its end. Times are seconds of the monotonic clock."""

    identifier: str
    number: int
    total: int
    begun: float
    whole: float
    answered: float


class PoolServer:
    """Keeps chunks in ``stored``, by identifier, and in ``arrivals`` how they came; ``broken`` counts those whose
    requests ended before they were whole. ``most_at_once`` is how many requests there were at the same time.

    ``workers`` is None if there is one for each connection. ``keep_alive``: a worker serves a connection until it ends,
    or nothing came for ``idle`` seconds.
    ``lock_at_head``: the requests with chunks of one file are read one at a time. ``patience`` is the seconds that a
    whole request may take. ``think(number)`` is the seconds until a chunk is answered. ``at_head(number, stored)`` may
    refuse a chunk before its body is read, by returning a status. If there are more requests than ``busy_above``,
    another chunk is answered with 429, and if there are more than ``broken_above``, its connection is reset;
    ``too_many`` counts the chunks of both.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        keep_alive: bool = False,
        idle: float | None = None,
        lock_at_head: bool = False,
        patience: float | None = None,
        think: Callable[[int], float] = lambda number: 0.0,
        at_head: Callable[[int, set[int]], int | None] = lambda number, stored: None,
        busy_above: float = math.inf,
        broken_above: float = math.inf,
    ) -> None:
        self._workers = workers
        self._keep_alive = keep_alive
        self._idle = idle
        self._locks: dict[str, threading.Lock] | None = defaultdict(threading.Lock) if lock_at_head else None
        self._patience = patience
        self._think = think
        self._at_head = at_head
        self._busy_above = busy_above
        self._broken_above = broken_above
        self._lock = threading.Lock()
        self._at_once = 0
        self.most_at_once = 0
        self.too_many = 0
        self.stored: dict[str, dict[int, bytes]] = defaultdict(dict)
        self.arrivals: list[Arrival] = []
        self.broken = 0
        self._queue: queue.SimpleQueue[socket.socket | None] = queue.SimpleQueue()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/upload"

    def __enter__(self) -> PoolServer:
        self._start(self._accept)
        for _ in range(self._workers or 0):
            self._start(self._work)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for _ in range(self._workers or 0):
            self._queue.put(None)
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(connection)
            if self._workers is None:
                self._start(self._serve, connection)
            else:
                self._queue.put(connection)

    def _work(self) -> None:
        while (connection := self._queue.get()) is not None:
            self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while self._request(connection, stream) and self._keep_alive:
                    pass
            except (OSError, ValueError):
                self.broken += 1
            self._open.discard(connection)

    def _request(self, connection: socket.socket, stream: object) -> bool:
        read = stream.readline  # type: ignore[attr-defined]
        try:
            connection.settimeout(self._idle)
            first = read()
        except TimeoutError:
            first = b""
        connection.settimeout(None)
        if not first:
            return False
        begun = time.monotonic()
        method, target, _ = first.decode("latin-1").split(" ")
        length = 0
        while (line := read()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        with self._counted() as at_once:
            return self._take(connection, stream, method, target, length, begun, at_once)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[int]:
        """How many requests there are with this one."""
        with self._lock:
            self._at_once += 1
            at_once = self._at_once
            self.most_at_once = max(self.most_at_once, at_once)
        try:
            yield at_once
        finally:
            with self._lock:
                self._at_once -= 1

    def _take(
        self,
        connection: socket.socket,
        stream: object,
        method: str,
        target: str,
        length: int,
        begun: float,
        at_once: int,
    ) -> bool:
        fields = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        identifier, number = fields["resumableIdentifier"], int(fields["resumableChunkNumber"])
        if method != "GET":
            self.too_many += at_once > min(self._busy_above, self._broken_above)
        if at_once > self._broken_above:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if method == "GET":
            self._answer(connection, 200 if number in self.stored[identifier] else 404)
            return True
        refusal = self._at_head(number, set(self.stored[identifier]))
        if refusal is not None:
            self._answer(connection, refusal)
            # As real servers do, it waits a little for the client to read the answer before it ends the connection.
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(1)
            while connection.recv(1 << 16):
                pass
            return False
        if self._patience is not None:
            connection.settimeout(self._patience)
        with self._locks[identifier] if self._locks is not None else contextlib.nullcontext():
            body = bytearray()
            while len(body) < length:
                if self._patience is not None:
                    connection.settimeout(max(begun + self._patience - time.monotonic(), 0.001))
                piece = stream.read1(min(length - len(body), 1 << 16))  # type: ignore[attr-defined]
                if not piece:
                    raise ConnectionError("the request ends too early")
                body += piece
            if at_once > self._busy_above:
                self._answer(connection, 429)
                return True
            whole = time.monotonic()
            connection.settimeout(None)
            time.sleep(self._think(number))
            self.stored[identifier][number] = _file_part(bytes(body))
            self.arrivals.append(
                Arrival(identifier, number, int(fields["resumableTotalChunks"]), begun, whole, time.monotonic())
            )
        self._answer(connection, 200)
        return True

    def _answer(self, connection: socket.socket, status: int) -> None:
        ending = "keep-alive" if self._keep_alive else "close"
        connection.sendall(f"HTTP/1.1 {status} -\r\nContent-Length: 0\r\nConnection: {ending}\r\n\r\n".encode())

    def whole(self, identifier: str) -> bytes:
        """The bytes of the file."""
        return b"".join(chunk for _, chunk in sorted(self.stored[identifier].items()))

    def out_of_order(self) -> list[str]:
        """What became whole too early: beside the first chunk of a file, or before all others while it was the last."""
        found = []
        for arrival in self.arrivals:
            before = {1} if arrival.number < arrival.total else set(range(1, arrival.total))
            for other in self.arrivals:
                same = other.identifier == arrival.identifier and other.number in before - {arrival.number}
                if same and other.answered > arrival.whole:
                    found.append(f"{arrival.number} before {other.number} of {arrival.identifier}")
        return found


def _file_part(body: bytes) -> bytes:
    boundary = body[: body.index(b"\r\n")]
    last = body.rindex(b"\r\n" + boundary + b"--")
    start = body.rindex(b'name="file"', 0, min(len(body), 8192))
    return body[body.index(b"\r\n\r\n", start) + 4 : last]
