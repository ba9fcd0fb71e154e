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
from .safe_files import open_file, unlock

__all__ = ["claim"]


@contextmanager
def claim(name: str, directory: int, *, patience: float, what: str) -> Iterator[None]:
    """Alone with this name inside the block. Waits up to ``patience`` seconds for another that has it.

    Raises :class:`Refusal`: 503, with ``what`` in its sentence, when they are over; 409 where the directory was
    removed.
    """
    deadline = time.monotonic() + patience
    pause = 0.001
    while (held := _try_claim(f"claim-{name}", directory)) is None:
        if time.monotonic() > deadline:
            sentence = f"Another request is {what} this upload; try again."
            raise Refusal(503, sentence, ("Retry-After", "1"))
        threading.Event().wait(pause)
        pause = min(2 * pause, 0.05)
    try:
        yield
    finally:
        # It is not there any more when the upload was discarded, and all its files with it.
        with suppress(FileNotFoundError):
            os.unlink(f"claim-{name}", dir_fd=directory)
        unlock(held)


def _try_claim(name: str, directory: int) -> int | None:
    """The file of this name, locked, None where another has it. Whoever has it removes it before letting go."""
    try:
        file = open_file(name, os.O_RDWR | os.O_CREAT, directory)
    except FileNotFoundError:
        raise Discarded from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file).st_nlink:
            held, file = file, -1
            return held
    except BlockingIOError:
        pass
    finally:
        if file >= 0:
            os.close(file)
    return None
