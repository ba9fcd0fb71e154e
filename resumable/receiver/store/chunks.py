"""Write a chunk to its place in the file of an upload, or compare it with what is stored there."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ...protocol.plan import ChunkPlan
from ..messages import Refusal
from .digests import CheckedPieces, Digest, Digests, of_sha256
from .policy import FilePolicy
from .quotas import check_reserve
from .record_file import read_digest, read_open_record
from .refusals import Discarded, other_bytes
from .safe_files import closing_fd, open_file, open_if_there

__all__ = ["compare_chunk", "with_offsets", "write_chunk"]

_WORTH_WRITEBACK = 1 << 16


def write_chunk(policy: FilePolicy, directory_fd: int, plan: ChunkPlan, index: int, pieces: Iterator[bytes]) -> int:
    """Write a chunk to its place as its pieces arrive, and return its digest. The caller holds its lock.

    Raises what :meth:`StoredUpload.receive` raises.
    """
    start, end = plan.span(index)
    if policy.reserve:
        check_reserve(directory_fd, policy.reserve, end - start)
    try:
        part_fd = open_file("part", os.O_WRONLY | os.O_CREAT, directory_fd, 0o666)
    except FileNotFoundError:
        raise Discarded from None
    with closing_fd(part_fd):
        # The bytes of a chunk that was sent with its SHA-256 are hashed already.
        checked = pieces if isinstance(pieces, CheckedPieces) else None
        digest = Digest()
        for offset, piece in with_offsets(plan, index, pieces):
            if checked is None:
                digest.add(piece)
            written = os.pwrite(part_fd, piece, offset)
            while written < len(piece):
                written += os.pwrite(part_fd, piece[written:], offset + written)
        if policy.chunks_synced:
            os.fsync(part_fd)
        elif policy.fsync == "finish":
            _start_writeback(part_fd, start, end)
    return digest.value() if checked is None else of_sha256(checked.sha256)


def _start_writeback(part_fd: int, start: int, end: int) -> None:
    """Start to write the bytes to the disk without waiting for it, so that finishing takes less time."""
    if end - start >= _WORTH_WRITEBACK and hasattr(os, "posix_fadvise"):
        advice = os.POSIX_FADV_DONTNEED  # type: ignore[attr-defined,unused-ignore] # not on macOS
        os.posix_fadvise(part_fd, start, end - start, advice)


def compare_chunk(directory_fd: int, plan: ChunkPlan, index: int, pieces: Iterator[bytes]) -> None:
    """Compare a chunk with the stored one, or, once the file is published, with its digest.

    Raises :class:`Refusal` (409) if it has other bytes, and what :meth:`StoredUpload.receive` raises.
    """
    part_fd = open_if_there("part", os.O_RDONLY, directory_fd)
    if part_fd is None:
        digests = Digests()
        stored = _digest(directory_fd, index)
        for _, piece in with_offsets(plan, index, pieces):
            digests.add(piece)
        same = not stored or digests.include(stored)
    else:
        with closing_fd(part_fd):
            same = True
            for offset, piece in with_offsets(plan, index, pieces):
                same = same and os.pread(part_fd, len(piece), offset) == piece
    if not same:
        raise other_bytes(index)


def with_offsets(plan: ChunkPlan, index: int, pieces: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield each piece with its offset in the file. Raises :class:`Refusal` (400) if the chunk has a wrong length."""
    start, end = plan.span(index)
    offset = start
    for piece in pieces:
        if offset + len(piece) > end:
            raise Refusal(400, f"Chunk {index + 1} has more than its {end - start} bytes.")
        yield offset, piece
        offset += len(piece)
    if offset < end:
        raise Refusal(400, f"Chunk {index + 1} has only {offset - start} of its {end - start} bytes.")


def _digest(directory_fd: int, index: int) -> int:
    """Return the digest of a chunk of the published file; 0 if it is unknown."""
    try:
        record_fd = open_file("record", os.O_RDONLY, directory_fd)
    except FileNotFoundError:
        raise Discarded from None
    with closing_fd(record_fd):
        return read_digest(record_fd, read_open_record(record_fd), index)
