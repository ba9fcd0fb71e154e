"""Who may ask: the host that is asked for, the page that asks, and the token.

A browser on the same machine, or in the same network, carries requests of any page that is open in it to us. Three
things keep those out, and nothing of it relies on cookies, which are never looked at. The host has to be one of ours,
or an address, for a page that had its own name point to our address (DNS rebinding) asks under that name. An upload
that names an origin has to come from a page of ours, or from an origin that is allowed. And the token, where there is
one, has to be in a header that no page of others can send unasked.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Iterable

from ..errors import OptionError
from ..protocol.headers import CHUNK_SIZE_HEADER, FILE_HEADER, LIMIT_HEADER, SERVER_HEADER
from ..protocol.verdict import STORED_CHUNKS_HEADER
from .messages import Refusal, Request, Response

__all__ = ["LOCAL_HOSTS", "Access"]

LOCAL_HOSTS = ("localhost",)
"""The names under which everybody reaches his own machine. Addresses need not be listed."""

_AUTHORITY = re.compile(r"(\[[^]]*\]|[^:]*)(?::[0-9]*)?")
_HOST = re.compile(r"[A-Za-z0-9_.-]+")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._\[\]:-]+")
_TOKEN = re.compile(r"[!-~]+")
_TOKENS = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1024}")
_PREFLIGHT_SECONDS = 600
_EXPOSED = ", ".join((SERVER_HEADER, FILE_HEADER, STORED_CHUNKS_HEADER, LIMIT_HEADER, CHUNK_SIZE_HEADER, "Retry-After"))


class Access:
    """The checks. ``hosts`` is None for any; origins are compared whole, and there is no word for all of them."""

    def __init__(self, *, token: str | None, hosts: Iterable[str] | None, origins: Iterable[str]) -> None:
        if token is not None and not _TOKEN.fullmatch(token):
            raise OptionError("token", "(not shown)", "letters, digits and signs without spaces and line ends, or None")
        self._authorization = f"bearer {token}".encode() if token is not None else None
        self._hosts = None if hosts is None else {_host(host) for host in _several("allowed_hosts", hosts)}
        self._origins = frozenset(_origin(origin) for origin in _several("allowed_origins", origins))

    @property
    def has_token(self) -> bool:
        """Whether a token is asked for."""
        return self._authorization is not None

    def allow_host(self, host: str) -> None:
        """Requests under this name are answered from now on. An address need not be allowed."""
        if self._hosts is not None and not _is_address(host):
            self._hosts.add(_host(host))

    def check_host(self, request: Request) -> None:
        """The request is for a host of ours; a request that names none is not from a browser. Raises Refusal (403)."""
        said = request.headers.get("host", "")
        if not said or self._hosts is None:
            return
        found = _AUTHORITY.fullmatch(said)
        name = found[1].lower().rstrip(".") if found else ""
        if name not in self._hosts and not _is_address(name):
            raise Refusal(403, f"This server is not for the host {said!r}; its option allowed_hosts says for which.")

    def check_origin(self, request: Request) -> None:
        """The upload does not come from a page of others. Raises Refusal (403)."""
        origin = request.headers.get("origin")
        if origin is None or origin in self._origins:
            return
        authority = origin.partition("://")[2]
        if not authority or authority.lower() != request.headers.get("host", "").lower():
            raise Refusal(
                403, f"No upload from pages of {origin!r}; the server's option allowed_origins says from where."
            )

    def check_token(self, request: Request) -> None:
        """The request has the token, compared in constant time. Raises Refusal (401)."""
        if self._authorization is None:
            return
        scheme, space, token = request.headers.get("authorization", "").partition(" ")
        given = f"{scheme.lower()}{space}{token.strip()}".encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._authorization):
            raise Refusal(401, "The token is missing or wrong.", ("WWW-Authenticate", "Bearer"))

    def preflight(self, request: Request, methods: Iterable[str]) -> Response | None:
        """What a browser asks before it lets a page of an allowed origin ask; None for anybody else.

        Source: the CORS protocol of the Fetch standard.
        """
        if request.headers.get("origin") not in self._origins:
            return None
        headers = [
            ("Access-Control-Allow-Methods", ", ".join(methods)),
            ("Access-Control-Max-Age", str(_PREFLIGHT_SECONDS)),
        ]
        wanted = request.headers.get("access-control-request-headers", "")
        if _TOKENS.fullmatch(wanted):
            headers.append(("Access-Control-Allow-Headers", wanted))
        return Response(204, headers=tuple(headers))

    def shared(self, request: Request) -> tuple[tuple[str, str], ...]:
        """The headers with which a page of an allowed origin may read the answer. Never with its cookies."""
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
        raise OptionError(option, values, "a list of texts, not one text")
    return values


def _host(host: str) -> str:
    if not _HOST.fullmatch(host):
        raise OptionError("allowed_hosts", host, "names of hosts, without scheme, port and wildcards")
    return host.lower().rstrip(".")


def _origin(origin: str) -> str:
    if not _ORIGIN.fullmatch(origin):
        raise OptionError("allowed_origins", origin, "origins such as 'https://example.org', whole and in lower case")
    return origin


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
