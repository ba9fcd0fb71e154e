"""``--json``: one object for each event, on the standard output.

``FIELDS`` says what the fields mean and ``fields_of`` which an object has; the documentation is made from both.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ... import (
    Result,
    Resumable,
    ResumableChunk,
    ResumableFile,
)
from ...events import EVENTS
from .exit_codes import code_of

__all__ = ["FIELDS", "NAMES", "PARTS", "JsonEvents", "fields_of"]

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "event": "the name of the event, or note, planned or result",
        "time": "when it was written, in seconds since 1970",
        "file": "the file, an object",
        "files": "the files that were added together, as objects",
        "skipped": "what was refused of them; in a result how many files were left out, by your flags",
        "chunk": "the chunk, an object",
        "message": "what the server said last, or why no answer came; null where there is neither",
        "ratio": "how far the cutting is: always 0, for it takes no time",
        "size": "bytes of all files; of a planned one its own, null where nobody knows them",
        "bytes_confirmed": "bytes that are at the server",
        "bytes_skipped": "those of them that were there already",
        "bytes_sent": "bytes that were sent and are there, or on their way",
        "speed": "bytes a second at the moment",
        "error": "the exception of the library",
        "result": "what became of the files, an object",
        "reason": "the error as a sentence; of a file_cancelled why: cancelled, removed, replaced, fail_fast, closed",
        "status": "the HTTP status that came back, null where none did",
        "exit_code": "what the command says to the shell; of a file_error, what it would say of this file alone",
        "about": "the event whose handler raised",
        "handler": "the handler",
        "exception": "what it raised",
        "text": "what you should know although nothing failed, as a sentence",
        "path": "where the file is, - for the standard input",
        "relative_path": "the name that it gets at the server",
        "succeeded": "how many files are at the server",
        "failed": "how many files failed",
        "cancelled": "how many files were not tried any more",
        "chunks": "how many chunks the files have, empty files aside",
        "chunks_already_there": "how many of them the server had already",
        "seconds": "how long it took",
        "errors": "the sentences of all errors",
    }
)
"""What each field means, whatever object it is in."""

PARTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "file": {
            "relative_path": "its name at the server",
            "size": "its bytes",
            "unique_identifier": "how the server knows it, null as long as it is not made",
            "chunks": "how many it has",
        },
        "chunk": {
            "relative_path": "that of its file",
            "number": "from 1",
            "start": "where it begins in the file",
            "end": "where the next one begins",
        },
        "result": {
            "succeeded": "how many files are at the server",
            "failed": "how many failed",
            "cancelled": "how many were cancelled",
            "skipped": "how many were left out",
        },
    }
)
"""What the objects in an object hold."""

_NUMBERS = ("bytes_confirmed", "bytes_skipped", "bytes_sent", "speed")
_MORE: Mapping[str, tuple[str, ...]] = {
    "progress": ("size", *_NUMBERS),
    "file_progress": _NUMBERS,
    "file_success": _NUMBERS,
    "file_error": ("error", "reason", "status", "exit_code"),
    "note": ("text",),
    "planned": ("path", "relative_path", "size"),
    "result": (
        "exit_code", "succeeded", "failed", "cancelled", "skipped", "chunks", "chunks_already_there",
        "bytes_confirmed", "bytes_skipped", "seconds", "errors",
    ),
}  # fmt: skip
# The field of this name is that of the object itself.
_RENAMED = {"event": "about"}

NAMES = (*(name for name in EVENTS if name != "catch_all"), "note", "planned", "result")
"""The values of ``event``."""


def fields_of(name: str) -> tuple[str, ...]:
    """The fields of an object of this event, besides ``event`` and ``time``."""
    arguments = EVENTS[name].arguments if name in EVENTS else ()
    return (*(_RENAMED.get(argument, argument) for argument in arguments), *_MORE.get(name, ()))


class JsonEvents:
    """Write lines of JSON to the standard output. If it cannot be written any more the upload goes on without.

    ``skipped`` counts the files that the command has left out, which its session does not know of.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._lock = threading.Lock()

    def control(self, session: Resumable) -> None:
        """From now on every event of the session is written."""
        session.on("catch_all", lambda event, *arguments: self.event(session, event, arguments))

    def event(self, session: Resumable, event: str, arguments: tuple[Any, ...]) -> None:
        """The event is written, its arguments under their names; ``progress`` with the numbers of the session."""
        facts = {name: _plain(value) for name, value in zip(fields_of(event), arguments, strict=False)}
        if event == "progress":
            facts = _progress(session)
        elif event == "complete":
            facts["result"]["skipped"] += self.skipped
        elif event in ("file_progress", "file_success"):
            facts |= _progress(arguments[0])
        elif event == "file_error" and arguments[0].error is not None:
            error = arguments[0].error
            facts |= {
                "error": type(error).__name__,
                "reason": str(error),
                "status": getattr(error, "status", None),
                "exit_code": int(code_of(error)),
            }
        self.write(event, facts)

    def write(self, event: str, facts: Mapping[str, Any]) -> None:
        """One object is written, with the time in seconds since the epoch. Any thread may call this."""
        line = json.dumps({"event": event, "time": round(time.time(), 3), **facts}, default=str)
        with self._lock:
            print(line, flush=True)


def _progress(subject: Resumable | ResumableFile) -> dict[str, Any]:
    facts = {
        "bytes_confirmed": subject.bytes_confirmed,
        "bytes_skipped": subject.bytes_skipped,
        "bytes_sent": subject.bytes_sent,
        "speed": round(subject.speed),
    }
    if isinstance(subject, ResumableFile):
        return {"file": _plain(subject), **facts}
    return {"size": subject.get_size(), **facts}


def _plain(value: Any) -> Any:
    if isinstance(value, ResumableFile):
        return {
            "relative_path": value.relative_path,
            "size": value.size,
            "unique_identifier": value.unique_identifier,
            "chunks": len(value.chunks),
        }
    if isinstance(value, ResumableChunk):
        path = value.file.relative_path
        return {"relative_path": path, "number": value.number, "start": value.start, "end": value.end}
    if isinstance(value, Result):
        return {name: len(getattr(value, name)) for name in PARTS["result"]}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(getattr(value, "__qualname__", value))
