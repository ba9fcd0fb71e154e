"""What a run has come to, gathered from the events of its session."""

from __future__ import annotations

import time
from typing import NamedTuple

from ... import Resumable, ResumableFile
from .exit_codes import is_unreachable

__all__ = ["Outage", "RunStats", "chunks_there"]


class Outage(NamedTuple):
    """The last failed attempt since anything got through: what failed, and since when nothing does."""

    error: Exception
    since: float


class RunStats:
    """Counts what the session tells. Its handlers run on the session's thread; its numbers may be read by any.

    The chunk of an empty file is not counted: nobody can say whether no bytes were there already.
    ``active`` are the files on their way, with the time of their first byte. Where no file can fare better than the
    one that has just failed the session is cancelled, and ``hopeless`` is why. The bytes are those of files that have
    ended: a session that was cancelled has none any more.
    """

    def __init__(self) -> None:
        self.files = 0
        self.chunks = 0
        self.succeeded = 0
        self.cancelled = 0
        self.errors: list[Exception] = []
        self.bytes_confirmed = 0
        self.bytes_skipped = 0
        self.active: dict[ResumableFile, float] = {}
        self.trouble: Outage | None = None
        self.hopeless: Exception | None = None
        self.over = False
        self._chunks_there = 0
        self._began = time.monotonic()

    def control(self, session: Resumable) -> None:
        """From now on the events of the session are counted."""
        session.on("file_added", self._added)
        session.on("file_progress", self._moved)
        session.on("chunk_success", self._got_through)
        session.on("file_success", self._succeeded)
        session.on("file_error", self._failed)
        session.on("file_cancelled", self._cancelled)
        session.on("complete", self._ended)

    def attempt_failed(self, error: Exception) -> None:
        """Nothing gets through, as long as nothing does. Called by workers."""
        since = self.trouble.since if self.trouble else time.monotonic()
        self.trouble = Outage(error, since)

    @property
    def seconds(self) -> float:
        """How long it has taken until now."""
        return time.monotonic() - self._began

    @property
    def chunks_there(self) -> int:
        """How many chunks the server had already."""
        return self._chunks_there + sum(chunks_there(file) for file in list(self.active))

    @property
    def failed(self) -> int:
        """How many files have failed."""
        return len(self.errors)

    def _ended(self) -> None:
        self.over = True

    def _added(self, file: ResumableFile) -> None:
        self.files += 1
        self.chunks += len(file.chunks) if file.size else 0

    def _moved(self, file: ResumableFile) -> None:
        self.active.setdefault(file, time.monotonic())

    def _got_through(self) -> None:
        self.trouble = None

    def _left(self, file: ResumableFile) -> None:
        self._chunks_there += chunks_there(file)
        self.bytes_confirmed += file.bytes_confirmed
        self.bytes_skipped += file.bytes_skipped
        self.active.pop(file, None)

    def _succeeded(self, file: ResumableFile) -> None:
        self.succeeded += 1
        self._left(file)

    def _cancelled(self, file: ResumableFile) -> None:
        self.cancelled += 1
        self._left(file)

    def _failed(self, file: ResumableFile) -> None:
        assert file.error is not None
        self.errors.append(file.error)
        self._left(file)
        if is_unreachable(file.error) and self.hopeless is None:
            self.hopeless = file.error
            file.resumable_obj.cancel()


def chunks_there(file: ResumableFile) -> int:
    """How many chunks of the file the server had already. All have the same size, but for the last."""
    skipped, each = file.bytes_skipped, file.chunk_size
    if not skipped:
        return 0
    last = file.chunks[-1].size
    return skipped // each if skipped % each == 0 and last != skipped else (skipped - last) // each + 1
