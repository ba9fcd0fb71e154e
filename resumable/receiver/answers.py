"""The parts of answers: sentences for people, and the headers that say how far an upload is."""

from __future__ import annotations

import errno
import logging
import secrets

from ..protocol.headers import FILE_HEADER, LIMIT_HEADER, FileStatus, format_file_status
from ..protocol.verdict import STORED_CHUNKS_HEADER, format_ranges
from .messages import Refusal, Request, Response
from .store.base import StoredUpload

__all__ = ["WHOLE", "all_chunks", "failure", "nothing_stored", "progress", "sentence", "stored_chunks"]

WHOLE = (FILE_HEADER, format_file_status(FileStatus(whole=True)))
"""The header that says that the file is published, and that whoever wants to know of it has been told."""

_log = logging.getLogger(__name__)

_MOST_RANGES = 256
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_HANDLES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def sentence(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """Return an answer that people can read."""
    return Response(status, f"{text}\n".encode("utf-8", "backslashreplace"), headers)


def failure(request: Request, error: Exception) -> Refusal:
    """What the client is told of an error inside; the detail is in the log, under the same number."""
    number = secrets.token_hex(4)
    _log.error("request %s (%r %r) failed", number, request.method, request.path, exc_info=error)
    code = error.errno if isinstance(error, OSError) else None
    if code in _NO_ROOM:
        return Refusal(507, "There is no room left for this upload.")
    if code in _NO_HANDLES:
        return Refusal(503, "The server is out of resources; try again.", ("Retry-After", "1"))
    if code == errno.EFBIG:
        return Refusal(413, "The file is larger than this server can store.", (LIMIT_HEADER, "file"))
    return Refusal(500, f"The server failed; its log says why, at request {number}.")


def progress(upload: StoredUpload) -> tuple[str, str]:
    """Return the header that says how far an upload is."""
    return _partial(upload.stored(), upload.record.total_chunks)


def nothing_stored(total: int) -> Response:
    """Return the answer to a test for an upload that has ``total`` chunks, of which none is here."""
    return Response(204, headers=(_partial(0, total), (STORED_CHUNKS_HEADER, "")))


def all_chunks(count: int) -> tuple[tuple[str, str], ...]:
    """Return the header that lists all of so many chunks."""
    return ((STORED_CHUNKS_HEADER, format_ranges(iter([(0, count)]))),)


def stored_chunks(upload: StoredUpload, below: int) -> tuple[tuple[str, str], ...]:
    """The header that lists all stored chunks, or no header where they are in too many pieces for one."""
    ranges: list[tuple[int, int]] = []
    for start, stop in upload.ranges():
        if len(ranges) == _MOST_RANGES:
            return ()
        if start < below:
            ranges.append((start, min(stop, below)))
    return ((STORED_CHUNKS_HEADER, format_ranges(iter(ranges))),)


def _partial(stored: int, total: int) -> tuple[str, str]:
    return FILE_HEADER, format_file_status(FileStatus(False, stored, total))
