"""The parts of answers: sentences for people, and the headers that say how far an upload is."""

from __future__ import annotations

import errno
import json
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from ..protocol.completion import format_completion, format_name
from ..protocol.headers import FILE_HEADER, LIMIT_HEADER, NAME_HEADER, FileStatus, format_file_status
from ..protocol.verdict import STORED_CHUNKS_HEADER, format_ranges
from .messages import Refusal, Request, Response
from .store.base import StoredUpload
from .store.record import UploadRecord

__all__ = [
    "all_chunks",
    "check_result",
    "failure",
    "nothing_stored",
    "progress",
    "sentence",
    "stored_chunks",
    "stored_ranges",
    "whole",
]

_WHOLE = (FILE_HEADER, format_file_status(FileStatus(whole=True)))

_LARGEST_RESULT = 32 * 1024

_log = logging.getLogger(__name__)

_MOST_RANGES = 256
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_HANDLES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def sentence(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """Return an answer with a sentence for people."""
    return Response(status, f"{text}\n".encode("utf-8", "backslashreplace"), headers)


def whole(status: int, text: str, record: UploadRecord, request: Request, *headers: tuple[str, str]) -> Response:
    """Return the answer that says that a file is published and that the application knows of it.

    It has the name of the file, and what the application returned, as JSON, if the client takes that.
    """
    name = record.published or record.name
    headers = (_WHOLE, (NAME_HEADER, format_name(name)), *headers)
    if not _takes_json(request, record.result):
        return sentence(status, text, *headers)
    body = format_completion(name, record.result)
    return Response(status, f"{body}\n".encode(), (*headers, ("Content-Type", "application/json")))


def _takes_json(request: Request, result: Mapping[str, Any] | None) -> bool:
    """Return whether the client accepts JSON: by name, or, if there is a result, because it accepts anything."""
    accepted = request.headers.get("accept", "*/*")
    types = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    return "application/json" in types or (result is not None and not types.isdisjoint(("*/*", "application/*")))


def check_result(result: object) -> Mapping[str, Any] | None:
    """Return the result of an application's hook if it is a mapping, which is for the client; otherwise None.

    Raises TypeError or ValueError if it cannot be JSON, or is too large.
    """
    if not isinstance(result, Mapping) or not result:
        return None
    try:
        text = json.dumps(dict(result), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"on_file_received() must return what can be written as JSON: {error}") from error
    if len(text) > _LARGEST_RESULT:
        raise ValueError(f"on_file_received() may return at most {_LARGEST_RESULT} bytes of JSON, not {len(text)}")
    known: Mapping[str, Any] = json.loads(text)
    return known


def failure(request: Request, error: BaseException) -> Refusal:
    """Log an unexpected error under a new number, and return what the client is told, with the same number."""
    number = secrets.token_hex(4)
    where = f"{request.method!r} {request.path!r}"
    _log.error("request %s (%s) failed: %s: %s", number, where, type(error).__name__, error, exc_info=error)
    code = error.errno if isinstance(error, OSError) else None
    if code in _NO_ROOM:
        return Refusal(507, f"The disk of the server is full: free some space there (request {number}).")
    if code in _NO_HANDLES:
        retry = ("Retry-After", "1")
        return Refusal(503, f"The server is out of memory or file handles: try again (request {number}).", retry)
    if code == errno.EROFS:
        retry = ("Retry-After", "5")
        return Refusal(503, f"The disk of the server is read-only: make it writable (request {number}).", retry)
    if code == errno.EFBIG:
        limit = (LIMIT_HEADER, "file")
        return Refusal(413, f"The file system of the server takes no file of this size (request {number}).", limit)
    return Refusal(500, f"The server failed: see request {number} in its log.")


def progress(upload: StoredUpload) -> tuple[str, str]:
    """Return the header that says how far an upload is."""
    return _partial(upload.stored(), upload.record.total_chunks)


def nothing_stored(total: int) -> Response:
    """Return the answer to a test of an upload of ``total`` chunks, none of which is stored."""
    return Response(204, headers=(_partial(0, total), (STORED_CHUNKS_HEADER, "")))


def all_chunks(count: int) -> tuple[tuple[str, str], ...]:
    """Return the header that lists this many chunks as stored."""
    return ((STORED_CHUNKS_HEADER, format_ranges(iter([(0, count)] if count else []))),)


def stored_chunks(upload: StoredUpload, below: int) -> tuple[tuple[str, str], ...]:
    """Return the header that lists all stored chunks, or no header if they are in too many ranges for one."""
    ranges = stored_ranges(upload, below)
    return () if ranges is None else ((STORED_CHUNKS_HEADER, format_ranges(iter(ranges))),)


def stored_ranges(upload: StoredUpload, below: int) -> tuple[tuple[int, int], ...] | None:
    """Return the ranges of indexes of all stored chunks, or None if they are too many for an answer."""
    ranges: list[tuple[int, int]] = []
    for start, stop in upload.ranges():
        if len(ranges) == _MOST_RANGES:
            return None
        if start < below:
            ranges.append((start, min(stop, below)))
    return tuple(ranges)


def _partial(stored: int, total: int) -> tuple[str, str]:
    return FILE_HEADER, format_file_status(FileStatus(False, stored, total))
