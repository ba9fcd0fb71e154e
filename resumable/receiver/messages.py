"""What goes into a receiver and what comes out: a request, a response, and the refusal that becomes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

__all__ = ["Refusal", "Request", "Response"]

_STREAMS = ("wsgi.input", "wsgi.errors")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Request:
    """One HTTP request, independent of the server that received it.

    ``path`` is the part of the path behind the mount point, and ``mount`` the part before it; ``query`` is the query
    string without the question mark, still percent-encoded; ``headers`` has lower-case names. ``read(size)`` returns at
    most ``size`` bytes of the body and ``b""`` at its end, and raises :class:`Refusal` if the body ends too early.
    ``content_length`` is in bytes, None if the request does not have it. ``environ`` is what the framework knows about
    the request (in WSGI the environment of PEP 3333), for hooks that need to know who sent it.
    """

    method: str
    path: str = "/"
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    content_length: int | None = 0
    read: Callable[[int], bytes] = field(default=lambda size: b"", repr=False)
    mount: str = ""
    environ: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, repr=False)

    def without_body(self) -> Request:
        """Return a copy that stays as it is after the request was answered, and whose body is empty."""
        environ = {name: value for name, value in self.environ.items() if name not in _STREAMS}
        return replace(
            self,
            headers=MappingProxyType(dict(self.headers)),
            read=lambda size: b"",
            environ=MappingProxyType(environ),
        )


@dataclass(frozen=True)
class Response:
    """The answer. ``body`` is a sentence in plain text, unless a ``Content-Type`` says otherwise.

    It is empty if the status does not allow a body.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Refusal(Exception):
    """Raised to answer the request with this status and sentence; hooks may raise it too.

    The client sees the sentence: include its own text only as ``repr()``, and never a secret. A refusal does not leave
    the receiver.
    """

    def __init__(self, status: int, sentence: str, *headers: tuple[str, str]) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers
