"""Child processes that serve the same socket; those that die are replaced."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Processes"]

_log = logging.getLogger(__name__)


class Processes:
    """``count`` forked children that each call ``serve``, which returns when the server stops.

    They ignore SIGINT and SIGTERM: a terminal or a service manager sends those to the whole group, but it is the parent
    that ends the children.
    """

    def __init__(self, count: int, serve: Callable[[], None]) -> None:
        self._count = count
        self._serve = serve
        self._children: dict[int, Any] = {}

    @property
    def sentinels(self) -> list[int]:
        """Handles that :func:`multiprocessing.connection.wait` reports when their child has ended."""
        return list(self._children)

    @property
    def missing(self) -> int:
        """How many children have to be started."""
        return self._count - len(self._children)

    def fork(self) -> None:
        """Start the missing children. Raises OSError."""
        while self.missing:
            child: Any = multiprocessing.get_context("fork").Process(target=self._run, name="resumable-server")
            child.start()
            self._children[child.sentinel] = child

    def reap(self) -> None:
        """Log and forget the children that have ended."""
        for sentinel, child in list(self._children.items()):
            if not child.is_alive():
                del self._children[sentinel]
                _log.error("server process %s ended with exit code %s: starting another", child.pid, child.exitcode)
                child.close()

    def end(self, seconds: float) -> None:
        """Wait for all children to end, and kill those that take longer than ``seconds``."""
        deadline = time.monotonic() + seconds
        for child in self._children.values():
            child.join(max(0, deadline - time.monotonic()))
            if child.is_alive():
                _log.warning("server process %s does not end: killing it", child.pid)
                child.kill()
                child.join()
            child.close()
        self._children.clear()

    def _run(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        self._serve()
