"""The shared state of a session: one lock, and what it protects.

A worker with an outcome, or a user's thread with a command, takes the lock, calls the core, and applies the effects:
notices go into the outbox. So every command is true when it returns, notices have the order of the transitions, and one
thread delivers them. Users call :class:`Dispatcher` and ask :class:`SessionFacts`, workers call :class:`LeaseManager`;
nothing else touches the core.

1. The lock is a leaf. While it is held only the core, the outbox and ``notify`` run: no I/O, no logging, no signal,
   no user code, no sleep.
2. Requests are stopped and sources closed after the lock is released and before the command returns: see
   :class:`FollowUp`.
3. Workers and the thread of the handlers each have a condition of that lock, and threads that wait for the end of
   something have :class:`Waiters`, so that a chunk wakes only threads that it concerns.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import NamedTuple, Protocol

from ..core.records import Effects
from ..core.retry import SessionPolicy
from ..core.session import SessionCore
from ..core.states import RUNNING
from ..errors import StateError
from ..transport.control import RequestControl
from .outbox import Outbox
from .registry import FileEntry, FileRegistry
from .transfers import Transfers

__all__ = ["FollowUp", "Gate", "SharedState", "Waiters"]


class Gate(Protocol):
    """What a thread or a task waits for: a lock that is taken, or its kind."""

    def release(self) -> None:
        """Let it go on. Takes no lock of ours, and raises nothing."""


class Waiters:
    """Threads of users, in waits that a signal of the system may interrupt, and tasks of asyncio loops.

    No Condition: if the signal's handler raises while the Condition takes its lock again, another thread has the lock,
    and the ``with`` around the wait would release it under that thread.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._gates: set[Gate] = set()

    def notify_all(self) -> None:
        """Open every gate, and forget it. The caller holds the lock."""
        for gate in self._gates:
            gate.release()
        self._gates.clear()

    def gate(self) -> threading.Lock:
        """Return a closed gate for :meth:`wait`, which :meth:`notify_all` opens. The caller holds the lock."""
        gate = threading.Lock()
        gate.acquire()
        self.add(gate)
        return gate

    def add(self, gate: Gate) -> None:
        """Let :meth:`notify_all` open the gate. The caller holds the lock."""
        self._gates.add(gate)

    def discard(self, gate: Gate) -> None:
        """Forget the gate. The caller holds the lock."""
        self._gates.discard(gate)

    def wait(self, gate: threading.Lock, seconds: float) -> None:
        """Wait until the gate is opened, at most so many seconds. The caller does not hold the lock."""
        try:
            gate.acquire(timeout=seconds)
        finally:
            with self._lock:
                self.discard(gate)


class FollowUp(NamedTuple):
    """What remains to be done after a call to the core, without the lock: requests to stop, files that left the session
    to close, and requests whose ends are held no more."""

    controls: list[RequestControl]
    left: list[FileEntry]
    released: list[RequestControl]

    def carry_out(self, *, hard: bool) -> None:
        """Stop the requests, those that wait for their answer only if ``hard``, and close the files."""
        for control in self.released:
            control.release()
        for control in self.controls:
            control.stop(hard=hard)
        for entry in self.left:
            entry.close()


_process = object()


def _forked() -> None:
    global _process
    _process = object()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class SharedState:
    """The state that both halves of a session share. To read or change it, hold ``lock``, except for methods that take
    the lock themselves.

    ``work`` is notified when there may be something to lease, ``waiters`` when something may have ended. ``waiting``
    counts the threads that wait for the end of something, and ``awaited`` has the files that they wait for. While any
    thread is ``announcing``, no request begins. ``abandoned`` are files that were given up, for which the hook
    ``on_abort`` has not begun yet.
    """

    def __init__(
        self, policy: SessionPolicy, *, listeners: Mapping[str, Iterable[Sized]], clock: Callable[[], float]
    ) -> None:
        self._process = _process
        self.lock = threading.Lock()
        self.work = threading.Condition(self.lock)
        self.waiters = Waiters(self.lock)
        self.clock = clock
        self.core = SessionCore(policy)
        self.outbox = Outbox(listeners, self.work.notify_all)
        self.registry = FileRegistry(self.core.files)
        self.transfers = Transfers()
        self.announcing = 0
        self.waiting = 0
        self.awaited: list[FileEntry] = []
        self.abandoned: list[FileEntry] = []

    @property
    def in_forked_child(self) -> bool:
        """Whether this is another process than that of the session: the child of a fork has none of its threads."""
        return self._process is not _process

    @property
    def entrance(self) -> threading.Lock:
        """The lock, for threads that are not the session's. Raises StateError where a thread may hold it that does not
        run any more: in the child of a fork, and when the interpreter ends."""
        self.refuse_forked()
        if sys.is_finalizing():
            raise StateError("use the session", "the program is ending")
        return self.lock

    def refuse_forked(self) -> None:
        """Raise StateError in the child of a fork."""
        if self.in_forked_child:
            raise StateError("use the session", "it was made in another process")

    def apply(self, effects: Effects) -> FollowUp | None:
        """Take in what a call to the core brought about. The caller holds the lock. What is returned, if anything, is
        to be carried out once the lock is released."""
        self.outbox.extend(effects.notices)
        more = any(effects[1:])
        if not self.announcing or more or self.core.state not in RUNNING:
            # No request begins for files that are announced before all are, and then there is a notification.
            self.work.notify_all()
        if self.core.state not in RUNNING or (effects.ended and self.awaited):
            self.waiters.notify_all()
        if not more:
            return None
        self.abandoned += [self.registry.entries[key] for key in effects.abandoned]
        left = [self.registry.entries[key] for key in effects.ended if key not in self.core.files]
        stopped, released = map(self.transfers.controls, (effects.stopped, effects.released))
        return FollowUp(stopped, left, released)

    def has_work(self) -> bool:
        """Return whether there is something to do for threads, now or later. Takes the lock."""
        with self.lock:
            return self.core.has_work
