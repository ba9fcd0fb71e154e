"""Locks among all threads and processes that work on an upload.

A lock is a file in the upload's directory that is locked by ``flock``. The system drops the lock when the process dies,
so a lock file without a lock is a leftover.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress

from .refusals import Discarded, still_busy
from .safe_files import open_directory, open_file, unlock_and_close

__all__ = ["hold_lock", "lock_directory"]


class hold_lock:  # noqa: N801  # used like contextlib.closing
    """Hold the lock of this name for a block. Waits for it up to ``timeout`` seconds.

    Raises :class:`Refusal`: 503, with ``doing`` in its sentence, if another request holds it longer than that; 409 if
    the directory was removed.
    """

    __slots__ = ("_directory_fd", "_doing", "_held_fd", "_name", "_timeout")

    def __init__(self, name: str, directory_fd: int, *, timeout: float, doing: str) -> None:
        self._name = f"claim-{name}"
        self._directory_fd = directory_fd
        self._timeout = timeout
        self._doing = doing

    def __enter__(self) -> None:
        held_fd = _try_lock(self._name, self._directory_fd)
        self._held_fd = self._wait() if held_fd is None else held_fd

    def _wait(self) -> int:
        deadline = time.monotonic() + self._timeout
        pause = 0.001
        while time.monotonic() <= deadline:
            threading.Event().wait(pause)
            pause = min(2 * pause, 0.05)
            held_fd = _try_lock(self._name, self._directory_fd)
            if held_fd is not None:
                return held_fd
        raise still_busy(self._doing)

    def __exit__(self, *exception: object) -> None:
        try:
            # The file is gone if the upload was discarded with all its files.
            with suppress(FileNotFoundError):
                os.unlink(self._name, dir_fd=self._directory_fd)
        finally:
            unlock_and_close(self._held_fd)


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
