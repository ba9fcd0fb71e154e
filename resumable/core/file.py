"""The bookkeeping of one file, in memory that does not grow with its chunks.

Chunks are sent in the order of their *positions*, which mostly are their indexes (see ``ChunkOrder``). The chunks that
are done are implied: every position below the cursor that is neither live nor released. So a file consists of

* ``cursor``: the first position that was never leased,
* ``live``: the positions that hold a slot of the session, each with its record,
* ``released``: positions below the cursor that were leased, were stopped, and wait to be leased again,
* ``known_ranges``: ranges of positions above the cursor that the server or the user said are stored,
* ``stored``: how many chunks the server has, wherever they are,
* ``lacked``: how many chunks in a row the server lacked when it was asked for them; a chunk that it has ends the row,
* ``believed``: the smallest range that contains every position for which there is only a foreign server's word.

``stored + live + released`` is always the cursor and what lies in ``known_ranges``. ``live + released`` is at most the
number of slots and connections, because released positions are leased first.

If all chunks of a file are stored, the file may still be *unproven*: the server has to confirm that it has the file.
Until then the bytes of its last chunk do not count, so that progress does not show the file as finished.

It may also be *unfinished*: a foreign server said with each answer that it has not the whole file. Then the chunks are
forgotten, the server is asked for each, and those that it lacks are sent again, once.

Once the server lacked a few chunks in a row, or has listed all that it has, it is not asked for the others: they are
sent. If it had one of these after all, that costs its bytes and nothing else.

A foreign server may delete the chunks when it has put the file together. So it is asked for *doubted* chunks before it
gets the last one, not afterwards.

A file is *taken* when the server has it, and only the hook ``after_file`` is still to run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..protocol.plan import ChunkOrder, ChunkPlan
from .active_chunk import ActiveChunk
from .history import AttemptHistory
from .ranges import Ranges
from .records import Lease, Notice, Proof
from .states import ChunkState, FileState
from .taken import Taken

__all__ = ["FileCore"]

_FEW_LACKED = 3
"""Chunks in a row after which a server that was not found to have any of the file is not asked for others."""

_MANY_LACKED = 16
"""The same for a file that was begun before: whoever sent so many chunks at once may have left as many holes."""


class FileCore:
    """One file. Owned by :class:`SessionCore`, which alone calls it."""

    partial = False
    """Whether chunks are left to others."""

    # There may be a hundred thousand of them.
    __slots__ = (
        "aborted",
        "asked",
        "asked_about",
        "asking",
        "believed",
        "bytes_done",
        "bytes_skipped",
        "confirming",
        "cursor",
        "draining",
        "epoch",
        "error",
        "finished",
        "key",
        "known_ranges",
        "lacked",
        "length",
        "listed",
        "live",
        "message",
        "name",
        "order",
        "ours",
        "plan",
        "prepared",
        "preparing",
        "progress",
        "queue_key",
        "reason",
        "released",
        "response",
        "result",
        "settled",
        "state",
        "stored",
        "successes_seen",
        "taken",
        "turned_away",
        "untested",
        "whole",
        "withheld",
    )

    def __init__(self, key: int, plan: ChunkPlan, order: ChunkOrder, *, prepared: bool = True, name: str = "") -> None:
        self.key = key
        self.name = name
        self.state = FileState.READY if prepared else FileState.PREPARING
        self.prepared = prepared
        self.preparing = False
        self.confirming = False
        self.asking = self.asked_about = False
        self.epoch = 0
        self.queue_key: tuple[bool, bool, bool, int] | None = None
        self.draining = 0
        self.aborted = False
        self.error: Exception | None = None
        self.reason: str | None = None
        self.message: str | None = None
        self.result: Mapping[str, Any] | None = None
        self.response: Any = None
        self.taken: Taken | None = None
        self.progress = Notice("file_progress", key)
        self._split(plan, order)

    def begin_again(self) -> None:
        """Begin a new epoch of a failed file, which is asked about again, unless it was taken by a foreign server: that
        may have forgotten the chunks, and is taken at its word."""
        taken = self.taken
        self.begin_epoch()
        self.forget_attempts()
        if taken is not None and not self.unproven:
            self.take_in(taken)

    def take_in(self, taken: Taken) -> None:
        """Note that the server has the file, and what it said."""
        self.taken = taken
        self.message, self.result, self.response = taken

    def begin_epoch(self) -> None:
        """Forget what went wrong, and let outcomes of what is on the wire change nothing."""
        self.epoch += 1
        self.error = self.message = self.result = self.response = self.taken = None
        self.whole = self.asked = self.untested = self.finished = self.listed = False
        self.lacked = 0

    def _split(self, plan: ChunkPlan, order: ChunkOrder) -> None:
        self.plan = plan
        self.order = order
        self.length = order.length
        self.cursor = self.stored = 0
        self.live: dict[int, ActiveChunk] = {}
        self.released: dict[int, AttemptHistory] = {}
        self.known_ranges = Ranges()
        self.bytes_done = 0
        self.bytes_skipped = 0
        self.turned_away = 0
        self.successes_seen = 0
        self.withheld: tuple[int, int] | None = None
        self.believed: tuple[int, int] | None = None
        self.taken = None
        self.ours = self.whole = self.asked = self.untested = self.settled = self.finished = self.listed = False
        self.lacked = 0

    def rechunk(self, plan: ChunkPlan) -> None:
        """Cut the file again. Nothing of it is known to be stored then, and nothing is leased before the wire is free
        of it."""
        self.draining += len(self.live) + self.confirming
        self.confirming = False
        self._split(plan, replace(self.order, count=plan.count))

    @property
    def size(self) -> int:
        """The bytes that are sent of the file, or stored already."""
        return self.plan.size

    @property
    def complete(self) -> bool:
        """Whether the server has every chunk."""
        return self.stored == self.length

    @property
    def known_whole(self) -> bool | None:
        """Whether the server has the whole file, or None if it does not say."""
        return self.whole if self.ours else None

    @property
    def unproven(self) -> bool:
        """Whether the server has every chunk, and something has to confirm that it has the file."""
        if not self.complete or self.whole:
            return False
        return self.ours or self.doubted

    @property
    def doubted(self) -> bool:
        """Whether there is only a foreign server's word for some chunks, so that it has to be asked for them again."""
        return self.believed is not None and not self.settled and not self.ours

    @property
    def unfinished(self) -> bool:
        """Whether a foreign server has every chunk, and each of its answers said that it has not the file."""
        return self.complete and not self.finished and not self.ours

    @property
    def pending(self) -> int:
        """How many chunks are neither stored nor on their way."""
        under_way = sum(record.state is not ChunkState.STOPPING for record in self.live.values())
        return self.length - self.stored - under_way

    @property
    def asked_enough(self) -> bool:
        """Whether the server is not asked for chunks any more that have not had their turn."""
        if self.asked or (self.doubted and not self.pending):
            return False
        return self.listed or self.lacked >= (_MANY_LACKED if self.bytes_skipped else _FEW_LACKED)

    @property
    def confirms_first(self) -> bool:
        """Whether the server is to be asked for doubted chunks before it gets the only one that it lacks."""
        return bool(self.released) and self.doubted and self.pending == 1 and self.lacking > 0

    @property
    def wants_turn(self) -> bool:
        """Whether there is something to do that is not under way."""
        if self.preparing or self.confirming or self.asking:
            return False
        return bool(self.released) or self.cursor < self.length or self.complete

    @property
    def untouched(self) -> bool:
        """Whether nobody has asked for any chunk of the file, or sent one."""
        ready = self.state is FileState.READY and self.prepared
        return ready and not (self.epoch or self.stored or self.cursor or self.asked_about or self.partial)

    @property
    def exhausted(self) -> bool:
        """Whether every chunk is done or live."""
        return not self.released and self.cursor == self.length

    def is_done(self, position: int) -> bool:
        """Whether the server has the chunk at this position."""
        if position < self.cursor:
            return position not in self.live and position not in self.released
        return self.known_ranges.covers(position)

    def chunk_state(self, index: int) -> tuple[ChunkState, int]:
        """Return the state of the chunk with this index, and how often an attempt at it failed."""
        position = self.order.position(index)
        if position in self.live:
            record = self.live[position]
            return record.state, record.retries
        if position in self.released:
            return ChunkState.PENDING, self.released[position].retries
        return (ChunkState.DONE if self.is_done(position) else ChunkState.PENDING), 0

    def is_tested(self, index: int) -> bool:
        """Return whether the server was asked for the chunk with this index, if it is asked for chunks at all."""
        position = self.order.position(index)
        if position in self.live:
            record = self.live[position]
            return record.tested or record.state is ChunkState.SENDING
        if position in self.released:
            return self.released[position].tested
        return self.is_done(position)

    # -- leases --------------------------------------------------------------------------------------------------

    def next_position(self) -> int:
        """Return the position to lease next. The file must not be :attr:`exhausted`."""
        return min(self.released) if self.released else self.cursor

    @property
    def blocked(self) -> bool:
        """Whether the next position has to wait for others of the file to leave the wire."""
        if self.draining:
            return True
        if not self.live:
            return False
        return self.confirms_first or not self.order.may_share(self.next_position(), self.live)

    @property
    def lacking(self) -> int:
        """How many chunks were tested and wait to be sent."""
        return sum(history.lacking for history in self.released.values())

    def size_of(self, position: int) -> int:
        """Return the bytes of the chunk at this position."""
        return self._bytes_in(position, position + 1)

    def take(self) -> ActiveChunk:
        """Return a new record: of the hooks that are to run before the first chunk or after the last, of the
        confirmation if nothing else is left, or of the next position."""
        if not self.prepared or self.taken is not None:
            self.preparing = True
            return ActiveChunk(self, self.epoch, 0, prepare=True)
        if self.complete or self.confirms_first:
            self.confirming = True
            position = self.order.last if self.believed is None else self.believed[1] - 1
            return ActiveChunk(self, self.epoch, position, confirm=True)
        if not self.released:
            return self._advance()
        position = self.next_position()
        record = self.live[position] = ActiveChunk(self, self.epoch, position, self.released.pop(position))
        return record

    def take_ahead(self) -> ActiveChunk:
        """Return a new record of the chunk at the cursor, which is only tested."""
        record = self._advance()
        record.ahead = True
        return record

    def _advance(self) -> ActiveChunk:
        record = self.live[self.cursor] = ActiveChunk(self, self.epoch, self.cursor)
        self.cursor += 1
        if self.known_ranges:
            self._skip()
        return record

    def lease(self, record: ActiveChunk, identifier: int, *, awaited: bool = False, askable: bool = False) -> Lease:
        """Return the lease of the record. ``awaited`` and ``askable`` as in :class:`Lease`."""
        if record.prepare:
            return Lease(identifier, self.key, record.epoch, prepare=True, after=self.taken is not None)
        index = self.order.index(record.position)
        start, end = self.plan.span(index)
        test, final = record.state is ChunkState.TESTING, self.partial or self.exhausted
        # By position, each value under the name of its field: with keywords it would take four times as long.
        return Lease(identifier, self.key, record.epoch, record.position, index, start, end, record.retries,
                     test, final, record.confirm, self.ours, awaited, record.ahead, askable)  # fmt: skip

    def store(self, position: int, size: int, *, skipped: bool, believed: bool = False) -> None:
        """Note that the server has the live chunk, of ``size`` bytes. ``skipped``: it had it before we sent it;
        ``believed``: there is only a foreign server's word for it."""
        del self.live[position]
        if believed:
            self._believe(position, position + 1)
        self.stored += 1
        self.bytes_done += size
        if skipped:
            self.bytes_skipped += size
            self.lacked = 0
        elif self.stored == self.length or (self.asked and self.finished):
            # A foreign server may have put the file together and forgotten its chunks.
            self.settled = True

    def release(self, record: ActiveChunk, *, forget: bool = False) -> None:
        """Release the record's chunk, which then waits to be leased again; ``forget``: as if for the first time."""
        position = record.position
        if record.prepare:
            self.preparing = False
        elif record.confirm and self.confirming:
            self.confirming = False
        elif self.live.get(position) is record:
            del self.live[position]
            history = record.history
            self.released[position] = history.forgotten if forget else history
        else:
            self.draining -= 1

    def forget_attempts(self) -> None:
        """Let released chunks begin again: without retries, and with a test."""
        self.turned_away = 0
        self.released = {position: history.forgotten for position, history in self.released.items()}

    # -- what the server has -------------------------------------------------------------------------------------

    def mark(self, ranges: Iterable[tuple[int, int]], *, believed: bool = False) -> int:
        """Take the chunks at these ranges of indexes for stored, and return how many bytes that adds; ``believed`` as
        in :meth:`store`.

        Indexes outside the file are ignored, and so are chunks on the wire: their own answer counts.
        """
        count, positions = self.plan.count, self.order.positions
        # Read to the end first: if the ranges are bad, nothing is marked.
        spans = [span for start, stop in ranges for span in positions(max(start, 0), min(stop, count))]
        before = self.bytes_done
        for first, last in spans:
            self._mark_released(first, last)
            self._mark_ahead(max(first, self.cursor), last)
            if believed:
                self._believe(first, last)
        gained = self.bytes_done - before
        self.bytes_skipped += gained
        return gained

    def _mark_released(self, first: int, last: int) -> None:
        for position in [p for p in self.released if first <= p < last]:
            del self.released[position]
            self.stored += 1
            self.bytes_done += self._bytes_in(position, position + 1)

    def _mark_ahead(self, first: int, last: int) -> None:
        for start, stop in self.known_ranges.include(first, last):
            self.stored += stop - start
            self.bytes_done += self._bytes_in(start, stop)
        self._skip()

    def _bytes_in(self, first: int, last: int) -> int:
        # The last chunk has a size of its own; all others have the same.
        plan = self.plan
        ends = first <= self.order.position(plan.count - 1) < last
        return (last - first) * plan.chunk_size + (plan.size - plan.count * plan.chunk_size if ends else 0)

    def _skip(self) -> None:
        if self.known_ranges and self.known_ranges[0][0] == self.cursor:
            _, self.cursor = self.known_ranges.pop(0)

    # -- what proves it ------------------------------------------------------------------------------------------

    def record_proof(self, proof: Proof) -> None:
        """Note what an answer says of the whole file. The last one counts: a chunk with other bytes than those of a
        file that was whole begins a new upload."""
        if proof in (Proof.PARTIAL, Proof.WHOLE):
            self.ours = True
            self.whole = proof is Proof.WHOLE

    def allow_any_order(self) -> None:
        """Send chunks in any order from now on, because the server takes them so, unless the user chose the order."""
        if self.order.holds_ends:
            self.order = replace(self.order, mode="free")

    def withhold_last(self) -> None:
        """Leave the bytes of the last chunk out of the count, until :meth:`count_all`."""
        self.withheld = self.bytes_done, self.bytes_skipped
        self.bytes_done -= self.size_of(self.order.last)
        self.bytes_skipped = min(self.bytes_skipped, self.bytes_done)

    def count_all(self) -> None:
        """Count all bytes again."""
        if self.withheld is not None:
            self.bytes_done, self.bytes_skipped = self.withheld
            self.withheld = None

    def keep(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Forget all chunks of a complete file but those at these ranges of indexes. At least one is forgotten: a
        server that has all chunks and not the file finishes it when a chunk comes again."""
        count, positions = self.order.count, self.order.positions
        spans = [span for start, stop in ranges for span in positions(start, min(stop, count))]
        self.asked = True
        self._keep(spans)
        if self.complete:
            self._keep(positions(0, count - 1))

    def forget_all(self) -> None:
        """Forget all chunks, and ask for each whether the server has it."""
        self.asked, self.settled = True, False
        self._keep(())

    def forget_last(self) -> None:
        """Forget the last chunk of a complete file, and send it without a test."""
        self.untested = True
        self._keep(self.order.positions(0, self.order.count - 1))

    def forget_believed(self) -> None:
        """Forget the chunks that were only believed to be stored, and send them without a test."""
        assert self.believed is not None
        first, last = self.believed
        self.untested = True
        self.count_all()
        sent = self.bytes_done - self.bytes_skipped
        self._keep([span for a, b in self.stored_ranges() for span in ((a, min(b, first)), (max(a, last), b))])
        self.bytes_skipped = max(self.bytes_done - sent, 0)

    def _keep(self, spans: Iterable[tuple[int, int]]) -> None:
        self.count_all()
        self.released.clear()
        self.known_ranges.clear()
        self.cursor = self.stored = self.bytes_done = 0
        self.believed = None
        for first, last in spans:
            self._mark_ahead(max(first, self.cursor), last)
        self.bytes_skipped = min(self.bytes_skipped, self.bytes_done)

    def _believe(self, first: int, last: int) -> None:
        # One range, whatever lies between, because memory must not grow with the chunks. What resumes is mostly one.
        start, stop = self.believed or (first, last)
        self.believed = min(start, first), max(stop, last)

    def stored_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges of positions that are stored, ascending. Valid while nothing changes."""
        start = 0
        for hole in sorted((*self.live, *self.released)):
            if start < hole:
                yield start, hole
            start = hole + 1
        if start < self.cursor:
            yield start, self.cursor
        yield from self.known_ranges
