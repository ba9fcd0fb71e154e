"""The standard streams: what is piped in or typed, and outputs that may be closed, full, or narrow in encoding."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

__all__ = ["UNWRITABLE", "OutputStream", "Piped", "guard_streams", "standard_input"]

UNWRITABLE = 9
"""The exit code of a command that did what it was asked to, but could not say so."""


class OutputStream:
    """A standard stream that never raises: once it cannot be written, whatever else is written to it is dropped.

    ``error`` is the first failure, or None. A pipe that nobody reads any more is no failure: its reader saw enough.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._open = True
        self.error: OSError | None = None
        if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
            # What the encoding does not have is escaped. The second is the usual one of the locale POSIX.
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Return whether a person may be looking."""
        return self._stream is not None and not self._stream.closed and bool(self._stream.isatty())

    def write(self, text: str) -> int:
        """Write the text, or drop it. Raises TypeError for what is not text."""
        if not isinstance(text, str):
            raise TypeError(f"a str is needed, not {type(text).__name__}")
        if text:
            self._attempt(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it."""
        if self._stream is not None:
            self._attempt(self._stream.flush)

    def discard(self) -> None:
        """Drop what is still buffered, or the interpreter would try to write it once more at its end."""
        if not self._open and self._stream is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def _attempt(self, action: Callable[[], object]) -> None:
        if not self._open:
            return
        try:
            if self._stream is None or self._stream.closed:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            action()
        except OSError as error:
            self._open = False
            if not isinstance(error, BrokenPipeError):
                self.error = error


def guard_streams(command: Callable[[], int], *, own: bool) -> int:
    """Run the command with standard streams that may be closed or full, and return its exit code.

    It is 9 if the command returned 0 but could not write to the standard output. ``own``: the process is the command's
    alone, so nothing it opens may get the number of a standard stream, and the interpreter is kept from writing at its
    end what could not be written.
    """
    if own:
        _occupy_standard_descriptors()
    before = sys.stdout, sys.stderr
    out, err = OutputStream(sys.stdout), OutputStream(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        code = command()
        out.flush()
        if out.error is not None:
            why = "it is closed" if out.error.errno == errno.EBADF else out.error.strerror
            print(f"failed: cannot write to the standard output: {why}", file=err)
            code = code or UNWRITABLE
        return code
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
        if own:
            out.discard()
            err.discard()


def _occupy_standard_descriptors() -> None:
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one


class Piped(io.RawIOBase):
    """A descriptor that is read as soon as something is there, and not before, so that Ctrl-C is always noticed."""

    def __init__(self, descriptor: int, wait: Callable[[int], None]) -> None:
        self._descriptor = descriptor
        self._wait = wait

    def read(self, size: int = -1) -> bytes:
        """Return at most so many bytes, as many as have come; none at the end."""
        self._wait(self._descriptor)
        return os.read(self._descriptor, size if size > 0 else 1 << 16)

    def readable(self) -> bool:
        """Return True."""
        return True


def standard_input(wait: Callable[[int], None]) -> BinaryIO | Piped:
    """Return the standard input: as a file if it is one, which need not be copied, or else as a stream."""
    binary = sys.stdin.buffer
    try:
        descriptor = binary.fileno()
    except OSError:
        return binary
    regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    # Windows can only wait for sockets.
    return binary if regular or sys.platform == "win32" else Piped(descriptor, wait)
