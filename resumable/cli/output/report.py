"""The sentences that a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from ... import (
    Result,
    Resumable,
    ResumableChunk,
    ResumableFile,
)
from ...errors import redact_url
from ...options import Options
from ...protocol.plan import ChunkPlan
from ..interruption import Interrupted
from ..params.command import strip_control, styled
from ..params.sources import Found
from .exit_codes import ExitCode
from .progress import reason
from .resume_command import LEFT_OUT
from .stats import RunStats, chunks_there
from .units import duration, rate, size

__all__ = [
    "chunk",
    "facts",
    "failure",
    "plan",
    "planned",
    "retry",
    "stopped",
    "success",
    "summary",
    "trouble",
]


def failure(text: str) -> Text:
    """Something failed for good."""
    return styled(("failed: ", "bold red"), text)


def trouble(error: Exception, target: str, patience: float | None) -> Text:
    """The first attempt has failed, and others follow: on what, why, how long, and how to have it otherwise."""
    address = redact_url(target).partition("?")[0]
    reached = getattr(error, "status", None) is not None or getattr(error.__cause__, "reached", False)
    what = f"{address}: " if reached else f"cannot reach {address}: "
    limit = "without end" if patience is None else f"for {duration(patience)}"
    return styled(
        ("waiting: ", "yellow"),
        f"{what}{reason(error)}; trying again {limit}, --retry-for limits it",
    )


def retry(chunk: ResumableChunk, message: str | None) -> Text:
    """A chunk will be sent again."""
    why = " ".join((message or "").split())[:200]
    return styled(f"again: chunk {chunk.number} of {chunk.file.relative_path!r}" + (f" ({why})" if why else ""))


def success(file: ResumableFile) -> Text:
    """A file is at the server."""
    return styled(("done: ", "green"), f"{file.relative_path}, {size(file.size)}{_there(file)}")


def chunk(chunk: ResumableChunk) -> Text:
    """A chunk is at the server."""
    return styled(f"chunk {chunk.number} of {len(chunk.file.chunks)} of {chunk.file.relative_path!r} is there")


def _there(file: ResumableFile) -> str:
    there = chunks_there(file)
    return f"; {there} of {_count(len(file.chunks), 'chunk')} already there" if there else ""


def planned(found: Found, options: Options) -> Text:
    """A file that would be sent."""
    what = "size unknown"
    if found.size is not None:
        plan = ChunkPlan(found.size, options.chunk_size, options.force_chunk_size)
        what = f"{size(found.size)}, {_count(plan.count, 'chunk')}"
    return styled(f"{found.relative_path}  ", (what, "dim"))


def plan(files: Sequence[Found]) -> Text:
    """All files that would be sent."""
    total = sum(found.size or 0 for found in files)
    return styled(f"would send {_count(len(files), 'file')}, {size(total)}; nothing was sent")


def summary(session: Resumable, stats: RunStats, result: Result, code: ExitCode, *, refused: int) -> Text:
    """What has become of the whole run, and whether to run it again."""
    seconds = stats.seconds
    sent = session.bytes_sent
    verb = "uploaded" if sent or not stats.chunks_there else "at the server"
    parts = [f"{_count(len(result.succeeded), 'file')} {verb} in {duration(seconds)}"]
    if not result.succeeded:
        parts = [f"nothing was uploaded in {duration(seconds)}"]
    if sent:
        parts.append(f"{size(sent)} sent ({rate(sent / max(seconds, 0.001))})")
    if stats.chunks_there:
        parts.append(f"{stats.chunks_there} of {_count(stats.chunks, 'chunk')} already there")
    failed = len(result.failed) + refused
    if failed:
        parts.append(f"{_count(failed, 'file')} failed")
    if result.cancelled:
        parts.append(f"{_count(len(result.cancelled), 'file')} not tried, for the same reason")
    text = styled(("done: ", "bold green") if code is ExitCode.DONE else ("failed: ", "bold red"), ", ".join(parts))
    if code in (ExitCode.SOME_FAILED, ExitCode.EXHAUSTED) and (result.succeeded or stats.bytes_confirmed):
        text.append("\nThe same command goes on with what is missing.")
    return text


def stopped(stop: Interrupted, session: Resumable, stats: RunStats, again: str, *, piped: bool) -> Text:
    """A signal has stopped the run: how far it was, and how to go on."""
    confirmed, total = session.bytes_confirmed, session.get_size()
    text = styled(
        ("stopped: ", "bold yellow"),
        f"{stop}; {size(confirmed)} of {size(total)} are at the server. To go on:",
    )
    text.append(f"\n  {strip_control(again)}")
    if piped:
        text.append("\nThe same bytes have to be piped into it once more.")
    if LEFT_OUT in again:
        text.append(f"\nWhat may be secret is not shown: put it where {LEFT_OUT} stands.")
    return text


def facts(code: int, result: Result, stats: RunStats, refused: Sequence[Exception], skipped: int) -> dict[str, Any]:
    """The last object of ``--json``. After an interruption there is no result: then what the tally has counts."""
    return {
        "exit_code": int(code),
        "succeeded": len(result.succeeded) or stats.succeeded,
        "failed": (len(result.failed) or stats.failed) + len(refused),
        "cancelled": len(result.cancelled) or stats.cancelled,
        "skipped": len(result.skipped) + skipped,
        "chunks": stats.chunks,
        "chunks_already_there": stats.chunks_there,
        "bytes_confirmed": stats.bytes_confirmed,
        "bytes_skipped": stats.bytes_skipped,
        "seconds": round(stats.seconds, 3),
        "errors": [str(error) for error in (*refused, *(result.errors or stats.errors))],
    }


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
