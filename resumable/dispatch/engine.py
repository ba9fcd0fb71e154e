"""The monitor: one lock, the core, and the outbox.

Whoever has news (a worker with an outcome, a user's thread with a command) takes the lock, tells the core, puts what
came of it into the outbox, and leaves. That makes every command true when it returns, keeps the notices in the order
of the transitions, and lets one thread speak.

1. The lock is a leaf. While it is held only the core, the outbox and ``notify`` run: no I/O, no logging, no signal,
   no user code, no sleep.
2. Only the engine touches the core. Handles ask for values, each a consistent snapshot.
3. Stopping a request is done after the lock is released and before the command returns: see ``Watch.stop``.
4. Threads are daemons, started by the first run. Every wait is on the condition, with a deadline.
5. A lease is always reported, so a slot cannot leak.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..core.meter import Meter
from ..core.records import Effects, Lease, Notice, Outcome
from ..core.session import Policy, SessionCore
from ..core.states import TERMINAL, ChunkState, FileState, SessionState
from ..errors import StateError, WaitTimeout
from ..protocol.plan import ChunkOrder, ChunkPlan
from ..transport.base import Watch
from .delivery import make_delivery
from .entry import Entry
from .outbox import Outbox
from .workers import Workers

__all__ = ["Engine", "Moved"]

STOP_PATIENCE = 1.5
"""Seconds that closing waits for what was told to stop."""

SLICE = 0.2
"""Seconds of one wait: where a wait cannot be interrupted (Windows), Ctrl-C is noticed after so long."""

@dataclass(frozen=True)
class Moved:
    """How many bytes of a file or session moved. ``sent`` may fall on a retry, ``confirmed`` only on ``bootstrap``.

    ``skipped`` of the confirmed bytes were at the server already; ``speed`` is bytes a second, without them.
    """

    size: int
    confirmed: int
    skipped: int
    sent: int
    speed: float


class Engine:
    """One session's monitor. ``emit`` delivers one notice and never raises; ``perform`` does one lease's work."""

    def __init__(
        self,
        policy: Policy,
        *,
        perform: Callable[[Entry, Lease, Watch], Outcome],
        emit: Callable[[Notice, Entry | None], None],
        wanted: Callable[[str], bool],
        deliver: Any,
        clock: Callable[[], float],
        throttle: float,
    ) -> None:
        self._core = SessionCore(policy)
        self._condition = threading.Condition(threading.Lock())
        self._clock = clock
        self._throttle = throttle
        self._perform_lease = perform
        self._emit_notice = emit
        self._outbox = Outbox(wanted)
        self._delivery = make_delivery(deliver, self._outbox, self._emit, self._condition, lambda: self._running)
        self._workers = Workers(policy.slots, self._next_lease, self._perform, self._report)
        self._entries: dict[int, Entry] = {}
        self._watches: dict[int, tuple[Watch, int]] = {}
        self._meter = Meter()
        self._trust: bool | None = None
        self._asking = False
        self._process = os.getpid()

    # -- commands, from any thread -------------------------------------------------------------------------------

    def add(self, entry: Entry, plan: ChunkPlan, order: ChunkOrder, *, prepared: bool, start: bool) -> None:
        """The file waits for its turn; with ``start`` a run is under way, held open until :meth:`release`."""

        def call() -> Effects:
            key, effects = self._core.add(plan, order, prepared=prepared)
            entry.core = self._core.files[key]
            self._entries[key] = entry
            return effects

        self._command(call)
        if start and self.state is not SessionState.PAUSED:
            self._command(lambda: self._core.upload(self._clock(), held=True))
            self._start()

    def tell(self, notice: Notice) -> None:
        """A notice that is not the core's waits for delivery, in order with the others."""
        self._command(lambda: Effects((notice,)))

    def upload(self) -> None:
        """A run is under way."""
        self._command(lambda: self._core.upload(self._clock()))
        self._start()

    def release(self) -> None:
        """No more files come: the run ends when nothing is open."""
        self._command(self._core.release)

    def pause(self) -> None:
        """No request begins any more until :meth:`upload`."""
        self._command(self._core.pause)

    def cancel(self) -> None:
        """All files are removed; requests are cut off."""
        self._command(self._core.cancel, hard=True)

    def pause_file(self, entry: Entry) -> None:
        """No request for the file begins any more until :meth:`resume_file`."""
        self._command(lambda: self._core.pause_file(entry.core.key), entry)

    def resume_file(self, entry: Entry) -> None:
        """The file waits for its turn again."""
        self._command(lambda: self._core.resume_file(entry.core.key), entry)

    def cancel_file(self, entry: Entry, *, announce: bool) -> None:
        """The file is removed; its requests are cut off."""
        self._command(lambda: self._core.cancel_file(entry.core.key, announce=announce), entry, hard=True)

    def retry_file(self, entry: Entry) -> None:
        """The failed file waits for its turn again."""
        self._command(lambda: self._core.retry_file(entry.core.key, self._clock()), entry, gone=True)
        self._start()

    def bootstrap_file(self, entry: Entry) -> None:
        """The file is cut anew."""
        self._command(lambda: self._core.bootstrap_file(entry.core.key), entry, gone=True, hard=True)

    def mark_file(self, entry: Entry, ranges: Iterable[tuple[int, int]]) -> None:
        """The chunks at these ranges of indexes are taken for stored."""
        self._command(lambda: self._core.mark_file(entry.core.key, ranges), entry, gone=True)

    def close(self) -> None:
        """The session has ended for good: requests are cut off, waiting notices delivered, threads gone.

        Takes at most two seconds; what has not ended by then is abandoned. Raises StateError in a handler.
        """
        self._outside("close the session")
        self._command(self._core.close, hard=True)
        self._workers.join(STOP_PATIENCE)
        self._delivery.drain()
        deadline = self._clock() + 2 * SLICE
        with self._condition:
            while self._delivery.waits and not self._delivery.idle and self._clock() < deadline:
                self._condition.wait(SLICE)

    def _command(
        self,
        call: Callable[[], Effects],
        entry: Entry | None = None,
        *,
        hard: bool = False,
        gone: bool = False,
    ) -> None:
        """The call's effects are true. A command on a file that was removed does nothing, or raises with ``gone``."""
        if os.getpid() != self._process:
            raise StateError("use the session", "it was made in another process")
        with self._condition:
            if entry is not None and not gone and entry.core.key not in self._core.files:
                return
            effects = call()
            self._take(effects)
            watches = [self._watches[identifier][0] for identifier in effects.stopped]
            self._condition.notify_all()
        for watch in watches:
            watch.stop(hard=hard)
        self._delivery.post()

    def _take(self, effects: Effects) -> None:
        self._outbox.extend(effects.notices)

    def _start(self) -> None:
        with self._condition:
            running = self._running
            now = self._clock()
        if running:
            self._meter.start(now)
            self._workers.start()

    def _outside(self, call: str) -> None:
        if self._delivery.inside:
            raise StateError(call, "a handler is running on this thread, and it would wait for itself")

    # -- waiting -------------------------------------------------------------------------------------------------

    def join(self, timeout: float | None) -> dict[int, FileState]:
        """What became of the files of the run, once it is over and every handler has returned."""
        self._outside("join the session")
        self.wait(lambda: not self._running, timeout, "the upload")
        return dict(self._core.ended)

    def wait(self, over: Callable[[], bool], timeout: float | None, what: str) -> None:
        """Returns once ``over()`` holds (asked under the lock) and, where they can be waited for, handlers returned.

        Raises WaitTimeout after ``timeout`` seconds, and StateError in a handler.
        """
        self._outside(f"wait for {what}")
        deadline = None if timeout is None else self._clock() + timeout
        while True:
            self._delivery.drain()
            with self._condition:
                if over() and (not self._delivery.waits or self._delivery.idle):
                    return
                if self._delivery.drains and len(self._outbox):
                    continue
                left = SLICE if deadline is None else min(SLICE, deadline - self._clock())
                if left <= 0:
                    raise WaitTimeout(f"{what} is still going on after {timeout:g} s")
                self._condition.wait(left)

    def process_events(self) -> int:
        """How many waiting notices were delivered, on this thread."""
        total = 0
        while count := self._delivery.deliver():
            total += count
        return total

    # -- facts ---------------------------------------------------------------------------------------------------

    @property
    def state(self) -> SessionState:
        """Where the session is."""
        with self._condition:
            return self._core.state

    @property
    def inside_handler(self) -> bool:
        """Whether the calling thread is in a handler of this session."""
        return self._delivery.inside

    @property
    def _running(self) -> bool:
        return self._core.state in (SessionState.UPLOADING, SessionState.PAUSED)

    def entries(self) -> list[Entry]:
        """The files of the session, in the order in which they were added."""
        with self._condition:
            return [self._entries[key] for key in self._core.files]

    def entry(self, key: int) -> Entry:
        """The file with this key, also when it was removed."""
        return self._entries[key]

    def file_state(self, entry: Entry) -> tuple[FileState, Exception | None, str | None]:
        """The file's state, the exception it failed of, and the last words of the server."""
        with self._condition:
            return entry.core.state, entry.core.error, entry.core.message

    def file_moved(self, entry: Entry) -> Moved:
        """How many bytes of the file moved."""
        with self._condition:
            core = entry.core
            flying = sum(watch.sent for watch, key in self._watches.values() if key == core.key)
            sent = core.bytes_done - core.bytes_skipped + flying
            return Moved(core.plan.size, core.bytes_done, core.bytes_skipped, sent, entry.meter.speed)

    def session_moved(self) -> Moved:
        """How many bytes of the session moved."""
        with self._condition:
            core = self._core
            flying = sum(watch.sent for watch, _ in self._watches.values())
            sent = core.bytes_done - core.bytes_skipped + flying
            return Moved(core.total_size, core.bytes_done, core.bytes_skipped, sent, self._meter.speed)

    def chunk_state(self, entry: Entry, index: int) -> tuple[ChunkState, int]:
        """The chunk's state, and how often an attempt at it failed."""
        with self._condition:
            return self._core.chunk_state(entry.core.key, index)

    def told_chunks(self, entry: Entry, told: object) -> tuple[tuple[int, int], ...]:
        """The ranges of indexes of stored chunks that nobody who begins to listen now will be told of.

        ``told`` is the last notice whose receivers have been decided on.
        """
        with self._condition:
            order = entry.core.order
            coming = self._outbox.waiting_chunks(entry.core.key)
            current = self._delivery.current
            if current is not None and current is not told and current.file == entry.core.key:
                coming.add(-1 if current.index is None or current.event != "chunk_success" else current.index)
            indexes: list[tuple[int, int]] = []
            for start, stop in entry.core.stored():
                if order.permuted:
                    indexes.extend((order.index(p), order.index(p) + 1) for p in range(start, min(stop, 2)))
                    start, stop = max(start, 2) - 1, stop - 1
                indexes.append((start, stop))
        return tuple(_without(sorted(indexes), sorted(coming)))

    # -- workers -------------------------------------------------------------------------------------------------

    def _next_lease(self) -> tuple[Lease, Watch] | None:
        with self._condition:
            while True:
                if not self._running:
                    self._condition.notify_all()
                    return None
                until = None
                if not self._outbox.full:
                    lease = self._core.lease(self._clock())
                    if isinstance(lease, Lease):
                        watch = Watch()
                        self._watches[lease.id] = (watch, lease.file)
                        self._take(self._core.flush())
                        break
                    until = lease.until
                self._condition.wait(None if until is None else max(until - self._clock(), 0.001))
        self._delivery.post()
        return lease, watch

    def _perform(self, lease: Lease, watch: Watch) -> Outcome:
        entry = self._entries[lease.file]
        throttle, clock = self._throttle, self._clock
        last = clock()

        def tick() -> None:
            nonlocal last
            now = clock()
            if now - last >= throttle:
                last = now
                self._advance(entry, watch, now)

        watch.tick = tick
        return self._perform_lease(entry, lease, watch)

    def _advance(self, entry: Entry, watch: Watch, now: float) -> None:
        """Bytes are flowing: the speed is known better, and progress is told."""
        with self._condition:
            self._measure(entry, watch, watch.sent, now)
            if entry.core.state not in TERMINAL:
                self._outbox.extend((Notice("file_progress", entry.core.key), Notice("progress")))
        self._delivery.post()

    def _measure(self, entry: Entry, watch: Watch, sent: int, now: float) -> None:
        moved = max(sent - watch.metered, 0)
        watch.metered = sent
        entry.meter.add(moved, now)
        self._meter.add(moved, now)

    def begin_send(self, lease: Lease) -> bool:
        """Whether the chunk that the server lacks may be sent now."""
        with self._condition:
            allowed, effects = self._core.begin_send(lease.id)
            self._take(effects)
        self._delivery.post()
        return allowed

    def _report(self, lease: Lease, outcome: Outcome) -> None:
        with self._condition:
            now = self._clock()
            watch, _ = self._watches.pop(lease.id)
            entry = self._entries[lease.file]
            if watch.sent:
                self._measure(entry, watch, watch.sent, now)
            effects = self._core.report(lease, outcome, now)
            self._take(effects)
            watches = [self._watches[identifier][0] for identifier in effects.stopped]
            self._condition.notify_all()
        for other in watches:
            other.stop(hard=True)
        self._delivery.post()

    def trusts_tests(self, ask: Callable[[], bool]) -> bool:
        """Whether the server's tests can be believed. The first to want to know asks, the others wait for it.

        ``ask`` returns whether they can, and may raise: then the next one asks.
        """
        with self._condition:
            while self._asking:
                self._condition.wait(SLICE)
            if self._trust is not None:
                return self._trust
            self._asking = True
        trust = None
        try:
            trust = ask()
        finally:
            with self._condition:
                self._asking = False
                self._trust = trust
                self._condition.notify_all()
        return trust

    @property
    def distrusts_tests(self) -> bool:
        """Whether the server's tests were found to be worthless."""
        return self._trust is False

    # -- delivery ------------------------------------------------------------------------------------------------

    def _emit(self, notice: Notice) -> None:
        self._emit_notice(notice, None if notice.file is None else self._entries[notice.file])


def _without(ranges: list[tuple[int, int]], holes: list[int]) -> list[tuple[int, int]]:
    """The ranges, none of which is empty, without the numbers in ``holes``; both ascend."""
    left = []
    for start, stop in ranges:
        for hole in holes:
            if start <= hole < stop:
                left.append((start, hole))
                start = hole + 1
        left.append((start, stop))
    return [(start, stop) for start, stop in left if start < stop]
