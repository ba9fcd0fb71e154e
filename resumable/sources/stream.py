"""Open files, streams of unknown length, and bytes as sources."""

from __future__ import annotations

import errno
import io
import os
import tempfile
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import SourceError
from .base import (
    FileVersion,
    Reader,
    Source,
    named,
    refuse_unless_countable,
)

__all__ = ["BytesSource", "file_source", "seek_and_read"]

_PIECE = 1 << 20


def seek_and_read(handle: Any, buffer: memoryview, offset: int) -> int | None:
    """Read up to the buffer's length. Return how many bytes came: 0 at the end, None if there are none now."""
    handle.seek(offset)
    read_into: Callable[[memoryview], int | None] | None = getattr(handle, "readinto", None)
    if read_into is not None:
        return read_into(buffer)
    data = handle.read(len(buffer))
    if data is None:
        return None
    buffer[: len(data)] = data
    return len(data)


def file_source(file: Any, name: str | None) -> Source:
    """Make the source for an object with ``read()``. Raises SourceError, or whatever the object raises."""
    if not name:
        name = getattr(file, "name", None)
        name = os.path.basename(os.fsdecode(name)) if isinstance(name, (str, bytes)) else None
        name = named(None if name is None or name.startswith("<") else name, file)
    if getattr(file, "closed", False):
        raise SourceError(name, "the file is closed")
    if isinstance(file, io.TextIOBase):
        raise SourceError(name, "the file was opened as text; open it with 'rb'")
    if not getattr(file, "readable", lambda: True)():
        raise SourceError(name, "the file was not opened for reading; open it with 'rb'")
    if isinstance(file, io.BytesIO):
        return BytesSource(name, file.getvalue())
    size = _size_by_seeking(file)
    if not size:  # also if a file does not know its size, as in /proc: reading to the end finds out
        return _spooled(name, file)
    refuse_unless_countable(name, size)
    return _FileSource(name, file, size, _version(file))


def _size_by_seeking(file: Any) -> int:
    try:
        # What does not know where it is must not be moved: it would be read from its end.
        file.tell()
        file.seek(0, os.SEEK_END)
        size: int = file.tell()
        if size == 0:
            file.seek(0)
    except Exception:  # it cannot seek, and says so in its own way
        return 0
    return size


def _version(file: Any) -> FileVersion | None:
    # Asked after a seek, which wrote what a buffer held back. Where an object decompresses, this is the size of the
    # compressed file, which has to stay the same all the same.
    try:
        return FileVersion.of(os.fstat(file.fileno()))
    except (AttributeError, OSError):
        return None


def _spooled(name: str, stream: Any) -> Source:
    """Copy the rest of a stream to a temporary file without a name, which is gone when it is closed."""
    # Unbuffered: what a full disk did not take must not be tried again when the copy is closed.
    spool: Any = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (the source closes it)
    try:
        while data := stream.read(_PIECE):
            if isinstance(data, str):
                raise SourceError(name, "the stream gives text; open it as binary")
            rest = memoryview(data)
            try:
                while rest:
                    rest = rest[spool.write(rest) :]
            except OSError as error:
                place = tempfile.gettempdir()
                raise SourceError(name, f"no copy of it in {place}: {error.strerror}", errno=error.errno) from error
        if data is None:
            raise BlockingIOError(errno.EAGAIN, "it does not block, and has no bytes now")
        return _FileSource(name, spool, spool.tell(), None, close=spool.close)
    except BaseException:
        spool.close()
        raise


class _FileSource(Source):
    """A seekable file that is open already. All readers share its handle; ``close`` frees it if it is ours."""

    def __init__(
        self, name: str, file: Any, size: int, version: FileVersion | None, *, close: Callable[[], None] | None = None
    ) -> None:
        self.name = name
        self.size = size
        self.mtime_ns = version.mtime_ns if version else 0
        self.path = _SourcePath(self)
        self._file = file
        self._version = version
        self._close = close
        self._lock = threading.Lock()

    def open(self) -> Reader:
        return Reader(self.name, self._read, verify=self._verify) if self._version else Reader(self.name, self._read)

    def close(self) -> None:
        if self._close:
            # Not under a reader, whose descriptor might be another file's by then.
            with self._lock:
                self._close()

    def _read(self, buffer: memoryview, offset: int) -> int | None:
        with self._lock:
            return seek_and_read(self._file, buffer, offset)

    def _verify(self) -> None:
        assert self._version is not None
        self._version.verify_unchanged(self.name, lambda: os.fstat(self._file.fileno()))


class BytesSource(Source):
    """Bytes, which never change."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self.size = len(content)
        self.mtime_ns = 0
        self.path = _SourcePath(self)
        self._content: memoryview | None = memoryview(content)

    def open(self) -> Reader:
        return Reader(self.name, self._read)

    def close(self) -> None:
        self._content = None

    def _read(self, buffer: memoryview, offset: int) -> int:
        content = self._content
        if content is None:
            raise ValueError("the source is closed")
        piece = content[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)


class _Status(NamedTuple):
    st_size: int
    st_mtime_ns: int


class _SourcePath:
    """A source as ``generate_unique_identifier`` gets it: ``name``, ``stat()`` and ``open("rb")``."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def name(self) -> str:
        return self._source.name

    def stat(self) -> _Status:
        return _Status(self._source.size, self._source.mtime_ns)

    def open(self, mode: str = "rb") -> io.BufferedReader:
        if mode != "rb":
            raise ValueError(f"a source is opened with 'rb', not {mode!r}")
        return io.BufferedReader(_Stream(self._source.open(), self._source.size))


class _Stream(io.RawIOBase):
    def __init__(self, reader: Reader, size: int) -> None:
        self._reader = reader
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: max(self._size - self._position, 0)]
        self._reader.read_into(view, self._position)
        self._position += len(view)
        return len(view)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def close(self) -> None:
        self._reader.close()
        super().close()
