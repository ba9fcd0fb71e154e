"""Random walks through the core, watched by a model that knows only what the world can see.

The model believes nothing that the core says of itself. It keeps the *requests on the wire*: a request is there from
the lease that began it until its report, whatever the core thinks of its slot. From these, the commands and the answers
it derives what must be told, in which order, which chunks count as stored, and what may be leased; then it compares.

Of servers it knows this. One that is *ours* says of itself that it has a part or the whole of a file, and nothing but
its last word "whole" makes the file a success. Another's word for what we did not send is *doubted*, until it stands by
it when it is asked once more, or takes the chunk that completes the file.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from resumable.core.records import (
    Effects,
    Lease,
    Outcome,
    OutcomeKind,
    Permission,
    Proof,
)
from resumable.core.retry import RETRY_AFTER_CAP, TWICE_WITHIN, SessionPolicy
from resumable.core.session import SessionCore
from resumable.core.states import ChunkState, SessionState
from resumable.errors import StateError
from resumable.protocol.plan import ChunkOrder, ChunkPlan

__all__ = ["CutUp", "Request", "Violation", "Walk"]

CUTTING = ("chunking_progress", "chunking_complete")
QUIET = frozenset({"file_progress", "progress"})
LAST = frozenset({"file_success", "file_error", "file_cancelled"})
K = OutcomeKind
QUESTION = -1
"""Stands for a chunk's index while the server is asked to confirm the file."""


class Violation(AssertionError):
    """The core broke a rule."""


@dataclass(eq=False)
class Request:
    """What is on the wire: the lease that began it, and what was said about it since. ``number`` counts them;
    ``new``: nothing of the file was stored then, ``guess``: new files were held back. ``put_back``: its chunk
    waits for a question, or for others. ``flows``: bytes of its chunk are on their way. ``early``: others of the file
    had to be stored first when it began, and its end is ``held`` until they are, or for ever if it is ``cut``."""

    lease: Lease
    sending: bool
    number: int = 0
    new: bool = False
    guess: bool = False
    told: bool = False
    put_back: bool = False
    drained: bool = False
    flows: bool = False
    early: bool = False
    leased: float = 0.0
    held: bool = False
    cut: bool = False

    @property
    def index(self) -> int:
        return QUESTION if self.lease.confirm else self.lease.index


@dataclass(eq=False)
class Outage:
    """What is known of a chunk that is on the wire or waits: how often it failed since anything got through and since
    when others did, the session's newest request when it failed last, and the earliest time for a retry."""

    gains: int
    streak: int = 0
    own: int = 0
    failed: int = 0
    earliest: float = 0.0


@dataclass(eq=False)
class CutUp:
    """A file as the world sees it. Chunks are known by their indexes; ``sequence`` is the order of their turns.

    ``whole``: the last word of a server that is ``ours``. ``claimed``: the turns of chunks for which there was the word
    of a foreign one, ``settled``: it need not be asked any more, ``denied``: ours lacked something once, ``sure``: no
    test is believed any more. ``ambiguous``: chunks that were sent, and that the server may have. ``held``: all is
    stored, but the file waits to be confirmed. ``lacked``: how many chunks the server lacked since it had one,
    ``listed``: it said all that it has.
    """

    key: int
    plan: ChunkPlan
    order: ChunkOrder
    prepared: bool
    epoch: int = 0
    hooks: bool = False
    paused: bool = False
    aborted: bool = False
    ended: str | None = None
    told: str | None = None
    drained: int = 0
    stored: set[int] = field(default_factory=set)
    wire: set[int] = field(default_factory=set)
    waiting: dict[int, float] = field(default_factory=dict)
    retries: dict[int, int] = field(default_factory=dict)
    tested: set[int] = field(default_factory=set)
    ambiguous: set[int] = field(default_factory=set)
    trouble: dict[int, Outage] = field(default_factory=dict)
    turned_away: int = 0
    gains: int = 0
    bytes: int = 0
    bytes_skipped: int = 0
    ours: bool = False
    whole: bool = False
    claimed: set[int] = field(default_factory=set)
    settled: bool = False
    denied: bool = False
    sure: bool = False
    held: bool = False
    lacked: int = 0
    listed: bool = False

    def __post_init__(self) -> None:
        self.recut(self.plan)

    def recut(self, plan: ChunkPlan) -> None:
        """Nothing is stored, and the requests on the wire are not of this cut."""
        self.plan = plan
        count = plan.count
        self.sequence = list(range(count))
        if self.order.first_and_last and count > 2:
            self.sequence = [0, count - 1, *range(1, count - 1)]
        self.alone = {"free": set(), "sequential": set(self.sequence)}.get(
            self.order.mode, {self.sequence[0], self.sequence[-1]}
        )
        self.drained += len(self.wire)
        for kept in (self.stored, self.wire, self.tested, self.claimed, self.ambiguous):
            kept.clear()
        self.waiting.clear()
        self.retries.clear()
        self.trouble.clear()
        self.turned_away = 0
        self.bytes = self.bytes_skipped = 0
        self.ours = self.whole = self.settled = self.denied = self.sure = self.held = self.listed = False
        self.lacked = 0

    def begin(self) -> None:
        """Another attempt at the whole file: what went wrong before does not count."""
        self.epoch += 1
        self.ended = self.told = None
        self.whole = self.denied = self.sure = self.listed = False
        self.lacked = 0

    @property
    def complete(self) -> bool:
        return len(self.stored) == self.plan.count

    @property
    def doubted(self) -> bool:
        return bool(self.claimed) and not self.settled and not self.ours

    @property
    def left(self) -> set[int]:
        """The chunks that the server said it lacks, and that have to wait for another turn."""
        return self.tested - self.ambiguous - self.stored - self.wire - self.waiting.keys()

    def counted(self) -> tuple[int, int]:
        """The bytes that are told, and those of them that were there before. No file has all before it has ended."""
        done = self.bytes
        if self.held:
            start, end = self.plan.span(self.plan.count - 1)
            done -= end - start
        return done, min(done, self.bytes_skipped)

    def forget(self, indexes: set[int]) -> None:
        """The server lacks these after all, and whatever else is missing begins anew with them."""
        self.stored -= indexes
        self.bytes = sum(end - start for start, end in map(self.plan.span, self.stored))
        for kept in (self.claimed, self.tested, self.ambiguous):
            kept.clear()
        self.retries.clear()
        self.held = False

    def store(self, index: int, *, skipped: bool) -> None:
        """The server has the chunk."""
        start, end = self.plan.span(index)
        self.stored.add(index)
        self.ambiguous.discard(index)
        self.bytes += end - start
        if skipped:
            self.bytes_skipped += end - start

    @property
    def asked_enough(self) -> bool:
        """The server very probably lacks what it was not asked for."""
        return not self.denied and (self.listed or self.lacked >= (16 if self.bytes_skipped else 3))

    def mark(self, start: int, stop: int, *, claimed: bool = False) -> None:
        """The chunks of the range that are not on their way are taken for stored."""
        for index in range(max(start, 0), min(stop, self.plan.count)):
            if claimed:
                self.claimed.add(self.sequence.index(index))
            if index not in self.stored and index not in self.wire and index not in self.waiting:
                self.store(index, skipped=True)


class Walk:
    """One walk. ``make`` builds the core that is walked through."""

    def __init__(self, seed: int, make: Callable[[SessionPolicy], SessionCore] = SessionCore) -> None:
        self.seed = seed
        self.chance = chance = random.Random(seed)
        self.random = chance.random
        self.slots = 1 + self.below(4)
        self.limit = (0, 1, 2, None)[self.below(4)]
        self.testing = self.random() < 0.6
        self.thorough = self.random() < 0.3
        self.fail_fast = self.random() < 0.1
        self.mode = ("bookends", "bookends", "free", "sequential")[self.below(4)]
        self.first_and_last = self.random() < 0.2
        self.server = ("plain", "foreign", "ours", "mixed")[self.below(4)]
        # An upload of one file to a server that has nothing of it: there chunks are early.
        self.fresh = self.testing and self.mode == "bookends" and self.random() < 0.5
        self.slots += 2 * self.fresh
        self.connections = (0, 6, 16, 16)[self.below(4)]
        self.held_bytes = (0, 25, 1000, 1000)[self.below(4)]
        self.smallest_held = (0, 0, 8)[self.below(3)]
        self.core = make(
            SessionPolicy(
                slots=self.slots,
                test_chunks=self.testing,
                test_every_chunk=self.thorough,
                connections=self.connections,
                max_chunk_retries=self.limit,
                fail_fast=self.fail_fast,
                first_and_last=self.first_and_last,
                held_bytes=self.held_bytes,
                smallest_held=self.smallest_held,
                delay=lambda retries, streak: float(streak),
            )
        )
        self.now = 0.0
        self.state = SessionState.IDLE
        self.held = False
        self.reached = False
        self.not_before = 0.0
        self.hold = 0.0
        self.room = self.room_since = 0
        self.turned_away = (-math.inf, 0)
        self.gains = 0
        self.numbers = 0
        self.run = False
        self.runs = 0
        self.completions = 0
        self.spared = self.ahead = self.reasked = 0
        self.asked = self.put_back = self.denials = 0
        self.early = self.released = self.recalled = self.withdrawn = 0
        self.offended = not (self.testing and self.held_bytes)
        self.ends: list[int] = []
        self.latest = 0.0
        self.files: dict[int, CutUp] = {}
        self.known: dict[int, CutUp] = {}
        self.wire: dict[int, Request] = {}
        self.expected: list[tuple[str, int | None, int | None]] = []
        self.stopped: list[int] = []
        self.log: list[tuple[Any, ...]] = []
        self.events: set[str] = set()

    def below(self, limit: int) -> int:
        """A number of ``range(limit)``."""
        return int(self.random() * limit)

    # -- the walk ------------------------------------------------------------------------------------------------

    def go(self, steps: int) -> int:
        """How many steps the walk took, which kept every rule. Raises Violation with the way that led there."""
        try:
            self.add()
            if self.random() < 0.9:
                self.upload()
            for _ in range(steps):
                getattr(self, _STEPS[int(self.random() * len(_STEPS))])()
                self.check()
            if self.random() < 0.1:
                self.close()
            else:
                self.drain()
            self.check_chunks()
        except Exception as error:
            way = "\n".join(" ".join(map(str, step)) for step in self.log[-25:])
            raise Violation(f"walk {self.seed}, step {len(self.log)}: {error!r}, after\n{way}") from error
        return len(self.log)

    def need(self, kept: bool, rule: str) -> None:
        """The rule was kept."""
        if not kept:
            raise Violation(rule)

    # -- commands ------------------------------------------------------------------------------------------------

    def add(self) -> None:
        if len(self.known) >= (1 if self.fresh else 4):
            return
        size = (0, 1, 7, 10, 15, 23, 30, 35, 41, 50)[self.below(10)] * (2 if self.fresh else 1)
        plan = ChunkPlan(size, 10, force=self.random() < 0.5)
        order = ChunkOrder(plan.count, self.mode, self.first_and_last)
        prepared = self.random() < 0.8
        self.log.append(("add", plan, order, prepared))
        key = self.core.add(plan, order, prepared=prepared)
        effects = self.core.effects.flush()
        self.need(key not in self.known, "a key is given once")
        self.files[key] = self.known[key] = CutUp(key, plan, order, prepared)
        self.tell(key, "chunking_start", *CUTTING, "file_added")
        self.hear(effects)

    def upload(self) -> None:
        held = self.random() < 0.2
        fresh = self.state is SessionState.IDLE
        if not held:
            self.held = False
            for file in self.files.values():
                file.paused = file.paused and not file.aborted
                file.aborted = False
        elif fresh:
            self.held = True
        if self.state is not SessionState.UPLOADING:
            self.start()
        self.do("upload", self.core.upload, self.now, open_ended=held)

    def start(self) -> None:
        self.state = SessionState.UPLOADING
        self.tell(None, "upload_start")

    def release(self) -> None:
        self.held = False
        self.do("release", self.core.close_run)

    def pause(self) -> None:
        if self.state is SessionState.UPLOADING:
            self.state = SessionState.PAUSED
            for file in self.known.values():
                self.stop(file)
            self.tell(None, "pause")
        self.do("pause", self.core.pause)

    def cancel(self) -> None:
        if self.random() < 0.6:
            return
        self.state = SessionState.IDLE
        self.held = False
        for file in reversed(list(self.files.values())):
            self.remove(file)
        self.tell(None, "cancel")
        self.do("cancel", self.core.cancel)

    def close(self) -> None:
        """Every request is told to stop, what has not ended is cancelled, and no answer counts."""
        self.state = SessionState.CLOSED
        for file in self.known.values():
            if file.ended:
                self.stop(file)
        for file in reversed(list(self.files.values())):
            if not file.ended:
                self.remove(file)
        self.do("close", self.core.close)
        for call in (
            lambda: self.core.upload(self.now),
            self.core.pause,
            self.core.cancel,
            lambda: self.core.add(ChunkPlan(1, 1), ChunkOrder(1)),
            *(lambda key=key: self.core.retry_file(key, self.now) for key in self.known),
            *(lambda key=key: self.core.bootstrap_file(key) for key in self.known),
        ):
            try:
                call()
            except StateError:
                self.check()
            else:
                raise Violation("a closed session stays closed")
        while self.wire:
            self.lease()
            self.send()
            self.report()
            self.check()

    def pause_file(self) -> None:
        file = self.any()
        aborted = self.random() < 0.3
        if not file.paused and not file.ended:
            file.paused = True
            file.aborted = aborted
            self.stop(file)
        self.do("pause_file", self.core.pause_file, file.key, aborted=aborted)

    def resume_file(self) -> None:
        file = self.any()
        file.paused = file.aborted = False
        self.do("resume_file", self.core.resume_file, file.key)

    def cancel_file(self) -> None:
        if self.random() < 0.5:
            return
        file = self.any()
        if file.key in self.files:
            self.remove(file)
        self.do("cancel_file", self.core.cancel_file, file.key, announce=self.random() < 0.5)

    def retry_file(self, file: CutUp | None = None) -> None:
        file = file or self.any()
        illegal = file.key not in self.files or file.ended == "file_success" or file.paused
        if file.ended and not illegal:
            file.begin()
            file.retries.clear()
            file.tested.clear()
            file.turned_away = 0
            if self.state is SessionState.IDLE:
                self.held = False
                self.start()
        self.do("retry_file", self.core.retry_file, file.key, self.now, illegal=illegal)

    def bootstrap_file(self) -> None:
        file = self.any()
        illegal = file.key not in self.files
        if not illegal:
            self.stop(file)
            self.recut(file, file.plan)
            file.begin()
        self.do("bootstrap_file", self.core.bootstrap_file, file.key, illegal=illegal)

    def mark_file(self) -> None:
        file = self.any()
        ranges = self.ranges(file)
        illegal = file.key not in self.files or file.ended is not None
        if not illegal:
            for start, stop in ranges:
                file.mark(start, stop)
            self.end_if_stored(file)
        self.do("mark_file", self.core.mark_file, file.key, ranges, illegal=illegal)

    def tick(self) -> None:
        self.now += self.random() * 3
        self.log.append(("now", self.now))

    # -- work ----------------------------------------------------------------------------------------------------

    def lease(self) -> bool:
        """Whether there was work."""
        found = self.core.lease(self.now)
        self.log.append((found,))
        if not isinstance(found, Lease):
            self.need(found.until is None or found.until > self.now, "a wait ends later than now")
            waits = [due for file in self.files.values() for due in file.waiting.values()]
            if waits and self.state is SessionState.UPLOADING:
                due = max(min(waits), self.not_before)
                self.need(found.until is not None and found.until <= due, "a wait ends when a retry is due")
            return False
        self.need(self.state is SessionState.UPLOADING, "no lease unless a run is under way")
        self.need(self.now >= self.not_before, "no lease before Retry-After")
        early = False
        file = self.files.get(found.file)
        self.need(file is not None and not file.ended and not file.paused, "no lease for a file that does not want it")
        assert file is not None
        self.need(found.id not in self.wire, "a lease has an id of its own")
        self.need(found.epoch == file.epoch, "a lease is of the epoch of the file")
        if found.ahead:
            self.check_ahead(file, found)
            return True
        index = QUESTION if found.confirm else found.index
        if index not in file.waiting or found.prepare:
            if not file.stored:
                self.need(self.now >= self.hold or self.room > 0, "no new file while they are held back without room")
            taken = self.taken()
            slots = self.slots - 1 if self.now < self.hold and self.slots > 1 else self.slots
            self.need(taken < slots, "one slot fewer while new files are held back")
        if found.prepare:
            self.need(not file.prepared and not file.hooks, "hooks run once at a time, before the first chunk")
            file.hooks = True
        else:
            self.need(file.prepared, "no chunk before the hooks")
            if found.confirm:
                self.check_question(file, found)
            else:
                early = self.check_turn(file, found)
            self.need(found.ours == file.ours, "whose server it is, is known")
            file.waiting.pop(index, None)
            file.wire.add(index)
            file.trouble.setdefault(index, Outage(self.gains))
            self.numbers += 1
            if not file.stored and self.room:
                self.room -= 1
        self.wire[found.id] = Request(
            found,
            sending=not found.test,
            number=self.numbers,
            new=not file.stored,
            guess=self.now < self.hold,
            early=early,
            leased=self.now,
        )
        self.hear(self.core.effects.flush())
        self.need(self.taken() <= self.slots, "no more requests and retries than slots")
        return True

    def taken(self) -> int:
        """How many requests and retries have a slot."""
        waiting = sum(len(other.waiting) for other in self.files.values())
        return sum(not request.lease.ahead for request in self.wire.values()) + waiting

    def check_ahead(self, file: CutUp, lease: Lease) -> None:
        """A test beside the slots, which was not necessary yet."""
        self.ahead += 1
        index, turn = lease.index, file.sequence.index(lease.index)
        waiting = sum(len(other.waiting) for other in self.files.values())
        self.need(len(self.wire) + waiting < self.connections, "no more connections than there may be")
        self.need(
            self.testing and not self.thorough and lease.test and not lease.prepare, "nothing but a test is ahead"
        )
        self.need(file.order.mode in ("bookends", "free"), "other orders leave the first and the last alone")
        self.need(file.prepared and not file.drained and not file.sure, "a chunk that will be tested")
        self.need(QUESTION not in file.wire and QUESTION not in file.waiting, "nothing beside a question")
        self.need(index not in file.stored | file.wire | file.waiting.keys() | file.tested, "a chunk with no turn yet")
        self.need((lease.start, lease.end) == file.plan.span(index), "the bytes of the chunk")
        self.need(lease.position == turn and not file.asked_enough, "a chunk that is not spared its test")
        if turn:
            self.need(turn < file.plan.count - 1, "the last chunk has its test in its turn")
            self.need(
                file.sequence[0] in file.stored and file.bytes_skipped > 0, "the server has the first, and had some"
            )
        if not file.stored:
            self.need(self.now >= self.hold, "no new file while they are held back")
        file.wire.add(index)
        self.wire[lease.id] = Request(lease, sending=False)
        self.hear(self.core.effects.flush())

    def check_question(self, file: CutUp, lease: Lease) -> None:
        self.asked += 1
        self.need(not file.drained and not file.wire, "nothing of the file on the wire beside a question")
        self.need(file.waiting.get(QUESTION, 0.0) <= self.now, "no question again before its time")
        self.need(lease.retries == file.retries.get(QUESTION, 0), "the retries of the question are known")
        if QUESTION not in file.waiting:
            last = len(file.stored) == file.plan.count - 1 and file.left
            self.need(file.complete or (file.doubted and last), "no question while more than one chunk is missing")
        self.need(lease.ours or file.doubted, "a foreign server is asked only for what it said")
        about = file.sequence[max(file.claimed)] if file.claimed else file.plan.count - 1
        self.need(lease.index == about and lease.test, "asked for the last of what is doubted, or of the file")
        self.need((lease.start, lease.end) == file.plan.span(about), "the bytes of the chunk")

    def under_way(self, file: CutUp) -> set[int]:
        """The chunks that are sent, or wait for their retry, and were not told to stop."""
        told = {r.index for r in self.wire.values() if r.lease.file == file.key and r.told and not r.drained}
        return (file.wire - told) | file.waiting.keys()

    def before(self, file: CutUp, index: int) -> set[int]:
        """The chunks that have to be stored before this one may be whole at the server, and are not."""
        if file.order.mode != "bookends":
            return set()
        first, last = file.sequence[0], file.sequence[-1]
        wanted = {first} if index != last else set(file.sequence)
        return set() if index == first else wanted - file.stored - {index}

    def flowing(self, file: CutUp) -> set[int]:
        """The chunks that are being sent, not told to stop, bytes of which are on their way."""
        mine = [r for r in self.wire.values() if r.lease.file == file.key and not r.lease.prepare and not r.drained]
        return {r.index for r in mine if r.sending and r.flows and not r.told}

    def may_be_early(self, file: CutUp, lease: Lease) -> bool:
        """Whether this chunk may be on the wire although others have to be stored first."""
        before = self.before(file, lease.index)
        if lease.id in self.wire:
            mine = [r for r in self.wire.values() if r.lease.file == file.key and r.index in before]
            if any(r.number > self.wire[lease.id].number for r in mine):
                return False
        elif any(
            r.leased + self.latest - 3 > self.now
            for r in self.wire.values()
            if r.lease.file == file.key and r.index in before
        ):
            return False
        held = sum(r.lease.end - r.lease.start for r in self.wire.values() if r.held)
        size = lease.end - lease.start
        fits = self.smallest_held <= size and held + size <= self.held_bytes
        return not self.offended and bool(before) and before <= self.flowing(file) and fits

    def allow_any_order(self, file: CutUp) -> None:
        """The server takes chunks in any order."""
        if file.order.mode == "bookends":
            file.order = replace(file.order, mode="free")
            file.alone = set()

    def flow(self) -> None:
        """Bytes of some chunks are on their way."""
        for request in self.wire.values():
            if not request.lease.awaited or not request.sending or self.random() < 0.3:
                continue
            request.flows = True
            self.log.append(("flow", request.lease.id))
            self.core.flow(request.lease.id)

    def review(self) -> None:
        """What a held end waited for is stored, or is on its way no more."""
        for identifier, request in self.wire.items():
            if not request.held:
                continue
            file = self.known[request.lease.file]
            before = self.before(file, request.index)
            if request.told or request.drained or file.ended:
                request.held = False
                request.cut = True
            elif not before:
                request.held = False
                self.released += 1
                self.ends.append(identifier)
            elif not before <= self.flowing(file):
                request.held = False
                request.told = request.cut = True
                self.recalled += 1
                self.stopped.append(identifier)

    def check_turn(self, file: CutUp, lease: Lease) -> bool:
        """Whether the chunk is early. Its turn has come, one way or the other."""
        index = lease.index
        self.need(QUESTION not in file.wire and QUESTION not in file.waiting, "nothing beside a question")
        if file.doubted and file.left and index not in file.waiting:
            missing = file.plan.count - len(file.stored) - len(self.under_way(file))
            self.need(missing > 1, "no last chunk before the question about what is doubted")
        self.need((lease.start, lease.end) == file.plan.span(index), "the bytes of the chunk")
        self.need(not file.drained, "nothing of a new cut while the old one is on the wire")
        self.need(index not in file.wire, "no chunk twice on the wire")
        self.need(index not in file.stored, "no stored chunk again")
        self.need(file.waiting.get(index, 0.0) <= self.now, "no retry before its time")
        self.need(lease.retries == file.retries.get(index, 0), "the retries of the chunk are known")
        early = index not in file.waiting and self.may_be_early(file, lease)
        again = index in file.ambiguous
        self.reasked += again and lease.test
        wanted = self.testing and not file.sure and (again or index not in file.tested | file.waiting.keys())
        last = file.doubted and len(file.stored | self.under_way(file) | {index}) == file.plan.count
        if wanted and file.asked_enough and not (self.thorough or early or last or again):
            wanted = False
            self.spared += 1
        self.need(lease.test == wanted, "a test if and only if it is still to be done")
        settled = file.stored | file.wire | file.waiting.keys()
        turn = file.sequence.index(index)
        self.need(lease.position == turn, "the position of the chunk")
        self.need(
            index in file.waiting or settled.issuperset(file.sequence[:turn]), "retries, then the lowest position first"
        )
        self.need(lease.final == (len(settled | {index}) == file.plan.count), "final when none is left behind")
        if early:
            self.need(lease.test and not lease.retries, "an early chunk is asked for, once")
            self.early += 1
            return True
        # Early ones are no more than questions, or will be held, or never become whole.
        harmless = {
            r.index
            for r in self.wire.values()
            if r.lease.file == file.key and (r.lease.ahead or (r.early and (r.held or r.cut or not r.sending)))
        }
        first = file.sequence[0]
        self.need(file.order.mode == "free" or index == first or first in file.stored, "the first chunk before others")
        if index in file.alone:
            self.need(not file.wire - harmless, "a chunk that must be alone is alone")
            self.need(file.stored.issuperset(file.sequence[:turn]), "what comes before it is stored")
        self.need(not (file.wire - harmless) & file.alone, "nothing beside a chunk that must be alone")
        return False

    def send(self) -> None:
        requests = [request for request in self.wire.values() if not request.lease.prepare and not request.sending]
        requests = [request for request in requests if not request.lease.confirm and not request.lease.ahead]
        if requests:
            self.begin_send(requests[self.below(len(requests))])

    def begin_send(self, request: Request) -> None:
        lease = request.lease
        self.log.append(("begin_send", lease.id))
        file = self.known[lease.file]
        again = lease.index in file.ambiguous
        if not request.told:
            file.tested.add(lease.index)
        last = False
        proven = self.random() < 0.8
        ours = self.server == "ours"
        test = Outcome(
            K.ABSENT,
            answered=proven,
            lacking=proven and self.random() < 0.9,
            stored=self.ranges(file) if ours and self.random() < 0.2 else (),
            listed=ours and self.random() < 0.2,
            any_order=ours and self.random() < 0.3,
        )
        if not request.told and lease.epoch == file.epoch:
            file.lacked += test.answered
            file.listed = file.listed or test.listed
            if test.any_order:
                self.allow_any_order(file)
            for start, stop in test.stored:
                file.mark(start, stop)
            last = file.doubted and not again and len(file.stored | self.under_way(file)) == file.plan.count
            if test.answered:
                file.ambiguous.discard(lease.index)
        expected = Permission.SEND
        if request.told or last:
            expected = Permission.STOP
        elif self.before(file, lease.index):
            expected = Permission.HOLD if test.lacking and self.may_be_early(file, lease) else Permission.STOP
        may, effects = self.core.begin_send(lease.id, test)
        self.need(may is expected, "sent unless told to stop, others are doubted, or too early")
        request.held = may is Permission.HOLD
        if may is not Permission.STOP:
            request.sending = True
        elif not request.told:
            request.told = request.put_back = True
            self.put_back += 1
        self.hear(effects)

    def report(self) -> None:
        requests = list(self.wire.values())
        if requests:
            request = requests[self.below(len(requests))]
            lease = request.lease
            only = lease.prepare or lease.confirm or lease.ahead
            if self.fresh and not (request.sending or request.told or only):
                self.begin_send(request)
                self.flow()
                while self.random() < 0.6 and self.lease():
                    self.check()
            else:
                self.answer(request, self.outcome(request))

    def outcome(self, request: Request) -> Outcome:
        """Some outcome that the request can have."""
        file = self.known[request.lease.file]
        if request.lease.prepare:
            kind = (K.PREPARED, K.PREPARED, K.PREPARED, K.REFUSED, K.RETRY)[self.below(5)]
            plan = ChunkPlan(self.below(45), 10) if kind is K.PREPARED and self.random() < 0.5 else None
            stored = self.ranges(file) if kind is K.PREPARED and self.random() < 0.3 else ()
            return Outcome(kind, plan=plan, stored=stored)
        if request.put_back:
            return Outcome(K.STOPPED, proof=self.proof(request))
        if request.lease.confirm:
            kinds = [K.PRESENT] * 4 + [K.DENIED] * 4 + [K.RETRY] * 3 + [K.REFUSED]
        elif request.held:
            kinds = [K.STOPPED, K.RETRY, K.REFUSED]
        elif request.sending:
            kinds = [K.ACCEPTED] * 6 + [K.RETRY] * 4 + [K.REFUSED]
        else:
            kinds = [K.PRESENT] * 6 + [K.REFUSED, K.RETRY, K.ABSENT]
        if request.told or (request.early and request.sending):
            kinds += [K.STOPPED] * 4
        kind = kinds[self.below(len(kinds))]
        busy = kind is K.RETRY and self.random() < 0.4
        proof = self.proof(request)
        if request.lease.confirm and kind in (K.PRESENT, K.DENIED) and (request.lease.ours or proof is not Proof.NONE):
            proof = Proof.WHOLE if kind is K.PRESENT else Proof.PARTIAL
        return Outcome(
            kind,
            answered=self.random() < 0.5,
            unreachable=kind is K.RETRY and self.random() < 0.1,
            busy=busy,
            retry_after=(0.5, 2.0, 1e9)[self.below(3)] if busy and self.random() < 0.4 else None,
            stored=self.ranges(file) if self.random() < (0.5 if request.lease.confirm else 0.05) else (),
            listed=proof is not Proof.NONE and self.random() < 0.2,
            crowded=not request.sending and self.random() < 0.2,
            ambiguous=request.sending and kind in (K.RETRY, K.STOPPED) and self.random() < 0.5,
            believed=self.claims(request, proof),
            proof=proof,
            any_order=proof is not Proof.NONE and self.random() < 0.3,
        )

    def proof(self, request: Request) -> Proof:
        """What some answer says of the whole file."""
        ours = {"ours": 0.9, "mixed": 0.3}.get(self.server, 0.0)
        if self.random() >= ours:
            return Proof.NONE
        return Proof.WHOLE if self.random() < (0.5 if request.lease.final else 0.1) else Proof.PARTIAL

    def claims(self, request: Request, proof: Proof) -> bool:
        """Whether there is only a foreign server's word for what an answer says to be stored. Only tests are asked."""
        foreign = request.lease.test and proof is Proof.NONE and self.server in ("foreign", "mixed")
        return foreign and self.random() < 0.8

    def answer(self, request: Request, outcome: Outcome) -> None:
        """The request is off the wire, with this outcome."""
        lease = request.lease
        file = self.known[lease.file]
        del self.wire[lease.id]
        if request.drained:
            file.drained -= 1
        elif not lease.prepare:
            file.wire.discard(request.index)
        self.reached = self.reached or outcome.answered
        wanted = not file.ended and lease.epoch == file.epoch and self.state is not SessionState.CLOSED
        if outcome.ambiguous and not request.drained:
            file.ambiguous.add(lease.index)
        if lease.prepare:
            file.hooks = False
            if wanted:
                self.prepared(file, outcome)
        elif wanted:
            self.answered(file, request, outcome)
        else:
            self.busy(file, request, outcome)
            if not request.drained:
                file.retries.pop(request.index, None)
                file.tested.discard(request.index)
                file.trouble.pop(request.index, None)
        self.review()
        self.do("report", self.core.report, lease, outcome, self.now)

    def prepared(self, file: CutUp, outcome: Outcome) -> None:
        if outcome.kind is K.PREPARED:
            file.prepared = True
            if outcome.plan is not None:
                self.recut(file, outcome.plan)
            for start, stop in outcome.stored:
                file.mark(start, stop)
            self.end_if_stored(file)
        elif outcome.kind is K.REFUSED:
            self.fail(file, None, outcome)

    def busy(self, file: CutUp, request: Request, outcome: Outcome) -> None:
        """A busy server that has nothing of the file holds new files back, and all if it said so shortly before."""
        if not outcome.busy or request.lease.ahead:
            return
        wait = min(outcome.retry_after or 0.0, RETRY_AFTER_CAP)
        again = False
        if request.new:
            wait = max(wait, file.turned_away + 1.0)
            then, number = self.turned_away
            again = request.number > number and not request.guess and self.now - then <= TWICE_WITHIN
            self.turned_away = self.now, self.numbers
            self.hold = max(self.hold, self.now + wait)
            # What began before another had ended may have been turned away before that, too.
            if request.number > self.room_since:
                self.room = 0
        if again or not request.new:
            self.not_before = max(self.not_before, self.now + wait)

    def answered(self, file: CutUp, request: Request, outcome: Outcome) -> None:
        index = request.index
        question = index == QUESTION
        retries = file.retries.get(index, 0)
        if outcome.proof is not Proof.NONE:
            file.ours = True
            file.whole = outcome.proof is Proof.WHOLE
        if not question:
            file.wire.add(index)
            for start, stop in outcome.stored:
                file.mark(start, stop, claimed=outcome.believed)
            file.wire.discard(index)
        file.listed = file.listed or outcome.listed
        if outcome.any_order:
            self.allow_any_order(file)
        if outcome.kind is K.ACCEPTED:
            self.latest = self.now - request.leased
        costless = request.early or (request.lease.ahead and (outcome.kind is not K.ABSENT or outcome.crowded))
        if costless and not request.told and outcome.kind not in (K.ACCEPTED, K.PRESENT):
            self.offended = self.offended or request.early
            self.withdrawn += 1
            file.trouble.pop(index, None)
            return
        self.busy(file, request, outcome)
        away = outcome.busy and not file.stored
        counts = not (away and file.turned_away and file.gains != self.gains)
        last = (self.limit is not None and counts and retries >= self.limit) or (
            outcome.unreachable and not self.reached
        )
        trouble = file.trouble.pop(index, Outage(self.gains))
        if question:
            file.retries.pop(QUESTION, None)
        if outcome.kind in (K.ACCEPTED, K.PRESENT):
            self.gains += 1
            for other in self.files.values():
                for waiting in other.waiting:
                    if other.trouble[waiting].failed < request.number:
                        other.waiting[waiting] = other.trouble[waiting].earliest
            if question:
                file.settled = True
                self.end_if_stored(file)
                return
            found = outcome.kind is K.PRESENT and index not in file.ambiguous
            file.store(index, skipped=found)
            if found:
                file.lacked = 0
            file.settled = file.settled or (file.complete and not found)
            if found and outcome.believed:
                file.claimed.add(file.sequence.index(index))
            self.expected.append(("chunk_success", file.key, index))
            self.end_if_stored(file)
        elif outcome.kind is K.DENIED:
            again = file.denied
            self.deny(file, outcome)
            if again and not request.told:
                self.fail(file, None, outcome)
        elif request.told:
            pass
        elif outcome.kind is K.ABSENT:
            file.tested.add(index)
            file.lacked += outcome.answered
        elif outcome.kind is K.REFUSED or last:
            self.fail(file, None if question else index, outcome)
        else:
            if not (question and away):
                file.retries[index] = retries + counts
            if away:
                file.turned_away += 1
                file.gains = self.gains
            else:
                self.wait(file, index, trouble)
            if not question:
                self.expected.append(("chunk_retry", file.key, index))
            self.tell(file.key, "file_retry")

    def deny(self, file: CutUp, outcome: Outcome) -> None:
        """A foreign server does not stand by its word: all that is between what it said is sent, come what may. Ours
        says what it has of a file that we took for complete: the rest is sent, and at least something."""
        if outcome.proof is Proof.NONE:
            sent = file.bytes - file.bytes_skipped
            file.forget({file.sequence[turn] for turn in range(min(file.claimed), max(file.claimed) + 1)})
            file.bytes_skipped = max(0, file.bytes - sent)
            file.sure = True
        elif file.complete:
            has = {index for start, stop in outcome.stored for index in range(start, stop)}
            lacks = file.stored - has
            file.forget(lacks or {file.plan.count - 1})
            file.bytes_skipped = min(file.bytes_skipped, file.bytes)
            file.denied = True
        self.denials += 1

    def wait(self, file: CutUp, index: int, trouble: Outage) -> None:
        """The chunk waits the longer the more often it failed; less long if others got through since."""
        if trouble.gains != self.gains:
            trouble.own += trouble.streak > 0
            trouble.streak = 0
            trouble.gains = self.gains
        trouble.streak += 1
        trouble.failed = self.numbers
        trouble.earliest = self.now + trouble.own + 1
        file.trouble[index] = trouble
        file.waiting[index] = self.now + trouble.own + trouble.streak

    # -- what follows from it ------------------------------------------------------------------------------------

    def any(self) -> CutUp:
        """Some file, mostly one that is there."""
        files = list((self.files if self.files and self.random() < 0.9 else self.known).values())
        return files[self.below(len(files))]

    def ranges(self, file: CutUp) -> tuple[tuple[int, int], ...]:
        """Some ranges of indexes, which may overlap, be empty, or reach beyond the file."""
        found = []
        for _ in range(self.below(3)):
            start = self.below(file.plan.count + 1)
            found.append((start, start + self.below(4)))
        return tuple(found)

    def tell(self, key: int | None, *events: str) -> None:
        self.expected += [(event, key, None) for event in events]

    def recut(self, file: CutUp, plan: ChunkPlan) -> None:
        for request in self.wire.values():
            if request.lease.file == file.key and not request.lease.prepare:
                request.drained = True
        file.recut(plan)
        self.tell(file.key, *CUTTING)

    def stop(self, file: CutUp) -> None:
        for index in file.waiting:
            del file.trouble[index]
        file.waiting.clear()
        file.retries.pop(QUESTION, None)
        for identifier, request in self.wire.items():
            if request.lease.file == file.key and not request.lease.prepare:
                request.told = True
                self.stopped.append(identifier)

    def make_room(self, taken: bool) -> None:
        """A file ends that the server had taken, or has not."""
        if taken:
            self.room += 1
            self.room_since = self.numbers

    def remove(self, file: CutUp) -> None:
        del self.files[file.key]
        if not file.ended:
            file.ended = "file_cancelled"
            self.make_room(len(file.stored) > 0)
            self.stop(file)
            self.tell(file.key, "file_cancelled")

    def fail(self, file: CutUp, index: int | None, outcome: Outcome) -> None:
        file.ended = "file_error"
        self.make_room(len(file.stored) > 0 or not outcome.busy)
        file.paused = False
        self.stop(file)
        if index is not None:
            self.expected.append(("chunk_error", file.key, index))
        self.tell(file.key, "file_error", "error")
        if self.fail_fast:
            for other in [other for other in self.files.values() if not other.ended]:
                self.remove(other)

    def end_if_stored(self, file: CutUp) -> None:
        if not file.complete:
            return
        asked = QUESTION in file.wire or QUESTION in file.waiting
        file.held = asked or (not file.whole if file.ours else file.doubted)
        if not file.held:
            file.ended = "file_success"
            self.make_room(True)
            file.paused = False
            self.tell(file.key, "file_success")

    def finished(self) -> bool:
        return not self.wire and all(file.ended and not file.waiting for file in self.files.values())

    def do(self, name: str, call: Callable[..., Effects], *arguments: Any, illegal: bool = False, **more: Any) -> None:
        """The call was made, and told what it had to tell; an illegal one raised StateError."""
        self.log.append((name, *arguments))
        if self.state in (SessionState.UPLOADING, SessionState.PAUSED) and not self.held and self.finished():
            self.state = SessionState.IDLE
            self.tell(None, "complete")
        try:
            effects = call(*arguments, **more)
        except StateError:
            self.need(illegal, "a legal call does not raise")
        else:
            self.need(not illegal, "an illegal call raises")
            self.hear(effects)

    def hear(self, effects: Effects) -> None:
        """What was told is what had to be told."""
        heard = []
        for notice in effects.notices:
            event, key = notice.event, notice.file
            self.events.add(event)
            if key is not None:
                file = self.known[key]
                last = heard[-1][:2] if heard else None
                self.need(
                    file.told is None or (event == "error" and last == ("file_error", key)),
                    "nothing about a file after its terminal event",
                )
                if event in LAST:
                    file.told = event
            if event in QUIET:
                continue
            heard.append((event, key, notice.index))
            if event == "upload_start":
                self.runs += not self.run
                self.run = True
            elif event == "complete":
                self.need(self.run, "complete once a run, and never after cancel")
                self.completions += 1
                self.run = False
            elif event == "cancel":
                self.run = False
        expected, self.expected = self.expected, []
        self.need(heard == expected, f"told {heard}, expected {expected}")
        stopped, self.stopped = self.stopped, []
        self.need(sorted(effects.stopped) == sorted(stopped), f"stopped {effects.stopped}, expected {stopped}")
        ends, self.ends = self.ends, []
        self.need(sorted(effects.released) == sorted(ends), f"released {effects.released}, expected {ends}")

    def check(self) -> None:
        """The core's own figures are those of the model."""
        core = self.core
        size = done = skipped = 0
        for key, file in self.files.items():
            own = core.files[key]
            known = sum(stop - start for start, stop in own.known_ranges)
            below = own.stored + len(own.live) + len(own.released)
            self.need(below == own.cursor + known, "stored + live + released == cursor + known")
            counted = file.counted() if file.held else (file.bytes, file.bytes_skipped)
            self.need((own.bytes_done, own.bytes_skipped) == counted, "the bytes of the file add up")
            self.need(own.complete == (len(file.stored) == file.plan.count), "complete when all is stored")
            size += file.plan.size
            done += counted[0]
            skipped += counted[1]
        self.need(len(core.files) == len(self.files), "the files of the session")
        self.need(core.total_size == size, "the size of the session")
        self.need((core.bytes_done, core.bytes_skipped) == (done, skipped), "the bytes of the session add up")
        self.need(core.state is self.state, "the state of the session")
        self.need(core.finished == self.finished(), "finished when nothing is open and nothing on the wire")

    def check_chunks(self) -> None:
        """What the core says of each chunk is what the model knows."""
        self.log.append(("check chunks",))
        for key, file in self.files.items():
            own = self.core.files[key]
            for position, index in enumerate(file.sequence):
                self.need(own.is_done(position) == (index in file.stored), "a chunk is done when it is stored")
                state, retries = self.core.chunk_state(key, index)
                self.need((state is ChunkState.DONE) == (index in file.stored), "the state of a chunk")
                self.need(index in file.stored or retries == file.retries.get(index, 0), "the retries of a chunk")
            ranges = [position for start, stop in own.stored_ranges() for position in range(start, stop)]
            self.need({file.sequence[position] for position in ranges} == file.stored, "the ranges that are stored")
            self.need(len(ranges) == len(file.stored), "each of them once")

    def drain(self) -> None:
        """Everything is resumed, everything is answered with success, and the run ends."""
        self.log.append(("drain",))
        self.held = False
        if self.state is not SessionState.UPLOADING:
            self.start()
        self.do("upload", self.core.upload, self.now)
        for file in list(self.files.values()):
            file.paused = False
            self.do("resume_file", self.core.resume_file, file.key)
            if file.ended == "file_error" and self.random() < 0.5:
                self.retry_file(file)
        left = 10 + sum(2 + 3 * file.plan.count for file in self.files.values()) + len(self.wire)
        if self.server != "plain":
            left *= 2
        while self.state is not SessionState.IDLE:
            left -= 1
            self.need(left > 0, "a run ends once everything is resumed and answered")
            while self.lease():
                pass
            for request in list(self.wire.values()):
                if request.lease.prepare:
                    self.answer(request, Outcome(K.PREPARED))
                elif request.put_back:
                    self.answer(request, Outcome(K.STOPPED))
                elif request.lease.confirm:
                    kind = K.PRESENT if self.random() < 0.7 else K.DENIED
                    proof = Proof.WHOLE if kind is K.PRESENT else Proof.PARTIAL
                    self.answer(request, Outcome(kind, proof=proof if request.lease.ours else Proof.NONE))
                elif request.lease.ahead and self.random() < 0.7:
                    self.answer(request, Outcome(K.ABSENT, answered=True))
                elif not request.sending and not request.told and not request.lease.ahead and self.random() < 0.7:
                    self.begin_send(request)
                elif request.held:
                    if self.random() < 0.1:
                        self.answer(request, Outcome(K.STOPPED))
                else:
                    kind, proof = K.ACCEPTED if request.sending else K.PRESENT, self.proof(request)
                    self.answer(request, Outcome(kind, believed=self.claims(request, proof), proof=proof))
            self.check()
            waits = [due for file in self.files.values() for due in file.waiting.values()]
            self.now = max(self.now, self.not_before, min(waits, default=self.hold))
        self.need(self.completions <= self.runs, "complete at most once a run")
        self.need(not self.run and not self.wire, "the run is over")
        self.need(all(file.ended for file in self.files.values()), "every file has ended")


_STEPS = (
    ["lease"] * 30
    + ["send"] * 12
    + ["report"] * 26
    + ["flow"] * 12
    + ["tick"] * 6
    + ["add"] * 2
    + ["upload"] * 3
    + ["release", "pause", "cancel", "cancel_file", "bootstrap_file"]
    + ["pause_file", "resume_file", "resume_file", "retry_file", "retry_file", "mark_file"]
)
