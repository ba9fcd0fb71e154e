"""Bodies of requests that are not sent as they come: one waits for others, and one breaks off."""

from __future__ import annotations

import threading

__all__ = ["CutBody", "GatedBody"]


class GatedBody:
    """A body whose last byte is sent when all others at the ``gate`` have come as far."""

    def __init__(self, data: bytes, gate: threading.Barrier) -> None:
        self._data = memoryview(data)
        self._gate = gate
        self._sent = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        end = len(self._data)
        if self._sent >= end - 1:
            if self._sent == end - 1:
                self._gate.wait()
            stop = end
        else:
            stop = min(self._sent + size, end - 1)
        piece = bytes(self._data[self._sent : stop])
        self._sent = stop
        return piece


class CutBody:
    """A body that breaks off in its middle, as if the client had lost its network."""

    def __init__(self, data: bytes) -> None:
        self._pieces = iter([data[: len(data) // 2]])

    def read(self, size: int) -> bytes:
        """Return the first half. Raises ConnectionAbortedError after that."""
        for piece in self._pieces:
            return piece
        raise ConnectionAbortedError("cut on purpose")
