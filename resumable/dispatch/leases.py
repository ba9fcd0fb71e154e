"""Leases: how workers get them, what they do with them, and what becomes of what they report.

A lease is always reported, so a slot cannot leak. Everything here is called by workers, without the session's lock.
"""

from __future__ import annotations

from collections.abc import Callable

from ..core.records import (
    Lease,
    Notice,
    Outcome,
    OutcomeKind,
)
from ..core.states import TERMINAL
from ..errors import FileRejected
from ..transport.base import RequestControl
from .completion import Completion
from .delivery import LINGER, Delivery
from .registry import FileEntry
from .shared_state import SharedState

__all__ = ["LeaseManager", "Perform"]

Perform = Callable[[FileEntry, Lease, RequestControl, Callable[[], bool]], Outcome]
"""Does one lease's work; the last argument is called before the chunk is sent, and says whether it may be."""


class LeaseManager:
    """The half of a session that its workers call. ``throttle`` is the least seconds between two notices of progress
    while the bytes of one chunk flow."""

    def __init__(
        self, shared: SharedState, delivery: Delivery, completion: Completion, perform: Perform, *, throttle: float
    ) -> None:
        self._shared = shared
        self._lock = shared.lock
        self._clock = shared.clock
        self._core = shared.core
        self._outbox = shared.outbox
        self._register = shared.register
        self._transfers = shared.transfers
        self._delivery = delivery
        self._completion = completion
        self._perform = perform
        self._throttle = throttle

    def acquire(self) -> tuple[Lease, RequestControl] | None:
        """The next lease, once there is one, and its watch; None where the thread shall go."""
        shared = self._shared
        with self._lock:
            while True:
                if not shared.running:
                    return None
                if not shared.has_work:
                    # A run is held open: the next file mostly comes at once.
                    if shared.work.wait_for(lambda: shared.has_work or not shared.running, LINGER):
                        continue
                    return None
                until = None
                if not self._held_back:
                    now = self._clock()
                    lease = self._core.lease(now)
                    if isinstance(lease, Lease):
                        control = self._transfers.begin(lease, self._register[lease.file], now)
                        self._outbox.extend(self._core.flush().notices)
                        break
                    until = lease.until
                shared.work.wait(None if until is None else max(until - self._clock(), 0.001))
        self._delivery.post()
        return lease, control

    @property
    def _held_back(self) -> bool:
        """Whether a batch has to be announced first, or the handlers have to catch up. While somebody waits for the end
        of something, posted handlers are not waited for: theirs may be the very thread that waits."""
        shared = self._shared
        return shared.announcing > 0 or (self._outbox.full and (self._delivery.waits or not shared.waiting))

    def perform(self, lease: Lease, control: RequestControl) -> Outcome:
        """What came of the lease. Progress is told meanwhile, and the speed measured."""
        entry = self._register[lease.file]
        throttle, clock = self._throttle, self._clock
        last = clock()

        def tick() -> None:
            nonlocal last
            now = clock()
            if now - last >= throttle:
                last = now
                self._advance(entry, control, now)

        control.on_progress = tick
        try:
            return self._perform(entry, lease, control, lambda: self._begin_send(lease))
        finally:
            # Each holds the other: every chunk would be left to the garbage collector.
            control.forget_progress()

    def _advance(self, entry: FileEntry, control: RequestControl, now: float) -> None:
        with self._lock:
            self._transfers.measure(control, entry, now)
            if entry.core.state not in TERMINAL:
                self._outbox.extend((Notice("file_progress", entry.core.key), Notice("progress")))
        self._delivery.post()

    def _begin_send(self, lease: Lease) -> bool:
        with self._lock:
            allowed, effects = self._core.begin_send(lease.id)
            self._outbox.extend(effects.notices)
        self._delivery.post()
        return allowed

    def complete(self, lease: Lease, outcome: Outcome) -> None:
        """The lease is over, and what came of it is true and waits to be told. Requests of files that ended with it are
        cut off."""
        shared = self._shared
        entry = self._register[lease.file]
        with self._lock:
            now = self._clock()
            self._transfers.end(lease, now)
            if outcome.kind is OutcomeKind.PREPARED:
                try:
                    self._register.reserve_identifier(entry)
                except FileRejected as error:
                    outcome = Outcome(OutcomeKind.REFUSED, str(error), error)
            effects = self._core.report(lease, outcome, now)
            self._outbox.extend(effects.notices)
            controls = self._transfers.controls(effects.stopped)
            left = [entry] if shared.removed(entry) else []
            left += [self._register[n.file] for n in effects.notices if n.file and n.event == "file_cancelled"]
            shared.work.notify_all()
            if entry.core.state in TERMINAL or not shared.running:
                controls += self._transfers.controls_of(shared.removed)
            if not shared.running or entry in shared.awaited:
                shared.waiters.notify_all()
        for control in controls:
            control.stop(hard=True)
        for other in left:
            # A hook may have given the file other bytes after it was removed.
            other.source.close()
        self._completion.consider()
        self._delivery.post()
