"""Say in the log that an object store leaves requests without an answer, while they still wait for it."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .body import StreamedBody

__all__ = ["SILENT_AFTER", "Silence"]

_log = logging.getLogger(__name__)

SILENT_AFTER = 10.0
"""Seconds of silence that are said. boto3 waits for a minute, as a store may take as long to put parts together."""


class _Request:
    def __init__(self, doing: str, body: StreamedBody | None) -> None:
        self.doing = doing
        self.said = False
        self._since = time.monotonic()
        self._body = body

    @property
    def silent_since(self) -> float:
        """When the store took the last bytes of the request. While those that follow are on their way from the client,
        that is not yet."""
        return self._since if self._body is None else max(self._since, self._body.taken)


class Silence:
    """Watches the requests to the object store, and warns of those that have no answer ``after`` so many seconds.

    A thread looks at them, which ends when there is none. If ``after`` is infinite, nothing is watched.
    """

    def __init__(self, after: float = SILENT_AFTER) -> None:
        self.after = after
        self._waiting: set[_Request] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextmanager
    def noticed(self, doing: str, body: object = None) -> Iterator[None]:
        """Watch a request, which is sent in this block. ``body`` is what it sends."""
        if self.after == math.inf:
            yield
            return
        request = _Request(doing, body if isinstance(body, StreamedBody) else None)
        with self._changed:
            self._waiting.add(request)
            # In a forked child there is no thread, whatever the parent had.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, name="resumable-silence", daemon=True)
                # If there is no room for it, the end of boto3's patience is said all the same.
                with suppress(RuntimeError):
                    self._thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._waiting.discard(request)

    def _watch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(self.after / 10)
                if not self._waiting:
                    self._thread = None
                    return
                limit = time.monotonic() - self.after
                silent = [each for each in self._waiting if not each.said and each.silent_since <= limit]
                for each in silent:
                    each.said = True
            if silent:
                first = min(silent, key=lambda each: each.silent_since)
                others = f", and {len(silent) - 1} more requests" if len(silent) > 1 else ""
                _log.warning(
                    "the object store has not answered for %g seconds to %s%s: it is overloaded or hangs, or the "
                    "network has lost the connection; clients wait meanwhile",
                    self.after,
                    first.doing,
                    others,
                )
