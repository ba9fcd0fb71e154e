"""The events that a late handler has missed. Pure: the caller holds the lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..core.file import FileCore
from ..core.records import Notice
from ..core.states import TERMINAL

__all__ = ["missed", "missed_chunks"]

_ADDING = frozenset({"chunking_start", "chunking_progress", "chunking_complete", "file_added"})
"""What happens while a file is added: before anybody can have its handle."""


def missed(file: FileCore, event: str, coming: Iterable[Notice]) -> bool:
    """Return whether this has happened to the file, as it was added or as its end, and none of the notices that are
    still to come is of it."""
    happened = event in _ADDING or (file.state in TERMINAL and event == f"file_{file.state.value}")
    return happened and not any(notice.event == event for notice in coming)


def missed_chunks(file: FileCore, coming: Iterable[Notice]) -> list[tuple[int, int]]:
    """Return the ranges of indexes of the stored chunks of which none of the notices that are still to come is."""
    coming_indexes = sorted(n.index for n in coming if n.event == "chunk_success" and n.index is not None)
    order = file.order
    ranges = [found for start, stop in file.stored_ranges() for found in order.indexes(start, stop)]
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
