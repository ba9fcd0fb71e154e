"""Children that serve the same socket, kept at their number."""

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
    """``count`` forked children that each call ``serve``, which returns when it is told to end.

    They ignore SIGINT and SIGTERM: a terminal or a service manager sends those to the whole group, and it is for the
    parent to end the children.
    """

    def __init__(self, count: int, serve: Callable[[], None]) -> None:
        self._count = count
        self._serve = serve
        self._children: dict[int, Any] = {}

    @property
    def sentinels(self) -> list[int]:
        """What :func:`multiprocessing.connection.wait` finds ready when a child has ended."""
        return list(self._children)

    @property
    def missing(self) -> int:
        """How many there should be more."""
        return self._count - len(self._children)

    def fork(self) -> None:
        """None is missing. Raises OSError."""
        while self.missing:
            child: Any = multiprocessing.get_context("fork").Process(target=self._run, name="resumable-server")
            child.start()
            self._children[child.sentinel] = child

    def reap(self) -> None:
        """Those that have ended are logged and forgotten."""
        for sentinel, child in list(self._children.items()):
            if not child.is_alive():
                del self._children[sentinel]
                _log.error("server process %s ended with exit code %s", child.pid, child.exitcode)
                child.close()

    def end(self, seconds: float) -> None:
        """All have ended, those by force that took longer than ``seconds``."""
        deadline = time.monotonic() + seconds
        for child in self._children.values():
            child.join(max(0, deadline - time.monotonic()))
            if child.is_alive():
                _log.warning("server process %s does not end and is killed", child.pid)
                child.kill()
                child.join()
            child.close()
        self._children.clear()

    def _run(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        self._serve()
