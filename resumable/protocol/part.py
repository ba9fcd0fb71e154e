"""One part of a file, which several machines send together without a word to each other.

The chunks of a file are dealt out in runs: the first run to the first part, the next to the second, and so on from the
beginning again. A part has about sixteen runs, so that parts differ by little, and a list of what is stored is short.
Each machine comes to the same runs by itself, from the number of chunks and the number of parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .plan import ChunkOrder

__all__ = ["PartOrder"]

RUNS = 16
"""How many runs a part has, or a few more."""


@dataclass(frozen=True)
class PartOrder(ChunkOrder):
    """The order of the chunks of part ``number`` of ``parts``, counted from 1. No other chunk has a position."""

    number: int = 1
    parts: int = 1

    @property
    def length(self) -> int:
        """How many positions there are: none if there are more parts than chunks, and this is one of the last."""
        return self._before(self.count)

    @property
    def last(self) -> int:
        """The position of the chunk of this part that is last in the file. There must be one."""
        return self.length - 1

    def index(self, position: int) -> int:
        """Return the index of the chunk that is sent at this position."""
        turn, place = divmod(position, self._run)
        return (turn * self.parts + self.number - 1) * self._run + place

    def position(self, index: int) -> int:
        """Return the position at which this chunk is sent, or ``length`` if it is left to others."""
        ours = index // self._run % self.parts == self.number - 1
        return self._before(index) if ours else self.length

    def positions(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield the range of positions at which the chunks of the part in ``range(start, stop)`` are sent."""
        first, last = self._before(start), self._before(stop)
        if first < last:
            yield first, last

    def indexes(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges of indexes, ascending, that are sent at the positions of ``range(first, last)``."""
        while first < last:
            stop = min(first - first % self._run + self._run, last)
            index = self.index(first)
            yield index, index + stop - first
            first = stop

    @property
    def _run(self) -> int:
        return max(self.count // (RUNS * self.parts), 1)

    def _before(self, index: int) -> int:
        """Return how many chunks before this index are ours."""
        turns, place = divmod(index, self._run * self.parts)
        return turns * self._run + min(max(place - (self.number - 1) * self._run, 0), self._run)
