"""What goes into a receiver and what comes out: a request, a response, and the refusal that becomes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["Refusal", "Request", "Response"]


@dataclass(frozen=True)
class Request:
    """One HTTP request, whatever server it came through.

    ``path`` is what is left of the path behind the mount point, ``query`` the query string without the question mark,
    still percent-encoded; ``headers`` has lower-case names. ``read(size)`` gives at most ``size`` bytes of the body
    and ``b""`` at its end, and raises :class:`Refusal` where the body ends before it is whole.
    ``content_length`` is in bytes, None where the request does not say it.
    """

    method: str
    path: str = "/"
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    content_length: int | None = 0
    read: Callable[[int], bytes] = field(default=lambda size: b"", repr=False)


@dataclass(frozen=True)
class Response:
    """The answer. ``body`` is a sentence in plain text, for people to read, and empty where the status allows none."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Refusal(Exception):
    """The request is answered with this status and this sentence. Never leaves the receiver."""

    def __init__(self, status: int, sentence: str, *headers: tuple[str, str]) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers
