"""Locks: being the only one, among all threads and processes, that does something with an upload.

A claim is a file in the upload's directory that is locked by ``flock``. The system drops the lock when the process
dies, so that a claim file that nobody has locked belongs to nobody.
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
from .safe_files import open_file, unlock_and_close

__all__ = ["claim"]


@contextmanager
def claim(name: str, directory_fd: int, *, patience: float, what: str) -> Iterator[None]:
    """Alone with this name inside the block. Waits up to ``patience`` seconds for another that has it.

    Raises :class:`Refusal`: 503, with ``what`` in its sentence, when they are over; 409 where the directory was
    removed.
    """
    deadline = time.monotonic() + patience
    pause = 0.001
    while (held_fd := _try_claim(f"claim-{name}", directory_fd)) is None:
        if time.monotonic() > deadline:
            sentence = f"Another request is still {what} this upload: try again."
            raise Refusal(503, sentence, ("Retry-After", "1"))
        threading.Event().wait(pause)
        pause = min(2 * pause, 0.05)
    try:
        yield
    finally:
        # It is not there any more when the upload was discarded, and all its files with it.
        with suppress(FileNotFoundError):
            os.unlink(f"claim-{name}", dir_fd=directory_fd)
        unlock_and_close(held_fd)


def _try_claim(name: str, directory_fd: int) -> int | None:
    """The file of this name, locked, None where another has it. Whoever has it removes it before letting go."""
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
