"""The body of a request, taken apart while it arrives: the parameters first, then the bytes of the chunk in pieces.

No body is ever whole in memory. A form has to name its parameters before the file part, as resumable.js, flow.js and
every client known to us do, because the bytes are written where the parameters say while they arrive.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl

from .messages import Refusal, Request

try:
    from multipart import (  # type: ignore[import-untyped, unused-ignore]
        MultipartError,
        MultipartSegment,
        PushMultipartParser,
        parse_options_header,
    )
except ImportError as error:
    raise ImportError(
        "the receiver reads forms with the package 'multipart'; install it with: pip install 'resumable[server]'",
        name="multipart",
    ) from error

__all__ = ["PIECE", "Body", "parse_query", "read_body"]

PIECE = 128 * 1024
"""Bytes that are read at once: many enough to be quick, few enough for hundreds of requests at once."""

Pairs = list[tuple[str, str]]
Body = tuple[Pairs, "Iterator[bytes] | None"]

_MOST_PARAMETERS = 64
_MOST_PARTS = 32
_LONGEST_PART_HEADER = 8192
# RFC 2046, section 5.1.1.
_LONGEST_BOUNDARY = 70
_MOST_PARAMETER_BYTES = 64 * 1024
_LONGEST_DATA_URL_PREFIX = 1024


def parse_query(query: str) -> Pairs:
    """The names and values of a query string or an urlencoded form. Raises :class:`Refusal` (400) for too many."""
    try:
        return parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise Refusal(400, f"The request has more than {_MOST_PARAMETERS} parameters.") from None


def read_body(request: Request, file_fields: Collection[str]) -> Body:
    """The parameters in the body, and the bytes of the chunk, None where there is no chunk in it.

    A multipart form is read up to the file part, which is the one whose name is in ``file_fields``; the rest is read
    when the pieces are, and is known to be whole and well formed when they end. An urlencoded form has parameters
    only. Any other body is the chunk itself. Raises :class:`Refusal`, as do the pieces.
    """
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _read_multipart(request, content_type, file_fields)
    if kind == "application/x-www-form-urlencoded":
        return parse_query(_read_short(request).decode("ascii", "replace")), None
    return [], iter(lambda: request.read(PIECE), b"")


def _read_short(request: Request) -> bytes:
    text = bytearray()
    while piece := request.read(PIECE):
        text += piece
        if len(text) > _MOST_PARAMETER_BYTES:
            raise Refusal(413, f"The parameters are longer than {_MOST_PARAMETER_BYTES} bytes.")
    return bytes(text)


def _read_multipart(request: Request, content_type: str, file_fields: Collection[str]) -> Body:
    events = _events(request, content_type)
    fields: Pairs = []
    room = _MOST_PARAMETER_BYTES
    for event in events:
        if event.name in file_fields:
            return fields, _chunk(event, events, file_fields)
        value = bytearray()
        while piece := next(events):
            value += piece
            room -= len(piece)
            if room < 0:
                raise Refusal(413, f"The parameters are longer than {_MOST_PARAMETER_BYTES} bytes.")
        fields.append((event.name, value.decode("utf-8", "replace")))
    return fields, None


def _events(request: Request, content_type: str) -> Iterator[Any]:
    """Each part as its header, its bytes in pieces, None; ends at the end of the body, which is then a whole form."""
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if len(boundary) > _LONGEST_BOUNDARY:
        raise Refusal(400, f"The boundary of the form is longer than {_LONGEST_BOUNDARY} characters.")
    try:
        parser = PushMultipartParser(
            boundary,
            max_header_size=_LONGEST_PART_HEADER,
            max_segment_count=_MOST_PARTS,
        )
        while piece := request.read(PIECE):
            yield from parser.parse(piece)
        parser.close()
    except MultipartError as error:
        raise Refusal(400, f"The form is not well formed: {error}.") from error


def _chunk(segment: MultipartSegment, events: Iterator[Any], file_fields: Collection[str]) -> Iterator[bytes]:
    pieces: Iterator[bytes] = iter(events.__next__, None)
    yield from pieces if segment.filename is not None else _decoded(pieces)
    for event in events:
        if isinstance(event, MultipartSegment) and event.name in file_fields:
            raise Refusal(400, "The form has more than one chunk.")


def _decoded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes that a data URL stands for (``chunkFormat: 'base64'``), and any other bytes as they are."""
    head = b""
    for piece in pieces:
        head += piece
        if b"," in head or len(head) > _LONGEST_DATA_URL_PREFIX:
            break
    if not head.startswith(b"data:"):
        yield head
        yield from pieces
        return
    prefix, comma, text = head.partition(b",")
    if not prefix.endswith(b";base64") if comma else head != b"data:":
        raise Refusal(400, "The chunk is a data URL, but not one in base64.")
    ended = False
    rest = b""
    for piece in chain((text,), pieces):
        # Four characters are three bytes: what is left of a piece goes in front of the next.
        rest += piece
        whole = len(rest) // 4 * 4
        if not whole:
            continue
        if ended:
            raise Refusal(400, "The chunk goes on behind the end of its base64.")
        try:
            yield base64.b64decode(rest[:whole], validate=True)
        except binascii.Error as error:
            raise Refusal(400, f"The chunk is not base64: {error}.") from None
        ended = rest[whole - 1] == 0x3D
        rest = rest[whole:]
    if rest:
        raise Refusal(400, "The chunk ends in the middle of its base64.")
