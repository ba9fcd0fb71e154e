"""Answer HTTP requests with a receiver, whatever server or framework brings them: what WSGI and ASGI have in common."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from ..protocol.headers import LIMIT_HEADER
from .app import Receiver
from .form import PIECE
from .messages import Refusal, Request, Response, call_hook

__all__ = ["ENDED", "MAX_BODY", "SWEEP_EVERY", "Gateway", "complete_headers", "phrase"]

ENDED = "The connection ended"
"""How the sentence begins if a client has left in the middle of a request."""

MAX_BODY = 1 << 30
"""The most bytes that a request may have by default, form included."""

SWEEP_EVERY = 3600.0
"""How many seconds are between two sweeps of a store by default."""

_access_log = logging.getLogger("resumable.receiver.access")

_LENGTH = re.compile("[0-9]{1,19}")
_MOST_TO_DRAIN = 8 * 1024 * 1024
_ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_WITH_BODY = {"Content-Type": "text/plain; charset=utf-8", **_ALWAYS}


class Gateway:
    """Answers requests of ``max_body`` bytes at most, form included, and writes the access log.

    If a body was not read to its end, up to 8 MiB more are read and dropped, so that the client gets the answer.
    """

    def __init__(self, receiver: Receiver, max_body: int) -> None:
        self.receiver = receiver
        self.max_body = max_body

    def respond(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        *,
        length: str | None,
        read: Callable[[int], bytes | memoryview],
        mount: str,
        environ: Mapping[str, Any],
        address: str = "",
        call: Callable[..., Any] = call_hook,
    ) -> Response:
        """Answer a request. The arguments are the fields of :class:`~resumable.receiver.Request`, as far as they go.

        ``length`` is the Content-Length as it was sent, and ``address`` that of the client. ``read(size)`` returns
        nothing if the client has left, and raises OSError if it is too slow; it may return a view of a buffer that the
        next call overwrites.
        """
        began = time.monotonic()
        size = int(length) if length and _LENGTH.fullmatch(length) else None
        body = _Body(read, size or 0)
        request = Request(method, path, query, headers, size, body.read, mount, environ, call, body.read_view)
        refusal = self._problem_of_length(request, length)
        if refusal is not None:
            response = self.receiver.refuse(request, refusal)
        else:
            response = self.receiver.handle(request)
            # A client that waits for permission to continue has sent nothing yet, and will not send anything now.
            if body.begun or "expect" not in headers:
                body.drain()
        if _access_log.isEnabledFor(logging.INFO):
            # JSON in a line, without the query, which may have secrets in it.
            facts = {
                "address": address,
                "method": method,
                "path": mount + path,
                "status": response.status,
                "received": length or "0",
                "sent": len(response.body),
                "seconds": round(time.monotonic() - began, 4),
                "agent": headers.get("user-agent", ""),
            }
            _access_log.info("%s", json.dumps(facts))
        return response

    def _problem_of_length(self, request: Request, said: str | None) -> Refusal | None:
        """Return the refusal of a body whose length is missing, malformed or too large, None if it is fine.

        ``said`` is the Content-Length as it was sent.
        """
        length = request.content_length
        if "transfer-encoding" in request.headers:
            return Refusal(411, "The request has a Transfer-Encoding instead of a Content-Length: send its length.")
        if said and length is None:
            return Refusal(400, "The Content-Length is not a number.")
        if length is not None and length > self.max_body:
            sentence = (
                f"The request has {length} bytes, and this server takes at most {self.max_body} in one request "
                "(max_body): use a smaller chunk size."
            )
            return Refusal(413, sentence, (LIMIT_HEADER, "request"))
        return None


class _Body:
    """The body of one request: exactly as many bytes as its length says, or a refusal."""

    def __init__(self, read: Callable[[int], bytes | memoryview], length: int) -> None:
        self.begun = False
        self._read = read
        self._left = length
        self._broken = False

    def read(self, size: int) -> bytes:
        """Return at most this many bytes, none at the end. Raises Refusal if the connection ends or stalls before."""
        return bytes(self.read_view(size))

    def read_view(self, size: int) -> bytes | memoryview:
        """Do the same, but the bytes may be in a buffer that the next call of either overwrites."""
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
            while self.read_view(PIECE):
                pass
        except Refusal:
            pass


def complete_headers(response: Response) -> list[tuple[str, str]]:
    """Return the headers of the answer, with those that every answer has."""
    headers = list(response.headers)
    said = {name.lower() for name, _ in headers}
    if response.status != 204:
        headers.append(("Content-Length", str(len(response.body))))
    headers += [
        (name, value)
        for name, value in (_ALWAYS if response.status == 204 else _WITH_BODY).items()
        if name.lower() not in said
    ]
    return headers


@lru_cache(maxsize=64)
def phrase(status: int) -> str:
    """Return the words that go with a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        # One that is not registered, such as 460.
        return "Refused"
