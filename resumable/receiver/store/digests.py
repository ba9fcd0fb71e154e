"""A digest of each chunk: its CRC-32, by which a published file is known again when its bytes are not at hand.

A digest is 4 bytes in the byte order of the machine, and never 0: that says that it is not known. Digests are computed
while the bytes pass. They protect against accidents, not against somebody who makes bytes for a digest.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

from ...protocol.plan import ChunkPlan

__all__ = ["DIGEST_SIZE", "UNKNOWN", "Digest", "digest_at", "has_digests", "unknown_in"]

DIGEST_SIZE = 4
UNKNOWN = bytes(DIGEST_SIZE)

_PIECE = 1 << 18


class Digest:
    """The digest of the bytes that were added so far."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, piece: bytes) -> None:
        """Take these bytes in."""
        self._sum = zlib.crc32(piece, self._sum)

    def value(self) -> int:
        """Return the digest as a number, which is not 0."""
        return self._sum or 1


def digest_at(fd: int, start: int, end: int) -> int:
    """Return the digest of the bytes ``[start, end)`` of an open file, or of as many of them as it has."""
    digest = Digest()
    while start < end and (piece := os.pread(fd, min(_PIECE, end - start), start)):
        digest.add(piece)
        start += len(piece)
    return digest.value()


def unknown_in(digests: Iterator[bytes]) -> Iterator[int]:
    """Return the indexes of the digests that are not known; they come in blocks of any number of them."""
    first = 0
    for block in digests:
        cells = memoryview(block).cast("I")
        if 0 in cells:
            yield from (first + index for index, cell in enumerate(cells) if not cell)
        first += len(cells)


def has_digests(fd: int, plan: ChunkPlan, digests: Iterator[bytes]) -> bool:
    """Return whether every chunk of an open file has its digest. Reads the whole file."""
    index = 0
    for block in digests:
        for cell in memoryview(block).cast("I"):
            if digest_at(fd, *plan.span(index)) != cell:
                return False
            index += 1
    return index == plan.count
