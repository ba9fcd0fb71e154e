"""What goes into a receiver and what comes out: a request, a response, and the refusal that becomes one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

__all__ = ["Refusal", "Request", "Response", "call_hook", "check_has_run"]

_STREAMS = ("wsgi.input", "wsgi.errors")
_HEADER = re.compile("[\t -~\xa0-\xff]*")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def call_hook(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a hook of the application, and return what it returns.

    Raises TypeError if that is something to be awaited, or a generator: nothing here could wait for it, and a check
    that never runs refuses nobody.
    """
    result = check_has_run(function, function(*arguments))
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise TypeError(f"{function!r} returned something to be awaited: only in an ASGI application may hooks do that")
    return result


def check_has_run(function: Callable[..., Any], result: Any) -> Any:
    """Return what a hook returned. Raises TypeError if that is a generator: its function has not even begun."""
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise TypeError(f"{function!r} returned a generator, so it has not run: a hook must not contain yield")
    return result


@dataclass(frozen=True)
class Request:
    """One HTTP request, independent of the server that received it.

    ``path`` is the part of the path behind the mount point, and ``mount`` the part before it; ``query`` is the query
    string without the question mark, still percent-encoded; ``headers`` has lower-case names. ``read(size)`` returns at
    most ``size`` bytes of the body and ``b""`` at its end, and raises :class:`Refusal` if the body ends too early.
    ``content_length`` is in bytes, None if the request does not have it. ``environ`` is what the framework knows about
    the request (in WSGI the environment of PEP 3333, in ASGI the scope), for hooks that need to know who sent it.
    ``call(function, *arguments)`` calls a hook of the application as its framework wants it, on whatever thread.
    """

    method: str
    path: str = "/"
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    content_length: int | None = 0
    read: Callable[[int], bytes] = field(default=lambda size: b"", repr=False)
    mount: str = ""
    environ: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, repr=False)
    call: Callable[..., Any] = field(default=call_hook, repr=False)

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
    the receiver. Raises ValueError if the status is not one from 400 to 599, which clients could take for success, or
    if a header is not a line of printable Latin-1.
    """

    def __init__(self, status: int, sentence: str, *headers: tuple[str, str]) -> None:
        if status not in range(400, 600):
            raise ValueError(f"a refusal has a status from 400 to 599, not {status!r}")
        if not all(_HEADER.fullmatch(text) for header in headers for text in header):
            raise ValueError(f"a header of a refusal is a line of printable Latin-1, not {headers!r}")
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers
