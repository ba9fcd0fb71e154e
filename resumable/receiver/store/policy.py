"""The options that all uploads of a store share: those of every store, and those of one in a directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...errors import OptionError
from .bitmap import boot_id
from .home import Home
from .quotas import Quotas
from .record import UploadRecord

__all__ = ["FilePolicy", "StorePolicy", "check_choice", "check_seconds"]


@dataclass(frozen=True, kw_only=True)
class StorePolicy:
    """What a store does with its uploads; see :class:`~resumable.receiver.store.files.FileStore`.

    Raises :class:`~resumable.errors.OptionError` for a value that is not allowed.
    """

    existing: str
    stale_after: float
    forget_after: float
    collected: bool | None
    patience: float

    def __post_init__(self) -> None:
        check_choice("existing", self.existing, ("number", "replace", "refuse"))
        for option in ("stale_after", "forget_after", "patience"):
            check_seconds(option, getattr(self, option))

    def owns(self, record: UploadRecord, *, collected: bool) -> bool:
        """Return whether the application owns a published file: as the store says, or its record, or ``collected``."""
        for said in (self.collected, record.collected):
            if said is not None:
                return said
        return collected

    def announced(
        self, record: UploadRecord, *, collected: bool, session: str, result: Mapping[str, Any] | None = None
    ) -> UploadRecord:
        """Return the record of a published file, now that the application knows of it.

        For the arguments see :meth:`StoredUpload.notify_once`; ``result`` is what its callback returned.
        """
        owned = self.owns(record, collected=collected)
        sessions = record.sessions if session in ("", *record.sessions) else (*record.sessions, session)
        return replace(record, announced=True, collected=owned, sessions=sessions, result=result)


@dataclass(frozen=True, kw_only=True)
class FilePolicy(StorePolicy):
    """What a store in the directory ``home`` does with its uploads."""

    home: Home
    fsync: str
    reserve: int
    quotas: Quotas

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("fsync", self.fsync, ("always", "finish", "never"))
        if self.reserve < 0:
            raise OptionError("reserve", self.reserve, "0 or more bytes")

    @property
    def root(self) -> str:
        """The directory in which files are published."""
        return self.home.root

    def located(self, record: UploadRecord) -> UploadRecord:
        """Return the record with the full path of its file, if that is published."""
        if record.published is None:
            return record
        return replace(record, path=os.path.join(self.root, *record.published.split("/")))

    @property
    def durable(self) -> bool:
        """Whether a published file survives a power failure."""
        return self.fsync != "never"

    @property
    def chunks_synced(self) -> bool:
        """Whether a chunk is on the disk before it is confirmed, also if a lost chunk could not be noticed later."""
        return self.fsync == "always" or (self.fsync == "finish" and boot_id() is None)


def check_choice(option: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise :class:`~resumable.errors.OptionError` if the value is not an allowed one."""
    if value not in allowed:
        raise OptionError(option, value, "one of " + ", ".join(map(repr, allowed)))


def check_seconds(option: str, value: float) -> None:
    """Raise :class:`~resumable.errors.OptionError` unless the value is 0 or more."""
    if not value >= 0:
        raise OptionError(option, value, "0 or more seconds")
