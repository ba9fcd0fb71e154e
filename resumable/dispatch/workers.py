"""The pool: daemon threads that lease work, perform it, and report the outcome.

They are started by the first run, and when there is work for more of them, and end when nothing is open. If the system
gives no more threads, fewer do the work.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from ..core.records import Outcome, OutcomeKind
from ..tracebacks import showable
from .leases import LeaseManager, Perform

__all__ = ["Workers", "run_within"]

logger = logging.getLogger("resumable")


class Workers:
    """At most as many threads as the lease manager wants, each of which ends when it is given no lease. ``has_work()``:
    whether there may be one."""

    def __init__(self, lease_manager: LeaseManager, perform: Perform, has_work: Callable[[], bool]) -> None:
        self._lease_manager = lease_manager
        self._perform = perform
        self._has_work = has_work
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._leaving: set[threading.Thread] = set()
        self._made = 0
        self._possible = math.inf

    @property
    def inside(self) -> bool:
        """Whether the calling thread is one of them, and so in a hook."""
        return threading.current_thread() in self._threads

    def start(self) -> None:
        """Start the threads that are missing. Raises RuntimeError if not even one can be started."""
        with self._lock:
            self._possible = math.inf
            while len(self._threads) < self._lease_manager.wanted:
                self._made += 1
                thread = threading.Thread(target=self._run, name=f"resumable-worker-{self._made}", daemon=True)
                self._threads.add(thread)
                try:
                    thread.start()
                except BaseException as error:
                    # Ctrl-C may come here as well.
                    if thread.ident is None:
                        self._threads.discard(thread)
                    if not isinstance(error, RuntimeError) or not self._threads:
                        raise
                    self._possible = count = len(self._threads)
                    logger.warning("the system starts no more threads: the upload goes on with %d workers", count)
                    return

    def grow(self) -> None:
        """Start the threads for which there is work by now, unless the system gave no more before."""
        if len(self._threads) < min(self._lease_manager.wanted, self._possible):
            self.start()

    def join(self, timeout: float) -> bool:
        """Wait until all threads have ended, at most ``timeout`` seconds, and return whether they have."""
        deadline = time.monotonic() + timeout
        with self._lock:
            threads = (self._threads | self._leaving) - {threading.current_thread()}
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in threads)

    def _run(self) -> None:
        thread = threading.current_thread()
        try:
            while True:
                self._work()
                with self._lock:
                    self._threads.discard(thread)
                    self._leaving.add(thread)
                # A run that has begun meanwhile may have counted on this thread.
                if not self._has_work():
                    return
                with self._lock:
                    self._leaving.discard(thread)
                    if len(self._threads) >= self._lease_manager.slots:
                        return
                    self._threads.add(thread)
        finally:
            with self._lock:
                self._threads.discard(thread)
                self._leaving.discard(thread)

    def _work(self) -> None:
        """Work until there is no run any more."""
        leases = self._lease_manager
        pace = 0.0
        while (transfer := leases.acquire(pace)) is not None:
            if len(self._threads) < leases.wanted:
                self.grow()
            try:
                outcome = self._perform(transfer, leases.begin_send)
            except BaseException as error:
                # A slot must not leak, and a worker must not die silently, whatever went wrong.
                logger.exception("a request failed unexpectedly; its file has failed with it")
                raised = showable(error)
                cause = raised if isinstance(raised, Exception) else RuntimeError(repr(raised))
                outcome = Outcome(OutcomeKind.REFUSED, message=str(raised), error=cause)
            pace = leases.complete(transfer, outcome) or pace


def run_within(seconds: float, work: Callable[[], None], stop: Callable[[], None]) -> None:
    """Do the work on a thread, and call ``stop`` when it is done or after so many seconds, in which case the thread is
    left alone."""
    thread = threading.Thread(target=work, name="resumable-brief", daemon=True)
    try:
        thread.start()
        thread.join(seconds)
    finally:
        stop()
