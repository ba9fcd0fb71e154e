"""Remove what nobody needs any more, one sweep at a time."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable
from contextlib import closing, suppress

from ..messages import Refusal
from .inventory import OF_THE_STORE
from .layout import NEW, OLD, PAST, load_upload, remove_if_damaged, remove_upload
from .locks import lock_directory
from .policy import FilePolicy
from .record import UploadRecord
from .replacement import NAME, forget_publisher
from .safe_files import closing_fd, closing_lock, modified, open_directory, remove_directory
from .tombstone import REPEATED_FOR
from .upload import FileUpload

__all__ = ["FileSweep"]

_log = logging.getLogger(__name__)

# Creating and removing a directory takes no time: an older one was left behind by a process that died.
_ABANDONED_AFTER = 3600.0


class FileSweep:
    """One sweep of the open state directory of a store.

    ``open_upload(key)`` opens an upload. ``expired`` is called with the record of each unfinished upload after it was
    removed.
    """

    def __init__(
        self,
        policy: FilePolicy,
        state_fd: int,
        open_upload: Callable[[str], FileUpload | None],
        expired: Callable[[UploadRecord], object] | None,
    ) -> None:
        self._policy = policy
        self._state_fd = state_fd
        self._open_upload = open_upload
        self._expired = expired

    def run(self) -> int:
        """Remove old uploads, and what processes that died have left. Return how many uploads were removed.

        What cannot be removed is logged, and so are exceptions of ``expired``.
        """
        self._policy.quotas.forget(self._state_fd)
        if self._policy.fsync == "finish":
            with closing_fd(open_directory("..", self._state_fd)) as root_fd:
                os.fsync(root_fd)
            os.fsync(self._state_fd)
        removed = 0
        for name in os.listdir(self._state_fd):
            try:
                removed += self._sweep(name)
            except Exception:
                _log.exception("cannot sweep %r", name)
        return removed

    def _sweep(self, name: str) -> bool:
        """Deal with one entry of the state directory. Return whether it was an upload that was removed."""
        if name in OF_THE_STORE:
            return False
        if name.startswith(PAST):
            if self._age(name) > REPEATED_FOR:
                os.unlink(name, dir_fd=self._state_fd)
        elif name.startswith(NAME):
            forget_publisher(name, self._state_fd)
        elif name.startswith((NEW, OLD)):
            if self._age(name) > _ABANDONED_AFTER:
                remove_directory(name, self._state_fd)
        else:
            return self._remove_if_old(name)
        return False

    def _age(self, name: str) -> float:
        return time.time() - modified(name, self._state_fd)

    def _remove_if_old(self, key: str) -> bool:
        """Remove an upload that is too old, or else complete what is half done. Leave it alone if it is in use."""
        directory_fd = lock_directory(key, self._state_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if directory_fd is not None:
            with closing_lock(directory_fd):
                if remove_if_damaged(self._policy.quotas, key, self._state_fd, directory_fd):
                    return True
                record, bitmap = load_upload(directory_fd)
                if bitmap is None:
                    age = time.time() - modified("record", directory_fd)
                else:
                    with closing(bitmap):
                        age = bitmap.age()
                unfinished = record.published is None
                if age > (self._policy.stale_after if unfinished else self._policy.forget_after):
                    remove_upload(self._policy.quotas, key, self._state_fd, directory_fd)
                    if unfinished and self._expired is not None:
                        _notify(self._expired, record)
                    return True
                if bitmap is None:
                    return False
        upload = self._open_upload(key)
        if upload is not None:
            with upload, suppress(Refusal):
                upload.recover()
        return False


def _notify(expired: Callable[[UploadRecord], object], record: UploadRecord) -> None:
    try:
        expired(record)
    except Exception:
        _log.exception("a handler of upload_expired failed")
