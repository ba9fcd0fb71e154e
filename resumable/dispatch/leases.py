"""Leases: how workers get them, and report their outcomes.

A lease is always reported, so a slot cannot leak. Everything here is called by workers, without the session's lock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial

from ..core.concurrency import FEW
from ..core.records import Lease, Notice, Outcome, OutcomeKind, Permission
from ..core.states import RUNNING, TERMINAL, SessionState
from ..errors import FileRejected
from .abandonment import Abandonment
from .completion import Completion
from .delivery import LINGER, Delivery
from .neighbours import Neighbours
from .registry import FileEntry
from .shared_state import SharedState
from .transfers import Transfer

__all__ = ["BeginSend", "LeaseManager", "Perform"]

logger = logging.getLogger("resumable")

BeginSend = Callable[[Transfer, Outcome], bool]
"""Is called before a chunk is sent that the server was asked for, with the outcome of the test; it says whether the
chunk may be sent."""

Perform = Callable[[Transfer, BeginSend], Outcome]
"""Does one lease's work."""


class LeaseManager:
    """The half of a session that its workers call. ``place`` is where it uploads to, ``throttle`` the minimum seconds
    between two notices of progress while the bytes of one chunk flow. ``need_workers()`` is called when there may be
    too few of them."""

    def __init__(
        self,
        shared: SharedState,
        delivery: Delivery,
        completion: Completion,
        abandonment: Abandonment,
        *,
        place: str,
        throttle: float,
        need_workers: Callable[[], None],
    ) -> None:
        self._shared = shared
        self._lock = shared.lock
        self._clock = shared.clock
        self._core = shared.core
        self._outbox = shared.outbox
        self._registry = shared.registry
        self._transfers = shared.transfers
        self._delivery = delivery
        self._completion = completion
        self._abandonment = abandonment
        self._neighbours = Neighbours(place)
        self._throttle = throttle
        self._need_workers = need_workers
        self._waiting = 0
        self.wanted = self._needed()
        """How many workers there was work for of late."""

    @property
    def slots(self) -> int:
        """How many workers there is work for at most times, if there are as many chunks."""
        return self._core.concurrency.slots

    def _needed(self) -> int:
        """Return how many workers are needed by now: a few at first, and then one that looks for more work beside those
        that have some. Thousands of slots are no reason for thousands of threads."""
        return min(self._core.concurrency.slots, max(len(self._transfers.live) + 1, FEW))

    def acquire(self, pace: float) -> Transfer | None:
        """Return the next lease as a transfer, once there is one, or None if the thread shall end. ``pace``: how many
        seconds the latest chunk of this thread took, which mostly gets the same connection again; 0 before."""
        core, work, live = self._core, self._shared.work, self._transfers.live
        with self._lock:
            while core.state in RUNNING:
                until = None
                if not self._must_wait():
                    now = self._clock()
                    if now >= core.concurrency.look_at:
                        self._measure(now)
                    lease = core.lease(now, pace)
                    if isinstance(lease, Lease):
                        entries = self._registry.entries
                        transfer = self._transfers.begin(lease, entries[lease.file], now)
                        if lease.files:
                            transfer.asked = tuple(map(entries.__getitem__, lease.files))
                        self._outbox.extend(core.effects.flush().notices)
                        more = not self._waiting and core.may_probe(now)
                        self.wanted = max(self._needed(), len(live) + more)
                        break
                    until = lease.until
                if core.finished:
                    # A run is held open: the next file mostly comes at once.
                    if work.wait_for(lambda: core.state not in RUNNING or not core.finished, LINGER):
                        continue
                    return None
                if len(live) + self._waiting >= self.slots:
                    # It was there for tests ahead, or for slots that are gone. To wake it with each chunk is not cheap,
                    # and neither is to start another one whenever a file is added.
                    self.wanted = max(self._needed(), len(live))
                    return None
                self._waiting += 1
                try:
                    work.wait(None if until is None else min(max(until - self._clock(), 0.001), threading.TIMEOUT_MAX))
                finally:
                    self._waiting -= 1
            else:
                return None
        transfer.control.on_progress = partial(self._progressed, transfer)
        self._post()
        return transfer

    def _must_wait(self) -> bool:
        """Return whether a batch has to be announced first, or the handlers have to catch up.

        While somebody waits for the end of something, posted handlers are not waited for: theirs may be the very thread
        that waits.
        """
        shared = self._shared
        return shared.announcing > 0 or (not self._outbox.has_room() and (self._delivery.waits or not shared.waiting))

    def _progressed(self, transfer: Transfer) -> None:
        """Announce progress, unless that was done a moment ago."""
        if transfer.awaited:
            transfer.awaited = False
            with self._lock:
                self._core.flow(transfer.lease.id)
                self._shared.work.notify_all()
        now = self._clock()
        if now >= self._core.concurrency.look_at:
            with self._lock:
                grown = self._measure(now)
            if grown:
                self._need_workers()
        if now - transfer.announced_at < self._throttle:
            return
        transfer.announced_at = now
        entry = transfer.entry
        with self._lock:
            self._transfers.measure(transfer, transfer.control.departed, now)
            if entry.core.state not in TERMINAL:
                self._outbox.extend((Notice("file_progress", entry.key), Notice("progress")))
        self._post()

    def _measure(self, now: float) -> bool:
        """Let the core see how fast bytes flow, and return whether there are more slots then. The caller holds the
        lock."""
        slots = self._core.concurrency.slots
        flow = self._transfers.flow()._replace(sessions=self._neighbours.sharing(now))
        self._core.concurrency.measure(flow, now)
        if self._core.concurrency.slots <= slots:
            return False
        self.wanted = max(self.wanted, self._needed())
        self._shared.work.notify_all()
        return True

    def begin_send(self, transfer: Transfer, test: Outcome) -> bool:
        """Return whether the chunk, which the test did not find, may be sent, perhaps with its end held."""
        with self._lock:
            if test.max_uploads is not None:
                self._core.concurrency.limit(test.max_uploads)
            permission, effects = self._core.begin_send(transfer.lease.id, test)
            if test.any_order and transfer.awaited:
                # Others need not wait for this one any more.
                self._shared.work.notify_all()
            if permission is Permission.HOLD:
                transfer.control.hold()
            self._outbox.extend(effects.notices)
        self._post()
        return permission is not Permission.STOP

    def complete(self, transfer: Transfer, outcome: Outcome) -> float:
        """Report the outcome. The lease is over then, and requests of files that ended with it are cut off. Return how
        many seconds the chunk took, 0 if that says nothing of the connection."""
        core, entry = self._core, transfer.entry
        # Each holds the other: every chunk would be left to the garbage collector.
        transfer.control.forget_progress()
        with self._lock:
            now = self._clock()
            lost = outcome.kind in (OutcomeKind.RETRY, OutcomeKind.REFUSED)
            self._transfers.end(transfer, now, lost=lost)
            if outcome.kind is OutcomeKind.PREPARED:
                try:
                    self._registry.reserve_identifier(entry)
                except FileRejected as error:
                    outcome = Outcome(OutcomeKind.REFUSED, str(error), error)
            effects = core.report(transfer.lease, outcome, now)
            follow_up = self._shared.apply(effects)
            if outcome.plan is not None:
                entry.plan = entry.core.plan
            left = core.state is SessionState.CLOSED or entry.key not in core.files
        if logger.isEnabledFor(logging.INFO):
            self._log(effects.notices, entry, outcome)
        if follow_up is not None:
            follow_up.carry_out(hard=True)
        if left:
            # A hook may have given the file other bytes after it was removed.
            entry.close()
        over = core.finished
        if follow_up is not None or over:
            self._abandonment.begin()
            self._completion.consider()
        self._post(anyway=over)
        sent = outcome.kind is OutcomeKind.ACCEPTED and not transfer.control.holds_end
        return now - transfer.began if sent else 0.0

    def _post(self, *, anyway: bool = False) -> None:
        """Have waiting notices delivered, or, ``anyway``, let what delivers them see whether it is needed any more.

        If ``deliver`` calls at once, handlers run here, and what one of them raises to end the program ends no upload,
        whichever event it is.
        """
        if not (anyway or self._outbox.queue):
            return
        try:
            self._delivery.post()
        except KeyboardInterrupt:
            logger.warning("a handler raised KeyboardInterrupt, which has no effect on the threads of the uploads")
        except Exception:
            logger.exception("the delivery of an event failed unexpectedly")
        except BaseException:
            # What a handler raises to end its thread was reported with the handler.
            pass

    def _log(self, notices: Iterable[Notice], entry: FileEntry, outcome: Outcome) -> None:
        """Log how files have ended, or that a chunk is sent again."""
        for notice in notices:
            if notice.event == "file_success":
                logger.info("uploaded %r", self._registry.entries[notice.file].record.relative_path)
            elif notice.event == "file_retry":
                logger.info("trying again: %s", outcome.error)
            elif notice.event == "file_error" and notice.file == entry.key:
                logger.info("failed: %s", outcome.error)
