"""Store uploads as files in a directory, safely among threads and processes that may die at any time.

Each upload has a directory of its own, named by a hash, so that no path is ever built from a client's text. Nothing is
kept in memory between two requests. Locks are taken with ``flock``, so the system drops them when a process dies: a
request locks the directory of its upload shared, and one that wants to remove it locks it exclusively.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from itertools import islice

from ..messages import Refusal
from .base import Look
from .home import Home
from .inventory import inventory, open_records
from .layout import DAMAGED, NEW, check_links, create_files, remove_if_damaged, remove_upload
from .locks import lock_directory
from .lookup import earlier_in, lookup_in
from .policy import FilePolicy
from .publication import check_place, other_mount
from .quotas import Quotas, TenantLimits, check_reserve
from .record import UploadRecord, UploadStatus
from .record_file import read_record
from .refusals import cannot_publish, in_use
from .reservation import reserving
from .safe_files import (
    closing_fd,
    closing_lock,
    exists,
    open_directory,
    remove_directory,
    unlock_and_close,
)
from .sweeping import FileSweep
from .tombstone import Tombstone
from .upload import FileUpload

__all__ = ["MOST_OPEN_UPLOADS", "RESERVE", "FileStore"]

MOST_OPEN_UPLOADS = 1000
"""How many unfinished uploads a tenant may have by default."""

RESERVE = 64 * 2**20
"""How many bytes of the disk stay free by default."""

_log = logging.getLogger(__name__)

_DAY = 86400.0
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class FileStore:
    """Keeps uploads in the directory ``root``: finished ones under their names, the others in ``root/.resumable``.

    ``fsync`` says what survives a power failure: with ``"always"`` every confirmed chunk; with ``"finish"`` every
    published file (of an unfinished upload, the chunks received since the last :meth:`sweep` are lost, and known to be
    missing); with ``"never"`` nothing is certain to. ``existing`` says what happens if the name of a file is taken:
    ``"number"`` publishes it as ``name (1)``, ``"replace"`` replaces the file at once and as a whole, and ``"refuse"``
    answers the first chunk with 409, also while another upload to that name goes on. ``stale_after`` and
    ``forget_after`` are the seconds after which an unfinished upload, and the record of a finished one, may be removed.
    A request waits up to ``patience`` seconds for another one that sends the same chunk.

    A finished file that is deleted or changed may be uploaded again. With ``collected=True`` it counts as stored, even
    if it was moved or deleted, until it is forgotten; None means True for files that a hook or a handler of the
    receiver was called for, and False for others.

    ``max_open_uploads`` and ``max_bytes`` limit the unfinished uploads of each tenant and the sum of their total sizes
    (a single file that is larger gets 413); None is no limit. ``reserve`` bytes of the disk stay free.

    ``root`` must be on a POSIX file system with hard links and ``flock``, must not be a symbolic link, and may only be
    used by processes of one machine and one user, with the same options.
    """

    takes_views = True

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        fsync: str = "finish",
        existing: str = "number",
        stale_after: float = 7 * _DAY,
        forget_after: float = 7 * _DAY,
        collected: bool | None = None,
        patience: float = 15.0,
        max_open_uploads: int | None = MOST_OPEN_UPLOADS,
        max_bytes: int | None = None,
        reserve: int = RESERVE,
    ) -> None:
        self.root = os.path.abspath(os.fspath(root))
        self._quotas = Quotas(TenantLimits(max_open_uploads, max_bytes), open_records)
        self._home = Home(self.root)
        self._policy = FilePolicy(
            existing=existing,
            stale_after=stale_after,
            forget_after=forget_after,
            collected=collected,
            patience=patience,
            home=self._home,
            fsync=fsync,
            reserve=reserve,
            quotas=self._quotas,
        )
        self._links_work = False

    @property
    def stale_after(self) -> float:
        """After how many seconds without a change an unfinished upload may be removed."""
        return self._policy.stale_after

    @property
    def forget_after(self) -> float:
        """After how many seconds the record of a finished upload may be removed."""
        return self._policy.forget_after

    def open(self, key: str) -> FileUpload | None:
        """See :meth:`Store.open`. An upload that a power failure has damaged is removed."""
        state_fd = self._home.open()
        if state_fd is None:
            return None
        with closing_fd(state_fd):
            directory_fd = lock_directory(key, state_fd, fcntl.LOCK_SH)
            if directory_fd is None:
                return None
            try:
                return FileUpload(self._policy, key, directory_fd)
            except BaseException as error:
                unlock_and_close(directory_fd)
                if not isinstance(error, DAMAGED):
                    raise
            directory_fd = lock_directory(key, state_fd, fcntl.LOCK_EX)
            if directory_fd is not None:
                with closing_lock(directory_fd):
                    remove_if_damaged(self._quotas, key, state_fd, directory_fd)
            return None

    @contextmanager
    def lookup(self) -> Iterator[Look]:
        """See :meth:`QuickStore.lookup`."""
        state_fd = self._home.open()
        if state_fd is None:
            yield lambda key: None
            return
        with closing_fd(state_fd), lookup_in(self._policy, state_fd) as look:
            yield look

    def prepare(self) -> None:
        """Create the directory for uploads now, to notice errors before the first upload. Raises OSError."""
        os.close(self._make_state())

    def create(self, key: str, record: UploadRecord) -> None:
        """See :meth:`Store.create`. The upload appears with all its files at once.

        Raises :class:`Refusal` (501) on a file system without hard links, where nothing could be published.
        """
        durable = self._policy.fsync == "always"
        with closing_fd(self._make_state()) as state_fd:
            if exists(key, state_fd):
                return
            refuse = self._policy.existing == "refuse"
            check_place(self.root, record.name, self._policy.existing)
            if self._policy.reserve:
                check_reserve(state_fd, self._policy.reserve, record.total_size)
            new = f"{NEW}{secrets.token_hex(8)}"
            os.mkdir(new, 0o700, dir_fd=state_fd)
            try:
                with closing_lock(open_directory(new, state_fd)) as directory_fd:
                    # No other request may open it before its name is on the disk.
                    fcntl.flock(directory_fd, fcntl.LOCK_EX)
                    create_files(directory_fd, record, durable=durable)
                    self._try_links(directory_fd)
                    reserved = reserving(self.root, record.name, key, state_fd) if refuse else nullcontext()
                    with reserved, self._quotas.beginning(record, state_fd):
                        os.rename(new, key, src_dir_fd=state_fd, dst_dir_fd=state_fd)
                    if durable:
                        os.fsync(state_fd)
            except BaseException as error:
                with suppress(OSError):
                    remove_directory(new, state_fd)
                if not (isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST)):
                    raise

    def _make_state(self) -> int:
        fsync = self._policy.fsync
        return self._home.make(durable=fsync == "always", lasting=fsync != "never")

    def _try_links(self, directory_fd: int) -> None:
        """Check once that a file can be published by a hard link."""
        if self._links_work:
            return
        if os.fstat(directory_fd).st_dev != os.stat(self.root).st_dev:
            raise other_mount(self.root, self.root)
        try:
            check_links(directory_fd)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            advice = (
                "which are needed to publish files: use a directory on another one, such as ext4, XFS, Btrfs or tmpfs"
            )
            _log.error("the file system of %r has no hard links (%s), %s", self.root, error.strerror, advice)
            raise cannot_publish() from None
        self._links_work = True

    @contextmanager
    def earlier(self, key: str) -> Iterator[Tombstone | None]:
        """See :meth:`Store.earlier`."""
        state_fd = self._home.open()
        if state_fd is None:
            yield None
            return
        with closing_fd(state_fd), earlier_in(self._policy, key, state_fd) as past:
            yield past

    def forget(self, key: str, record: UploadRecord) -> bool:
        """See :meth:`Store.forget`."""
        upload = self.open(key)
        if upload is None:
            return False
        with upload:
            return upload.forget(record)

    def discard(self, key: str) -> UploadRecord | None:
        """See :meth:`Store.discard`."""
        state_fd = self._home.open()
        if state_fd is None:
            return None
        with closing_fd(state_fd):
            directory_fd = lock_directory(key, state_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if directory_fd is None:
                if exists(key, state_fd):
                    raise in_use()
                return None
            with closing_lock(directory_fd):
                if remove_if_damaged(self._quotas, key, state_fd, directory_fd):
                    return None
                record = read_record(directory_fd)
                if record.published is not None:
                    return None
                remove_upload(self._quotas, key, state_fd, directory_fd)
                return record

    def uploads(self, tenant: str | None = None, limit: int | None = None) -> Iterator[UploadStatus]:
        """See :meth:`Store.uploads`. Reads the time of every upload, but only as many records as needed."""
        state_fd = self._home.open()
        if state_fd is None:
            return iter(())
        with closing_fd(state_fd):
            wanted = (status for status in inventory(state_fd) if tenant in (None, status.record.tenant))
            found = [replace(each, record=self._policy.located(each.record)) for each in islice(wanted, limit)]
        return iter(sorted(found, key=lambda status: status.touched, reverse=True))

    def sweep(self, expired: Callable[[UploadRecord], object] | None = None) -> int:
        """See :meth:`Store.sweep`. With ``fsync="finish"`` also put the chunks of unfinished uploads on the disk.

        Also removes what processes that died left behind, and has the limits counted again. Uploads that cannot be
        removed, and exceptions of ``expired``, are logged.
        """
        try:
            state_fd = self._home.open()
        except Refusal:
            return 0
        if state_fd is None:
            return 0
        with closing_fd(state_fd):
            return FileSweep(self._policy, state_fd, self.open, expired).run()
