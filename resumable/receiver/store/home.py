"""Open the directory of a store, and notice if it is not the same any more: a disk may be unmounted meanwhile."""

from __future__ import annotations

import errno
import logging
import os

from ..messages import Refusal
from .safe_files import closing_fd, make_state, open_file, open_if_there, open_state

__all__ = ["LAYOUT", "Home"]

LAYOUT = "layout"
"""The name of the file in the state directory that holds the version of the store's layout, in decimal digits."""

_VERSION = 1

_log = logging.getLogger(__name__)

# The errors of a failing disk, or of a mount whose server does not answer.
_UNREACHABLE = (
    errno.EACCES,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EIO,
    errno.ENODEV,
    errno.ENOTCONN,
    errno.ENXIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
)


class Home:
    """The directory ``root``, opened anew for each request, so that it works again as soon as it is back.

    If a store that existed before has disappeared, there are two cases. If its place is on the same device as before,
    the store was deleted, and a new one is begun. Otherwise its file system is not mounted at the moment, and nothing
    may be written to the mount point.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._seen: tuple[int, int] | None = None
        self._versioned: tuple[int, int] | None = None

    def open(self) -> int | None:
        """Open the directory of the uploads; None if there is none. Raises OSError, and :class:`Refusal` (503)."""
        try:
            opened = open_state(self.root)
            if opened is None:
                self._check_place()
                return None
            return self._check(*opened)
        except OSError as error:
            self._refuse_if_unreachable(error)
            raise

    def make(self, *, durable: bool, lasting: bool) -> int:
        """Open the directory as :meth:`open` does, but create what is missing, see :func:`make_state`."""
        try:
            # One that is there must also be put on the disk if it has to be durable: its maker may have died before.
            if not durable and (opened := open_state(self.root)) is not None:
                return self._check(*opened, write=True)
            self._check_place()
            return self._check(*make_state(self.root, durable=durable, lasting=lasting), write=True)
        except OSError as error:
            self._refuse_if_unreachable(error)
            raise

    def _refuse_if_unreachable(self, error: OSError) -> None:
        """Raise :class:`Refusal` (503) if the error means that a store that was there has become unreachable."""
        if self._seen is not None and error.errno in _UNREACHABLE:
            _log.error("cannot reach %r; uploads are refused until it is back: %s", self.root, error)
            raise _unavailable() from error

    def _check(self, state_fd: int, found: os.stat_result, *, write: bool = False) -> int:
        """Return the open state directory, and remember it. If it is the wrong one, close it and raise."""
        # A file system that is mounted again may have another device number, but its inodes stay the same.
        if self._seen is not None and found.st_dev != self._seen[0] and found.st_ino != self._seen[1]:
            os.close(state_fd)
            raise self._away()
        identity = found.st_dev, found.st_ino
        self._check_version(state_fd, identity, write=write)
        self._seen = identity
        return state_fd

    def _check_version(self, state_fd: int, identity: tuple[int, int], *, write: bool) -> None:
        """Raise OSError, and close the state directory, if its layout is newer than this version knows.

        With ``write`` add the version to a store that has none. Each directory is checked only once.
        """
        if identity == self._versioned or (identity == self._seen and not write):
            return
        try:
            version = _read_version(state_fd)
            if version is not None and version > _VERSION:
                problem = (
                    f"a newer version of resumable wrote this store (layout {version}; this version reads up to "
                    f"{_VERSION}): upgrade resumable, or use another directory"
                )
                raise OSError(errno.ENOTSUP, problem, self.root)
            if version is None and write:
                _write_version(state_fd)
        except BaseException:
            os.close(state_fd)
            raise
        if version is not None or write:
            self._versioned = identity

    def _check_place(self) -> None:
        """Check that a missing store is missing on the same device. If it exists, :meth:`_check` decides."""
        if self._seen is None:
            return
        place = self.root
        while not os.path.lexists(place):
            place = os.path.dirname(place)
        if os.stat(place).st_dev != self._seen[0]:
            raise self._away()

    def _away(self) -> Refusal:
        _log.error(
            "%r is on another device than before, so a mount is missing; uploads are refused until it is back",
            self.root,
        )
        return _unavailable()


def _read_version(state_fd: int) -> int | None:
    fd = open_if_there(LAYOUT, os.O_RDONLY, state_fd)
    if fd is None:
        return None
    with closing_fd(fd):
        text = os.read(fd, 20).strip()
        # It is empty or full of zeros if its writer was killed or the power failed.
        return int(text) if text.isdigit() else None


def _write_version(state_fd: int) -> None:
    with closing_fd(open_file(LAYOUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, state_fd)) as fd:
        os.write(fd, f"{_VERSION}\n".encode())


def _unavailable() -> Refusal:
    return Refusal(503, "The server cannot reach its directory for uploads: try again.", ("Retry-After", "5"))
