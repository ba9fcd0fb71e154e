"""Notices on their way from the core to the handlers, in the order of the transitions.

Progress coalesces: of each file at most one ``file_progress`` waits, with the latest message, at the place of the
first; the values are read at delivery. Everything else is kept, and a full outbox holds the workers back (commands
are never held back, so the limit is soft). What nobody listens to is not kept, except the notices that say how a file
or a run ended, on which the session itself relies.

The engine's lock protects it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from ..core.records import Notice
from ..events import EVENTS

__all__ = ["Outbox"]

_COALESCED = frozenset(name for name, event in EVENTS.items() if event.coalesced)
_ALWAYS = frozenset({"complete", "file_success", "file_error", "file_cancelled"})


class Outbox:
    """The queue. ``wanted(event)`` says whether anybody listens."""

    def __init__(self, wanted: Callable[[str], bool], *, limit: int = 1024) -> None:
        self._wanted = wanted
        self._limit = limit
        self._queue: deque[Notice | tuple[str, int | None]] = deque()
        self._latest: dict[tuple[str, int | None], Notice] = {}

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether workers should wait."""
        return len(self._queue) >= self._limit

    def extend(self, notices: Iterable[Notice]) -> None:
        """The notices wait for delivery, behind those that wait already."""
        for notice in notices:
            event = notice.event
            if not self._wanted(event) and event not in _ALWAYS:
                continue
            if event in _COALESCED:
                key = (event, notice.file)
                if key not in self._latest:
                    self._queue.append(key)
                    self._latest[key] = notice
                elif notice.message is not None:
                    self._latest[key] = notice
            else:
                self._queue.append(notice)

    def take(self) -> Notice | None:
        """The oldest notice, which no longer waits then, or None."""
        if not self._queue:
            return None
        item = self._queue.popleft()
        return item if isinstance(item, Notice) else self._latest.pop(item)

    def waiting_chunks(self, file: int) -> set[int]:
        """The indexes of the file's chunks whose success waits to be told."""
        return {
            item.index
            for item in self._queue
            if isinstance(item, Notice) and item.event == "chunk_success" and item.file == file and item.index is not None
        }
