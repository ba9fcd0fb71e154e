"""``--json``: one object for each event, on the standard output."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from .. import Resumable, ResumableChunk, ResumableFile
from ..events import EVENTS
from .outcome import code_of

__all__ = ["Records"]


class Records:
    """Writes lines of JSON. Once they cannot be written any more the upload goes on without."""

    def __init__(self, stream: Any = None) -> None:
        self._stream = stream or sys.stdout

    def watch(self, session: Resumable) -> None:
        """From now on every event of the session is written."""
        session.on("catch_all", lambda event, *arguments: self.event(session, event, arguments))

    def event(self, session: Resumable, event: str, arguments: tuple[Any, ...]) -> None:
        """The event is written, its arguments under their names; ``progress`` with the numbers of the session."""
        facts = {name: _plain(value) for name, value in zip(EVENTS[event].arguments, arguments, strict=False)}
        if event == "progress":
            facts = _progress(session)
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
        """One object is written, with the time in seconds since the epoch."""
        line = json.dumps({"event": event, "time": round(time.time(), 3), **facts}, default=str)
        try:
            print(line, file=self._stream, flush=True)
        except (OSError, ValueError):
            self._stream = _Nobody()


class _Nobody:
    """A stream that nobody reads."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        return


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
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(getattr(value, "__qualname__", value))
