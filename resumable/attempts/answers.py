"""Remember which answers, of those that prove nothing, were found to mean that the chunk is stored."""

from __future__ import annotations

import threading

__all__ = ["Answers"]

_MOST = 64


class Answers:
    """What a session knows of the answers of its servers. Used by all workers.

    ``place`` is the server, ``kind`` that of :class:`~resumable.protocol.acceptance.Judgement`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._proven: dict[str, set[str]] = {}

    def proven(self, place: str, kind: str) -> bool:
        """Return whether a chunk that was answered so was found to be stored."""
        with self._lock:
            return kind in self._proven.get(place, ())

    def prove(self, place: str, kind: str, *, lasting: bool) -> bool:
        """Return whether it is the first answer there that was found to mean that the chunk is stored. If it is
        ``lasting``, all answers of this kind mean so from now on."""
        with self._lock:
            first = place not in self._proven
            kinds = self._proven.setdefault(place, set())
            if lasting and len(kinds) < _MOST:
                kinds.add(kind)
            return first
