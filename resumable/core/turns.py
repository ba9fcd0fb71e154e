"""Whose turn it is: a retry that is due, a question, the next chunk of the next file, or a test ahead of its turn."""

from __future__ import annotations

import math

from .active_chunk import ActiveChunk
from .collector import EffectCollector
from .concurrency import ConcurrencyController
from .file import FileCore
from .holds import HeldEnds
from .last_chunks import wait_for_others
from .ledger import FileLedger
from .probes import Probes
from .questions import Questions
from .records import Lease, Wait
from .retry import RetryController, SessionPolicy
from .scheduler import Slots
from .states import ChunkEvent, ChunkState, FileEvent

__all__ = ["Turns"]


class Turns:
    """Gives out the leases of a session that uploads. Owned by the session's core."""

    def __init__(
        self,
        policy: SessionPolicy,
        ledger: FileLedger,
        slots: Slots,
        retries: RetryController,
        concurrency: ConcurrencyController,
        holds: HeldEnds,
        probes: Probes,
        questions: Questions,
        effects: EffectCollector,
    ) -> None:
        self._policy = policy
        self._ledger = ledger
        self._slots = slots
        self._retries = retries
        self._concurrency = concurrency
        self._holds = holds
        self._probes = probes
        self._questions = questions
        self._effects = effects

    def next(self, now: float, pace: float) -> Lease | Wait:
        """Return the next lease, or how long there is none. ``pace`` as in ``last_chunks``."""
        slots, retries = self._slots, self._retries
        retries.resume_clock(now)
        due = slots.next_due() if slots.waiting else None
        until = math.inf if due is None else retries.may_ask(due)
        if until <= now:
            record = slots.take_due()
            unsure = record.ambiguous and not record.confirm and self._may_ask_for_chunks(record.file)
            record.step(ChunkEvent.TEST if unsure else ChunkEvent.DUE)
            return self._lease(record, now)
        asks, begins, held_back = retries.times(now)
        if slots.free(fewer=held_back) and (not slots.ahead or self._probes.leave_room(len(slots.live))):
            file, early = self._ledger.queue.next(new=begins <= now), False
            if file is None:
                file, soon = self._holds.next(slots.files(), now)
                early, until = file is not None, min(until, soon)
            if file is not None and asks <= now:
                asked = self._questions.about(file, self._ledger.queue) if self._questions.answered else []
                if asked:
                    return self._ask(asked)
                others = wait_for_others(pace, slots.live.values(), self._ledger.queue, now)
                if others is None:
                    record = self._take(file, early=early)
                    record.pace = pace
                    return self._lease(record, now)
                asks = others
            if file is not None:
                until = min(until, asks)
            elif begins > now and self._ledger.queue.next(new=True) is not None:
                until = min(until, begins)
            elif not (slots.live or slots.questions):
                retries.pause_clock()
            self._concurrency.idle()
        ahead = self.ahead(now)
        if ahead is not None:
            return self._lease_ahead(ahead, now)
        return Wait(None if until == math.inf else until)

    def ahead(self, now: float) -> FileCore | None:
        """Return the file of which a chunk may be tested ahead of its turn, or None."""
        if not self._probes.free(len(self._slots.live)):
            return None
        asks, _, held_back = self._retries.times(now)
        if asks > now:
            return None
        new = self._probes.pay_for_new_files and not (held_back or self._questions.answered)
        return self._ledger.queue.ahead(new=new, most=self._concurrency.slots - self._probes.lacking)

    def _take(self, file: FileCore, *, early: bool) -> ActiveChunk:
        self._ledger.transition(file, FileEvent.LEASE if file.prepared else FileEvent.PREPARE)
        record = file.take()
        record.early = early
        if not record.prepare:
            untested = (record.tested and not record.ambiguous) or not self._may_ask_for_chunks(file)
            if not untested and not early and not record.ambiguous and not self._policy.test_every_chunk:
                untested = file.asked_enough
            record.step(ChunkEvent.SEND if untested and not record.confirm else ChunkEvent.TEST)
        return record

    def _may_ask_for_chunks(self, file: FileCore) -> bool:
        """Return whether the server may be asked for chunks before they are sent."""
        return self._policy.test_chunks and not file.untested

    def _lease(self, record: ActiveChunk, now: float) -> Lease:
        if not record.prepare:
            self._retries.attempt(record, now)
        record.flows = False
        record.leased = now
        if record.state is ChunkState.SENDING:
            self._effects.progress(record.file)
        slots = self._slots
        identifier = slots.take(record)
        awaited, askable = self._holds.awaits(record), self._may_ask_for_chunks(record.file)
        lease = record.file.lease(record, identifier, awaited=awaited, askable=askable)
        if slots.taken >= self._concurrency.slots:
            self._concurrency.busy(lease.end - lease.start)
        return lease

    def _lease_ahead(self, file: FileCore, now: float) -> Lease:
        self._ledger.transition(file, FileEvent.LEASE)
        record = file.take_ahead()
        record.leased = now
        record.step(ChunkEvent.TEST)
        identifier = self._slots.take(record)
        self._probes.begin(identifier, lacking=not file.bytes_skipped)
        self._ledger.queue.add(file)
        return file.lease(record, identifier)

    def _ask(self, files: list[FileCore]) -> Lease:
        """Return the lease of a question about these files, which have no turn until it is answered."""
        for file in files:
            file.asking = True
        self._concurrency.idle()
        return Lease(self._slots.ask(files), files[0].key, files[0].epoch, files=tuple(file.key for file in files))
