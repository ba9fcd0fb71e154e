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
from .bounded_body import BoundedBody
from .messages import Refusal, Request, Response, call_hook

__all__ = ["MAX_BODY", "SWEEP_EVERY", "Gateway", "complete_headers", "phrase"]

MAX_BODY = 1 << 30
"""The most bytes that a request may have by default, form included."""

SWEEP_EVERY = 3600.0
"""How many seconds are between two sweeps of a store by default."""

_access_log = logging.getLogger("resumable.receiver.access")

_LENGTH = re.compile("[0-9]{1,19}")
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
        body = BoundedBody(read, size or 0)
        request = Request(method, path, query, headers, size, body, mount, environ, call)
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
