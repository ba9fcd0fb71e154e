"""Reserve a free name for the upload that began first, so that another one is refused before its bytes are sent.

The file in the state directory that :mod:`.replacement` has for a published name has the key of that upload here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from .layout import load_upload
from .publication import check_place
from .refusals import begun_already
from .replacement import name_locked, read_key
from .safe_files import closing_fd, open_directory

__all__ = ["HELD_FOR", "reserving"]

HELD_FOR = 900.0
"""Seconds without a new chunk after which an upload no longer keeps others from its name."""

_GONE = (OSError, ValueError, TypeError)


@contextmanager
def reserving(root: str, name: str, key: str, state_fd: int) -> Iterator[None]:
    """Reserve a name for the upload with this key, which begins in the block.

    Raises :class:`Refusal` (409) if the name is taken, or reserved for another upload that somebody continues.
    """
    with name_locked(name, state_fd) as fd:
        check_place(root, name, "refuse")
        other = read_key(fd)
        if other not in (key, "") and _holds(other, name, state_fd):
            raise begun_already(name)
        yield
        os.pwrite(fd, key.encode(), 0)


def _holds(key: str, name: str, state_fd: int) -> bool:
    """Return whether the upload with this key is unfinished, has this name, and got a chunk not long ago."""
    try:
        with closing_fd(open_directory(key, state_fd)) as directory_fd:
            record, bitmap = load_upload(directory_fd)
            if bitmap is None:
                return False
            with closing(bitmap):
                return record.name == name and bitmap.age() < HELD_FOR
    except _GONE:
        return False
