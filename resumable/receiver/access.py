"""Decide who may upload: by the host that is requested, the page that sends the request, and the token.

A browser on the same machine, or in the same network, can be made to send requests here by any page that is open in it.
Three checks keep those out. None of them relies on cookies, which are never read. The host must be one of ours, or an
address: a page that let its own name point to our address (DNS rebinding) requests that name. An upload with an origin
must come from a page of ours, or from an origin that is allowed. And the token, if there is one, must be in a header
that a page of another site cannot send unasked.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

from ..errors import OptionError
from ..protocol.headers import (
    CHUNK_SIZE_HEADER,
    FILE_HEADER,
    LIMIT_HEADER,
    MAX_UPLOADS_HEADER,
    NAME_HEADER,
    ORDER_HEADER,
    SERVER_HEADER,
)
from ..protocol.verdict import STORED_CHUNKS_HEADER
from .messages import Refusal, Request, Response

__all__ = ["LOCAL_HOSTS", "Access"]

LOCAL_HOSTS = ("localhost",)
"""The names by which every machine reaches itself. Addresses need not be listed."""

_AUTHORITY = re.compile(r"(\[[^]]*\]|[^:]*)(?::[0-9]*)?")
_HOST = re.compile(r"[A-Za-z0-9_.-]+")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._\[\]:-]+")
_TOKEN = re.compile(r"[!-~]+")
_TOKENS = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1024}")
_PREFLIGHT_SECONDS = 600
_EXPOSED = ", ".join(
    (
        SERVER_HEADER,
        ORDER_HEADER,
        MAX_UPLOADS_HEADER,
        FILE_HEADER,
        NAME_HEADER,
        STORED_CHUNKS_HEADER,
        LIMIT_HEADER,
        CHUNK_SIZE_HEADER,
        "Retry-After",
    )
)
_CHALLENGE = ("WWW-Authenticate", "Bearer")


class Access:
    """The checks. ``hosts`` is None for any host; origins are compared as a whole, without wildcards."""

    def __init__(self, *, token: str | None, hosts: Iterable[str] | None, origins: Iterable[str]) -> None:
        if token is not None and not _TOKEN.fullmatch(token):
            raise OptionError("token", "(not shown)", "letters, digits and punctuation without spaces, or None")
        self._authorization = f"bearer {token}".encode() if token is not None else None
        self._hosts = None if hosts is None else {_host(host) for host in _several("allowed_hosts", hosts)}
        self._origins = frozenset(_origin(origin) for origin in _several("allowed_origins", origins))

    @property
    def has_token(self) -> bool:
        """Whether a token is required."""
        return self._authorization is not None

    def allow_host(self, host: str) -> None:
        """Answer requests for this host name from now on. Addresses are always allowed."""
        if self._hosts is not None and not _is_address(host):
            self._hosts.add(_host(host))

    def check_host(self, request: Request) -> None:
        """Check that the request is for a host of ours. Raises :class:`Refusal` (403).

        A request without a host does not come from a browser, and passes.
        """
        said = request.headers.get("host", "")
        if not said or self._hosts is None:
            return
        found = _AUTHORITY.fullmatch(said)
        name = found[1].lower().rstrip(".") if found else ""
        if name in self._hosts or _is_address(name):
            return
        advice = f"--allowed-host {name if _HOST.fullmatch(name) else 'NAME'}"
        raise Refusal(
            403,
            f"This server is not configured for the host {said!r}: use its address, or add the name to allowed_hosts "
            f"(resumable serve {advice}).",
        )

    def check_origin(self, request: Request) -> None:
        """Check that the upload does not come from a page of another site. Raises :class:`Refusal` (403)."""
        problem = self.origin_problem(request)
        if problem is not None:
            raise Refusal(403, problem)

    def origin_problem(self, request: Request) -> str | None:
        """Return why the page that sends the request may not upload, and what would allow it; None if it may."""
        origin = request.headers.get("origin")
        if origin is None or origin in self._origins:
            return None
        authority = origin.partition("://")[2]
        if authority and authority.lower() == request.headers.get("host", "").lower():
            return None
        if origin == "null":
            return "Pages without an origin may not upload to this server: open the page from a web server."
        advice = f"--allowed-origin {origin if _ORIGIN.fullmatch(origin) else 'ORIGIN'}"
        return (
            f"Pages of {origin!r} may not upload to this server: add the origin to allowed_origins "
            f"(resumable serve {advice})."
        )

    def check_token(self, request: Request) -> None:
        """Check the token, in constant time. Raises :class:`Refusal` (401)."""
        if self._authorization is None:
            return
        said = request.headers.get("authorization", "")
        scheme, space, token = said.partition(" ")
        given = f"{scheme.lower()}{space}{token.strip()}".encode("utf-8", "surrogateescape")
        if hmac.compare_digest(given, self._authorization):
            return
        if scheme.lower() == "bearer":
            raise Refusal(401, "The token is wrong: send the token that this server was started with.", _CHALLENGE)
        problem = "The token is missing" if not said else "The credentials are not a token"
        raise Refusal(401, f"{problem}: send the header Authorization: Bearer TOKEN.", _CHALLENGE)

    def answer_other_method(self, request: Request, methods: Iterable[str]) -> Response:
        """Answer a browser that asks whether a page of an allowed origin may send a request with one of these methods.

        Raises :class:`Refusal` (405) for other origins, and for other requests with a method that is not allowed.
        Source: the CORS protocol of the Fetch standard.
        """
        allowed = ", ".join(methods)
        asks = request.method == "OPTIONS"
        if not asks or request.headers.get("origin") not in self._origins:
            problem = self.origin_problem(request) if asks else None
            sentence = problem or f"{request.method!r} is not allowed here: use one of {allowed}."
            raise Refusal(405, sentence, ("Allow", allowed))
        headers = [
            ("Access-Control-Allow-Methods", allowed),
            ("Access-Control-Max-Age", str(_PREFLIGHT_SECONDS)),
        ]
        wanted = request.headers.get("access-control-request-headers", "")
        if _TOKENS.fullmatch(wanted):
            headers.append(("Access-Control-Allow-Headers", wanted))
        return Response(204, headers=tuple(headers))

    def headers(self, request: Request) -> tuple[tuple[str, str], ...]:
        """Return the headers that let a page of an allowed origin read the answer, but never with its cookies."""
        if not self._origins:
            return ()
        origin = request.headers.get("origin")
        if origin not in self._origins:
            return (("Vary", "Origin"),)
        return (
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", _EXPOSED),
            ("Vary", "Origin"),
        )


def _several(option: str, values: Iterable[str]) -> Iterable[str]:
    if isinstance(values, str):
        raise OptionError(option, values, "a list of strings, not one string")
    return values


def _host(host: str) -> str:
    if not _HOST.fullmatch(host):
        raise OptionError("allowed_hosts", host, "host names without scheme, port and wildcards")
    return host.lower().rstrip(".")


def _origin(origin: str) -> str:
    if not _ORIGIN.fullmatch(origin):
        raise OptionError("allowed_origins", origin, "complete origins in lower case, such as 'https://example.org'")
    return origin


@lru_cache(maxsize=16)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
