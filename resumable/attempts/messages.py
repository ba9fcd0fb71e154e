"""The words of errors: what was tried, on what, what came back, what to do.

No word of a query, of credentials in a URL, or of a header is in them, because those may be secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import urljoin, urlsplit

from ..protocol.acceptance import summary
from ..transport.base import Reply

__all__ = ["describe_response", "may_follow", "origin", "redacted", "redirect_target"]

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def origin(url: str) -> str:
    """Scheme, host and port in one spelling; empty where it is no http:// or https:// URL, nor one like
    http+unix://."""
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
    """The URL, which is one, as it may be shown: its origin and path."""
    return f"{origin(url)}{urlsplit(url).path}"


def redirect_target(url: str, reply: Reply) -> str:
    """The URL to which a redirect from ``url`` leads; empty where it leads nowhere.

    Within one origin it has the credentials that ``url`` has, because no server repeats them.
    """
    location = reply.headers.get("location", "")
    try:
        there = urlsplit(urljoin(url, location)) if location else None
    except ValueError:
        return ""
    if there is None:
        return ""
    credentials, at, _ = urlsplit(url).netloc.rpartition("@")
    if at and "@" not in there.netloc and origin(there.geturl()) == origin(url):
        there = there._replace(netloc=f"{credentials}@{there.netloc}")
    return there.geturl()


def may_follow(here: str, there: str, origins: Iterable[str]) -> bool:
    """Whether a request may go on from one URL to another: within one origin, or to one of those given."""
    place = origin(there)
    return place != "" and place in (origin(here), *map(origin, origins))


def describe_response(method: str, url: str, reply: Reply, reason: str | None = None, *, quoted: bool = False) -> str:
    """What was tried and what came back, with the beginning of what the server said unless the reason has it."""
    said = "" if quoted else summary(reply.text)
    text = f"{method} {redacted(url)} → {reply.status}"
    if reason:
        text += f", {reason}"
    return f"{text} {json.dumps(said, ensure_ascii=False)}" if said else text
