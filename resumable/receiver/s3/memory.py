"""What a server remembers of the uploads that it has just worked on, so that it asks the store less often.

Nothing depends on it: what is remembered is trusted for seconds, and what others did meanwhile is noticed when the
chunks are listed, at the latest before the upload is finished.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from .chunks import ChunkList
from .key_locks import KeyLocks
from .state import Snapshot

__all__ = ["Memory", "Remembrance"]

_TRUSTED_FOR = 5.0
_MOST = 256


@dataclass
class Remembrance:
    """What is remembered of one upload.

    ``chunks`` are the stored chunks that are known, None if there are none. ``has_past`` says whether another upload
    had the key before, None if the store was never asked for the chunks. ``receiving`` is how many requests of this
    process are receiving a chunk.
    """

    snapshot: Snapshot
    read: float
    chunks: ChunkList | None = None
    has_past: bool | None = None
    receiving: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Memory:
    """The uploads that this process has worked on lately, by their keys."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Remembrance] = OrderedDict()
        self._open: Counter[str] = Counter()
        self._beginning = KeyLocks()

    def enter(self, key: str, change: int = 1) -> None:
        """Count a request of this process that has the upload open; one less with ``change=-1``."""
        with self._lock:
            self._open[key] += change
            if not self._open[key]:
                del self._open[key]

    def is_open(self, key: str) -> bool:
        """Return whether a request of this process has the upload open."""
        return key in self._open

    def beginning(self, key: str) -> AbstractContextManager[None]:
        """Let only one thread of this process at a time begin an upload of this key, for a block."""
        return self._beginning.holding(key)

    def recall(self, key: str) -> Remembrance | None:
        """Return what is remembered of an unfinished upload, None if that is too old to be trusted."""
        with self._lock:
            known = self._known.get(key)
        if known is None or known.snapshot.state.record.published is not None:
            return None
        return known if time.monotonic() - known.read < _TRUSTED_FOR else None

    def learn(self, key: str, snapshot: Snapshot) -> Remembrance:
        """Remember what the store has just said, or what was just written there."""
        with self._lock:
            known = self._known.get(key)
            if known is None or known.snapshot.state.generation != snapshot.state.generation:
                known = Remembrance(snapshot, 0.0)
            self._known[key] = known
            self._known.move_to_end(key)
            known.snapshot, known.read = snapshot, time.monotonic()
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        return known

    def forget(self, key: str) -> None:
        """Ask the store for this upload the next time."""
        with self._lock:
            self._known.pop(key, None)
