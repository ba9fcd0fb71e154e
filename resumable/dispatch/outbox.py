"""Notices on their way from the core to the handlers, in the order of the transitions.

Progress coalesces: of each file at most one ``file_progress`` waits, with the latest message, at the place of the
first; the values are read at delivery. Everything else is kept, and a full outbox holds the workers back (commands
are never held back, so the limit is soft). What nobody listens to is not kept, except terminal events: until they are
delivered, a handler that comes late gets them from here. What such a handler missed goes before everything that waits.

The session's lock protects it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized

from ..core.records import Notice
from ..events import EVENTS

__all__ = ["Outbox"]

_COALESCED = frozenset(name for name, event in EVENTS.items() if event.coalesced)
_TERMINAL = frozenset(name for name, event in EVENTS.items() if event.terminal)


class Outbox:
    """The queue. ``listeners`` has collections for each event, all of which are empty if nobody listens to it;
    ``relieved`` is called when the queue is no longer full for somebody who asked :meth:`has_room`. ``backlog`` counts
    events that were taken from here and wait elsewhere, for tasks that take one by one. ``late`` is what waits for
    handlers that came late."""

    def __init__(
        self, listeners: Mapping[str, Iterable[Sized]], relieved: Callable[[], None], *, limit: int = 1024
    ) -> None:
        self._listeners = listeners
        self._relieved = relieved
        self._limit = limit
        self.queue: deque[Notice | tuple[str, int | None]] = deque()
        self.latest: dict[tuple[str, int | None], Notice] = {}
        self.late: deque[Notice] = deque()
        self.taken = 0
        self.backlog = 0
        self._wanted = False

    def __len__(self) -> int:
        return len(self.late) + len(self.queue)

    @property
    def full(self) -> bool:
        """Whether workers should wait."""
        return len(self.queue) + self.backlog >= self._limit

    def has_room(self) -> bool:
        """Return whether it is not full. If it is, ``relieved`` is called once it is not."""
        if self.full:
            self._wanted = True
            return False
        return True

    def add_backlog(self, count: int) -> None:
        """Note that so many events more, or less, wait elsewhere."""
        self.backlog += count
        self._relieve()

    def _relieve(self) -> None:
        if self._wanted and not self.full:
            self._wanted = False
            self._relieved()

    @property
    def mark(self) -> int:
        """The value of ``taken`` when everything will have been taken that waits now, except for late handlers."""
        return self.taken + len(self.queue)

    def extend(self, notices: Iterable[Notice]) -> None:
        """Queue the notices for delivery, behind those that wait already."""
        for notice in notices:
            event = notice.event
            if not any(self._listeners[event]) and event not in _TERMINAL:
                continue
            if event in _COALESCED:
                key = (event, notice.file)
                if key not in self.latest:
                    self.queue.append(key)
                    self.latest[key] = notice
                elif notice.message is not None:
                    self.latest[key] = notice
            else:
                self.queue.append(notice)

    def extend_late(self, notices: Iterable[Notice]) -> None:
        """Queue notices for a handler that came late, before all others, behind those of their kind."""
        self.late.extend(notices)

    def take(self) -> Notice | None:
        """Remove the next notice to which anybody listens, and all before it, and return it, or None."""
        if self.late:
            return self.late.popleft()
        while self.queue:
            self.taken += 1
            item = self.queue.popleft()
            notice = item if isinstance(item, Notice) else self.latest.pop(item)
            heard = any(self._listeners[notice.event])
            # If some wait elsewhere, so will this one: until then it is in neither place.
            if not (heard and self.backlog and notice.event not in _COALESCED):
                self._relieve()
            if heard:
                return notice
        return None

    def waiting(self, file: int) -> Iterator[Notice]:
        """Return the notices about the file that wait for all handlers, without its progress."""
        return (item for item in self.queue if isinstance(item, Notice) and item.file == file)
