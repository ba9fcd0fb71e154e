"""Parse the body of a request while it arrives: first the parameters, then the bytes of the chunk in pieces.

No body is ever held in memory as a whole. In a form the parameters must come before the file part, as they do in
resumable.js, flow.js and every client known to us, because the bytes are written to their place while they arrive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl

from .bounded_body import PIECE, BoundedBody
from .data_url import decoded
from .messages import Refusal, Request
from .plain_form import Fields, read_plain_start

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

__all__ = ["Fields", "UploadBody", "parse_query", "read_body"]

_MOST_PARAMETERS = 64
_MOST_PARTS = 64
_LONGEST_PART_HEADER = 8192
# RFC 2046, section 5.1.1.
_LONGEST_BOUNDARY = 70
_MOST_PARAMETER_BYTES = 64 * 1024
_LONGEST_BEHIND = 1024
"""The bytes that are kept of a field behind the chunk."""
# A boundary that needs no quotes, as all browsers and HTTP libraries make it.
_PLAIN_TYPE = re.compile(r"multipart/form-data; boundary=([0-9A-Za-z'+_.-]{1,70})")


def parse_query(query: str) -> Fields:
    """Parse a query string or an urlencoded form. Raises :class:`Refusal` (400) if it has too many parameters."""
    if not query:
        return []
    try:
        return parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise Refusal(400, f"The request has more than {_MOST_PARAMETERS} parameters: send fewer.") from None


class UploadBody(NamedTuple):
    """What is in the body of a request.

    ``fields`` are the parameters in front of the chunk. ``pieces(length)`` yields the bytes of the chunk, which must
    have this length: if there are more or fewer, it raises :class:`Refusal`, or yields them. It is None if there is no
    chunk. ``behind`` are the parameters behind the chunk, once all pieces have been consumed.
    """

    fields: Fields
    pieces: Callable[[int], Iterator[bytes]] | None
    behind: Fields


def read_body(request: Request, file_fields: Collection[str], *, views: bool = False) -> UploadBody:
    """Return what is in the body.

    A multipart form is read up to the file part, the one whose name is in ``file_fields``; the rest is read and checked
    while the pieces are consumed. An urlencoded form has parameters only. Any other body is the chunk itself. With
    ``views`` a piece may be a memoryview, of a buffer that the next one overwrites. Raises :class:`Refusal`, and so
    does the iterator.
    """
    read = request.read
    # An application may have put something else there, to look at the bytes or to change them.
    if views and type(read) is BoundedBody:
        # Whoever asks for views knows that they are not bytes.
        read = cast("Callable[[int], bytes]", read.view)
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _read_multipart(request, content_type, file_fields, read)
    if kind == "application/x-www-form-urlencoded":
        return UploadBody(parse_query(_read_short(request).decode("ascii", "replace")), None, [])
    return UploadBody([], lambda length: _pieces(read), [])


def _pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    done = 0
    # The first piece is what came with the head: all others are written to whole pages.
    while piece := read(PIECE - done % PIECE):
        yield piece
        done += len(piece)


def _read_short(request: Request) -> bytes:
    text = bytearray()
    while piece := request.read(PIECE):
        text += piece
        if len(text) > _MOST_PARAMETER_BYTES:
            raise _too_long()
    return bytes(text)


def _too_long() -> Refusal:
    return Refusal(400, f"The parameters have more than {_MOST_PARAMETER_BYTES} bytes: send fewer or shorter ones.")


def _read_multipart(
    request: Request, content_type: str, file_fields: Collection[str], read: Callable[[int], bytes]
) -> UploadBody:
    plain = _PLAIN_TYPE.fullmatch(content_type)
    boundary = (plain[1] if plain else _boundary_of(content_type)).encode()
    first = request.read(PIECE)
    start = read_plain_start(first, boundary, file_fields, parts=_MOST_PARTS, size=_MOST_PARAMETER_BYTES)
    fields, room = start.fields, start.room
    parts = _MOST_PARTS - len(fields)
    behind: Fields = []
    if start.chunk is not None:
        rest = first[start.chunk :]
        return UploadBody(
            fields, partial(_chunk_of_length, request, read, boundary, parts - 1, rest, file_fields, behind), behind
        )
    # The parser goes on at the part behind them, as if the form began there.
    events = _events(request, _parser(boundary, parts), first[start.end :])
    for event in events:
        if event.name in file_fields:
            return UploadBody(fields, partial(_chunk, event, events, file_fields, behind), behind)
        text = bytearray()
        while piece := next(events):
            text += piece
            room -= len(piece)
            if room < 0:
                raise _too_long()
        fields.append((event.name, text.decode("utf-8", "replace")))
    return UploadBody(fields, None, [])


def _boundary_of(content_type: str) -> str:
    """Return the boundary that a header names. Raises :class:`Refusal` (400) if it cannot be one."""
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if len(boundary) > _LONGEST_BOUNDARY:
        raise Refusal(400, f"The boundary of the form is longer than {_LONGEST_BOUNDARY} characters.")
    _parser(boundary, _MOST_PARTS)
    return str(boundary)


def _parser(boundary: str | bytes, parts: int) -> PushMultipartParser:
    try:
        return PushMultipartParser(boundary, max_header_size=_LONGEST_PART_HEADER, max_segment_count=parts)
    except MultipartError as error:
        raise _malformed(error) from error


def _events(request: Request, parser: PushMultipartParser, piece: bytes) -> Iterator[Any]:
    """Yield each part as its header, its bytes in pieces, and None. Raises :class:`Refusal` if it is malformed."""
    try:
        while piece:
            yield from parser.parse(piece)
            piece = request.read(PIECE)
        parser.close()
    except MultipartError as error:
        raise _malformed(error) from error


def _malformed(error: MultipartError) -> Refusal:
    return Refusal(400, f"The form is malformed: {error}.")


def _chunk(
    segment: MultipartSegment, events: Iterator[Any], file_fields: Collection[str], behind: Fields, length: int
) -> Iterator[bytes]:
    """Yield the bytes of the chunk, in which the boundary is looked for. The ``length`` does not matter."""
    pieces: Iterator[bytes] = iter(events.__next__, None)
    yield from pieces if segment.filename is not None else decoded(pieces)
    _read_behind(events, file_fields, behind)


def _chunk_of_length(
    request: Request,
    read: Callable[[int], bytes],
    boundary: bytes,
    parts: int,
    rest: bytes,
    file_fields: Collection[str],
    behind: Fields,
    length: int,
) -> Iterator[bytes]:
    """Yield the bytes of the chunk, the first of which are in ``rest``. The boundary is looked for behind them only: to
    look for it in all of them takes a tenth of the time of a request. ``parts`` more may follow."""
    piece, rest = rest[:length], rest[length:]
    left = length - len(piece)
    if piece:
        yield piece
    while left:
        # The first piece is what came with the head: all others are written to whole pages.
        piece = read(min(PIECE - (length - left) % PIECE, left))
        if not piece:
            raise Refusal(400, f"The form ends before the {length} bytes that its chunk must have.")
        left -= len(piece)
        yield piece
    end = b"\r\n--" + boundary
    while piece := request.read(PIECE):
        rest += piece
        if len(rest) > len(end) + 4:
            break
    if not rest.startswith(end):
        raise Refusal(400, f"The boundary of the form is not behind the {length} bytes that its chunk must have.")
    if rest[len(end) :] != b"--\r\n":
        _read_behind(_events(request, _parser(boundary, parts), rest[2:]), file_fields, behind)


def _read_behind(events: Iterator[Any], file_fields: Collection[str], behind: Fields) -> None:
    """Read the parameters behind the chunk. Raises :class:`Refusal` if there is another chunk."""
    for event in events:
        if event.name in file_fields:
            raise Refusal(400, "The form has more than one file: send one chunk in each request.")
        value = b""
        while piece := next(events):
            value = (value + piece)[:_LONGEST_BEHIND]
        behind.append((event.name, value.decode("utf-8", "replace")))
