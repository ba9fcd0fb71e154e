"""Whether a server's tests can be believed: asked once a session, and not before somebody has to know."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Trust"]

_SLICE = 0.2


class Trust:
    """What is known of the server. Used by workers, with no lock held."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._known: bool | None = None
        self._asking = False

    def earned(self, ask: Callable[[], bool]) -> bool:
        """Whether the server's tests can be believed. The first to want to know asks, the others wait for it.

        ``ask`` says whether they can, and may raise: then the next one asks.
        """
        with self._condition:
            while self._asking:
                self._condition.wait(_SLICE)
            if self._known is not None:
                return self._known
            self._asking = True
        known = None
        try:
            known = ask()
        finally:
            with self._condition:
                self._asking = False
                self._known = known
                self._condition.notify_all()
        return known

    @property
    def lost(self) -> bool:
        """Whether the server's tests were found to be worthless."""
        return self._known is False
