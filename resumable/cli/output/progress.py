"""Where a run is, as numbers and in words."""

from __future__ import annotations

import time

from ... import Resumable, ResumableFile
from ...protocol.pages import summary
from .stats import RunStats
from .units import (
    count,
    duration,
    rate,
    remaining,
    size,
)

__all__ = ["fraction", "percent", "reason", "where"]


def where(session: Resumable, stats: RunStats) -> str:
    """Where the run is, in one line of text."""
    moved, total = session.bytes_confirmed, session.get_size()
    parts = [
        f"{percent(moved, total, whole=False)} %",
        f"{size(moved)} of {size(total)}",
        rate(session.speed),
        f"{remaining(session.time_remaining)} left",
        f"{count(stats.succeeded)} of {count(stats.files, 'file')}",
    ]
    if stats.chunks_there:
        parts.append(f"{count(stats.chunks_there)} of {count(stats.chunks, 'chunk')} already there")
    trouble = stats.trouble
    if trouble is not None:
        waited = duration(time.monotonic() - trouble.since)
        parts.append(f"nothing has got through for {waited}: {reason(trouble.error)}")
    return ", ".join(parts)


def fraction(file: ResumableFile) -> tuple[int, int]:
    """The bytes of a file that are there or on their way, and all of them."""
    return min(file.bytes_skipped + file.bytes_sent, file.size), file.size


def percent(moved: int, total: int, *, whole: bool) -> int:
    """Whole percents, rounded down; 100 only where ``whole`` says that the server has answered for all of it."""
    if whole:
        return 100
    return min(moved * 100 // total, 99) if total else 0


def reason(error: Exception) -> str:
    """Why an attempt failed, in a few words."""
    status = getattr(error, "status", None)
    if status is None:
        return str(error.__cause__ or error)
    said = summary(getattr(error, "body", ""))[:80]
    return f"the server answered {status}" + (f" {said!r}" if said else "")
