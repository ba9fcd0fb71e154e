"""Wait for what nobody announces."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["PATIENCE", "eventually", "until_no_connection_is_served"]

PATIENCE = 60.0
"""Seconds after which a test that waits for something fails."""


def eventually(condition: Callable[[], bool]) -> None:
    """Asked again and again, until it is so."""
    passing = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if condition():
            return
        passing.wait(0.01)
    raise AssertionError("it never was so")


def until_no_connection_is_served() -> None:
    """Threads that serve one, also those of servers that tests share, are gone with all that they had open.

    They go on for a moment after their client has what it wanted, and after their server counts them as ended.
    """
    eventually(lambda: not any(thread.name == "resumable-connection" for thread in threading.enumerate()))
