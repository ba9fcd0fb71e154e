"""The options that all uploads of a store in a directory share."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from .bitmap import boot_id
from .home import Home
from .quotas import Quotas
from .record import UploadRecord

__all__ = ["FilePolicy"]


@dataclass(frozen=True)
class FilePolicy:
    """Where and how uploads are published; see :class:`~resumable.receiver.store.files.FileStore`."""

    home: Home
    fsync: str
    existing: str
    patience: float
    reserve: int
    forget_after: float
    collected: bool | None
    quotas: Quotas

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
