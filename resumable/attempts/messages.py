"""Put into words what was sent where and what came back.

No word of a query, of credentials in a URL, or of a header is in them, because those may be secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, urljoin, urlsplit

from ..protocol.acceptance import quoted as in_quotes
from ..protocol.pages import summary
from ..transport.base import Reply

__all__ = ["describe_response", "is_log_in", "may_follow", "origin", "redacted", "redirect_target"]

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_OF_PATHS = "".join(map(chr, range(0x21, 0x7F)))
_LOG_IN = re.compile(r"(?:log|sign)[-_]?(?:in|on)\b|/(?:auth|oauth2?|saml2?|sso|cas|accounts)(?:/|\Z)", re.IGNORECASE)


def origin(url: str) -> str:
    """Return scheme, host and port in one spelling; empty if it is no http:// or https:// URL, nor one like
    http+unix://."""
    # Every request has a query of its own, and few go elsewhere.
    return _origin(url.partition("?")[0])


@lru_cache(maxsize=64)
def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme.partition("+")[0] not in _DEFAULT_PORTS or not parts.netloc:
        return ""
    place = parts.netloc.rpartition("@")[2].lower()
    if not place.isascii():
        try:
            place = place.encode("idna").decode()
        except UnicodeError:
            return ""
    return f"{parts.scheme}://{place.removesuffix(_DEFAULT_PORTS.get(parts.scheme, ''))}"


def redacted(url: str) -> str:
    """Return what may be shown of the URL: its origin and path, without control characters."""
    return f"{origin(url)}{quote(urlsplit(url).path, safe=_OF_PATHS)}"


def redirect_target(url: str, reply: Reply) -> str:
    """Return the URL that a redirect from ``url`` leads to; empty if it leads nowhere, or not to http(s)://.

    Within one origin it has the credentials that ``url`` has, because no server repeats them.
    """
    location = reply.headers.get("location", "")
    try:
        there = urlsplit(urljoin(url, location)) if location else None
    except ValueError:
        return ""
    if there is None or not origin(there.geturl()):
        return ""
    credentials, at, _ = urlsplit(url).netloc.rpartition("@")
    if at and "@" not in there.netloc and origin(there.geturl()) == origin(url):
        there = there._replace(netloc=f"{credentials}@{there.netloc}")
    return there.geturl()


def may_follow(here: str, there: str, origins: Iterable[str]) -> bool:
    """Return whether a redirect may be followed: within one origin, or to one of those given."""
    place = origin(there)
    return place != "" and place in (origin(here), *map(origin, origins))


def is_log_in(url: str) -> bool:
    """Return whether the URL looks like that of a log-in page."""
    return _LOG_IN.search(urlsplit(url).path) is not None


def describe_response(method: str, url: str, reply: Reply, reason: str | None = None, *, quoted: bool = False) -> str:
    """Return what was sent and what came back, with the beginning of what the server said unless the reason has it."""
    said = "" if quoted else summary(reply.text)
    text = f"{method} {redacted(url)} → {reply.status}"
    if reason:
        text += f", {reason}"
    return f"{text} {in_quotes(said)}" if said else text
