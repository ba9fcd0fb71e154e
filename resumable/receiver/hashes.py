"""The SHA-256 that a client may send with a chunk, and of the whole file: what has another one is not taken.

Both are in hexadecimal. A chunk is hashed while it passes; a whole file is read once more before it is published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from .messages import Refusal
from .store.base import UploadRecord

__all__ = ["FileDiffers", "check_chunk", "check_file"]

CHUNK_DIFFERS = 460
"""The status for a chunk with another hash: not registered, but known from tus, and permanent for no client."""


class FileDiffers(Refusal):
    """A file has another hash. The status is permanent for every client: resumable.js would take 422 for a reason to
    send the last chunk again, to an upload that would then have that one only."""

    def __init__(self) -> None:
        super().__init__(409, "The file has another SHA-256 than its client says; it is discarded.")


def check_chunk(pieces: Iterator[bytes], sha256: str) -> Iterator[bytes]:
    """The same pieces; Refusal at their end where they have another hash, so that they are not stored."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
        yield piece
    if digest.hexdigest() != sha256:
        raise Refusal(CHUNK_DIFFERS, "The chunk has another SHA-256 than the request says; send it again.")


def check_file(record: UploadRecord, pieces: Iterator[bytes]) -> None:
    """Raises FileDiffers where the record has a hash, and the pieces of the file have another one."""
    if record.file_sha256 is None:
        return
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    if digest.hexdigest() != record.file_sha256:
        raise FileDiffers
