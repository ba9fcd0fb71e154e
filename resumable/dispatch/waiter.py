"""Waiting for the end of something, and for the handlers of its events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from numbers import Real
from typing import Any

from ..errors import OptionError, StateError, WaitTimeout
from .delivery import Delivery
from .shared_state import SharedState

__all__ = ["SLICE", "Waiter", "checked_timeout"]

SLICE = 0.2
"""Seconds of one wait. If waits cannot be interrupted (Windows), Ctrl-C is noticed after so long."""


def checked_timeout(timeout: Any) -> float | None:
    """Return the seconds that somebody wants to wait at most; None for no limit, or one that no clock counts. Raises
    OptionError for what is no number."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, Real) or timeout != timeout:
        raise OptionError("timeout", timeout, "a number of seconds or None")
    return float(timeout) if timeout < threading.TIMEOUT_MAX else None


class Waiter:
    """Waits on behalf of threads that are not the session's. Called without the lock. ``in_hook()`` says whether the
    calling thread is in a hook."""

    def __init__(self, shared: SharedState, delivery: Delivery, in_hook: Callable[[], bool]) -> None:
        self._shared = shared
        self._delivery = delivery
        self._in_hook = in_hook

    def refuse_inside(self, call: str) -> None:
        """Raise StateError on a thread that is in a handler or a hook of the session, which would wait for itself."""
        if self._delivery.inside:
            raise StateError(call, "a handler is running on this thread, and it would wait for itself")
        if self._in_hook():
            raise StateError(call, "a hook is running on this thread, and it would wait for itself")

    def wait_for(self, over: Callable[[], bool], timeout: float | None, what: str, *, others: bool) -> None:
        """Wait until ``over()`` holds, which is called under the lock, and the handlers of what happened until then
        have returned, if they can be waited for; with ``others`` also those of what happens meanwhile.

        Raises WaitTimeout after ``timeout`` seconds, and StateError in a handler or hook. With manual delivery the
        handlers run here.
        """
        self.refuse_inside(f"wait for {what}")
        shared, delivery = self._shared, self._delivery
        # By no clock of a test, which may stand still or go back.
        deadline = None if timeout is None else time.monotonic() + timeout
        settled = self.settled(over, others=others)
        with shared.lock:
            shared.waiting += 1
            shared.work.notify_all()
        try:
            while True:
                delivery.drain()
                with shared.lock:
                    if settled(delivery.waits):
                        return
                    left = SLICE if deadline is None else min(SLICE, deadline - time.monotonic())
                    if left <= 0:
                        raise WaitTimeout(f"{what} is still going on after {timeout:g} s")
                    gate = None if delivery.drainable else shared.waiters.gate()
                if gate is not None:
                    shared.waiters.wait(gate, left)
        finally:
            with shared.lock:
                shared.waiting -= 1

    def settled(self, over: Callable[[], bool], *, others: bool) -> Callable[[bool], bool]:
        """Return what is called under the lock, repeatedly, and says whether a wait is over: ``over()`` holds, and, if
        that is asked for, the handlers have returned of what happened until then, or with ``others`` also of what
        happens meanwhile."""
        mark: int | None = None

        def settled(handlers: bool) -> bool:
            nonlocal mark
            if not over():
                mark = None
            elif mark is None:
                mark = self._shared.outbox.mark
            return mark is not None and (not handlers or self._delivery.over(None if others else mark))

        return settled

    def wait_delivered(self, timeout: float, mark: int | None = None) -> None:
        """Wait until no notice waits and no handler runs, at most ``timeout`` seconds. With the ``mark`` of the outbox,
        wait only for what waited then.

        With manual delivery the handlers run here; posted ones are not waited for.
        """
        shared, delivery = self._shared, self._delivery
        deadline = time.monotonic() + timeout
        while True:
            delivery.drain()
            with shared.lock:
                left = deadline - time.monotonic()
                if not delivery.waits_briefly or delivery.over(mark) or left <= 0:
                    return
                gate = None if delivery.drainable else shared.waiters.gate()
            if gate is not None:
                shared.waiters.wait(gate, left)
