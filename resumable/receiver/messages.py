"""What goes into a receiver and what comes out: a request, a response, and the refusal that becomes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

__all__ = ["Refusal", "Request", "Response"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Request:
    """One HTTP request, whatever server it came through.

    ``path`` is what is left of the path behind the mount point, which is ``mount``; ``query`` is the query string
    without the question mark, still percent-encoded; ``headers`` has lower-case names. ``read(size)`` gives at most
    ``size`` bytes of the body and ``b""`` at its end, and raises :class:`Refusal` where the body ends before it is
    whole. ``content_length`` is in bytes, None where the request does not say it. ``environ`` is what the framework
    around knows of the request (in WSGI the environment of PEP 3333), for hooks that want to know who is asking.
    """

    method: str
    path: str = "/"
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    content_length: int | None = 0
    read: Callable[[int], bytes] = field(default=lambda size: b"", repr=False)
    mount: str = ""
    environ: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, repr=False)


@dataclass(frozen=True)
class Response:
    """The answer. ``body`` is a sentence in plain text, for people to read, unless a ``Content-Type`` says otherwise.

    It is empty where the status allows none.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Refusal(Exception):
    """The request is answered with this status and this sentence; hooks may raise it, it never leaves the receiver.

    The sentence is shown to whoever asked: text of a client belongs into it as ``repr()`` only, secrets not at all.
    """

    def __init__(self, status: int, sentence: str, *headers: tuple[str, str]) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers
