"""Compute a digest of each chunk, by which a file is recognised without its original bytes.

It is the CRC-32 of the chunk, or the first 4 bytes of its SHA-256 if the client sent that: then it is known anyway.
What is stored does not say which of the two a digest is, so bytes are the same if either is equal.

A digest is 4 bytes in the byte order of the machine; 0 means that it is unknown. Digests are computed while the bytes
are received. They protect against accidents, not against an attacker who constructs bytes for a digest.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator

from ...protocol.plan import ChunkPlan

try:
    from isal.isal_zlib import crc32  # in a quarter of the time
except ImportError:
    from zlib import crc32

__all__ = [
    "DIGEST_SIZE",
    "CheckedPieces",
    "Digest",
    "Digests",
    "digest_at",
    "has_digests",
    "of_sha256",
    "unknown_in",
]

DIGEST_SIZE = 4

_PIECE = 1 << 18


class Digest:
    """The digest of the bytes that were added so far."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, piece: bytes) -> None:
        """Add more bytes."""
        self._sum = crc32(piece, self._sum)

    def value(self) -> int:
        """Return the digest as a number other than 0."""
        return self._sum or 1


class CheckedPieces(Iterator[bytes]):
    """The pieces of a chunk that was sent with its SHA-256. Once all of them have come and have been found to have it,
    ``sha256`` is that hash, in bytes; before that it is empty."""

    def __init__(self) -> None:
        self.sha256 = b""
        self.pieces: Iterator[bytes] = iter(())

    def __next__(self) -> bytes:
        return next(self.pieces)


class Digests:
    """Both digests of the bytes that were added so far, to be compared with what is stored."""

    def __init__(self) -> None:
        self._crc = Digest()
        self._sha256 = hashlib.sha256(usedforsecurity=False)

    def add(self, piece: bytes) -> None:
        """Add more bytes."""
        self._crc.add(piece)
        self._sha256.update(piece)

    def include(self, digest: int) -> bool:
        """Return whether the bytes have this digest."""
        return digest in (self._crc.value(), of_sha256(self._sha256.digest()))


def of_sha256(sha256: bytes) -> int:
    """Return the digest of a chunk whose SHA-256 is known, as a number other than 0."""
    return int.from_bytes(sha256[:DIGEST_SIZE], sys.byteorder) or 1


def _read(fd: int, start: int, end: int) -> Iterator[bytes]:
    while start < end and (piece := os.pread(fd, min(_PIECE, end - start), start)):
        yield piece
        start += len(piece)


def digest_at(fd: int, start: int, end: int) -> int:
    """Return the CRC-32 of the bytes ``[start, end)`` of an open file, or of those of them that it has."""
    digest = Digest()
    for piece in _read(fd, start, end):
        digest.add(piece)
    return digest.value()


def _sha256_at(fd: int, start: int, end: int) -> int:
    sha256 = hashlib.sha256(usedforsecurity=False)
    for piece in _read(fd, start, end):
        sha256.update(piece)
    return of_sha256(sha256.digest())


def unknown_in(digests: Iterator[bytes]) -> Iterator[int]:
    """Yield the indexes of the unknown digests. They are given in blocks of any size."""
    first = 0
    for block in digests:
        cells = memoryview(block).cast("I")
        if 0 in cells:
            yield from (first + index for index, cell in enumerate(cells) if not cell)
        first += len(cells)


def has_digests(fd: int, plan: ChunkPlan, digests: Iterator[bytes]) -> bool:
    """Return whether every chunk of an open file has its digest. Reads the whole file, and no chunk twice without
    need."""
    index = 0
    ways = [digest_at, _sha256_at]
    for block in digests:
        for cell in memoryview(block).cast("I"):
            if ways[0](fd, *plan.span(index)) != cell:
                # Most files have one kind only.
                ways.reverse()
                if ways[0](fd, *plan.span(index)) != cell:
                    return False
            index += 1
    return index == plan.count
