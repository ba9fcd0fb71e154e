"""The body of a request: exactly as many bytes as its length says, or a refusal."""

from __future__ import annotations

from collections.abc import Callable

from .messages import Refusal

__all__ = ["ENDED", "PIECE", "BoundedBody"]

ENDED = "The connection ended"
"""How the sentence begins if a client has left in the middle of a request."""

PIECE = 256 * 1024
"""How many bytes are read at once: enough to be fast, and few enough for hundreds of concurrent requests."""

_MOST_TO_DRAIN = 8 * 1024 * 1024


class BoundedBody:
    """Reads a body of so many bytes. An object is what :attr:`Request.read` is, unless the application replaces it.

    ``read(size)`` may return a view of a buffer that the next call overwrites.
    """

    def __init__(self, read: Callable[[int], bytes | memoryview], length: int) -> None:
        self.begun = False
        self._read = read
        self._length = self._left = length
        self._broken = False

    def __call__(self, size: int) -> bytes:
        """Return at most this many bytes, none at the end. Raises Refusal if the connection ends or stalls before."""
        return bytes(self.view(size))

    def view(self, size: int) -> bytes | memoryview:
        """Do the same, but the bytes may be in a buffer that the next call overwrites."""
        if self._broken or not self._left:
            return b""
        self.begun = True
        try:
            piece = self._read(min(size, self._left))
        except OSError:
            self._broken = True
            raise Refusal(408, "The body of the request did not arrive in time: try again.") from None
        self._left -= len(piece)
        if not piece:
            self._broken = True
            raise Refusal(400, f"{ENDED} {self._left} bytes before the end of the body: try again.{self._hint}")
        return piece

    @property
    def _hint(self) -> str:
        """What to look for if not a single byte has come."""
        whole = self._left == self._length
        return " If every request ends so, something in front of the receiver reads their bodies." if whole else ""

    def drain(self) -> None:
        """Read and drop what is left, up to a limit."""
        if self._left > _MOST_TO_DRAIN:
            return
        try:
            while self.view(PIECE):
                pass
        except Refusal:
            pass
