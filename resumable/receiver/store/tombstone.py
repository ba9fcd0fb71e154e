"""Remember published files, and find out whether they still exist.

Each request for a published file checks the file with one ``stat``, without reading it. The file is recognised by its
size and its modification time, which publishing sets to the nanosecond; if only the time differs, the file is compared
once with the digests of its chunks. The inode number says nothing: some systems give it to the next file at once, and
others invent it.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace

from ...protocol.plan import ChunkPlan
from ..messages import Refusal
from .chunks import with_offsets
from .digests import Digests, has_digests
from .names import STATE_DIRECTORY
from .policy import FilePolicy
from .quotas import check_reserve
from .record import UploadRecord
from .record_file import read_digest, read_digests, read_kept, read_open_record, write_record
from .refusals import cannot_check
from .safe_files import closing_fd, open_directory, open_file
from .spool import IN_MEMORY, Spool

__all__ = ["REPEATED_FOR", "Tombstone"]

REPEATED_FOR = 3600.0
"""For how many seconds after publishing a request of a session that took part counts as a repeat. No client waits
longer for an answer, and a session may live for months and send another file of the same name."""

_log = logging.getLogger(__name__)


class Tombstone:
    """A :class:`~resumable.receiver.store.base.PublishedUpload` with the open record ``record_fd``.

    ``root_fd`` is the open directory of the published files. The record stays readable after its name is gone. The
    caller closes both. ``updating()`` is a context manager that locks the upload, so that its record can be read and
    written, and yields its open directory.
    """

    def __init__(
        self, policy: FilePolicy, root_fd: int, record_fd: int, updating: Callable[[], AbstractContextManager[int]]
    ) -> None:
        self._policy = policy
        self._root_fd = root_fd
        self._record_fd = record_fd
        self._updating = updating
        self._kept = read_open_record(record_fd)
        self.record: UploadRecord = policy.located(self._kept.record)

    def finished_by(self, session: str) -> bool:
        """See :meth:`PublishedUpload.finished_by`."""
        return session in self.record.sessions and self._age() <= REPEATED_FOR

    def counts_as_stored(self, *, collected: bool) -> bool:
        """See :meth:`PublishedUpload.counts_as_stored`."""
        if self.record.forgotten:
            return False
        if self._kept.superseded or self._policy.owns(self.record, collected=collected):
            return self._age() <= self._policy.forget_after
        try:
            with ExitStack() as closing:
                return self._is_there(closing)
        except OSError as error:
            raise _unavailable(error) from error

    def _age(self) -> float:
        """Return the seconds since the record was written."""
        return time.time() - self._written() / 1e9

    def _written(self) -> int:
        return os.fstat(self._record_fd).st_mtime_ns

    def _is_there(self, closing: ExitStack) -> bool:
        *parents, leaf = self._path
        try:
            directory_fd = self._open_parent(parents, closing)
            found = os.stat(leaf, dir_fd=directory_fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        known = self._is_same(found)
        if known is not None:
            return known
        fd = closing.enter_context(closing_fd(_open(leaf, directory_fd)))
        return self._compare(fd, found)

    @property
    def _path(self) -> list[str]:
        return (self.record.published or self.record.name).split("/")

    def _open_parent(self, parents: list[str], closing: ExitStack) -> int:
        """Open the directory that the file was published in, without following symbolic links."""
        directory_fd = self._root_fd
        for parent in parents:
            directory_fd = closing.enter_context(closing_fd(open_directory(parent, directory_fd)))
        return directory_fd

    def _is_same(self, found: os.stat_result) -> bool | None:
        """Return whether a file has the published bytes; None if it has to be read to know that."""
        if not stat.S_ISREG(found.st_mode) or found.st_size != self.record.total_size:
            return False
        if self._kept.modified is None:
            # It was published by a version that saved neither modification times nor digests.
            return found.st_mtime_ns <= self._written()
        if found.st_mtime_ns == self._kept.modified:
            return True
        return False if found.st_mtime_ns == self._kept.differing else None

    def _compare(self, fd: int, found: os.stat_result) -> bool:
        """Compare the file with the digests, and save the result, so that this is done only once."""
        with self._updating() as upload_fd:
            current = read_kept(upload_fd)
            # Another request may have done it in the meantime. The digests have the same place in our open record.
            self._kept = replace(self._kept, modified=current.modified, differing=current.differing)
            known = self._is_same(found)
            if known is not None:
                return known
            same = has_digests(fd, self.record.plan, read_digests(self._record_fd, self._kept))
            after = os.fstat(fd)
            if (after.st_size, after.st_mtime_ns) != (found.st_size, found.st_mtime_ns):
                raise Refusal(503, "The stored file is being changed: try again.", ("Retry-After", "1"))
            modified = found.st_mtime_ns if same else current.modified
            differing = current.differing if same else found.st_mtime_ns
            self._kept = replace(self._kept, modified=modified, differing=differing)
            noted = replace(current, modified=modified, differing=differing)
            write_record(upload_fd, noted, durable=self._policy.durable)
            return same

    def repeats(self, record: UploadRecord, index: int, pieces: Iterator[bytes]) -> Iterator[bytes] | None:
        """See :meth:`PublishedUpload.repeats`. A long chunk is kept in a temporary file without a name. Raises
        :class:`Refusal` (507) if there is no room for that."""
        state = os.path.join(self._policy.root, STATE_DIRECTORY)
        length = record.plan.length(index, index + 1)
        if self._policy.reserve and length > IN_MEMORY:
            check_reserve(self._root_fd, self._policy.reserve, length)
        with ExitStack() as closing, Spool(state) as spool:
            fd = self._unchanged(closing)
            digests, same = Digests(), True
            for offset, piece in with_offsets(record.plan, index, pieces):
                spool.write(piece)
                if fd is None:
                    digests.add(piece)
                elif same:
                    same = _matches(fd, piece, offset)
            if same and (fd is not None or digests.include(self._digest(record.plan, index))):
                return None
            return spool.pieces()

    def _unchanged(self, closing: ExitStack) -> int | None:
        """Open the file if it exists and is unchanged: it is a better proof than the digests. Else return None."""
        *parents, leaf = self._path
        with suppress(OSError):
            fd = closing.enter_context(closing_fd(_open(leaf, self._open_parent(parents, closing))))
            return fd if self._is_same(os.fstat(fd)) else None
        return None

    def _digest(self, plan: ChunkPlan, index: int) -> int:
        """Return the digest of the chunk; 0 if it is unknown, as it is if the file is cut in another way."""
        return read_digest(self._record_fd, self._kept, index) if plan == self.record.plan else 0


def _open(leaf: str, directory_fd: int) -> int:
    # Without O_NONBLOCK this would wait if the file was replaced by a pipe.
    return open_file(leaf, os.O_RDONLY | os.O_NONBLOCK, directory_fd)


def _matches(fd: int, piece: bytes, offset: int) -> bool:
    try:
        return os.pread(fd, len(piece), offset) == piece
    except OSError as error:
        raise _unavailable(error) from error


def _unavailable(error: OSError) -> Refusal:
    _log.warning("cannot check whether a published file still exists: %s", error)
    return cannot_check()
