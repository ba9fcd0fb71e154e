"""The end of runs that began by themselves, if the program does not say that no more files come.

The end of a ``with`` block says so. Elsewhere, in a window, or while a task waits for the next event, a run ends after
some *silence*: nothing is left to send, no notice waits, no handler runs, and no files are being added.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..core.states import SessionState
from .delivery import Delivery
from .shared_state import SharedState

__all__ = ["Completion"]

logger = logging.getLogger("resumable")


class Completion:
    """Ends the runs of one session ``delay`` seconds after silence began.

    ``handling()`` says whether a handler runs that the delivery does not know of. The thread that waits for the delay
    ends with the silence, so that it keeps no session for ever.
    """

    def __init__(self, shared: SharedState, delivery: Delivery, handling: Callable[[], bool], *, delay: float) -> None:
        self._shared = shared
        self._lock = shared.lock
        self._delivery = delivery
        self._handling = handling
        self._delay = delay
        self._thread: threading.Thread | None = None

    def consider(self) -> None:
        """Check whether silence has begun or ended. Called by any thread, without the lock, when something has changed;
        notices of it then wait for delivery."""
        shared = self._shared
        if not shared.core.open_ended or shared.held_open:
            return
        with self._lock:
            left = self._left()
            if left is None or self._thread is not None:
                return
            if left <= 0:
                self._end()
                return
            thread = self._thread = threading.Thread(target=self._run, name="resumable-completion", daemon=True)
        try:
            thread.start()
        except BaseException as error:
            # Ctrl-C may come here as well.
            if thread.ident is None:
                with self._lock:
                    self._thread = None
                    if self._left() is not None:
                        self._end()
            if not isinstance(error, RuntimeError):
                raise
            logger.warning("the system starts no thread that waits for completion_delay: the run ends now")

    def _left(self) -> float | None:
        """Seconds that silence still has to last, or None if there is none. The caller holds the lock."""
        shared = self._shared
        core = shared.core
        silent = (
            core.open_ended
            and core.finished
            and core.state is SessionState.UPLOADING
            and not shared.held_open
            and not shared.adding
            and self._delivery.idle
            and not self._handling()
        )
        if not silent:
            shared.silent_since = None
            return None
        now = shared.clock()
        if shared.silent_since is None:
            shared.silent_since = now
        return shared.silent_since + self._delay - now

    def _run(self) -> None:
        with self._lock:
            while (left := self._left()) is not None and left > 0:
                self._shared.work.wait(min(max(left, 0.001), threading.TIMEOUT_MAX))
            self._thread = None
            if left is not None:
                self._end()
        self._delivery.post()

    def _end(self) -> None:
        """End the run. The caller holds the lock."""
        self._shared.apply(self._shared.core.close_run())
