"""Give a finished file its name, atomically, and never over another file unless it may be replaced."""

from __future__ import annotations

import errno
import logging
import os
import stat
from contextlib import suppress

from ..messages import Refusal
from .names import STATE_DIRECTORY, free_number, numbered
from .refusals import cannot_publish, name_taken
from .safe_files import (
    closing_fd,
    exists,
    mkdir_open,
    open_directory,
)

__all__ = ["check_place", "is_published", "other_mount", "publish_file"]

_log = logging.getLogger(__name__)

_LINK = "replacement"
"""A second link to the part file, in the directory of the upload, that becomes the published name."""


def check_place(root: str, name: str, existing: str) -> None:
    """Raise :class:`Refusal` if nothing can be published under the name, as far as that is known before its bytes are.

    409 if a file is in its path, or if the name is taken and ``existing`` does not allow for that; 501 if its directory
    is on another device, or if this process cannot write its letters.
    """
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        advice = "run the receiver in a UTF-8 locale, such as LC_ALL=C.UTF-8"
        _log.error("no file can be called %r in the encoding of this process, %s: %s", name, error.encoding, advice)
        raise cannot_publish() from None
    *parents, leaf = name.split("/")
    if not parents and existing == "number":
        return
    directory_fd = open_directory(root)
    try:
        device = os.fstat(directory_fd).st_dev
        for parent in parents:
            parent_fd = directory_fd
            try:
                directory_fd = open_directory(parent, parent_fd)
            except FileNotFoundError:
                return
            except NotADirectoryError:
                raise _no_directory(parent) from None
            os.close(parent_fd)
            if os.fstat(directory_fd).st_dev != device:
                raise other_mount(root, os.path.join(root, *parents))
        if existing == "refuse" and exists(leaf, directory_fd):
            raise name_taken(leaf)
        if existing == "replace" and _is_directory(leaf, directory_fd):
            raise _directory_there(leaf)
    finally:
        os.close(directory_fd)


def publish_file(root: str, name: str, upload_fd: int, part_fd: int, *, existing: str, durable: bool) -> str:
    """Publish the file ``part`` of an upload in ``root``, and return the name that it got.

    The name is a second link, so no byte is copied. If ``name`` is taken, ``existing`` decides: ``"number"`` uses
    ``name (1)`` and so on, ``"replace"`` replaces the file, and ``"refuse"`` raises :class:`Refusal` (409). Missing
    directories of the path are created. If a process has died after it linked the file, its link is used.

    Raises :class:`Refusal` (501) if the directory is a mount of its own, to which no link leads.
    """
    *parents, leaf = name.split("/")
    directory_fd = open_directory(root)
    try:
        for parent in parents:
            parent_fd, directory_fd = directory_fd, _enter_directory(directory_fd, parent)
            with closing_fd(parent_fd):
                if durable:
                    os.fsync(parent_fd)
        published = _linked_before(directory_fd, os.fstat(part_fd))
        if published is None and existing == "replace":
            published = _replace(directory_fd, leaf, upload_fd)
        elif published is None:
            published = _link(directory_fd, leaf, upload_fd, refuse=existing == "refuse")
        if durable:
            os.fsync(directory_fd)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise other_mount(root, os.path.join(root, *parents)) from None
    finally:
        os.close(directory_fd)
    return "/".join((*parents, published))


def other_mount(root: str, place: str) -> Refusal:
    """Log that files cannot be published in ``place``, which is on another mount than the uploads, and return the
    refusal (501) to raise."""
    state = os.path.join(root, STATE_DIRECTORY)
    problem = "%r and %r are two mounts, and a file cannot have a name in both, so none can be published: %s"
    _log.error(problem, place, state, f"mount one file system on {root!r}, and no other inside it")
    return cannot_publish()


def is_published(root: str, name: str, part: os.stat_result) -> bool:
    """Return whether a process has died after it linked the file, but before it saved that in the record."""
    directory_fd = open_directory(root)
    try:
        for parent in name.split("/")[:-1]:
            parent_fd, directory_fd = directory_fd, open_directory(parent, directory_fd)
            os.close(parent_fd)
        return _linked_before(directory_fd, part) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False
    finally:
        os.close(directory_fd)


def _replace(directory_fd: int, leaf: str, upload_fd: int) -> str:
    # A link cannot replace a file, but a rename can.
    with suppress(FileNotFoundError):
        os.unlink(_LINK, dir_fd=upload_fd)
    os.link("part", _LINK, src_dir_fd=upload_fd, dst_dir_fd=upload_fd, follow_symlinks=False)
    try:
        os.replace(_LINK, leaf, src_dir_fd=upload_fd, dst_dir_fd=directory_fd)
    except IsADirectoryError:
        raise _directory_there(leaf) from None
    return leaf


def _link(directory_fd: int, leaf: str, upload_fd: int, *, refuse: bool) -> str:

    def is_taken(number: int) -> bool:
        return exists(numbered(leaf, number), directory_fd)

    number, candidate = 0, leaf
    while True:
        try:
            os.link("part", candidate, src_dir_fd=upload_fd, dst_dir_fd=directory_fd, follow_symlinks=False)
            return candidate
        except FileExistsError:
            if refuse:
                raise name_taken(leaf) from None
        number = free_number(is_taken, above=number)
        candidate = numbered(leaf, number)


def _linked_before(directory_fd: int, part: os.stat_result) -> str | None:
    if part.st_nlink > 1:
        for name in os.listdir(directory_fd):
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(name, dir_fd=directory_fd, follow_symlinks=False), part):
                    return name
    return None


def _enter_directory(directory_fd: int, name: str) -> int:
    try:
        return mkdir_open(name, directory_fd)
    except NotADirectoryError:
        raise _no_directory(name) from None


def _is_directory(name: str, directory_fd: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=directory_fd, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _directory_there(leaf: str) -> Refusal:
    return Refusal(409, f"{leaf!r} is a directory here: upload the file under another name.")


def _no_directory(name: str) -> Refusal:
    return Refusal(409, f"The directory {name!r} of the path is a file here: upload the file to another path.")
