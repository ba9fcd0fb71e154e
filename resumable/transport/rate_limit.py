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
    """Allows at most ``rate`` bytes a second, all callers together; None is no limit. Idle time is not made up for."""

    def __init__(self, rate: int | None) -> None:
        self.rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0

    @property
    def piece(self) -> int:
        """The most bytes to ask for at once, so that they come evenly."""
        rate = self.rate
        return _LARGEST if rate is None else max(1, min(rate // _PIECES_A_SECOND, _LARGEST))

    def take(self, size: int, stopped: Callable[[], bool]) -> None:
        """Wait until so many bytes may be sent. Raises Stopped as soon as ``stopped()`` is true."""
        rate = self.rate
        with self._lock:
            begin = max(self._free_at, time.monotonic())
            self._free_at = begin if rate is None else begin + size / rate
        while (left := begin - time.monotonic()) > 0 and self.rate == rate:
            if stopped():
                raise Stopped
            threading.Event().wait(min(left, _SLICE))
        if self.rate != rate:
            # What is still to come goes by another limit, and nobody waits for what was to come under this one.
            self._free_at = 0.0


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
        for piece in self._body:
            rest = memoryview(piece)
            while rest:
                size = self._rate_limiter.piece
                part, rest = rest[:size], rest[size:]
                self._rate_limiter.take(len(part), self._stopped)
                yield part
