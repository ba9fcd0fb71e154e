"""How a file is cut into chunks, and in which order they are sent.

Nothing here is stored per chunk: the number of chunks and the bytes of each are computed, so that a plan for 1 TiB
costs as much as one for 1 KiB.

Without ``force`` the cut is resumable.js's default: ``max(floor(size / chunk_size), 1)`` chunks, of which the last
takes the remainder and so may be up to ``2 * chunk_size - 1`` bytes long. With ``force`` (``forceChunkSize``) it is
``ceil(size / chunk_size)`` chunks, none longer than ``chunk_size``. An empty file is one empty chunk.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

__all__ = ["ChunkOrder", "ChunkPlan"]


@dataclass(frozen=True)
class ChunkPlan:
    """The cut of one file. Sizes and offsets are bytes; a chunk's ``index`` counts from 0, its ``number`` from 1."""

    size: int
    chunk_size: int
    force: bool = False
    count: int = field(init=False)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"size must be 0 or more bytes, not {self.size}")
        if self.chunk_size < 1:
            raise ValueError(f"chunk_size must be 1 byte or more, not {self.chunk_size}")
        whole, rest = divmod(self.size, self.chunk_size)
        count = whole + 1 if self.force and rest else whole
        object.__setattr__(self, "count", max(count, 1))

    @classmethod
    @lru_cache(maxsize=64)
    def of_count(cls, size: int, chunk_size: int, count: int) -> ChunkPlan:
        """Return the cut that has this many chunks, so that a server need not know which of the two a client uses.

        Raises ValueError if neither has.
        """
        for force in (False, True):
            plan = cls(size, chunk_size, force)
            if plan.count == count:
                return plan
        raise ValueError(f"{size} bytes in chunks of {chunk_size} are not {count} chunks")

    def span(self, index: int) -> tuple[int, int]:
        """Return the bytes ``[start, end)`` of chunk ``index``. Raises IndexError outside ``range(count)``."""
        if not 0 <= index < self.count:
            raise IndexError(f"chunk index {index} is outside 0..{self.count - 1}")
        start = index * self.chunk_size
        if index == self.count - 1:
            return start, self.size
        return start, start + self.chunk_size

    def length(self, start: int, stop: int) -> int:
        """Return the bytes in the chunks of ``range(start, stop)``, which must lie within ``range(count)``."""
        if start >= stop:
            return 0
        return self.span(stop - 1)[1] - self.span(start)[0]


@dataclass(frozen=True)
class ChunkOrder:
    """Which chunk is sent at which position, and which positions must be alone on the wire.

    ``first_and_last`` is resumable.js's ``prioritizeFirstAndLastChunk``: positions map to chunks 0, last, 1, 2, …
    Otherwise position and index are the same. ``mode`` is the option ``chunk_order``.
    """

    count: int
    mode: str = "bookends"
    first_and_last: bool = False

    @property
    def permuted(self) -> bool:
        """Whether position and index differ anywhere."""
        return self.first_and_last and self.count > 2

    @property
    def length(self) -> int:
        """How many positions there are."""
        return self.count

    @property
    def last(self) -> int:
        """The position of the chunk that is last in the file."""
        return self.position(self.count - 1)

    def index(self, position: int) -> int:
        """Return the index of the chunk that is sent at this position."""
        if not self.first_and_last or position == 0:
            return position
        return self.count - 1 if position == 1 else position - 1

    def position(self, index: int) -> int:
        """Return the position at which this chunk is sent; the inverse of :meth:`index`."""
        if not self.first_and_last or index == 0:
            return index
        return 1 if index == self.count - 1 else index + 1

    def positions(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges of positions, ascending, at which the chunks of ``range(start, stop)`` are sent."""
        if start >= stop:
            return
        if not self.permuted:
            yield start, stop
            return
        last = self.count - 1
        if start == 0:
            yield 0, 1
        if stop == self.count:
            yield 1, 2
        if max(start, 1) < min(stop, last):
            yield max(start, 1) + 1, min(stop, last) + 1

    def indexes(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges of indexes that are sent at the positions of ``range(first, last)``."""
        if self.permuted:
            # From position 2 on, an index is one less; the ends are elsewhere.
            for position in range(first, min(last, 2)):
                yield self.index(position), self.index(position) + 1
            first, last = max(first, 2) - 1, last - 1
        if first < last:
            yield first, last

    @property
    def holds_ends(self) -> bool:
        """Whether others may be on the wire beside an exclusive chunk, if their ends are held."""
        return self.mode == "bookends"

    @property
    def tests_ahead(self) -> bool:
        """Whether chunks may be tested while others of the file are on the wire, whichever these are."""
        return self.mode in ("bookends", "free")

    def may_share(self, position: int, others: Container[int]) -> bool:
        """Return whether the chunk at this position may become whole at the server together with the others, of which
        there is at least one.

        Bookends and strict: not if it is the first or the last, or one of the others is, because most servers create
        something at the first chunk and assemble at the last, and fail if others arrive at the same time. Sequential:
        never.
        """
        if self.mode == "free":
            return True
        last = self.count - 1
        return self.mode != "sequential" and 0 < position < last and 0 not in others and last not in others
