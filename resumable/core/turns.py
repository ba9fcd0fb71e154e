"""Which file has its turn next: those added earlier first, and with ``first_and_last`` the ends of all before the rest.

New files, of which the server has nothing yet, have a queue of their own, because it may turn them away. One that was
turned away more than once lets other new ones go first: it may be the only one that the server does not want.

A queue is a heap of places. A file keeps the one that counts; others that it had are dropped when they come up, as
are files that want no turn by then.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from .file import FileCore
from .states import FileState

__all__ = ["Turns"]

_Place = tuple[bool, bool, bool, int]

_OPEN = (FileState.PREPARING, FileState.READY, FileState.UPLOADING)


class Turns:
    """The queue of a session's files, which are looked up by their keys in ``files``."""

    def __init__(self, files: Mapping[int, FileCore], *, first_and_last: bool) -> None:
        self._files = files
        self._first_and_last = first_and_last
        self._begun: list[_Place] = []
        self._new: list[_Place] = []

    def add(self, file: FileCore) -> None:
        """The file wants turns."""
        place = self._place(file)
        if file.place != place:
            file.place = place
            heapq.heappush(self._new if place[0] else self._begun, place)

    def next(self, *, new: bool) -> FileCore | None:
        """The file whose turn it is, which keeps its place, or None where each has to wait. ``new``: a new one may
        begin."""
        found = self._first(self._begun)
        other = self._first(self._new) if new else None
        if found is None or other is None:
            return found or other
        return min(found, other, key=lambda file: self._place(file)[1:])

    def _first(self, heap: list[_Place]) -> FileCore | None:
        gated = []
        found = None
        while heap:
            place = heap[0]
            file = self._files.get(place[-1])
            if file is None or file.place is not place:
                heapq.heappop(heap)
            elif file.state not in _OPEN or not file.wants_turn:
                heapq.heappop(heap)
                file.place = None
            elif self._place(file) != place:
                heapq.heappop(heap)
                self.add(file)
            elif file.gated:
                gated.append(heapq.heappop(heap))
            else:
                found = file
                break
        for place in gated:
            heapq.heappush(heap, place)
        return found

    def _place(self, file: FileCore) -> _Place:
        later = self._first_and_last and file.next_position() >= 2
        return not file.begun, later, not file.begun and file.turned_away > 1, file.key
