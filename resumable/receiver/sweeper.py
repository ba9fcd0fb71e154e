"""A thread that sweeps, for applications in which no server of this package does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import OptionError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Sweeper", "sweep_or_log"]

_log = logging.getLogger(__name__)


class Sweeper:
    """Calls ``sweep`` at once, and then every so many ``seconds``, on a thread that keeps no process from ending.

    :meth:`Receiver.sweep_every` gives one that was started.
    """

    def __init__(self, sweep: Callable[[], object], seconds: float) -> None:
        if not 0 < seconds <= threading.TIMEOUT_MAX:
            raise OptionError("seconds", seconds, "more than 0, and no more than a thread can wait")
        self._sweep = sweep
        self._seconds = seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resumable-sweeper", daemon=True)

    def start(self) -> Self:
        """It sweeps from now on. May be called once."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """It sweeps no more when this returns, which waits for a sweep that is under way. Does nothing twice."""
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            sweep_or_log(self._sweep)
            self._stopped.wait(self._seconds)


def sweep_or_log(sweep: Callable[[], object]) -> None:
    """It was called; what it raised is in the log."""
    try:
        sweep()
    except Exception:
        _log.exception("cannot sweep")
