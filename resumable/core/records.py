"""The frozen records that cross threads and layers: what to do, what came of it, what to tell.

A :class:`Lease` goes to whoever performs the work, an :class:`Outcome` comes back. Both pickle, and neither holds
a callable, so that something other than our threads could perform the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..errors import FileRejected
from ..protocol.plan import ChunkPlan
from .states import FileState, Member

__all__ = ["Effects", "Ending", "Lease", "Notice", "Outcome", "OutcomeKind", "Wait"]


class Lease(NamedTuple):
    """One piece of work. ``id`` is unique in the session; offsets are bytes; ``retries`` counts failed attempts.

    ``prepare`` leases ask for a file's hooks to be run, not for a chunk. ``test``: ask first whether the server has
    the chunk. ``final``: no chunk of the file is left behind this one, so the server may assemble on it.
    """

    id: int
    file: int
    epoch: int
    prepare: bool = False
    position: int = 0
    index: int = 0  # type: ignore[assignment]  # it hides tuple.index, which nobody wants of a lease
    start: int = 0
    end: int = 0
    retries: int = 0
    test: bool = False
    final: bool = False


class OutcomeKind(Member):
    """What came of a lease."""

    PRESENT = "present"
    """The test said that the server has the chunk."""
    ACCEPTED = "accepted"
    """The server took the chunk."""
    REFUSED = "refused"
    """It failed for good."""
    RETRY = "retry"
    """It failed, and another attempt may succeed."""
    STOPPED = "stopped"
    """It was stopped before it was answered."""
    PREPARED = "prepared"
    """The file's hooks have run."""


class Outcome(NamedTuple):
    """What came of a lease. ``error`` is complete: it is what the user gets if this attempt was the last.

    ``answered``: the server was reached. ``hopeless``: not worth a retry unless the server was reached before.
    ``busy``: the server has too much to do. ``retry_after``: seconds for which it then wants to be left alone.
    ``limit``: attempts that a failure of this kind gets at most. ``delay``: seconds before the retry, where the user
    decides that. ``stored``: ranges of chunk indexes that the server said it has. ``plan``: the new cut, where a hook
    replaced the bytes of the file.
    """

    kind: OutcomeKind
    message: str | None = None
    error: Exception | None = None
    answered: bool = False
    hopeless: bool = False
    busy: bool = False
    retry_after: float | None = None
    limit: int | None = None
    delay: float | None = None
    stored: tuple[tuple[int, int], ...] = ()
    plan: ChunkPlan | None = None


class Notice(NamedTuple):
    """Something to tell: the event, and the file and chunk it is about. ``extra`` are further arguments."""

    event: str
    file: int | None = None
    index: int | None = None  # type: ignore[assignment]
    message: str | None = None
    extra: tuple[object, ...] = ()


class Ending(NamedTuple):
    """What became of the files of a run, by their keys; ``skipped`` says what was left out, and why."""

    files: Mapping[int, FileState]
    skipped: tuple[FileRejected, ...] = ()


class Effects(NamedTuple):
    """What a call to the core brought about: notices to deliver in order, and leases whose requests must stop."""

    notices: tuple[Notice, ...] = ()
    stopped: tuple[int, ...] = ()


class Wait(NamedTuple):
    """There is nothing to lease before ``until`` (a time of the clock), or, where that is None, before some news."""

    until: float | None = None
