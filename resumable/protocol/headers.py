"""The headers with which a client and a receiver of this package recognise each other, and their values.

All of them are optional. An answer without ``Resumable-Server`` comes from a foreign server, whose word has to do. With
it, the client believes that a file is stored only if an answer says so. Values are structured fields
(RFC 9651).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

__all__ = [
    "CHUNK_SIZE_HEADER",
    "FILE_HEADER",
    "LIMIT_HEADER",
    "MAX_UPLOADS_HEADER",
    "NAME_HEADER",
    "ORDER_ANY",
    "ORDER_HEADER",
    "SERVER_HEADER",
    "SESSION_HEADER",
    "WIRE_VERSION",
    "FileStatus",
    "format_file_status",
    "from_receiver",
    "parse_file_status",
    "parse_max_uploads",
]

SERVER_HEADER = "Resumable-Server"
"""On every answer of a receiver of this package: the version of what it says beyond resumable.js."""

WIRE_VERSION = "1"
"""The value of :data:`SERVER_HEADER`."""

FILE_HEADER = "Resumable-File"
"""On answers to tests and uploads: how far this upload is after the request, see :class:`FileStatus`."""

LIMIT_HEADER = "Resumable-Limit"
"""On 413 and 507: which limit was exceeded. ``request``: the bytes of one request, so smaller chunks help. ``file``:
the bytes of one file. ``chunks``: the number of its chunks, so larger chunks help. ``quota``: the bytes of all
unfinished uploads of this client."""

NAME_HEADER = "Resumable-Name"
"""On answers that say that the file is whole: the path under which it was published, see :mod:`.completion`."""

ORDER_HEADER = "Resumable-Order"
"""On every answer of a receiver of this package: in which order the chunks of a file may come."""

ORDER_ANY = "any"
"""The value of :data:`ORDER_HEADER` if the first and the last chunk are like all others."""

MAX_UPLOADS_HEADER = "Resumable-Max-Uploads"
"""On every answer of a receiver of this package: how many requests at once it likes from one client. A client whose
user chose no number of simultaneous uploads keeps to it."""

CHUNK_SIZE_HEADER = "Resumable-Chunk-Size"
"""On 409, if the upload that began before is cut into other chunks: the ``chunk_size`` of that upload. If it equals the
one in the request, the two differ in ``force_chunk_size``."""

SESSION_HEADER = "Resumable-Session"
"""On requests to a receiver of this package: 32 hexadecimal digits, the same for all requests of a session for one of
its files. A request that is repeated because its answer was lost gets the same answer again; a file that is added once
more is another one."""

_SERVER = SERVER_HEADER.lower()
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_PARTIAL = re.compile(r"partial;stored=([0-9]{1,15});total=([0-9]{1,15})")


class FileStatus(NamedTuple):
    """How far an upload is: how many of its chunks are stored. ``whole`` if the file is published."""

    whole: bool
    stored: int = 0
    total: int = 0


def from_receiver(headers: Mapping[str, str]) -> bool:
    """Return whether an answer comes from a receiver of this package. The names of its headers are in lower case."""
    return _SERVER in headers


def format_file_status(status: FileStatus) -> str:
    """Return the value of :data:`FILE_HEADER`: ``whole``, or ``partial;stored=4;total=12``."""
    return "whole" if status.whole else f"partial;stored={status.stored};total={status.total}"


def parse_file_status(value: str) -> FileStatus | None:
    """Return what a value of :data:`FILE_HEADER` says, or None if it is not well formed."""
    text = value.strip()
    if text == "whole":
        return FileStatus(whole=True)
    found = _PARTIAL.fullmatch(text)
    return FileStatus(False, int(found[1]), int(found[2])) if found else None


def parse_max_uploads(value: str) -> int | None:
    """Return what a value of :data:`MAX_UPLOADS_HEADER` says, or None if it is not a number from 1 on."""
    text = value.strip()
    return int(text) if _NUMBER.fullmatch(text) else None
