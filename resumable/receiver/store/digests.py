"""Compute a digest of each chunk: its CRC-32, by which a file is recognised without its original bytes.

A digest is 4 bytes in the byte order of the machine; 0 means that it is unknown. Digests are computed while the bytes
are received. They protect against accidents, not against an attacker who constructs bytes for a digest.
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
        """Add more bytes."""
        self._sum = zlib.crc32(piece, self._sum)

    def value(self) -> int:
        """Return the digest as a number other than 0."""
        return self._sum or 1


def digest_at(fd: int, start: int, end: int) -> int:
    """Return the digest of the bytes ``[start, end)`` of an open file, or of those of them that it has."""
    digest = Digest()
    while start < end and (piece := os.pread(fd, min(_PIECE, end - start), start)):
        digest.add(piece)
        start += len(piece)
    return digest.value()


def unknown_in(digests: Iterator[bytes]) -> Iterator[int]:
    """Yield the indexes of the unknown digests. They are given in blocks of any size."""
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
