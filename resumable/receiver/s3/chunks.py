"""The stored chunks of an upload: an object each, written once and never again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from ...protocol.plan import ChunkPlan
from ..store.chunks import with_offsets
from .body import StreamedBody, new_digest
from .bucket import Bucket
from .failures import Missing, PreconditionFailed
from .recent import RecentChunks, copied

__all__ = ["DIGEST_SIZE", "ChunkList", "StoredChunks"]

DIGEST_SIZE = 16
"""The bytes of a digest."""

# Some stores list what is still being written, under names of their own.
_INDEX = re.compile("[0-9]{8}")


class ChunkList:
    """Which chunks were stored when the store was asked.

    ``record_etag`` is that of the record at that moment; ``has_past`` says whether another upload had the key before.
    """

    def __init__(self, plan: ChunkPlan) -> None:
        self.record_etag: str | None = None
        self.has_past = False
        self._plan = plan
        self._present = bytearray(plan.count)
        self._digests = bytearray(DIGEST_SIZE * plan.count)
        self.count = 0

    def add(self, index: int, size: int, etag: str) -> bool:
        """Note a chunk, unless the object has another size than the chunk. Return whether it was not known before."""
        start, end = self._plan.span(index)
        if size != end - start or self._present[index]:
            return False
        self._present[index] = 1
        self.count += 1
        with suppress(ValueError):
            digest = bytes.fromhex(etag.strip('"'))
            if len(digest) == DIGEST_SIZE:
                self._digests[DIGEST_SIZE * index : DIGEST_SIZE * (index + 1)] = digest
        return True

    def include(self, other: ChunkList) -> None:
        """Note the chunks that another list has."""
        for index, present in enumerate(other._present):
            if present and not self._present[index]:
                start, end = self._plan.span(index)
                self.add(index, end - start, other._digests[DIGEST_SIZE * index : DIGEST_SIZE * (index + 1)].hex())

    def has(self, index: int, stop: int | None = None) -> bool:
        """Return whether the chunk is stored, or all of ``range(index, stop)``."""
        return self._present.find(0, index, index + 1 if stop is None else stop) < 0

    @property
    def complete(self) -> bool:
        """Whether all chunks are stored."""
        return self.count == self._plan.count

    @property
    def digests(self) -> bytes:
        """The digests of all chunks in a row; zeros for one whose digest the store does not tell."""
        return bytes(self._digests)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges ``[start, stop)`` of the stored chunks in ascending order."""
        start = self._present.find(1)
        while start >= 0:
            stop = self._present.find(0, start)
            yield start, len(self._present) if stop < 0 else stop
            start = -1 if stop < 0 else self._present.find(1, stop)


class StoredChunks:
    """The chunk objects of one upload. ``home`` is the prefix of all objects of its key. With ``recent`` the bytes of
    chunks that are stored are kept there for a while."""

    def __init__(
        self, bucket: Bucket, home: str, generation: str, plan: ChunkPlan, recent: RecentChunks | None = None
    ) -> None:
        self._recent = recent
        self._bucket = bucket
        self._home = home
        self._plan = plan
        self._prefix = f"{home}c/{generation}/"

    def key(self, index: int) -> str:
        """Return the key of the object of a chunk."""
        return f"{self._prefix}{index:08d}"

    def listed(self) -> ChunkList:
        """Ask the store which chunks there are."""
        found = ChunkList(self._plan)
        for facts in self._bucket.listed(self._home):
            if facts.key == f"{self._home}record":
                found.record_etag = facts.etag
            elif facts.key == f"{self._home}past":
                found.has_past = True
            elif facts.key.startswith(self._prefix) and _INDEX.fullmatch(index := facts.key[len(self._prefix) :]):
                found.add(int(index), facts.size, facts.etag if self._bucket.tells_md5 else "")
        return found

    def store(self, index: int, pieces: Iterator[bytes]) -> tuple[str, bool]:
        """Write a chunk while its pieces arrive. Return its digest, and whether there was no such chunk before.

        If there was one, the bytes go nowhere, and may differ from those of that chunk.
        """
        start, end = self._plan.span(index)
        checked = (piece for _, piece in with_offsets(self._plan, index, pieces))
        recent = self._recent
        if recent is None or not recent.reserve(end - start):
            return self._put(index, StreamedBody(checked))
        copy: list[bytes] = []
        kept = False
        try:
            stored = self._put(index, StreamedBody(copied(checked, copy)))
            kept = stored[1]
            if kept:
                recent.keep(self.key(index), copy)
            return stored
        finally:
            if not kept:
                recent.release(end - start)

    def _put(self, index: int, body: StreamedBody) -> tuple[str, bool]:
        start, end = self._plan.span(index)
        try:
            if start == end:
                body.drain()  # boto3 does not read an empty body, so that errors would go unnoticed
            self._bucket.put(self.key(index), b"" if start == end else body, end - start, new=True)
        except PreconditionFailed:
            return body.drain(), False
        return body.drain(), True

    def digest(self, index: int) -> str | None:
        """Read a stored chunk and return its digest in hexadecimal, None if it is gone."""
        digest = new_digest()
        try:
            for piece in self._bucket.pieces(self.key(index)):
                digest.update(piece)
        except Missing:
            return None
        return digest.hexdigest()

    def has_digest(self, index: int, digest: str) -> bool | None:
        """Return whether a stored chunk has this digest, None if it is gone. Reads it if the store does not tell."""
        facts = self._bucket.head(self.key(index))
        if facts is None:
            return None
        return facts.etag.strip('"') == digest or self.digest(index) == digest

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes of the chunks of a range. Raises :class:`Missing` if one is gone."""
        for index in range(start, stop):
            if self._plan.length(index, index + 1):
                yield from self._bucket.pieces(self.key(index))

    def recent_pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes of the chunks of a range, read only as far as they are not kept here. Raises
        :class:`Missing` if one is gone that has to be read."""
        for index in range(start, stop):
            kept = None if self._recent is None else self._recent.pieces(self.key(index))
            yield from self.pieces(index, index + 1) if kept is None else kept

    def forget_recent(self, start: int, stop: int) -> None:
        """Drop the bytes that are kept of the chunks of a range."""
        if self._recent is not None:
            self._recent.drop(map(self.key, range(start, stop)))

    def keys(self) -> Iterator[str]:
        """Yield the keys of the objects of all chunks."""
        return map(self.key, range(self._plan.count))
