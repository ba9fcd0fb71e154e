"""A scripted server that answers nothing by itself: somebody else decides when and how.

Every request that has arrived in full, and every client that has gone away before its answer, is put into ``inbox``;
whoever reads the inbox calls ``answer`` or ``cut``.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any
from urllib.parse import unquote

from support.scripted_server import Request, ScriptedServer

__all__ = ["Arrived", "Exchange", "Gone", "HeldServer", "Said"]

_QUOTED = {"name": re.compile(r'; name="([^"]*)"'), "filename": re.compile(r'; filename="([^"]*)"')}
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')

_OF_EVERY_CLIENT = frozenset({"host", "user-agent", "accept-encoding", "connection", "content-length", "content-type"})
"""Headers that a browser or an HTTP library adds by itself; recordings leave them out as well."""


class Exchange:
    """A request on the wire. ``request`` has the form of the recordings, ``chunk`` the bytes of the chunk in it."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.request, self.chunk = described(request.method, request.target, request.raw_headers, request.body)

    def answer(self, status: int, body: str) -> None:
        """The client gets this answer, and the connection is kept."""
        payload = "" if status in (204, 304) else body
        self._request.answer(status, payload, {"Content-Type": "text/plain; charset=utf-8"})

    def cut(self) -> None:
        """The client gets the beginning of an answer, and the connection is destroyed.

        Without a byte of it a client may take a connection that was kept alive for one that had ended before the
        request, and is free to send that once more by itself.
        """
        try:
            self._request.send(b"HTTP/1.")
        except OSError:
            pass  # the client has left
        self._request.cut()


@dataclass(frozen=True)
class Arrived:
    """A request is here."""

    exchange: Exchange


@dataclass(frozen=True)
class Gone:
    """The client has closed the connection before it got an answer."""

    exchange: Exchange


@dataclass(frozen=True)
class Said:
    """A line that another thread than the driver's wants written into the timeline."""

    line: dict[str, Any]


class HeldServer(ScriptedServer):
    """The server, as a context manager. ``origin`` is its URL without a path."""

    def __init__(self) -> None:
        super().__init__(behave=self._arrived)
        self.inbox: SimpleQueue[Arrived | Gone | Said] = SimpleQueue()
        self.origin = f"http://127.0.0.1:{self.port}"
        self._exchanges: dict[Request, Exchange] = {}

    def left(self, request: Request) -> None:
        """See :meth:`ScriptedServer.left`."""
        if request in self._exchanges:
            self.inbox.put(Gone(self._exchanges[request]))

    def _arrived(self, request: Request) -> None:
        exchange = self._exchanges[request] = Exchange(request)
        self.inbox.put(Arrived(exchange))


def described(
    method: str, target: str, headers: list[tuple[str, str]], body: bytes
) -> tuple[dict[str, Any], bytes | None]:
    """A request in the form of the recordings, and the bytes of the chunk in it."""
    path, _, query = target.partition("?")
    content_type = next((value for name, value in headers if name.lower() == "content-type"), "")
    form, chunk = _body(content_type, body)
    request = {
        "method": method,
        "path": path,
        "raw_query": query,
        "query": [[unquote(part) for part in pair.partition("=")[::2]] for pair in query.split("&") if pair],
        "headers": sorted([name.lower(), value] for name, value in headers if name.lower() not in _OF_EVERY_CLIENT),
        "body": form,
    }
    return request, chunk


def _body(content_type: str, body: bytes) -> tuple[dict[str, Any] | None, bytes | None]:
    if content_type.startswith("multipart/form-data"):
        found = _BOUNDARY.search(content_type)
        boundary = found[1] if found else ""
        parts, chunk = _parts(body, boundary.encode("iso-8859-1"))
        masked = content_type.replace(boundary, "<boundary>") if boundary else content_type
        return {"kind": "multipart", "content_type": masked, "parts": parts}, chunk
    if not body and not content_type:
        return None, None
    digest = hashlib.sha256(body).hexdigest()
    return {"kind": "raw", "content_type": content_type, "size": len(body), "sha256": digest}, body


def _parts(body: bytes, boundary: bytes) -> tuple[list[dict[str, Any]], bytes | None]:
    delimiter = b"\r\n--" + boundary
    pieces = (b"\r\n" + body).split(delimiter)
    if pieces[0] or not pieces[-1].startswith(b"--"):
        raise ValueError("the form is not delimited as RFC 2046 asks")
    chunk = None
    parts = []
    for piece in pieces[1:-1]:
        head, _, value = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = [line.partition(": ")[::2] for line in head.decode("utf-8").split("\r\n")]
        disposition = next(value for name, value in headers if name.lower() == "content-disposition")
        name, filename = (pattern.search(disposition) for pattern in _QUOTED.values())
        part: dict[str, Any] = {"name": name[1] if name else None}
        if filename:
            part |= {"filename": filename[1], "headers": [list(header) for header in headers]}
            part |= {"size": len(value), "sha256": hashlib.sha256(value).hexdigest()}
            chunk = value
        else:
            part["value"] = value.decode("utf-8")
            if len(headers) > 1:
                part["headers"] = [list(header) for header in headers]
        parts.append(part)
    return parts, chunk
