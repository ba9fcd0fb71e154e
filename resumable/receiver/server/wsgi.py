"""The receiver as a WSGI application, for any server and framework that speaks WSGI (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from ..app import Receiver
from ..gateway import MAX_BODY, Gateway, complete_headers, phrase
from .connection import RequestBody

__all__ = ["Application"]


class Application:
    """A receiver as a WSGI application: ``Application(receiver)`` is what a WSGI server calls.

    ``max_body`` is the largest body that a request may have, in bytes, form included. If a body was not read to its
    end, up to 8 MiB more are read and dropped, so that the client gets the answer; with more than that, the server has
    to close the connection.
    """

    def __init__(self, receiver: Receiver, *, max_body: int = MAX_BODY) -> None:
        self.receiver = receiver
        self.max_body = max_body
        self._gateway = Gateway(receiver, max_body)

    def __call__(
        self, environ: Mapping[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
    ) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        body = environ["wsgi.input"]
        response = self._gateway.respond(
            environ["REQUEST_METHOD"],
            environ.get("PATH_INFO", ""),
            environ.get("QUERY_STRING", "").encode("latin-1").decode("utf-8", "replace"),
            _headers(environ),
            length=environ.get("CONTENT_LENGTH"),
            read=body.read_view if type(body) is RequestBody else body.read,
            mount=environ.get("SCRIPT_NAME", ""),
            environ=environ,
            address=environ.get("REMOTE_ADDR", ""),
        )
        start_response(f"{response.status} {phrase(response.status)}", complete_headers(response))
        return [] if response.status == 204 or environ["REQUEST_METHOD"] == "HEAD" else [response.body]


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    headers = {name: value for variable, value in environ.items() if (name := _header_name(variable))}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    return headers


@lru_cache(maxsize=128)
def _header_name(variable: str) -> str:
    """Return the header that a variable has the value of; an empty string for other variables."""
    return variable[5:].replace("_", "-").lower() if variable.startswith("HTTP_") else ""
