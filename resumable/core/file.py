"""The bookkeeping of one file, in memory that does not grow with its chunks.

Chunks are sent in the order of their *positions* (which mostly are their indexes: see ``ChunkOrder``). Which are done
is implied: every position below the cursor that is neither live nor released. So a file is

* ``cursor``: the first position that never had its turn,
* ``live``: the positions that hold a slot of the session, with what is known of each,
* ``released``: positions below the cursor that had a turn, were stopped, and wait for another,
* ``ahead``: ranges of positions at or above the cursor that are known to be stored, as the server or the user said.

At all times ``done + live + released == cursor``, where ``done`` counts positions below the cursor.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..protocol.plan import ChunkOrder, ChunkPlan
from .states import CHUNK, ChunkEvent, ChunkState, FileState, step

__all__ = ["FileCore", "Live", "Turn"]


@dataclass(frozen=True)
class Turn:
    """What a released chunk keeps from the turns that it had."""

    retries: int = 0
    tested: bool = False


@dataclass
class Live:
    """A slot that is taken. Owned by the session's core; ``position`` is None while the file's hooks run."""

    file: FileCore
    epoch: int
    position: int | None
    retries: int = 0
    tested: bool = False
    state: ChunkState = ChunkState.PENDING
    due: float = 0.0
    streak: int = 0
    seen: int = 0

    def step(self, event: ChunkEvent) -> ChunkState:
        """The state after the event, which the record has then."""
        self.state = step(CHUNK, self.state, event, "chunk")
        return self.state


class FileCore:
    """One file. Owned by :class:`SessionCore`, which alone calls it."""

    def __init__(self, key: int, plan: ChunkPlan, order: ChunkOrder, *, prepared: bool = True) -> None:
        self.key = key
        self.state = FileState.READY if prepared else FileState.PREPARING
        self.prepared = prepared
        self.epoch = 0
        self.queued = False
        self.draining = 0
        self.error: Exception | None = None
        self.message: str | None = None
        self._cut(plan, order)

    def _cut(self, plan: ChunkPlan, order: ChunkOrder) -> None:
        self.plan = plan
        self.order = order
        self.cursor = 0
        self.done = 0
        self.live: dict[int, Live] = {}
        self.released: dict[int, Turn] = {}
        self._heap: list[int] = []
        self.ahead: list[tuple[int, int]] = []
        self.bytes_done = 0
        self.bytes_skipped = 0

    def recut(self, plan: ChunkPlan, order: ChunkOrder) -> None:
        """Nothing is known to be stored any more, and nothing is leased before what is on the wire has left it."""
        self.draining += len(self.live)
        self._cut(plan, order)

    @property
    def complete(self) -> bool:
        """Whether the server has every chunk."""
        return self.done + sum(stop - start for start, stop in self.ahead) == self.order.count

    def is_done(self, position: int) -> bool:
        """Whether the server has the chunk at this position."""
        if position < self.cursor:
            return position not in self.live and position not in self.released
        return any(start <= position < stop for start, stop in self.ahead)

    def bytes_at(self, position: int) -> int:
        """The bytes of the chunk at this position."""
        start, end = self.plan.span(self.order.index(position))
        return end - start

    def peek(self) -> int | None:
        """The position whose turn is next, or None where there is none."""
        while self._heap and self._heap[0] not in self.released:
            heapq.heappop(self._heap)
        if self._heap:
            return self._heap[0]
        self._skip()
        return self.cursor if self.cursor < self.order.count else None

    def gated(self, position: int) -> bool:
        """Whether the position has to wait for others of the file to leave the wire."""
        if self.draining:
            return True
        if not self.live:
            return False
        return self.order.alone(position) or any(self.order.alone(other) for other in self.live)

    def take(self, position: int) -> Live:
        """The record of the position that :meth:`peek` returned, which is live then."""
        turn = self.released.pop(position, None)
        if turn is None:
            turn = Turn()
            self.cursor += 1
            self._skip()
        record = Live(self, self.epoch, position, turn.retries, turn.tested)
        self.live[position] = record
        return record

    @property
    def exhausted(self) -> bool:
        """Whether every chunk is done or live."""
        return self.peek() is None

    def store(self, position: int, *, skipped: bool) -> None:
        """The server has the live chunk at this position; ``skipped`` where it had it before we sent it."""
        del self.live[position]
        self.done += 1
        self._count(self.bytes_at(position), skipped=skipped)

    def release(self, record: Live, turn: Turn) -> None:
        """The chunk is no longer live and waits for another turn."""
        position = record.position
        if position is None or self.live.get(position) is not record:
            self.draining -= position is not None
            return
        del self.live[position]
        self.released[position] = turn
        heapq.heappush(self._heap, position)

    def mark(self, ranges: Iterable[tuple[int, int]]) -> int:
        """The bytes that are newly known to be stored, of the chunk indexes in these ranges.

        Chunks on the wire are left alone: their own answer counts.
        """
        before = self.bytes_done
        for start, stop in ranges:
            for first, last in self.order.positions(start, stop):
                self._mark(first, last)
        return self.bytes_done - before

    def _mark(self, first: int, last: int) -> None:
        for position in [p for p in self.released if first <= p < last]:
            del self.released[position]
            self.done += 1
            self._count(self.bytes_at(position), skipped=True)
        first = max(first, self.cursor)
        if first >= last:
            return
        before = [(a, b) for a, b in self.ahead if b < first]
        after = [(a, b) for a, b in self.ahead if a > last]
        touching = self.ahead[len(before) : len(self.ahead) - len(after)]
        self._count(self._bytes_in(first, last) - sum(self._bytes_in(max(a, first), min(b, last)) for a, b in touching),
                    skipped=True)
        merged = (min([first, *(a for a, _ in touching)]), max([last, *(b for _, b in touching)]))
        self.ahead = [*before, merged, *after]
        self._skip()

    def _bytes_in(self, first: int, last: int) -> int:
        # Positions map to indexes one to one from 2 on, so a range of them is a range of bytes; the ends may not.
        if not self.order.permuted:
            return self.plan.length(first, last)
        total = sum(self.bytes_at(position) for position in range(first, min(last, 2)))
        return total + self.plan.length(max(first, 2) - 1, last - 1)

    def _skip(self) -> None:
        while self.ahead and self.ahead[0][0] == self.cursor:
            start, stop = self.ahead.pop(0)
            self.done += stop - start
            self.cursor = stop

    def _count(self, size: int, *, skipped: bool) -> None:
        self.bytes_done += size
        if skipped:
            self.bytes_skipped += size

    def forget_turns(self) -> None:
        """Released chunks begin anew: no retries counted, tested again."""
        self.released = dict.fromkeys(self.released, Turn())

    def stored(self) -> Iterator[tuple[int, int]]:
        """The ranges of positions that are stored, ascending. A snapshot: valid while nothing changes."""
        start = 0
        for hole in sorted((*self.live, *self.released)):
            if start < hole:
                yield start, hole
            start = hole + 1
        if start < self.cursor:
            yield start, self.cursor
        yield from self.ahead
