"""Remember which chunks of an upload are stored: one byte per chunk, in the file ``chunks`` of its directory.

The byte is 0 while the chunk is missing, 1 when its bytes are written, and 2 when they are known to be on the disk. A
power failure loses bytes that are written but not on the disk, while the 1 itself may have reached the disk. So a 1
counts only until the machine restarts: a header in front of the bytes says in which boot they were set.

The header has 32 bytes: a number of chunks below which none is missing (8 bytes, little-endian), when a chunk was last
stored (8, nanoseconds since boot, signed), and the boot id of the machine (16). Each byte is set by the request that
holds the lock of its chunk.

Behind the bytes are the digests of the chunks, if they are known. A digest is written after its byte, so that it never
belongs to older bytes than those that count; if a process dies in between, it is unknown.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from .digests import DIGEST_SIZE
from .safe_files import closing_fd, open_file

__all__ = ["ChunkBitmap", "boot_id"]

_PLACE, _TOUCHED, _BOOT, _HEAD = 0, 8, 16, 32
_BLOCK = 1 << 16
_STORED = re.compile(rb"[^\0]+")
_UNSYNCED = re.compile(b"\1+")
_NO_BOOT = bytes(16)


@cache
def boot_id() -> bytes | None:
    """Return 16 bytes that change with every start of the machine; None on systems without them (all but Linux)."""
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip().replace("-", ""))
    except OSError:
        return None


class ChunkBitmap:
    """The file ``chunks``, open as ``fd``, of one upload with ``count`` chunks."""

    def __init__(self, fd: int, count: int) -> None:
        self._fd = fd
        self._count = count

    @classmethod
    def make(cls, directory_fd: int, count: int) -> None:
        """Create the file in an open directory, with no chunk set.

        It need not reach the disk: no chunk is set in whatever a power failure leaves of it, even in an empty file.
        """
        with closing_fd(open_file("chunks", os.O_RDWR | os.O_CREAT, directory_fd)) as fd:
            cls(fd, count)._write_head(0.0)
            os.ftruncate(fd, _HEAD + count)

    def close(self) -> None:
        """Close the file. No other method may be called after that."""
        os.close(self._fd)

    def trusted(self) -> bool:
        """Return whether a 1 counts: whether it was set since the machine started."""
        return os.pread(self._fd, _HEAD - _BOOT, _BOOT) == (boot_id() or _NO_BOOT)

    def age(self) -> float:
        """Return the seconds since a chunk was last stored, by a clock that cannot be set while the machine runs."""
        if self.trusted():
            return (_now() - int.from_bytes(os.pread(self._fd, 8, _TOUCHED), "little", signed=True)) / 1e9
        return time.time() - os.fstat(self._fd).st_mtime

    def has(self, index: int) -> bool:
        """Return whether the chunk is stored."""
        return os.pread(self._fd, 1, _HEAD + index) > b"\0"

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges ``[start, stop)`` of the stored chunks in ascending order."""
        return self._runs(_STORED)

    def complete(self) -> bool:
        """Return whether all chunks are stored. Takes constant time.

        A place below which everything is stored stays one, so it does not matter which request writes it last. Only if
        chunks are discarded in the meantime it may be wrong, which is why publishing counts with :meth:`stored`.
        """
        known, block = self._first_missing(4096)
        place = known
        while block and b"\0" not in block:
            place += len(block)
            block = os.pread(self._fd, min(4096, self._count - place), _HEAD + place)
        if place > known:
            os.pwrite(self._fd, place.to_bytes(8, "little"), _PLACE)
        return place >= self._count

    def at_least(self) -> int:
        """Return how many chunks are stored, not counting those more than 65,536 behind the first missing one.

        Takes constant time.
        """
        place, block = self._first_missing(_BLOCK)
        return place + len(block) - block.count(b"\0")

    def _first_missing(self, most: int) -> tuple[int, bytes]:
        """Return a number of chunks below which none is missing, and what is known of up to ``most`` after them."""
        known = os.pread(self._fd, _HEAD + min(most, self._count), 0)
        place = int.from_bytes(known[:_TOUCHED], "little")
        # It is 0 until thousands are stored.
        return place, os.pread(self._fd, min(most, self._count - place), _HEAD + place) if place else known[_HEAD:]

    def stored(self) -> tuple[int, bool]:
        """Count the stored chunks. Return their number and whether the last chunk is one of them."""
        trusted = self.trusted()
        number, last = 0, b""
        for _, block in self._blocks():
            number += len(block) - block.count(b"\0") if trusted else block.count(b"\2")
            last = block[-1:]
        return number, last > (b"\0" if trusted else b"\1")

    def set(self, index: int, digest: int, *, synced: bool) -> None:
        """Mark a chunk as stored. With ``synced`` its bytes are on the disk, and so is the mark after this."""
        os.pwrite(self._fd, b"\2" if synced else b"\1", _HEAD + index)
        self.note(index, digest)
        os.pwrite(self._fd, _time(0.0), _TOUCHED)
        if synced:
            os.fsync(self._fd)

    def note(self, index: int, digest: int) -> None:
        """Save the digest of a stored chunk."""
        os.pwrite(self._fd, digest.to_bytes(DIGEST_SIZE, sys.byteorder), _HEAD + self._count + DIGEST_SIZE * index)

    def digests(self) -> Iterator[bytes]:
        """Yield the digests of all chunks in blocks; an unknown digest is 0."""
        size = DIGEST_SIZE * self._count
        for place in range(0, size, _BLOCK):
            length = min(_BLOCK, size - place)
            yield os.pread(self._fd, length, _HEAD + self._count + place).ljust(length, b"\0")

    def unsynced(self) -> list[tuple[int, int]]:
        """Return the ranges of the chunks that are written but not known to be on the disk."""
        return list(self._runs(_UNSYNCED))

    def confirm(self, ranges: list[tuple[int, int]]) -> None:
        """Mark the chunks of these ranges as synced; they were :meth:`unsynced` before the disk was synced."""
        for start, stop in ranges:
            self._fill(start, stop, b"\2")
        os.fsync(self._fd)

    def discard_unsynced(self, *, whole: bool) -> None:
        """Mark the chunks that are not known to be on the disk as missing, or all chunks as stored if ``whole``.

        All digests are unknown after that. Only one process may do this at a time; if it dies in the middle, the bitmap
        is not trusted, and the next one goes on.
        """
        age = self.age()
        os.pwrite(self._fd, _NO_BOOT, _BOOT)
        for start, stop in [(0, self._count)] if whole else self.unsynced():
            self._fill(start, stop, b"\2" if whole else b"\0")
        os.ftruncate(self._fd, _HEAD + self._count)
        self._write_head(age)

    def _write_head(self, age: float) -> None:
        os.pwrite(self._fd, bytes(8) + _time(age) + (boot_id() or _NO_BOOT), _PLACE)

    def _fill(self, start: int, stop: int, mark: bytes) -> None:
        for place in range(start, stop, _BLOCK):
            os.pwrite(self._fd, mark * min(_BLOCK, stop - place), _HEAD + place)

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        for place in range(0, self._count, _BLOCK):
            yield place, os.pread(self._fd, min(_BLOCK, self._count - place), _HEAD + place)

    def _runs(self, pattern: re.Pattern[bytes]) -> Iterator[tuple[int, int]]:
        """Yield the ranges in which the pattern matches, across blocks."""
        begin = end = 0
        for place, block in self._blocks():
            for match in pattern.finditer(block):
                start, stop = match.span()
                if place + start != end:
                    if begin < end:
                        yield begin, end
                    begin = place + start
                end = place + stop
        if begin < end:
            yield begin, end


def _time(age: float) -> bytes:
    """Return the time that was ``age`` seconds ago, as it is in the header."""
    return (_now() - int(age * 1e9)).to_bytes(8, "little", signed=True)


def _now() -> int:
    """Return the nanoseconds since boot, including suspended time, by a clock that cannot be set."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
