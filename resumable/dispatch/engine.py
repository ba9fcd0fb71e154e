"""The monitor: one lock, the core, and the outbox.

Whoever has news (a worker with an outcome, a user's thread with a command) takes the lock, tells the core, puts what
came of it into the outbox, and leaves. That makes every command true when it returns, keeps the notices in the order
of the transitions, and lets one thread speak.

1. The lock is a leaf. While it is held only the core, the outbox and ``notify`` run: no I/O, no logging, no signal,
   no user code, no sleep.
2. Only the engine touches the core. Handles ask for values, each a consistent snapshot.
3. Stopping a request is done after the lock is released and before the command returns: see ``Watch.stop``.
4. Threads are daemons, started by the first run, and go when nothing is open, also where the run is held: so a session
   that nobody holds can be collected. Workers, the thread of the handlers, and those who wait for the end
   of something each have a condition of that lock, so that a chunk wakes nobody whom it does not concern.
5. A lease is always reported, so a slot cannot leak.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..core.records import Effects, Lease, Notice, Outcome, OutcomeKind
from ..core.session import Policy, SessionCore
from ..core.states import TERMINAL, ChunkState, FileState, SessionState
from ..errors import FileRejected, StateError, WaitTimeout
from ..protocol.plan import ChunkOrder, ChunkPlan
from ..transport.base import Watch
from .delivery import LINGER, make_delivery
from .entry import Entry
from .missed import missed_chunks, missed_end
from .outbox import Outbox
from .register import Register
from .traffic import Moved, Traffic
from .workers import Workers

__all__ = ["Engine"]

STOP_PATIENCE = 1.5
"""Seconds that closing waits for what was told to stop."""

HANDLER_PATIENCE = 0.4
"""Seconds that closing waits after that for handlers to return."""

SLICE = 0.2
"""Seconds of one wait: where a wait cannot be interrupted (Windows), Ctrl-C is noticed after so long."""


_process = object()


def _forked() -> None:
    global _process
    _process = object()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Engine:
    """One session's monitor. ``perform`` does one lease's work, ``emit`` tells one notice to those who listen."""

    def __init__(
        self,
        policy: Policy,
        *,
        perform: Callable[[Entry, Lease, Watch, Callable[[], bool]], Outcome],
        emit: Callable[[Notice, Entry | None], None],
        wanted: Callable[[str], bool],
        deliver: Any,
        clock: Callable[[], float],
        throttle: float,
    ) -> None:
        self._core = SessionCore(policy)
        self._monitor = threading.Lock()
        self._work = threading.Condition(self._monitor)
        self._waiters = threading.Condition(self._monitor)
        self._clock = clock
        self._throttle = throttle
        self._perform_lease = perform
        self._emit_notice = emit
        self._outbox = Outbox(wanted, self._work.notify_all)
        self._delivery = make_delivery(
            deliver,
            self._outbox,
            self._emit,
            self._monitor,
            self._waiters,
            busy=lambda: self._needed,
            closed=lambda: self._closed,
        )
        self._workers = Workers(policy.slots, self._next_lease, self._perform, self._report, self._busy)
        self._register = Register(self._core.files)
        self._traffic = Traffic()
        self._waiting = 0
        self._expected: list[Entry] = []
        self._joining = 0
        self._announcing = 0
        self._earlier: dict[int, FileState] = {}
        self._told = True
        self._process = _process

    # -- files ---------------------------------------------------------------------------------------------------

    def add(self, entry: Entry, plan: ChunkPlan, order: ChunkOrder, *, prepared: bool, most: int | None) -> None:
        """The file waits for its turn. The session holds at most so many files; where that is one, it is replaced.

        Raises FileRejected where there is no room or the identifier is taken, StateError on a closed session.
        """

        left: list[Entry] = []

        def call() -> Effects:
            files = self._core.files
            if most is not None and len(files) >= most > 1:
                reason = f"max_files is {most}, and there are {len(files)} already"
                raise FileRejected(entry.record.relative_path, "max_files", reason)
            if self._closed:
                raise StateError("add a file", "the session is closed")
            self._register.claim(entry, anyway=most == 1)
            key, added = self._core.add(plan, order, prepared=prepared)
            self._register.add(key, entry)
            replaced = Effects()
            left.extend(self._register[other] for other in files if other != key and most == 1)
            for other in [other for other in files if other != key] if most == 1 else ():
                # After the new file is there, so that its run does not end in between, but told before.
                effects = self._core.cancel_file(other, announce=False)
                replaced = Effects(replaced.notices + effects.notices, replaced.stopped + effects.stopped)
            return Effects(replaced.notices + added.notices, replaced.stopped)

        self._command(call, hard=True)
        for other in left:
            other.source.close()

    @contextmanager
    def announcing(self) -> Iterator[None]:
        """No request begins in this block, so that files are announced before anything else is told of them."""
        with self._lock:
            self._announcing += 1
        try:
            yield
        finally:
            with self._lock:
                self._announcing -= 1
                self._work.notify_all()

    def begin(self, entries: Iterable[Entry]) -> None:
        """If any of the files is still there a run is under way, held open until :meth:`join` unless somebody joins
        now. A paused session stays paused."""

        def call() -> Effects:
            if self._paused or not any(self._register.has(entry) for entry in entries):
                return Effects()
            return self._core.upload(self._clock(), held=not self._joining, anew=False)

        with self._lock:
            under_way = self._core.held and self._core.state is SessionState.UPLOADING
        if not under_way:
            # Where file after file is added to a run nothing changes, and nobody has to be woken.
            self._command(call)
        self._start()

    def pause_file(self, entry: Entry, *, aborted: bool = False) -> None:
        """No request for the file begins until :meth:`resume_file`, or, where it is aborted, :meth:`upload`."""
        self._command(lambda: self._core.pause_file(entry.core.key, aborted=aborted))

    def resume_file(self, entry: Entry) -> None:
        """The file waits for its turn again."""
        self._command(lambda: self._core.resume_file(entry.core.key))

    def cancel_file(self, entry: Entry, *, announce: bool) -> None:
        """The file is removed; its requests are cut off."""
        self._command(lambda: self._core.cancel_file(entry.core.key, announce=announce), hard=True)
        entry.source.close()

    def retry_file(self, entry: Entry) -> None:
        """The failed file waits for its turn again."""
        self._command(lambda: self._core.retry_file(entry.core.key, self._clock()))
        self._start()

    def bootstrap_file(self, entry: Entry) -> None:
        """The file is cut anew."""
        self._command(lambda: self._core.bootstrap_file(entry.core.key), hard=True, entry=entry)
        self._start()

    def mark_file(self, entry: Entry, ranges: Iterable[tuple[int, int]]) -> None:
        """The chunks at these ranges of indexes are taken for stored."""
        self._command(lambda: self._core.mark_file(entry.core.key, ranges))

    # -- the session ---------------------------------------------------------------------------------------------

    def tell(self, notice: Notice) -> None:
        """A notice that is not the core's waits for delivery, in order with the others."""
        self._command(lambda: Effects((notice,)))

    def tell_late(self, notices: Iterable[Notice]) -> None:
        """What a late handler missed waits for delivery, before all others."""
        with self._lock:
            self._outbox.extend_late(notices)
        self._delivery.post()

    def upload(self) -> None:
        """A run is under way, and ends when nothing is open."""
        self._command(lambda: self._core.upload(self._clock()))
        self._start()

    def resume(self) -> None:
        """A paused run goes on, and is held open if it was; there is nothing else to resume."""
        self._command(lambda: self._core.upload(self._clock(), held=True) if self._paused else Effects())

    def pause(self) -> None:
        """No request begins any more until :meth:`upload`."""
        self._command(self._core.pause)

    def cancel(self) -> None:
        """All files are removed; requests are cut off."""
        entries = self.entries()

        def call() -> Effects:
            # Whoever cancels a run does not want to hear of it once another has begun.
            self._told = True
            return self._core.cancel()

        self._command(call, hard=True)
        for entry in entries:
            entry.source.close()

    def close(self) -> None:
        """The session has ended for good: requests are cut off, waiting notices delivered, threads gone.

        Takes at most two seconds; what has not ended by then is abandoned. Raises StateError in a handler.
        """
        self._outside("close the session")
        self._command(self._core.close, hard=True)
        self._workers.join(STOP_PATIENCE)
        self._delivery.drain()
        with self._lock:
            if self._delivery.waits:
                self._waiters.wait_for(self._delivery.over, HANDLER_PATIENCE)

    # -- inside --------------------------------------------------------------------------------------------------

    @property
    def foreign(self) -> bool:
        """Whether this is another process than that of the session: the child of a fork has none of its threads."""
        return self._process is not _process

    @property
    def _lock(self) -> threading.Lock:
        self._refuse_foreign()
        return self._monitor

    def _refuse_foreign(self) -> None:
        # In the child of a fork the lock may be held by a thread that does not exist there.
        if self.foreign:
            raise StateError("use the session", "it was made in another process")

    def _command(self, call: Callable[[], Effects], *, hard: bool = False, entry: Entry | None = None) -> None:
        """The call's effects are true. With ``hard`` requests that wait for their answer are cut off as well: those of
        files that are gone, also where they were told to stop before, and of the given file."""
        with self._lock:
            ended, joining = self._core.ended, self._joining
            effects = call()
            if self._core.ended is not ended:
                # Another run has begun, perhaps before somebody who joins has looked at what became of this one.
                self._earlier = {**self._earlier, **ended} if joining or not self._told else {}
                self._told = False
            self._outbox.extend(effects.notices)
            watches = self._traffic.watches(effects.stopped)
            if hard:
                watches += self._traffic.watches_of(lambda other: other is entry or self._gone(other))
            self._work.notify_all()
            self._waiters.notify_all()
        for watch in watches:
            watch.stop(hard=hard)
        self._delivery.post()

    def _gone(self, entry: Entry) -> bool:
        return self._closed or not self._register.has(entry)

    def _start(self) -> None:
        if self._busy():
            self._workers.start()

    def _busy(self) -> bool:
        with self._monitor:
            return self._needed

    @property
    def _needed(self) -> bool:
        """Whether there is something to do for threads, or will be."""
        return self._running and not self._core.finished

    @property
    def _running(self) -> bool:
        return self._core.state in (SessionState.UPLOADING, SessionState.PAUSED)

    @property
    def _paused(self) -> bool:
        return self._core.state is SessionState.PAUSED

    @property
    def _closed(self) -> bool:
        return self._core.state is SessionState.CLOSED

    # -- waiting -------------------------------------------------------------------------------------------------

    def join(self, timeout: float | None) -> dict[int, FileState]:
        """What became of the files, once the run is over and every handler has returned. Starts a run if need be.

        A run that a handler begins meanwhile is waited for as well, and what nobody joined before is told now.
        Files that were open when the session was closed count as cancelled.
        """
        self._outside("join the session")
        joining = False

        def call() -> Effects:
            nonlocal joining
            joining = True
            return self._join()

        try:
            self._command(call)
            self._start()
            self._wait(lambda: not self._running, timeout, "the upload")
            with self._lock:
                self._told = True
                lost = [key for key, core in self._core.files.items() if self._closed and core.state not in TERMINAL]
                return {**self._earlier, **self._core.ended, **dict.fromkeys(lost, FileState.CANCELLED)}
        finally:
            # Also where what was posted was called at once, and a handler wanted to end the program.
            if joining:
                with self._lock:
                    self._joining -= 1

    def _join(self) -> Effects:
        self._joining += 1
        if self._core.state is SessionState.IDLE and any(f.state not in TERMINAL for f in self._core.files.values()):
            return self._core.upload(self._clock())
        return self._core.release()

    def wait(self, entry: Entry, timeout: float | None) -> None:
        """Returns once the file has ended and its handlers have returned, or the session is closed."""

        def over() -> bool:
            return entry.core.state in TERMINAL or self._closed

        with self._lock:
            self._expected.append(entry)
        try:
            self._wait(over, timeout, f"the upload of {entry.record.relative_path!r}", others=False)
        finally:
            with self._lock:
                self._expected.remove(entry)

    def _wait(self, over: Callable[[], bool], timeout: float | None, what: str, *, others: bool = True) -> None:
        """Returns once ``over()`` holds (asked under the lock) and, where they can be waited for, the handlers of what
        has happened until then have returned; with ``others`` also those of what happens meanwhile.

        Raises WaitTimeout after ``timeout`` seconds, and StateError in a handler.
        """
        self._outside(f"wait for {what}")
        delivery = self._delivery
        deadline = None if timeout is None else self._clock() + timeout
        mark = None
        with self._lock:
            self._waiting += 1
            self._work.notify_all()
        try:
            while True:
                delivery.drain()
                with self._lock:
                    if not over():
                        mark = None
                    elif mark is None:
                        mark = self._outbox.mark
                    if mark is not None and (not delivery.waits or delivery.over(None if others else mark)):
                        return
                    left = SLICE if deadline is None else min(SLICE, deadline - self._clock())
                    if left <= 0:
                        raise WaitTimeout(f"{what} is still going on after {timeout:g} s")
                    if not delivery.drainable:
                        self._waiters.wait(left)
        finally:
            with self._lock:
                self._waiting -= 1

    def _outside(self, call: str) -> None:
        if self._delivery.inside:
            raise StateError(call, "a handler is running on this thread, and it would wait for itself")
        if self._workers.inside:
            raise StateError(call, "a hook is running on this thread, and it would wait for itself")

    # -- facts ---------------------------------------------------------------------------------------------------

    @property
    def state(self) -> SessionState:
        """Where the session is."""
        with self._lock:
            return self._core.state

    @property
    def outcome(self) -> dict[int, FileState] | None:
        """What became of the files of the run that ended last, None before one has."""
        with self._lock:
            return self._core.outcome

    def entries(self) -> list[Entry]:
        """The files of the session, in the order in which they were added."""
        with self._lock:
            return self._register.present()

    def count(self) -> int:
        """How many files the session has."""
        with self._lock:
            return len(self._core.files)

    def find(self, identifier: str) -> Entry | None:
        """The file of the session with this identifier, or None."""
        with self._lock:
            return self._register.find(identifier)

    def entry(self, key: int) -> Entry:
        """The file with this key, also when it was removed."""
        return self._register[key]

    def file_state(self, entry: Entry) -> tuple[FileState, Exception | None, str | None]:
        """The file's state, the exception it failed of, and the last words of the server."""
        with self._lock:
            return entry.core.state, entry.core.error, entry.core.message

    def file_moved(self, entry: Entry) -> Moved:
        """How many bytes of the file moved."""
        with self._lock:
            return self._traffic.of_file(entry)

    def session_moved(self) -> Moved:
        """How many bytes of the session moved."""
        with self._lock:
            return self._traffic.of_session(self._core)

    def chunk_state(self, entry: Entry, index: int) -> tuple[ChunkState, int]:
        """The chunk's state, and how often an attempt at it failed."""
        with self._lock:
            return self._core.chunk_state(entry.core.key, index)

    # -- workers -------------------------------------------------------------------------------------------------

    def _next_lease(self) -> tuple[Lease, Watch] | None:
        with self._monitor:
            while True:
                if not self._running:
                    return None
                if not self._needed:
                    # A run is held open: the next file mostly comes at once.
                    if self._work.wait_for(lambda: self._needed or not self._running, LINGER):
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
                self._work.wait(None if until is None else max(until - self._clock(), 0.001))
        self._delivery.post()
        return lease, watch

    @property
    def _held_back(self) -> bool:
        """Whether a batch has to be announced first, or the handlers to catch up. Posted ones cannot where their thread
        is one that waits here."""
        return self._announcing > 0 or (self._outbox.full and (self._delivery.waits or not self._waiting))

    def _perform(self, lease: Lease, watch: Watch) -> Outcome:
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
            return self._perform_lease(entry, lease, watch, lambda: self._begin_send(lease))
        finally:
            # Each holds the other: every chunk would be left to the garbage collector.
            watch.forget_tick()

    def _advance(self, entry: Entry, watch: Watch, now: float) -> None:
        """Bytes are flowing: the speed is known better, and progress is told."""
        with self._monitor:
            self._traffic.measure(watch, entry, now)
            if entry.core.state not in TERMINAL:
                self._outbox.extend((Notice("file_progress", entry.core.key), Notice("progress")))
        self._delivery.post()

    def _begin_send(self, lease: Lease) -> bool:
        """Whether the chunk that the server lacks may be sent now."""
        with self._monitor:
            allowed, effects = self._core.begin_send(lease.id)
            self._outbox.extend(effects.notices)
        self._delivery.post()
        return allowed

    def _report(self, lease: Lease, outcome: Outcome) -> None:
        entry = self._register[lease.file]
        with self._monitor:
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
            left = [entry] if self._gone(entry) else []
            left += [self._register[n.file] for n in effects.notices if n.file and n.event == "file_cancelled"]
            self._work.notify_all()
            if entry.core.state in TERMINAL or not self._running:
                watches += self._traffic.watches_of(self._gone)
            if not self._running or entry in self._expected:
                self._waiters.notify_all()
        for watch in watches:
            watch.stop(hard=True)
        for other in left:
            # A hook may have given the file other bytes after it was removed.
            other.source.close()
        self._delivery.post()

    # -- delivery ------------------------------------------------------------------------------------------------

    def process_events(self) -> int:
        """How many waiting notices were delivered, on this thread. Raises StateError where that is not done by hand."""
        self._refuse_foreign()
        return self._delivery.process()

    def _emit(self, notice: Notice) -> None:
        self._emit_notice(notice, None if notice.file is None else self._register[notice.file])

    def decided(self) -> None:
        """It has been decided who is told of the notice that is being told."""
        self._delivery.undecided = None

    def _coming(self, entry: Entry) -> list[Notice]:
        """The notices about the file that somebody who begins to listen now will be told of."""
        coming = list(self._outbox.waiting(entry.core.key))
        undecided = self._delivery.undecided
        # One with extra is told to a single late handler.
        if undecided is not None and undecided.file == entry.core.key and not undecided.extra:
            coming.append(undecided)
        return coming

    def missed_end(self, entry: Entry, event: str) -> bool:
        """Whether the file has ended with this event and nobody who begins to listen now will be told."""
        with self._lock:
            return missed_end(entry.core, event, self._coming(entry))

    def missed_chunks(self, entry: Entry) -> list[tuple[int, int]]:
        """The ranges of indexes of stored chunks that nobody who begins to listen now will be told of."""
        with self._lock:
            return missed_chunks(entry.core, self._coming(entry))
