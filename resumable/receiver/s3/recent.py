"""The bytes of small chunks that have just been stored, so that a part can be made of them without reading them back.

Nothing depends on it: what is not here is read. All together have at most so many bytes as were agreed on, also while
they arrive; the oldest give way.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator

__all__ = ["RecentChunks", "copied"]

LIMIT = 32 * 1024 * 1024


class RecentChunks:
    """The pieces of chunks, by the keys of their objects, of at most ``limit`` bytes."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._size = 0
        self._kept: OrderedDict[str, list[bytes]] = OrderedDict()

    def reserve(self, size: int) -> bool:
        """Make room for so many bytes. Return False if the chunks that arrive take it all."""
        with self._lock:
            if size > self._limit:
                return False
            while self._kept and self._size + size > self._limit:
                self._forget(next(iter(self._kept)))
            if self._size + size > self._limit:
                return False
            self._size += size
            return True

    def release(self, size: int) -> None:
        """Give back room that was reserved."""
        with self._lock:
            self._size -= size

    def keep(self, key: str, pieces: list[bytes]) -> None:
        """Keep the bytes of a chunk, for which there is room."""
        with self._lock:
            self._forget(key)
            self._kept[key] = pieces

    def pieces(self, key: str) -> list[bytes] | None:
        """Return the bytes of a chunk, or None if they are not here."""
        with self._lock:
            return self._kept.get(key)

    def drop(self, keys: Iterable[str]) -> None:
        """Forget these chunks."""
        with self._lock:
            for key in keys:
                self._forget(key)

    def _forget(self, key: str) -> None:
        self._size -= sum(map(len, self._kept.pop(key, ())))


def copied(pieces: Iterable[bytes], copy: list[bytes]) -> Iterator[bytes]:
    """Yield the pieces, and put each into ``copy``."""
    for piece in pieces:
        copy.append(bytes(piece))
        yield piece
