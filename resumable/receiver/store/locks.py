"""Locks among all threads and processes that work on an upload.

A lock is a file in the upload's directory that is locked by ``flock``. The system drops the lock when the process dies,
so a lock file without a lock is a leftover.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..messages import Refusal
from .base import Discarded
from .safe_files import open_directory, open_file, unlock_and_close

__all__ = ["hold_lock", "lock_directory"]


@contextmanager
def hold_lock(name: str, directory_fd: int, *, timeout: float, what: str) -> Iterator[None]:
    """Hold the lock of this name for a block. Waits for it up to ``timeout`` seconds.

    Raises :class:`Refusal`: 503, with ``what`` in its sentence, if another request holds it longer than that; 409 if
    the directory was removed.
    """
    deadline = time.monotonic() + timeout
    pause = 0.001
    while (held_fd := _try_lock(f"claim-{name}", directory_fd)) is None:
        if time.monotonic() > deadline:
            sentence = f"Another request is still {what} this upload: try again."
            raise Refusal(503, sentence, ("Retry-After", "1"))
        threading.Event().wait(pause)
        pause = min(2 * pause, 0.05)
    try:
        yield
    finally:
        # The file is gone if the upload was discarded with all its files.
        with suppress(FileNotFoundError):
            os.unlink(f"claim-{name}", dir_fd=directory_fd)
        unlock_and_close(held_fd)


def _try_lock(name: str, directory_fd: int) -> int | None:
    """Open and lock the file of this name; return None if another has locked it.

    The holder of a lock removes its file before unlocking it.
    """
    try:
        fd = open_file(name, os.O_RDWR | os.O_CREAT, directory_fd)
    except FileNotFoundError:
        raise Discarded from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:
            held_fd, fd = fd, -1
            return held_fd
    except BlockingIOError:
        pass
    finally:
        if fd >= 0:
            os.close(fd)
    return None


def lock_directory(name: str, state_fd: int, operation: int) -> int | None:
    """Open and lock the directory of an upload; return None if there is none, or with LOCK_NB if it is in use."""
    while True:
        try:
            directory_fd = open_directory(name, state_fd)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(directory_fd, operation)
            # It may have been removed while we waited, since that needs the same lock.
            if os.path.samestat(os.fstat(directory_fd), os.stat(name, dir_fd=state_fd, follow_symlinks=False)):
                held, directory_fd = directory_fd, -1
                return held
        except FileNotFoundError:
            pass
        except BlockingIOError:
            return None
        finally:
            if directory_fd >= 0:
                os.close(directory_fd)
