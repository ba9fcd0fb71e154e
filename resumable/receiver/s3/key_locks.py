"""One lock for each key."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

__all__ = ["KeyLocks"]


class KeyLocks:
    """A lock for each key, which lives for as long as a thread holds it or waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    @contextmanager
    def holding(self, key: str) -> Iterator[None]:
        """Hold the lock of this key within the block."""
        with self._lock:
            lock = threading.Lock()
            lock = self._locks.setdefault(key, lock)
        with lock:
            yield
