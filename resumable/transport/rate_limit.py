"""Limit how fast all workers together send."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from .base import Body, Stopped

__all__ = ["RateLimitedBody", "RateLimiter"]

_SLICE = 0.1
"""Seconds of one wait, so that a stop is noticed."""

_PIECES_A_SECOND = 20
_LARGEST = 64 * 1024


class RateLimiter:
    """Allows at most ``rate`` bytes a second, all callers together. Idle time is not made up for."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0
        self.piece = max(1, min(rate // _PIECES_A_SECOND, _LARGEST))

    def take(self, size: int, stopped: Callable[[], bool]) -> None:
        """Wait until so many bytes may be sent. Raises Stopped as soon as ``stopped()`` is true."""
        with self._lock:
            begin = max(self._free_at, time.monotonic())
            self._free_at = begin + size / self._rate
        while (left := begin - time.monotonic()) > 0:
            if stopped():
                raise Stopped
            threading.Event().wait(min(left, _SLICE))


class RateLimitedBody:
    """A body whose pieces come no faster than the rate limit allows."""

    def __init__(self, body: Body, rate_limiter: RateLimiter, stopped: Callable[[], bool]) -> None:
        self._body = body
        self._rate_limiter = rate_limiter
        self._stopped = stopped
        self.payload = body.payload

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        size = self._rate_limiter.piece
        for piece in self._body:
            view = memoryview(piece)
            for start in range(0, len(view), size):
                part = view[start : start + size]
                self._rate_limiter.take(len(part), self._stopped)
                yield part
