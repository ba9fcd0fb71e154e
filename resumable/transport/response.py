"""Read the answer of a server with suspicion: complete, of bounded size, and in bounded time."""

from __future__ import annotations

import http.client
import io
import re
import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from .base import REPLY_LIMIT, NetworkFailure, Reply

__all__ = [
    "AT_ONCE",
    "BegunAnswer",
    "PromptStream",
    "ReadAnswer",
    "content_length",
    "message",
    "named_fields",
    "parse_fields",
    "parse_whole",
    "read_head",
    "read_reply",
]

AT_ONCE = io.DEFAULT_BUFFER_SIZE
"""Bytes that are read of an answer at first. Most have fewer."""

_NO_BODY = (http.client.NO_CONTENT, http.client.NOT_MODIFIED)
_WHOLE_HEAD = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2})(?: [^\r\n]*)?\r\n((?:[^\s:][^\r\n:]*:[^\r\n]*\r\n)*)\r\n")
_LONGEST_LINE = 65536
_MOST_FIELDS = 100
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s\"';]+)", re.IGNORECASE)


def message(lines: list[str]) -> http.client.HTTPMessage:
    """Make the headers of the library from the lines of a head."""
    fields = http.client.HTTPMessage()
    for name, value in named_fields(lines):
        fields[name] = value
    return fields


def named_fields(lines: list[str]) -> list[tuple[str, str]]:
    """Return the name and the value of each line of a head."""
    named = []
    for text in lines:
        name, colon, value = text.partition(":")
        if colon:
            named.append((name.strip(), value.strip()))
    return named


def parse_fields(lines: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the fields of a head, with names in lower case, and the lines that set cookies."""
    fields: dict[str, str] = {}
    cookies = []
    for name, value in named_fields(lines):
        known = name.lower()
        if known == "set-cookie":
            cookies.append(f"{name}: {value}")
        fields[known] = f"{fields[known]}, {value}" if known in fields else value
    return fields, cookies


class ReadAnswer(NamedTuple):
    """An answer that was read. ``cookies`` are the lines that set one. ``closes``: its connection is of no use any
    more."""

    reply: Reply
    cookies: list[str]
    closes: bool


def parse_whole(received: bytes) -> ReadAnswer | None:
    """Return the answer if this is all of a plain one, as nearly all are; or None, and http.client has to read it."""
    head = _WHOLE_HEAD.match(received)
    lines = head[2].decode("latin-1").split("\r\n")[:-1] if head else []
    if head is None or len(lines) > _MOST_FIELDS:
        return None
    status, content = int(head[1]), received[head.end() :]
    fields, cookies = parse_fields(lines)
    length = 0 if status in _NO_BODY else content_length(fields.get("content-length", ""))
    if length != len(content) or "transfer-encoding" in fields or "content-encoding" in fields:
        return None
    reply = Reply(status, fields, _text(content, fields.get("content-type", "")))
    return ReadAnswer(reply, cookies, "close" in fields.get("connection", "").lower())


class BegunAnswer(io.RawIOBase):
    """A socket for http.client to read an answer from whose first bytes were received."""

    def __init__(self, sock: socket.socket, received: bytes) -> None:
        self.gettimeout = sock.gettimeout
        self._received = received
        self._rest = sock.makefile("rb", 0)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the stream of the answer."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """See io."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """See io."""
        if not self._received:
            return self._rest.readinto(buffer)
        size = min(len(buffer), len(self._received))
        buffer[:size] = self._received[:size]
        self._received = self._received[size:]
        return size

    def close(self) -> None:
        """See io."""
        self._rest.close()
        super().close()


class PromptStream:
    """Reads the lines of a stream, all of which have to come within a time."""

    def __init__(self, stream: Any, patience: float | None) -> None:
        self._stream = stream
        self._patience = patience
        self._deadline = None if patience is None else time.monotonic() + patience
        self.close = stream.close

    def readline(self, limit: int) -> bytes:
        """Read the next line, or the part of it that came before the stream ended."""
        line = b""
        while not line.endswith(b"\n") and len(line) < limit:
            there = self._stream.peek(1)
            if not there:
                break
            line += self._stream.read(min(there.find(b"\n") + 1 or len(there), limit - len(line)))
            if self._deadline is not None and time.monotonic() > self._deadline:
                raise _overdue(self._patience)
        return line


def _overdue(patience: float | None) -> NetworkFailure:
    return NetworkFailure(f"the server's answer was not complete after {patience:g} s")


def read_head(stream: Any) -> list[str]:
    """Read the lines of a head, up to the empty one. Raises NetworkFailure if that does not come."""
    lines: list[str] = []
    while (line := stream.readline(_LONGEST_LINE + 1)) not in (b"\r\n", b"\n"):
        if len(line) > _LONGEST_LINE:
            raise http.client.LineTooLong("header line")
        if not line.endswith(b"\n"):
            raise NetworkFailure("the server's answer was cut short")
        text = line.decode("latin-1").rstrip("\r\n")
        if text[:1] in (" ", "\t") and lines:
            # A line that goes on with the one before (RFC 9112, 5.2).
            lines[-1] += f" {text.strip()}"
            continue
        if len(lines) >= _MOST_FIELDS:
            raise http.client.HTTPException(f"the server's answer has more than {_MOST_FIELDS} headers")
        lines.append(text)
    return lines


def content_length(value: str) -> int | None:
    """Return the length in a Content-Length, or None if it is not one length."""
    # A length that is there twice, from a server and from a proxy, counts as one (RFC 9110, 8.6).
    lengths = set(map(str.strip, value.split(",")))
    length = lengths.pop()
    # Python reads no number of more than 4300 digits.
    return int(length) if not lengths and length.isascii() and length.isdigit() and len(length) < 20 else None


def read_reply(raw: Any, fields: Mapping[str, str], status: int, timeout: float | None) -> Reply:
    """Read the answer, and cut its body at 64 KiB; the connection of a longer one is closed.

    ``raw`` has ``read1(size)`` and ``close()``, ``fields`` are the headers with names in lower case. Raises
    NetworkFailure if the body is not complete after ``timeout`` seconds, and what reading it raises.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pieces = []
    size = 0
    while size <= REPLY_LIMIT and (piece := raw.read1(REPLY_LIMIT)):
        pieces.append(piece)
        size += len(piece)
        if deadline is not None and time.monotonic() > deadline:
            raw.close()
            raise _overdue(timeout)
    cut = size > REPLY_LIMIT
    if cut:
        raw.close()
    return Reply(status, fields, _text(b"".join(pieces)[:REPLY_LIMIT], fields.get("content-type", "")), cut)


def _text(content: bytes, content_type: str) -> str:
    # As in a browser: UTF-8 if the server does not say.
    charset = _CHARSET.search(content_type)
    try:
        return content.decode(charset[1] if charset else "utf-8", "replace")
    except (LookupError, ValueError):
        # Nobody knows it, or it is none for text, as "idna".
        return content.decode("utf-8", "replace")
