"""The four ways to deliver notices to handlers.

*Thread*: a thread of the session, started by the first notice. It ends when nothing is open and no notice waits.
*Posted*: a function of the user that calls a function on the user's thread (``loop.call_soon_threadsafe``,
``wx.CallAfter``, ``GLib.idle_add``). It is called once when notices begin to wait; each call delivers a bounded batch
and posts again for the rest, so that a window never freezes. *Loop*: posted to the asyncio loop in which the session
was made. *Manual*: the user calls ``process_events()``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from ..core.states import SessionState
from .delivery import LINGER, Delivery, Emit
from .event_loop import running_loop
from .shared_state import SharedState

__all__ = ["MOST", "make_delivery"]

logger = logging.getLogger("resumable")

MOST = 1024
"""Notices that ``process_events()`` delivers in one call, at most."""

GATHERING = 0.004
"""Seconds for which the thread lets notices gather after it has delivered some. To wake it for each would cost a small
upload a fifth of its time."""


class ThreadDelivery(Delivery):
    """Runs handlers on a thread named ``resumable-events``: at once after a silence, and a few milliseconds late when
    much happens."""

    def __init__(self, shared: SharedState, emit: Emit, returned: Callable[[], None]) -> None:
        super().__init__(shared, emit, returned)
        self._notices_ready = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._gathering = False

    def post(self) -> None:
        """See :meth:`Delivery.post`."""
        if self._gathering or (not len(self._outbox) and self._shared.core.has_work):
            return
        with self._notices_ready:
            self._notices_ready.notify()
            if self._thread is not None or not len(self._outbox):
                return
            self._thread = thread = threading.Thread(target=self._run, name="resumable-events", daemon=True)
        try:
            thread.start()
        except BaseException as error:
            # The notices are kept, and the next thread that posts or waits tries again. Ctrl-C may come here as well.
            if thread.ident is None:
                with self._notices_ready:
                    self._thread = None
            if not isinstance(error, RuntimeError):
                raise
            logger.warning("the system starts no thread for the handlers: they run once it does")

    def _run(self) -> None:
        while True:
            try:
                self._deliver()
            except Exception:
                logger.exception("the delivery of an event failed unexpectedly")
            except KeyboardInterrupt:
                logger.warning("a handler raised KeyboardInterrupt, which has no effect on the thread of the handlers")
            except BaseException:
                # A handler wanted to end the program, which has been reported. Others wait for this thread.
                pass
            gather = self._shared.core.has_work
            with self._notices_ready:
                if gather:
                    self._gathering = True
                    self._notices_ready.wait(GATHERING)
                    self._gathering = False
                while not len(self._outbox):
                    if self._shared.core.has_work:
                        self._notices_ready.wait()
                    elif self._shared.core.state is SessionState.CLOSED or not self._notices_ready.wait(LINGER):
                        # A thread that posts between the end of that time and this line believes that we are here.
                        if len(self._outbox):
                            break
                        self._thread = None
                        return


class PostedDelivery(Delivery):
    """Runs handlers where ``post(function)`` calls its function, which may be at once, on the thread that posts."""

    longest = 0.005

    def __init__(
        self,
        shared: SharedState,
        emit: Emit,
        returned: Callable[[], None],
        post: Callable[[Callable[[], None]], Any],
    ) -> None:
        super().__init__(shared, emit, returned)
        self._post = post
        self._posted = False
        self._posting = threading.local()
        # The thread on which functions that were posted run, once that is known.
        self._home: int | None = None
        self._refused = False

    @property
    def waits(self) -> bool:
        """See :class:`Delivery`. The thread that waits may be the one on which handlers run."""
        return False

    @property
    def closed(self) -> bool:
        """See :class:`Delivery`. A loop of windows says so by an attribute of this name."""
        return getattr(self._post, "closed", False) is True

    def post(self) -> None:
        """See :meth:`Delivery.post`."""
        with self._lock:
            if self._posted or not len(self._outbox):
                return
            self._posted = True
        while self._called_at_once():
            if not self._batch():
                return

    def deliver_here(self) -> None:
        """See :meth:`Delivery.deliver_here`."""
        if self._home == threading.get_ident():
            with self._lock:
                waiting = len(self._outbox)
            self._deliver(waiting)

    def _called_at_once(self) -> bool:
        """Post, and return whether the function was called at once, on this thread; it has done nothing then."""
        self._posting.called = False
        try:
            self._post(self._run)
        except Exception:
            # The notices are kept, and the next one tries again: a loop that is closed refuses all of them.
            if not self._refused:
                logger.exception("the function given as deliver= raised: the handlers wait")
            self._refused = True
            with self._lock:
                self._posted = False
            return False
        else:
            self._refused = False
        finally:
            called: bool = self._posting.called
            del self._posting.called
        return called

    def _run(self) -> None:
        if hasattr(self._posting, "called"):
            # Delivering from here would nest a call in a call for every batch.
            self._posting.called = True
            return
        while self._batch() and self._called_at_once():
            pass

    def _batch(self) -> bool:
        """Deliver a batch, and return whether there is more to post for."""
        self._home = threading.get_ident()
        try:
            self._deliver()
        except BaseException:
            with self._lock:
                self._posted = False
            self.post()
            raise
        with self._lock:
            more = self._posted = bool(len(self._outbox))
        return more


class LoopDelivery(PostedDelivery):
    """Runs handlers in the asyncio loop that runs on this thread, and while this thread waits for the session, so that
    those who block the loop hear of what happens, too.

    If the loop has ended, the next one in which the session is used takes its place.
    """

    def __init__(self, shared: SharedState, emit: Emit, returned: Callable[[], None], loop: Any) -> None:
        super().__init__(shared, emit, returned, self._post_to_loop)
        self._loop = loop
        self._home = threading.get_ident()

    def _post_to_loop(self, function: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)

    def post(self) -> None:
        """See :meth:`Delivery.post`."""
        if self._loop.is_closed():
            loop = running_loop()
            with self._lock:
                self._posted = False
                if loop is None:
                    # Whoever waits for the session on the thread of the loop calls the handlers.
                    return
                self._loop, self._home = loop, threading.get_ident()
        super().post()

    @property
    def waits(self) -> bool:
        """See :class:`Delivery`. Another thread may not: the loop may have ended, or wait for that thread."""
        return self._home == threading.get_ident()

    @property
    def waits_briefly(self) -> bool:
        """See :class:`Delivery`."""
        return self.waits or self.alive

    @property
    def alive(self) -> bool:
        """See :class:`Delivery`."""
        return bool(self._loop.is_running())

    @property
    def drainable(self) -> bool:
        """See :class:`Delivery`."""
        return self.waits and bool(len(self._outbox)) and self._emitter is None

    def drain(self) -> None:
        """See :meth:`Delivery.drain`."""
        if self.waits:
            self._deliver()


class ManualDelivery(Delivery):
    """Runs handlers in ``process_events()``, and while ``join()`` waits."""

    polled = True

    def post(self) -> None:
        """Do nothing: the user asks for the notices."""

    @property
    def drainable(self) -> bool:
        """See :class:`Delivery`."""
        return bool(len(self._outbox)) and self._emitter is None

    def deliver_here(self) -> None:
        """See :meth:`Delivery.deliver_here`. Whoever cancels does what ``process_events()`` does."""
        self.process()

    def drain(self) -> None:
        """See :meth:`Delivery.drain`."""
        self.process()

    def process(self) -> int:
        """See :meth:`Delivery.process`. Notices that come meanwhile wait for the next call, so that this one returns,
        and so do more than a window has time for."""
        with self._lock:
            waiting = len(self._outbox)
        return self._deliver(min(waiting, MOST))


def make_delivery(way: Any, shared: SharedState, emit: Emit, returned: Callable[[], None]) -> Delivery:
    """Return the delivery that the option ``deliver`` asks for. Unless it asks for one, that is the asyncio loop that
    runs on this thread, or else a thread."""
    loop = running_loop() if way is None else None
    if loop is not None:
        return LoopDelivery(shared, emit, returned, loop)
    if way in (None, "thread"):
        return ThreadDelivery(shared, emit, returned)
    if way == "manual":
        return ManualDelivery(shared, emit, returned)
    return PostedDelivery(shared, emit, returned, way)
