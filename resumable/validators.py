"""Checks of option values: for each kind a function that normalises or refuses a value, and words for what it takes."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "Invalid",
    "Validator",
    "checksum",
    "deliver",
    "flag",
    "headers",
    "hook",
    "integer",
    "integer_or",
    "interval",
    "is_async",
    "limit",
    "mapping",
    "method",
    "name_or",
    "one_of",
    "origins",
    "part",
    "plugins",
    "seconds",
    "statuses",
    "text",
    "timeout",
    "types",
    "url",
    "with_method",
    "zero_for_none",
]

Validator = tuple[Callable[[Any], Any], str]
"""The function, which raises :class:`Invalid`, TypeError or ValueError for a value that is not allowed, and the words
that follow "NAME must be"."""

_LONGEST_LIMIT = (2**31 - 1) // 1000
"""Seconds (24 days) that a socket can be told to wait at most; its limit counts milliseconds."""
_NAME = re.compile("[a-z][a-z0-9_-]{0,14}")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class Invalid(Exception):
    """A value is not allowed. Its text, if it has one, says what is."""


def _unchanged(holds: Callable[[Any], bool], allowed: str) -> Validator:
    """Take as they are the values for which this holds."""

    def check(value: Any) -> Any:
        if not holds(value):
            raise Invalid
        return value

    return check, allowed


def integer(least: int, *, optional: bool = False) -> Validator:
    """Check for an integer that is not less than ``least``."""

    def check(value: Any) -> Any:
        if optional and value is None:
            return None
        if isinstance(value, str) and value.isascii() and value.isdecimal():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise Invalid
        return value

    return check, f"an integer ≥ {least}" + (" or None" if optional else "")


def integer_or(word: str, least: int) -> Validator:
    """Check for an integer that is not less than ``least``, or for the word."""
    number, allowed = integer(least)
    return lambda value: value if value == word else number(value), f"{allowed} or {word!r}"


def seconds(*, optional: bool = False) -> Validator:
    """Check for a time in seconds."""

    def check(value: Any) -> Any:
        if optional and value is None:
            return None
        if isinstance(value, str) and value.isascii():
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= sys.float_info.max:
            raise Invalid
        return value

    return check, "a number of seconds ≥ 0" + (" or None" if optional else "")


def zero_for_none(kind: Validator) -> Validator:
    """Take None as well, and make it 0, as JavaScript does with null."""
    check, allowed = kind
    return lambda value: 0 if value is None else check(value), allowed


def interval() -> Validator:
    """Check for the time before a retry."""
    number = seconds(optional=True)[0]
    allowed = "a number of seconds ≥ 0, a callable(attempt) that returns one, or None"
    return lambda value: value if _is_hook(value) else number(value), allowed


def limit() -> Validator:
    """Check for a time limit in seconds; 0 means none, as in resumable.js."""
    number = seconds(optional=True)[0]

    def check(value: Any) -> Any:
        within = number(value)
        return min(within, _LONGEST_LIMIT) if within else None

    return check, "a number of seconds (None or 0: no limit)"


def timeout() -> Validator:
    """Check for two time limits, for connecting and for reading."""
    within = limit()[0]

    def check(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            if len(value) != 2:
                raise Invalid
            return within(value[0]), within(value[1])
        return within(value), within(value)

    return check, "a number of seconds or a pair (connect, read) of them (None or 0: no limit)"


def flag() -> Validator:
    """Check for True or False."""

    def check(value: Any) -> Any:
        if not isinstance(value, int) or value not in (0, 1):
            raise Invalid
        return bool(value)

    return check, "True or False"


def one_of(*values: Any) -> Validator:
    """Check for one of these values."""
    return _unchanged(lambda value: value in values, " or ".join(", ".join(map(repr, values)).rsplit(", ", 1)))


def name_or(*values: Any) -> Validator:
    """Check for a name in lower case, or for None; ``values`` are examples to be shown."""

    def holds(value: Any) -> bool:
        return value is None or (isinstance(value, str) and _NAME.fullmatch(value) is not None)

    return _unchanged(holds, ", ".join(map(repr, values)) + ", another name, or None")


def text(*, optional: bool = False, default: str | None = None) -> Validator:
    """Check for text; if it is optional, an empty or false value becomes None. None becomes the ``default``."""

    def check(value: Any) -> Any:
        if optional and not value:
            return None
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise Invalid
        return value

    return check, "a string" + (", or None to omit the parameter" if optional else "")


def method() -> Validator:
    """Check for the name of an HTTP method, and make it upper-case."""

    def check(value: Any) -> Any:
        if not isinstance(value, str) or not value.isascii() or not value.isalpha():
            raise Invalid
        return value.upper()

    return check, "the name of an HTTP method such as 'PUT'"


def is_async(value: Any) -> bool:
    """Return whether calling this returns a coroutine or an asynchronous generator instead of a value."""
    while isinstance(value, partial):
        value = value.func
    called = value if inspect.isroutine(value) or isinstance(value, type) else getattr(value, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)


def _is_hook(value: Any) -> bool:
    """Return whether this can be called. Raises Invalid for what is async, because workers need the result."""
    if callable(value) and is_async(value):
        raise Invalid("a callable that is not async, because a worker waits for its result")
    return callable(value)


def hook() -> Validator:
    """Check for a callable that is not async."""
    return _unchanged(lambda value: value is None or _is_hook(value), "a callable or None")


def mapping() -> Validator:
    """Check for extra parameters."""

    def check(value: Any) -> Any:
        if value is None:
            return MappingProxyType({})
        if _is_hook(value):
            return value
        if not isinstance(value, Mapping):
            raise Invalid
        return MappingProxyType(dict(value))

    return check, "a mapping, or a callable(file, chunk) that returns one"


def headers() -> Validator:
    """Check for extra headers."""
    pairs = mapping()[0]

    def check(value: Any) -> Any:
        headers = pairs(value)
        for line in () if callable(headers) else headers.items():
            for part in line:
                text = part.decode("latin-1") if isinstance(part, bytes) else str(part)
                text.encode("latin-1")
                if "\r" in text or "\n" in text:
                    raise Invalid
            name = line[0].decode("latin-1") if isinstance(line[0], bytes) else str(line[0])
            if not _HEADER_NAME.fullmatch(name):
                raise Invalid
        return headers

    return (
        check,
        "a mapping of names to Latin-1 text without line breaks, or a callable(file, chunk) that returns one",
    )


def url(*, optional: bool = False) -> Validator:
    """Check for a URL; if it is optional, a false value or "/" becomes None."""

    def check(value: Any) -> Any:
        if optional and (not value or value == "/"):
            return None
        if _is_hook(value):
            return value
        if not isinstance(value, str):
            raise Invalid
        try:
            parts = urlsplit(value)
            parts.port  # noqa: B018 (reading it is what checks it)
        except ValueError:
            raise Invalid from None
        if parts.scheme.partition("+")[0] not in ("http", "https") or not parts.hostname:
            raise Invalid
        if " " in parts.netloc or any(character < " " or "\ud800" <= character <= "\udfff" for character in value):
            raise Invalid
        return value

    choices = ["an http:// or https:// URL", "a callable(params)"] + ["None"] * optional
    return check, ", ".join(choices[:-1]) + f", or {choices[-1]}"


def statuses() -> Validator:
    """Check for a series of HTTP statuses."""

    def check(value: Any) -> Any:
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise Invalid
        statuses = tuple(int(s) if isinstance(s, str) and s.isascii() and s.isdecimal() else s for s in value)
        if any(isinstance(s, bool) or not isinstance(s, int) or not 100 <= s <= 599 for s in statuses):
            raise Invalid
        return statuses

    return check, "a sequence of HTTP statuses from 100 to 599"


def types() -> Validator:
    """Check for extensions and MIME types."""

    def check(value: Any) -> Any:
        types = (value,) if isinstance(value, str) else tuple(value or ())
        if any(not isinstance(item, str) for item in types):
            raise Invalid
        return types

    return check, "a sequence of extensions ('txt') and MIME types ('image/*')"


def origins() -> Validator:
    """Check for the origins that redirects may lead to."""
    target = url()[0]

    def check(value: Any) -> Any:
        origins = (value,) if isinstance(value, str) else tuple(value or ())
        for origin in origins:
            if not isinstance(origin, str) or target(origin).rstrip("/").count("/") != 2 or set("@?#") & set(origin):
                raise Invalid
        return tuple(origin.rstrip("/").lower() for origin in origins)

    return check, "a sequence of origins such as 'https://host:8443'"


def part() -> Validator:
    """Check for the number of a part and how many parts there are."""

    def check(value: Any) -> Any:
        if value is None:
            return None
        number, count = value
        if not (type(number) is type(count) is int and 1 <= number <= count):
            raise Invalid
        return number, count

    return check, "a pair of integers (number, count), with 1 <= number <= count, or None"


def deliver() -> Validator:
    """Check for the way in which handlers are called."""
    return _unchanged(
        lambda value: value in (None, "manual", "thread") or _is_hook(value),
        "None, 'thread', 'manual', or a callable(function) that calls the function on your thread",
    )


def checksum() -> Validator:
    """Check for a hash of hashlib, and make its name hashlib's own: ``sha256`` for ``SHA-256`` and for True."""

    def check(value: Any) -> Any:
        if value in (None, False):
            return None
        if value is True:
            return "sha256"
        if not isinstance(value, str):
            raise Invalid
        name = value.lower()
        for spelling in (name, name.replace("-", "_"), name.replace("-", "")):
            # Some that are listed are not there, because the system leaves them out: ValueError.
            if spelling in hashlib.algorithms_available and hashlib.new(spelling, usedforsecurity=False).digest_size:
                return spelling
        raise Invalid

    return check, "the name of a hash in hashlib with a fixed length, such as 'sha256', or None"


def with_method(method: str, allowed: str, *, factory: bool = False) -> Validator:
    """Check for an object with a method, or, with ``factory``, a callable that makes one."""

    def holds(value: Any) -> bool:
        return value is None or callable(getattr(value, method, None)) or (factory and callable(value))

    return _unchanged(holds, allowed + ("," if factory else "") + " or None")


def plugins() -> Validator:
    """Check for plugins and their names."""

    def check(value: Any) -> Any:
        if isinstance(value, str):
            if value != "installed":
                raise Invalid
            return value
        return tuple(value or ())

    return check, "a sequence of plugins and names of installed ones, or 'installed' for all of these"
