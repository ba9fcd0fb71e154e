"""Directories and files of a store, opened so that no planted link leads anywhere.

Everything is opened relative to a directory that is open already, and no symbolic link is followed.
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
    "open_directory",
    "open_file",
    "open_if_there",
    "open_state",
    "remove_directory",
    "unlock_and_close",
]


@contextmanager
def closing_fd(fd: int) -> Iterator[int]:
    """The open file, closed after the block."""
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def closing_lock(fd: int) -> Iterator[int]:
    """The open file, unlocked and closed after the block."""
    try:
        yield fd
    finally:
        unlock_and_close(fd)


def unlock_and_close(fd: int) -> None:
    """The open file is unlocked and closed."""
    # To close it is not enough: a process that the program forked meanwhile has it open too, and would keep the lock.
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def open_directory(path: str, parent_fd: int | None = None) -> int:
    """The directory of this path, relative to the open one above it; to be closed by the caller.

    Raises NotADirectoryError where the last component is a symbolic link, as for anything else that is no directory.
    """
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent_fd)


def open_file(name: str, flags: int, directory_fd: int, mode: int = 0o600) -> int:
    """The file of this name in the open directory. Raises OSError (ELOOP) where it is a symbolic link."""
    return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=directory_fd)


def open_if_there(name: str, flags: int, directory_fd: int) -> int | None:
    """As :func:`open_file`; None where there is no file of this name."""
    try:
        return open_file(name, flags, directory_fd)
    except FileNotFoundError:
        return None


def mkdir_open(name: str, parent_fd: int, mode: int = 0o777) -> int:
    """The directory of this name inside the open one, made where it is missing."""
    try:
        os.mkdir(name, mode, dir_fd=parent_fd)
    except FileExistsError:
        pass
    return open_directory(name, parent_fd)


def exists(path: str, parent_fd: int) -> bool:
    """Whether there is anything at this path relative to the open directory."""
    try:
        os.stat(path, dir_fd=parent_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def open_state(root: str) -> int | None:
    """The directory of the uploads in ``root``, None where there is none.

    Raises PermissionError where others than this process's user could have put it there, or can write to it.
    """
    try:
        with closing_fd(_open_root(root)) as root_fd:
            return _own(open_directory(STATE_DIRECTORY, root_fd), root)
    except FileNotFoundError:
        return None


def make_state(root: str, *, durable: bool, lasting: bool) -> int:
    """The directory of the uploads in ``root``, made where it is missing; with ``durable`` it outlives a power failure.

    With ``lasting`` a new root does, which the files that are published in it need.

    Raises PermissionError as :func:`open_state` does.
    """
    _make(root, durable=lasting)
    with closing_fd(_open_root(root)) as root_fd:
        state_fd = _own(mkdir_open(STATE_DIRECTORY, root_fd, 0o700), root)
        if durable:
            os.fsync(root_fd)
        return state_fd


def _open_root(root: str) -> int:
    try:
        return open_directory(root)
    except NotADirectoryError:
        problem = "no directory, or a symbolic link, which is not followed: name the directory that it leads to"
        raise NotADirectoryError(errno.ENOTDIR, problem, root) from None


def _own(state_fd: int, root: str) -> int:
    found = os.fstat(state_fd)
    if found.st_uid == os.geteuid() and not found.st_mode & 0o022:
        return state_fd
    os.close(state_fd)
    path = os.path.join(root, STATE_DIRECTORY)
    raise PermissionError(errno.EPERM, "belongs to another user, or others may write to it", path)


def _make(path: str, *, durable: bool) -> None:
    try:
        _make_one(path, durable=durable)
    except FileNotFoundError:
        _make(os.path.dirname(path), durable=durable)
        # In /proc it is not found again.
        _make_one(path, durable=durable)


def _make_one(path: str, *, durable: bool) -> None:
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    if durable:
        with closing_fd(os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)) as directory_fd:
            os.fsync(directory_fd)


def remove_directory(name: str, parent_fd: int) -> None:
    """There is no directory of this name in the open one afterwards. It holds files only."""
    with closing_fd(open_directory(name, parent_fd)) as directory_fd:
        while True:
            for name_inside in os.listdir(directory_fd):
                with suppress(FileNotFoundError):
                    os.unlink(name_inside, dir_fd=directory_fd)
            try:
                return os.rmdir(name, dir_fd=parent_fd)
            except OSError as error:
                # A request that holds it still may have left another file meanwhile.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
