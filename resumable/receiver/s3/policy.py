"""The options that all uploads of a store on an object store share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..store.record import UploadRecord
from .background import Background
from .bucket import Bucket
from .recent import RecentChunks

__all__ = ["ObjectPolicy"]


@dataclass(frozen=True)
class ObjectPolicy:
    """Where and how uploads are published; see :class:`~resumable.receiver.s3.store.S3Store`."""

    bucket: Bucket
    existing: str
    patience: float
    lease: float
    forget_after: float
    collected: bool | None
    part_size: int
    recent: RecentChunks = field(default_factory=RecentChunks)
    background: Background = field(default_factory=Background)

    def located(self, record: UploadRecord) -> UploadRecord:
        """Return the record with the URL of its object (``s3://…``), if that is published."""
        if record.published is None:
            return record
        return replace(record, path=f"s3://{self.bucket.name}/{self.bucket.prefix}{record.published}")
