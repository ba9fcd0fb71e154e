"""The standard streams: what is piped in, or typed, and what the encoding of a terminal cannot show."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

__all__ = ["Piped", "escape_unencodable", "standard_input"]


class Piped(io.RawIOBase):
    """A descriptor that is read as soon as something is there, and not before, so that Ctrl-C is always noticed."""

    def __init__(self, descriptor: int, wait: Callable[[int], None]) -> None:
        self._descriptor = descriptor
        self._wait = wait

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes, as many as have come; none at the end."""
        self._wait(self._descriptor)
        return os.read(self._descriptor, size if size > 0 else 1 << 16)

    def readable(self) -> bool:
        """Whether it is to be read from: always."""
        return True


def standard_input(wait: Callable[[int], None]) -> BinaryIO | Piped:
    """The standard input: as a file where it is one, which need not be copied, or else as a stream."""
    binary = sys.stdin.buffer
    try:
        descriptor = binary.fileno()
    except OSError:
        return binary
    regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    # Windows can only wait for sockets.
    return binary if regular or sys.platform == "win32" else Piped(descriptor, wait)


def escape_unencodable(stream: Any) -> None:
    """What is written to the stream and its encoding does not have is escaped, and raises nothing."""
    if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
