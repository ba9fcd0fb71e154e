"""The three state machines, as tables. Everything that changes a state goes through :func:`step`.

*Chunk*. A chunk has a record only while it holds one of the ``simultaneous_uploads`` slots; PENDING and DONE are
implied by the file's cursor. A chunk that waits for its retry (BACKOFF) keeps its slot, so that a server in trouble
is not given other chunks meanwhile. A chunk that was told to stop (STOPPING) keeps its slot until its worker reports:
freeing it earlier would put the same chunk on the wire twice.

*File*. PREPARING only where a hook or a slow identifier has to run before the first request. SUCCESS, ERROR and
CANCELLED are terminal: one signal is fired on entering, and nothing follows it, until ``retry`` or ``bootstrap``.

*Confirmation*. Once all chunks of a file are taken for stored, the server may have to be asked whether it has the file;
one that is not ours before it gets the last one, as it may forget the chunks then.
The question goes through the states of a chunk that is tested and never sent; DENIED leads back, and the file goes on.

*Session*. A run goes from IDLE to IDLE, whatever pauses lie between.

``HOLDS`` lists the pairs that ask for what holds already, or for what can no longer matter because the subject
finished a moment ago: they do nothing. Every pair that is in neither table is illegal, raises StateError, and changes
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from ..errors import StateError

__all__ = [
    "CHUNK",
    "CONFIRMATION",
    "FILE",
    "FILE_HOLDS",
    "SESSION",
    "SESSION_HOLDS",
    "TERMINAL",
    "ChunkEvent",
    "ChunkState",
    "FileEvent",
    "FileState",
    "Member",
    "SessionEvent",
    "SessionState",
    "step",
]


class Member(Enum):
    """An Enum whose members hash fast: each chunk takes several looks into the tables, and Enum hashes in Python."""

    __hash__ = object.__hash__


class ChunkState(Member):
    """Where a chunk is."""

    PENDING = "pending"
    """Not sent yet, or to be sent again; holds no slot."""
    TESTING = "testing"
    """The server is being asked whether it has the chunk."""
    SENDING = "sending"
    """The chunk is on its way."""
    BACKOFF = "backoff"
    """An attempt failed; the next one waits."""
    STOPPING = "stopping"
    """Told to stop while on the wire; its worker has not reported yet."""
    DONE = "done"
    """The server has it."""
    FAILED = "failed"
    """Refused for good; the file has failed with it."""


class ChunkEvent(Member):
    """What happens to a chunk."""

    TEST = "test"
    SEND = "send"
    PRESENT = "present"
    ABSENT = "absent"
    ACCEPTED = "accepted"
    DENIED = "denied"
    REFUSED = "refused"
    RETRY = "retry"
    DUE = "due"
    STOP = "stop"
    STOPPED = "stopped"


class FileState(Member):
    """Where a file is."""

    PREPARING = "preparing"
    """A hook or a slow identifier has to run first."""
    READY = "ready"
    """Waits for its turn."""
    UPLOADING = "uploading"
    """At least one chunk has had its turn."""
    PAUSED = "paused"
    """Waits for ``resume()``."""
    SUCCESS = "success"
    """The server acknowledged every byte, and the file where it can."""
    ERROR = "error"
    """Failed; ``retry()`` goes on with what is stored."""
    CANCELLED = "cancelled"
    """Cancelled and removed from the session."""


class FileEvent(Member):
    """What happens to a file."""

    PREPARE = "prepare"
    PREPARED = "prepared"
    LEASE = "lease"
    PAUSE = "pause"
    RESUME = "resume"
    FINISH = "finish"
    FAIL = "fail"
    CANCEL = "cancel"
    RETRY = "retry"
    BOOTSTRAP = "bootstrap"


class SessionState(Member):
    """Where a session is."""

    IDLE = "idle"
    """No run is under way."""
    UPLOADING = "uploading"
    """A run is under way."""
    PAUSED = "paused"
    """A run is under way and waits for ``upload()`` or ``resume()``."""
    CLOSED = "closed"
    """Ended for good."""


class SessionEvent(Member):
    """What happens to a session."""

    UPLOAD = "upload"
    PAUSE = "pause"
    DRAINED = "drained"
    CANCEL = "cancel"
    CLOSE = "close"


S, E = ChunkState, ChunkEvent
CHUNK: Mapping[tuple[ChunkState, ChunkEvent], ChunkState] = {
    (S.PENDING, E.TEST): S.TESTING,
    (S.PENDING, E.SEND): S.SENDING,
    (S.TESTING, E.PRESENT): S.DONE,
    (S.TESTING, E.ABSENT): S.SENDING,
    (S.TESTING, E.REFUSED): S.FAILED,
    (S.TESTING, E.RETRY): S.BACKOFF,
    (S.TESTING, E.STOP): S.STOPPING,
    (S.SENDING, E.ACCEPTED): S.DONE,
    (S.SENDING, E.REFUSED): S.FAILED,
    (S.SENDING, E.RETRY): S.BACKOFF,
    (S.SENDING, E.STOP): S.STOPPING,
    (S.BACKOFF, E.DUE): S.SENDING,
    (S.BACKOFF, E.STOP): S.PENDING,
    (S.STOPPING, E.PRESENT): S.DONE,
    (S.STOPPING, E.ACCEPTED): S.DONE,
    (S.STOPPING, E.REFUSED): S.PENDING,
    (S.STOPPING, E.RETRY): S.PENDING,
    (S.STOPPING, E.STOPPED): S.PENDING,
}

CONFIRMATION: Mapping[tuple[ChunkState, ChunkEvent], ChunkState] = {
    (S.PENDING, E.TEST): S.TESTING,
    (S.TESTING, E.PRESENT): S.DONE,
    (S.TESTING, E.DENIED): S.PENDING,
    (S.TESTING, E.REFUSED): S.FAILED,
    (S.TESTING, E.RETRY): S.BACKOFF,
    (S.TESTING, E.STOP): S.STOPPING,
    (S.BACKOFF, E.DUE): S.TESTING,
    (S.BACKOFF, E.STOP): S.PENDING,
    (S.STOPPING, E.PRESENT): S.DONE,
    (S.STOPPING, E.DENIED): S.PENDING,
    (S.STOPPING, E.REFUSED): S.PENDING,
    (S.STOPPING, E.RETRY): S.PENDING,
    (S.STOPPING, E.STOPPED): S.PENDING,
}

F, G = FileState, FileEvent
FILE: Mapping[tuple[FileState, FileEvent], FileState] = {
    (F.PREPARING, G.PREPARE): F.PREPARING,
    (F.PREPARING, G.PREPARED): F.READY,
    (F.PREPARING, G.PAUSE): F.PAUSED,
    (F.PREPARING, G.FINISH): F.SUCCESS,
    (F.PREPARING, G.FAIL): F.ERROR,
    (F.PREPARING, G.CANCEL): F.CANCELLED,
    (F.PREPARING, G.BOOTSTRAP): F.PREPARING,
    (F.READY, G.PREPARE): F.PREPARING,
    (F.READY, G.PREPARED): F.READY,
    (F.READY, G.LEASE): F.UPLOADING,
    (F.READY, G.PAUSE): F.PAUSED,
    (F.READY, G.FINISH): F.SUCCESS,
    (F.READY, G.FAIL): F.ERROR,
    (F.READY, G.CANCEL): F.CANCELLED,
    (F.READY, G.BOOTSTRAP): F.READY,
    (F.UPLOADING, G.LEASE): F.UPLOADING,
    (F.UPLOADING, G.PAUSE): F.PAUSED,
    (F.UPLOADING, G.FINISH): F.SUCCESS,
    (F.UPLOADING, G.FAIL): F.ERROR,
    (F.UPLOADING, G.CANCEL): F.CANCELLED,
    (F.UPLOADING, G.BOOTSTRAP): F.READY,
    (F.PAUSED, G.PREPARED): F.PAUSED,
    (F.PAUSED, G.RESUME): F.READY,
    (F.PAUSED, G.FINISH): F.SUCCESS,
    (F.PAUSED, G.FAIL): F.ERROR,
    (F.PAUSED, G.CANCEL): F.CANCELLED,
    (F.PAUSED, G.BOOTSTRAP): F.PAUSED,
    (F.SUCCESS, G.BOOTSTRAP): F.READY,
    (F.ERROR, G.RETRY): F.READY,
    (F.ERROR, G.BOOTSTRAP): F.READY,
}
FILE_HOLDS = frozenset(
    {
        (F.PAUSED, G.PAUSE),
        (F.SUCCESS, G.PAUSE),
        (F.ERROR, G.PAUSE),
        (F.CANCELLED, G.PAUSE),
        (F.PREPARING, G.RESUME),
        (F.READY, G.RESUME),
        (F.UPLOADING, G.RESUME),
        (F.SUCCESS, G.RESUME),
        (F.ERROR, G.RESUME),
        (F.CANCELLED, G.RESUME),
        (F.SUCCESS, G.CANCEL),
        (F.ERROR, G.CANCEL),
        (F.CANCELLED, G.CANCEL),
        (F.PREPARING, G.RETRY),
        (F.READY, G.RETRY),
        (F.UPLOADING, G.RETRY),
    }
)
TERMINAL = frozenset({F.SUCCESS, F.ERROR, F.CANCELLED})

T, H = SessionState, SessionEvent
SESSION: Mapping[tuple[SessionState, SessionEvent], SessionState] = {
    (T.IDLE, H.UPLOAD): T.UPLOADING,
    (T.IDLE, H.CANCEL): T.IDLE,
    (T.IDLE, H.CLOSE): T.CLOSED,
    (T.UPLOADING, H.PAUSE): T.PAUSED,
    (T.UPLOADING, H.DRAINED): T.IDLE,
    (T.UPLOADING, H.CANCEL): T.IDLE,
    (T.UPLOADING, H.CLOSE): T.CLOSED,
    (T.PAUSED, H.UPLOAD): T.UPLOADING,
    (T.PAUSED, H.DRAINED): T.IDLE,
    (T.PAUSED, H.CANCEL): T.IDLE,
    (T.PAUSED, H.CLOSE): T.CLOSED,
}
SESSION_HOLDS = frozenset(
    {
        (T.IDLE, H.PAUSE),
        (T.UPLOADING, H.UPLOAD),
        (T.PAUSED, H.PAUSE),
        (T.CLOSED, H.CLOSE),
    }
)

State = TypeVar("State", bound=Enum)
Event = TypeVar("Event", bound=Enum)


def step(table: Mapping[tuple[State, Event], State], state: State, event: Event, subject: str) -> State:
    """The state that follows. Raises StateError, naming both, where the table has no such pair."""
    following = table.get((state, event))
    if following is None:
        raise StateError(f"{event.value} the {subject}", f"its state is {state.value}")
    return following
