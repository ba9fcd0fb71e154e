"""What workers report, and what becomes of chunks and files by it."""

from __future__ import annotations

from ..errors import UploadError
from ..protocol.question import FileAnswer
from .active_chunk import ActiveChunk
from .collector import EffectCollector
from .concurrency import ConcurrencyController
from .file import FileCore
from .holds import HeldEnds
from .ledger import FileLedger
from .probes import Probes
from .records import Lease, Outcome, OutcomeKind, Proof
from .retry import RetryController
from .scheduler import Slots
from .states import TERMINAL, ChunkEvent, ChunkState, FileEvent

__all__ = ["Reports"]

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


class Reports:
    """Takes in the outcomes of leases whose files still want them. Owned by the session's core."""

    def __init__(
        self,
        ledger: FileLedger,
        slots: Slots,
        retries: RetryController,
        concurrency: ConcurrencyController,
        holds: HeldEnds,
        probes: Probes,
        effects: EffectCollector,
    ) -> None:
        self._ledger = ledger
        self._slots = slots
        self._retries = retries
        self._concurrency = concurrency
        self._holds = holds
        self._probes = probes
        self._effects = effects

    def told(self, lease: Lease, outcome: Outcome, now: float) -> None:
        """Take in the answer to a question about many files. Those of which it said nothing have their turn as ever,
        unless it was cut."""
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
                self._ledger.queue.add(file)

    def _answer(self, file: FileCore, answer: FileAnswer, outcome: Outcome) -> None:
        file.record_proof(Proof.WHOLE if answer.whole else Proof.PARTIAL)
        file.listed = True
        if outcome.any_order and not answer.whole:
            file.allow_any_order()
        self._ledger.mark(file, [(0, file.plan.count)] if answer.whole else answer.stored)
        if file.complete:
            file.result = answer.result
            self._effects.progress(file)
            self._ledger.complete(file, None)

    def prepared(self, record: ActiveChunk, lease: Lease, outcome: Outcome) -> None:
        """Take in what became of the hooks that run before a file, or after it."""
        file = record.file
        file.release(record)
        if outcome.kind is OutcomeKind.REFUSED:
            self._ledger.fail(file, outcome, None)
            return
        if outcome.kind is OutcomeKind.PREPARED and lease.after:
            self._ledger.finish(file, file.message)
            return
        if outcome.kind is OutcomeKind.PREPARED:
            self._ledger.transition(file, FileEvent.PREPARED)
            file.prepared = True
            if outcome.plan is not None:
                self._ledger.rechunk(file, outcome.plan)
            self._ledger.mark(file, outcome.stored)
            if file.complete:
                self._ledger.complete(file, None)
                return
        self._ledger.queue.add(file)

    def answered(self, record: ActiveChunk, lease: Lease, outcome: Outcome, now: float) -> None:
        """Take in what became of a chunk, or of the question whether the server has the file."""
        file = record.file
        event = _ANSWERS[outcome.kind]
        costless = record.early or (record.ahead and (event is not ChunkEvent.ABSENT or outcome.crowded))
        if costless and record.state is not ChunkState.STOPPING and event not in _STORED:
            event = ChunkEvent.WITHDRAWN
        following = record.transitions[record.state, event]
        record.ambiguous = record.ambiguous or outcome.ambiguous
        self._learn(record, event, lease, outcome, now)
        if following is ChunkState.SENDING:
            # It is sent in a later turn.
            record.tested = True
            self.tested(file, outcome)
        if outcome.proof is not Proof.NONE:
            file.record_proof(outcome.proof)
        if outcome.any_order:
            file.allow_any_order()
        file.listed = file.listed or outcome.listed
        if outcome.kind is OutcomeKind.ACCEPTED:
            self._holds.acknowledged(now - record.leased)
        if outcome.stored and not record.confirm:
            self._ledger.mark(file, outcome.stored, believed=outcome.believed)
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
            following = record.transitions[record.state, ChunkEvent.REFUSED]
        record.state = following
        if following is ChunkState.BACKOFF:
            self._postpone(record, lease, outcome, now)
            return
        del self._slots.live[lease.id]
        if following is ChunkState.DONE:
            self._retries.progressed(record, now)
            self._probes.progressed(now - record.leased)
            if self._slots.waiting:
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
            self._ledger.queue.add(file)
            if following is ChunkState.FAILED:
                self._ledger.fail(file, outcome, lease.index)

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
        if outcome.max_uploads is not None:
            concurrency.limit(outcome.max_uploads)

    def _postpone(self, record: ActiveChunk, lease: Lease, outcome: Outcome, now: float) -> None:
        """Let the chunk wait for another attempt, or, if a busy server has not begun to take the file, for another
        turn."""
        file = record.file
        if outcome.busy and not file.stored:
            self._turn_away(record, lease, outcome)
            due = self._retries.may_begin(now)
        else:
            self._retries.schedule_retry(record, outcome, now)
            self._slots.keep(lease.id)
            due = self._retries.may_ask(record.due)
        facts = outcome.error, max(record.retries, 1), max(due - now, 0.0)
        if not record.confirm:
            said = {"message": outcome.message, "response": outcome.response}
            self._effects.add("chunk_retry", file, lease.index, extra=facts, **said)
        self._effects.add("file_retry", file, extra=facts)

    def _turn_away(self, record: ActiveChunk, lease: Lease, outcome: Outcome) -> None:
        """Let the file wait with all others that are new. Its slot is for those that the server has begun to take."""
        self._retries.turn_away(record, outcome)
        record.step(ChunkEvent.STOP)
        self._leave(record, lease)

    def _leave(self, record: ActiveChunk, lease: Lease) -> None:
        """Take the slot from the chunk, which then waits for another turn."""
        del self._slots.live[lease.id]
        record.file.release(record)
        self._ledger.queue.add(record.file)

    def _withdraw(self, record: ActiveChunk, lease: Lease) -> None:
        """Let a chunk that was early and not acknowledged, or tested ahead in vain, wait for its turn as if it had had
        none."""
        if record.ahead:
            self._probes.failed()
        else:
            self._holds.fail(lease.id)
        record.step(ChunkEvent.WITHDRAWN)
        self._leave(record, lease)

    def _confirmed(self, record: ActiveChunk, outcome: Outcome) -> None:
        """Take in the answer to whether the server has the file, or still has what it said it has of it."""
        file, denied = record.file, outcome.kind is OutcomeKind.DENIED
        confirmed = record.state is ChunkState.DONE
        file.release(record)
        file.settled = file.settled or confirmed
        if denied and outcome.proof is Proof.NONE:
            self._ledger.count(file, file.forget_believed)
        elif denied and file.complete:
            self._ledger.count(file, lambda: file.keep(outcome.stored))
        elif file.partial and not file.complete:
            # Before anything of a part is sent, the server says what it has of it.
            self._ledger.mark(file, outcome.stored)
        if file.complete and (confirmed or (denied and file.partial)):
            self._effects.progress(file)
            self._ledger.conclude(file, file.message)
            return
        if denied:
            self._effects.progress(file)
        self._ledger.queue.add(file)
        if record.state is ChunkState.FAILED:
            self._ledger.fail(file, outcome, None)

    def _store(self, record: ActiveChunk, lease: Lease, outcome: Outcome) -> None:
        file, size = record.file, lease.end - lease.start
        skipped = outcome.kind is OutcomeKind.PRESENT
        found = skipped and not record.ambiguous
        new = not file.stored
        if not skipped and outcome.proof is not Proof.UNFINISHED:
            # Answers of requests that are on the wire together come in any order: this one may be to the last chunk.
            file.finished = True
        file.store(record.position, size, skipped=found, believed=found and outcome.believed)
        self._ledger.bytes_done += size
        if found:
            self._ledger.bytes_skipped += size
            self._probes.found()
        self._effects.stored(file, lease.index, outcome.message, outcome.response)
        if new:
            self._ledger.queue.add(file)
        if not file.complete:
            return
        if file.unfinished and (file.asked or not skipped):
            self._unfinished(file, outcome, skipped=skipped)
        else:
            self._ledger.complete(file, outcome.message)

    def _unfinished(self, file: FileCore, outcome: Outcome, *, skipped: bool) -> None:
        """Ask a foreign server that has taken every chunk, and has not the file, for all of them, once. If it has them
        all, it gets the last again, and may find that out."""
        asked = file.asked
        self._ledger.count(file, file.forget_last if skipped else file.forget_all)
        self._effects.progress(file)
        self._ledger.queue.add(file)
        if asked and not skipped:
            self._ledger.fail(file, outcome, None)

    def tested(self, file: FileCore, test: Outcome) -> None:
        """Take in what the test of a chunk says of others, too, which it did not find itself."""
        file.lacked += test.answered
        file.listed = file.listed or test.listed
        if test.any_order:
            file.allow_any_order()
        if test.stored:
            self._ledger.mark(file, test.stored, believed=test.believed)
