"""Create, open and remove the directory of an upload.

``record``
    what the first request said, as JSON; after publishing also the name of the file and the digests of its chunks
``chunks``
    which chunks are stored, and their digests; the upload is open as long as this file exists
``part``
    the bytes, each chunk written straight to its place
``claim-…``
    a lock file, while a request sends this chunk or finishes the upload

The directory is created under a temporary name that begins with ``new-``, and removed under one that begins with
``old-``. If the upload took the place of a published one, the record of that is beside it, in a file whose name begins
with ``past-``.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
from contextlib import ExitStack

from .bitmap import ChunkBitmap
from .quotas import Quotas
from .record import UploadRecord
from .record_file import KeptRecord, read_record, write_record
from .safe_files import (
    exists,
    open_file,
    open_if_there,
    remove_directory,
)

__all__ = [
    "DAMAGED",
    "NEW",
    "OLD",
    "PAST",
    "check_links",
    "create_files",
    "load_upload",
    "remove_if_damaged",
    "remove_upload",
]

_log = logging.getLogger(__name__)

NEW = "new-"
OLD = "old-"
PAST = "past-"

DAMAGED = (FileNotFoundError, ValueError)
"""What :func:`load_upload` raises for an upload that is damaged."""


def create_files(directory_fd: int, record: UploadRecord, *, durable: bool) -> None:
    """Create the files of an upload without chunks in an empty directory."""
    ChunkBitmap.make(directory_fd, record.total_chunks)
    # Created before the record, whose sync puts both names on the disk: a synced chunk must be in a file with a name.
    os.close(open_file("part", os.O_WRONLY | os.O_CREAT, directory_fd, 0o666))
    write_record(directory_fd, KeptRecord(record), durable=durable, digests=())


def check_links(directory_fd: int) -> None:
    """Raise OSError if a file in this directory of an upload cannot have a second name."""
    os.link("record", "linked", src_dir_fd=directory_fd, dst_dir_fd=directory_fd, follow_symlinks=False)
    os.unlink("linked", dir_fd=directory_fd)


def load_upload(directory_fd: int) -> tuple[UploadRecord, ChunkBitmap | None]:
    """Read the record and open the bitmap in the directory of an upload; the bitmap is None if it is published.

    Raises one of ``DAMAGED`` if the upload is damaged, for example by a power failure.
    """
    # Publishing writes the record before it removes the bitmap: without a bitmap, the record says published.
    chunks_fd = open_if_there("chunks", os.O_RDWR, directory_fd)
    try:
        record = read_record(directory_fd)
        if chunks_fd is None and record.published is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "chunks")
        # Raises ValueError if the numbers of the record contradict each other.
        count = record.plan.count
        bitmap = None if chunks_fd is None else ChunkBitmap(chunks_fd, count)
        chunks_fd = None
        return record, bitmap
    finally:
        if chunks_fd is not None:
            os.close(chunks_fd)


def remove_upload(quotas: Quotas, key: str, state_fd: int, directory_fd: int) -> None:
    """Remove the upload in an open directory. The caller must hold its lock for finishing, or its directory alone."""
    try:
        if not os.path.samestat(os.fstat(directory_fd), os.stat(key, dir_fd=state_fd, follow_symlinks=False)):
            return
    except FileNotFoundError:
        return
    old = f"{OLD}{secrets.token_hex(8)}"
    with ExitStack() as ending:
        if exists("chunks", directory_fd):
            try:
                ending.enter_context(quotas.ending(read_record(directory_fd), state_fd))
            except (FileNotFoundError, ValueError):
                quotas.forget(state_fd)
        os.rename(key, old, src_dir_fd=state_fd, dst_dir_fd=state_fd)
    remove_directory(old, state_fd)


def remove_if_damaged(quotas: Quotas, key: str, state_fd: int, directory_fd: int) -> bool:
    """Remove a damaged upload, which the caller has locked exclusively. Return whether it was damaged."""
    try:
        _, bitmap = load_upload(directory_fd)
    except DAMAGED:
        _log.exception("removing upload %s, which is damaged", key)
        remove_upload(quotas, key, state_fd, directory_fd)
        return True
    if bitmap is not None:
        bitmap.close()
    return False
