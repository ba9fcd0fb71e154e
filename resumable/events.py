"""Every event, one row each, and how a name is understood.

The rows feed ``on()``, the signals, and the tables of the documentation. ``fileSuccess``, ``file_success``,
``file-success`` and ``FILESUCCESS`` are one name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from .errors import UnknownEvent

__all__ = ["EVENTS", "Event", "EventName", "FileEventName", "canonical", "chunk_event", "file_event"]


class Event(NamedTuple):
    """One row: ``subject`` is what the signal's sender is, ``arguments`` are those of the handler, in this order.

    ``coalesced``: of several that wait for delivery only one is delivered. ``terminal``: it says how a file or a run
    ended.
    """

    name: str
    js_name: str | None
    subject: str
    arguments: tuple[str, ...]
    help: str
    coalesced: bool = False
    terminal: bool = False


_ROWS = (
    Event("file_added", "fileAdded", "file", ("file",), "A file was added."),
    Event(
        "files_added",
        "filesAdded",
        "session",
        ("files", "skipped"),
        "A batch was added; skipped are the sources that were refused.",
    ),
    Event("before_add", "beforeAdd", "session", (), "A directory is about to be added."),
    Event("chunking_start", "chunkingStart", "file", ("file",), "A file is about to be cut into chunks."),
    Event(
        "chunking_progress",
        "chunkingProgress",
        "file",
        ("file", "ratio"),
        "Fired once, with 0: cutting takes no time.",
    ),
    Event("chunking_complete", "chunkingComplete", "file", ("file",), "The file was cut into chunks."),
    Event("upload_start", "uploadStart", "session", (), "The upload starts, or continues after a pause."),
    Event(
        "file_progress",
        "fileProgress",
        "file",
        ("file", "message"),
        "Bytes of the file were sent or confirmed.",
        coalesced=True,
    ),
    Event("progress", "progress", "session", (), "Bytes of any file were sent or confirmed.", coalesced=True),
    Event(
        "file_retry",
        "fileRetry",
        "file",
        ("file", "error", "attempt", "delay"),
        "A chunk of the file will be sent again, delay seconds from now; attempt counts the failed ones.",
    ),
    Event(
        "file_success",
        "fileSuccess",
        "file",
        ("file", "message"),
        "The server has confirmed every byte; message is its last answer.",
        terminal=True,
    ),
    Event(
        "file_error",
        "fileError",
        "file",
        ("file", "message"),
        "The file failed; file.error is the exception.",
        terminal=True,
    ),
    Event(
        "error",
        "error",
        "session",
        ("message", "file"),
        "A file failed; or, with file None, add_in_background() could not read something.",
        terminal=True,
    ),
    Event(
        "complete",
        "complete",
        "session",
        ("result",),
        "The run is over; result has its files by outcome.",
        terminal=True,
    ),
    Event("pause", "pause", "session", (), "The session was paused."),
    Event("before_cancel", "beforeCancel", "session", (), "The session is being cancelled."),
    Event("cancel", "cancel", "session", (), "The session was cancelled and its files removed."),
    Event("chunk_success", None, "chunk", ("chunk", "message"), "The server has the chunk."),
    Event(
        "chunk_retry",
        None,
        "chunk",
        ("chunk", "message", "error", "attempt", "delay"),
        "The chunk will be sent again, delay seconds from now; attempt counts the failed ones.",
    ),
    Event("chunk_error", None, "chunk", ("chunk", "message"), "The chunk failed for good."),
    Event(
        "file_cancelled",
        None,
        "file",
        ("file", "reason"),
        "The file was dropped before it was uploaded; reason is cancelled, removed, replaced, fail_fast or closed.",
        terminal=True,
    ),
    Event(
        "handler_error",
        None,
        "session",
        ("event", "handler", "exception"),
        "A handler raised; the upload continues.",
    ),
    Event(
        "catch_all", "catchAll", "session", ("event", "*arguments"), "Every event; event is its name as on() takes it."
    ),
)

EVENTS: Mapping[str, Event] = MappingProxyType({row.name: row for row in _ROWS})
"""The rows by name."""

EventName: TypeAlias = Literal[
    "file_added",
    "files_added",
    "before_add",
    "chunking_start",
    "chunking_progress",
    "chunking_complete",
    "upload_start",
    "file_progress",
    "progress",
    "file_retry",
    "file_success",
    "file_error",
    "error",
    "complete",
    "pause",
    "before_cancel",
    "cancel",
    "chunk_success",
    "chunk_retry",
    "chunk_error",
    "file_cancelled",
    "handler_error",
    "catch_all",
    "fileAdded",
    "filesAdded",
    "beforeAdd",
    "chunkingStart",
    "chunkingProgress",
    "chunkingComplete",
    "uploadStart",
    "fileProgress",
    "fileRetry",
    "fileSuccess",
    "fileError",
    "beforeCancel",
    "catchAll",
]
"""The names for ``session.on``; other spellings of them work, too."""

FileEventName: TypeAlias = Literal[
    "success",
    "error",
    "progress",
    "retry",
    "cancelled",
    "completed",
    "file_added",
    "chunking_start",
    "chunking_progress",
    "chunking_complete",
    "file_progress",
    "file_retry",
    "file_success",
    "file_error",
    "chunk_success",
    "chunk_retry",
    "chunk_error",
    "file_cancelled",
    "catch_all",
]
"""The names for ``file.on``."""

_OF_FILES = {
    "success": "file_success",
    "error": "file_error",
    "progress": "file_progress",
    "retry": "file_retry",
    "cancelled": "file_cancelled",
    "completed": "file_success",
}
_OF_CHUNKS = {short: f"chunk_{short}" for short in ("success", "retry", "error")}

_BY_SPELLING = {name.replace("_", ""): name for name in EVENTS}


def canonical(name: str) -> str:
    """Return the name of the event in snake_case. Raises UnknownEvent with the nearest name."""
    spelling = str(name).replace("_", "").replace("-", "").lower()
    found = _BY_SPELLING.get(spelling)
    if found is None:
        # Imported only if a name was mistyped.
        import difflib

        near = difflib.get_close_matches(spelling, _BY_SPELLING, n=1, cutoff=0.5)
        raise UnknownEvent(str(name), [_BY_SPELLING[match] for match in near])
    return found


def file_event(name: str) -> str:
    """Return the event of this name as ``file.on`` understands it. Raises UnknownEvent."""
    return _event_among(_OF_FILES.get(str(name).lower(), name), ("file", "chunk"))


def chunk_event(name: str) -> str:
    """Return the event of this name as ``chunk.on`` understands it. Raises UnknownEvent."""
    return _event_among(_OF_CHUNKS.get(str(name).lower(), name), ("chunk",))


def _event_among(name: str, subjects: tuple[str, ...]) -> str:
    event = canonical(name)
    if EVENTS[event].subject not in subjects and event != "catch_all":
        raise UnknownEvent(f"{name} of a {subjects[0]}")
    return event
