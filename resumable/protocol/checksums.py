"""The hashes that client and receiver send and check.

A request names its hash in ``resumableChecksum``, before the chunk, so that the receiver can hash what it reads. The
hash of the chunk itself, in hexadecimal, is in a parameter that is called after it (``resumableChunkSha256``): behind
the chunk in a form, which is hashed while it is sent, and otherwise before it.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = [
    "CHECKSUM_PARAMETER",
    "FILE_SHA256_PARAMETER",
    "Checksum",
    "digest_parameter",
    "is_hash",
    "label",
    "new_hash",
]

CHECKSUM_PARAMETER = "resumableChecksum"
FILE_SHA256_PARAMETER = "resumableFileSha256"


class Checksum(NamedTuple):
    """The hash of one chunk: the ``algorithm``, the ``parameter`` that has it, and the ``digest`` in lower-case
    hexadecimal, None if that follows behind the chunk."""

    algorithm: str
    parameter: str
    digest: str | None = None


def digest_parameter(algorithm: str) -> str:
    """Return the name of the parameter with the hash of a chunk."""
    return f"resumableChunk{algorithm.capitalize()}"


def is_hash(algorithm: str) -> bool:
    """Return whether hashlib has a hash of this name here, of a fixed length."""
    try:
        return new_hash(algorithm).digest_size > 0
    except ValueError:
        return False


def label(algorithm: str) -> str:
    """Return the name of the hash as people write it: ``SHA-256``."""
    return re.sub(r"^SHA(?=[0-9]{3})|_", lambda found: "SHA-" if found[0] == "SHA" else "-", algorithm.upper())


def new_hash(algorithm: str) -> _Hash:
    """Return a new hash of hashlib. Raises ValueError for one that it does not have."""
    return hashlib.new(algorithm, usedforsecurity=False)
