"""What is uploaded: a path, a URL, an object with open() and stat(), a binary file, bytes, or a stream.

:func:`make_source` examines a source once, and refuses at once what cannot be uploaded. A path is opened when it is
first read and closed after, so that thousands of files need few descriptors. A stream of unknown length is copied to
a temporary file first, because the protocol names the size in the first request.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ..errors import SourceError
from .base import (
    FileVersion,
    Reader,
    Source,
    as_source_errors,
    expand_home,
    is_path_object,
    is_remote,
    named,
    refuse_unless_countable,
    refuse_unless_permitted,
    source_error,
)
from .stream import BytesSource, file_source, seek_and_read
from .url import is_url, url_source

__all__ = ["Reader", "Source", "is_source", "make_source"]

# Each flag exists on some platforms. A path that became a FIFO or a terminal must neither block nor be taken over.
_OPEN_FLAGS = os.O_RDONLY
for _flag in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
    _OPEN_FLAGS |= getattr(os, _flag, 0)

_KINDS = {
    stat.S_IFDIR: "a directory; add_directory() adds the files in it",
    stat.S_IFIFO: "a FIFO; open it and pass the stream",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def is_source(source: Any) -> bool:
    """Return whether this is of a kind that can be a source."""
    known = isinstance(source, (bytes, bytearray, memoryview, str, os.PathLike))
    return known or callable(getattr(source, "read", None)) or is_path_object(source)


def make_source(source: Any, *, name: str | None = None) -> Source:
    """Make the source for a path (text or os.PathLike), a URL that fsspec reads, an object with ``open()`` and
    ``stat()``, a binary file, bytes, or a binary stream.

    ``~`` is the user's home. A seekable file is uploaded from its first byte, wherever its position is, and must not be
    used by others meanwhile; a stream is read from where it is to its end, now; ``bytearray`` and ``memoryview`` are
    copied now. ``name`` is needed if the source has none.

    Raises SourceError for what is missing, unreadable, closed, no regular file, opened as text, or without a name.
    """
    kind = type(source).__name__
    with as_source_errors(name or kind):
        if isinstance(source, (bytes, bytearray, memoryview)):
            return BytesSource(named(name, source), bytes(source))
        if is_url(source):
            return url_source(source, name)
        if isinstance(source, (str, os.PathLike)) and not is_remote(source):
            return _path_source(source, name)
        if callable(getattr(source, "read", None)):
            return file_source(source, name)
        if is_path_object(source):
            return _object_source(source, name)
    raise SourceError(name or kind, f"{kind!r} is no path, object with open() and stat(), binary file or bytes")


def _refuse_unless_file(shown: str, mode: int) -> None:
    kind = stat.S_IFMT(mode)
    if kind not in (stat.S_IFREG, 0):  # 0: an object that is not ours and does not say
        code = errno.EISDIR if kind == stat.S_IFDIR else None
        raise SourceError(shown, f"it is {_KINDS.get(kind, 'not a regular file')}", errno=code)


def _refuse_unless_empty(shown: str, location: str) -> None:
    descriptor = os.open(location, _OPEN_FLAGS)
    try:
        if os.read(descriptor, 1):
            raise SourceError(shown, "it says that it has 0 bytes but has more; open it and pass the stream")
    finally:
        os.close(descriptor)


def _deleted(shown: str, error: FileNotFoundError) -> SourceError:
    return SourceError(shown, "it was deleted after it had been added", errno=error.errno)


def _preadv(descriptor: int, buffer: memoryview, offset: int) -> int:
    return os.preadv(descriptor, (buffer,), offset)  # type: ignore[attr-defined,no-any-return,unused-ignore]


def _seek_and_read(descriptor: int, buffer: memoryview, offset: int) -> int | None:
    with io.FileIO(descriptor, closefd=False) as file:
        return seek_and_read(file, buffer, offset)


class _PathSource(Source):
    """A path. Each reader has a descriptor of its own."""

    read_at: Callable[[int, memoryview, int], int | None] = staticmethod(
        _preadv if hasattr(os, "preadv") else _seek_and_read
    )

    def __init__(self, name: str, given: Any, shown: str, location: str, version: FileVersion) -> None:
        self.name = name
        self.size = version.size
        self.mtime_ns = version.mtime_ns
        self._given = given
        self._shown = shown
        self._location = location
        self._version = version

    @cached_property
    def path(self) -> Any:
        """See :class:`Source`. Few programs want it, and to make one takes as long as to look for the file."""
        return Path(self._shown) if self._given is None else self._given

    def open(self) -> Reader:
        try:
            descriptor = os.open(self._location, _OPEN_FLAGS)
        except FileNotFoundError as error:
            raise _deleted(self._shown, error) from error
        except Exception as error:
            raise source_error(self._shown, error) from error
        return Reader(
            self._shown,
            partial(self.read_at, descriptor),
            verify=partial(self._version.verify_unchanged, self._shown, partial(os.fstat, descriptor)),
            close=partial(os.close, descriptor),
            later=self.size > 0,
        )


def _path_source(given: Any, name: str | None) -> Source:
    typed = os.fsdecode(os.fspath(given))
    shown = expand_home(typed)
    if not shown:
        raise SourceError(name or "", "the path is empty")
    with as_source_errors(shown):
        # Joined, so that it stays this file if the working directory changes.
        location = shown if os.path.isabs(shown) else os.path.join(os.getcwd(), shown)
        status = os.stat(location)
        _refuse_unless_file(shown, status.st_mode)
        refuse_unless_countable(shown, status.st_size)
        if status.st_size == 0:
            _refuse_unless_empty(shown, location)
        else:
            # Asked for, not tried: to open and close each of many files takes longer than all else that adds it.
            refuse_unless_permitted(location, os.R_OK)
    path = given if is_path_object(given) and shown == typed else None
    return _PathSource(name or os.path.basename(shown), path, shown, location, FileVersion.of(status))


class _ObjectSource(Source):
    """An object with ``open()`` and ``stat()``, which is verified by its ``stat()``."""

    def __init__(self, name: str, path: Any, version: FileVersion) -> None:
        self.name = name
        self.path = path
        self.size = version.size
        self.mtime_ns = version.mtime_ns
        self._version = version

    def open(self) -> Reader:
        with as_source_errors(self.name):
            try:
                handle = self.path.open("rb")
            except FileNotFoundError as error:
                raise _deleted(self.name, error) from error
        return Reader(self.name, partial(seek_and_read, handle), verify=self._verify, close=handle.close)

    def _verify(self) -> None:
        try:
            self._version.verify_unchanged(self.name, self.path.stat)
        except FileNotFoundError as error:
            raise _deleted(self.name, error) from error


def _object_source(source: Any, name: str | None) -> Source:
    name = name or getattr(source, "name", None) or str(source)
    with as_source_errors(name):
        status = source.stat()
        _refuse_unless_file(name, getattr(status, "st_mode", 0))
        refuse_unless_countable(name, getattr(status, "st_size", None))
    return _ObjectSource(name, source, FileVersion.of(status))
