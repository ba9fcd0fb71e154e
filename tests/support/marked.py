"""Files in which a few chunks have a byte that no other chunk has, for a proxy that flips a bit of just these."""

from __future__ import annotations

__all__ = ["MARKS", "marked"]

MARKS = (0xF1, 0xF2, 0xF3)


def marked(chunks: int, size: int, every: int) -> bytes:
    """Return a file of so many chunks: of each ``every``, the one in the middle has one of the marks."""
    data = bytearray(b"resumable " * (chunks * size // 10 + 1))[: chunks * size]
    for mark, index in zip(MARKS, range(every // 2, chunks, every), strict=False):
        data[index * size + size // 2] = mark
    return bytes(data)
