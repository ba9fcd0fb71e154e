"""Replace a published file: one upload at a time for each name, and the one before is noted as superseded.

For each name that was published while files may be replaced, a file in the state directory holds the key of the upload
that published it last. It is locked while that changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace

from .locks import hold_lock, lock_directory
from .policy import FilePolicy
from .record_file import read_kept, write_record
from .refusals import Discarded
from .safe_files import closing_lock, exists, open_file

__all__ = ["NAME", "forget_publisher", "name_locked", "read_key", "replacing"]

NAME = "name-"
"""How the names of these files begin."""

_KEY_LENGTH = 40


@contextmanager
def replacing(policy: FilePolicy, key: str, name: str, state_fd: int) -> Iterator[None]:
    """Let the upload with this key publish a file under a name, in a block, and mark the one before as superseded.

    Raises :class:`Refusal` (503) if the upload before is still being finished.
    """
    with name_locked(name, state_fd) as fd:
        yield
        before = read_key(fd)
        if before not in (key, ""):
            _supersede(policy, before, name, state_fd)
        os.pwrite(fd, key.encode(), 0)
        if policy.durable:
            os.fsync(fd)


def forget_publisher(file: str, state_fd: int) -> None:
    """Remove one of these files if its upload is gone."""
    with _locked(file, state_fd) as fd:
        key = read_key(fd)
        if not key or not exists(key, state_fd):
            os.unlink(file, dir_fd=state_fd)


def name_locked(name: str, state_fd: int) -> AbstractContextManager[int]:
    """Lock the file of a name for a block, which gets the open file."""
    return _locked(NAME + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_KEY_LENGTH], state_fd)


@contextmanager
def _locked(file: str, state_fd: int) -> Iterator[int]:
    while True:
        with closing_lock(open_file(file, os.O_RDWR | os.O_CREAT, state_fd)) as fd:
            fcntl.flock(fd, fcntl.LOCK_EX)
            # It may have been removed while we waited.
            if os.fstat(fd).st_nlink:
                yield fd
                return


def read_key(fd: int) -> str:
    """Return the key in the file of a name; nothing if there is none."""
    return os.pread(fd, _KEY_LENGTH, 0).decode("ascii", "replace")


def _supersede(policy: FilePolicy, key: str, name: str, state_fd: int) -> None:
    directory_fd = lock_directory(key, state_fd, fcntl.LOCK_SH)
    if directory_fd is None:
        return
    with (
        closing_lock(directory_fd),
        suppress(Discarded, FileNotFoundError),
        hold_lock("end", directory_fd, timeout=policy.patience, doing="finishing"),
    ):
        kept = read_kept(directory_fd)
        if kept.record.published == name:
            write_record(directory_fd, replace(kept, superseded=True), durable=policy.durable)
