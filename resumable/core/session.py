"""The session as one passive machine: commands and runs.

``turns`` says what is sent next, ``reports`` what comes of it, and ``ledger`` keeps the files.

Nothing here waits, reads a clock, or calls back: the caller passes the time, gets :class:`Effects` (or a lease), and
carries them out. The caller serialises the calls.

Epochs. ``retry`` and ``bootstrap`` begin a new epoch of the file. A request that was on the wire before keeps its slot
and its position until its worker reports; the report then only releases the chunk, whatever it says.

Runs. A run that began by itself is *open-ended*: it ends only after ``close_run`` has said that no more files come.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import FileRejected, StateError
from ..protocol.plan import ChunkOrder, ChunkPlan
from .collector import EffectCollector
from .concurrency import ConcurrencyController
from .file import FileCore
from .holds import HeldEnds, may_finish
from .ledger import FileLedger
from .probes import Probes
from .questions import Questions
from .records import Effects, Ending, Lease, Outcome, Permission, Wait
from .reports import Reports
from .retry import RetryController, SessionPolicy
from .scheduler import Slots
from .states import (
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
)
from .turns import Turns

__all__ = ["SessionCore"]

_HALTED = (*TERMINAL, FileState.PAUSED)


class SessionCore:
    """One session. Every command but ``add`` and ``lease`` returns its effects. ``concurrency`` says how many chunks
    may be under way."""

    def __init__(self, policy: SessionPolicy) -> None:
        self.policy = policy
        self.state = SessionState.IDLE
        self.open_ended = False
        self.skipped: list[FileRejected] = []
        self.outcome: Ending | None = None
        self.effects = EffectCollector()
        self._questions = Questions(policy)
        self.concurrency = concurrency = ConcurrencyController(policy.slots, policy.most_slots)
        self._slots = slots = Slots(concurrency)
        self._retries = retries = RetryController(policy)
        self._holds = holds = HeldEnds(policy)
        self._probes = probes = Probes(policy, slots.ahead)
        self._ledger = ledger = FileLedger(policy, slots, retries, self.effects)
        self.files = ledger.files
        """The files of the session by their keys, in the order in which they were added."""
        self.unfinished = ledger.unfinished
        """The names of the files that have not ended well, by their keys."""
        self._turns = Turns(policy, ledger, slots, retries, concurrency, holds, probes, self._questions, self.effects)
        self._reports = Reports(ledger, slots, retries, concurrency, holds, probes, self.effects)

    # -- files ---------------------------------------------------------------------------------------------------

    def add(self, plan: ChunkPlan, order: ChunkOrder, *, prepared: bool = True, name: str = "") -> int:
        """Add a file, which waits for its turn, and return its key. Its effects wait in ``effects``. Raises StateError
        if the session is closed."""
        if self.state is SessionState.CLOSED:
            raise StateError("add a file", "the session is closed")
        return self._ledger.add(plan, order, prepared=prepared, name=name).key

    def acknowledge(self, keys: Iterable[int]) -> None:
        """Note that the program knows how these files ended: those that failed need no warning any more."""
        for key in keys:
            file = self.files.get(key)
            if file is not None and file.state is FileState.ERROR:
                self._ledger.unfinished.pop(key, None)

    def skip(self, reasons: Iterable[FileRejected]) -> None:
        """Note that files were left out of the run that is under way, or else of the next one."""
        self.skipped += reasons

    def pause_file(self, key: int, *, aborted: bool = False) -> Effects:
        """Begin no further request for the file, and stop those under way. An aborted file also goes on with the next
        :meth:`upload`."""
        file = self.files.get(key)
        if file is not None and self._ledger.transition(file, FileEvent.PAUSE):
            file.aborted = aborted
            self._ledger.stop(file, announce=aborted)
        return self.effects.flush()

    def resume_file(self, key: int) -> Effects:
        """Let the file wait for its turn again."""
        file = self.files.get(key)
        if file is not None and self._ledger.transition(file, FileEvent.RESUME):
            file.aborted = False
            self._ledger.queue.add(file)
        return self.effects.flush()

    def cancel_file(self, key: int, reason: str = "cancelled", *, announce: bool = True) -> Effects:
        """Remove the file from the session, and stop its requests."""
        file = self.files.get(key)
        if file is not None:
            self._ledger.cancel(file, reason, announce=announce, abandon=self.state is not SessionState.CLOSED)
            self._complete_if_idle()
        return self.effects.flush()

    def retry_file(self, key: int, now: float) -> Effects:
        """Let a failed file wait for its turn again, with what is stored kept. An idle session begins a run."""
        file = self._file(key, "retry the file")
        if self._ledger.transition(file, FileEvent.RETRY):
            file.begin_again()
            self._ledger.reopen(file)
            if self.state is SessionState.IDLE:
                self._begin(now, open_ended=False)
            else:
                self._retries.start(now)
        return self.effects.flush()

    def bootstrap_file(self, key: int) -> Effects:
        """Cut the file again, and take nothing of it for stored."""
        file = self._file(key, "bootstrap the file")
        ended = file.state in TERMINAL
        self._ledger.transition(file, FileEvent.BOOTSTRAP)
        self._ledger.stop(file)
        file.begin_epoch()
        self._ledger.rechunk(file, file.plan)
        if ended:
            self._ledger.reopen(file)
        return self.effects.flush()

    def mark_file(self, key: int, ranges: Iterable[tuple[int, int]]) -> Effects:
        """Take the chunks at these ranges of indexes for stored. Raises StateError for a finished file."""
        file = self._file(key, "mark chunks of the file")
        if file.state in TERMINAL:
            raise StateError("mark chunks of the file", f"its state is {file.state.value}")
        self._ledger.mark(file, ranges)
        if file.complete:
            self._ledger.complete(file, None)
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
                if file.aborted and self._ledger.transition(file, FileEvent.RESUME):
                    self._ledger.queue.add(file)
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
            self.state = SESSION[self.state, SessionEvent.PAUSE]
            for file in self._slots.files():
                self._ledger.stop(file, announce=True)
            self.effects.stop(self._slots.questions)
            self.effects.add("pause")
        return self.effects.flush()

    def cancel(self, reason: str = "cancelled") -> Effects:
        """Remove every file, stop every request, and end the run without ``complete``."""
        self.state = SESSION[self.state, SessionEvent.CANCEL]
        self.open_ended = False
        self.skipped.clear()
        for file in reversed(list(self.files.values())):
            self._ledger.cancel(file, reason)
        self.effects.add("cancel")
        return self.effects.flush()

    def close(self) -> Effects:
        """End the session for good: cancel the files that have not ended, and stop every request. Later reports have no
        effects."""
        if (self.state, SessionEvent.CLOSE) not in SESSION_NOOPS:
            self.state = SESSION[self.state, SessionEvent.CLOSE]
            for file in self._slots.files():
                if file.state in TERMINAL:
                    self._ledger.stop(file)
            for file in reversed(list(self.files.values())):
                if file.state not in TERMINAL:
                    self._ledger.cancel(file, "closed", announce=False, abandon=False)
        return self.effects.flush()

    # -- work ----------------------------------------------------------------------------------------------------

    def lease(self, now: float, pace: float = 0.0) -> Lease | Wait:
        """Return the next lease, or how long there is none. Its effects wait in ``effects``. ``pace`` as in
        ``last_chunks``."""
        if self.state is not SessionState.UPLOADING:
            return Wait()
        return self._turns.next(now, pace)

    def may_probe(self, now: float) -> bool:
        """Return whether a chunk may be tested ahead of its turn."""
        return self.state is SessionState.UPLOADING and self._turns.ahead(now) is not None

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
            self._reports.tested(file, test)
            # A server that has put the file together with this chunk may have forgotten the others since.
            doubted = file.doubted and not file.pending and not record.ambiguous
            record.ambiguous = record.ambiguous and not test.answered
            if not doubted and not may_finish(file, record.position):
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

    def report(self, lease: Lease, outcome: Outcome, now: float) -> Effects:
        """End the lease: its slot is free, or waits for the retry. A lease that has ended before has no effects.

        Raises StateError, and changes nothing, if the outcome is impossible in the chunk's state.
        """
        if outcome.takes_questions is not None:
            self._questions.learn(outcome.takes_questions)
        if lease.files:
            if self._questions.told(busy=outcome.busy):
                self._retries.leave_alone(outcome, self._questions.postponed, now)
            self._reports.told(lease, outcome, now)
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
            self._ledger.queue.add(file)
        elif record.prepare:
            del self._slots.live[lease.id]
            self._reports.prepared(record, lease, outcome)
        else:
            self._reports.answered(record, lease, outcome, now)
        if record.ahead:
            self._probes.end(lease.id)
        if self._holds.held:
            self._review_holds()
        self._complete_if_idle()
        return self.effects.flush()

    # -- facts ---------------------------------------------------------------------------------------------------

    @property
    def ended(self) -> dict[int, FileState]:
        """How files ended in the run that is under way, or in the last one, by their keys."""
        return self._ledger.ended

    @property
    def total_size(self) -> int:
        """The bytes of all files."""
        return self._ledger.total_size

    @property
    def bytes_done(self) -> int:
        """The bytes that the server has."""
        return self._ledger.bytes_done

    @property
    def bytes_skipped(self) -> int:
        """The bytes that the server had already."""
        return self._ledger.bytes_skipped

    def chunk_state(self, key: int, index: int) -> tuple[ChunkState, int]:
        """Return the state of a chunk, PENDING if its file was removed, and how often an attempt at it failed."""
        file = self.files.get(key)
        return (ChunkState.PENDING, 0) if file is None else file.chunk_state(index)

    def waits_until(self, now: float, file: FileCore | None = None) -> float | None:
        """Return when the next attempt begins, at the file or at any, if nothing is under way because attempts failed,
        or the server wants to be left alone. Otherwise None."""
        if self.state is not SessionState.UPLOADING or (
            not self._ledger.open if file is None else file.state in _HALTED
        ):
            return None
        records = [record for record in self._slots.live.values() if file is None or record.file is file]
        asking = bool(self._slots.questions) if file is None else file.asking
        if asking or any(record.prepare or record.state is not ChunkState.BACKOFF for record in records):
            return None
        if records:
            return self._retries.may_ask(min(record.due for record in records))
        until = self._retries.may_ask(now)
        if file is None or not file.stored:
            until = max(until, self._retries.may_begin(now))
        return until if until > now else None

    @property
    def active(self) -> int:
        """How many slots are taken."""
        return self._slots.taken

    @property
    def finished(self) -> bool:
        """Whether nothing is open and no slot is taken."""
        return not (self._ledger.open or self._slots.live or self._slots.questions)

    @property
    def has_work(self) -> bool:
        """Whether a run is under way, perhaps paused, with something to do for threads, now or later."""
        return self.state in RUNNING and bool(self._ledger.open or self._slots.live or self._slots.questions)

    # -- inside: files -------------------------------------------------------------------------------------------

    def _file(self, key: int, call: str) -> FileCore:
        if self.state is SessionState.CLOSED:
            raise StateError(call, "the session is closed")
        file = self.files.get(key)
        if file is None:
            raise StateError(call, "it is no longer part of the session")
        return file

    def _review_holds(self) -> None:
        released, stopped = self._holds.review()
        self.effects.release(released)
        self.effects.stop(stopped)

    # -- inside: runs --------------------------------------------------------------------------------------------

    def _begin(self, now: float, *, open_ended: bool) -> None:
        if self.state is SessionState.IDLE:
            self.open_ended = open_ended
            self._ledger.ended = {}
        self.state = SESSION[self.state, SessionEvent.UPLOAD]
        self._retries.start(now)
        self.effects.add("upload_start")

    def _complete_if_idle(self) -> None:
        if not self.finished:
            return
        self._retries.pause_clock()
        if not self.open_ended and self.state in RUNNING:
            self.state = SESSION[self.state, SessionEvent.DRAINED]
            self.outcome = Ending(dict(self._ledger.ended), tuple(self.skipped))
            self.skipped.clear()
            self.effects.add("complete", extra=(self.outcome,))
