"""How fast bytes move, and how long the rest will take: means over time in which the past fades."""

from __future__ import annotations

import math

__all__ = ["SpeedMeter"]

FADE = 5.0
"""Seconds after which a byte counts a third for the speed."""

STEADY_FADE = 30.0
"""The same for the time that remains, which nobody wants to see jump."""

ENOUGH = 5.0
"""Seconds of movement before anything is said about the time that remains: the first bytes fill buffers on the way."""

HOLD = 5.0
"""Seconds without a byte for which the speed stays what it was."""

STALL = 10.0
"""Seconds without a byte after which there is no speed any more."""

REST = 1.0
"""The same if no request is under way, so that none can come."""


class SpeedMeter:
    """Measure bytes a second. The caller gives the time, in seconds.

    Slow lines take bytes in bursts. For five seconds without any the speed stays what it was, and then it falls, to
    nothing after ten. If no request is under way, it is nothing after one.
    """

    __slots__ = (
        "_last",
        "_live",
        "_moved",
        "_now",
        "_recent_bytes",
        "_recent_seconds",
        "_rested",
        "_seconds",
        "_steady_bytes",
        "_steady_seconds",
    )

    def __init__(self) -> None:
        # There is one for each file, so it holds numbers alone.
        self._recent_bytes = self._recent_seconds = 0.0
        self._steady_bytes = self._steady_seconds = 0.0
        self._seconds = 0.0
        self._last: float | None = None
        self._moved = 0.0
        self._live = False
        self._rested: float | None = None
        self._now = 0.0

    def look(self, now: float) -> None:
        """Tell the time as of which :attr:`speed` and :meth:`seconds_for` are asked for."""
        self._now = now

    def rest(self, now: float) -> None:
        """Note that no request is under way any more. That ends with the next byte, not with the next request."""
        self._live = False
        if self._rested is None:
            self._rested = now

    def start(self, now: float) -> None:
        """Count time from now on; what lies between the last call and this one is not held against the speed."""
        if self._last is not None and self._last > self._moved:
            self._count(0, self._last)
        self._last = self._moved = now
        self._live = True

    def add(self, size: int, now: float) -> None:
        """Count bytes that moved since the last call. Those of the first do not count: their time is unknown."""
        if self._last is None:
            self.start(now)
            return
        self._last = max(now, self._last)
        if size:
            self._rested = None
            self._count(size, self._last)

    def _count(self, size: int, now: float) -> None:
        seconds = now - self._moved
        self._moved = now
        self._seconds += seconds
        fading = math.exp(-seconds / FADE)
        self._recent_bytes = self._recent_bytes * fading + size
        self._recent_seconds = self._recent_seconds * fading + seconds
        fading = math.exp(-seconds / STEADY_FADE)
        self._steady_bytes = self._steady_bytes * fading + size
        self._steady_seconds = self._steady_seconds * fading + seconds

    def take_back(self, size: int) -> None:
        """Count so many bytes less, because they moved in vain. The time that they took counts."""
        self._recent_bytes = max(self._recent_bytes - size, 0.0)
        self._steady_bytes = max(self._steady_bytes - size, 0.0)

    @property
    def speed(self) -> float:
        """Bytes a second; 0 before anything is known, and if nothing has moved for ten seconds."""
        if self._last is None or not self._recent_seconds:
            return 0.0
        if self._rested is not None and self._now - self._rested > (HOLD if self._live else REST):
            return 0.0
        idle = self._last - self._moved
        return self._recent_bytes / self._recent_seconds * min(max((STALL - idle) / (STALL - HOLD), 0.0), 1.0)

    def seconds_for(self, size: int) -> float | None:
        """Return how long so many bytes will take, or None if that cannot be told yet, or nothing moves."""
        if self._last is None or self._seconds < ENOUGH or not self.speed:
            return None
        return max(size * self._steady_seconds / self._steady_bytes - (self._last - self._moved), 0.0)
