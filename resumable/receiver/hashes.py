"""Check the hash that a client may send with a chunk, and the SHA-256 of the whole file.

Both are in hexadecimal. A chunk is hashed while it is received; a whole file is read once more before it is published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..protocol.checksums import CHUNK_DIFFERS, Checksum, label, new_hash
from .form import Fields
from .messages import Refusal
from .parameters import ChunkDescription
from .store.digests import CheckedPieces
from .store.record import UploadRecord

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["FileDiffers", "check_chunk", "check_file"]


class FileDiffers(Refusal):
    """Raised if a file has the wrong hash.

    409 is permanent for every client. 422 would make resumable.js send the last chunk again, to an upload that would
    then consist of that chunk only.
    """

    def __init__(self) -> None:
        super().__init__(
            409,
            "The SHA-256 of the received file differs from the one in the request, so the upload was discarded: "
            "upload the file again.",
        )


def check_chunk(
    pieces: Iterator[bytes], asked: ChunkDescription, checksum: Checksum, behind: Fields
) -> Iterator[bytes]:
    """Return the same pieces, which raise :class:`Refusal` (460) at the end if their hash is not that in the request.

    The request has it before the chunk, or ``behind`` it. The store is told a SHA-256 that is right.
    """
    hashed = new_hash(checksum.algorithm)
    if checksum.algorithm != "sha256":
        return _checked(pieces, asked, checksum, behind, hashed)
    checked = CheckedPieces()
    checked.pieces = _checked(pieces, asked, checksum, behind, hashed, checked)
    return checked


def _checked(
    pieces: Iterator[bytes],
    asked: ChunkDescription,
    checksum: Checksum,
    behind: Fields,
    hashed: _Hash,
    told: CheckedPieces | None = None,
) -> Iterator[bytes]:
    for piece in pieces:
        hashed.update(piece)
        yield piece
    said = dict(behind).get(checksum.parameter) if checksum.digest is None else checksum.digest
    if hashed.hexdigest() == (said or "").lower():
        if told is not None:
            told.sha256 = hashed.digest()
        return
    chunk, name = f"Chunk {asked.index + 1} of {asked.record.total_chunks}", label(checksum.algorithm)
    if not said:
        raise Refusal(CHUNK_DIFFERS, f"{chunk} arrived without its {name} ({checksum.parameter}): send it again.")
    raise Refusal(
        CHUNK_DIFFERS,
        f"{chunk} arrived with the {name} {hashed.hexdigest()}, but was sent with {said:.128}: send it again.",
    )


def check_file(record: UploadRecord, pieces: Iterator[bytes]) -> None:
    """Raise :class:`FileDiffers` if the record has a hash and the pieces of the file have another one."""
    if record.file_sha256 is None:
        return
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    if digest.hexdigest() != record.file_sha256:
        raise FileDiffers
