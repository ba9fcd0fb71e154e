"""What a store keeps of its uploads: their keys, and how far each is. Locks nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, suppress

from .home import LAYOUT
from .layout import NEW, OLD, PAST, load_upload
from .quotas import QUOTA_FILE
from .record import UploadRecord, UploadStatus
from .record_file import read_kept, read_record
from .replacement import NAME
from .safe_files import closing_fd, exists, modified, open_directory

__all__ = ["OF_THE_STORE", "inventory", "open_records"]

OF_THE_STORE = (QUOTA_FILE, LAYOUT)
"""The files in the state directory that belong to no upload."""

_NO_UPLOADS = (NEW, OLD, PAST, NAME)
# A record of another version of this module raises TypeError, and is kept.
_UNREADABLE = (OSError, ValueError, TypeError)


def inventory(state_fd: int) -> Iterator[UploadStatus]:
    """Yield how far each upload in the open state directory is, the most recently changed first.

    Reads the time of every upload at the start, and a record only when its upload comes.
    """
    for _, key in sorted(((_last_change(key, state_fd), key) for key in _keys(state_fd)), reverse=True):
        status = _status(key, state_fd)
        if status is not None:
            yield status


def open_records(state_fd: int) -> Iterator[UploadRecord]:
    """Yield the records of all unfinished uploads in the open state directory."""
    for key in _keys(state_fd):
        with suppress(*_UNREADABLE), closing_fd(open_directory(key, state_fd)) as directory_fd:
            if exists("chunks", directory_fd):
                yield read_record(directory_fd)


def _keys(state_fd: int) -> Iterator[str]:
    return (name for name in os.listdir(state_fd) if name not in OF_THE_STORE and not name.startswith(_NO_UPLOADS))


def _last_change(key: str, state_fd: int) -> float:
    """Return when a chunk was last stored, or the upload was published, in seconds since the epoch."""
    for file in ("chunks", "record"):
        with suppress(OSError):
            return modified(f"{key}/{file}", state_fd)
    return 0.0


def _status(key: str, state_fd: int) -> UploadStatus | None:
    """Return how far the upload is; None if it is gone, or if another one has replaced its file."""
    try:
        with closing_fd(open_directory(key, state_fd)) as directory_fd:
            record, bitmap = load_upload(directory_fd)
            if bitmap is None:
                if read_kept(directory_fd).superseded:
                    return None
                return UploadStatus(record, record.total_chunks, record.total_size, modified("record", directory_fd))
            with closing(bitmap):
                number, last = bitmap.stored()
                plan = record.plan
                size = number * plan.chunk_size
                if last:
                    size += plan.length(plan.count - 1, plan.count) - plan.chunk_size
                return UploadStatus(record, number, size, time.time() - bitmap.age())
    except _UNREADABLE:
        return None
