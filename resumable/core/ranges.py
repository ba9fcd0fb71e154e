"""A set of numbers in memory that grows with its gaps, not with the numbers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import itemgetter

__all__ = ["Ranges"]

_START, _STOP = itemgetter(0), itemgetter(1)


class Ranges(list[tuple[int, int]]):
    """The numbers of ranges ``[start, stop)``, which ascend and do not touch each other."""

    __slots__ = ()

    def covers(self, number: int) -> bool:
        """Return whether the number is in the set."""
        found = bisect_right(self, number, key=_START) - 1
        return found >= 0 and number < self[found][1]

    def include(self, first: int, last: int) -> list[tuple[int, int]]:
        """Add the range ``[first, last)``, and return the parts of it that were not in the set."""
        if first >= last:
            return []
        left, right = bisect_left(self, first, key=_STOP), bisect_right(self, last, key=_START)
        known = self[left:right]
        added, start = [], first
        for begins, ends in known:
            if start < begins:
                added.append((start, begins))
            start = max(start, ends)
        if start < last:
            added.append((start, last))
        if known:
            first, last = min(first, known[0][0]), max(last, known[-1][1])
        self[left:right] = [(first, last)]
        return added
