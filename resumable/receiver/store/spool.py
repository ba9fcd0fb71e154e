"""Keep the bytes of a chunk while they are compared with what is stored, so that they can be stored after all."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile

__all__ = ["IN_MEMORY", "Spool"]

IN_MEMORY = 1 << 20
"""Bytes up to which nothing is written to the disk."""
_PIECE = 1 << 18


class Spool:
    """The bytes that were written to it: a few in memory, many in a temporary file without a name in ``directory``.

    Leaving the ``with`` block drops them, unless they are to be read again.
    """

    def __init__(self, directory: str | None = None) -> None:
        self._file = SpooledTemporaryFile(IN_MEMORY, dir=directory)  # noqa: SIM115  # closed by __exit__, or by _read
        self._given = False

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._given:
            self._file.close()

    def write(self, piece: bytes) -> None:
        """Keep these bytes behind those that were written before."""
        self._file.write(piece)

    def pieces(self) -> Iterator[bytes]:
        """Return what was written, once. The file is closed behind the last piece, or when the iterator is dropped."""
        pieces = self._read()
        # Started, so that the file is closed even if the pieces are never consumed.
        next(pieces)
        self._given = True
        return pieces

    def _read(self) -> Iterator[bytes]:
        with self._file as file:
            yield b""
            file.seek(0)
            while piece := file.read(_PIECE):
                yield piece
