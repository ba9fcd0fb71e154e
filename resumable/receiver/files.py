"""A store in a directory: uploads as files, safe among threads, processes and deaths.

Each upload has a directory of its own, named by a hash, so that no path is ever built from a client's text. Nothing is
kept in memory between two requests. The locks are those of ``flock``, which the system drops when a process dies: a
request holds the directory of its upload shared, whoever wants to remove it exclusively.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable

from ..errors import OptionError
from .names import STATE_DIRECTORY
from .store import UploadRecord
from .upload import FilePolicy, FileUpload, lay_out

__all__ = ["FileStore"]

_log = logging.getLogger(__name__)

_DAY = 86400.0
# Making and removing a directory takes no time: what is older was left by a process that died.
_ABANDONED_AFTER = 3600.0


class FileStore:
    """Uploads in the directory ``root``: finished ones under their names, the others in ``root/.resumable``.

    ``fsync`` is ``"always"`` (an acknowledged chunk outlives a power failure), ``"finish"`` (a published file does; an
    upload in the middle may have lost chunks that it believes to have) or ``"never"``. ``existing`` says what
    happens when the name is taken: ``"number"`` publishes as ``name (1)``, ``"refuse"`` answers 409.
    ``stale_after`` and ``forget_after`` are the seconds after which an unfinished upload, and the memory of a finished
    one, may be swept. A request waits up to ``patience`` seconds for another that sends the same chunk. The directory
    has to be on a POSIX file system with hard links and ``flock``.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        fsync: str = "finish",
        existing: str = "number",
        stale_after: float = 7 * _DAY,
        forget_after: float = 7 * _DAY,
        patience: float = 15.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for option, value, allowed in (
            ("fsync", fsync, ("always", "finish", "never")),
            ("existing", existing, ("number", "refuse")),
        ):
            if value not in allowed:
                raise OptionError(option, value, "one of " + ", ".join(map(repr, allowed)))
        self.root = os.path.abspath(os.fspath(root))
        self.stale_after = stale_after
        self.forget_after = forget_after
        self._policy = FilePolicy(self.root, fsync, existing, patience)
        self._clock = clock
        self._state = os.path.join(self.root, STATE_DIRECTORY)

    def open(self, key: str) -> FileUpload | None:
        """See :meth:`Store.open`."""
        directory = self._hold(key, fcntl.LOCK_SH)
        if directory is None:
            return None
        try:
            return FileUpload(self._policy, directory)
        except BaseException:
            os.close(directory)
            raise

    def create(self, key: str, record: UploadRecord) -> None:
        """See :meth:`Store.create`. The upload appears with all its files at once."""
        os.makedirs(self._state, mode=0o700, exist_ok=True)
        durable = self._policy.fsync == "always"
        new = os.path.join(self._state, f"new-{secrets.token_hex(8)}")
        os.mkdir(new, 0o700)
        directory = os.open(new, os.O_RDONLY | os.O_DIRECTORY)
        try:
            lay_out(directory, record, durable=durable)
            try:
                os.rename(new, os.path.join(self._state, key))
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                shutil.rmtree(new, ignore_errors=True)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        finally:
            os.close(directory)
        if durable:
            _sync_directory(self._state)

    def sweep(self) -> int:
        """See :meth:`Store.sweep`. Also removes what creating and sweeping left behind when a process died."""
        removed = 0
        try:
            names = os.listdir(self._state)
        except FileNotFoundError:
            return 0
        for name in names:
            try:
                if not name.startswith(("new-", "old-")):
                    removed += self._remove_if_old(name)
                elif self._age(os.path.join(self._state, name)) > _ABANDONED_AFTER:
                    shutil.rmtree(os.path.join(self._state, name), ignore_errors=True)
            except OSError:
                _log.exception("cannot sweep %r", name)
        return removed

    def _remove_if_old(self, name: str) -> bool:
        directory = self._hold(name, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if directory is None:
            return False
        try:
            path = os.path.join(self._state, name)
            finished = not os.path.exists(os.path.join(path, "chunks"))
            age = self._age(os.path.join(path, "record" if finished else "chunks"))
            if age <= (self.forget_after if finished else self.stale_after):
                return False
            old = os.path.join(self._state, f"old-{secrets.token_hex(8)}")
            os.rename(path, old)
            shutil.rmtree(old, ignore_errors=True)
            return True
        finally:
            os.close(directory)

    def _age(self, path: str) -> float:
        try:
            return self._clock() - os.stat(path).st_mtime
        except FileNotFoundError:
            return 0.0

    def _hold(self, key: str, operation: int) -> int | None:
        """The upload's directory, open and locked, None where there is none or, with LOCK_NB, where it is in use."""
        path = os.path.join(self._state, key)
        while True:
            try:
                directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except FileNotFoundError:
                return None
            try:
                fcntl.flock(directory, operation)
                # Whoever removed it held it too, so it may have gone while we waited.
                if os.path.samestat(os.fstat(directory), os.stat(path, follow_symlinks=False)):
                    held, directory = directory, -1
                    return held
            except FileNotFoundError:
                pass
            except BlockingIOError:
                return None
            finally:
                if directory >= 0:
                    os.close(directory)


def _sync_directory(path: str) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
