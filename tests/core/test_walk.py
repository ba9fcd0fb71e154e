"""Random walks keep every rule of the model, and break as soon as the core breaks one on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from support.model import Violation, Walk
from support.sizes import sized

from resumable.core.active_chunk import ActiveChunk
from resumable.core.file import FileCore
from resumable.core.holds import HeldEnds
from resumable.core.ledger import FileLedger
from resumable.core.records import (
    Effects,
    Lease,
    Notice,
    Outcome,
    OutcomeKind,
    Permission,
    Proof,
)
from resumable.core.reports import Reports
from resumable.core.retry import RetryController, SessionPolicy
from resumable.core.scheduler import FileQueue, Slots
from resumable.core.session import SessionCore
from resumable.core.states import (
    TERMINAL,
    ChunkEvent,
    ChunkState,
    FileState,
    SessionState,
)
from resumable.core.turns import Turns
from resumable.protocol.plan import ChunkOrder, ChunkPlan

WALKS = sized(3000, 100_000)
BLOCK = WALKS // 10


def length(seed: int) -> int:
    """How many random steps the walk takes before everything is resumed and answered."""
    return 45 + seed % 45


def walk_all(seeds: Iterable[int], make: Callable[[SessionPolicy], SessionCore] = SessionCore) -> int:
    """How many steps the walks took."""
    return sum(Walk(seed, make).go(length(seed)) for seed in seeds)


@pytest.mark.once
@pytest.mark.unmeasured
@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in range(BLOCK, WALKS, BLOCK))]
)
def test_walks_keep_every_rule(first: int) -> None:
    """Whatever happens in whatever order, and each walk ends."""
    assert walk_all(range(first, first + BLOCK)) > 45 * BLOCK


@pytest.mark.once
def test_walks_go_everywhere() -> None:
    """Every event that the core can tell is told in some of them, so no rule holds for want of an occasion.

    They ask for confirmations, and get every kind of answer, with a last chunk that is put back now and then. Of chunks
    that may be stored and are asked for again, some are there, and others are sent again.
    """
    walks = [Walk(seed) for seed in range(300)]
    for walk in walks:
        walk.go(length(walk.seed))
    assert set().union(*(walk.events for walk in walks)) == {
        "cancel", "chunk_error", "chunk_retry", "chunk_success", "chunking_complete",
        "chunking_progress", "chunking_start", "complete", "error", "file_added", "file_cancelled", "file_error",
        "file_progress", "file_retry", "file_success", "pause", "progress", "upload_start",
    }  # fmt: skip
    assert sum(walk.spared for walk in walks) > 10
    assert sum(walk.asked for walk in walks) > 100
    assert sum(walk.denials for walk in walks) > 20
    assert sum(walk.put_back for walk in walks) > 5
    assert sum(walk.reasked for walk in walks) > 20


def test_a_violation_tells_the_way_that_led_to_it() -> None:
    """The seed, the rule and the last steps, so that it can be walked again."""
    with pytest.raises(Violation, match=r"^walk 1, step \d+: .*, after\n(.|\n)*Lease\("):
        Walk(1, SlotOfTheStoppedIsFree).go(1000)


# -- rules that are broken on purpose ------------------------------------------------------------------------------


class Broken(SessionCore):
    """A core some of whose parts are of the classes that are nested in this one, and that break a rule."""

    def __init__(self, policy: SessionPolicy) -> None:
        super().__init__(policy)
        ledger = self._ledger
        for part in (ledger, ledger.queue, self._slots, self._retries, self._holds, self._turns, self._reports):
            for nested in vars(type(self)).values():
                if isinstance(nested, type) and issubclass(nested, type(part)):
                    part.__class__ = nested


class SlotOfTheStoppedIsFree(Broken):
    """What was told to stop loses its slot before its worker has reported."""

    class Stops(Slots):
        def stop(self, file: FileCore) -> tuple[list[int], bool]:
            told, fresh = super().stop(file)
            for identifier in told:
                file.release(self.live.pop(identifier))
            return told, fresh


class ReleasedWhileOnTheWire(Broken):
    """What was told to stop keeps its slot, but its chunk may have another turn at once."""

    class Stops(Slots):
        def stop(self, file: FileCore) -> tuple[list[int], bool]:
            told, fresh = super().stop(file)
            for identifier in told:
                file.release(self.live[identifier])
            return told, fresh

    def report(self, lease: Lease, outcome: Outcome, now: float) -> Effects:
        record = self._slots.live[lease.id]
        file, position = record.file, record.position
        if file.released.pop(position, None) is not None:
            file.live[position] = record
        elif file.live.get(position) is not record and not record.prepare:
            del self._slots.live[lease.id]
            self._complete_if_idle()
            return self.effects.flush()
        return super().report(lease, outcome, now)


class LateSuccessCounts(SessionCore):
    """A chunk that is stored after its file has failed counts."""

    def report(self, lease: Lease, outcome: Outcome, now: float) -> Effects:
        record = self._slots.live[lease.id]
        file = record.file
        if file.state is not FileState.ERROR or outcome.kind is not OutcomeKind.ACCEPTED or record.epoch != file.epoch:
            return super().report(lease, outcome, now)
        del self._slots.live[lease.id]
        file.store(record.position, lease.end - lease.start, skipped=False)
        self._complete_if_idle()
        return self.effects.flush()


class NoEpoch(SessionCore):
    """A report counts whatever happened to the file since its lease."""

    def report(self, lease: Lease, outcome: Outcome, now: float) -> Effects:
        record = self._slots.live[lease.id]
        record.epoch = record.file.epoch
        return super().report(lease, outcome, now)


class CompletePerSlot(SessionCore):
    """As in resumable.js: every idle slot says that the run is complete."""

    def _complete_if_idle(self) -> None:
        running = self.state is not SessionState.IDLE
        super()._complete_if_idle()
        if running and self.state is SessionState.IDLE:
            for _ in range(self.policy.slots - 1):
                self.effects.add("complete")


class CompleteBeforeTheWireIsClear(SessionCore):
    """The run ends with its last file, though requests are still on the wire."""

    @property
    def finished(self) -> bool:
        return not self._ledger.open


class HeldRunEnds(SessionCore):
    """A run that is held open ends when nothing is open."""

    def _complete_if_idle(self) -> None:
        self.open_ended = False
        super()._complete_if_idle()


class GateIgnored(SessionCore):
    """Nothing is alone on the wire."""

    def add(self, plan: ChunkPlan, order: ChunkOrder, *, prepared: bool = True) -> tuple[int, Effects]:
        return super().add(plan, ChunkOrder(order.count, "free", order.first_and_last), prepared=prepared)


class NewCutDoesNotWait(SessionCore):
    """A file that is cut anew is sent at once, beside what is on the wire of the old cut."""

    def bootstrap_file(self, key: int) -> Effects:
        effects = super().bootstrap_file(key)
        self.files[key].draining = 0
        return effects


class RetryForgetsTheStopping(SessionCore):
    """A retry begins without the chunks that are still on the wire, which then have no turn any more."""

    def retry_file(self, key: int, now: float) -> Effects:
        effects = super().retry_file(key, now)
        file = self.files[key]
        old = [position for position, record in file.live.items() if record.epoch != file.epoch]
        file.draining += len(old)
        for position in old:
            del file.live[position]
        return effects


class PauseForgetsRetries(SessionCore):
    """What was released begins anew, so the attempts are without end."""

    def report(self, lease: Lease, outcome: Outcome, now: float) -> Effects:
        effects = super().report(lease, outcome, now)
        for file in self.files.values():
            file.forget_attempts()
        return effects


class MarkedOnTheWireCountsTwice(Broken):
    """A chunk that is marked while it is sent counts then, and again when it is stored."""

    class Ledger(FileLedger):
        def mark(self, file: FileCore, ranges: Iterable[tuple[int, int]], *, believed: bool = False) -> None:
            ranges = list(ranges)
            super().mark(file, ranges, believed=believed)
            for record in file.live.values():
                index = file.order.index(record.position)
                if any(start <= index < stop for start, stop in ranges):
                    file.bytes_done += file.plan.length(index, index + 1)


class NewCutKeepsTheOldBytes(Broken):
    """The bytes that were stored of the old cut stay in the session's sum."""

    class Ledger(FileLedger):
        def rechunk(self, file: FileCore, plan: ChunkPlan) -> None:
            before = self.bytes_done
            super().rechunk(file, plan)
            self.bytes_done = before


class SlotOfTheWaitingIsFree(Broken):
    """A retry that waits lets another chunk have its slot."""

    class Generous(Slots):
        def free(self, *, fewer: bool) -> bool:
            return len(self.live) - len(self._waiting) < self.count


class RetriesDoNotWait(Broken):
    """As in resumable.js: a retry comes at once."""

    class Hasty(RetryController):
        def schedule_retry(self, record: ActiveChunk, outcome: Outcome, now: float) -> None:
            super().schedule_retry(record, outcome, now)
            record.due = now


class RetryAfterIgnored(Broken):
    """The server is not left alone."""

    class Deaf(RetryController):
        def response_received(self, record: ActiveChunk, outcome: Outcome, now: float) -> None:
            super().response_received(record, outcome._replace(retry_after=None), now)


class NewFilesPushIn(Broken):
    """New files begin though the server has turned one away."""

    class Eager(RetryController):
        def may_begin(self, now: float) -> float:
            return self.may_ask(now)


class TurnedAwayKeepsItsSlot(Broken):
    """A file that was turned away keeps others from their end."""

    class OtherReports(Reports):
        def _turn_away(self, record: ActiveChunk, lease: Lease, outcome: Outcome) -> None:
            self._retries.schedule_retry(record, outcome, 0.0)
            self._slots.keep(lease.id)


class SuccessWakesNobody(Broken):
    """What waits has its whole backoff, also when the server is well again."""

    class Drowsy(Slots):
        def wake(self, attempt: int) -> None:
            pass


class SuccessWakesAtOnce(Broken):
    """Each success of others is another attempt for what the server does not want."""

    class Wakeful(Slots):
        def wake(self, attempt: int) -> None:
            for record in self._waiting.values():
                record.due = 0.0


class StoppedIsSentAfterAll(SessionCore):
    """A test that was told to stop goes on to send its chunk."""

    def begin_send(self, identifier: int, test: Outcome) -> tuple[Permission, Effects]:
        return Permission.SEND, super().begin_send(identifier, test)[1]


class StoppedFailureFails(Broken):
    """A request that fails because it was stopped fails its file."""

    class OtherReports(Reports):
        def answered(self, record: ActiveChunk, lease: Lease, outcome: Outcome, now: float) -> None:
            if record.state is ChunkState.STOPPING and outcome.kind is OutcomeKind.REFUSED:
                record.state = ChunkState.SENDING
            super().answered(record, lease, outcome, now)


class CancelKeepsFiles(SessionCore):
    """Cancelled files are still listed."""

    def cancel(self, reason: str = "cancelled") -> Effects:
        files = dict(self.files)
        effects = super().cancel(reason)
        self.files.update(files)
        return effects


class CancelIsACompletion(SessionCore):
    """A cancelled run is complete."""

    def cancel(self, reason: str = "cancelled") -> Effects:
        effects = super().cancel(reason)
        return Effects((*effects.notices, Notice("complete")), effects.stopped)


class EndedFilesAreHeard(Broken):
    """As in resumable.js: progress is told of a file that has ended, when it is removed."""

    class Ledger(FileLedger):
        def cancel(self, file: FileCore, reason: str, *, announce: bool = True, abandon: bool = True) -> None:
            if file.state in TERMINAL:
                self._effects.progress(file)
            super().cancel(file, reason, announce=announce, abandon=abandon)


class PausedFilesAreLeased(SessionCore):
    """A pause of a file stops what is under way, and nothing else."""

    def pause_file(self, key: int, *, aborted: bool = False) -> Effects:
        file = self.files.get(key)
        before = file.state if file is not None else None
        effects = super().pause_file(key, aborted=aborted)
        if file is not None and before is not FileState.PAUSED and file.state is FileState.PAUSED:
            file.state = FileState.READY
            self._ledger.queue.add(file)
        return effects


class ReleasedHaveNoTurn(Broken):
    """A file that had all its turns has no further one, though chunks of it were stopped."""

    class Once(FileQueue):
        def add(self, file: FileCore) -> None:
            if file.cursor < file.order.count:
                super().add(file)


class FinalIsTheHighest(Broken):
    """The final chunk is taken to be the one with the highest number."""

    class OtherTurns(Turns):
        def _lease(self, record: ActiveChunk, now: float) -> Lease:
            lease = super()._lease(record, now)
            return lease if lease.prepare else lease._replace(final=lease.index == record.file.plan.count - 1)


class TestsAreRepeated(Broken):
    """A retry asks again whether the server has the chunk."""

    __test__ = False

    class OtherTurns(Turns):
        def _lease(self, record: ActiveChunk, now: float) -> Lease:
            if self._policy.test_chunks and record.retries:
                record.state = ChunkState.PENDING
                record.step(ChunkEvent.TEST)
            return super()._lease(record, now)


class UncertainIsSentAgain(SessionCore):
    """A chunk that may be stored is sent again without a question."""

    def report(self, lease: Lease, outcome: Outcome, now: float) -> Effects:
        return super().report(lease, outcome._replace(ambiguous=False), now)


class UncertaintyEndsWithTheTurn(Broken):
    """A chunk that may be stored is taken for one that the server lacks once it has to wait for another turn."""

    class Ledger(FileLedger):
        def stop(self, file: FileCore, *, announce: bool = False) -> None:
            super().stop(file, announce=announce)
            file.released = {position: kept._replace(ambiguous=False) for position, kept in file.released.items()}


class UncertainTwiceCounted(Broken):
    """What was sent and is there after all counts as skipped."""

    class OtherReports(Reports):
        def _store(self, record: ActiveChunk, lease: Lease, outcome: Outcome) -> None:
            record.ambiguous = False
            super()._store(record, lease, outcome)


class TestsAreSparedTooSoon(Broken):
    """One chunk that the server lacks is enough."""

    __test__ = False

    class OtherReports(Reports):
        def tested(self, file: FileCore, test: Outcome) -> None:
            super().tested(file, test._replace(listed=True))


class TestsAreNeverSpared(Broken):
    """The server is asked for each chunk."""

    __test__ = False

    class OtherTurns(Turns):
        def _take(self, file: FileCore, *, early: bool) -> ActiveChunk:
            file.asked, asked = True, file.asked
            try:
                return super()._take(file, early=early)
            finally:
                file.asked = asked


class NothingIsConfirmed(Broken):
    """A file is a success as soon as all its chunks are taken for stored."""

    class Ledger(FileLedger):
        def complete(self, file: FileCore, message: str | None) -> None:
            self.finish(file, message)


class WholeIsWholeForEver(Broken):
    """That the server had the whole file once is held against its last word."""

    class OtherReports(Reports):
        def answered(self, record: ActiveChunk, lease: Lease, outcome: Outcome, now: float) -> None:
            if record.file.whole and outcome.proof is Proof.PARTIAL:
                outcome = outcome._replace(proof=Proof.WHOLE)
            super().answered(record, lease, outcome, now)


class UnconfirmedBytesCount(Broken):
    """A file that waits to be confirmed has all its bytes, as if it were done."""

    class Ledger(FileLedger):
        def complete(self, file: FileCore, message: str | None) -> None:
            super().complete(file, message)
            self.count(file, file.count_all)


class LastIsSentWithOthersInDoubt(SessionCore):
    """The last chunk is sent, though the server was only believed to have the others."""

    def begin_send(self, identifier: int, test: Outcome) -> tuple[Permission, Effects]:
        record = self._slots.live[identifier]
        claimed, record.file.believed = record.file.believed, None
        try:
            return super().begin_send(identifier, test)
        finally:
            record.file.believed = claimed


class DeniedWithoutEnd(Broken):
    """A server that lacks something each time gets it each time."""

    class OtherReports(Reports):
        def answered(self, record: ActiveChunk, lease: Lease, outcome: Outcome, now: float) -> None:
            record.file.asked = False
            super().answered(record, lease, outcome, now)


class DeniedIsTestedAgain(Broken):
    """A server that did not stand by its tests is believed again."""

    class OtherReports(Reports):
        def _confirmed(self, record: ActiveChunk, outcome: Outcome) -> None:
            super()._confirmed(record, outcome)
            record.file.untested = False


class DeniedIsStillStored(Broken):
    """What the server does not stand by is not sent, and it is not asked again."""

    class OtherReports(Reports):
        def _confirmed(self, record: ActiveChunk, outcome: Outcome) -> None:
            if outcome.kind is OutcomeKind.DENIED and outcome.proof is Proof.NONE:
                record.step(ChunkEvent.TEST)
                record.step(ChunkEvent.PRESENT)
            super()._confirmed(record, outcome)


class EndIsNotHeld(SessionCore):
    """An early chunk is sent as a whole."""

    def begin_send(self, identifier: int, test: Outcome) -> tuple[Permission, Effects]:
        permission, effects = super().begin_send(identifier, test)
        return Permission.SEND if permission is Permission.HOLD else permission, effects


class EndIsReleasedTooEarly(Broken):
    """By any answer, not by that to the first chunk."""

    class Hasty(HeldEnds):
        def review(self) -> tuple[list[int], list[int]]:
            released = [lease for lease, record in self.held.items() if record.state is ChunkState.SENDING]
            self.held.clear()
            return released, []


class EndIsHeldForEver(Broken):
    """Also when its turn has come."""

    class Forgetful(HeldEnds):
        def review(self) -> tuple[list[int], list[int]]:
            return [], super().review()[1]


class EarlyWithoutProof(SessionCore):
    """A test that nobody answered is enough."""

    def begin_send(self, identifier: int, test: Outcome) -> tuple[Permission, Effects]:
        return super().begin_send(identifier, test._replace(lacking=True))


class EarlyFailureCounts(Broken):
    """What goes wrong with an early chunk goes wrong with its file."""

    class OtherReports(Reports):
        def answered(self, record: ActiveChunk, lease: Lease, outcome: Outcome, now: float) -> None:
            record.early = record.early and outcome.kind is OutcomeKind.STOPPED
            super().answered(record, lease, outcome, now)


class StoppedQuestionIsNotAskedAgain(Broken):
    """A question that was told to stop is not asked again."""

    class OtherReports(Reports):
        def answered(self, record: ActiveChunk, lease: Lease, outcome: Outcome, now: float) -> None:
            super().answered(record, lease, outcome, now)
            if record.confirm and record.state is ChunkState.PENDING and outcome.kind is OutcomeKind.STOPPED:
                record.file.confirming = True


BROKEN: list[type[SessionCore]] = [
    SlotOfTheStoppedIsFree,
    ReleasedWhileOnTheWire,
    LateSuccessCounts,
    NoEpoch,
    CompletePerSlot,
    CompleteBeforeTheWireIsClear,
    HeldRunEnds,
    GateIgnored,
    NewCutDoesNotWait,
    RetryForgetsTheStopping,
    PauseForgetsRetries,
    MarkedOnTheWireCountsTwice,
    NewCutKeepsTheOldBytes,
    SlotOfTheWaitingIsFree,
    RetriesDoNotWait,
    RetryAfterIgnored,
    NewFilesPushIn,
    TurnedAwayKeepsItsSlot,
    SuccessWakesNobody,
    SuccessWakesAtOnce,
    StoppedIsSentAfterAll,
    StoppedFailureFails,
    CancelKeepsFiles,
    CancelIsACompletion,
    EndedFilesAreHeard,
    PausedFilesAreLeased,
    ReleasedHaveNoTurn,
    FinalIsTheHighest,
    TestsAreRepeated,
    UncertainIsSentAgain,
    UncertaintyEndsWithTheTurn,
    UncertainTwiceCounted,
    TestsAreSparedTooSoon,
    TestsAreNeverSpared,
    NothingIsConfirmed,
    WholeIsWholeForEver,
    UnconfirmedBytesCount,
    LastIsSentWithOthersInDoubt,
    DeniedWithoutEnd,
    DeniedIsTestedAgain,
    DeniedIsStillStored,
    StoppedQuestionIsNotAskedAgain,
    EndIsNotHeld,
    EndIsReleasedTooEarly,
    EndIsHeldForEver,
    EarlyWithoutProof,
    EarlyFailureCounts,
]

RARE: dict[type[SessionCore], int] = {
    DeniedIsStillStored: 2780,
    StoppedQuestionIsNotAskedAgain: 1890,
    SuccessWakesNobody: 2425,
}
"""The first walk by which one is noticed that few notice. Only the order in which walks are tried follows from it."""


@pytest.mark.once
@pytest.mark.unmeasured
@pytest.mark.parametrize("broken", BROKEN)
def test_a_rule_that_is_broken_on_purpose_is_noticed(broken: type[SessionCore]) -> None:
    """By one of the walks that the core itself has passed."""
    first = RARE.get(broken, 0)
    with pytest.raises(Violation):
        walk_all([*range(first, WALKS), *range(first)], broken)
