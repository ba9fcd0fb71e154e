"""Read the head of a request that is as plain as nearly all of them, in a third of the time that parsing any other
takes."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["PlainHead", "read_plain_head"]

# A path without escapes, which does not look like the name of another host, and a query.
_LINE = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE) ((/(?!/)[!\"$&->@-~]*)(?:\?([!\"$-~]*))?) HTTP/1\.1")
_NAME = re.compile(r"[!#$%&'*+.^`|~0-9A-Za-z-]+")
_LONGEST_NAME = 64
_LENGTH = re.compile("[0-9]{1,19}")
_LENGTH_KEY = "CONTENT_LENGTH"
# Those that say how the body is sent.
_NOT_PLAIN = ("expect", "transfer-encoding")


class PlainHead(NamedTuple):
    """What a head says: variables for the environment of WSGI, and the length of the body that follows."""

    variables: dict[str, str]
    length: int


def read_plain_head(head: bytes, most: int) -> PlainHead | None:
    """Return what a head says, up to and with the empty line; None if it is not plain, or malformed.

    A plain one has each of at most ``most`` fields once, in printable characters, a Host, no escapes in its path, and
    asks for nothing but an answer on a connection that is kept.
    """
    lines = head.decode("latin-1").split("\r\n")
    line = _LINE.fullmatch(lines[0])
    if line is None or len(lines) > most + 3 or lines[-2:] != ["", ""] or not "".join(lines).isprintable():
        return None
    method, uri, path, query = line.groups("")
    variables = {"REQUEST_METHOD": method, "REQUEST_URI": uri, "PATH_INFO": path, "QUERY_STRING": query}
    for field in lines[1:-2]:
        name, colon, value = field.partition(":")
        key = _key(name) if len(name) <= _LONGEST_NAME else ""
        if not key or not colon or key in variables:
            return None
        variables[key] = value.strip(" ")
    length = variables.get(_LENGTH_KEY, "0")
    if (
        "HTTP_HOST" not in variables
        or variables.get("HTTP_CONNECTION", "keep-alive").lower() != "keep-alive"
        or not _LENGTH.fullmatch(length)
    ):
        return None
    return PlainHead(variables, int(length))


@lru_cache(maxsize=256)
def _key(name: str) -> str:
    """Return the variable of the environment that a header field becomes; an empty string if it is not plain."""
    if not _NAME.fullmatch(name) or name.lower() in _NOT_PLAIN:
        return ""
    key = name.upper().replace("-", "_")
    return key if key in (_LENGTH_KEY, "CONTENT_TYPE") else f"HTTP_{key}"
