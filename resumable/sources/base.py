"""What a source is, and how it is read so that only one version of it is ever read.

A source has to be at every read the version that was added (:class:`FileVersion`): bytes are handed out only between
two checks that agree, so that no upload is a mixture of two versions.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, final

from ..errors import SourceChanged, SourceError
from ..tracebacks import showable

__all__ = [
    "FileVersion",
    "Reader",
    "Source",
    "as_source_errors",
    "expand_home",
    "is_path_object",
    "is_remote",
    "named",
    "refuse_unless_countable",
    "refuse_unless_permitted",
    "source_error",
]

_EFFECTIVE = os.access in os.supports_effective_ids

LARGEST_SIZE = 2**53 - 1
"""Bytes in the largest source: a server written in JavaScript rounds a larger number."""


class FileVersion(NamedTuple):
    """One version of a file, from a stat result. Sizes are bytes; ``identity`` is device, inode and kind."""

    size: int
    mtime_ns: int
    identity: tuple[int, int, int]

    @classmethod
    def of(cls, status: Any) -> FileVersion:
        """Return the version in a stat result; one that is not the system's may have nothing but the size."""
        mtime_ns = getattr(status, "st_mtime_ns", None)
        if mtime_ns is None:
            mtime_ns = int((getattr(status, "st_mtime", None) or 0) * 1_000_000_000)
        kind = stat.S_IFMT(getattr(status, "st_mode", 0))
        return cls(status.st_size, mtime_ns, (getattr(status, "st_dev", 0), getattr(status, "st_ino", 0), kind))

    def verify_unchanged(self, name: str, look: Callable[[], Any]) -> None:
        """Raise SourceChanged with what changed, unless the stat result that ``look()`` gives says the same."""
        now = FileVersion.of(look())
        if now == self:
            return
        changes = []
        if now.identity != self.identity:
            changes.append("replaced by another file")
        if now.size != self.size:
            changes.append(f"size {self.size} → {now.size} bytes")
        if now.mtime_ns != self.mtime_ns:
            changes.append(f"last modified {_local_times(self.mtime_ns, now.mtime_ns)}")
        if changes:
            raise SourceChanged(name, ", ".join(changes))


def _local_times(before: int, now: int) -> str:
    """Return two times in nanoseconds since 1970 as people read them, with fractions if the seconds are equal."""
    fractions = before // 10**9 == now // 10**9

    def shown(time_ns: int) -> str:
        seconds, rest = divmod(time_ns, 10**9)
        try:
            text = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
        except (OverflowError, ValueError, OSError):
            return f"{time_ns} ns after 1970"
        return f"{text}.{rest:09}" if fractions else text

    return f"{shown(before)} → {shown(now)}"


def source_error(shown: str, error: Exception) -> SourceError:
    """Return a SourceError that names the source and says what was raised, with the errno if there is one."""
    # An object that is not ours raises whatever it likes; a path may have a NUL.
    raised = showable(error)
    reason = getattr(raised, "strerror", None) or f"{type(raised).__name__}: {raised}"
    return SourceError(shown, reason, errno=getattr(error, "errno", None))


class as_source_errors:  # noqa: N801 (used as a statement)
    """Turn whatever is raised within into a SourceError that names the source, with the errno if there is one."""

    __slots__ = ("_shown",)

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, SourceError):
            raise source_error(self._shown, error) from error


def named(name: str | None, source: Any) -> str:
    """Return the name. Raises SourceError if there is none."""
    if not name:
        raise SourceError(type(source).__name__, "it has no name; give one: add_file(…, relative_path='name.bin')")
    return name


def expand_home(path: str) -> str:
    """Return the path with the user's home for its ``~``, unless there is something of this very name."""
    return os.path.expanduser(path) if path.startswith("~") and not os.path.lexists(path) else path


def is_path_object(value: Any) -> bool:
    """Return whether this is an object with ``open()`` and ``stat()``."""
    return callable(getattr(value, "open", None)) and callable(getattr(value, "stat", None))


def is_remote(value: Any) -> bool:
    """Return whether this is a universal path to something else than a local file. It may still be an os.PathLike."""
    return is_path_object(value) and getattr(value, "protocol", "") not in ("", "file", "local")


def refuse_unless_countable(name: str, size: Any) -> None:
    """Raise SourceError unless the size in bytes is known and is one that every server can count."""
    if not isinstance(size, int) or size < 0:
        raise SourceError(name, f"its size is not known (it says {size!r}); open it and pass the stream")
    if size > LARGEST_SIZE:
        raise SourceError(name, f"{size} bytes are more than 2**53 - 1, and servers in JavaScript round such a number")


def refuse_unless_permitted(location: str, mode: int) -> None:
    """Raise PermissionError unless this process may do with the path what ``mode`` says, as for ``os.access``."""
    if not os.access(location, mode, effective_ids=_EFFECTIVE):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _nothing() -> None:
    pass


def _closed(buffer: memoryview, offset: int) -> int:
    raise ValueError("the reader is closed")


@final
class Reader:
    """An open source, used by one thread. Leaving the ``with`` block, or :meth:`close`, releases what it holds.

    ``read(buffer, offset)`` reads up to the buffer's length and returns how many bytes came: 0 at the end, None if
    there are none now. ``verify()`` raises SourceChanged if the source is another version; it is called now or, with
    ``later``, after the first read.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[memoryview, int], int | None],
        *,
        verify: Callable[[], None] = _nothing,
        close: Callable[[], None] = _nothing,
        later: bool = False,
    ) -> None:
        self._name = name
        self._read = read
        self._verify = verify
        self._close = close
        if later:
            return
        try:
            with as_source_errors(name):
                verify()
        except BaseException:
            close()
            raise

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill the whole buffer with the bytes of the source from ``offset`` on.

        The source is verified after the read, so on return the bytes are those of the version that was added.
        Raises SourceChanged if they are not, SourceError if they cannot be read.
        """
        done = 0
        try:
            while done < len(buffer):
                try:
                    count = self._read(buffer[done:] if done else buffer, offset + done)
                except OSError:
                    # That it is another file now says more than that this one cannot be read.
                    self._verify()
                    raise
                if count is None:
                    raise BlockingIOError(errno.EAGAIN, "it does not block, and has no bytes now")
                if count == 0:
                    break
                if not 0 < count <= len(buffer) - done:
                    raise ValueError(f"it says that it read {count} bytes of {len(buffer) - done}")
                done += count
            self._verify()
        except SourceError:
            raise
        except Exception as error:
            raise source_error(self._name, error) from error
        if done == len(buffer):
            return
        if self._verify is _nothing:
            raise SourceChanged(self._name, f"it ends at byte {offset + done}")
        # It is the version that was added, so it never had as many bytes as it said. Files in /sys are like that.
        raise SourceError(
            self._name,
            f"its size is not what it says: it ends at byte {offset + done}; give its content as bytes, or pipe it in",
        )

    def verify_unchanged(self) -> None:
        """Raise SourceChanged if the source is not what it was when it was added."""
        with as_source_errors(self._name):
            self._verify()

    def close(self) -> None:
        """Release what the reader holds. Closing twice does nothing."""
        self.__exit__()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        close, self._close, self._read = self._close, _nothing, _closed
        close()


class Source(ABC):
    """What is uploaded. The attributes were read when it was made and never change.

    ``name`` is for messages and is the default file name, ``size`` is bytes, ``mtime_ns`` the time of the last change,
    0 if there is none. ``path`` is what ``generate_unique_identifier`` gets: the caller's own path object, or one
    with ``stat()`` and ``open("rb")``.
    """

    name: str
    size: int
    mtime_ns: int
    path: Any

    @property
    def version(self) -> int | str:
        """What tells this version from others of the same name and size; 0 if nothing but the content does."""
        return self.mtime_ns

    @abstractmethod
    def open(self) -> Reader:
        """Open a reader for the calling thread. Raises SourceChanged, or SourceError if the source is gone."""

    def close(self) -> None:  # noqa: B027 (most sources own nothing)
        """Free what the source itself owns; what the caller brought stays open. Closing twice does nothing."""
