"""Read the beginning of a multipart form that is as plain as browsers and this package write it.

That takes a tenth of the time that the parser takes, and leaves to the parser whatever is not plain.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Fields", "PlainStart", "read_plain_start"]

Fields = list[tuple[str, str]]
"""Names and values, in the order in which they were sent."""

# The only header of a parameter, as all browsers write it, if its name needs no unquoting.
_PLAIN_HEADER = re.compile(rb'Content-Disposition: form-data; name="([^"%\\\r\n]{1,1024})"')
_LONGEST_PLAIN_HEADER = 1100
# The headers of a file, as all browsers write them.
_PLAIN_FILE = re.compile(
    rb'Content-Disposition: form-data; name="([^"%\\\r\n]{1,1024})"; filename="[^"\r\n]{0,4096}"\r\n'
    rb"(?:Content-Type: [^\r\n]{1,255}\r\n)?\r\n"
)


class PlainStart(NamedTuple):
    """The plain parameters at the beginning of a form, and how many bytes other parameters may have.

    The part behind them begins at ``end``. If it is a plain file, its bytes begin at ``chunk``; else that is None.
    """

    fields: Fields
    room: int
    end: int
    chunk: int | None


def read_plain_start(
    piece: bytes, boundary: bytes, file_fields: Collection[str], *, parts: int, size: int
) -> PlainStart:
    """Return what is plain, and whole in the first ``piece`` of a form.

    These are at most ``parts`` parts, and parameters of at most ``size`` bytes.
    """
    fields: Fields = []
    place = 0
    delimiter = b"--" + boundary + b"\r\n"
    end_of_value = b"\r\n--" + boundary
    if not piece.startswith(delimiter):
        return PlainStart(fields, size, place, None)
    begin = len(delimiter)
    while len(fields) < parts:
        end_of_header = piece.find(b"\r\n\r\n", begin, begin + _LONGEST_PLAIN_HEADER)
        name = _plain_name(piece[begin:end_of_header]) if end_of_header >= 0 else ""
        if not name or name in file_fields:
            break
        end = piece.find(end_of_value, end_of_header + 4)
        begin = end + len(end_of_value) + 2
        if end < 0 or not piece.startswith(b"\r\n", begin - 2):
            break
        value = piece[end_of_header + 4 : end]
        if len(value) > size:
            break
        size -= len(value)
        fields.append((name, value.decode("utf-8", "replace")))
        place = end + 2
    chunk = None
    if len(fields) < parts and piece.startswith(delimiter, place):
        header = _PLAIN_FILE.match(piece, place + len(delimiter))
        if header and header[1].decode("utf-8", "replace") in file_fields:
            chunk = header.end()
    return PlainStart(fields, size, place, chunk)


@lru_cache(maxsize=256)
def _plain_name(header: bytes) -> str:
    """Return the name of the parameter with this header; an empty string if the header is not plain."""
    found = _PLAIN_HEADER.fullmatch(header)
    try:
        return found[1].decode() if found else ""
    except UnicodeDecodeError:
        return ""
