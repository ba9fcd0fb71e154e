"""The delivery of notices to handlers: on one thread at a time, one notice after the other.

On which, and when, see ``deliveries``.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from ..core.records import Notice
from ..errors import StateError
from .registry import FileEntry
from .shared_state import SharedState

__all__ = ["BATCH", "LINGER", "Delivery", "Emit"]

BATCH = 64
"""Notices in one batch."""

LINGER = 0.2
"""Seconds for which threads wait for more when nothing is open, so that fewer are started."""


Emit = Callable[[Notice, FileEntry | None], None]
"""Emits one notice, about this file if it is about one."""


class Delivery:
    """Takes notices from the outbox and passes each to ``emit``. The base of all ways to do so.

    ``returned`` is called, without the lock, when handlers have returned. What ``emit`` raises is a KeyboardInterrupt
    or a SystemExit of a handler, and is raised in the code that delivers. ``undecided`` is the notice whose receivers
    are not chosen yet, and ``delivered`` counts those that were passed on.
    """

    longest = math.inf
    """Seconds after which a batch ends, however few notices it had."""

    polled = False
    """Whether a task that waits has to call :meth:`drain` every now and then."""

    def __init__(self, shared: SharedState, emit: Emit, returned: Callable[[], None]) -> None:
        self._shared = shared
        self._lock = shared.lock
        self._outbox = shared.outbox
        self._entries = shared.registry.entries
        self._emit = emit
        self._returned = returned
        self._awaited = False
        self._emitter: int | None = None
        self.undecided: Notice | None = None
        self.delivered = 0

    @property
    def waits(self) -> bool:
        """Whether ``join()`` on the calling thread may wait until every handler has returned."""
        return True

    @property
    def waits_briefly(self) -> bool:
        """Whether the calling thread may wait a moment until handlers have returned."""
        return self.waits

    @property
    def alive(self) -> bool:
        """Whether handlers are going to be called while tasks of a loop wait for them."""
        return True

    @property
    def closed(self) -> bool:
        """Whether handlers are called no more, because what they are about is gone."""
        return False

    @property
    def idle(self) -> bool:
        """Whether no notice waits and no handler runs. The caller holds the lock."""
        return self._emitter is None and not len(self._outbox)

    @property
    def inside(self) -> bool:
        """Whether the calling thread is in a handler."""
        return self._emitter == threading.get_ident()

    def over(self, mark: int | None = None) -> bool:
        """Return whether no notice waits and no handler runs. With the ``mark`` that the outbox had at some time:
        whether the notices that waited then are delivered, and every late handler has caught up.

        The caller holds the lock. If the answer is no, waiters are notified when another handler has returned.
        """
        taken = self._outbox.taken
        if mark is None:
            over = self.idle
        else:
            over = not self._outbox.late and (taken > mark or (taken == mark and self._emitter is None))
        self._awaited = self._awaited or not over
        return over

    def coming(self, file: int) -> list[Notice]:
        """Return the notices about the file that a handler will get that begins to listen now. The caller holds the
        lock."""
        coming = list(self._outbox.waiting(file))
        undecided = self.undecided
        # One with extra is for a single late handler.
        if undecided is not None and undecided.file == file and not undecided.extra:
            coming.append(undecided)
        return coming

    def watch(self) -> None:
        """Notify waiters when the next notice is delivered. The caller holds the lock."""
        self._awaited = True

    @property
    def drainable(self) -> bool:
        """Whether :meth:`drain` would deliver something now. The caller holds the lock."""
        return False

    def post(self) -> None:
        """Have waiting notices delivered. Called without the lock, by any thread."""
        raise NotImplementedError

    def drain(self) -> None:
        """Help with the delivery. Called by a thread that waits for handlers, repeatedly, without the lock."""
        self.post()

    def deliver_here(self) -> None:
        """Deliver what waits, if handlers run on the calling thread."""

    def process(self) -> int:
        """Deliver waiting notices on this thread, and return how many. Raises StateError unless delivery is manual."""
        raise StateError("process the events", "they are delivered by themselves, for deliver is not 'manual'")

    def _deliver(self, limit: int = BATCH) -> int:
        """Deliver notices on this thread, and return how many: 0 if another thread delivers, or this one, in a
        handler."""
        with self._lock:
            if self._emitter is not None:
                return 0
            self._emitter = threading.get_ident()
            before = self._outbox.taken
        count = 0
        end = time.monotonic() + self.longest
        try:
            while count < limit and not self.closed and (not count or time.monotonic() < end):
                with self._lock:
                    notice = self.undecided = self._outbox.take()
                    self._tell_waiters()
                    if notice is None:
                        break
                    self.delivered += 1
                count += 1
                self._emit(notice, self._entries.get(notice.file))
        finally:
            with self._lock:
                self.undecided = None
                self._emitter = None
                self._tell_waiters()
            if count or self._outbox.taken != before:
                self._returned()
        return count

    def _tell_waiters(self) -> None:
        if self._awaited:
            self._awaited = False
            self._shared.waiters.notify_all()
