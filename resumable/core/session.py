"""The session as one passive machine: files, slots, runs, retries.

Nothing here waits, reads a clock, or calls anybody: whoever has news calls a method with the time, gets
:class:`Effects` (or a lease), and does the rest. The caller serialises the calls.

Slots. At most ``slots`` records are live at once; a chunk in BACKOFF or STOPPING keeps its slot. Turns go to retries
that are due, then to files in the order in which they were added, each from its lowest position.

Epochs. ``retry`` and ``bootstrap`` begin a new epoch of the file. What was on the wire before keeps its slot and its
position until its worker reports; the report then only releases the chunk, whatever it says.

Runs. A run that began by itself is *held* open: it ends only when ``release`` has said that no more files come.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..errors import StateError
from ..protocol.plan import ChunkOrder, ChunkPlan
from .file import FileCore, Live, Turn
from .records import Effects, Lease, Notice, Outcome, OutcomeKind, Wait
from .states import (
    FILE,
    FILE_HOLDS,
    SESSION,
    SESSION_HOLDS,
    TERMINAL,
    ChunkEvent,
    ChunkState,
    FileEvent,
    FileState,
    SessionEvent,
    SessionState,
    step,
)

__all__ = ["Policy", "SessionCore"]

RETRY_AFTER_CAP = 120.0
"""Seconds: the longest that a server's Retry-After holds us back."""

_ON_THE_WIRE = frozenset({ChunkState.TESTING, ChunkState.SENDING})


@dataclass(frozen=True)
class Policy:
    """The rules of a session. ``delay(retries, streak)`` is the seconds before a retry: ``retries`` counts the
    chunk's failed attempts, ``streak`` those since anything got through."""

    slots: int = 3
    test_chunks: bool = True
    max_chunk_retries: int | None = 100
    retry_for: float | None = None
    fail_fast: bool = False
    first_and_last: bool = False
    delay: Callable[[int, int], float] = lambda retries, streak: 0.0


class SessionCore:
    """One session. Every method but the getters returns what it brought about."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.state = SessionState.IDLE
        self.files: dict[int, FileCore] = {}
        self.held = False
        self.live: dict[int, Live] = {}
        self.ended: dict[int, FileState] = {}
        self.total_size = 0
        self.bytes_done = 0
        self.bytes_skipped = 0
        self._open = 0
        self._keys = 0
        self._leases = 0
        self._queue: list[tuple[bool, int]] = []
        self._due: list[tuple[float, int]] = []
        self._not_before = 0.0
        self._reached = False
        self._gains = 0
        self._last_gain = 0.0
        self._notices: list[Notice] = []
        self._stopped: list[int] = []

    # -- files ---------------------------------------------------------------------------------------------------

    def add(self, plan: ChunkPlan, order: ChunkOrder, *, prepared: bool = True) -> tuple[int, Effects]:
        """The key of the new file, which waits for its turn. Raises StateError when the session is closed."""
        if self.state is SessionState.CLOSED:
            raise StateError("add a file", "the session is closed")
        self._keys += 1
        file = FileCore(self._keys, plan, order, prepared=prepared)
        self.files[file.key] = file
        self.total_size += plan.size
        self._open += 1
        self._enqueue(file)
        for event, extra in (
            ("chunking_start", ()),
            ("chunking_progress", (0.0,)),
            ("chunking_progress", (1.0,)),
            ("chunking_complete", ()),
            ("file_added", ()),
        ):
            self._tell(event, file, extra=extra)
        return file.key, self._effects()

    def pause_file(self, key: int) -> Effects:
        """No further request for the file begins; those under way are told to stop."""
        file = self._file(key)
        if self._ask(file, FileEvent.PAUSE):
            self._stop(file, announce=True)
        return self._effects()

    def resume_file(self, key: int) -> Effects:
        """The file waits for its turn again."""
        file = self._file(key)
        if self._ask(file, FileEvent.RESUME):
            self._enqueue(file)
        return self._effects()

    def cancel_file(self, key: int, *, announce: bool = True) -> Effects:
        """The file is no longer part of the session; requests under way for it are told to stop."""
        self._cancel(self._file(key), announce=announce)
        self._settle()
        return self._effects()

    def retry_file(self, key: int, now: float) -> Effects:
        """A failed file waits for its turn again, with what is stored kept; an idle session starts a run."""
        file = self._file(key)
        if self.state is SessionState.CLOSED:
            raise StateError("retry the file", "the session is closed")
        if self._ask(file, FileEvent.RETRY):
            file.epoch += 1
            file.error = file.message = None
            file.forget_turns()
            self._reopen(file)
            if self.state is SessionState.IDLE:
                self._begin(now, held=False)
        return self._effects()

    def bootstrap_file(self, key: int) -> Effects:
        """The file is cut anew, and nothing of it is taken for stored."""
        file = self._file(key)
        if self.state is SessionState.CLOSED:
            raise StateError("bootstrap the file", "the session is closed")
        ended = file.state in TERMINAL
        self._ask(file, FileEvent.BOOTSTRAP)
        self._stop(file)
        file.epoch += 1
        self.bytes_done -= file.bytes_done
        self.bytes_skipped -= file.bytes_skipped
        file.recut(file.plan, file.order)
        file.error = file.message = None
        if ended:
            self._reopen(file)
        self._enqueue(file)
        for event in ("chunking_start", "chunking_complete"):
            self._tell(event, file)
        return self._effects()

    def mark_file(self, key: int, ranges: Iterable[tuple[int, int]]) -> Effects:
        """The chunks at these ranges of indexes are taken for stored. Raises StateError for a finished file."""
        file = self._file(key)
        if file.state in TERMINAL:
            raise StateError("mark chunks of the file", f"it is {file.state.value}")
        self._mark(file, ranges)
        if file.complete:
            self._finish(file, None)
        self._settle()
        return self._effects()

    # -- the session ---------------------------------------------------------------------------------------------

    def upload(self, now: float, *, held: bool = False) -> Effects:
        """A run is under way. One that nobody holds open ends as soon as nothing is open."""
        if not held:
            self.held = False
        if (self.state, SessionEvent.UPLOAD) not in SESSION_HOLDS:
            self._begin(now, held=held)
        self._settle()
        return self._effects()

    def release(self) -> Effects:
        """No more files come: the run ends when nothing is open."""
        self.held = False
        self._settle()
        return self._effects()

    def pause(self) -> Effects:
        """No further request begins until :meth:`upload`; those under way are told to stop."""
        if (self.state, SessionEvent.PAUSE) not in SESSION_HOLDS:
            self.state = step(SESSION, self.state, SessionEvent.PAUSE, "session")
            for file in self._busy_files():
                self._stop(file, announce=True)
            self._tell("pause")
        return self._effects()

    def cancel(self) -> Effects:
        """Every file is removed, every request under way is told to stop, and no run is under way. No completion."""
        self.state = step(SESSION, self.state, SessionEvent.CANCEL, "session")
        self.held = False
        self._tell("before_cancel")
        for file in list(self.files.values()):
            self._cancel(file, announce=True)
        self._tell("cancel")
        return self._effects()

    def close(self) -> Effects:
        """The session has ended for good. What is under way is told to stop; nothing more is told of it."""
        if (self.state, SessionEvent.CLOSE) not in SESSION_HOLDS:
            self.state = step(SESSION, self.state, SessionEvent.CLOSE, "session")
            for file in self._busy_files():
                self._stop(file)
        return self._effects()

    # -- work ----------------------------------------------------------------------------------------------------

    def lease(self, now: float) -> Lease | Wait:
        """The next piece of work, or how long there is none."""
        if self.state is not SessionState.UPLOADING:
            return Wait()
        if now < self._not_before:
            return Wait(self._not_before)
        while self._due:
            due, identifier = self._due[0]
            record = self.live.get(identifier)
            if record is None or record.state is not ChunkState.BACKOFF:
                heapq.heappop(self._due)
            elif due <= now:
                heapq.heappop(self._due)
                del self.live[identifier]
                record.step(ChunkEvent.DUE)
                self._tell_progress(record.file)
                return self._lease(record)
            else:
                break
        if len(self.live) < self.policy.slots:
            lease = self._next()
            if lease is not None:
                return lease
        return Wait(self._due[0][0] if self._due else None)

    def begin_send(self, identifier: int) -> tuple[bool, Effects]:
        """Whether the chunk that the server lacks may be sent now. False: it was told to stop meanwhile."""
        record = self.live[identifier]
        if record.state is ChunkState.STOPPING:
            return False, self._effects()
        if record.state is ChunkState.TESTING:
            record.step(ChunkEvent.ABSENT)
            record.tested = True
            self._tell_progress(record.file)
        return True, self._effects()

    def flush(self) -> Effects:
        """What leasing brought about."""
        return self._effects()

    def report(self, lease: Lease, outcome: Outcome, now: float) -> Effects:
        """The lease is over and its slot is free, or waits for the retry."""
        record = self.live.pop(lease.id)
        file = record.file
        self._reached = self._reached or outcome.answered
        if outcome.retry_after is not None:
            self._not_before = max(self._not_before, now + min(outcome.retry_after, RETRY_AFTER_CAP))
        if record.position is None:
            self._prepared(file, record, outcome)
        elif record.epoch != file.epoch or file.state in TERMINAL or self.state is SessionState.CLOSED:
            # The run that this belongs to is over for the file, so what came of it is not counted; the server is
            # asked again if there is another run.
            self._let_go(file, record, Turn())
        else:
            self._chunk(file, record, outcome, lease, now)
        self._settle()
        return self._effects()

    # -- facts ---------------------------------------------------------------------------------------------------

    def chunk_state(self, key: int, index: int) -> tuple[ChunkState, int]:
        """The state of a chunk and how often an attempt at it failed. A file that was removed has none: PENDING."""
        file = self.files.get(key)
        if file is None:
            return ChunkState.PENDING, 0
        position = file.order.position(index)
        record = file.live.get(position)
        if record is not None:
            return record.state, record.retries
        if position in file.released:
            return ChunkState.PENDING, file.released[position].retries
        return (ChunkState.DONE if file.is_done(position) else ChunkState.PENDING), 0

    @property
    def finished(self) -> bool:
        """Whether nothing is open and no slot is taken."""
        return not self._open and not self.live

    # -- inside --------------------------------------------------------------------------------------------------

    def _file(self, key: int) -> FileCore:
        file = self.files.get(key)
        if file is None:
            raise StateError("do this to the file", "it is no longer part of the session")
        return file

    def _ask(self, file: FileCore, event: FileEvent) -> bool:
        """Whether the event changed something: the file has the state that follows."""
        if (file.state, event) in FILE_HOLDS:
            return False
        file.state = step(FILE, file.state, event, "file")
        return True

    def _tell(self, event: str, file: FileCore | None = None, **facts: object) -> None:
        self._notices.append(Notice(event, None if file is None else file.key, **facts))  # type: ignore[arg-type]

    def _tell_progress(self, file: FileCore, message: str | None = None) -> None:
        self._tell("file_progress", file, message=message)
        self._tell("progress")

    def _effects(self) -> Effects:
        effects = Effects(tuple(self._notices), tuple(self._stopped))
        self._notices.clear()
        self._stopped.clear()
        return effects

    def _enqueue(self, file: FileCore) -> None:
        if not file.queued:
            file.queued = True
            heapq.heappush(self._queue, (self._later(file), file.key))

    def _later(self, file: FileCore) -> bool:
        return self.policy.first_and_last and file.cursor >= min(2, file.order.count)

    def _next(self) -> Lease | None:
        gated = []
        lease = None
        while self._queue and lease is None:
            entry = heapq.heappop(self._queue)
            file = self.files.get(entry[1])
            if file is None or file.state not in (FileState.PREPARING, FileState.READY, FileState.UPLOADING):
                if file is not None:
                    file.queued = False
                continue
            if not file.prepared:
                file.queued = False
                if not any(record.position is None and record.file is file for record in self.live.values()):
                    self._ask(file, FileEvent.PREPARE)
                    lease = self._lease(Live(file, file.epoch, None, state=ChunkState.TESTING))
                continue
            position = file.peek()
            if position is None:
                file.queued = False
            elif file.gated(position):
                gated.append(entry)
            elif self._later(file) is not entry[0]:
                heapq.heappush(self._queue, (self._later(file), file.key))
            else:
                self._ask(file, FileEvent.LEASE)
                record = file.take(position)
                if file.exhausted:
                    file.queued = False
                else:
                    heapq.heappush(self._queue, (self._later(file), file.key))
                test = self.policy.test_chunks and not record.tested
                record.step(ChunkEvent.TEST if test else ChunkEvent.SEND)
                record.seen = self._gains
                if not test:
                    self._tell_progress(file)
                lease = self._lease(record)
        for entry in gated:
            heapq.heappush(self._queue, entry)
        return lease

    def _lease(self, record: Live) -> Lease:
        self._leases += 1
        self.live[self._leases] = record
        file = record.file
        if record.position is None:
            return Lease(self._leases, file.key, record.epoch, prepare=True)
        index = file.order.index(record.position)
        start, end = file.plan.span(index)
        return Lease(
            id=self._leases,
            file=file.key,
            epoch=record.epoch,
            position=record.position,
            index=index,
            start=start,
            end=end,
            retries=record.retries,
            test=record.state is ChunkState.TESTING,
            final=file.exhausted,
        )

    def _busy_files(self) -> list[FileCore]:
        return list({record.file.key: record.file for record in self.live.values()}.values())

    def _stop(self, file: FileCore, *, announce: bool = False) -> None:
        """Every request of the file is told to stop; retries that wait are released."""
        moved = False
        for identifier, record in list(self.live.items()):
            if record.file is not file or record.position is None:
                continue
            if record.state is ChunkState.BACKOFF:
                record.step(ChunkEvent.STOP)
                del self.live[identifier]
                self._let_go(file, record, Turn(record.retries, record.tested))
            elif record.state in _ON_THE_WIRE:
                record.step(ChunkEvent.STOP)
                self._stopped.append(identifier)
                moved = True
        if moved and announce:
            self._tell_progress(file)

    def _let_go(self, file: FileCore, record: Live, turn: Turn) -> None:
        file.release(record, turn)
        if file.state not in TERMINAL:
            self._enqueue(file)

    def _prepared(self, file: FileCore, record: Live, outcome: Outcome) -> None:
        if record.epoch != file.epoch or file.state in TERMINAL:
            self._enqueue(file)
        elif outcome.kind is OutcomeKind.PREPARED:
            file.prepared = True
            if outcome.plan is not None:
                self.total_size += outcome.plan.size - file.plan.size
                file.recut(outcome.plan, ChunkOrder(outcome.plan.count, file.order.mode, file.order.first_and_last))
                for event in ("chunking_start", "chunking_complete"):
                    self._tell(event, file)
            self._ask(file, FileEvent.PREPARED)
            self._enqueue(file)
        elif outcome.kind is OutcomeKind.REFUSED:
            self._fail(file, outcome, None)
        else:
            self._enqueue(file)

    def _chunk(self, file: FileCore, record: Live, outcome: Outcome, lease: Lease, now: float) -> None:
        assert record.position is not None
        kind = outcome.kind
        if kind is OutcomeKind.RETRY and record.state is not ChunkState.STOPPING and self._is_last(record, outcome, now):
            kind = OutcomeKind.REFUSED
        following = record.step(ChunkEvent[kind.name])
        if outcome.stored:
            self._mark(file, outcome.stored)
        if following is ChunkState.DONE:
            self._gains += 1
            self._last_gain = now
            before = file.bytes_done, file.bytes_skipped
            file.store(record.position, skipped=kind is OutcomeKind.PRESENT)
            self._add_bytes(file, before)
            self._tell("chunk_success", file, index=lease.index, message=outcome.message)
            self._tell_progress(file, outcome.message)
            if file.complete:
                self._finish(file, outcome.message)
        elif following is ChunkState.FAILED:
            self._let_go(file, record, Turn(record.retries, record.tested))
            self._fail(file, outcome, lease.index)
        elif following is ChunkState.BACKOFF:
            if record.seen != self._gains:
                record.seen = self._gains
                record.streak = 0
            record.retries += 1
            record.streak += 1
            record.due = max(now + self.policy.delay(record.retries, record.streak), self._not_before)
            self.live[lease.id] = record
            heapq.heappush(self._due, (record.due, lease.id))
            self._tell("chunk_retry", file, index=lease.index, message=outcome.message)
            self._tell("file_retry", file)
        else:
            self._let_go(file, record, Turn(record.retries, record.tested))

    def _is_last(self, record: Live, outcome: Outcome, now: float) -> bool:
        limit = self.policy.max_chunk_retries
        if limit is not None and record.retries >= limit:
            return True
        if outcome.hopeless and not self._reached:
            return True
        return self.policy.retry_for is not None and now - self._last_gain >= self.policy.retry_for

    def _mark(self, file: FileCore, ranges: Iterable[tuple[int, int]]) -> None:
        before = file.bytes_done, file.bytes_skipped
        file.mark(ranges)
        self._add_bytes(file, before)

    def _add_bytes(self, file: FileCore, before: tuple[int, int]) -> None:
        self.bytes_done += file.bytes_done - before[0]
        self.bytes_skipped += file.bytes_skipped - before[1]

    def _finish(self, file: FileCore, message: str | None) -> None:
        self._ask(file, FileEvent.FINISH)
        file.message = message
        self._end(file)
        self._tell("file_success", file, message=message)

    def _fail(self, file: FileCore, outcome: Outcome, index: int | None) -> None:
        self._ask(file, FileEvent.FAIL)
        file.error = outcome.error
        file.message = message = outcome.message
        self._end(file)
        self._stop(file)
        if index is not None:
            self._tell("chunk_error", file, index=index, message=message)
        self._tell("file_error", file, message=message)
        self._tell("error", file, message=message)
        if self.policy.fail_fast:
            for other in [f for f in self.files.values() if f.state not in TERMINAL]:
                self._cancel(other, announce=True)

    def _cancel(self, file: FileCore, *, announce: bool) -> None:
        del self.files[file.key]
        self.total_size -= file.plan.size
        self.bytes_done -= file.bytes_done
        self.bytes_skipped -= file.bytes_skipped
        changed = self._ask(file, FileEvent.CANCEL)
        if changed:
            self._stop(file)
            self._end(file)
        if announce:
            self._tell_progress(file)
        if changed:
            self._tell("file_cancelled", file)

    def _end(self, file: FileCore) -> None:
        self._open -= 1
        self.ended[file.key] = file.state

    def _reopen(self, file: FileCore) -> None:
        self._open += 1
        self.ended.pop(file.key, None)
        self._enqueue(file)

    def _begin(self, now: float, *, held: bool) -> None:
        fresh = self.state is SessionState.IDLE
        self.state = step(SESSION, self.state, SessionEvent.UPLOAD, "session")
        if fresh:
            self.held = held
            self.ended = {}
        self._last_gain = now
        self._tell("upload_start")

    def _settle(self) -> None:
        if self.state in (SessionState.UPLOADING, SessionState.PAUSED) and not self.held and self.finished:
            self.state = step(SESSION, self.state, SessionEvent.DRAINED, "session")
            self._tell("complete")
