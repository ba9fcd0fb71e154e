"""The receiver as a WSGI application, for any server and framework that speaks WSGI (PEP 3333)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from .app import Receiver
from .form import PIECE
from .messages import Refusal, Request, Response

__all__ = ["Application"]

_LENGTH = re.compile("[0-9]{1,19}")
_MOST_TO_DRAIN = 8 * 1024 * 1024


class Application:
    """``Application(receiver)`` is the callable that a WSGI server wants.

    ``max_body`` is the most bytes that a request may have, form included. Where a body was not read to its end, up to
    8 MiB more are read and dropped, so that the client gets to read the answer; behind that the answer says
    ``Connection: close``.
    """

    def __init__(self, receiver: Receiver, *, max_body: int = 1 << 30) -> None:
        self.receiver = receiver
        self.max_body = max_body

    def __call__(
        self, environ: Mapping[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
    ) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        response, keep = self._respond(environ)
        headers = list(response.headers)
        if response.status != 204:
            headers += [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(response.body)))]
        headers += [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
        if not keep:
            headers.append(("Connection", "close"))
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
        return [] if response.status == 204 or environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _respond(self, environ: Mapping[str, Any]) -> tuple[Response, bool]:
        """The response, and whether the connection may be used again."""
        said = environ.get("CONTENT_LENGTH") or None
        if "HTTP_TRANSFER_ENCODING" in environ:
            return Response(411, b"The request does not say how long its body is.\n"), False
        if said is not None and not _LENGTH.fullmatch(said):
            return Response(400, b"The length of the body is not a number.\n"), False
        length = None if said is None else int(said)
        if length is not None and length > self.max_body:
            return Response(413, f"The body is longer than the {self.max_body} bytes allowed.\n".encode()), False
        body = _Body(environ["wsgi.input"].read, length or 0)
        request = Request(
            method=environ["REQUEST_METHOD"],
            path=environ.get("PATH_INFO", ""),
            query=environ.get("QUERY_STRING", "").encode("latin-1").decode("utf-8", "replace"),
            headers=_headers(environ),
            content_length=length,
            read=body.read,
        )
        response = self.receiver.handle(request)
        return response, body.drain()


class _Body:
    """The body of one request: exactly as many bytes as it says, or a refusal."""

    def __init__(self, read: Callable[[int], bytes], length: int) -> None:
        self._read = read
        self._left = length
        self._broken = False

    def read(self, size: int) -> bytes:
        """At most this many bytes, none at the end. Raises Refusal where the connection ends, or stalls, before."""
        if self._broken or not self._left:
            return b""
        try:
            piece = self._read(min(size, self._left))
        except OSError:
            self._broken = True
            raise Refusal(408, "The body did not come in time.") from None
        self._left -= len(piece)
        if not piece:
            self._broken = True
            raise Refusal(400, f"The body ended {self._left} bytes early.")
        return piece

    def drain(self) -> bool:
        """Read what is left, within reason; whether nothing is left."""
        room = _MOST_TO_DRAIN
        if self._left > room:
            return False
        try:
            while self.read(PIECE):
                pass
        except Refusal:
            pass
        return not self._left


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    return headers
