"""Bring the body of a request from an event loop to the thread that answers it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..rate import RateCheck

__all__ = ["Receive", "RequestStream"]

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
"""What an application of ASGI calls for the next message of its server."""

_AHEAD = 256 * 1024
"""How many bytes the event loop may be ahead of the thread, before it lets the client wait."""


class RequestStream:
    """The body of one request. :meth:`pump` runs in the event loop, :meth:`read` on the thread.

    Nothing is received before the thread wants it, so that a request can be refused before its client is told to go on.
    """

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop, *, min_rate: int, window: float) -> None:
        self._receive = receive
        self._loop = loop
        self._rate = RateCheck(min_rate, window)
        self._wanted = asyncio.Event()
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._paused = True
        """Whether the event loop waits until the thread wants more."""
        self._ended = False

    async def pump(self) -> None:
        """Receive the body until its end, or until the client leaves, while the thread takes it."""
        try:
            more = True
            while more:
                await self._wanted.wait()
                message = await self._receive()
                more = message["type"] == "http.request" and message.get("more_body", False)
                self._add(message.get("body", b""))
        finally:
            self.end()

    def _add(self, piece: bytes) -> None:
        with self._changed:
            if piece:
                self._pieces.append(piece)
                self._held += len(piece)
            if self._held >= _AHEAD:
                self._paused = True
                self._wanted.clear()
            self._changed.notify()

    def end(self) -> None:
        """End the body: the thread can only read what has arrived so far."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def read(self, size: int) -> bytes:
        """Return at most this many bytes, none at the end or if the client has left. Raises TimeoutError."""
        with self._changed:
            while not self._pieces and not self._ended:
                self._resume()
                began = time.monotonic()
                self._changed.wait(self._rate.left)
                self._rate.waited(time.monotonic() - began)
            if not self._pieces:
                return b""
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            self._held -= len(piece)
            self._rate.moved(len(piece))
            if self._held < _AHEAD // 2 and not self._ended:
                self._resume()
            return piece

    def _resume(self) -> None:
        """Let the event loop go on. The caller holds the lock."""
        if self._paused:
            self._paused = False
            self._loop.call_soon_threadsafe(self._wanted.set)
