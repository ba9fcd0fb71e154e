"""The options that all uploads of a store on an object store share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...errors import OptionError
from ..store.policy import StorePolicy, check_seconds
from ..store.record import UploadRecord
from .background import Background
from .bucket import Bucket
from .recent import RecentChunks

__all__ = ["ObjectPolicy"]


@dataclass(frozen=True, kw_only=True)
class ObjectPolicy(StorePolicy):
    """What a store in ``bucket`` does with its uploads; see :class:`~resumable.receiver.s3.store.S3Store`."""

    bucket: Bucket
    lease: float
    part_size: int
    recent: RecentChunks = field(default_factory=RecentChunks)
    background: Background = field(default_factory=Background)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_seconds("lease", self.lease)
        if self.part_size < 1:
            raise OptionError("part_size", self.part_size, "at least 1 byte")

    def located(self, record: UploadRecord) -> UploadRecord:
        """Return the record with the URL of its object (``s3://…``), if that is published."""
        if record.published is None:
            return record
        return replace(record, path=f"s3://{self.bucket.name}/{self.bucket.prefix}{record.published}")
