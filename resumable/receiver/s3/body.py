"""Give the bytes of a chunk to a request while they arrive."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator

__all__ = ["StreamedBody", "new_digest"]


def new_digest() -> hashlib._Hash:
    """Return a digest of what most object stores return as the ETag of an object. It protects against accidents."""
    return hashlib.md5(usedforsecurity=False)


class StreamedBody:
    """A readable body of ``length`` bytes that come from ``pieces`` as they are asked for.

    The last piece is given only after the iterator has ended: an iterator that raises at its end, because the hash is
    wrong, leaves the request incomplete, so that nothing is stored. ``error`` is what it raised. ``taken`` is when it
    was read last; while it waits for a piece itself, that is infinite.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._digest = new_digest()
        self._now = memoryview(b"")
        self._next: bytes | None = b""
        self.error: BaseException | None = None
        self.taken = 0.0

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes, and ``b""`` at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 18), b""))
        while not self._now and self._next is not None:
            self._advance()
        given = bytes(self._now[:size])
        self._now = self._now[size:]
        self.taken = time.monotonic()
        return given

    def drain(self) -> str:
        """Read what is left, and return the digest of the whole in hexadecimal. Raises what the pieces raise."""
        if self.error is not None:
            raise self.error
        while self._next is not None:
            self._advance()
        return self._digest.hexdigest()

    def _advance(self) -> None:
        piece = self._next or b""
        self._digest.update(piece)
        self._now = memoryview(piece)
        self.taken = math.inf
        try:
            self._next = next(self._pieces, None)
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.taken = time.monotonic()
