"""Leases: how workers get them, what they do with them, and what becomes of what they report.

A lease is always reported, so a slot cannot leak. Everything here is called by workers, without the monitor's lock.
"""

from __future__ import annotations

from collections.abc import Callable

from ..core.records import Lease, Notice, Outcome, OutcomeKind
from ..core.states import TERMINAL
from ..errors import FileRejected
from ..transport.base import Watch
from .completion import Completion
from .delivery import LINGER, Delivery
from .entry import Entry
from .monitor import Monitor

__all__ = ["Leasing", "Perform"]

Perform = Callable[[Entry, Lease, Watch, Callable[[], bool]], Outcome]
"""Does one lease's work; the last argument is called before the chunk is sent, and says whether it may be."""


class Leasing:
    """The half of a session that its workers call. ``throttle`` is the least seconds between two notices of progress
    while the bytes of one chunk flow."""

    def __init__(
        self, monitor: Monitor, delivery: Delivery, completion: Completion, perform: Perform, *, throttle: float
    ) -> None:
        self._monitor = monitor
        self._lock = monitor.lock
        self._clock = monitor.clock
        self._core = monitor.core
        self._outbox = monitor.outbox
        self._register = monitor.register
        self._traffic = monitor.traffic
        self._delivery = delivery
        self._completion = completion
        self._perform = perform
        self._throttle = throttle

    def next(self) -> tuple[Lease, Watch] | None:
        """The next lease, once there is one, and its watch; None where the thread shall go."""
        monitor = self._monitor
        with self._lock:
            while True:
                if not monitor.running:
                    return None
                if not monitor.needed:
                    # A run is held open: the next file mostly comes at once.
                    if monitor.work.wait_for(lambda: monitor.needed or not monitor.running, LINGER):
                        continue
                    return None
                until = None
                if not self._held_back:
                    now = self._clock()
                    lease = self._core.lease(now)
                    if isinstance(lease, Lease):
                        watch = self._traffic.begin(lease, self._register[lease.file], now)
                        self._outbox.extend(self._core.flush().notices)
                        break
                    until = lease.until
                monitor.work.wait(None if until is None else max(until - self._clock(), 0.001))
        self._delivery.post()
        return lease, watch

    @property
    def _held_back(self) -> bool:
        """Whether a batch has to be announced first, or the handlers have to catch up. While somebody waits for the end
        of something, posted handlers are not waited for: theirs may be the very thread that waits."""
        monitor = self._monitor
        return monitor.announcing > 0 or (self._outbox.full and (self._delivery.waits or not monitor.waiting))

    def perform(self, lease: Lease, watch: Watch) -> Outcome:
        """What came of the lease. Progress is told meanwhile, and the speed measured."""
        entry = self._register[lease.file]
        throttle, clock = self._throttle, self._clock
        last = clock()

        def tick() -> None:
            nonlocal last
            now = clock()
            if now - last >= throttle:
                last = now
                self._advance(entry, watch, now)

        watch.tick = tick
        try:
            return self._perform(entry, lease, watch, lambda: self._begin_send(lease))
        finally:
            # Each holds the other: every chunk would be left to the garbage collector.
            watch.forget_tick()

    def _advance(self, entry: Entry, watch: Watch, now: float) -> None:
        with self._lock:
            self._traffic.measure(watch, entry, now)
            if entry.core.state not in TERMINAL:
                self._outbox.extend((Notice("file_progress", entry.core.key), Notice("progress")))
        self._delivery.post()

    def _begin_send(self, lease: Lease) -> bool:
        with self._lock:
            allowed, effects = self._core.begin_send(lease.id)
            self._outbox.extend(effects.notices)
        self._delivery.post()
        return allowed

    def report(self, lease: Lease, outcome: Outcome) -> None:
        """The lease is over, and what came of it is true and waits to be told. Requests of files that ended with it are
        cut off."""
        monitor = self._monitor
        entry = self._register[lease.file]
        with self._lock:
            now = self._clock()
            self._traffic.end(lease, now)
            if outcome.kind is OutcomeKind.PREPARED:
                try:
                    self._register.claim(entry)
                except FileRejected as error:
                    outcome = Outcome(OutcomeKind.REFUSED, str(error), error)
            effects = self._core.report(lease, outcome, now)
            self._outbox.extend(effects.notices)
            watches = self._traffic.watches(effects.stopped)
            left = [entry] if monitor.gone(entry) else []
            left += [self._register[n.file] for n in effects.notices if n.file and n.event == "file_cancelled"]
            monitor.work.notify_all()
            if entry.core.state in TERMINAL or not monitor.running:
                watches += self._traffic.watches_of(monitor.gone)
            if not monitor.running or entry in monitor.expected:
                monitor.waiters.notify_all()
        for watch in watches:
            watch.stop(hard=True)
        for other in left:
            # A hook may have given the file other bytes after it was removed.
            other.source.close()
        self._completion.consider()
        self._delivery.post()
