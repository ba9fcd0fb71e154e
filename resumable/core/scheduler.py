"""The order in which files send their chunks, and how many chunks are under way.

FileQueue: files added earlier come first, and with ``first_and_last`` the ends of all files before the rest. New files,
of which the server has nothing yet, have a queue of their own, because it may turn them away. One that was turned away
more than once lets other new ones go first: it may be the only one that the server does not want. A queue is a heap of
keys. A file keeps its current key; older keys are dropped when they come up, and so are files that have nothing to
lease by then.

Slots: each is taken by the record of a chunk, or of a file whose hooks run, from the lease until the report. A retry
that waits keeps its slot, so that a server in trouble does not get other chunks meanwhile. A request that has to stop
keeps it, too: it stays on the wire until its worker reports. A question about many files takes one slot, and keeps it
until it is answered, or until none of its files is open any more.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from .active_chunk import ActiveChunk
from .concurrency import ConcurrencyController
from .file import FileCore
from .probes import may_be_ahead
from .states import ChunkEvent, ChunkState, FileState

__all__ = ["FileQueue", "Slots"]

_QueueKey = tuple[bool, bool, bool, int]

_OPEN = (FileState.PREPARING, FileState.READY, FileState.UPLOADING)


class FileQueue:
    """The queue of a session's files, which are looked up by their keys in ``files``."""

    def __init__(self, files: Mapping[int, FileCore], *, first_and_last: bool) -> None:
        self._files = files
        self._first_and_last = first_and_last
        self._begun: list[_QueueKey] = []
        self._new: list[_QueueKey] = []

    def add(self, file: FileCore) -> None:
        """Add the file, or move it to where it belongs now."""
        key = self._queue_key(file)
        if file.queue_key != key:
            file.queue_key = key
            heapq.heappush(self._new if key[0] else self._begun, key)

    def next(self, *, new: bool) -> FileCore | None:
        """Return the file whose turn it is, without removing it, or None if each has to wait. ``new``: a new one may
        begin."""
        found = self._first(self._begun)
        other = self._first(self._new) if new and self._new else None
        if found is None or other is None:
            return found or other
        return min(found, other, key=lambda file: self._queue_key(file)[1:])

    def ahead(self, *, new: bool, most: int) -> FileCore | None:
        """Return the first file of which a chunk may be tested ahead of its turn, or None if there is none, or if
        ``most`` chunks of the files before it wait to be sent already. ``new``: it may be a new one."""
        passed = []
        found = None
        for heap in (self._begun, self._new) if new else (self._begun,):
            while heap and most > 0 and found is None:
                key = heapq.heappop(heap)
                file = self._files.get(key[-1])
                if file is None or file.queue_key is not key:
                    continue
                if file.state not in _OPEN or not file.wants_turn:
                    file.queue_key = None
                    continue
                passed.append((heap, key))
                most -= file.lacking
                found = file if may_be_ahead(file) and most > 0 else None
        for heap, key in passed:
            heapq.heappush(heap, key)
        return found

    def take_untouched(self, fewest: int, most: int) -> list[FileCore]:
        """Remove the first new files as long as they are untouched, and return them; none if there are too few.

        Files that have nothing to do now do not count.
        """
        taken: list[FileCore] = []
        heap = self._new
        while heap and len(taken) < most:
            key = heap[0]
            file = self._files.get(key[-1])
            if file is not None and file.queue_key is key:
                if file.untouched:
                    taken.append(file)
                elif file.state in _OPEN and file.wants_turn:
                    break
                file.queue_key = None
            heapq.heappop(heap)
        if len(taken) >= fewest:
            return taken
        for file in taken:
            self.add(file)
        return []

    def waiting(self, most: int) -> int:
        """Return how many chunks wait for their turn, or ``most`` if there are more."""
        keys = [*self._begun, *self._new]
        if len(keys) > most:
            return most
        files = [self._files.get(key[-1]) for key in keys]
        count = sum(file.pending for file, key in zip(files, keys, strict=True) if file and file.queue_key is key)
        return min(count, most)

    def _first(self, heap: list[_QueueKey]) -> FileCore | None:
        blocked = []
        found = None
        while heap:
            key = heap[0]
            file = self._files.get(key[-1])
            if file is None or file.queue_key is not key:
                heapq.heappop(heap)
            elif file.state not in _OPEN or not file.wants_turn:
                heapq.heappop(heap)
                file.queue_key = None
            elif self._queue_key(file) != key:
                heapq.heappop(heap)
                self.add(file)
            elif file.blocked:
                blocked.append(heapq.heappop(heap))
            else:
                found = file
                break
        for key in blocked:
            heapq.heappush(heap, key)
        return found

    def _queue_key(self, file: FileCore) -> _QueueKey:
        new, later = not file.stored, self._first_and_last and file.next_position() >= 2
        return new, later, new and file.turned_away > 1, file.key


class Slots:
    """At most as many records as the controller says, by the ids of their leases. If the number falls, no other record
    gets a slot before there are fewer. ``waiting`` are those whose retries wait, ``ahead`` the leases of chunks that
    are only tested, and whether the server probably lacks these."""

    def __init__(self, concurrency: ConcurrencyController) -> None:
        self._concurrency = concurrency
        self._leases = 0
        self.live: dict[int, ActiveChunk] = {}
        self.waiting: dict[int, ActiveChunk] = {}
        self.ahead: dict[int, bool] = {}
        self.questions: dict[int, list[tuple[FileCore, int]]] = {}

    @property
    def taken(self) -> int:
        """How many slots are taken: by questions, and by all records but those of chunks that are only tested."""
        return len(self.live) - len(self.ahead) + len(self.questions)

    def free(self, *, fewer: bool) -> bool:
        """Return whether another record fits, also if there is one slot ``fewer``, unless it is the only one."""
        count = self._concurrency.slots
        return self.taken < (count - 1 if fewer and count > 1 else count)

    def take(self, record: ActiveChunk) -> int:
        """Give the record a slot, unless it is only tested, and return the id of its new lease."""
        self._leases += 1
        self.live[self._leases] = record
        return self._leases

    def ask(self, files: list[FileCore]) -> int:
        """Give a slot to a question about these files, and return the id of its lease."""
        self._leases += 1
        self.questions[self._leases] = [(file, file.epoch) for file in files]
        return self._leases

    def keep(self, identifier: int) -> None:
        """Let the record wait in its slot until it is due."""
        self.waiting[identifier] = self.live[identifier]

    def next_due(self) -> float | None:
        """Return when the next of the retries that wait is due, or None if as many others are under way as may be."""
        if self.taken - len(self.waiting) >= self._concurrency.slots:
            return None
        return min(record.due for record in self.waiting.values())

    def wake(self, attempt: int) -> None:
        """Hasten the retries of what failed before this attempt began, which succeeded."""
        for record in self.waiting.values():
            if record.failed < attempt:
                record.due = record.earliest

    def take_due(self) -> ActiveChunk:
        """Return the record of the retry that is due first. It has no slot until it is leased again."""
        identifier = min(self.waiting, key=lambda waiting: self.waiting[waiting].due)
        del self.waiting[identifier]
        return self.live.pop(identifier)

    def files(self) -> list[FileCore]:
        """Return the files that hold slots, each once."""
        return list(dict.fromkeys(record.file for record in self.live.values()))

    def stop(self, file: FileCore) -> tuple[list[int], bool]:
        """Release the file's retries, and return the leases whose requests must stop now, and whether any of them was
        not stopped before.

        Requests that were stopped before are included: a cancel does not wait for what a pause lets finish.
        """
        stopped = []
        fresh = False
        for identifier, record in list(self.live.items()):
            if record.file is not file or record.prepare:
                continue
            if record.state is ChunkState.STOPPING:
                stopped.append(identifier)
            elif record.step(ChunkEvent.STOP) is ChunkState.STOPPING:
                stopped.append(identifier)
                fresh = True
            else:
                del self.live[identifier], self.waiting[identifier]
                file.release(record)
        for identifier, files in self.questions.items():
            if file.asking and not any(other.state in _OPEN for other, _ in files):
                stopped.append(identifier)
        return stopped, fresh
