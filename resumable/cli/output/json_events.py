"""The output of ``--json``: one object for each event.

``FIELDS`` documents the fields, ``fields_of`` returns those of an object; the documentation is generated from both.
"""

from __future__ import annotations

import json
import os
import queue
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
from ..interruption import Interrupted
from .exit_codes import code_of

__all__ = ["FIELDS", "NAMES", "PARTS", "JsonEvents", "fields_of"]

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "event": "the name of the event, or note, planned, status or result",
        "time": "when it was written, in seconds since 1970",
        "file": "the file, an object",
        "files": "the files that were added together, as objects",
        "skipped": "those that were left out; in a result how many files were left out",
        "chunk": "the chunk, an object",
        "message": "the last answer of the server, or why none came; null if there is neither",
        "ratio": "progress of the chunking: always 0, because it takes no time",
        "size": "bytes of all files; of a planned file its own, null if unknown",
        "bytes_confirmed": "bytes that the server has confirmed",
        "bytes_skipped": "confirmed bytes that the server had already",
        "bytes_sent": "bytes sent in this run, confirmed or in transit",
        "speed": "bytes per second",
        "error": "the name of the exception",
        "attempt": "how many attempts at the chunk have failed",
        "delay": "seconds until the next attempt",
        "result": "how many files ended how, an object",
        "reason": "the error as a sentence; in file_cancelled why: cancelled, removed, replaced, fail_fast or closed",
        "status": "the HTTP status of the answer, null if there was none",
        "exit_code": "the exit code of the command; in file_error the one for this file alone",
        "about": "the event whose handler raised",
        "handler": "the handler",
        "exception": "what it raised",
        "kind": "what the note is about: warning, waiting for the server, left_out or failed",
        "text": "a warning or hint, as a sentence",
        "path": "path of the file, - for the standard input",
        "relative_path": "its name at the server",
        "unique_identifier": "how the server identifies the file",
        "state": "complete, partial, missing, or unknown if the answers of the server do not tell",
        "succeeded": "files that were uploaded; of status those that are complete at the server",
        "failed": "files that failed",
        "cancelled": "files that were cancelled or not tried",
        "chunks": "chunks of all files, without empty files",
        "chunks_already_there": "chunks that the server had already",
        "seconds": "duration of the run",
        "errors": "all errors as sentences",
    }
)
"""What each field means, whatever object it is in."""

PARTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "file": {
            "relative_path": "its name at the server",
            "size": "its size in bytes",
            "unique_identifier": "how the server identifies it, null until it is known",
            "chunks": "number of its chunks",
            "result": "what a receiver of this package said about the uploaded file, null before that",
            "whole": "whether the server has all of it, null if it does not say; for --part",
            "sha256": "its SHA-256 with --file-checksum, null before it is known",
        },
        "chunk": {
            "relative_path": "name of its file",
            "number": "counted from 1",
            "start": "offset of its first byte",
            "end": "offset after its last byte",
        },
        "result": {
            "succeeded": "files uploaded",
            "failed": "files failed",
            "cancelled": "files cancelled",
            "skipped": "files left out",
        },
    }
)
"""What the objects in an object hold."""

_FAR_BEHIND = 1000
_NUMBERS = ("bytes_confirmed", "bytes_skipped", "bytes_sent", "speed")
_MORE: Mapping[str, tuple[str, ...]] = {
    "progress": ("size", *_NUMBERS),
    "file_progress": _NUMBERS,
    "file_success": _NUMBERS,
    "file_retry": ("reason",),
    "chunk_retry": ("reason",),
    "file_error": ("error", "reason", "status", "exit_code"),
    "note": ("kind", "text"),
    "planned": ("path", "relative_path", "size"),
    "status": (
        "path", "relative_path", "size", "unique_identifier", "state", "chunks", "chunks_already_there",
        "bytes_confirmed",
    ),
    "result": (
        "exit_code", "succeeded", "failed", "cancelled", "skipped", "chunks", "chunks_already_there",
        "bytes_confirmed", "bytes_skipped", "seconds", "errors",
    ),
}  # fmt: skip
# The field of this name is that of the object itself.
_RENAMED = {"event": "about"}

NAMES = (*(name for name in EVENTS if name != "catch_all"), "note", "planned", "status", "result")
"""The values of ``event``."""


def fields_of(name: str) -> tuple[str, ...]:
    """Return the fields of an object of this event, besides ``event`` and ``time``."""
    arguments = EVENTS[name].arguments if name in EVENTS else ()
    return (*(_RENAMED.get(argument, argument) for argument in arguments), *_MORE.get(name, ()))


class JsonEvents:
    """Write lines of JSON to the standard output. If that fails, the upload continues without.

    A thread of its own writes them, so that a slow reader does not stop the upload. While it is far behind, progress
    is left out. ``skipped`` counts the files that the command has left out, which its session does not
    know of.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._lock = threading.Lock()
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None

    def follow(self, session: Resumable) -> None:
        """Write every event of the session from now on."""
        session.on("catch_all", lambda event, *arguments: self.event(session, event, arguments))

    def event(self, session: Resumable, event: str, arguments: tuple[Any, ...]) -> None:
        """Write the event with its arguments; ``progress`` with the numbers of the session."""
        facts = {name: _plain(value) for name, value in zip(fields_of(event), arguments, strict=False)}
        if event == "progress":
            facts = _progress(session)
        elif event == "complete":
            facts["result"]["skipped"] += self.skipped
        elif event in ("file_progress", "file_success"):
            facts |= _progress(arguments[0])
        elif event in ("file_retry", "chunk_retry"):
            error = arguments[-3]
            facts |= {"error": type(error).__name__, "reason": str(error), "delay": round(arguments[-1], 3)}
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
        """Write one object. Any thread may call this."""
        if event in ("progress", "file_progress") and self._lines.qsize() > _FAR_BEHIND:
            return
        line = json.dumps({"event": event, "time": round(time.time(), 3), **facts}, default=str)
        with self._lock:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="resumable-json", daemon=True)
                self._writer.start()
            self._lines.put(line)

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the object ``result``, and wait until all has been read. A signal meanwhile ends the process."""
        self.write("result", facts)
        self._lines.put(None)
        assert self._writer is not None
        try:
            self._writer.join()
        except Interrupted as stop:
            # The writer blocks the standard output, which is flushed at the end of the process.
            os._exit(stop.exit_code)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
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
            "whole": value.whole,
            "result": value.result,
            "sha256": value.sha256,
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
