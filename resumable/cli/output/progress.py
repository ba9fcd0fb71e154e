"""The progress of a run, as numbers and in words."""

from __future__ import annotations

import math
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

__all__ = ["fraction", "pace", "percent", "progress_line", "reason", "waiting"]


def progress_line(session: Resumable, stats: RunStats) -> str:
    """Return the progress of the run as one line of text."""
    moved, total = session.bytes_confirmed, session.get_size()
    speed, left = pace(session, stats)
    parts = [
        f"{percent(moved, total, whole=False)} %",
        f"{size(moved)} of {size(total)}",
        speed,
        f"{left} left",
        f"{count(stats.succeeded)} of {count(stats.files, 'file')}",
    ]
    if stats.chunks_there:
        parts.append(f"{count(stats.chunks_there)} of {count(stats.chunks, 'chunk')} already there")
    wait = waiting(session)
    if wait:
        parts.append(wait)
    trouble = stats.trouble
    if trouble is not None:
        waited = duration(time.monotonic() - trouble.since)
        parts.append(f"nothing has got through for {waited}: {reason(trouble.error)}")
    return ", ".join(parts)


def waiting(session: Resumable) -> str:
    """Return when the next attempt begins, if there is nothing to do but to wait for it; else nothing."""
    seconds = session.retry_in
    return "" if seconds is None else f"waiting for the server, next try in {duration(max(math.ceil(seconds), 1))}"


def pace(subject: Resumable | ResumableFile, stats: RunStats) -> tuple[str, str]:
    """Return the speed and the time that remains, as text. While nothing gets through there is neither."""
    if stats.trouble is not None:
        return rate(0), remaining(None)
    return rate(subject.speed), remaining(subject.time_remaining)


def fraction(file: ResumableFile) -> tuple[int, int]:
    """Return the bytes of a file that are confirmed or in transit, and its size."""
    size = file.part_size
    return min(file.bytes_skipped + file.bytes_sent, size), size


def percent(moved: int, total: int, *, whole: bool) -> int:
    """Return the percentage, rounded down; 100 only if ``whole``: the server has confirmed everything."""
    if whole:
        return 100
    return min(moved * 100 // total, 99) if total else 0


def reason(error: Exception) -> str:
    """Return why an attempt failed, in a few words."""
    status = getattr(error, "status", None)
    if status is None:
        return str(error.__cause__ or error)
    said = summary(getattr(error, "body", ""))[:80]
    return f"the server answered {status}" + (f" {said!r}" if said else "")
