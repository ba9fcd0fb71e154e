"""The end of runs that began by themselves, if the program does not say that no more files come.

The end of a ``with`` block says so. Elsewhere, in a window, or while a task waits for the next event, a run ends after
some *silence*: nothing is left to send, no notice waits, no handler runs, and no files are being added.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..core.states import SessionState
from .delivery import Delivery
from .shared_state import SharedState

__all__ = ["Completion"]

logger = logging.getLogger("resumable")


class Completion:
    """Ends the runs of one session ``delay`` seconds after silence began.

    ``handling()`` says whether a handler runs that the delivery does not know of. ``used``: something was added, or was
    to be. The thread that waits for the delay ends with the silence, so that it keeps no session for ever.
    """

    def __init__(self, shared: SharedState, delivery: Delivery, handling: Callable[[], bool], *, delay: float) -> None:
        self._shared = shared
        self._lock = shared.lock
        self._delivery = delivery
        self._handling = handling
        self._delay = delay
        self._thread: threading.Thread | None = None
        self._block = False
        self._adding = 0
        self._listening = 0
        # When silence began, if there is any, and how many notices had been delivered by then.
        self._silent_since: float | None = None
        self._delivered = 0
        self.used = False

    def keep_open(self) -> None:
        """Let no run end by itself: the session is joined at the end of a block."""
        with self._shared.entrance:
            self._block = True
            self._shared.work.notify_all()

    def begin_adding(self) -> None:
        """Let no run end by itself until :meth:`end_adding`: files are looked for and added."""
        with self._shared.entrance:
            self._adding += 1
            self._silent_since = None

    def end_adding(self) -> None:
        """Note that what was looked for is added."""
        with self._shared.entrance:
            self._adding -= 1
            self.used = True
            self._shared.waiters.notify_all()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let runs end by themselves in this block, even within one at whose end the session is joined: a task waits
        for the next event instead of for that."""
        with self._shared.entrance:
            self._listening += 1
        try:
            yield
        finally:
            with self._shared.entrance:
                self._listening -= 1

    @property
    def over(self) -> bool:
        """Whether the session is closed, or all has ended that was added, and nothing is being added. The caller holds
        the lock."""
        core = self._shared.core
        ended = core.state is SessionState.IDLE and core.finished and self.used and not self._adding
        return core.state is SessionState.CLOSED or ended

    @property
    def _held_open(self) -> bool:
        """Whether there is somebody who is going to say that no more files come."""
        return self._block and not self._listening

    def consider(self) -> None:
        """Check whether silence has begun or ended. Called by any thread, without the lock, when something has changed;
        notices of it then wait for delivery."""
        if not self._shared.core.open_ended or self._held_open:
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
        core, delivered = self._shared.core, self._delivery.delivered
        silent = (
            core.open_ended
            and core.finished
            and core.state is SessionState.UPLOADING
            and not self._held_open
            and not self._adding
            and self._delivery.idle
            and not self._handling()
        )
        if not silent:
            self._silent_since = None
            return None
        now = self._shared.clock()
        if self._silent_since is None or self._delivered != delivered:
            self._silent_since, self._delivered = now, delivered
        return self._silent_since + self._delay - now

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
