"""The frozen records that cross threads and layers: what to do, what came of it, and which events to emit.

A :class:`Lease` goes to whoever performs the work, an :class:`Outcome` comes back. Both pickle, and neither holds
a callable, so that something other than our threads could perform the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple

from ..errors import FileRejected
from ..protocol.plan import ChunkPlan
from ..protocol.question import FileAnswer
from .states import FastEnum, FileState

__all__ = ["Effects", "Ending", "Lease", "Notice", "Outcome", "OutcomeKind", "Permission", "Proof", "Wait", "joined"]


class Lease(NamedTuple):
    """One piece of work. ``id`` is unique in the session; offsets are bytes; ``retries`` counts failed attempts.

    ``test``: ask first whether the server has the chunk. ``final``: no chunk of the file is left behind this one, so
    the server may assemble on it. ``confirm`` leases ask whether the server has the file, all chunks of which are taken
    for stored, or still has what it said it has of it; the chunk is the one to ask for. ``ours``: an answer about this
    file came from a receiver of this package. ``awaited``: somebody wants to know when bytes of the chunk are on their
    way. ``ahead``: it is no more than a test. ``askable``: the server may be asked for the chunk if nobody knows
    whether it took it. ``prepare`` leases ask for a file's hooks to be run, not for a chunk: those before its first
    request, or, ``after`` the server has it, the one that runs then. ``files``: it is about no chunk, but one question
    about all of these files, of which ``file`` is the first.
    """

    id: int
    file: int
    epoch: int
    position: int = 0
    index: int = 0  # type: ignore[assignment]  # it hides tuple.index, which nobody wants of a lease
    start: int = 0
    end: int = 0
    retries: int = 0
    test: bool = False
    final: bool = False
    confirm: bool = False
    ours: bool = False
    awaited: bool = False
    ahead: bool = False
    askable: bool = False
    prepare: bool = False
    after: bool = False
    files: tuple[int, ...] = ()


class Permission(FastEnum):
    """Whether a chunk that the server lacks may be sent."""

    STOP = "stop"
    """It may not: the lease is over but for the report."""
    SEND = "send"
    """It may."""
    HOLD = "hold"
    """It may, but for its end, until that is released."""


class OutcomeKind(FastEnum):
    """What came of a lease."""

    PRESENT = "present"
    """The test said that the server has the chunk, or, asked to confirm it, the file."""
    ABSENT = "absent"
    """The test did not find the chunk, which has to be sent."""
    ACCEPTED = "accepted"
    """The server took the chunk."""
    DENIED = "denied"
    """Asked to confirm it, the server did not: it lacks what was taken for stored. It is sent once more, at most."""
    REFUSED = "refused"
    """It failed for good."""
    RETRY = "retry"
    """It failed, and another attempt may succeed."""
    STOPPED = "stopped"
    """It was stopped before it was answered."""
    PREPARED = "prepared"
    """The file's hooks have run."""
    TOLD = "told"
    """The question about many files was answered, in some way."""


class Proof(FastEnum):
    """What the answers say of the whole file."""

    NONE = "none"
    """Nothing: they come from a foreign server, which is taken at its word."""
    UNFINISHED = "unfinished"
    """A foreign server took the chunk, and said that it has not the whole file yet."""
    PARTIAL = "partial"
    """They come from a receiver of this package, which has not the whole file."""
    WHOLE = "whole"
    """They come from a receiver of this package, which has the whole file."""


class Outcome(NamedTuple):
    """What came of a lease. ``error`` is complete: it is what the user gets if this attempt was the last, or if
    the file stays unfinished.

    ``answered``: the server was reached. ``unreachable``: not worth a retry unless the server was reached before.
    ``busy``: the server has too much to do; ``crowded``: it said so to a test. ``retry_after``: seconds for which it
    wants no request, or, if it is not busy, not this one. ``limit``: attempts that a failure of this kind gets at most.
    ``delay``: seconds before the retry, if the user decides that. ``lacking``: the server said in so many words that it
    lacks the chunk, over a connection that we see and can cut off. ``stored``: ranges of chunk indexes that the server
    said it has; ``listed``: and that these are all. ``ambiguous``: all bytes of the chunk were sent, and nobody knows
    whether the server took them. ``believed``: there is only the word of a foreign server for what is present or
    stored. ``proof``: what the answers say of the whole file. ``result``: what a receiver of this package tells of it.
    ``response``: the last answer. ``any_order``: they say that chunks may come in any order. ``max_uploads``: how many
    requests at once they say that the server likes. ``plan``: the new cut, if a hook replaced the bytes of the file.
    ``takes_questions``: whether the server answers questions about many files, as far as that is known. ``answers``:
    what it said of the first of these files; None is a file of which it said nothing.
    """

    kind: OutcomeKind
    message: str | None = None
    error: Exception | None = None
    answered: bool = False
    unreachable: bool = False
    busy: bool = False
    crowded: bool = False
    retry_after: float | None = None
    limit: int | None = None
    delay: float | None = None
    lacking: bool = False
    stored: tuple[tuple[int, int], ...] = ()
    listed: bool = False
    ambiguous: bool = False
    believed: bool = False
    proof: Proof = Proof.NONE
    result: Mapping[str, Any] | None = None
    response: Any = None
    any_order: bool = False
    max_uploads: int | None = None
    plan: ChunkPlan | None = None
    takes_questions: bool | None = None
    answers: tuple[FileAnswer | None, ...] = ()


class Notice(NamedTuple):
    """An event to emit, and the file and chunk that it is about. ``extra`` are further arguments, ``response`` the
    answer that brought it about."""

    event: str
    file: int | None = None
    index: int | None = None  # type: ignore[assignment]
    message: str | None = None
    extra: tuple[object, ...] = ()
    response: Any = None


class Ending(NamedTuple):
    """What became of the files of a run, by their keys; ``skipped`` says what was left out, and why."""

    files: Mapping[int, FileState]
    skipped: tuple[FileRejected, ...] = ()


class Effects(NamedTuple):
    """What a call to the core brought about: notices to deliver in order, leases whose requests must stop, files that
    have ended or left the session, leases whose ends are held no more, and files that were given up."""

    notices: tuple[Notice, ...] = ()
    stopped: tuple[int, ...] = ()
    ended: tuple[int, ...] = ()
    released: tuple[int, ...] = ()
    abandoned: tuple[int, ...] = ()


def joined(effects: Iterable[Effects]) -> Effects:
    """Return what several calls to the core brought about, one after the other, as if it had been one call."""
    return Effects(*(tuple(chain.from_iterable(each)) for each in zip(*effects, strict=True)))


class Wait(NamedTuple):
    """There is nothing to lease before ``until`` (a time of the clock), or, if that is None, before something
    happens."""

    until: float | None = None
