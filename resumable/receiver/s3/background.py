"""Make parts of chunks that are acknowledged already, while the next ones arrive.

Nothing depends on it: what has not been made when a file is finished, because a server died or the store refused it, is
made then.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from ..messages import Refusal
from .failures import Missing

__all__ = ["Background"]

_log = logging.getLogger(__name__)

_MOST = 8


class Background:
    """Threads that make parts, at most ``most`` at a time."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._running: Counter[str] = Counter()
        self._changed = threading.Condition()

    def run(self, upload_id: str, make: Callable[[], object]) -> None:
        """Call ``make`` in a thread, or at once if there are too many: whoever sends faster than that has to wait."""
        with self._changed:
            full = self._running.total() >= self._most
            self._running[upload_id] += 1
        if full:
            self._make(upload_id, make)
        else:
            threading.Thread(target=self._make, args=(upload_id, make), name="resumable-part", daemon=True).start()

    def wait(self, upload_id: str, seconds: float) -> None:
        """Wait at most this long until nothing is being made for this multipart upload."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running[upload_id], seconds)

    def _make(self, upload_id: str, make: Callable[[], object]) -> None:
        try:
            with suppress(Refusal, Missing):  # the first was logged
                make()
        except Exception:
            _log.exception("cannot make a part of an upload")
        finally:
            with self._changed:
                self._running[upload_id] -= 1
                if not self._running[upload_id]:
                    del self._running[upload_id]
                self._changed.notify_all()
