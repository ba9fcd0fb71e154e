"""The receiver as a WSGI application, for any server and framework that speaks WSGI (PEP 3333)."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from ...protocol.headers import LIMIT_HEADER
from ..app import Receiver
from ..form import PIECE
from ..messages import Refusal, Request, Response

__all__ = ["ENDED", "Application"]

ENDED = "The connection ended"
"""How the sentence begins if a client has left in the middle of a request."""

_access_log = logging.getLogger("resumable.receiver.access")

_LENGTH = re.compile("[0-9]{1,19}")
_MOST_TO_DRAIN = 8 * 1024 * 1024
_ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_WITH_BODY = {"Content-Type": "text/plain; charset=utf-8"}


class Application:
    """A receiver as a WSGI application: ``Application(receiver)`` is what a WSGI server calls.

    ``max_body`` is the most bytes that a request may have, form included. If a body was not read to its end, up to
    8 MiB more are read and dropped, so that the client gets the answer; with more than that, the server has to close
    the connection.
    """

    def __init__(self, receiver: Receiver, *, max_body: int = 1 << 30) -> None:
        self.receiver = receiver
        self.max_body = max_body

    def __call__(
        self, environ: Mapping[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
    ) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        began = time.monotonic()
        response = self._respond(environ)
        if _access_log.isEnabledFor(logging.INFO):
            _access_log.info("%s", _access_line(environ, response, time.monotonic() - began))
        headers = list(response.headers)
        bodiless = response.status == 204
        if not bodiless:
            headers.append(("Content-Length", str(len(response.body))))
        said = {name.lower() for name, _ in headers}
        also = _ALWAYS if bodiless else {**_WITH_BODY, **_ALWAYS}
        headers += [(name, value) for name, value in also.items() if name.lower() not in said]
        start_response(f"{response.status} {_phrase(response.status)}", headers)
        return [] if bodiless or environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _respond(self, environ: Mapping[str, Any]) -> Response:
        said = environ.get("CONTENT_LENGTH") or None
        length = int(said) if said is not None and _LENGTH.fullmatch(said) else None
        body = _Body(environ["wsgi.input"].read, length or 0)
        request = Request(
            method=environ["REQUEST_METHOD"],
            path=environ.get("PATH_INFO", ""),
            query=environ.get("QUERY_STRING", "").encode("latin-1").decode("utf-8", "replace"),
            headers=_headers(environ),
            content_length=length,
            read=body.read,
            mount=environ.get("SCRIPT_NAME", ""),
            environ=environ,
        )
        if "HTTP_TRANSFER_ENCODING" in environ:
            refusal = Refusal(411, "The request has a Transfer-Encoding instead of a Content-Length: send its length.")
        elif said is not None and length is None:
            refusal = Refusal(400, "The Content-Length is not a number.")
        elif length is not None and length > self.max_body:
            sentence = (
                f"The request has {length} bytes, and this server takes at most {self.max_body} in one request "
                "(max_body): use a smaller chunk size."
            )
            refusal = Refusal(413, sentence, (LIMIT_HEADER, "request"))
        else:
            response = self.receiver.handle(request)
            # A client that waits for permission to continue has sent nothing yet, and will not send anything now.
            if body.begun or "HTTP_EXPECT" not in environ:
                body.drain()
            return response
        return self.receiver.refuse(request, refusal)


def _access_line(environ: Mapping[str, Any], response: Response, seconds: float) -> str:
    """Return what the log says of a request: JSON in a line, without the query, which may have secrets in it."""
    facts = {
        "address": environ.get("REMOTE_ADDR", ""),
        "method": environ["REQUEST_METHOD"],
        "path": environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
        "status": response.status,
        "received": environ.get("CONTENT_LENGTH") or "0",
        "sent": len(response.body),
        "seconds": round(seconds, 4),
        "agent": environ.get("HTTP_USER_AGENT", ""),
    }
    return json.dumps(facts)


class _Body:
    """The body of one request: exactly as many bytes as its length says, or a refusal."""

    def __init__(self, read: Callable[[int], bytes], length: int) -> None:
        self.begun = False
        self._read = read
        self._left = length
        self._broken = False

    def read(self, size: int) -> bytes:
        """Return at most this many bytes, none at the end. Raises Refusal if the connection ends or stalls before."""
        if self._broken or not self._left:
            return b""
        self.begun = True
        try:
            piece = self._read(min(size, self._left))
        except OSError:
            self._broken = True
            raise Refusal(408, "The body of the request did not arrive in time: try again.") from None
        self._left -= len(piece)
        if not piece:
            self._broken = True
            raise Refusal(400, f"{ENDED} {self._left} bytes before the end of the body: try again.")
        return piece

    def drain(self) -> None:
        """Read and drop what is left, up to a limit."""
        if self._left > _MOST_TO_DRAIN:
            return
        try:
            while self.read(PIECE):
                pass
        except Refusal:
            pass


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    return headers


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        # One that is not registered, such as 460.
        return "Refused"
