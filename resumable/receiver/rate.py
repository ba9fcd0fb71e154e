"""Measure how fast a client sends, so that one that drips bytes does not keep a thread."""

from __future__ import annotations

__all__ = ["RateCheck"]


class RateCheck:
    """Measures the bytes that were moved against the time that was spent waiting for the client.

    ``min_rate`` is in bytes a second; it is measured over windows of ``window`` seconds of waiting.
    """

    def __init__(self, min_rate: float, window: float) -> None:
        self._window = window
        self._least = min_rate * window
        self._moved = 0
        self.left = window

    def moved(self, count: int) -> None:
        """Count bytes that came or went."""
        self._moved += count

    def waited(self, seconds: float) -> None:
        """Raise TimeoutError if too few bytes were moved in a window that ends now."""
        self.left -= seconds
        if self.left <= 0:
            if self._moved < self._least:
                raise TimeoutError("the client is too slow")
            self._moved = 0
            self.left = self._window
