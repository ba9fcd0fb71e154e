"""The half of a session that its users call: commands, waiting, and facts.

A command is true when it returns, and what came of it waits to be told. Handles ask for values, each a consistent
snapshot. Why there is one lock, and what it protects: see ``shared``.

Threads are daemons, started by the first run, and go when nothing is open, also where the run is held: so a session
that nobody holds can be collected.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..core.records import Effects, Ending, Notice
from ..core.retry import SessionPolicy
from ..core.states import (
    TERMINAL,
    ChunkState,
    FileState,
    SessionState,
)
from ..errors import FileRejected, StateError
from ..protocol.plan import ChunkOrder, ChunkPlan
from .completion import Completion
from .delivery import make_delivery
from .leases import LeaseManager, Perform
from .registry import FileEntry, RunResults
from .replay import missed_chunks, missed_end
from .shared_state import SharedState
from .transfers import TransferStats
from .waiter import Waiter
from .workers import Workers

__all__ = ["Dispatcher"]

STOP_PATIENCE = 1.5
"""Seconds that closing waits for what was told to stop."""

HANDLER_PATIENCE = 0.4
"""Seconds that closing waits after that, at least, for handlers to return."""

_process = object()


def _forked() -> None:
    global _process
    _process = object()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Dispatcher:
    """Commands and facts of one session. ``perform`` does one lease's work, ``emit`` tells one notice to those who
    listen. Every method may be called by any thread, and raises StateError in the child of a fork."""

    def __init__(
        self,
        policy: SessionPolicy,
        *,
        perform: Perform,
        emit: Callable[[Notice, FileEntry | None], None],
        wanted: Callable[[str], bool],
        deliver: Any,
        clock: Callable[[], float],
        throttle: float,
        completion_delay: float,
        handling: Callable[[], bool],
    ) -> None:
        self._shared = shared = SharedState(policy, wanted=wanted, clock=clock)
        self._clock = clock
        self._core = shared.core
        self._outbox = shared.outbox
        self._register = shared.register
        self._transfers = shared.transfers
        self._emit_notice = emit
        self._delivery = make_delivery(deliver, shared, self._emit, lambda: self._completion.consider())
        self._completion = Completion(shared, self._delivery, handling, delay=completion_delay)
        lease_manager = LeaseManager(shared, self._delivery, self._completion, perform, throttle=throttle)
        self._workers = Workers(policy.slots, lease_manager, shared.busy)
        self._waiting = Waiter(shared, self._delivery, self._workers)
        self._results = RunResults(shared.core)
        self._process = _process

    # -- files ---------------------------------------------------------------------------------------------------

    def add(self, entry: FileEntry, plan: ChunkPlan, order: ChunkOrder, *, prepared: bool, most: int | None) -> None:
        """The file waits for its turn. The session holds at most so many files; where that is one, it is replaced.

        Raises FileRejected where there is no room or the identifier is taken, StateError on a closed session.
        """
        replaced: list[FileEntry] = []

        def call() -> Effects:
            files = self._core.files
            if most is not None and len(files) >= most > 1:
                reason = f"max_files is {most}, and there are {len(files)} already"
                raise FileRejected(entry.record.relative_path, "max_files", reason)
            if self._shared.closed:
                raise StateError("add a file", "the session is closed")
            self._register.reserve_identifier(entry, anyway=most == 1)
            others = list(files) if most == 1 else []
            replaced.extend(self._register[other] for other in others)
            key, added = self._core.add(plan, order, prepared=prepared, name=entry.record.relative_path)
            self._register.add(key, entry)
            # After the new file is there, so that its run does not end in between, but told before.
            removed = [self._core.cancel_file(other, "replaced", announce=False) for other in others]
            notices = [notice for effects in removed for notice in effects.notices]
            stopped = [lease for effects in removed for lease in effects.stopped]
            return Effects((*notices, *added.notices), tuple(stopped))

        self._command(call, hard=True)
        for other in replaced:
            other.source.close()

    def hold(self) -> None:
        """Keep runs that began by themselves open until :meth:`join`: there is a block at whose end it is called."""
        with self._lock:
            self._shared.block = True
            self._shared.work.notify_all()

    @contextmanager
    def adding(self) -> Iterator[None]:
        """No run ends by itself in this block, in which files are looked for and added."""
        with self._lock:
            self._shared.adding += 1
            self._shared.silent_since = None
        try:
            yield
        finally:
            with self._lock:
                self._shared.adding -= 1
            self.consider()

    @contextmanager
    def announcing(self) -> Iterator[None]:
        """No request begins in this block, so that files are announced before anything else is told of them."""
        with self._lock:
            self._shared.announcing += 1
        try:
            yield
        finally:
            with self._lock:
                self._shared.announcing -= 1
                self._shared.work.notify_all()

    def begin(self, entries: Iterable[FileEntry]) -> None:
        """If any of the files is still there a run is under way, held open for others unless somebody joins now. A
        paused session stays paused."""

        def call() -> Effects:
            if self._paused or not any(self._register.has(entry) for entry in entries):
                return Effects()
            return self._core.upload(self._clock(), open_ended=not self._results.joining, resume_aborted=False)

        with self._lock:
            under_way = self._core.open_ended and self._core.state is SessionState.UPLOADING
        if not under_way:
            # Where file after file is added to a run nothing changes, and nobody has to be woken.
            self._command(call)
        self._start()

    def pause_file(self, entry: FileEntry, *, aborted: bool = False) -> None:
        """No request for the file begins until :meth:`resume_file`, or, where it is aborted, :meth:`upload`."""
        self._command(lambda: self._core.pause_file(entry.core.key, aborted=aborted))

    def resume_file(self, entry: FileEntry) -> None:
        """The file waits for its turn again."""
        self._command(lambda: self._core.resume_file(entry.core.key))

    def cancel_file(self, entry: FileEntry, reason: str, *, announce: bool) -> None:
        """The file is removed; its requests are cut off."""
        self._command(lambda: self._core.cancel_file(entry.core.key, reason, announce=announce), hard=True)
        entry.source.close()

    def retry_file(self, entry: FileEntry) -> None:
        """The failed file waits for its turn again."""
        self._command(lambda: self._core.retry_file(entry.core.key, self._clock()))
        self._start()

    def bootstrap_file(self, entry: FileEntry) -> None:
        """The file is cut anew."""
        self._command(lambda: self._core.bootstrap_file(entry.core.key), hard=True, entry=entry)
        self._start()

    def mark_file(self, entry: FileEntry, ranges: Iterable[tuple[int, int]]) -> None:
        """The chunks at these ranges of indexes are taken for stored."""
        self._command(lambda: self._core.mark_file(entry.core.key, ranges))

    def skip(self, reasons: Iterable[FileRejected]) -> None:
        """Some files were left out, and whoever joins is told why."""
        reasons = list(reasons)
        with self._lock:
            self._core.skip(reasons)
            self._results.skip(reasons)

    # -- the session ---------------------------------------------------------------------------------------------

    def notify(self, notice: Notice) -> None:
        """A notice that is not the core's waits for delivery, in order with the others."""
        self._command(lambda: Effects((notice,)))

    def replay(self, notices: Iterable[Notice]) -> None:
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
        self._command(lambda: self._core.upload(self._clock(), open_ended=True) if self._paused else Effects())

    def pause(self) -> None:
        """No request begins any more until :meth:`upload`."""
        self._command(self._core.pause)

    def cancel(self, reason: str = "cancelled") -> None:
        """All files are removed; requests are cut off."""
        entries = self.entries()

        def call() -> Effects:
            self._results.forget()
            return self._core.cancel(reason)

        self._command(call, hard=True)
        for entry in entries:
            entry.source.close()

    def close(self) -> None:
        """End the session for good: files that have not ended are cancelled, requests cut off, waiting notices
        delivered, threads gone, sources closed.

        Takes at most two seconds; what has not ended by then is abandoned. Raises StateError in a handler or hook.
        """
        self._waiting.refuse_inside("close the session")
        entries = self.entries()
        self._command(self._core.close, hard=True)
        end = time.monotonic() + STOP_PATIENCE + HANDLER_PATIENCE
        self._workers.join(STOP_PATIENCE)
        self._waiting.wait_delivered(end - time.monotonic())
        for entry in entries:
            entry.source.close()

    # -- inside --------------------------------------------------------------------------------------------------

    @property
    def in_forked_child(self) -> bool:
        """Whether this is another process than that of the session: the child of a fork has none of its threads."""
        return self._process is not _process

    @property
    def _lock(self) -> threading.Lock:
        self._refuse_foreign()
        return self._shared.lock

    def _refuse_foreign(self) -> None:
        # In the child of a fork the lock may be held by a thread that does not exist there.
        if self.in_forked_child:
            raise StateError("use the session", "it was made in another process")

    def _command(self, call: Callable[[], Effects], *, hard: bool = False, entry: FileEntry | None = None) -> None:
        """The call's effects are true. With ``hard`` requests that wait for their answer are cut off as well: those of
        files that are gone, also where they were told to stop before, and of the given file."""
        with self._lock:
            ended, joined = self._core.ended, self._results.joining > 0
            effects = call()
            if self._core.ended is not ended:
                self._results.keep(ended, joined=joined)
            self._outbox.extend(effects.notices)
            controls = self._transfers.controls(effects.stopped)
            if hard:
                controls += self._transfers.controls_of(lambda other: other is entry or self._shared.removed(other))
            self._shared.work.notify_all()
            self._shared.waiters.notify_all()
        for control in controls:
            control.stop(hard=hard)
        self.consider()

    def consider(self) -> None:
        """Something may have ended: the run ends with it if that is so, and what there is to tell will be told."""
        self._completion.consider()
        self._delivery.post()

    def _start(self) -> None:
        if self._shared.busy():
            self._workers.start()

    @property
    def _paused(self) -> bool:
        return self._core.state is SessionState.PAUSED

    # -- waiting -------------------------------------------------------------------------------------------------

    def join(self, timeout: float | None) -> Ending:
        """What became of the files, once the run is over and every handler has returned. Starts a run if need be.

        A run that a handler begins meanwhile is waited for as well, and what nobody joined before is told now.
        Files that were open when the session was closed count as cancelled.
        """
        self._waiting.refuse_inside("join the session")
        joining = False

        def call() -> Effects:
            nonlocal joining
            joining = True
            return self._join()

        try:
            self._command(call)
            self._start()
            self._waiting.wait_for(lambda: not self._shared.running, timeout, "the upload", others=True)
            with self._lock:
                ending = self._results.tell()
                self._core.know(ending.files)
                return ending
        finally:
            # Also where what was posted was called at once, and a handler wanted to end the program.
            if joining:
                with self._lock:
                    self._results.joining -= 1

    def _join(self) -> Effects:
        self._results.joining += 1
        if self._core.state is SessionState.IDLE and any(f.state not in TERMINAL for f in self._core.files.values()):
            return self._core.upload(self._clock())
        return self._core.close_run()

    def wait(self, entry: FileEntry, timeout: float | None) -> None:
        """Returns once the file has ended and its handlers have returned, or the session is closed."""

        def over() -> bool:
            return entry.core.state in TERMINAL or self._shared.closed

        with self._lock:
            self._shared.awaited.append(entry)
        try:
            self._waiting.wait_for(over, timeout, f"the upload of {entry.record.relative_path!r}", others=False)
        finally:
            with self._lock:
                self._shared.awaited.remove(entry)

    # -- facts ---------------------------------------------------------------------------------------------------

    @property
    def state(self) -> SessionState:
        """Where the session is."""
        with self._lock:
            return self._core.state

    @property
    def uploading(self) -> bool:
        """Whether a run is under way that is not paused and has something left to send."""
        with self._lock:
            return self._core.state is SessionState.UPLOADING and not self._core.finished

    @property
    def outcome(self) -> Ending | None:
        """What became of the files of the run that ended last, None before one has."""
        with self._lock:
            return self._core.outcome

    @property
    def unfinished(self) -> Mapping[int, str]:
        """The names of the files that are not uploaded, without those of whose failure somebody knows. It goes on
        telling the truth, and holds nothing else of the session."""
        return self._core.unfinished

    def know(self, keys: Iterable[int]) -> None:
        """Somebody knows how these files ended."""
        with self._lock:
            self._core.know(keys)

    def entries(self) -> list[FileEntry]:
        """The files of the session, in the order in which they were added."""
        with self._lock:
            return self._register.present()

    def count(self) -> int:
        """How many files the session has."""
        with self._lock:
            return len(self._core.files)

    def find(self, identifier: str) -> FileEntry | None:
        """The file of the session with this identifier, or None."""
        with self._lock:
            return self._register.find(identifier)

    def entry(self, key: int) -> FileEntry:
        """The file with this key, also when it was removed."""
        return self._register[key]

    def file_state(self, entry: FileEntry) -> tuple[FileState, Exception | None, str | None]:
        """The file's state, the exception it failed of, and the last words of the server."""
        with self._lock:
            self._core.know([entry.core.key])
            return entry.core.state, entry.core.error, entry.core.message

    def file_moved(self, entry: FileEntry) -> TransferStats:
        """How many bytes of the file moved."""
        with self._lock:
            return self._transfers.of_file(entry)

    def session_moved(self) -> TransferStats:
        """How many bytes of the session moved."""
        with self._lock:
            return self._transfers.of_session(self._core)

    def chunk_state(self, entry: FileEntry, index: int) -> tuple[ChunkState, int]:
        """The chunk's state, and how often an attempt at it failed."""
        with self._lock:
            return self._core.chunk_state(entry.core.key, index)

    # -- delivery ------------------------------------------------------------------------------------------------

    def process_events(self) -> int:
        """How many waiting notices were delivered, on this thread. Raises StateError where that is not done by hand."""
        self._refuse_foreign()
        return self._delivery.process()

    def _emit(self, notice: Notice) -> None:
        self._emit_notice(notice, None if notice.file is None else self._register[notice.file])

    def recipients_fixed(self) -> None:
        """It has been decided who is told of the notice that is being told."""
        self._delivery.undecided = None

    def _coming(self, entry: FileEntry) -> list[Notice]:
        """The notices about the file that somebody who begins to listen now will be told of."""
        coming = list(self._outbox.waiting(entry.core.key))
        undecided = self._delivery.undecided
        # One with extra is told to a single late handler.
        if undecided is not None and undecided.file == entry.core.key and not undecided.extra:
            coming.append(undecided)
        return coming

    def missed_end(self, entry: FileEntry, event: str) -> bool:
        """Whether the file has ended with this event and nobody who begins to listen now will be told."""
        with self._lock:
            return missed_end(entry.core, event, self._coming(entry))

    def missed_chunks(self, entry: FileEntry) -> list[tuple[int, int]]:
        """The ranges of indexes of stored chunks that nobody who begins to listen now will be told of."""
        with self._lock:
            return missed_chunks(entry.core, self._coming(entry))
