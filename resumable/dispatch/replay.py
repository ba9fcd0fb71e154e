"""The events that a late handler has missed. Pure: the caller holds the lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..core.file import FileCore
from ..core.records import Notice
from ..core.states import TERMINAL

__all__ = ["missed_chunks", "missed_end"]


def missed_end(file: FileCore, event: str, coming: Iterable[Notice]) -> bool:
    """Return whether the file has ended with this event, and none of the notices that are still to come is of it."""
    ended = file.state in TERMINAL and event == f"file_{file.state.value}"
    return ended and not any(notice.event == event for notice in coming)


def missed_chunks(file: FileCore, coming: Iterable[Notice]) -> list[tuple[int, int]]:
    """Return the ranges of indexes of the stored chunks of which none of the notices that are still to come is."""
    coming_indexes = sorted(n.index for n in coming if n.event == "chunk_success" and n.index is not None)
    order = file.order
    ranges: list[tuple[int, int]] = []
    for start, stop in file.stored():
        if order.permuted:
            # From position 2 on, an index is one less; the ends are elsewhere.
            ranges.extend((order.index(p), order.index(p) + 1) for p in range(start, min(stop, 2)))
            start, stop = max(start, 2) - 1, stop - 1
        ranges.append((start, stop))
    return _without(sorted(ranges), coming_indexes)


def _without(ranges: Sequence[tuple[int, int]], holes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the ranges without the numbers in ``holes``; both ascend, and an empty range counts for nothing."""
    left = []
    for start, stop in ranges:
        for hole in holes:
            if start <= hole < stop:
                left.append((start, hole))
                start = hole + 1
        left.append((start, stop))
    return [(start, stop) for start, stop in left if start < stop]
