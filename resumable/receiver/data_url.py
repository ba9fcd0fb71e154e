"""Decode the data URL that resumable.js sends as a chunk with ``chunkFormat: 'base64'``."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from itertools import chain

from .messages import Refusal

__all__ = ["decoded"]

_LONGEST_PREFIX = 1024
_PADDING = ord("=")


def decoded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the bytes that a data URL encodes, or any other bytes unchanged. Raises :class:`Refusal` (400)."""
    head = b""
    for piece in pieces:
        head += piece
        if b"," in head or len(head) > _LONGEST_PREFIX:
            break
    if not head.startswith(b"data:"):
        yield head
        yield from pieces
        return
    prefix, comma, text = head.partition(b",")
    if not prefix.endswith(b";base64") if comma else head != b"data:":
        raise Refusal(400, "The chunk is a data URL that is not encoded in base64.")
    ended = False
    rest = b""
    for piece in chain((text,), pieces):
        # Four characters encode three bytes; what is left of a piece goes in front of the next one.
        rest += piece
        whole = len(rest) // 4 * 4
        if not whole:
            continue
        if ended:
            raise Refusal(400, "The chunk has more data behind the end of its base64.")
        try:
            yield base64.b64decode(rest[:whole], validate=True)
        except binascii.Error as error:
            raise Refusal(400, f"The chunk is not valid base64: {error}.") from None
        ended = rest[whole - 1] == _PADDING
        rest = rest[whole:]
    if rest:
        raise Refusal(400, "The chunk ends in the middle of its base64.")
