"""Whether a server's tests can be believed: asked before somebody has to know, for each kind of question."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

__all__ = ["Canary"]

_SLICE = 0.2
_MOST = 1000


class Canary:
    """The verdicts on tests, by what they belong to. Used by workers, with no lock held.

    A verdict is True if a chunk that cannot exist was said to be missing, and False if it was said to be present.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._verdicts: dict[Hashable, bool] = {}
        self._asking: dict[Hashable, object] = {}

    def passed(self, what: Hashable, ask: Callable[[], bool | None]) -> bool:
        """Return whether tests of this kind can be believed. The first to want to know asks, the others wait for it.

        ``ask`` returns the verdict, or None if the answer says nothing, and may raise: then the next one asks.
        """
        with self._condition:
            while what in self._asking:
                self._condition.wait(_SLICE)
            if what in self._verdicts:
                return self._verdicts[what]
            mine = self._asking[what] = object()
        verdict = None
        try:
            verdict = ask()
        finally:
            with self._condition:
                # What was forgotten meanwhile is for the next one to ask.
                if self._asking.get(what) is mine:
                    del self._asking[what]
                    self._condition.notify_all()
                    if verdict is not None:
                        self._verdicts[what] = verdict
                        if len(self._verdicts) > _MOST:
                            del self._verdicts[next(iter(self._verdicts))]
        return verdict is True

    def failed(self, what: Hashable) -> bool:
        """Return whether tests of this kind were found to be worthless."""
        return self._verdicts.get(what) is False

    def forget(self, what: Hashable) -> None:
        """Drop the verdict that tests of this kind can be believed, also if somebody is just asking: whoever wants to
        know next asks again."""
        with self._condition:
            if self._verdicts.get(what):
                del self._verdicts[what]
            if self._asking.pop(what, None) is not None:
                self._condition.notify_all()
