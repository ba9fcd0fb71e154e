"""FIFOs, sockets and devices in place of a file, which can block whoever opens them for ever."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

__all__ = ["refuse_special_file"]

_HARMLESS = (os.devnull, "/dev/tty")
"""Devices that end, or that a person can end."""


def refuse_special_file(path: Any, *, written: bool = False) -> None:
    """Raise OSError if there is a FIFO, a socket or a device at the path: whoever opens it may wait for ever.

    A pipe that this process has open already, as ``/dev/stdin`` and process substitution name it, is as good as a file.
    ``written``: the file is written, and not read. What is missing, or cannot be looked at, is left to who opens it.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return
    if stat.S_ISFIFO(status.st_mode):
        kind = "a FIFO (named pipe)"
    elif stat.S_ISSOCK(status.st_mode):
        kind = "a socket"
    elif stat.S_ISBLK(status.st_mode) or (stat.S_ISCHR(status.st_mode) and not written and not _is_harmless(status)):
        kind = "a device"
    else:
        return
    if not _is_open_here(status):
        instead = "a regular file" if written else "a regular file, /dev/stdin or <(command)"
        raise OSError(errno.EINVAL, f"this is {kind}, which may block for ever; name {instead}", path)


def _is_harmless(status: os.stat_result) -> bool:
    return any(os.path.exists(path) and os.path.samestat(os.stat(path), status) for path in _HARMLESS)


def _is_open_here(status: os.stat_result) -> bool:
    """Return whether a descriptor of this process is what has this status."""
    try:
        numbers = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        return False
    for number in numbers:
        try:
            if os.path.samestat(os.fstat(number), status):
                return True
        except OSError:
            pass  # that of the listing itself, which is closed again
    return False
