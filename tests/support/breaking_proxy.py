"""A TCP proxy that does harm on purpose, at exact bytes, and keeps account of every byte.

A scenario says how slow the line is and which faults happen when. The faults of a scenario happen one after the
other: each when so many more bytes have come from its side, over all connections, behind the fault before it.
Leaving the ``with`` block asserts that all of them have happened, so that a test cannot pass for want of its fault.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Fault", "FlippingProxy", "Ledger", "Proxy", "ReplacingProxy", "Scenario", "reset"]

PIECE = 65536
MADE_UP = 0.25
"""Seconds by which a line that was held up may be late, and then as much faster."""


def reset(connection: socket.socket) -> None:
    """The other side sees the connection reset (RST), not ended."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    connection.close()


@dataclass(frozen=True)
class Fault:
    """``at`` bytes behind the fault before it, in ``direction`` ("up" is from the client), ``action`` happens.

    ``reset`` and ``close`` end the connection, ``stall`` swallows what comes from this side from now on, ``corrupt``
    changes the next byte, ``call`` calls the scenario's function while the byte waits.
    """

    action: str
    at: int = 0
    direction: str = "up"


@dataclass(frozen=True)
class Scenario:
    """How the line is. Times are seconds, ``bandwidth`` bytes a second and direction, ``slice`` the most bytes at once.

    ``latency`` and up to ``jitter`` more, drawn with ``seed``, are waited before each piece.
    """

    faults: Sequence[Fault] = ()
    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: int | None = None
    slice: int = PIECE
    seed: int = 0

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Scenario:
        """The scenario that a mapping, as read from JSON, describes."""
        return cls(**{**facts, "faults": [Fault(**fault) for fault in facts.get("faults", ())]})


@dataclass
class Ledger:
    """The bytes that came from the client (``up``) and from the server (``down``), and how many connections."""

    up: int = 0
    down: int = 0
    connections: int = 0
    happened: list[Fault] = field(default_factory=list)


class _Pair:
    """Two sockets that belong together."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.over = threading.Event()
        self.free = dict.fromkeys((client, server), time.monotonic())
        """When the line to each side has passed on what it got."""

    def end(self, *, hard: bool) -> None:
        """Both sides see the end, once."""
        if self.over.is_set():
            return
        self.over.set()
        for side in (self.client, self.server):
            try:
                # The other thread may sit in recv(), which holds its socket open: ending the reading frees it.
                side.shutdown(socket.SHUT_RD if hard else socket.SHUT_RDWR)
            except OSError:
                pass
            if hard:
                reset(side)


class Proxy:
    """``with Proxy(url_of_the_server, scenario) as proxy: upload to proxy.url``. ``call`` is for faults that call."""

    def __init__(self, url: str, scenario: Scenario | None = None, *, call: Callable[[], None] | None = None) -> None:
        parts = urlsplit(url)
        self.aim(url)
        self.scenario = scenario or Scenario()
        self.ledger = Ledger()
        self._call = call
        self._random = random.Random(self.scenario.seed)
        self._pending = list(self.scenario.faults)
        self._counted = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._pairs: list[_Pair] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{parts.scheme}://{'localhost' if parts.scheme == 'https' else '127.0.0.1'}:{self.port}{parts.path}"

    @property
    def pending(self) -> tuple[Fault, ...]:
        """The faults that have not happened yet."""
        with self._lock:
            return tuple(self._pending)

    def expect(self, fault: Fault) -> None:
        """The fault happens behind those that have not happened yet."""
        with self._lock:
            self._pending.append(fault)

    def forget(self) -> None:
        """What has not happened yet does not happen."""
        with self._lock:
            self._pending.clear()
            self._counted = 0

    def aim(self, url: str) -> None:
        """New connections lead to this server."""
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 80)

    def __enter__(self) -> Proxy:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        # Until this one has gone there may be another pair.
        self._threads[0].join(5)
        self._listener.close()
        with self._lock:
            pairs, threads = list(self._pairs), list(self._threads)
        for pair in pairs:
            pair.end(hard=False)
        for thread in threads:
            thread.join(5)
        for pair in pairs:
            pair.client.close()
            pair.server.close()
        if kind is None:
            assert not self._pending, f"these faults never happened: {self._pending}"

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                reset(client)
                continue
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = _Pair(client, server)
            with self._lock:
                self._pairs.append(pair)
                self.ledger.connections += 1
            self._start(self._pump, pair, "up", client, server)
            self._start(self._pump, pair, "down", server, client)

    def _pump(self, pair: _Pair, direction: str, source: socket.socket, sink: socket.socket) -> None:
        swallow = False
        try:
            while data := source.recv(PIECE):
                while data:
                    fault, data, piece = self._next(direction, data)
                    if piece and not swallow:
                        self._forward(pair, piece, sink)
                    if fault is None:
                        continue
                    if fault.action in ("reset", "close"):
                        pair.end(hard=fault.action == "reset")
                        return
                    if fault.action == "stall":
                        swallow = True
                    elif fault.action == "corrupt":
                        data = bytes([data[0] ^ 0x55]) + data[1:]
                    else:
                        assert self._call is not None
                        self._call()
        except OSError:
            pass
        # An end is passed on as one; what the other side still has to say may come.
        try:
            if not swallow:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        if direction == "up" or swallow:
            pair.end(hard=False)

    def _next(self, direction: str, data: bytes) -> tuple[Fault | None, bytes, bytes]:
        """The fault that happens within the data, what is left of the data behind it, and what is before it.

        What is left stays uncounted: it comes back here.
        """
        with self._lock:
            room = len(data)
            fault = None
            if self._pending and self._pending[0].direction == direction:
                room = self._pending[0].at - self._counted
                if room < len(data):
                    fault = self._pending.pop(0)
                    self.ledger.happened.append(fault)
                    self._counted = 0
                else:
                    room = len(data)
                    self._counted += room
            if direction == "up":
                self.ledger.up += room
            else:
                self.ledger.down += room
            return fault, data[room:], data[:room]

    def _forward(self, pair: _Pair, data: bytes, sink: socket.socket) -> None:
        scenario = self.scenario
        for start in range(0, len(data), scenario.slice):
            piece = data[start : start + scenario.slice]
            with self._lock:
                delay = scenario.latency + self._random.uniform(0, scenario.jitter)
            if scenario.bandwidth:
                # By the clock, so that the line is as fast on a busy machine.
                now = time.monotonic()
                pair.free[sink] = max(pair.free[sink], now - MADE_UP) + len(piece) / scenario.bandwidth
                delay += max(pair.free[sink] - now, 0)
            if delay and self._stopping.wait(delay):
                raise OSError("the proxy stops")
            sink.sendall(piece)


class FlippingProxy(Proxy):
    """Flips one bit of the first byte with each of these values that passes, in whichever direction and connection.

    What is in heads and fields is ASCII: values above 127 are bytes of a chunk.
    """

    def __init__(self, url: str, values: Sequence[int]) -> None:
        super().__init__(url)
        self.values = list(values)

    def _forward(self, pair: _Pair, data: bytes, sink: socket.socket) -> None:
        with self._lock:
            for value in [value for value in self.values if value in data]:
                self.values.remove(value)
                where = data.index(value)
                data = data[:where] + bytes([value ^ 1]) + data[where + 1 :]
        super()._forward(pair, data, sink)


class ReplacingProxy(Proxy):
    """Replaces the first bytes that are ``old`` and pass in one piece by ``new``, in whichever direction."""

    def __init__(self, url: str, old: bytes, new: bytes) -> None:
        super().__init__(url)
        self.old: bytes | None = old
        self._new = new

    def _forward(self, pair: _Pair, data: bytes, sink: socket.socket) -> None:
        with self._lock:
            if self.old is not None and self.old in data:
                data = data.replace(self.old, self._new, 1)
                self.old = None
        super()._forward(pair, data, sink)
