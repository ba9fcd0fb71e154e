"""What the directory of an upload holds.

``record``
    what the first request said, as JSON, and later the name that the file was published under, and the digests of its
    chunks: the tombstone
``chunks``
    which chunks are stored, and their digests; the upload is an open one as long as this file is there
``part``
    the bytes, each chunk written straight to its place
``claim-…``
    while somebody sends this chunk, or finishes the upload

It comes into being whole, with a temporary name that begins with ``new-``, and goes with one that begins with ``old-``.
Beside it lies, as a file whose name begins with ``past-``, the record of the published upload whose place it took.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import ExitStack

from .base import UploadRecord
from .bitmap import ChunkBitmap
from .quotas import Quotas
from .records import KeptRecord, read_record, write_record
from .safe_files import (
    exists,
    open_file,
    open_if_there,
    remove_directory,
)

__all__ = ["NEW", "OLD", "PAST", "check_links", "create_files", "load_upload", "remove_upload"]

NEW = "new-"
OLD = "old-"
PAST = "past-"


def create_files(directory_fd: int, record: UploadRecord, *, durable: bool) -> None:
    """The empty directory holds an upload with no chunks afterwards."""
    ChunkBitmap.make(directory_fd, record.total_chunks)
    # Its name gets to the disk with that of the record: a chunk that is synced later must not be in a file without one.
    os.close(open_file("part", os.O_WRONLY | os.O_CREAT, directory_fd, 0o666))
    write_record(directory_fd, KeptRecord(record), durable=durable)


def check_links(directory_fd: int) -> None:
    """Raises OSError where a file of the directory, in which an upload was laid out, cannot have a second name."""
    os.link("record", "linked", src_dir_fd=directory_fd, dst_dir_fd=directory_fd, follow_symlinks=False)
    os.unlink("linked", dir_fd=directory_fd)


def load_upload(directory_fd: int) -> tuple[UploadRecord, ChunkBitmap | None]:
    """What the directory of an upload holds; the marks are to be closed, None for a published upload.

    Raises FileNotFoundError or ValueError where a power failure, or nobody knows what, has left half an upload.
    """
    # Publishing writes the record before it removes the marks: where they are missing, the record says published.
    chunks_fd = open_if_there("chunks", os.O_RDWR, directory_fd)
    try:
        record = read_record(directory_fd)
        if chunks_fd is None and record.published is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "chunks")
        # Raises ValueError where the numbers of the record contradict each other.
        count = record.plan.count
        bitmap = None if chunks_fd is None else ChunkBitmap(chunks_fd, count)
        chunks_fd = None
        return record, bitmap
    finally:
        if chunks_fd is not None:
            os.close(chunks_fd)


def remove_upload(quotas: Quotas, key: str, state_fd: int, directory_fd: int) -> None:
    """The open directory is no upload any more. The caller finishes it, or holds it alone."""
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
