"""Which file has its turn next: those added earlier first, and with ``first_and_last`` the ends of all before the rest.

The queue is a heap of places. A file keeps the one that counts; others that it had are dropped when they come up, as
are files that want no turn by then.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from .file import FileCore
from .states import FileState

__all__ = ["Turns"]

_OPEN = (FileState.PREPARING, FileState.READY, FileState.UPLOADING)


class Turns:
    """The queue of a session's files, which are looked up by their keys in ``files``."""

    def __init__(self, files: Mapping[int, FileCore], *, first_and_last: bool) -> None:
        self._files = files
        self._first_and_last = first_and_last
        self._heap: list[tuple[bool, int]] = []

    def add(self, file: FileCore) -> None:
        """The file wants turns."""
        later = self._later(file)
        if file.place is None or file.place[0] is not later:
            file.place = later, file.key
            heapq.heappush(self._heap, file.place)

    def next(self) -> FileCore | None:
        """The file whose turn it is, which keeps its place, or None where each has to wait."""
        gated = []
        found = None
        while self._heap:
            place = self._heap[0]
            file = self._files.get(place[1])
            if file is None or file.place is not place:
                heapq.heappop(self._heap)
            elif file.state not in _OPEN or file.exhausted or file.preparing:
                heapq.heappop(self._heap)
                file.place = None
            elif self._later(file) is not place[0]:
                heapq.heappop(self._heap)
                self.add(file)
            elif file.gated:
                gated.append(heapq.heappop(self._heap))
            else:
                found = file
                break
        for place in gated:
            heapq.heappush(self._heap, place)
        return found

    def _later(self, file: FileCore) -> bool:
        return self._first_and_last and file.next_position() >= 2
