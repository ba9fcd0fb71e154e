"""Parse the body of a request while it arrives: first the parameters, then the bytes of the chunk in pieces.

No body is ever held in memory as a whole. In a form the parameters must come before the file part, as they do in
resumable.js, flow.js and every client known to us, because the bytes are written to their place while they arrive.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache, partial
from itertools import chain
from typing import Any, NamedTuple
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

__all__ = ["PIECE", "Body", "Fields", "parse_query", "read_body"]

PIECE = 256 * 1024
"""How many bytes are read at once: enough to be fast, and few enough for hundreds of concurrent requests."""

Fields = list[tuple[str, str]]
"""Names and values, in the order in which they were sent."""

_MOST_PARAMETERS = 64
_MOST_PARTS = 64
_LONGEST_PART_HEADER = 8192
# RFC 2046, section 5.1.1.
_LONGEST_BOUNDARY = 70
_MOST_PARAMETER_BYTES = 64 * 1024
_LONGEST_DATA_URL_PREFIX = 1024
_LONGEST_BEHIND = 1024
"""The bytes that are kept of a field behind the chunk."""
# A boundary that needs no quotes, as all browsers and HTTP libraries make it.
_PLAIN_TYPE = re.compile(r"multipart/form-data; boundary=([0-9A-Za-z'+_.-]{1,70})")
# The only header of a parameter, as all browsers write it, if its name needs no unquoting.
_PLAIN_HEADER = re.compile(rb'Content-Disposition: form-data; name="([^"%\\\r\n]{1,1024})"')
_LONGEST_PLAIN_HEADER = 1100
# The headers of a file, as all browsers write them.
_PLAIN_FILE = re.compile(
    rb'Content-Disposition: form-data; name="([^"%\\\r\n]{1,1024})"; filename="[^"\r\n]{0,4096}"\r\n'
    rb"(?:Content-Type: [^\r\n]{1,255}\r\n)?\r\n"
)


def parse_query(query: str) -> Fields:
    """Parse a query string or an urlencoded form. Raises :class:`Refusal` (400) if it has too many parameters."""
    if not query:
        return []
    try:
        return parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise Refusal(400, f"The request has more than {_MOST_PARAMETERS} parameters: send fewer.") from None


class Body(NamedTuple):
    """What is in the body of a request: the parameters, the chunk, None if there is no chunk, and the parameters behind
    it, which are there once it has been consumed.

    ``pieces(length)`` yields the bytes of the chunk, which must have this length. If there are more or fewer, it
    raises :class:`Refusal`, or yields them.
    """

    fields: Fields
    pieces: Callable[[int], Iterator[bytes]] | None
    behind: Fields


def read_body(request: Request, file_fields: Collection[str]) -> Body:
    """Return what is in the body.

    A multipart form is read up to the file part, the one whose name is in ``file_fields``; the rest is read and checked
    while the pieces are consumed. An urlencoded form has parameters only. Any other body is the chunk itself. Raises
    :class:`Refusal`, and so does the iterator.
    """
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _read_multipart(request, content_type, file_fields)
    if kind == "application/x-www-form-urlencoded":
        return Body(parse_query(_read_short(request).decode("ascii", "replace")), None, [])
    return Body([], lambda length: _pieces(request), [])


def _pieces(request: Request) -> Iterator[bytes]:
    done = 0
    # The first piece is what came with the head: all others are written to whole pages.
    while piece := request.read(PIECE - done % PIECE):
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


def _read_multipart(request: Request, content_type: str, file_fields: Collection[str]) -> Body:
    plain = _PLAIN_TYPE.fullmatch(content_type)
    boundary = (plain[1] if plain else _boundary_of(content_type)).encode()
    first = request.read(PIECE)
    fields, place, room = _plain_fields(first, boundary, file_fields)
    behind: Fields = []
    header = _plain_file(first, place, boundary) if len(fields) < _MOST_PARTS else None
    if header and header[1].decode("utf-8", "replace") in file_fields:
        rest = first[header.end() :]
        parts = _MOST_PARTS - len(fields) - 1
        return Body(fields, partial(_chunk_of_length, request, boundary, parts, rest, file_fields, behind), behind)
    # The parser goes on at the part behind them, as if the form began there.
    events = _events(request, _parser(boundary, _MOST_PARTS - len(fields)), first[place:])
    for event in events:
        if event.name in file_fields:
            return Body(fields, partial(_chunk, event, events, file_fields, behind), behind)
        text = bytearray()
        while piece := next(events):
            text += piece
            room -= len(piece)
            if room < 0:
                raise _too_long()
        fields.append((event.name, text.decode("utf-8", "replace")))
    return Body(fields, None, [])


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


def _plain_fields(piece: bytes, boundary: bytes, file_fields: Collection[str]) -> tuple[Fields, int, int]:
    """Return the parameters at the beginning of a form, where the next part begins, and how many bytes others may have.

    Finding them takes a tenth of the time that the parser takes. What is not as plain as browsers and this package
    write it, or not whole in the piece, ends them, and is left to the parser.
    """
    fields: Fields = []
    place, room = 0, _MOST_PARAMETER_BYTES
    end_of_value = b"\r\n--" + boundary
    behind = len(end_of_value)
    if not piece.startswith(end_of_value[2:] + b"\r\n"):
        return fields, place, room
    begin = behind
    while len(fields) < _MOST_PARTS:
        end_of_header = piece.find(b"\r\n\r\n", begin, begin + _LONGEST_PLAIN_HEADER)
        name = _plain_name(piece[begin:end_of_header]) if end_of_header >= 0 else ""
        if not name or name in file_fields:
            break
        end = piece.find(end_of_value, end_of_header + 4)
        begin = end + behind + 2
        if end < 0 or not piece.startswith(b"\r\n", begin - 2):
            break
        value = piece[end_of_header + 4 : end]
        room -= len(value)
        if room < 0:
            raise _too_long()
        fields.append((name, value.decode("utf-8", "replace")))
        place = end + 2
    return fields, place, room


@lru_cache(maxsize=256)
def _plain_name(header: bytes) -> str:
    """Return the name of the parameter with this header; an empty string if the header is not plain."""
    found = _PLAIN_HEADER.fullmatch(header)
    try:
        return found[1].decode() if found else ""
    except UnicodeDecodeError:
        return ""


def _plain_file(piece: bytes, begin: int, boundary: bytes) -> re.Match[bytes] | None:
    """Return the headers of the part that begins there, if they are those of a file, plain and whole in the piece."""
    delimiter = b"--" + boundary + b"\r\n"
    return _PLAIN_FILE.match(piece, begin + len(delimiter)) if piece.startswith(delimiter, begin) else None


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
    """Yield the bytes of the chunk up to the boundary, which is looked for in them, whatever the ``length``."""
    pieces: Iterator[bytes] = iter(events.__next__, None)
    yield from pieces if segment.filename is not None else _decoded(pieces)
    _read_behind(events, file_fields, behind)


def _chunk_of_length(
    request: Request,
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
        piece = request.read(min(PIECE - (length - left) % PIECE, left))
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


def _decoded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the bytes that a data URL encodes (``chunkFormat: 'base64'``), or any other bytes unchanged."""
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
        ended = rest[whole - 1] == 0x3D
        rest = rest[whole:]
    if rest:
        raise Refusal(400, "The chunk ends in the middle of its base64.")
