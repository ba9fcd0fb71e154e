"""The session as one passive machine: commands, leases, reports, runs.

Nothing here waits, reads a clock, or calls back: the caller passes the time, gets :class:`Effects` (or a lease), and
carries them out. The caller serialises the calls.

Epochs. ``retry`` and ``bootstrap`` begin a new epoch of the file. A request that was on the wire before keeps its slot
and its position until its worker reports; the report then only releases the chunk, whatever it says.

Runs. A run that began by itself is *open-ended*: it ends only after ``close_run`` has said that no more files come.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from ..errors import FileRejected, StateError, UploadError
from ..protocol.plan import ChunkOrder, ChunkPlan
from ..protocol.question import FileAnswer
from .collector import EffectCollector
from .concurrency import ConcurrencyController, Flow
from .file import ActiveChunk, FileCore
from .holds import HeldEnds
from .last_chunks import wait_for_others
from .part import make_file_core
from .probes import Probes
from .questions import Questions
from .records import (
    Effects,
    Ending,
    Lease,
    Outcome,
    OutcomeKind,
    Permission,
    Proof,
    Wait,
)
from .retry import RetryController, SessionPolicy
from .scheduler import FileQueue, Slots
from .states import (
    FILE,
    FILE_NOOPS,
    RUNNING,
    SESSION,
    SESSION_NOOPS,
    TERMINAL,
    ChunkEvent,
    ChunkState,
    FileEvent,
    FileState,
    SessionEvent,
    SessionState,
    step,
)
from .taken import Taken

__all__ = ["SessionCore"]

_ANSWERS = {
    OutcomeKind.PRESENT: ChunkEvent.PRESENT,
    OutcomeKind.ABSENT: ChunkEvent.ABSENT,
    OutcomeKind.ACCEPTED: ChunkEvent.ACCEPTED,
    OutcomeKind.DENIED: ChunkEvent.DENIED,
    OutcomeKind.REFUSED: ChunkEvent.REFUSED,
    OutcomeKind.RETRY: ChunkEvent.RETRY,
    OutcomeKind.STOPPED: ChunkEvent.STOPPED,
}
_STORED = (ChunkEvent.PRESENT, ChunkEvent.ACCEPTED)
_HALTED = (*TERMINAL, FileState.PAUSED)


class SessionCore:
    """One session. Every method but the getters returns its effects."""

    def __init__(self, policy: SessionPolicy) -> None:
        self.policy = policy
        self.state = SessionState.IDLE
        self.open_ended = False
        self.files: dict[int, FileCore] = {}
        self.ended: dict[int, FileState] = {}
        self.unfinished: dict[int, str] = {}
        self.skipped: list[FileRejected] = []
        self.outcome: Ending | None = None
        self.total_size = 0
        self.bytes_done = 0
        self.bytes_skipped = 0
        self._open = 0
        self._keys = 0
        self._slots = Slots(policy.slots)
        self._concurrency = ConcurrencyController(policy.slots, policy.most_slots)
        self._queue = FileQueue(self.files, first_and_last=policy.first_and_last)
        self._retries = RetryController(policy)
        self._holds = HeldEnds(policy)
        self._probes = Probes(policy)
        self._questions = Questions(policy)
        self.effects = EffectCollector()

    # -- files ---------------------------------------------------------------------------------------------------

    def add(self, plan: ChunkPlan, order: ChunkOrder, *, prepared: bool = True, name: str = "") -> tuple[int, Effects]:
        """Add a file, which waits for its turn, and return its key. Raises StateError if the session is closed."""
        if self.state is SessionState.CLOSED:
            raise StateError("add a file", "the session is closed")
        self._keys += 1
        file = make_file_core(self._keys, plan, order, prepared=prepared, name=name)
        self.files[file.key] = file
        self.total_size += file.size
        self._open += 1
        self.unfinished[file.key] = file.name
        self._queue.add(file)
        self.effects.add("chunking_start", file)
        self.effects.chunked(file)
        self.effects.add("file_added", file)
        return file.key, self.effects.flush()

    def acknowledge(self, keys: Iterable[int]) -> None:
        """Note that the program knows how these files ended: those that failed need no warning any more."""
        for key in keys:
            file = self.files.get(key)
            if file is not None and file.state is FileState.ERROR:
                self.unfinished.pop(key, None)

    def skip(self, reasons: Iterable[FileRejected]) -> None:
        """Note that files were left out of the run that is under way, or else of the next one."""
        self.skipped += reasons

    def pause_file(self, key: int, *, aborted: bool = False) -> Effects:
        """Begin no further request for the file, and stop those under way. An aborted file also goes on with the next
        :meth:`upload`."""
        file = self.files.get(key)
        if file is not None and self._transition(file, FileEvent.PAUSE):
            file.aborted = aborted
            self._stop(file, announce=aborted)
        return self.effects.flush()

    def resume_file(self, key: int) -> Effects:
        """Let the file wait for its turn again."""
        file = self.files.get(key)
        if file is not None and self._transition(file, FileEvent.RESUME):
            file.aborted = False
            self._queue.add(file)
        return self.effects.flush()

    def cancel_file(self, key: int, reason: str = "cancelled", *, announce: bool = True) -> Effects:
        """Remove the file from the session, and stop its requests."""
        file = self.files.get(key)
        if file is not None:
            self._cancel(file, reason, announce=announce)
            self._complete_if_idle()
        return self.effects.flush()

    def retry_file(self, key: int, now: float) -> Effects:
        """Let a failed file wait for its turn again, with what is stored kept. An idle session begins a run."""
        file = self._file(key, "retry the file")
        if self._transition(file, FileEvent.RETRY):
            file.begin_again()
            self._reopen(file)
            if self.state is SessionState.IDLE:
                self._begin(now, open_ended=False)
            else:
                self._retries.start(now)
        return self.effects.flush()

    def bootstrap_file(self, key: int) -> Effects:
        """Cut the file again, and take nothing of it for stored."""
        file = self._file(key, "bootstrap the file")
        ended = file.state in TERMINAL
        self._transition(file, FileEvent.BOOTSTRAP)
        self._stop(file)
        file.begin_epoch()
        self._rechunk(file, file.plan)
        if ended:
            self._reopen(file)
        return self.effects.flush()

    def mark_file(self, key: int, ranges: Iterable[tuple[int, int]]) -> Effects:
        """Take the chunks at these ranges of indexes for stored. Raises StateError for a finished file."""
        file = self._file(key, "mark chunks of the file")
        if file.state in TERMINAL:
            raise StateError("mark chunks of the file", f"its state is {file.state.value}")
        self._mark(file, ranges)
        if file.complete:
            self._complete(file, None)
            self._complete_if_idle()
        return self.effects.flush()

    # -- the session ---------------------------------------------------------------------------------------------

    def upload(self, now: float, *, open_ended: bool = False, resume_aborted: bool = True) -> Effects:
        """Begin a run, or resume a paused one. It ends as soon as nothing is open, unless it is ``open_ended``.
        ``resume_aborted``: aborted files go on."""
        if (self.state, SessionEvent.UPLOAD) not in SESSION_NOOPS:
            self._begin(now, open_ended=open_ended)
        if not open_ended:
            self.open_ended = False
            for file in self.files.values() if resume_aborted else ():
                if file.aborted and self._transition(file, FileEvent.RESUME):
                    self._queue.add(file)
                file.aborted = False
        self._complete_if_idle()
        return self.effects.flush()

    def close_run(self) -> Effects:
        """Let the run end when nothing is open: no more files come."""
        self.open_ended = False
        self._complete_if_idle()
        return self.effects.flush()

    def pause(self) -> Effects:
        """Begin no further request until :meth:`upload`, and stop those under way."""
        if (self.state, SessionEvent.PAUSE) not in SESSION_NOOPS:
            self.state = step(SESSION, self.state, SessionEvent.PAUSE, "session")
            for file in self._slots.files():
                self._stop(file, announce=True)
            self.effects.stop(self._slots.questions)
            self.effects.add("pause")
        return self.effects.flush()

    def cancel(self, reason: str = "cancelled") -> Effects:
        """Remove every file, stop every request, and end the run without ``complete``."""
        self.state = step(SESSION, self.state, SessionEvent.CANCEL, "session")
        self.open_ended = False
        self.skipped.clear()
        for file in reversed(list(self.files.values())):
            self._cancel(file, reason)
        self.effects.add("cancel")
        return self.effects.flush()

    def close(self) -> Effects:
        """End the session for good: cancel the files that have not ended, and stop every request. Later reports have no
        effects."""
        if (self.state, SessionEvent.CLOSE) not in SESSION_NOOPS:
            self.state = step(SESSION, self.state, SessionEvent.CLOSE, "session")
            for file in self._slots.files():
                if file.state in TERMINAL:
                    self._stop(file)
            for file in reversed(list(self.files.values())):
                if file.state not in TERMINAL:
                    self._cancel(file, "closed", announce=False)
        return self.effects.flush()

    # -- work ----------------------------------------------------------------------------------------------------

    def lease(self, now: float, pace: float = 0.0) -> Lease | Wait:
        """Return the next lease, or how long there is none. Its effects wait in ``effects``. ``pace`` as in
        ``last_chunks``."""
        if self.state is not SessionState.UPLOADING:
            return Wait()
        slots, retries = self._slots, self._retries
        retries.resume_clock(now)
        due = slots.next_due()
        until = math.inf if due is None else retries.may_ask(due)
        if until <= now:
            record = slots.take_due()
            unsure = record.ambiguous and not record.confirm and self._may_ask_for_chunks(record.file)
            record.step(ChunkEvent.TEST if unsure else ChunkEvent.DUE)
            return self._lease(record, now)
        if slots.free(fewer=retries.holds_back(now)) and self._probes.leave_room(len(slots.live)):
            asks, begins = retries.may_ask(now), retries.may_begin(now)
            early = None
            file = self._queue.next(new=begins <= now)
            if file is None:
                file = early = self._holds.next(slots.files())
            if file is not None and asks <= now:
                asked = self._questions.about(file, self._queue) if self._questions.answered else []
                if asked:
                    return self._ask(asked)
                others = wait_for_others(pace, slots.live.values(), self._queue, now)
                if others is None:
                    record = self._take(file, early=early is not None)
                    record.pace = pace
                    return self._lease(record, now)
                asks = others
            if file is not None:
                until = min(until, asks)
            elif begins > now and self._queue.next(new=True) is not None:
                until = min(until, begins)
            elif not (slots.live or slots.questions):
                retries.pause_clock()
            self._concurrency.idle()
        ahead = self._next_ahead(now)
        if ahead is not None:
            return self._lease_ahead(ahead, now)
        return Wait(None if until == math.inf else until)

    def may_probe(self, now: float) -> bool:
        """Return whether a chunk may be tested ahead of its turn."""
        return self.state is SessionState.UPLOADING and self._next_ahead(now) is not None

    def begin_send(self, identifier: int, test: Outcome) -> tuple[Permission, Effects]:
        """Return whether the chunk, which the test did not find, may be sent now. It may not if it has to stop, if the
        lease is over, or if something has to be asked or acknowledged first."""
        record = self._slots.live.get(identifier)
        if record is None or record.state is ChunkState.STOPPING:
            return Permission.STOP, self.effects.flush()
        if test.takes_questions is not None:
            self._questions.learn(test.takes_questions)
        permission, file = Permission.SEND, record.file
        if record.state is ChunkState.TESTING:
            record.tested = True
            self._tested(file, test)
            # A server that has put the file together with this chunk may have forgotten the others since.
            doubted = file.doubted and not file.pending and not record.ambiguous
            record.ambiguous = record.ambiguous and not test.answered
            if not doubted and not file.may_finish(record.position):
                permission = Permission.HOLD
            held = permission is Permission.HOLD and self._holds.begin(identifier, record, proven=test.lacking)
            if doubted or (permission is Permission.HOLD and not held):
                record.step(ChunkEvent.STOP)
                return Permission.STOP, self.effects.flush()
            record.step(ChunkEvent.ABSENT)
            self.effects.progress(file)
        return permission, self.effects.flush()

    def flow(self, identifier: int) -> None:
        """Note that bytes of the awaited chunk are on their way."""
        record = self._slots.live.get(identifier)
        if record is not None:
            record.flows = True

    def measure(self, flow: Flow, now: float) -> None:
        """Take in what the connections tell. To be called from :attr:`measure_at` on; the number of slots may change
        by it."""
        self._concurrency.measure(flow, now)
        self._slots.count = self._concurrency.slots

    def limit(self, max_uploads: int) -> None:
        """Note how many requests at once the server likes."""
        self._concurrency.limit(max_uploads)
        self._slots.count = self._concurrency.slots

    def report(self, lease: Lease, outcome: Outcome, now: float) -> Effects:
        """End the lease: its slot is free, or waits for the retry. A lease that has ended before has no effects.

        Raises StateError, and changes nothing, if the outcome is impossible in the chunk's state.
        """
        if outcome.takes_questions is not None:
            self._questions.learn(outcome.takes_questions)
        if lease.files:
            self._told(lease, outcome, now)
            self._complete_if_idle()
            return self.effects.flush()
        record = self._slots.live.get(lease.id)
        if record is None:
            return self.effects.flush()
        file = record.file
        if record.ahead:
            # That a test was too much for the server is no reason to send nothing.
            outcome = outcome._replace(busy=False)
        if record.epoch != file.epoch or file.state in TERMINAL or self.state is SessionState.CLOSED:
            # The run that this belongs to is over for the file, so the outcome does not count; the server is asked
            # again if there is another run.
            del self._slots.live[lease.id]
            self._retries.response_received(record, outcome, now)
            record.ambiguous = record.ambiguous or outcome.ambiguous
            file.release(record, forget=True)
            self._queue.add(file)
        elif record.prepare:
            del self._slots.live[lease.id]
            self._prepared(record, lease, outcome)
        else:
            self._answered(record, lease, outcome, now)
        self._probes.end(lease.id)
        self._review_holds()
        self._complete_if_idle()
        return self.effects.flush()

    # -- facts ---------------------------------------------------------------------------------------------------

    def chunk_state(self, key: int, index: int) -> tuple[ChunkState, int]:
        """Return the state of a chunk, PENDING if its file was removed, and how often an attempt at it failed."""
        file = self.files.get(key)
        return (ChunkState.PENDING, 0) if file is None else file.chunk_state(index)

    def waits_until(self, now: float, file: FileCore | None = None) -> float | None:
        """Return when the next attempt begins, at the file or at any, if nothing is under way because attempts failed,
        or the server wants to be left alone. Otherwise None."""
        if self.state is not SessionState.UPLOADING or (not self._open if file is None else file.state in _HALTED):
            return None
        records = [record for record in self._slots.live.values() if file is None or record.file is file]
        asking = bool(self._slots.questions) if file is None else file.asking
        if asking or any(record.prepare or record.state is not ChunkState.BACKOFF for record in records):
            return None
        if records:
            return self._retries.may_ask(min(record.due for record in records))
        until = self._retries.may_ask(now)
        if file is None or not file.begun:
            until = max(until, self._retries.may_begin(now))
        return until if until > now else None

    @property
    def slots(self) -> int:
        """How many chunks may be on their way at once."""
        return self._slots.count

    @property
    def active(self) -> int:
        """How many slots are taken."""
        return self._slots.taken

    @property
    def measure_at(self) -> float:
        """The time from which on :meth:`measure` is to be called."""
        return self._concurrency.measure_at

    @property
    def finished(self) -> bool:
        """Whether nothing is open and no slot is taken."""
        return not (self._open or self._slots.live or self._slots.questions)

    @property
    def has_work(self) -> bool:
        """Whether a run is under way, perhaps paused, with something to do for threads, now or later."""
        return self.state in RUNNING and bool(self._open or self._slots.live or self._slots.questions)

    # -- inside: leases and what comes of them -------------------------------------------------------------------

    def _take(self, file: FileCore, *, early: bool) -> ActiveChunk:
        self._transition(file, FileEvent.LEASE if file.prepared else FileEvent.PREPARE)
        record = file.take()
        record.early = early
        if not record.prepare:
            untested = (record.tested and not record.ambiguous) or not self._may_ask_for_chunks(file)
            if not untested and not early and not record.ambiguous and not self.policy.test_every_chunk:
                untested = file.asked_enough
            record.step(ChunkEvent.SEND if untested and not record.confirm else ChunkEvent.TEST)
        return record

    def _may_ask_for_chunks(self, file: FileCore) -> bool:
        """Return whether the server may be asked for chunks before they are sent."""
        return self.policy.test_chunks and not file.untested

    def _lease(self, record: ActiveChunk, now: float) -> Lease:
        if not record.prepare:
            self._retries.attempt(record, now)
        record.flows = False
        record.leased = now
        if record.state is ChunkState.SENDING:
            self.effects.progress(record.file)
        slots = self._slots
        identifier = slots.take(record)
        if slots.taken >= slots.count:
            self._concurrency.busy(record.file.size_of(record.position))
        file = record.file
        awaited = self._holds.awaits(record)
        return file.lease(record, identifier, awaited=awaited, askable=self._may_ask_for_chunks(file))

    def _tested(self, file: FileCore, test: Outcome) -> None:
        """Take in what the test of a chunk says of others, too, which it did not find itself."""
        file.lacked += test.answered
        file.listed = file.listed or test.listed
        if test.any_order:
            file.allow_any_order()
        if test.stored:
            self._mark(file, test.stored, believed=test.believed)

    def _next_ahead(self, now: float) -> FileCore | None:
        """Return the file of which a chunk may be tested ahead of its turn, or None."""
        retries = self._retries
        if not self._probes.free(len(self._slots.live)) or retries.may_ask(now) > now:
            return None
        new = self._probes.pay_for_new_files and retries.may_begin(now) <= now and not retries.holds_back(now)
        new = new and not self._questions.answered
        return self._queue.ahead(new=new, most=self._slots.count - self._probes.lacking)

    def _lease_ahead(self, file: FileCore, now: float) -> Lease:
        self._transition(file, FileEvent.LEASE)
        record = file.take_ahead()
        record.leased = now
        record.step(ChunkEvent.TEST)
        identifier = self._slots.take(record)
        self._probes.begin(identifier, lacking=not file.bytes_skipped)
        self._queue.add(file)
        return file.lease(record, identifier)

    def _ask(self, files: list[FileCore]) -> Lease:
        """Return the lease of a question about these files, which have no turn until it is answered."""
        for file in files:
            file.asking = True
        self._concurrency.idle()
        return Lease(self._slots.ask(files), files[0].key, files[0].epoch, files=tuple(file.key for file in files))

    def _told(self, lease: Lease, outcome: Outcome, now: float) -> None:
        """Take in the answer to a question. Files of which it said nothing have their turn as ever, unless it was
        cut."""
        files = self._slots.questions.pop(lease.id, [])
        # If nothing came of it, nothing may come of the next one.
        asked = len(files) if outcome.kind is OutcomeKind.REFUSED else len(outcome.answers)
        for place, (file, epoch) in enumerate(files):
            file.asking = False
            file.asked_about = file.asked_about or place < asked
            answer = outcome.answers[place] if place < len(outcome.answers) else None
            if answer is not None and file.state not in TERMINAL and file.epoch == epoch:
                self._retries.start(now)
                self._answer(file, answer, outcome)
            else:
                self._queue.add(file)

    def _answer(self, file: FileCore, answer: FileAnswer, outcome: Outcome) -> None:
        file.record_proof(Proof.WHOLE if answer.whole else Proof.PARTIAL)
        file.listed = True
        if outcome.any_order:
            file.allow_any_order()
        self._mark(file, [(0, file.plan.count)] if answer.whole else answer.stored)
        if file.complete:
            file.result = answer.result
            self.effects.progress(file)
            self._complete(file, None)

    def _prepared(self, record: ActiveChunk, lease: Lease, outcome: Outcome) -> None:
        file = record.file
        file.release(record)
        if outcome.kind is OutcomeKind.REFUSED:
            self._fail(file, outcome, None)
            return
        if outcome.kind is OutcomeKind.PREPARED and lease.after:
            self._finish(file, file.message)
            return
        if outcome.kind is OutcomeKind.PREPARED:
            self._transition(file, FileEvent.PREPARED)
            file.prepared = True
            if outcome.plan is not None:
                self._rechunk(file, outcome.plan)
            self._mark(file, outcome.stored)
            if file.complete:
                self._complete(file, None)
                return
        self._queue.add(file)

    def _answered(self, record: ActiveChunk, lease: Lease, outcome: Outcome, now: float) -> None:
        file = record.file
        event = _ANSWERS[outcome.kind]
        costless = record.early or (record.ahead and (event is not ChunkEvent.ABSENT or outcome.crowded))
        if costless and record.state is not ChunkState.STOPPING and event not in _STORED:
            event = ChunkEvent.WITHDRAWN
        following = record.following(event)
        record.ambiguous = record.ambiguous or outcome.ambiguous
        self._learn(record, event, lease, outcome, now)
        if following is ChunkState.SENDING:
            # It is sent in a later turn.
            record.tested = True
            self._tested(file, outcome)
        file.record_proof(outcome.proof)
        if outcome.any_order:
            file.allow_any_order()
        file.listed = file.listed or outcome.listed
        if outcome.kind is OutcomeKind.ACCEPTED:
            self._holds.acknowledged(now - record.leased)
        if outcome.stored and not record.confirm:
            self._mark(file, outcome.stored, believed=outcome.believed)
        if event is ChunkEvent.WITHDRAWN:
            # That it was too much for the server is no reason to wait: there will be less.
            self._retries.response_received(record, outcome._replace(busy=False), now)
            self._withdraw(record, lease)
            return
        self._retries.response_received(record, outcome, now)
        denied = outcome.kind is OutcomeKind.DENIED and file.asked and outcome.proof is not Proof.NONE
        exhausted = self._retries.exhausted(record, outcome, now) if following is ChunkState.BACKOFF else None
        if exhausted and isinstance(outcome.error, UploadError):
            outcome.error.ending = exhausted
        if (denied and not file.partial) or exhausted:
            following = record.following(ChunkEvent.REFUSED)
        record.state = following
        if following is ChunkState.BACKOFF:
            if outcome.busy and not file.begun:
                self._turn_away(record, lease, outcome)
                due = self._retries.may_begin(now)
            else:
                self._retries.schedule_retry(record, outcome, now)
                self._slots.keep(lease.id)
                due = self._retries.may_ask(record.due)
            facts = outcome.error, max(record.retries, 1), max(due - now, 0.0)
            if not record.confirm:
                said = {"message": outcome.message, "response": outcome.response}
                self.effects.add("chunk_retry", file, lease.index, extra=facts, **said)
            self.effects.add("file_retry", file, extra=facts)
            return
        del self._slots.live[lease.id]
        if following is ChunkState.DONE:
            self._retries.progressed(record, now)
            self._probes.progressed(now - record.leased)
            self._slots.wake(record.attempt)
        if outcome.response is not None:
            file.response = outcome.response
        if outcome.result is not None:
            file.result = outcome.result
        if record.confirm:
            self._confirmed(record, outcome)
        elif following is ChunkState.DONE:
            self._store(record, lease, outcome)
        else:
            file.release(record)
            self._queue.add(file)
            if following is ChunkState.FAILED:
                self._fail(file, outcome, lease.index)

    def _learn(self, record: ActiveChunk, event: ChunkEvent, lease: Lease, outcome: Outcome, now: float) -> None:
        """Take in what the outcome says of how many chunks may be on their way."""
        concurrency = self._concurrency
        busy = outcome.busy or outcome.crowded
        if not record.ahead:
            if busy or event is ChunkEvent.RETRY:
                concurrency.failed(record.attempt, self._retries.attempts, now, busy=busy)
            if event in _STORED:
                size = lease.end - lease.start if event is ChunkEvent.ACCEPTED else 0
                concurrency.answered(size, now - record.leased)
            else:
                concurrency.idle()
        self._slots.count = concurrency.slots
        if outcome.max_uploads is not None:
            self.limit(outcome.max_uploads)

    def _withdraw(self, record: ActiveChunk, lease: Lease) -> None:
        """Let a chunk that was early and not acknowledged, or tested ahead in vain, wait for its turn as if it had had
        none."""
        if record.ahead:
            self._probes.failed()
        else:
            self._holds.fail(lease.id)
        record.step(ChunkEvent.WITHDRAWN)
        del self._slots.live[lease.id]
        record.file.release(record)
        self._queue.add(record.file)

    def _turn_away(self, record: ActiveChunk, lease: Lease, outcome: Outcome) -> None:
        """Let the file wait with all others that are new. Its slot is for those that the server has begun to take."""
        self._retries.turn_away(record, outcome)
        record.step(ChunkEvent.STOP)
        del self._slots.live[lease.id]
        record.file.release(record)
        self._queue.add(record.file)

    def _confirmed(self, record: ActiveChunk, outcome: Outcome) -> None:
        """Take in the answer to whether the server has the file, or still has what it said it has of it."""
        file, denied = record.file, outcome.kind is OutcomeKind.DENIED
        confirmed = record.state is ChunkState.DONE
        file.release(record)
        file.settled = file.settled or confirmed
        if denied and outcome.proof is Proof.NONE:
            self._count(file, file.forget_believed)
        elif denied and file.complete:
            self._count(file, lambda: file.keep(outcome.stored))
        elif file.partial and not file.complete:
            # Before anything of a part is sent, the server says what it has of it.
            self._mark(file, outcome.stored)
        if file.complete and (confirmed or (denied and file.partial)):
            self.effects.progress(file)
            self._conclude(file, file.message)
            return
        if denied:
            self.effects.progress(file)
        self._queue.add(file)
        if record.state is ChunkState.FAILED:
            self._fail(file, outcome, None)

    def _store(self, record: ActiveChunk, lease: Lease, outcome: Outcome) -> None:
        file, size = record.file, lease.end - lease.start
        skipped = outcome.kind is OutcomeKind.PRESENT
        found = skipped and not record.ambiguous
        new = not file.begun
        if not skipped and outcome.proof is not Proof.UNFINISHED:
            # Answers of requests that are on the wire together come in any order: this one may be to the last chunk.
            file.finished = True
        file.store(record.position, size, skipped=found, believed=found and outcome.believed)
        self.bytes_done += size
        if found:
            self.bytes_skipped += size
            self._probes.found()
        self.effects.stored(file, lease.index, outcome.message, outcome.response)
        if new:
            self._queue.add(file)
        if file.unfinished and (file.asked or not skipped):
            self._unfinished(file, outcome, skipped=skipped)
        elif file.complete:
            self._complete(file, outcome.message)

    def _unfinished(self, file: FileCore, outcome: Outcome, *, skipped: bool) -> None:
        """Ask a foreign server that has taken every chunk, and has not the file, for all of them, once. If it has them
        all, it gets the last again, and may find that out."""
        asked = file.asked
        self._count(file, file.forget_last if skipped else file.forget_all)
        self.effects.progress(file)
        self._queue.add(file)
        if asked and not skipped:
            self._fail(file, outcome, None)

    # -- inside: files -------------------------------------------------------------------------------------------

    def _file(self, key: int, call: str) -> FileCore:
        if self.state is SessionState.CLOSED:
            raise StateError(call, "the session is closed")
        file = self.files.get(key)
        if file is None:
            raise StateError(call, "it is no longer part of the session")
        return file

    def _transition(self, file: FileCore, event: FileEvent) -> bool:
        """Whether the event changed something: the file has the state that follows."""
        if (file.state, event) in FILE_NOOPS:
            return False
        file.state = step(FILE, file.state, event, "file")
        return True

    def _review_holds(self) -> None:
        released, stopped = self._holds.review()
        self.effects.release(released)
        self.effects.stop(stopped)

    def _stop(self, file: FileCore, *, announce: bool = False) -> None:
        stopped, fresh = self._slots.stop(file)
        self._queue.add(file)
        self.effects.stop(stopped)
        if fresh and announce:
            self.effects.progress(file)

    def _mark(self, file: FileCore, ranges: Iterable[tuple[int, int]], *, believed: bool = False) -> None:
        gained = file.mark(ranges, believed=believed)
        self._queue.add(file)
        self.bytes_done += gained
        self.bytes_skipped += gained

    def _rechunk(self, file: FileCore, plan: ChunkPlan) -> None:
        self.total_size -= file.size
        self.bytes_done -= file.bytes_done
        self.bytes_skipped -= file.bytes_skipped
        file.rechunk(plan)
        self.total_size += file.size
        self._queue.add(file)
        self.effects.chunked(file)

    def _count(self, file: FileCore, change: Callable[[], None]) -> None:
        done, skipped = file.bytes_done, file.bytes_skipped
        change()
        self.bytes_done += file.bytes_done - done
        self.bytes_skipped += file.bytes_skipped - skipped

    def _complete(self, file: FileCore, message: str | None) -> None:
        """End the file, of which the server has every chunk, or let it wait to be confirmed."""
        if file.unproven or file.confirming:
            if file.withheld is None:
                file.message = message
                self._count(file, file.withhold_last)
            self._queue.add(file)
        else:
            self._conclude(file, message)

    def _conclude(self, file: FileCore, message: str | None) -> None:
        """End the file, which the server has, or let its hook run first, once."""
        if not self.policy.after_file:
            self._finish(file, message)
        elif file.taken is None:
            file.take_in(Taken(message, file.result, file.response))
            if file.withheld is None:
                self._count(file, file.withhold_last)
            self._queue.add(file)

    def _finish(self, file: FileCore, message: str | None) -> None:
        if file.withheld is not None:
            self._count(file, file.count_all)
            self.effects.progress(file)
        self._transition(file, FileEvent.FINISH)
        file.message = message
        self._end(file)
        self.effects.add("file_success", file, message=message)

    def _fail(self, file: FileCore, outcome: Outcome, index: int | None) -> None:
        self._transition(file, FileEvent.FAIL)
        file.error, file.message = outcome.error, outcome.message
        self._end(file, refused=not outcome.busy)
        self._stop(file)
        if index is not None:
            self.effects.add("chunk_error", file, index, message=outcome.message, response=outcome.response)
        for event in ("file_error", "error"):
            self.effects.add(event, file, message=outcome.message)
        if self.policy.fail_fast:
            for other in [other for other in self.files.values() if other.state not in TERMINAL]:
                self._cancel(other, "fail_fast")

    def _cancel(self, file: FileCore, reason: str, *, announce: bool = True) -> None:
        if self.policy.on_abort and file.state is not FileState.SUCCESS and self.state is not SessionState.CLOSED:
            self.effects.abandon(file)
        del self.files[file.key]
        self.unfinished.pop(file.key, None)
        self.total_size -= file.size
        self.bytes_done -= file.bytes_done
        self.bytes_skipped -= file.bytes_skipped
        cancelled = self._transition(file, FileEvent.CANCEL)
        if announce:
            # A file that has ended has no more events, but the session has shrunk.
            self.effects.progress(file if cancelled else None)
        if cancelled:
            file.reason = reason
            self._stop(file)
            self._end(file)
            self.effects.add("file_cancelled", file, extra=(reason,))
        else:
            self.effects.end(file)

    def _end(self, file: FileCore, *, refused: bool = False) -> None:
        if file.begun or refused:
            self._retries.make_room()
        self._open -= 1
        self.ended[file.key] = file.state
        self.effects.end(file)
        if file.state is FileState.SUCCESS:
            self.unfinished.pop(file.key, None)

    def _reopen(self, file: FileCore) -> None:
        self._open += 1
        self.ended.pop(file.key, None)
        self.unfinished[file.key] = file.name
        self._queue.add(file)

    # -- inside: runs --------------------------------------------------------------------------------------------

    def _begin(self, now: float, *, open_ended: bool) -> None:
        if self.state is SessionState.IDLE:
            self.open_ended = open_ended
            self.ended = {}
        self.state = step(SESSION, self.state, SessionEvent.UPLOAD, "session")
        self._retries.start(now)
        self.effects.add("upload_start")

    def _complete_if_idle(self) -> None:
        if not self.finished:
            return
        self._retries.pause_clock()
        if not self.open_ended and self.state in RUNNING:
            self.state = step(SESSION, self.state, SessionEvent.DRAINED, "session")
            self.outcome = Ending(dict(self.ended), tuple(self.skipped))
            self.skipped.clear()
            self.effects.add("complete", extra=(self.outcome,))
