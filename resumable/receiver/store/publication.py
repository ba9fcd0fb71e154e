"""Giving a finished file its name: atomically, and never over another file."""

from __future__ import annotations

import os
from contextlib import suppress

from ..messages import Refusal
from .names import numbered
from .safe_files import (
    closing_fd,
    exists,
    mkdir_open,
    open_directory,
)

__all__ = ["is_published", "publish_file"]


def publish_file(root: str, name: str, upload_fd: int, part_fd: int, *, refuse: bool, durable: bool) -> str:
    """The name in ``root`` that the file ``part`` of the directory ``upload``, both open, has now.

    It is a second link, so that no byte is copied. When the name is taken it is ``name (1)``, or with ``refuse`` a
    :class:`Refusal` (409). Directories of the path are made. A link that a process left which died thereafter is found
    again.
    """
    *parents, leaf = name.split("/")
    directory_fd = open_directory(root)
    try:
        for parent in parents:
            parent_fd, directory_fd = directory_fd, _entered(directory_fd, parent)
            with closing_fd(parent_fd):
                if durable:
                    os.fsync(parent_fd)
        published = _linked_before(directory_fd, os.fstat(part_fd)) or _link(directory_fd, leaf, upload_fd, refuse)
        if durable:
            os.fsync(directory_fd)
    finally:
        os.close(directory_fd)
    return "/".join((*parents, published))


def is_published(root: str, name: str, part: os.stat_result) -> bool:
    """Whether a process died after it gave the file a name where this one would be, and before it noted that."""
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


def _link(directory_fd: int, leaf: str, upload_fd: int, refuse: bool) -> str:
    number, candidate = 0, leaf
    while True:
        try:
            os.link("part", candidate, src_dir_fd=upload_fd, dst_dir_fd=directory_fd, follow_symlinks=False)
            return candidate
        except FileExistsError:
            if refuse:
                raise Refusal(
                    409, f"A file named {leaf!r} exists already: upload this one under another name."
                ) from None
        number = _free_number(directory_fd, leaf, number)
        candidate = numbered(leaf, number)


def _free_number(directory_fd: int, leaf: str, taken: int) -> int:
    """A number above the taken one that was free a moment ago, and the one below it taken.

    It is looked for with steps that grow and then shrink: names that many files have would cost a look at each.
    """
    step = 1
    while exists(numbered(leaf, taken + step), directory_fd):
        taken += step
        step *= 2
    free = taken + step
    while free - taken > 1:
        middle = (taken + free) // 2
        if exists(numbered(leaf, middle), directory_fd):
            taken = middle
        else:
            free = middle
    return free


def _linked_before(directory_fd: int, part: os.stat_result) -> str | None:
    if part.st_nlink > 1:
        for name in os.listdir(directory_fd):
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(name, dir_fd=directory_fd, follow_symlinks=False), part):
                    return name
    return None


def _entered(directory_fd: int, name: str) -> int:
    try:
        return mkdir_open(name, directory_fd)
    except NotADirectoryError:
        raise Refusal(
            409, f"The directory {name!r} of the path is a file here: upload the file to another path."
        ) from None
