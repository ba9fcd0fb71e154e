"""How fast bytes move: a mean over time in which the past fades."""

from __future__ import annotations

import math

__all__ = ["SpeedMeter"]

FADE = 5.0
"""Seconds after which a byte counts a third."""


class SpeedMeter:
    """Bytes a second. The caller gives the time, in seconds."""

    __slots__ = ("_bytes", "_last", "_seconds")

    def __init__(self) -> None:
        self._bytes = 0.0
        self._seconds = 0.0
        self._last: float | None = None

    def start(self, now: float) -> None:
        """Count time from now on; what lies before does not count."""
        self._last = now

    def add(self, size: int, now: float) -> None:
        """Add bytes that moved since the last call. Those of the first do not count: their time is unknown."""
        if self._last is None:
            self._last = now
            return
        passed = max(now - self._last, 0.0)
        fading = math.exp(-passed / FADE)
        self._bytes = self._bytes * fading + size
        self._seconds = self._seconds * fading + passed
        self._last = now

    @property
    def speed(self) -> float:
        """Bytes a second; 0 before anything is known."""
        return self._bytes / self._seconds if self._seconds > 0 else 0.0
