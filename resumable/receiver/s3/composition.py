"""Make the parts of a multipart upload of the stored chunks.

A store takes at most 10,000 parts, and none but the last may have less than 5 MiB. A chunk that is large enough becomes
a part as it is, copied by the store itself; smaller ones are put together, which moves their bytes through this
process once more. A part has the same chunks whoever makes it, so it does no harm if two do.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ...protocol.plan import ChunkPlan
from .body import StreamedBody
from .bucket import Bucket
from .chunks import StoredChunks

__all__ = ["MOST_PARTS", "PartPlan", "Parts"]

MOST_PARTS = 10_000
"""How many parts an object may have."""

_AT_ONCE = 8


@dataclass(frozen=True)
class PartPlan:
    """Which chunks make which part. ``least`` is the size that all parts but the last have at least, in bytes."""

    plan: ChunkPlan
    least: int

    @property
    def width(self) -> int:
        """How many chunks make a part; the last one takes the remainder."""
        return max(-(-self.least // self.plan.chunk_size), -(-self.plan.count // MOST_PARTS))

    @property
    def count(self) -> int:
        """The number of parts."""
        return max(self.plan.count // self.width, 1)

    def chunks(self, part: int) -> tuple[int, int]:
        """Return the range ``[start, stop)`` of the chunks of a part, which counts from 0."""
        start = part * self.width
        return start, self.plan.count if part == self.count - 1 else start + self.width

    def part_of(self, index: int) -> int:
        """Return the part that a chunk belongs to."""
        return min(index // self.width, self.count - 1)

    def size(self, part: int) -> int:
        """Return the bytes of a part."""
        return self.plan.length(*self.chunks(part))


class Parts:
    """The parts of one multipart upload for ``target``."""

    def __init__(self, bucket: Bucket, chunks: StoredChunks, plan: PartPlan, target: str, upload_id: str) -> None:
        self._bucket = bucket
        self._chunks = chunks
        self._plan = plan
        self._target = target
        self._upload_id = upload_id

    def make(self, part: int) -> str:
        """Make one part of its chunks, and return its ETag. Raises :class:`Missing` if something is gone."""
        start, stop = self._plan.chunks(part)
        where = (self._target, self._upload_id, part + 1)
        if stop - start == 1 and self._bucket.copies:
            return self._bucket.copy_part(*where, self._chunks.key(start))
        body = StreamedBody(self._chunks.recent_pieces(start, stop))
        etag = self._bucket.put_part(*where, body, self._plan.size(part))
        self._chunks.forget_recent(start, stop)
        return etag

    def make_all(self) -> list[str]:
        """Make all parts that are missing, and return the ETags of all."""
        made = self._bucket.parts(self._target, self._upload_id)
        etags: list[str] = []
        missing: list[int] = []
        for part in range(self._plan.count):
            facts = made.get(part + 1)
            whole = facts is not None and facts.size == self._plan.size(part)
            etags.append(facts.etag if facts is not None and whole else "")
            if not whole:
                missing.append(part)
        if missing:
            with ThreadPoolExecutor(min(_AT_ONCE, len(missing)), "resumable-parts") as pool:
                for part, etag in zip(missing, pool.map(self.make, missing), strict=True):
                    etags[part] = etag
        return etags
