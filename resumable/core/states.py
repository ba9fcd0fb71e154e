"""The three state machines, as tables. Whoever changes a state looks the next one up.

*Chunk*. A chunk has a record only while it holds one of the slots for ``simultaneous_uploads``; PENDING and DONE are
implied by the file's cursor. A chunk that waits for its retry (BACKOFF) keeps its slot, so that a server in trouble
is not given other chunks meanwhile. A chunk that has to stop (STOPPING) keeps its slot until its worker reports:
freeing it earlier would put the same chunk on the wire twice.

*File*. PREPARING only if a hook or a slow identifier has to run before the first request. SUCCESS, ERROR and
CANCELLED are terminal: one signal is fired on entering, and nothing follows it, until ``retry`` or ``bootstrap``.

*Confirmation*. Once all chunks of a file are taken for stored, the server may have to be asked whether it has the file;
one that is not ours before it gets the last one, as it may forget the chunks then.
The question goes through the states of a chunk that is tested and never sent; DENIED leads back, and the file goes on.

*Session*. A run goes from IDLE to IDLE, whatever pauses lie between.

``NOOPS`` lists the pairs that ask for what holds already, or for what can no longer matter because the subject
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
    "FILE_NOOPS",
    "RUNNING",
    "SESSION",
    "SESSION_NOOPS",
    "TERMINAL",
    "ChunkEvent",
    "ChunkState",
    "FastEnum",
    "FileEvent",
    "FileState",
    "SessionEvent",
    "SessionState",
    "Transitions",
]


State = TypeVar("State", bound=Enum)
Event = TypeVar("Event", bound=Enum)


class Transitions(dict[tuple[State, Event], State]):
    """The table of a machine: the state that follows, by state and event. What is not in it raises StateError, naming
    the ``subject`` and both."""

    def __init__(self, subject: str, table: Mapping[tuple[State, Event], State]) -> None:
        super().__init__(table)
        self._subject = subject

    def __missing__(self, pair: tuple[State, Event]) -> State:
        state, event = pair
        raise StateError(f"{event.value} the {self._subject}", f"its state is {state.value}")


class FastEnum(Enum):
    """An Enum whose members hash fast: each chunk takes several looks into the tables, and Enum hashes in Python."""

    __hash__ = object.__hash__


class ChunkState(FastEnum):
    """The state of a chunk."""

    PENDING = "pending"
    """Not sent yet, or to be sent again; holds no slot."""
    TESTING = "testing"
    """The server is being asked whether it has the chunk."""
    SENDING = "sending"
    """The chunk is on its way."""
    BACKOFF = "backoff"
    """An attempt failed; the next one waits."""
    STOPPING = "stopping"
    """Has to stop while it is on the wire; its worker has not reported yet."""
    DONE = "done"
    """The server has it."""
    FAILED = "failed"
    """Refused for good; the file has failed with it."""


class ChunkEvent(FastEnum):
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
    WITHDRAWN = "withdrawn"


class FileState(FastEnum):
    """The state of a file."""

    PREPARING = "preparing"
    """A hook or a slow identifier has to run first."""
    READY = "ready"
    """Waits for its turn."""
    UPLOADING = "uploading"
    """At least one chunk has had its turn."""
    PAUSED = "paused"
    """Waits for ``resume()``."""
    SUCCESS = "success"
    """The server acknowledged every byte, and the file if it can."""
    ERROR = "error"
    """Failed; ``retry()`` goes on with what is stored."""
    CANCELLED = "cancelled"
    """Cancelled and removed from the session."""


class FileEvent(FastEnum):
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


class SessionState(FastEnum):
    """The state of a session."""

    IDLE = "idle"
    """No run is under way."""
    UPLOADING = "uploading"
    """A run is under way."""
    PAUSED = "paused"
    """A run is under way and waits for ``upload()`` or ``resume()``."""
    CLOSED = "closed"
    """Ended for good."""


class SessionEvent(FastEnum):
    """What happens to a session."""

    UPLOAD = "upload"
    PAUSE = "pause"
    DRAINED = "drained"
    CANCEL = "cancel"
    CLOSE = "close"


CHUNK = Transitions(
    "chunk",
    {
        (ChunkState.PENDING, ChunkEvent.TEST): ChunkState.TESTING,
        (ChunkState.PENDING, ChunkEvent.SEND): ChunkState.SENDING,
        (ChunkState.TESTING, ChunkEvent.PRESENT): ChunkState.DONE,
        (ChunkState.TESTING, ChunkEvent.ABSENT): ChunkState.SENDING,
        (ChunkState.TESTING, ChunkEvent.REFUSED): ChunkState.FAILED,
        (ChunkState.TESTING, ChunkEvent.RETRY): ChunkState.BACKOFF,
        (ChunkState.TESTING, ChunkEvent.STOP): ChunkState.STOPPING,
        (ChunkState.TESTING, ChunkEvent.WITHDRAWN): ChunkState.PENDING,
        (ChunkState.SENDING, ChunkEvent.ACCEPTED): ChunkState.DONE,
        (ChunkState.SENDING, ChunkEvent.REFUSED): ChunkState.FAILED,
        (ChunkState.SENDING, ChunkEvent.RETRY): ChunkState.BACKOFF,
        (ChunkState.SENDING, ChunkEvent.STOP): ChunkState.STOPPING,
        (ChunkState.SENDING, ChunkEvent.WITHDRAWN): ChunkState.PENDING,
        (ChunkState.BACKOFF, ChunkEvent.TEST): ChunkState.TESTING,
        (ChunkState.BACKOFF, ChunkEvent.DUE): ChunkState.SENDING,
        (ChunkState.BACKOFF, ChunkEvent.STOP): ChunkState.PENDING,
        (ChunkState.STOPPING, ChunkEvent.PRESENT): ChunkState.DONE,
        (ChunkState.STOPPING, ChunkEvent.ABSENT): ChunkState.PENDING,
        (ChunkState.STOPPING, ChunkEvent.ACCEPTED): ChunkState.DONE,
        (ChunkState.STOPPING, ChunkEvent.REFUSED): ChunkState.PENDING,
        (ChunkState.STOPPING, ChunkEvent.RETRY): ChunkState.PENDING,
        (ChunkState.STOPPING, ChunkEvent.STOPPED): ChunkState.PENDING,
    },
)

CONFIRMATION = Transitions(
    "confirmation",
    {
        (ChunkState.PENDING, ChunkEvent.TEST): ChunkState.TESTING,
        (ChunkState.TESTING, ChunkEvent.PRESENT): ChunkState.DONE,
        (ChunkState.TESTING, ChunkEvent.DENIED): ChunkState.PENDING,
        (ChunkState.TESTING, ChunkEvent.REFUSED): ChunkState.FAILED,
        (ChunkState.TESTING, ChunkEvent.RETRY): ChunkState.BACKOFF,
        (ChunkState.TESTING, ChunkEvent.STOP): ChunkState.STOPPING,
        (ChunkState.BACKOFF, ChunkEvent.DUE): ChunkState.TESTING,
        (ChunkState.BACKOFF, ChunkEvent.STOP): ChunkState.PENDING,
        (ChunkState.STOPPING, ChunkEvent.PRESENT): ChunkState.DONE,
        (ChunkState.STOPPING, ChunkEvent.DENIED): ChunkState.PENDING,
        (ChunkState.STOPPING, ChunkEvent.REFUSED): ChunkState.PENDING,
        (ChunkState.STOPPING, ChunkEvent.RETRY): ChunkState.PENDING,
        (ChunkState.STOPPING, ChunkEvent.STOPPED): ChunkState.PENDING,
    },
)

FILE = Transitions(
    "file",
    {
        (FileState.PREPARING, FileEvent.PREPARE): FileState.PREPARING,
        (FileState.PREPARING, FileEvent.PREPARED): FileState.READY,
        (FileState.PREPARING, FileEvent.PAUSE): FileState.PAUSED,
        (FileState.PREPARING, FileEvent.FINISH): FileState.SUCCESS,
        (FileState.PREPARING, FileEvent.FAIL): FileState.ERROR,
        (FileState.PREPARING, FileEvent.CANCEL): FileState.CANCELLED,
        (FileState.PREPARING, FileEvent.BOOTSTRAP): FileState.PREPARING,
        (FileState.READY, FileEvent.PREPARE): FileState.PREPARING,
        (FileState.READY, FileEvent.PREPARED): FileState.READY,
        (FileState.READY, FileEvent.LEASE): FileState.UPLOADING,
        (FileState.READY, FileEvent.PAUSE): FileState.PAUSED,
        (FileState.READY, FileEvent.FINISH): FileState.SUCCESS,
        (FileState.READY, FileEvent.FAIL): FileState.ERROR,
        (FileState.READY, FileEvent.CANCEL): FileState.CANCELLED,
        (FileState.READY, FileEvent.BOOTSTRAP): FileState.READY,
        (FileState.UPLOADING, FileEvent.LEASE): FileState.UPLOADING,
        (FileState.UPLOADING, FileEvent.PAUSE): FileState.PAUSED,
        (FileState.UPLOADING, FileEvent.FINISH): FileState.SUCCESS,
        (FileState.UPLOADING, FileEvent.FAIL): FileState.ERROR,
        (FileState.UPLOADING, FileEvent.CANCEL): FileState.CANCELLED,
        (FileState.UPLOADING, FileEvent.BOOTSTRAP): FileState.READY,
        (FileState.PAUSED, FileEvent.PREPARED): FileState.PAUSED,
        (FileState.PAUSED, FileEvent.RESUME): FileState.READY,
        (FileState.PAUSED, FileEvent.FINISH): FileState.SUCCESS,
        (FileState.PAUSED, FileEvent.FAIL): FileState.ERROR,
        (FileState.PAUSED, FileEvent.CANCEL): FileState.CANCELLED,
        (FileState.PAUSED, FileEvent.BOOTSTRAP): FileState.PAUSED,
        (FileState.SUCCESS, FileEvent.BOOTSTRAP): FileState.READY,
        (FileState.ERROR, FileEvent.RETRY): FileState.READY,
        (FileState.ERROR, FileEvent.BOOTSTRAP): FileState.READY,
    },
)
FILE_NOOPS = frozenset(
    {
        (FileState.PAUSED, FileEvent.PAUSE),
        (FileState.SUCCESS, FileEvent.PAUSE),
        (FileState.ERROR, FileEvent.PAUSE),
        (FileState.CANCELLED, FileEvent.PAUSE),
        (FileState.PREPARING, FileEvent.RESUME),
        (FileState.READY, FileEvent.RESUME),
        (FileState.UPLOADING, FileEvent.RESUME),
        (FileState.SUCCESS, FileEvent.RESUME),
        (FileState.ERROR, FileEvent.RESUME),
        (FileState.CANCELLED, FileEvent.RESUME),
        (FileState.SUCCESS, FileEvent.CANCEL),
        (FileState.ERROR, FileEvent.CANCEL),
        (FileState.CANCELLED, FileEvent.CANCEL),
        (FileState.PREPARING, FileEvent.RETRY),
        (FileState.READY, FileEvent.RETRY),
        (FileState.UPLOADING, FileEvent.RETRY),
    }
)
TERMINAL = frozenset({FileState.SUCCESS, FileState.ERROR, FileState.CANCELLED})
RUNNING = frozenset({SessionState.UPLOADING, SessionState.PAUSED})

SESSION = Transitions(
    "session",
    {
        (SessionState.IDLE, SessionEvent.UPLOAD): SessionState.UPLOADING,
        (SessionState.IDLE, SessionEvent.CANCEL): SessionState.IDLE,
        (SessionState.IDLE, SessionEvent.CLOSE): SessionState.CLOSED,
        (SessionState.UPLOADING, SessionEvent.PAUSE): SessionState.PAUSED,
        (SessionState.UPLOADING, SessionEvent.DRAINED): SessionState.IDLE,
        (SessionState.UPLOADING, SessionEvent.CANCEL): SessionState.IDLE,
        (SessionState.UPLOADING, SessionEvent.CLOSE): SessionState.CLOSED,
        (SessionState.PAUSED, SessionEvent.UPLOAD): SessionState.UPLOADING,
        (SessionState.PAUSED, SessionEvent.DRAINED): SessionState.IDLE,
        (SessionState.PAUSED, SessionEvent.CANCEL): SessionState.IDLE,
        (SessionState.PAUSED, SessionEvent.CLOSE): SessionState.CLOSED,
    },
)
SESSION_NOOPS = frozenset(
    {
        (SessionState.IDLE, SessionEvent.PAUSE),
        (SessionState.UPLOADING, SessionEvent.UPLOAD),
        (SessionState.PAUSED, SessionEvent.PAUSE),
        (SessionState.CLOSED, SessionEvent.CLOSE),
    }
)
