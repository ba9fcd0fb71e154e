"""How a run is going, gathered from the events of its session."""

from __future__ import annotations

import time
from typing import NamedTuple

from ... import Resumable, ResumableFile
from .exit_codes import is_unreachable

__all__ = ["Outage", "RunStats", "chunks_in", "chunks_there"]


class Outage(NamedTuple):
    """The last failed attempt since anything got through: what failed, and since when nothing does."""

    error: Exception
    since: float


class Moved(NamedTuple):
    """How many bytes are at the server, and how many of them were there already."""

    bytes_confirmed: int = 0
    bytes_skipped: int = 0


class RunStats:
    """Count what the session reports. Its handlers run on the session's thread; any thread may read the numbers.

    The chunk of an empty file is not counted: nobody can say whether no bytes were there already.
    ``active`` are the files on their way, with the time of their first byte. If no file can fare better than the one
    that has just failed, the session is cancelled.
    """

    def __init__(self) -> None:
        self.files = 0
        self.chunks = 0
        self.succeeded = 0
        self.errors: list[Exception] = []
        self.active: dict[ResumableFile, float] = {}
        self.trouble: Outage | None = None
        self.over = False
        self._bytes: Moved | Resumable = Moved()
        self._bytes_cancelled = Moved()
        self._chunks_there = 0
        self._began = time.monotonic()

    def follow(self, session: Resumable) -> None:
        """Count the events of the session from now on."""
        self._bytes = session
        session.on("file_added", self._added)
        session.on("file_progress", self._moved)
        session.on("chunk_success", self._got_through)
        session.on("file_success", self._succeeded)
        session.on("file_error", self._failed)
        session.on("file_cancelled", self._file_cancelled)
        session.on("complete", self._ended)

    def attempt_failed(self, error: Exception) -> None:
        """Note that nothing gets through, until something does. Called by workers."""
        since = self.trouble.since if self.trouble else time.monotonic()
        self.trouble = Outage(error, since)

    def freeze(self) -> None:
        """Keep the bytes as they are: the session is about to be cancelled or closed, and has none afterwards."""
        self._bytes = Moved(self._bytes.bytes_confirmed, self._bytes.bytes_skipped)

    @property
    def bytes_confirmed(self) -> int:
        """Bytes at the server, also of files that were cancelled."""
        return self._bytes.bytes_confirmed + self._bytes_cancelled.bytes_confirmed

    @property
    def bytes_skipped(self) -> int:
        """Those of them that were there already."""
        return self._bytes.bytes_skipped + self._bytes_cancelled.bytes_skipped

    @property
    def seconds(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self._began

    @property
    def chunks_there(self) -> int:
        """Chunks that the server had already."""
        return self._chunks_there + sum(chunks_there(file) for file in list(self.active))

    @property
    def failed(self) -> int:
        """Files that have failed."""
        return len(self.errors)

    @property
    def cancelled(self) -> int:
        """Files that have neither succeeded nor failed, once the run is over."""
        return self.files - self.succeeded - self.failed

    def _ended(self) -> None:
        self.over = True

    def _added(self, file: ResumableFile) -> None:
        self.files += 1
        self.chunks += chunks_in(file, file.part_size)

    def _moved(self, file: ResumableFile) -> None:
        self.active.setdefault(file, time.monotonic())

    def _got_through(self) -> None:
        self.trouble = None

    def _left(self, file: ResumableFile) -> None:
        self._chunks_there += chunks_there(file)
        self.active.pop(file, None)

    def _succeeded(self, file: ResumableFile) -> None:
        self.succeeded += 1
        self._left(file)

    def _file_cancelled(self, file: ResumableFile) -> None:
        if not isinstance(self._bytes, Moved):
            # The session does not count it any more.
            confirmed, skipped = self._bytes_cancelled
            self._bytes_cancelled = Moved(confirmed + file.bytes_confirmed, skipped + file.bytes_skipped)
        self._left(file)

    def _failed(self, file: ResumableFile) -> None:
        assert file.error is not None
        self.errors.append(file.error)
        self._left(file)
        if is_unreachable(file.error) and not isinstance(self._bytes, Moved):
            self.freeze()
            file.resumable_obj.cancel()


def chunks_there(file: ResumableFile) -> int:
    """Return how many chunks of the file the server had already. All have the same size, but for the last."""
    return chunks_in(file, file.bytes_skipped)


def chunks_in(file: ResumableFile, size: int) -> int:
    """Return how many whole chunks of the file have so many bytes together."""
    each = file.chunk_size
    if not size:
        return 0
    last = file.chunks[-1].size
    return size // each if size % each == 0 and last != size else (size - last) // each + 1
