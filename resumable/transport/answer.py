"""The answer of a server, read with suspicion: whole, of bounded size, and in bounded time."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from .base import REPLY_LIMIT, NetworkFailure, Reply

__all__ = ["QuickResponse", "WholeResponse", "read_reply"]

_LONGEST_LINE = 65536
_MOST_FIELDS = 100
_MOST_INTERIM = 100
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s\"';]+)", re.IGNORECASE)


class WholeResponse(http.client.HTTPResponse):
    """The final response, whose head has come to its end. Raises NetworkFailure where it has not.

    http.client takes the end of the connection for the end of the head, so that a server which dies behind
    ``HTTP/1.1 200 OK`` would have said yes; and it takes 102 and 103 for final, so that the answer to this request
    would be read as that to the next one. It has the head read by the parser of e-mail, too, which takes as long as
    all the rest of a small request.
    """

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        self._patience: float | None = sock.gettimeout()
        super().__init__(sock, *arguments, **options)

    def begin(self) -> None:
        """The head is read; the body follows. See http.client. Its first byte is waited for as long as the socket's
        timeout says, the rest of it no longer than that either."""
        stream = self.fp
        try:
            self._begin(stream)
        finally:
            if self.fp is not None:
                self.fp = stream

    def _begin(self, stream: Any) -> None:
        for _ in range(_MOST_INTERIM):
            # Mostly the whole head comes at once, and then there is nothing to wait for.
            whole = b"\r\n\r\n" in stream.peek(1)
            self.fp = stream if whole else _Timely(stream, self._patience)  # type: ignore[assignment]
            version, status, reason = self._read_status()  # type: ignore[attr-defined]
            lines = _head(self.fp)
            if not 100 <= status < 200 or status == http.client.SWITCHING_PROTOCOLS:
                break
        else:
            raise http.client.HTTPException(f"the server sent {_MOST_INTERIM} interim answers and no final one")
        if not version.startswith("HTTP/1."):
            raise http.client.UnknownProtocol(version)
        self.code = self.status = status
        self.reason = reason.strip()
        self.version = 10 if version == "HTTP/1.0" else 11
        self.headers = self.msg = fields = self._fields(lines)
        self.chunked = fields.get("transfer-encoding", "").lower().rpartition(",")[2].strip() == "chunked"
        self.chunk_left = None
        self.will_close = self._check_close()  # type: ignore[attr-defined]
        self.length = None if self.chunked else _length(fields.get("content-length", ""))
        if status in (http.client.NO_CONTENT, http.client.NOT_MODIFIED) or self._method == "HEAD":  # type: ignore[attr-defined]
            # Whatever its head says, there is no body.
            self.chunked = False
            self.length = 0
        if not self.chunked and self.length is None:
            self.will_close = True

    def _fields(self, lines: list[str]) -> Any:
        return _message(lines)


class QuickResponse(WholeResponse):
    """One whose ``headers`` are a plain dictionary with names in lower case; those of the library take as long to make
    as all the rest of a small answer. ``cookies`` are the lines that set one."""

    headers: Any
    cookies: list[str]

    def _fields(self, lines: list[str]) -> dict[str, str]:
        fields: dict[str, str] = {}
        self.cookies = []
        for name, value in _named(lines):
            known = name.lower()
            if known == "set-cookie":
                self.cookies.append(f"{name}: {value}")
            fields[known] = f"{fields[known]}, {value}" if known in fields else value
        return fields

    @property
    def message(self) -> http.client.HTTPMessage:
        """The cookies as the library has them."""
        return _message(self.cookies)


def _message(lines: list[str]) -> http.client.HTTPMessage:
    fields = http.client.HTTPMessage()
    for name, value in _named(lines):
        fields[name] = value
    return fields


def _named(lines: list[str]) -> Iterator[tuple[str, str]]:
    for text in lines:
        name, colon, value = text.partition(":")
        if colon:
            yield name.strip(), value.strip()


class _Timely:
    """Lines of a stream that have all come before a time is over."""

    def __init__(self, stream: Any, patience: float | None) -> None:
        self._stream = stream
        self._patience = patience
        self._deadline = None if patience is None else time.monotonic() + patience
        self.close = stream.close

    def readline(self, limit: int) -> bytes:
        """The next line, or the part of it that came before the stream ended."""
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
    return NetworkFailure(f"the server's answer was not over after {patience:g} s")


def _head(stream: Any) -> list[str]:
    """The lines of a head, up to the empty one. Raises NetworkFailure where that does not come."""
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


def _length(value: str) -> int | None:
    # A length that was said twice, by a server and by what stands before it, is one (RFC 9110, 8.6).
    lengths = {part.strip() for part in value.split(",")}
    length = lengths.pop()
    return int(length) if not lengths and length.isascii() and length.isdigit() else None


def read_reply(raw: Any, fields: Mapping[str, str], status: int, timeout: float | None) -> Reply:
    """The answer, its body cut at 64 KiB; the connection of a longer one is closed.

    ``raw`` has ``read1(size)`` and ``close()``, ``fields`` are the headers with names in lower case. Raises
    NetworkFailure where the body is not over after ``timeout`` seconds, and what reading it raises.
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
    if size > REPLY_LIMIT:
        raw.close()
    return Reply(status, fields, _text(b"".join(pieces)[:REPLY_LIMIT], fields.get("content-type", "")))


def _text(content: bytes, content_type: str) -> str:
    # As in a browser: UTF-8 where the server does not say.
    charset = _CHARSET.search(content_type)
    try:
        return content.decode(charset[1] if charset else "utf-8", "replace")
    except LookupError:
        return content.decode("utf-8", "replace")
