"""A thread that removes stale uploads, for applications that do not run a server of this package."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import OptionError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ProcessSweeper", "Sweeper", "sweep_or_log"]

_log = logging.getLogger(__name__)


class Sweeper:
    """Calls ``sweep`` at once and then every ``seconds``, on a daemon thread.

    :meth:`Receiver.sweep_every` returns one that is already running.
    """

    def __init__(self, sweep: Callable[[], object], seconds: float) -> None:
        if not 0 < seconds <= threading.TIMEOUT_MAX:
            raise OptionError("seconds", seconds, "more than 0, and no more than a thread can wait")
        self._sweep = sweep
        self._seconds = seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resumable-sweeper", daemon=True)

    def start(self) -> Self:
        """Start sweeping. Call this only once."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop, after waiting for a sweep that is running. May be called more than once."""
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            sweep_or_log(self._sweep)
            self._stopped.wait(self._seconds)


class ProcessSweeper:
    """Starts a :class:`Sweeper` in each process that asks for one, because threads do not survive a fork.

    ``seconds`` is None if nothing is to be swept.
    """

    def __init__(self, sweep: Callable[[], object], seconds: float | None) -> None:
        self._sweep = sweep
        self._seconds = seconds
        self._started: tuple[int, Sweeper] | None = None
        if seconds is not None:
            Sweeper(sweep, seconds)  # raises OptionError now, and not at the first request

    def start(self) -> None:
        """Start sweeping in this process, unless it has begun. Two threads may start two, which does no harm."""
        if self._seconds is not None and (self._started is None or self._started[0] != os.getpid()):
            self._started = os.getpid(), Sweeper(self._sweep, self._seconds).start()

    def stop(self) -> None:
        """Stop sweeping in this process, after waiting for a sweep that is running."""
        started, self._started = self._started, None
        if started is not None and started[0] == os.getpid():
            started[1].stop()


def sweep_or_log(sweep: Callable[[], object]) -> None:
    """Sweep. Log what it raises."""
    try:
        sweep()
    except Exception:
        _log.exception("cannot sweep the store")
