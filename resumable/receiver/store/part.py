"""The file ``part`` of an upload as a whole, once all its chunks are stored."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress

from ...protocol.plan import ChunkPlan
from .bitmap import ChunkBitmap
from .digests import digest_at, unknown_in

__all__ = ["complete_digests", "contents", "touch"]

_PIECE = 1 << 18


def contents(part_fd: int) -> Iterator[bytes]:
    """Yield the bytes of the file in pieces."""
    offset = 0
    while piece := os.pread(part_fd, _PIECE, offset):
        yield piece
        offset += len(piece)


def complete_digests(part_fd: int, plan: ChunkPlan, bitmap: ChunkBitmap) -> None:
    """Compute the digests that are unknown because of a power failure, or because a process died."""
    for index in unknown_in(bitmap.digests()):
        bitmap.note(index, digest_at(part_fd, *plan.span(index)))


def touch(part_fd: int) -> int:
    """Set the modification time of the file to now, and return it in nanoseconds.

    The system itself sets it in steps of some milliseconds, so a change right after publishing could go unnoticed.
    """
    now = time.time_ns()
    with suppress(OSError):
        os.utime(part_fd, ns=(now, now))
    return os.fstat(part_fd).st_mtime_ns
