"""The answer of a server, read with suspicion: whole, of bounded size, and in bounded time."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Mapping
from typing import Any

from .base import REPLY_LIMIT, NetworkFailure, Reply

__all__ = ["WholeResponse", "read_reply"]

_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s\"';]+)", re.IGNORECASE)


class WholeResponse(http.client.HTTPResponse):
    """The final response, whose head has come to its end. Raises NetworkFailure where it has not.

    http.client takes the end of the connection for the end of the head, so that a server which dies behind
    ``HTTP/1.1 200 OK`` would have said yes; and it takes 102 and 103 for final, so that the answer to this request
    would be read as that to the next one.
    """

    def begin(self) -> None:
        """See http.client."""
        stream: Any = self.fp
        lines: Any = _Lines(stream)
        self.fp = lines
        try:
            while True:
                super().begin()
                if not lines.last:
                    raise NetworkFailure("the server's answer was cut short")
                if not 101 < self.status < 200:
                    return
                self.headers = None  # type: ignore[assignment]
        finally:
            if self.fp is lines:
                self.fp = stream


class _Lines:
    """The lines of a stream; ``last`` is the one that was read last."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.close = stream.close
        self.last = b"\n"

    def readline(self, limit: int) -> bytes:
        self.last = self._stream.readline(limit)
        return self.last


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
            raise NetworkFailure(f"the server's answer was not over after {timeout:g} s")
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
