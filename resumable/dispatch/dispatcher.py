"""The half of a session that its users call: commands, and waiting for what comes of them.

A command is true when it returns, and notices of it wait for delivery. Why there is one lock, and what it protects: see
``shared_state``. Facts, which change nothing, are in ``facts``.

Threads are daemons, started by the first run, and end when nothing is open, even if the run is held open: so a session
without references can be collected.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import Any

from ..core.records import Effects, Ending, Notice, joined
from ..core.retry import SessionPolicy
from ..core.states import RUNNING, TERMINAL, SessionState
from ..errors import FileRejected, StateError
from .abandonment import Abandonment
from .completion import Completion
from .deliveries import make_delivery
from .delivery import Emit
from .event_loop import LoopWaiter, running_loop
from .facts import SessionFacts
from .leases import LeaseManager, Perform
from .registry import Addition, FileEntry, RunResults
from .shared_state import SharedState
from .waiter import Waiter
from .workers import Workers

__all__ = ["Dispatcher"]

STOP_TIMEOUT = 1.5
"""Seconds that closing waits for requests to stop."""

HANDLER_TIMEOUT = 0.4
"""Seconds that closing waits after that, at least, for handlers to return."""

BEFORE_CANCEL_TIMEOUT = 1.0
"""Seconds that cancelling waits for the handlers of before_cancel to return."""

ABORT_TIMEOUT = 2.0
"""Seconds that cancelling waits for the hook on_abort, at most."""


class Dispatcher:
    """The commands of one session. ``perform`` does one lease's work, ``abandon`` calls the hook for a file that was
    given up, ``emit`` emits one notice; ``place`` is where requests go. Every method may be called by any thread, and
    raises StateError in the child of a fork.

    A command that takes an ``entry`` is for that file, or without one for the session.
    """

    def __init__(
        self,
        policy: SessionPolicy,
        *,
        perform: Perform,
        abandon: Callable[[FileEntry], None],
        emit: Emit,
        listeners: Mapping[str, Iterable[Sized]],
        deliver: Any,
        clock: Callable[[], float],
        place: str,
        throttle: float,
        completion_delay: float,
        handling: Callable[[], bool],
    ) -> None:
        self._shared = shared = SharedState(policy, listeners=listeners, clock=clock)
        self._clock = clock
        self._emit = emit
        self._core = shared.core
        self._outbox = shared.outbox
        self._registry = shared.registry
        self._transfers = shared.transfers
        self._delivery = make_delivery(deliver, shared, emit, lambda: self._completion.consider())
        self._completion = Completion(shared, self._delivery, handling, delay=completion_delay)
        self._abandonment = Abandonment(shared, abandon)
        lease_manager = LeaseManager(
            shared,
            self._delivery,
            self._completion,
            self._abandonment,
            place=place,
            throttle=throttle,
            need_workers=lambda: self._workers.grow(),
        )
        self._workers = Workers(lease_manager, perform, shared.has_work)
        self._waiter = Waiter(shared, self._delivery, self._in_hook)
        self._loop_waiter = LoopWaiter(shared, self._delivery, self._waiter)
        self._results = RunResults(shared.core)
        self.facts = SessionFacts(shared, self._delivery)

    # -- adding --------------------------------------------------------------------------------------------------

    def add(
        self, additions: Iterable[Addition], *, most: int | None, announcement: Iterable[Notice] = ()
    ) -> list[FileRejected | None]:
        """Add the files, which then wait for their turns, and return why each of them was refused, if it was: there is
        no room, or its identifier is taken. If the session holds ``most`` files at most, and that is one, a file
        replaces it. The ``announcement`` follows the notices of the files, unless none was added. The caller calls
        :meth:`consider` then.

        Raises StateError on a closed session.
        """
        with self._shared.entrance:
            if self._core.state is SessionState.CLOSED:
                raise StateError("add a file", "the session is closed")
            replaced: list[Effects] = []
            refusals: list[FileRejected | None] = []
            for addition in additions:
                try:
                    replaced += self._add(addition, most)
                    refusals.append(None)
                except FileRejected as refusal:
                    refusals.append(refusal)
            announced = Effects(tuple(announcement) if None in refusals else ())
            follow_up = self._shared.apply(joined([*replaced, self._core.effects.flush(), announced]))
        if follow_up is not None:
            follow_up.carry_out(hard=True)
        return refusals

    def _add(self, addition: Addition, most: int | None) -> list[Effects]:
        """Add the file, and return the effects that come before those which the core has collected by then."""
        core, entry = self._core, addition.entry
        path = entry.record.relative_path
        if most is not None and len(core.files) >= most > 1:
            raise FileRejected(path, "max_files", f"max_files is {most}, and there are {len(core.files)} already")
        self._registry.reserve_identifier(entry, anyway=most == 1)
        others = list(core.files) if most == 1 else []
        key = core.add(entry.plan, addition.order, prepared=addition.prepared, name=path)
        self._registry.add(key, entry)
        if not others:
            return []
        # After the new file is there, so that its run does not end in between, but announced before.
        added = core.effects.flush()
        return [*(core.cancel_file(other, "replaced", announce=False) for other in others), added]

    def keep_open(self) -> None:
        """Keep runs that began by themselves open until :meth:`join`, which is called at the end of a block."""
        self._completion.keep_open()

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Let no run end by itself in this block, in which files are looked for and added."""
        self._completion.begin_adding()
        try:
            yield
        finally:
            self._completion.end_adding()
            self.consider()

    @contextmanager
    def announcing(self) -> Iterator[None]:
        """Let no request begin in this block, so that files are announced before any other event of them."""
        with self._shared.entrance:
            self._shared.announcing += 1
        try:
            yield
        finally:
            with self._shared.entrance:
                self._shared.announcing -= 1
                self._shared.work.notify_all()

    def begin(self, entries: Iterable[FileEntry]) -> None:
        """Begin a run if any of the files is still there, held open for others unless somebody joins now. A paused
        session stays paused."""

        def begin() -> Effects:
            if self._core.state is SessionState.PAUSED or not any(self._registry.has(entry) for entry in entries):
                return Effects()
            return self._core.upload(self._clock(), open_ended=not self._results.joining, resume_aborted=False)

        with self._shared.entrance:
            under_way = self._core.open_ended and self._core.state is SessionState.UPLOADING
        if not under_way:
            # If file after file is added to a run nothing changes, and nobody has to be woken.
            self._command(begin)
            self._start()
        else:
            self._workers.grow()

    def skip(self, reasons: Iterable[FileRejected]) -> None:
        """Keep why files were left out, for the result of the run."""
        reasons = list(reasons)
        with self._shared.entrance:
            self._core.skip(reasons)
            self._results.skip(reasons)

    # -- commands ------------------------------------------------------------------------------------------------

    def upload(self) -> None:
        """Begin a run, or resume a paused one. It ends when nothing is open."""
        self._command(lambda: self._core.upload(self._clock()))
        self._start()

    def pause(self, entry: FileEntry | None = None, *, aborted: bool = False) -> None:
        """Let no request begin until :meth:`resume` or, for the session and for a file that is ``aborted``,
        :meth:`upload`."""
        if entry is None:
            self._command(self._core.pause)
        else:
            self._command(self._core.pause_file, entry.key, aborted=aborted)

    def resume(self, entry: FileEntry | None = None) -> None:
        """Go on after :meth:`pause`. A run of the session stays held open if it was; there is nothing else to resume
        without one."""
        if entry is None:
            paused = SessionState.PAUSED
            core = self._core
            self._command(lambda: core.upload(self._clock(), open_ended=True) if core.state is paused else Effects())
        else:
            self._command(self._core.resume_file, entry.key)

    def cancel(self, entry: FileEntry | None = None, reason: str = "cancelled", *, announce: bool = True) -> None:
        """Remove the file, or all, cut off their requests, and wait for ``on_abort``, 2 s at most, and not in a hook
        or an asyncio loop. ``announce``: progress of the file is announced, too."""
        if entry is None:
            self._deliver_before_cancel()
            self._command(self._cancel, reason, hard=True)
        else:
            self._command(self._core.cancel_file, entry.key, reason, announce=announce, hard=True)
        if not self._in_hook() and running_loop() is None:
            self._abandonment.wait(ABORT_TIMEOUT)

    def _deliver_before_cancel(self) -> None:
        """Emit ``before_cancel`` while the files are still there, and wait a moment for its handlers.

        If handlers run on another thread that is not the session's, nobody waits: that thread may wait for this one.
        """
        notice = Notice("before_cancel")
        with self._shared.entrance:
            if self._core.state is SessionState.CLOSED:
                return
            nested = self._delivery.inside
            if not nested:
                self._outbox.extend((notice,))
            mark = self._outbox.mark
        if nested:
            self._emit(notice, None)
        else:
            self._delivery.deliver_here()
            self._waiter.wait_delivered(BEFORE_CANCEL_TIMEOUT, mark)

    def _cancel(self, reason: str) -> Effects:
        self._results.forget()
        return self._core.cancel(reason)

    def retry(self, entry: FileEntry) -> None:
        """Let the failed file wait for its turn again."""
        self._command(lambda: self._core.retry_file(entry.key, self._clock()))
        self._start()

    def bootstrap(self, entry: FileEntry) -> None:
        """Cut the file again, and cut off its requests."""
        self._command(self._bootstrap, entry, hard=True)
        self._start()

    def _bootstrap(self, entry: FileEntry) -> Effects:
        effects = self._core.bootstrap_file(entry.key)
        self._transfers.begin_anew(entry)
        return effects

    def mark(self, entry: FileEntry, ranges: Iterable[tuple[int, int]]) -> None:
        """Take the chunks at these ranges of indexes for stored."""
        self._command(self._core.mark_file, entry.key, ranges)

    def close(self) -> None:
        """End the session for good: files that have not ended are cancelled, requests cut off, waiting notices
        delivered, threads gone, sources closed.

        Takes at most two seconds; what has not ended by then is abandoned. Raises StateError in a handler or hook.
        """
        self._waiter.refuse_inside("close the session")
        entries = self.facts.entries()
        self._command(self._core.close, hard=True)
        end = time.monotonic() + STOP_TIMEOUT + HANDLER_TIMEOUT
        self._workers.join(STOP_TIMEOUT)
        self._abandonment.wait(end - time.monotonic() - HANDLER_TIMEOUT)
        self._waiter.wait_delivered(end - time.monotonic())
        for entry in entries:
            entry.close()

    # -- inside --------------------------------------------------------------------------------------------------

    def _in_hook(self) -> bool:
        return self._workers.inside or self._abandonment.inside

    def _command(self, call: Callable[..., Effects], *arguments: Any, hard: bool = False, **named: Any) -> None:
        """Make the call's effects true. ``hard``: cut off requests that wait for their answer, too."""
        with self._shared.entrance:
            ended, joined = self._core.ended, self._results.joining > 0
            effects = call(*arguments, **named)
            if self._core.ended is not ended:
                self._results.keep(ended, joined=joined)
            follow_up = self._shared.apply(effects)
        if follow_up is not None:
            follow_up.carry_out(hard=hard)
        self.consider()

    def consider(self) -> None:
        """End the run if that is due, and have waiting notices delivered. Called when something may have ended."""
        self._abandonment.begin()
        self._completion.consider()
        self._delivery.post()

    def _start(self) -> None:
        if self._shared.has_work():
            self._workers.start()

    # -- waiting -------------------------------------------------------------------------------------------------

    def join(self, timeout: float | None) -> Ending:
        """Wait for the end of the run and the return of every handler, and return what became of the files. Starts a
        run if need be.

        A run that a handler begins meanwhile is waited for as well, and runs that nobody joined before are included.
        Files that were open when the session was closed count as cancelled.
        """
        self._waiter.refuse_inside("join the session")
        with self._joining():
            self._waiter.wait_for(self._run_is_over, timeout, "the upload", others=True)
            return self._report()

    async def join_in_loop(self, handlers: Callable[[], Awaitable[bool]]) -> Ending:
        """Wait as :meth:`join` does, in a task. ``handlers()`` waits for async handlers, and returns whether there were
        any: they may have begun another run."""
        with self._joining():
            await self._loop_waiter.wait_for(self._run_is_over, others=True)
            while await handlers():
                await self._loop_waiter.wait_for(self._run_is_over, others=True)
            return self._report()

    def _run_is_over(self) -> bool:
        state = self._core.state
        return state is SessionState.CLOSED or (state not in RUNNING and self._abandonment.over)

    def _report(self) -> Ending:
        with self._shared.entrance:
            ending = self._results.report()
            self._core.acknowledge(ending.files)
            return ending

    @contextmanager
    def _joining(self) -> Iterator[None]:
        """Close the run, or begin the last one, and know in this block that somebody joins."""
        joining = False

        def begin() -> Effects:
            nonlocal joining
            joining = self._completion.used = True
            self._results.joining += 1
            core = self._core
            if core.state is SessionState.IDLE and any(file.state not in TERMINAL for file in core.files.values()):
                return core.upload(self._clock())
            return core.close_run()

        try:
            self._command(begin)
            self._start()
            yield
        finally:
            # Even if what was posted was called at once, and a handler wanted to end the program.
            if joining:
                with self._shared.entrance:
                    self._results.joining -= 1

    def wait(self, entry: FileEntry, timeout: float | None) -> None:
        """Wait until the file has ended and its handlers have returned, or the session is closed."""
        with self._awaiting(entry) as over:
            self._waiter.wait_for(over, timeout, f"the upload of {entry.record.relative_path!r}", others=False)

    async def wait_in_loop(self, entry: FileEntry) -> None:
        """Wait as :meth:`wait` does, in a task."""
        with self._awaiting(entry) as over:
            await self._loop_waiter.wait_for(over, others=False)

    @contextmanager
    def _awaiting(self, entry: FileEntry) -> Iterator[Callable[[], bool]]:
        """Know in this block that somebody waits for the end of the file. Yields what says whether it has ended."""

        def over() -> bool:
            return entry.core.state in TERMINAL or self._core.state is SessionState.CLOSED

        with self._shared.entrance:
            self._shared.awaited.append(entry)
        try:
            yield over
        finally:
            with self._shared.entrance:
                self._shared.awaited.remove(entry)

    async def wait_for_event(self, came: Callable[[], bool]) -> bool:
        """Wait until ``came()``, and return True; or False if no event is going to come: the session is closed, or
        nothing of what was added is open."""
        completion, delivery = self._completion, self._delivery
        more = False

        def over() -> bool:
            nonlocal more
            more = came()
            delivery.watch()
            return more or (completion.over and (delivery.idle or not delivery.alive))

        with completion.listening():
            self.consider()
            await self._loop_waiter.wait_until(over)
        return more

    def hold_back(self, count: int) -> None:
        """Note that so many events more, or less, were delivered and wait for a task."""
        with self._shared.entrance:
            self._outbox.add_backlog(count)

    # -- delivery ------------------------------------------------------------------------------------------------

    def acknowledge(self, keys: Iterable[int]) -> None:
        """Note that the program knows how these files ended."""
        with self._shared.entrance:
            self._core.acknowledge(keys)

    def notify(self, notice: Notice) -> None:
        """Queue a notice that is not the core's for delivery, in order with the others."""
        self._command(lambda: Effects((notice,)))

    def replay(self, notices: Iterable[Notice]) -> None:
        """Queue what a late handler missed for delivery, before all others."""
        with self._shared.entrance:
            self._outbox.extend_late(notices)
        self._delivery.post()

    def process_events(self) -> int:
        """Deliver waiting notices on this thread, and return how many. Raises StateError if delivery is not manual."""
        self._shared.refuse_forked()
        return self._delivery.process()

    def recipients_fixed(self) -> None:
        """Note that the receivers of the notice that is being emitted are chosen."""
        self._delivery.undecided = None
