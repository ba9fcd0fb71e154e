"""The threads on which files are looked for and added."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from ..errors import WaitTimeout
from .waiter import SLICE

__all__ = ["Additions"]


class Additions:
    """What was begun to add files to a session, which is in ``adding()`` meanwhile. Every method may be called by any
    thread."""

    def __init__(self, adding: Callable[[], AbstractContextManager[None]]) -> None:
        self._adding = adding
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._unwanted = threading.Event()

    def begin(self, add: Callable[[threading.Event], None]) -> None:
        """Call ``add(unwanted)`` on a thread. The event is set once its files are not wanted any more."""
        unwanted = self._unwanted
        adding = ExitStack()

        def run() -> None:
            with adding:
                add(unwanted)

        thread = threading.Thread(target=run, name="resumable-add", daemon=True)
        # From here on, so that no run ends before the thread has begun.
        adding.enter_context(self._adding())
        try:
            thread.start()
        except BaseException:
            adding.close()
            raise
        with self._lock:
            self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]

    def end(self) -> None:
        """Let the files not be wanted any more that are being looked for."""
        with self._lock:
            self._unwanted.set()
            self._unwanted = threading.Event()

    @property
    def under_way(self) -> list[threading.Thread]:
        """The threads that add files, without the calling one."""
        with self._lock:
            return [each for each in self._threads if each.is_alive() and each is not threading.current_thread()]

    def wait(self, timeout: float | None) -> float | None:
        """Wait until everything is added, and return what is left of the seconds. Raises WaitTimeout."""
        began = time.monotonic()
        waited = 0.0
        while threads := self.under_way:
            if timeout is not None and waited >= timeout:
                raise WaitTimeout(f"files are still being looked for after {timeout:g} s")
            threads[0].join(SLICE if timeout is None else min(SLICE, timeout - waited))
            waited = time.monotonic() - began
        return timeout if timeout is None or not waited else max(timeout - waited, 0.0)
