"""Uploads as the tests here make them: quick to retry, every event recorded, all promises checked at the end."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from resumable import (
    FileState,
    Result,
    Resumable,
    ResumableFile,
)

__all__ = ["CHUNK", "Run", "content", "upload"]

CHUNK = 4096

ENDINGS = {
    "file_success": FileState.SUCCESS,
    "file_error": FileState.ERROR,
    "file_cancelled": FileState.CANCELLED,
}


@dataclass
class Run:
    """What became of an upload: its files, the events in order with their arguments, and the result."""

    result: Result
    files: list[ResumableFile]
    events: list[tuple[Any, ...]] = field(repr=False)

    @property
    def names(self) -> list[str]:
        """The names of the events, in order."""
        return [event[0] for event in self.events]

    @property
    def error(self) -> Any:
        """The one error there is."""
        (error,) = self.result.errors
        return error

    def count(self, event: str) -> int:
        """How often the event fired."""
        return self.names.count(event)


def content(size: int, seed: int = 0) -> bytes:
    """So many bytes that do not repeat soon."""

    return random.Random(seed).randbytes(size)


def upload(url: Any, *sources: Any, seconds: float = 120, **options: Any) -> Run:
    """Everything is uploaded, or has failed. A source is what add_file takes, or (source, relative path)."""
    given = {
        "chunk_size": CHUNK,
        "chunk_retry_interval": 0.01,
        "timeout": (20, 20),
        "simultaneous_uploads": 1,
        **options,
    }
    events: list[tuple[Any, ...]] = []
    session = Resumable(url, auto_upload=False, **given)
    try:
        session.on("catch_all", lambda *arguments: events.append(arguments))
        files = []
        for source in sources:
            source, path = source if isinstance(source, tuple) else (source, None)
            if isinstance(source, bytes) and path is None:
                path = "sample.bin"
            files.append(session.add_file(source, relative_path=path))
        result = session.join(seconds, raise_errors=False)
    finally:
        session.close()
    run = Run(result, files, events)
    check_promises(run)
    return run


def check_promises(run: Run) -> None:
    """Every file ended in exactly one way, with one event for it, and ``complete`` fired once, behind all others."""
    endings = Counter((event[1], event[0]) for event in run.events if event[0] in ENDINGS)
    for file in run.files:
        assert file.state in ENDINGS.values()
        told = {name: count for (subject, name), count in endings.items() if subject is file}
        assert [ENDINGS[name] for name in told] == [file.state]
        assert list(told.values()) == [1]
        assert (file.state is FileState.SUCCESS) == (file.error is None and file.bytes_confirmed == file.size)
        assert file.progress() < 1 or file.state is FileState.SUCCESS or not file.size
    assert run.count("complete") == 1
    assert run.names[-1] == "complete"
    assert run.count("handler_error") == 0
    assert {file.state for file in run.result.succeeded} <= {FileState.SUCCESS}
