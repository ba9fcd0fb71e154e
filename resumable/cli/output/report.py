"""The sentences that people read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from ...units import strip_control
from ..interruption import Interrupted
from ..params.command import styled
from ..params.sources import Found
from .exit_codes import ExitCode
from .progress import reason
from .resume_command import LEFT_OUT
from .stats import RunStats, chunks_there
from .units import count, duration, rate, size

__all__ = [
    "chunk",
    "facts",
    "failure",
    "plan",
    "planned",
    "result",
    "retry",
    "sending",
    "stopped",
    "stopped_early",
    "success",
    "summary",
    "trouble",
    "watch_stopped",
]

_FEW = 10
"""Up to so many retries mostly end before the time for them does, so their number is what to change."""


def failure(text: str) -> Text:
    """Say that something failed for good."""
    return styled(("failed: ", "bold red"), text)


def trouble(error: Exception, target: str, retry_for: float | None, retries: int | None = None) -> Text:
    """Say that an attempt has failed and will be repeated: why, for how long or how often, and how to change that."""
    address = redact_url(target).partition("?")[0]
    reached = getattr(error, "status", None) is not None or getattr(error.__cause__, "reached", False)
    what = f"{address}: " if reached else f"cannot reach {address}: "
    limit = f"{'' if retry_for is None else f' for up to {duration(retry_for)}'} (--retry-for)"
    if retries is not None and retries <= _FEW:
        limit = f" {'once' if retries == 1 else f'at most {retries} times'} (--retries)"
    return styled(("waiting: ", "yellow"), f"{what}{reason(error)}; trying again{limit}")


def retry(chunk: ResumableChunk, message: str | None) -> Text:
    """Say that a chunk will be sent again."""
    why = " ".join((message or "").split())[:200]
    return styled(f"again: chunk {count(chunk.number)} of {chunk.file.relative_path!r}" + (f" ({why})" if why else ""))


def sending(found: Found) -> Text:
    """Say that a file is about to be sent."""
    return styled(f"sending: {found.relative_path}, {size(found.size or 0)}")


def success(file: ResumableFile, then: str = "") -> Text:
    """Say that a file is at the server, and what was done with it then."""
    then = f"; {then}" if then else ""
    part = file.resumable_obj.options.part
    of = "part {} of {} of ".format(*part) if part else ""
    return styled(("done: ", "green"), f"{of}{file.relative_path}, {size(file.part_size)}{_there(file)}{then}")


def chunk(chunk: ResumableChunk) -> Text:
    """Say that a chunk is at the server."""
    return styled(
        f"chunk {count(chunk.number)} of {count(len(chunk.file.chunks))} of {chunk.file.relative_path!r} is there"
    )


def _there(file: ResumableFile) -> str:
    there = chunks_there(file)
    return f"; {count(there)} of {count(len(file.chunks), 'chunk')} already there" if there else ""


def planned(found: Found, options: Options) -> Text:
    """Return the line of ``--dry-run`` about a file."""
    what = "size unknown"
    if found.size is not None:
        plan = ChunkPlan(found.size, options.chunk_size, options.force_chunk_size)
        what = f"{size(found.size)}, {count(plan.count, 'chunk')}"
    return styled(f"{found.relative_path}  ", (what, "dim"))


def plan(files: Sequence[Found]) -> Text:
    """Sum up ``--dry-run``."""
    total = sum(found.size or 0 for found in files)
    return styled(f"would send {count(len(files), 'file')}, {size(total)}; nothing was sent")


def summary(session: Resumable, stats: RunStats, result: Result, code: ExitCode, *, refused: int) -> Text:
    """Sum up the run, and say whether to run it again."""
    seconds = stats.seconds
    sent = session.bytes_sent
    verb = "uploaded" if sent or not stats.chunks_there else "at the server"
    parts = [f"{count(len(result.succeeded), 'file')} {verb} in {duration(seconds)}"]
    if not result.succeeded:
        parts = [f"nothing was uploaded in {duration(seconds)}"]
    if sent:
        parts.append(f"{size(sent)} sent ({rate(sent / max(seconds, 0.001))})")
    if session.options.part and result.succeeded:
        whole = sum(file.whole is True for file in result.succeeded)
        parts.append(f"{count(whole, 'file')} whole at the server, {count(len(result.succeeded) - whole)} not yet")
    if stats.chunks_there:
        parts.append(f"{count(stats.chunks_there)} of {count(stats.chunks, 'chunk')} already there")
    failed = len(result.failed) + refused
    if failed:
        parts.append(f"{count(failed, 'file')} failed")
    if result.cancelled:
        parts.append(f"{count(len(result.cancelled), 'file')} not tried, for the same reason")
    text = styled(("done: ", "bold green") if code is ExitCode.DONE else ("failed: ", "bold red"), ", ".join(parts))
    if code in (ExitCode.SOME_FAILED, ExitCode.EXHAUSTED) and (result.succeeded or stats.bytes_confirmed):
        text.append("\nRun the same command again to send what is missing.")
    return text


def stopped_early(stop: Interrupted, again: str) -> Text:
    """Say that a signal came before anything was sent."""
    return _to_go_on(f"{stop}; nothing was sent. To start again:", again)


def stopped(stop: Interrupted, session: Resumable, again: str, *, piped: bool) -> Text:
    """Say that a signal has stopped the run, how far it was, and how to go on."""
    confirmed, total = session.bytes_confirmed, session.get_size()
    text = _to_go_on(f"{stop}; {size(confirmed)} of {size(total)} are at the server. To go on:", again)
    if piped:
        text.append("\nPipe the same data into it again.")
    return text


def watch_stopped(stop: Interrupted, succeeded: int, again: str) -> Text:
    """Say that a signal has ended the watch of a directory."""
    return _to_go_on(f"{stop}; {count(succeeded, 'file')} uploaded. To go on:", again)


def _to_go_on(text: str, again: str) -> Text:
    shown = styled(("stopped: ", "bold yellow"), text)
    shown.append(f"\n  {strip_control(again)}")
    if LEFT_OUT in again:
        shown.append(f"\nSecrets are not shown: replace each {LEFT_OUT} with the real value.")
    return shown


def facts(code: int, stats: RunStats, refused: Sequence[Exception], skipped: int) -> dict[str, Any]:
    """Return the last object of ``--json``. ``refused`` are the errors of what never was a file of the session."""
    return result(
        code,
        succeeded=stats.succeeded,
        failed=stats.failed + len(refused),
        cancelled=stats.cancelled,
        skipped=skipped,
        chunks=stats.chunks,
        chunks_already_there=stats.chunks_there,
        bytes_confirmed=stats.bytes_confirmed,
        bytes_skipped=stats.bytes_skipped,
        seconds=stats.seconds,
        errors=(*refused, *stats.errors),
    )


def result(code: int, *, seconds: float, errors: Iterable[object] = (), **numbers: int) -> dict[str, Any]:
    """Return the facts of the object ``result``; what is not among the numbers is 0."""
    names = ("succeeded", "failed", "cancelled", "skipped", "chunks", "chunks_already_there")
    return {
        "exit_code": int(code),
        **{name: numbers.get(name, 0) for name in (*names, "bytes_confirmed", "bytes_skipped")},
        "seconds": round(seconds, 3),
        "errors": [str(error) for error in errors],
    }
