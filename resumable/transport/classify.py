"""Classify an exception on the way to the server: what it means in a sentence, and whether it can pass."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from ..errors import redact_url
from ..tracebacks import showable
from .base import (
    NetworkFailure,
    SourceFailure,
    Stopped,
    TLSFailure,
)

__all__ = [
    "is_broken",
    "is_of_network",
    "is_passing",
    "is_refused",
    "may_be_wrong_scheme",
    "network_failure",
    "own_failure",
    "own_words",
    "refusing_status",
    "type_and_words",
    "wrong_scheme",
]

_BROKEN = (
    http.client.RemoteDisconnected,
    ConnectionResetError,
    BrokenPipeError,
    ConnectionAbortedError,
    ssl.SSLEOFError,
)
_PLAIN_TEXT = frozenset({"HTTPS_PROXY_REQUEST", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "WRONG_VERSION_NUMBER"})
_NOT_TLS = frozenset(
    {
        "NO_PROTOCOLS_AVAILABLE",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "UNSUPPORTED_PROTOCOL",
    }
)
_UNREADABLE = {
    "NO_CERTIFICATE_OR_CRL_FOUND": "the file of certificates to trust has none in it",
    "KEY_VALUES_MISMATCH": "the key for the client certificate is that of another one",
    "PEM lib": "a file with a certificate or a key is damaged, or has none in it",
    "private key is encrypted": "the key for the client certificate is encrypted",
}
"""What is wrong with files on this side, by what the text of the exception has."""
_NO_ADDRESS = frozenset({"InvalidProxyURL", "InvalidSchema", "InvalidURL"})
"""What requests raises for a proxy that cannot be, once the URL of the target was found to be one."""
_TUNNEL = re.compile(r"Tunnel connection failed: ([0-9]{3})")
_MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    FileNotFoundError,
    ImportError,
    IsADirectoryError,
    LookupError,
    NameError,
    NotADirectoryError,
    NotImplementedError,
    PermissionError,
    TypeError,
    ValueError,
)
"""What wrong code raises, now and the next time, and not because of the network."""

_REFUSING = re.compile(r"too many ([0-9]{3}) error responses")
_VALUES = re.compile(r"""b?'(?:[^'\\]|\\.)*'|b?"(?:[^"\\]|\\.)*"| \([^()]*\)""")
_TOKEN = re.compile(r"""(["'(<]*)(.*?)(["')>:;,.]*)""")
_FILES = "check the files that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, or verify and cert of the session, name"
_ALERT = "\x15\x03"
"""How an alert of TLS begins, which a TLS port answers to plain HTTP."""


def is_broken(error: BaseException) -> bool:
    """Return whether the other side ended the connection."""
    return any(isinstance(link, _BROKEN) for link in _chain(error))


def is_refused(error: BaseException) -> bool:
    """Return whether nobody took the connection."""
    return any(isinstance(link, ConnectionRefusedError) for link in _chain(error))


def is_of_network(error: BaseException) -> bool:
    """Return whether it may be the fault of the network, and not of the hook or adapter that raised it."""
    library = type(error).__module__.partition(".")[0] in ("requests", "urllib3")
    of_network = library or isinstance(error, (OSError, http.client.HTTPException))
    return of_network and not isinstance(error, _MISTAKES)


def own_failure(error: BaseException) -> Stopped | SourceFailure | NetworkFailure | None:
    """Find the exception of this package that this one is or was caused by."""
    return next((link for link in _chain(error) if isinstance(link, (Stopped, SourceFailure, NetworkFailure))), None)


def refusing_status(error: BaseException) -> int | None:
    """Find the status because of which a retrying adapter gave up: it is only in its text."""
    found = next((found for link in _chain(error) if (found := _REFUSING.search(str(link)))), None)
    return None if found is None else int(found[1])


def own_words(error: BaseException, secrets: Collection[str] = ()) -> str:
    """Return the text of the exception without what may be secret: queries and credentials in URLs, values of
    headers."""
    text = str(showable(error)).partition("\n")[0]
    if "header" in text.lower():
        text = _VALUES.sub("…", text)
    for secret in secrets:
        text = text.replace(secret, "…")
    return " ".join(map(_without_secrets, text.split()))[:300]


def type_and_words(error: BaseException, secrets: Collection[str] = ()) -> str:
    """Return the type of the exception and its :func:`own_words`."""
    words = own_words(error, secrets)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def is_passing(status: int) -> bool:
    """Return whether a request that was answered with this status may succeed later."""
    return status >= 500 or status in (408, 425, 429)


def _without_secrets(token: str) -> str:
    if "://" not in token and not set("?@") & set(token):
        return token
    opening, url, closing = _TOKEN.fullmatch(token).groups()  # type: ignore[union-attr]
    return f"{opening}{redact_url(url).partition('?')[0].partition('#')[0]}{closing}"


def network_failure(
    error: Exception, url: str, proxy: str | None, *, begun: bool, secrets: Collection[str] = ()
) -> NetworkFailure:
    """Return the failure of a request to this URL, through this proxy; ``begun``: a byte of it had been written.

    Its text has none of the ``secrets``.
    """
    failure = error if isinstance(error, NetworkFailure) else _understood(error, url, proxy, secrets, begun=begun)
    failure.reached = begun
    return failure


def _understood(
    error: Exception, url: str, proxy: str | None, secrets: Collection[str], *, begun: bool
) -> NetworkFailure:
    links = list(_chain(error))
    failure = _tls_failure(links) or _unusable(error, secrets, begun=begun)
    if failure is not None:
        if proxy is not None and type(error).__name__ in _NO_ADDRESS:
            failure.hint = "check the proxy"
        return failure
    if proxy is not None:
        return _proxy_failure(links, _place(proxy), secrets, begun=begun)
    return _plain_failure(links, _place(url), secrets, begun=begun)


def _tls_failure(links: list[BaseException]) -> TLSFailure | None:
    for link in links:
        if isinstance(link, ssl.SSLCertVerificationError):
            return TLSFailure(
                f"the server's certificate is not trusted: {link.verify_message}",
                hint="give a requests.Session as session whose verify names the certificates to trust",
                untrusted=True,
            )
        if isinstance(link, ssl.SSLError) and link.reason in _PLAIN_TEXT:
            return wrong_scheme("https")
        if isinstance(link, ssl.SSLError) and link.reason in _NOT_TLS:
            return TLSFailure(
                f"no TLS connection is possible with this server ({link.reason})",
                hint="check the TLS versions and certificates that it wants",
            )
        if isinstance(link, http.client.BadStatusLine) and str(link).startswith(_ALERT):
            return wrong_scheme("http")
        if isinstance(link, ssl.SSLError) or type(link).__name__ == "SSLError":
            why = next((words for mark, words in _UNREADABLE.items() if mark in str(link)), None)
            if why is not None:
                return TLSFailure(f"no TLS connection is possible: {why}", hint=_FILES)
    return None


def wrong_scheme(scheme: str) -> TLSFailure:
    """Return the failure of a request whose URL has this scheme, to a server that speaks the other one."""
    if scheme == "https":
        return TLSFailure(
            "the server does not speak TLS here", hint="if plain HTTP is meant, use http:// in the target"
        )
    return TLSFailure("the server speaks TLS here", hint="use https:// in the target")


def may_be_wrong_scheme(error: BaseException, scheme: str) -> bool:
    """Return whether a new connection may have failed because the server speaks the other scheme: it was closed, or the
    handshake of TLS did not come to its end."""
    silent = any(isinstance(link, TimeoutError) and "handshake" in str(link) for link in _chain(error))
    return is_broken(error) or (scheme == "https" and silent)


def _unusable(error: Exception, secrets: Collection[str], *, begun: bool) -> NetworkFailure | None:
    """Return the failure of a request that can never be sent: bad URLs, names and headers are ValueErrors in requests,
    a missing file of certificates is an OSError without a number. The rest are mistakes in code of the user."""
    kind = type(error).__name__
    own = type_and_words(error, secrets)
    if kind == "UnrewindableBodyError":
        return NetworkFailure(f"the request cannot be sent once more: {own}", permanent=True)
    if begun or (kind == "InvalidHeader" and isinstance((*error.args, None)[0], Exception)):
        # Such a header is one of the server.
        return None
    if type(error) is OSError and error.errno is None:
        return NetworkFailure(f"the request cannot be sent: {own}", permanent=True)
    if isinstance(error, _MISTAKES):
        # Of a host that cannot be, requests may hear only from urllib3.
        nowhere = kind == "LocationParseError"
        by = "the request cannot be sent" if nowhere or isinstance(error, OSError) else "the requests.Session failed"
        return NetworkFailure(f"{by}: {own}", permanent=True, hint="check the target" if nowhere else None)
    return None


def _proxy_failure(links: list[BaseException], proxy: str, secrets: Collection[str], *, begun: bool) -> NetworkFailure:
    refused = next((found for link in links if (found := _TUNNEL.search(str(link)))), None)
    if refused is not None:
        status = int(refused[1])
        hint = None if status == 407 else "check whether the proxy allows connections to this host"
        said = f"the proxy {proxy} answered {status}"
        return NetworkFailure(said, permanent=not is_passing(status), status=status, hint=hint)
    plain = _plain_failure(links, proxy, secrets, begun=begun)
    where = f"through the proxy {proxy}" if begun else f"on the way to the proxy {proxy}"
    return NetworkFailure(f"{plain} ({where})", unreachable=plain.unreachable, hint=plain.hint and "check the proxy")


def _plain_failure(links: list[BaseException], place: str, secrets: Collection[str], *, begun: bool) -> NetworkFailure:
    for link in links:
        if isinstance(link, TimeoutError):
            return NetworkFailure(
                "the server did not answer in time" if begun else "no connection could be made in time"
            )
        if isinstance(link, socket.gaierror):
            return NetworkFailure(
                f"the host of {place} is unknown ({_words(link)})", unreachable=True, hint="check the target"
            )
        if isinstance(link, http.client.IncompleteRead):
            return NetworkFailure("the server's answer was cut short")
        if isinstance(link, http.client.UnknownProtocol):
            return NetworkFailure("the server's answer is not HTTP/1.1")
        if isinstance(link, http.client.BadStatusLine) and not isinstance(link, http.client.RemoteDisconnected):
            return NetworkFailure("the server's answer is not HTTP")
    for link in reversed(links):
        if isinstance(link, (http.client.HTTPException, ssl.SSLError)) or (isinstance(link, OSError) and link.errno):
            return NetworkFailure(_words(link))
    return NetworkFailure(type_and_words(links[0], secrets))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and everything that caused it, outermost first."""
    seen: set[int] = set()
    pending: list[BaseException] = [error]
    while pending:
        link = pending.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield showable(link)
        inner = [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
        pending.extend(item for item in inner if isinstance(item, BaseException))


def _words(error: BaseException) -> str:
    strerror = getattr(error, "strerror", None)
    return str(strerror) if strerror else (str(error).splitlines() or [""])[0][:300] or type(error).__name__


def _place(url: str) -> str:
    """Return the URL's scheme, host and port: no more of it may be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.scheme else url.rpartition("@")[2]
