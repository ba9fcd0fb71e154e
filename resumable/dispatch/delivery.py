"""Who calls the handlers, and when: one thread at a time, one notice after the other.

*Thread*: an own thread, started by the first notice and gone when the run is over and nothing is left to tell. *Posted*: a function of
yours that calls a function on your thread (``loop.call_soon_threadsafe``, ``wx.CallAfter``, ``GLib.idle_add``). It is
called once when notices begin to wait; each call delivers a bounded batch and posts again for the rest, so that a
window never freezes. *Manual*: you call ``process_events()``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..core.records import Notice
from .outbox import Outbox

__all__ = ["Delivery", "ManualDelivery", "PostedDelivery", "ThreadDelivery", "make_delivery"]

BATCH = 64
"""Notices that are delivered at once."""


class Delivery:
    """Takes notices from the outbox and gives each to ``emit``, which never raises. The base of the three ways."""

    def __init__(self, outbox: Outbox, emit: Callable[[Notice], None], condition: threading.Condition) -> None:
        self._outbox = outbox
        self._emit = emit
        self._condition = condition
        self._emitter: int | None = None
        self.current: Notice | None = None

    @property
    def inside(self) -> bool:
        """Whether the calling thread is in a handler."""
        return self._emitter == threading.get_ident()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and no handler runs. The caller holds the lock."""
        return self._emitter is None and not len(self._outbox)

    waits = True
    """Whether ``join()`` may wait until every handler has returned."""

    drains = False
    """Whether whoever waits has to deliver the notices meanwhile: see :meth:`drain`."""

    def post(self) -> None:
        """Waiting notices will be delivered. Called without the lock, by any thread."""
        raise NotImplementedError

    def deliver(self, limit: int = BATCH) -> int:
        """How many notices were delivered, on this thread. 0 too when another thread is delivering."""
        with self._condition:
            if self._emitter is not None:
                return 0
            self._emitter = threading.get_ident()
        count = 0
        try:
            while count < limit:
                with self._condition:
                    self.current = self._outbox.take()
                    self._condition.notify_all()
                if self.current is None:
                    break
                self._emit(self.current)
                count += 1
        finally:
            with self._condition:
                self.current = None
                self._emitter = None
                self._condition.notify_all()
        return count

    def drain(self) -> None:
        """Called by a thread that waits for the handlers, again and again, without the lock."""


class ThreadDelivery(Delivery):
    """Handlers run on a thread named ``resumable-events``."""

    def __init__(self, busy: Callable[[], bool], *facts: Any) -> None:
        super().__init__(*facts)
        self._busy = busy
        self._thread: threading.Thread | None = None

    def post(self) -> None:
        """See :meth:`Delivery.post`."""
        with self._condition:
            if self._thread is not None or not len(self._outbox):
                return
            self._thread = threading.Thread(target=self._run, name="resumable-events", daemon=True)
            thread = self._thread
        thread.start()

    def _run(self) -> None:
        while True:
            self.deliver()
            with self._condition:
                self._condition.wait_for(lambda: len(self._outbox) or not self._busy())
                if not len(self._outbox):
                    self._thread = None
                    return


class PostedDelivery(Delivery):
    """Handlers run where ``post(function)`` calls its function."""

    waits = False

    def __init__(self, post: Callable[[Callable[[], None]], Any], *facts: Any) -> None:
        super().__init__(*facts)
        self._post = post
        self._posted = False

    def post(self) -> None:
        """See :meth:`Delivery.post`."""
        with self._condition:
            if self._posted or not len(self._outbox):
                return
            self._posted = True
        self._post(self._run)

    def _run(self) -> None:
        with self._condition:
            self._posted = False
        self.deliver()
        self.post()


class ManualDelivery(Delivery):
    """Handlers run in ``process_events()``, and while ``join()`` waits."""

    drains = True

    def post(self) -> None:
        """Nothing is to be done: whoever owns the session asks for the notices."""

    def drain(self) -> None:
        """See :meth:`Delivery.drain`."""
        while self.deliver():
            pass


def make_delivery(
    way: Any,
    outbox: Outbox,
    emit: Callable[[Notice], None],
    condition: threading.Condition,
    busy: Callable[[], bool],
) -> Delivery:
    """The way that the option ``deliver`` asks for. ``busy`` says, under the lock, whether a run is under way."""
    if way is None:
        return ThreadDelivery(busy, outbox, emit, condition)
    if way == "manual":
        return ManualDelivery(outbox, emit, condition)
    return PostedDelivery(way, outbox, emit, condition)
