"""Look for published uploads in the open state directory of a store, without opening or locking them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NoReturn

from .base import Look
from .layout import PAST
from .policy import FilePolicy
from .refusals import Discarded
from .safe_files import closing_fd, open_directory, open_if_there
from .tombstone import Tombstone

__all__ = ["earlier_in", "lookup_in"]


@contextmanager
def earlier_in(policy: FilePolicy, key: str, state_fd: int) -> Iterator[Tombstone | None]:
    """Give the block the last upload that gave way to another one with this key, None if none did."""
    record_fd = open_if_there(f"{PAST}{key}", os.O_RDONLY, state_fd)
    if record_fd is None:
        yield None
        return
    with closing_fd(record_fd), closing_fd(open_directory("..", state_fd)) as root_fd:
        yield Tombstone(policy, root_fd, record_fd, _raise_discarded)


@contextmanager
def lookup_in(policy: FilePolicy, state_fd: int) -> Iterator[Look]:
    """Give the block what :meth:`QuickStore.lookup` does."""
    with (
        closing_fd(open_directory("..", state_fd)) as root_fd,
        closing(_PublishedUploads(policy, root_fd, state_fd)) as look,
    ):
        yield look


class _PublishedUploads:
    """Called with the key of an upload, returns it. Its record stays open until the next call."""

    def __init__(self, policy: FilePolicy, root_fd: int, state_fd: int) -> None:
        self._policy = policy
        self._root_fd = root_fd
        self._state_fd = state_fd
        self._record_fd: int | None = None

    def __call__(self, key: str) -> Tombstone | None:
        self.close()
        self._record_fd = open_if_there(f"{key}/record", os.O_RDONLY, self._state_fd)
        if self._record_fd is None:
            return None
        past = Tombstone(self._policy, self._root_fd, self._record_fd, _raise_unknown)
        if past.record.published is None:
            _raise_unknown()
        return past

    def close(self) -> None:
        """Close the open record."""
        if self._record_fd is not None:
            os.close(self._record_fd)
            self._record_fd = None


def _raise_unknown() -> NoReturn:
    """Raise LookupError: only an open upload can tell."""
    raise LookupError


def _raise_discarded() -> NoReturn:
    """Raise :class:`Discarded`: the record of an upload that has given way cannot be updated."""
    raise Discarded
