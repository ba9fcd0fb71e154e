"""Waiting for the end of something, and for the handlers of what has happened until then."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..errors import StateError, WaitTimeout
from .delivery import Delivery
from .monitor import Monitor
from .workers import Workers

__all__ = ["Waiting"]

SLICE = 0.2
"""Seconds of one wait: where a wait cannot be interrupted (Windows), Ctrl-C is noticed after so long."""


class Waiting:
    """How threads that are none of the session's wait. Called without the lock."""

    def __init__(self, monitor: Monitor, delivery: Delivery, workers: Workers) -> None:
        self._monitor = monitor
        self._delivery = delivery
        self._workers = workers

    def refuse_inside(self, call: str) -> None:
        """Raise StateError on a thread that is in a handler or a hook of the session, which would wait for itself."""
        if self._delivery.inside:
            raise StateError(call, "a handler is running on this thread, and it would wait for itself")
        if self._workers.inside:
            raise StateError(call, "a hook is running on this thread, and it would wait for itself")

    def until(self, over: Callable[[], bool], timeout: float | None, what: str, *, others: bool) -> None:
        """Returns once ``over()`` holds (asked under the lock) and, where they can be waited for, the handlers of what
        has happened until then have returned; with ``others`` also those of what happens meanwhile.

        Raises WaitTimeout after ``timeout`` seconds, and StateError in a handler or hook. Handlers that are called by
        hand run here.
        """
        self.refuse_inside(f"wait for {what}")
        monitor, delivery = self._monitor, self._delivery
        deadline = None if timeout is None else monitor.clock() + timeout
        mark = None
        with monitor.lock:
            monitor.waiting += 1
            monitor.work.notify_all()
        try:
            while True:
                delivery.drain()
                with monitor.lock:
                    if not over():
                        mark = None
                    elif mark is None:
                        mark = monitor.outbox.mark
                    if mark is not None and (not delivery.waits or delivery.over(None if others else mark)):
                        return
                    left = SLICE if deadline is None else min(SLICE, deadline - monitor.clock())
                    if left <= 0:
                        raise WaitTimeout(f"{what} is still going on after {timeout:g} s")
                    gate = None if delivery.drainable else monitor.waiters.gate()
                if gate is not None:
                    monitor.waiters.wait(gate, left)
        finally:
            with monitor.lock:
                monitor.waiting -= 1

    def told(self, patience: float) -> None:
        """Wait until nothing waits to be told and no handler runs, or so many seconds are over.

        Handlers that are called by hand run here; posted ones are not waited for.
        """
        monitor, delivery = self._monitor, self._delivery
        deadline = time.monotonic() + patience
        while True:
            delivery.drain()
            with monitor.lock:
                left = deadline - time.monotonic()
                if not delivery.waits or delivery.over() or left <= 0:
                    return
                gate = None if delivery.drainable else monitor.waiters.gate()
            if gate is not None:
                monitor.waiters.wait(gate, left)
