"""Limit the unfinished uploads of a tenant by listing an empty object for each of them.

Nothing is locked: uploads that begin at the same moment may all find room for the last one.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..store.quotas import TenantLimits
from ..store.record import UploadRecord
from .bucket import Bucket
from .failures import PreconditionFailed
from .layout import open_marker, open_markers

__all__ = ["OpenUploads"]


class OpenUploads:
    """The markers of unfinished uploads, and their limits."""

    def __init__(self, bucket: Bucket, limits: TenantLimits) -> None:
        self._bucket = bucket
        self._limits = limits

    def begin(self, key: str, record: UploadRecord, *, new: bool) -> bool:
        """Mark an upload as unfinished. With ``new`` return False if another server has done so, and True otherwise.

        Raises :class:`Refusal` if there is no room for it: 413, 429 or 507.
        """
        if self._limits:
            others = [size for other, size in self._marked(record.tenant) if other != key]
            self._limits.check(record, len(others), sum(others))
        try:
            self._bucket.put(open_marker(record.tenant, key, record.total_size), b"", 0, new=new)
        except PreconditionFailed:
            return False
        return True

    def _marked(self, tenant: str) -> Iterator[tuple[str, int]]:
        """Yield key and size of the unfinished uploads of a tenant."""
        prefix = open_markers(tenant)
        for facts in self._bucket.listed(prefix):
            key, _, size = facts.key[len(prefix) :].partition(".")
            yield key, int(size)
