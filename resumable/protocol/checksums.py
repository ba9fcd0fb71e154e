"""The hashes that client and receiver send and check.

A request names its hash in ``resumableChecksum``, before the chunk, so that the receiver can hash what it reads. The
hash of the chunk itself, in hexadecimal, is in a parameter that is called after it (``resumableChunkSha256``): behind
the chunk in a form, which is hashed while it is sent, and otherwise before it.

What the request says of the chunk needs as much care as its bytes: with one bit of its number wrong, a chunk that has
its hash would be stored in the place of another. So a CRC-32 of the parameters stands behind them.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .parameters import well_formed

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = [
    "CHECKSUM_PARAMETER",
    "CHUNK_DIFFERS",
    "FILE_SHA256_PARAMETER",
    "PARAMETERS_PARAMETER",
    "Checksum",
    "are_intact",
    "digest_parameter",
    "is_hash",
    "label",
    "new_hash",
    "seal",
]

CHECKSUM_PARAMETER = "resumableChecksum"
FILE_SHA256_PARAMETER = "resumableFileSha256"
PARAMETERS_PARAMETER = "resumableParameters"

CHUNK_DIFFERS = 460
"""The status for what has another hash: not registered, but known from tus, and permanent for no client."""

_SEAL = re.compile("([0-9]{1,4})-[0-9a-f]{8}")
_LINES = re.compile("\r\n|\r")
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


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


def seal(pairs: Sequence[tuple[str, str]]) -> str:
    """Return the value of ``resumableParameters`` behind these parameters: how many they are, and their CRC-32.

    It is the same for a query and for a form, which writes quotes in names and ends of lines in its own way.
    """
    lines = [f"{name.translate(_ESCAPES)}={_LINES.sub(chr(10), value)}" for name, value in pairs]
    return f"{len(pairs)}-{zlib.crc32(well_formed(chr(0).join(lines)).encode()):08x}"


def are_intact(pairs: Sequence[tuple[str, str]], name: str) -> bool:
    """Return whether what stands before each parameter of this name is what its value says."""
    for index, (each, value) in enumerate(pairs):
        if each == name:
            found = _SEAL.fullmatch(value)
            if found is None or seal(pairs[max(index - int(found[1]), 0) : index]) != value:
                return False
    return True
