"""Held ends: chunks whose bytes are on their way while they may not be complete yet.

Most servers look at a chunk when its request is whole. Many of them create something at the first chunk and put the
file together at the last, and go wrong if other chunks become whole meanwhile. So the first chunk is acknowledged
before another one becomes whole, and all others are before the last one does. That is an order of completion: the
bytes of other chunks may be on their way all the time, if only the last few of each, its *end*, are held back until
its turn has come. On a long link this is half of the speed, because nobody waits for a round trip, and no connection
has to find its speed beside one that has found it already.

Such a chunk is *early*: its request begins while others of its file still have to be acknowledged. These rules keep it
from doing harm.

* It takes only a slot for which no other file has work.
* It is asked for first, and that question is the proof that the server works side by side. One that takes a request
  at a time would read an early one and wait in it for its end, while the one that it waits for stands in the queue.
  So the question is asked once the bytes of all that the chunk waits for have begun to flow, and the chunk is sent
  if the server answers while they still do. Without tests nothing is early, and neither is a chunk whose connection
  we do not see, because nobody could hold its end.
* It begins at most 3 s before all that it waits for will be acknowledged, if each takes as long as the latest did: on a
  slow line all chunks share it, so that none is done sooner, and the server waits the longer for each. Beside the first
  of all it begins at once, because nothing is known of the line yet.
* All held chunks together are at most so many bytes, because servers keep them in memory, and small chunks are not
  worth it.
* If what it waits for fails, waits for a retry or is stopped, the early request is stopped as by a pause.
* Whatever comes of it, an early request costs one request and nothing else. If it was not acknowledged, the chunk
  waits for another turn, with no retry counted and nothing told. And if that was not our doing, because the server
  took offence or its patience or ours was over, nothing is early any more in this session.

How long a request may be held is up to whoever performs it, who sees for how long its bytes leave.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from .active_chunk import ActiveChunk
from .file import FileCore
from .history import NO_ATTEMPTS
from .retry import SessionPolicy
from .states import ChunkEvent, ChunkState, FileState

__all__ = ["HeldEnds", "awaits_flowing", "may_finish"]

SOON = 3.0
"""Seconds before the expected end of all that a chunk waits for from which on it may be early."""


class HeldEnds:
    """The early chunks of a session. Owned by its core. ``held`` are those whose ends are held, by their leases."""

    def __init__(self, policy: SessionPolicy) -> None:
        self._possible = policy.test_chunks and policy.held_bytes > 0
        self._smallest = policy.smallest_held
        self._most = policy.held_bytes
        self._latest = 0.0
        self.held: dict[int, ActiveChunk] = {}

    def next(self, files: Iterable[FileCore], now: float) -> tuple[FileCore | None, float]:
        """Return the first of the files whose next chunk may be early, or None and from when on one may be, if nothing
        else happens until then."""
        until = math.inf
        for file in files if self._possible else ():
            if _may_be_early(file) and self._fits(file, file.next_position()):
                soon = self._expected(file) - SOON
                if soon <= now:
                    return file, now
                until = min(until, soon)
        return None, until

    def _expected(self, file: FileCore) -> float:
        """Return when all will be acknowledged that the next chunk of the file waits for."""
        return max(record.leased + (record.pace or self._latest) for record in _awaited(file, file.next_position()))

    def awaits(self, record: ActiveChunk) -> bool:
        """Return whether a chunk may be early because of this one, so that somebody has to say when its bytes flow. On
        a slow connection any may be under way when the last begins."""
        return self._possible and record.file.order.holds_ends

    def begin(self, identifier: int, record: ActiveChunk, *, proven: bool) -> bool:
        """Return whether the early chunk may be sent, with its end held. ``proven``: the server answered its test."""
        file = record.file
        allowed = proven and self._possible and awaits_flowing(file, record.position, record.attempt)
        if allowed and self._fits(file, record.position):
            self.held[identifier] = record
            return True
        return False

    def acknowledged(self, seconds: float) -> None:
        """Note that the server took a chunk, so many seconds after its turn began."""
        self._latest = seconds

    def fail(self, identifier: int) -> None:
        """Note that the server did not acknowledge the early chunk: nothing is early any more."""
        self.held.pop(identifier, None)
        self._possible = False

    def review(self) -> tuple[list[int], list[int]]:
        """Return the leases whose ends may be sent now, and those whose requests have to stop: no longer held."""
        released, stopped = [], []
        for identifier, record in list(self.held.items()):
            if record.state is ChunkState.SENDING and not may_finish(record.file, record.position):
                if awaits_flowing(record.file, record.position):
                    continue
                record.step(ChunkEvent.STOP)
                stopped.append(identifier)
            elif record.state is ChunkState.SENDING:
                released.append(identifier)
            del self.held[identifier]
        return released, stopped

    def _fits(self, file: FileCore, position: int) -> bool:
        size = file.size_of(position)
        held = sum(record.file.size_of(record.position) for record in self.held.values())
        return size >= self._smallest and held + size <= self._most


def may_finish(file: FileCore, position: int) -> bool:
    """Return whether everything is acknowledged that has to be before this position is whole at the server."""
    if not file.order.holds_ends or position == 0:
        return True
    if position == file.order.count - 1:
        return file.stored == position
    return file.is_done(0)


def awaits_flowing(file: FileCore, position: int, attempt: float = math.inf) -> bool:
    """Return whether something has to be acknowledged before this position, and bytes of all that flow, in requests
    that began before this attempt."""
    awaited = _awaited(file, position)
    return bool(awaited) and all(
        record.state is ChunkState.SENDING and record.flows and record.attempt < attempt for record in awaited
    )


def _awaited(file: FileCore, position: int) -> list[ActiveChunk]:
    """Return what has to be acknowledged before this position, if all of that is under way; otherwise nothing."""
    if 0 < position < file.order.count - 1:
        return [file.live[0]] if 0 in file.live else []
    if file.cursor < file.order.count - 1 or any(other != position for other in file.released):
        return []
    return [record for other, record in file.live.items() if other != position]


def _may_be_early(file: FileCore) -> bool:
    """Return whether the next position may have its turn although it is blocked. It never had one, so it is asked
    for."""
    if not file.order.holds_ends or file.state is not FileState.UPLOADING or file.draining or file.confirming:
        return False
    if file.exhausted or file.untested or file.confirms_first:
        return False
    position = file.next_position()
    turn = file.released.get(position, NO_ATTEMPTS)
    return position > 0 and not turn.tested and not turn.retries and awaits_flowing(file, position)
