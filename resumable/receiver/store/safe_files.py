"""Open the directories and files of a store so that no planted link can lead out of it.

Everything is opened relative to an open directory, and symbolic links are not followed.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .names import STATE_DIRECTORY

__all__ = [
    "closing_fd",
    "closing_lock",
    "exists",
    "make_state",
    "mkdir_open",
    "modified",
    "open_directory",
    "open_file",
    "open_if_there",
    "open_state",
    "remove_directory",
    "unlock_and_close",
]


class closing_fd:  # noqa: N801  # used like contextlib.closing
    """Close the descriptor after the block."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *exception: object) -> None:
        os.close(self._fd)


@contextmanager
def closing_lock(fd: int) -> Iterator[int]:
    """Unlock and close the descriptor after the block."""
    try:
        yield fd
    finally:
        unlock_and_close(fd)


def unlock_and_close(fd: int) -> None:
    """Unlock and close the descriptor."""
    # Closing is not enough: a process that was forked in the meantime has it open too, and would keep the lock.
    try:
        fcntl.flock(fd, fcntl.LOCK_UN)
    finally:
        os.close(fd)


def open_directory(path: str, parent_fd: int | None = None) -> int:
    """Open the directory of this path, relative to an open parent; the caller has to close it.

    Raises NotADirectoryError if the last component is a symbolic link, or anything else but a directory.
    """
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent_fd)


def open_file(name: str, flags: int, directory_fd: int, mode: int = 0o600) -> int:
    """Open the file of this name in an open directory. Raises OSError (ELOOP) if it is a symbolic link."""
    return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=directory_fd)


def open_if_there(name: str, flags: int, directory_fd: int) -> int | None:
    """Open a file as :func:`open_file` does; return None if there is no file of this name."""
    try:
        return open_file(name, flags, directory_fd)
    except FileNotFoundError:
        return None


def mkdir_open(name: str, parent_fd: int, mode: int = 0o777) -> int:
    """Open the directory of this name in an open parent; create it if it is missing."""
    try:
        os.mkdir(name, mode, dir_fd=parent_fd)
    except FileExistsError:
        pass
    return open_directory(name, parent_fd)


def exists(path: str, parent_fd: int) -> bool:
    """Return whether anything exists at this path relative to an open directory."""
    try:
        os.stat(path, dir_fd=parent_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def modified(path: str, parent_fd: int) -> float:
    """Return when what is at this path relative to an open directory was changed, in seconds since the epoch."""
    return os.stat(path, dir_fd=parent_fd, follow_symlinks=False).st_mtime


def open_state(root: str) -> tuple[int, os.stat_result] | None:
    """Open the directory of the uploads in ``root``, and return what the system says about it; None if there is none.

    Raises PermissionError if it belongs to another user, or if others can write to it.
    """
    try:
        with closing_fd(_open_root(root)) as root_fd:
            return _check_owner(open_directory(STATE_DIRECTORY, root_fd), root)
    except FileNotFoundError:
        return None


def make_state(root: str, *, durable: bool, lasting: bool) -> tuple[int, os.stat_result]:
    """Open the directory of the uploads in ``root`` as :func:`open_state` does; create it, and ``root``, if missing.

    With ``durable`` it survives a power failure. With ``lasting`` a new ``root`` does, as the files that are published
    in it need it to. Raises PermissionError as :func:`open_state` does.
    """
    _make_directories(root, durable=lasting)
    with closing_fd(_open_root(root)) as root_fd:
        opened = _check_owner(mkdir_open(STATE_DIRECTORY, root_fd, 0o700), root)
        if durable:
            os.fsync(root_fd)
        return opened


def _open_root(root: str) -> int:
    try:
        return open_directory(root)
    except NotADirectoryError:
        problem = "not a directory, or a symbolic link, which is not followed: give the path of the directory itself"
        raise NotADirectoryError(errno.ENOTDIR, problem, root) from None


def _check_owner(state_fd: int, root: str) -> tuple[int, os.stat_result]:
    found = os.fstat(state_fd)
    if found.st_uid == os.geteuid() and not found.st_mode & 0o022:
        return state_fd, found
    os.close(state_fd)
    path = os.path.join(root, STATE_DIRECTORY)
    raise PermissionError(errno.EPERM, "belongs to another user, or others may write to it", path)


def _make_directories(path: str, *, durable: bool) -> None:
    try:
        _make_directory(path, durable=durable)
    except FileNotFoundError:
        _make_directories(os.path.dirname(path), durable=durable)
        # In /proc the parent cannot be created, and this raises again.
        _make_directory(path, durable=durable)


def _make_directory(path: str, *, durable: bool) -> None:
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    if durable:
        with closing_fd(os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)) as directory_fd:
            os.fsync(directory_fd)


def remove_directory(name: str, parent_fd: int) -> None:
    """Remove the directory of this name, which holds files only, from an open parent."""
    with closing_fd(open_directory(name, parent_fd)) as directory_fd:
        while True:
            for name_inside in os.listdir(directory_fd):
                with suppress(FileNotFoundError):
                    os.unlink(name_inside, dir_fd=directory_fd)
            try:
                return os.rmdir(name, dir_fd=parent_fd)
            except OSError as error:
                # A request that still has it open may have created another file in the meantime.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
