"""The options that all uploads of a store on an object store share."""

from __future__ import annotations

from dataclasses import dataclass

from .bucket import Bucket
from .quotas import OpenUploads

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
    open_uploads: OpenUploads
