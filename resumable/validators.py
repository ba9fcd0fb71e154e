"""What the options take: for each kind a function that normalises or refuses a value, and words for what it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "Invalid",
    "Validator",
    "deliver",
    "flag",
    "headers",
    "hook",
    "integer",
    "interval",
    "limit",
    "mapping",
    "method",
    "one_of",
    "origins",
    "plugins",
    "seconds",
    "statuses",
    "text",
    "timeout",
    "types",
    "url",
    "with_method",
]

Validator = tuple[Callable[[Any], Any], str]
"""The function, which raises :class:`Invalid`, TypeError or ValueError for what it does not take, and the words."""


class Invalid(Exception):
    """A check does not take the value."""


def integer(least: int, *, optional: bool = False) -> Validator:
    """A whole number, no less than ``least``."""

    def check(value: Any) -> Any:
        if optional and value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise Invalid
        return value

    return check, f"a whole number, {least} or more" + (", or None" if optional else "")


def seconds(*, optional: bool = False) -> Validator:
    """A time in seconds."""

    def check(value: Any) -> Any:
        if optional and value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
            raise Invalid
        return value

    return check, "seconds, 0 or more" + (", or None" if optional else "")


def interval() -> Validator:
    """The time before a retry."""
    number = seconds(optional=True)[0]
    return lambda value: value if callable(value) else number(value), "seconds, callable(attempt) -> seconds, or None"


def limit() -> Validator:
    """A time limit in seconds; 0 is resumable.js's word for none."""
    number = seconds(optional=True)[0]
    return lambda value: number(value) or None, "seconds, or None or 0 for no limit"


def timeout() -> Validator:
    """Two time limits, for connecting and for reading."""
    within = limit()[0]

    def check(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            if len(value) != 2:
                raise Invalid
            return within(value[0]), within(value[1])
        return within(value), within(value)

    return check, "seconds, (connect, read) in seconds, or None or 0 for no limit"


def flag() -> Validator:
    """True or False."""

    def check(value: Any) -> Any:
        if not isinstance(value, bool):
            raise Invalid
        return value

    return check, "True or False"


def one_of(*values: Any) -> Validator:
    """One of these values."""

    def check(value: Any) -> Any:
        if value not in values:
            raise Invalid
        return value

    return check, "one of " + ", ".join(repr(value) for value in values)


def text(*, optional: bool = False) -> Validator:
    """Text; where it is optional, what is empty leaves something out."""

    def check(value: Any) -> Any:
        if optional and not value:
            return None
        if not isinstance(value, str):
            raise Invalid
        return value

    return check, "text" + (", or None to leave the parameter out" if optional else "")


def method() -> Validator:
    """The name of an HTTP method, which is upper-case afterwards."""

    def check(value: Any) -> Any:
        if not isinstance(value, str) or not value.isascii() or not value.isalpha():
            raise Invalid
        return value.upper()

    return check, "the name of an HTTP method"


def hook() -> Validator:
    """Something to call."""

    def check(value: Any) -> Any:
        if value is not None and not callable(value):
            raise Invalid
        return value

    return check, "a callable, or None"


def mapping() -> Validator:
    """Extra parameters."""

    def check(value: Any) -> Any:
        if value is None:
            return MappingProxyType({})
        if callable(value):
            return value
        if not isinstance(value, Mapping):
            raise Invalid
        return MappingProxyType(dict(value))

    return check, "a mapping, or callable(file, chunk) -> mapping"


def headers() -> Validator:
    """Extra headers."""
    pairs = mapping()[0]

    def check(value: Any) -> Any:
        headers = pairs(value)
        for line in () if callable(headers) else headers.items():
            for part in line:
                text = part.decode("latin-1") if isinstance(part, bytes) else str(part)
                text.encode("latin-1")
                if "\r" in text or "\n" in text:
                    raise Invalid
        return headers

    return check, "a mapping to text in Latin-1 without line breaks, or callable(file, chunk) -> mapping"


def url(*, optional: bool = False) -> Validator:
    """Where requests go."""

    def check(value: Any) -> Any:
        if (optional and value is None) or callable(value):
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
        if " " in parts.netloc or any(character < " " for character in value):
            raise Invalid
        return value

    return check, "an http:// or https:// URL, or callable(params) -> URL" + (", or None" if optional else "")


def statuses() -> Validator:
    """A set of HTTP statuses."""

    def check(value: Any) -> Any:
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise Invalid
        statuses = tuple(value)
        if any(isinstance(s, bool) or not isinstance(s, int) or not 100 <= s <= 599 for s in statuses):
            raise Invalid
        return statuses

    return check, "HTTP statuses, each 100 to 599"


def types() -> Validator:
    """Extensions and MIME types."""

    def check(value: Any) -> Any:
        types = (value,) if isinstance(value, str) else tuple(value or ())
        if any(not isinstance(item, str) for item in types):
            raise Invalid
        return types

    return check, "extensions ('txt', '.txt') or MIME types ('image/*')"


def origins() -> Validator:
    """Where redirects may lead."""
    target = url()[0]

    def check(value: Any) -> Any:
        origins = (value,) if isinstance(value, str) else tuple(value or ())
        for origin in origins:
            if not isinstance(origin, str) or target(origin).rstrip("/").count("/") != 2 or set("@?#") & set(origin):
                raise Invalid
        return tuple(origin.rstrip("/").lower() for origin in origins)

    return check, "origins ('https://host' or 'https://host:8443')"


def deliver() -> Validator:
    """Who calls the handlers."""

    def check(value: Any) -> Any:
        if value is not None and value != "manual" and not callable(value):
            raise Invalid
        return value

    return check, "None for an own thread, 'manual', or callable(function) that calls it on your thread"


def with_method(method: str, allowed: str, *, factory: bool = False) -> Validator:
    """An object that can do something."""

    def check(value: Any) -> Any:
        usable = callable(getattr(value, method, None)) or (factory and callable(value))
        if value is not None and not usable:
            raise Invalid
        return value

    return check, allowed + ", or None"


def plugins() -> Validator:
    """What is attached to a session."""

    def check(value: Any) -> Any:
        if isinstance(value, str):
            if value != "installed":
                raise Invalid
            return value
        return tuple(value or ())

    return check, "a sequence of plugin objects, or 'installed'"
