"""Files that were given up, for the hook ``on_abort``.

The hook runs on a thread of its own, once for each file: whoever cancels may have no time, and workers end with the
run. While another hook of the file runs it waits, so that it can undo what that did.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from .registry import FileEntry
from .shared_state import SharedState

__all__ = ["Abandonment"]

logger = logging.getLogger("resumable")


class Abandonment:
    """Calls ``call`` with each file that was given up. The thread ends when there is none left."""

    def __init__(self, shared: SharedState, call: Callable[[FileEntry], None]) -> None:
        self._shared = shared
        self._lock = shared.lock
        self._call = call
        self._thread: threading.Thread | None = None

    @property
    def over(self) -> bool:
        """Whether the hook has run for every file. The caller holds the lock."""
        return not self._shared.abandoned and self._thread is None

    @property
    def inside(self) -> bool:
        """Whether the calling thread is in the hook."""
        return threading.current_thread() is self._thread

    def begin(self) -> None:
        """Begin with the files that were given up, if there are any. Called without the lock."""
        if not self._shared.abandoned:
            return
        with self._lock:
            if self._thread is not None:
                return
            thread = self._thread = threading.Thread(target=self._run, name="resumable-abort", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            logger.warning("the system starts no thread for on_abort: the hook runs where the files were cancelled")
            self._thread = threading.current_thread()
            self._run()

    def wait(self, seconds: float) -> None:
        """Wait until the hook has run for every file, at most so many seconds."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with self._lock:
                if self.over:
                    return
                gate = self._shared.waiters.gate()
            self._shared.waiters.wait(gate, left)

    def _run(self) -> None:
        shared = self._shared
        while True:
            with self._lock:
                entry = None
                while shared.abandoned and entry is None:
                    entry = next((each for each in shared.abandoned if not each.core.preparing), None)
                    if entry is None:
                        shared.work.wait()
                if entry is None:
                    self._thread = None
                    shared.waiters.notify_all()
                    return
                shared.abandoned.remove(entry)
            try:
                self._call(entry)
            except BaseException:
                # What is not an Exception is not meant for this thread, which others wait for.
                logger.exception("the hook on_abort ended unexpectedly")
