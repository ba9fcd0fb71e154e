"""Which chunks of an upload are stored: a byte per chunk, in the file ``chunks`` of its directory.

The byte is 0 while the chunk is missing, 1 when its bytes are written, 2 when they are known to be on the disk too.
What is written and not yet on the disk is gone when the power fails, while the byte that says 1 may have got there.
So a 1 counts as long as the machine runs, and no longer: in front of the bytes stands in which run of the machine they
were set.

That head is 32 bytes: a number of chunks below which none is missing (8 bytes, little-endian), when a chunk was last
stored (8, nanoseconds since the machine was started, with a sign), and the boot id of the machine (16). Bytes are set
one by one, each by whoever has the claim on its chunk.

Behind the bytes stand the digests of the chunks, as far as they are known. One is written after its byte, so that it
is never that of bytes which came before those that count; where a process dies in between, it is not known.
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
    """16 bytes that are others after every start of the machine, None where the system (not Linux) has none."""
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip().replace("-", ""))
    except OSError:
        return None


class ChunkBitmap:
    """The open file of one upload with ``count`` chunks."""

    def __init__(self, fd: int, count: int) -> None:
        self._fd = fd
        self._count = count

    @classmethod
    def make(cls, directory_fd: int, count: int) -> None:
        """The open directory has marks afterwards, of which none is set. They need not be on the disk: nor is any set
        in what a power failure leaves of them, down to an empty file."""
        with closing_fd(open_file("chunks", os.O_RDWR | os.O_CREAT, directory_fd)) as fd:
            cls(fd, count)._write_head(0.0)
            os.ftruncate(fd, _HEAD + count)

    def close(self) -> None:
        """The file is closed; no other method may be called any more."""
        os.close(self._fd)

    def trusted(self) -> bool:
        """Whether a 1 counts: whether it was set since the machine was started."""
        return os.pread(self._fd, _HEAD - _BOOT, _BOOT) == (boot_id() or _NO_BOOT)

    def age(self) -> float:
        """The seconds since a chunk was last stored, by a clock that nobody can set while the machine runs."""
        if self.trusted():
            return (_now() - int.from_bytes(os.pread(self._fd, 8, _TOUCHED), "little", signed=True)) / 1e9
        return time.time() - os.fstat(self._fd).st_mtime

    def has(self, index: int) -> bool:
        """Whether the chunk is stored."""
        return os.pread(self._fd, 1, _HEAD + index) > b"\0"

    def ranges(self) -> Iterator[tuple[int, int]]:
        """The ranges ``[start, stop)`` of the stored chunks, ascending."""
        return self._runs(_STORED)

    def complete(self) -> bool:
        """Whether all chunks are stored. Costs the same for any number of chunks.

        A place below which everything is stored stays one, so that it does not matter who writes it last; unless
        marks are taken back meanwhile, which is why :meth:`stored` has the last word.
        """
        place = known = int.from_bytes(os.pread(self._fd, 8, _PLACE), "little")
        while place < self._count:
            block = os.pread(self._fd, min(4096, self._count - place), _HEAD + place)
            if b"\0" in block or not block:
                break
            place += len(block)
        if place > known:
            os.pwrite(self._fd, place.to_bytes(8, "little"), _PLACE)
        return place >= self._count

    def at_least(self) -> int:
        """How many chunks are stored, without those that are more than 65,536 chunks behind the first missing one.

        Costs the same for any number of chunks.
        """
        place = int.from_bytes(os.pread(self._fd, 8, _PLACE), "little")
        block = os.pread(self._fd, min(_BLOCK, self._count - place), _HEAD + place)
        return place + len(block) - block.count(b"\0")

    def stored(self) -> tuple[int, bool]:
        """How many chunks are stored, and whether the last one is among them."""
        trusted = self.trusted()
        number, last = 0, b""
        for _, block in self._blocks():
            number += len(block) - block.count(b"\0") if trusted else block.count(b"\2")
            last = block[-1:]
        return number, last > (b"\0" if trusted else b"\1")

    def set(self, index: int, digest: int, *, synced: bool) -> None:
        """The chunk is stored; ``synced`` says that the disk has it, and the mark is on the disk then, too."""
        os.pwrite(self._fd, b"\2" if synced else b"\1", _HEAD + index)
        self.note(index, digest)
        self._write_touched(0.0)
        if synced:
            os.fsync(self._fd)

    def note(self, index: int, digest: int) -> None:
        """The digest of the chunk, which is stored, is known."""
        os.pwrite(self._fd, digest.to_bytes(DIGEST_SIZE, sys.byteorder), _HEAD + self._count + DIGEST_SIZE * index)

    def digests(self) -> Iterator[bytes]:
        """The digests of all chunks, in blocks; those that are not known are 0."""
        size = DIGEST_SIZE * self._count
        for place in range(0, size, _BLOCK):
            length = min(_BLOCK, size - place)
            yield os.pread(self._fd, length, _HEAD + self._count + place).ljust(length, b"\0")

    def unsynced(self) -> list[tuple[int, int]]:
        """The ranges of the chunks that are written and not known to be on the disk."""
        return list(self._runs(_UNSYNCED))

    def confirm(self, ranges: list[tuple[int, int]]) -> None:
        """The chunks of these ranges, which were :meth:`unsynced` before the disk was told to take them, are synced."""
        for start, stop in ranges:
            self._fill(start, stop, b"\2")
        os.fsync(self._fd)

    def discard_unsynced(self, *, whole: bool) -> None:
        """Whatever was written and is not known to be on the disk is missing; or all of it is there, if ``whole``.
        No digest is known.

        One at a time does this. When it dies on the way the marks are not trusted, and the next one goes on.
        """
        age = self.age()
        os.pwrite(self._fd, _NO_BOOT, _BOOT)
        for start, stop in [(0, self._count)] if whole else self.unsynced():
            self._fill(start, stop, b"\2" if whole else b"\0")
        os.ftruncate(self._fd, _HEAD + self._count)
        self._write_head(age)

    def _write_head(self, age: float) -> None:
        self._write_touched(age)
        os.pwrite(self._fd, bytes(8), _PLACE)
        os.pwrite(self._fd, boot_id() or _NO_BOOT, _BOOT)

    def _write_touched(self, age: float) -> None:
        os.pwrite(self._fd, (_now() - int(age * 1e9)).to_bytes(8, "little", signed=True), _TOUCHED)

    def _fill(self, start: int, stop: int, mark: bytes) -> None:
        for place in range(start, stop, _BLOCK):
            os.pwrite(self._fd, mark * min(_BLOCK, stop - place), _HEAD + place)

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        place = 0
        while block := os.pread(self._fd, min(_BLOCK, self._count - place), _HEAD + place):
            yield place, block
            place += len(block)

    def _runs(self, pattern: re.Pattern[bytes]) -> Iterator[tuple[int, int]]:
        """Where the pattern matches, over the ends of blocks."""
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


def _now() -> int:
    """Nanoseconds since the machine was started; the time that it slept counts, and nobody can set it."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
