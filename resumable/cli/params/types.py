"""The types of flags: sizes, times, lists of statuses, headers, parameters. A function reads each from text."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from ... import OptionError
from ...options import Options
from ...special_files import refuse_special_file
from ..output import units

__all__ = [
    "METAVARS",
    "duration",
    "header",
    "parameter",
    "port",
    "retries",
    "share",
    "size",
    "statuses",
    "timeout",
    "uploads",
    "usage_errors",
]

Value = TypeVar("Value")

_MOST_DIGITS = 18


def usage_errors(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """Turn the errors of the function into errors of usage."""

    @wraps(parse)
    def convert(text: str) -> Value:
        try:
            return parse(text)
        except OSError as error:
            raise click.BadParameter(f"{error.strerror or error}: {error.filename!r}") from None
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return convert


def _whole(digits: str) -> int:
    # Python has a limit of its own, and words for it that are about Python.
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"{digits!r} is too large a number; write one of at most {_MOST_DIGITS} digits")
    return int(digits)


@usage_errors
def timeout(text: str) -> float | tuple[float, ...]:
    """Read one time, or two: to connect, and of silence."""
    parts = tuple(units.parse_duration(part) for part in text.split(","))
    if len(parts) > 2:
        raise ValueError(f"{text!r} is neither one time nor two (to connect, and of silence)")
    return parts[0] if len(parts) == 1 else parts


@usage_errors
def retries(text: str) -> int | None:
    """Read a number, or ``unlimited`` as None."""
    if text.lower() == "unlimited":
        return None
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{text!r} is not a number; write one, or 'unlimited'")
    return _whole(text)


@usage_errors
def uploads(text: str) -> int | str:
    """Read a number, or ``auto``."""
    if text.lower() == "auto":
        return "auto"
    if not text.lstrip("-").isdecimal() or not text.isascii():
        raise ValueError(f"{text!r} is not a number; write one, or 'auto'")
    return _whole(text)


@usage_errors
def port(text: str | int) -> int:
    """Read the number of a port; 0 means any."""
    digits = str(text)
    if not digits.isascii() or not digits.isdigit() or len(digits) > 5 or int(digits) > 65535:
        raise ValueError(f"{digits!r} is not a port; write a number from 0 (any free port) to 65535")
    return int(digits)


@usage_errors
def share(text: str) -> tuple[int, int]:
    """Read ``2/8``."""
    number, slash, count = text.partition("/")
    numbers = slash and all(part.isascii() and part.isdecimal() for part in (number, count))
    if not numbers or not 1 <= _whole(number) <= _whole(count):
        raise ValueError(f"{text!r} is not a share; write the second of eight as 2/8")
    return int(number), int(count)


@usage_errors
def statuses(text: str) -> tuple[int, ...]:
    """Read ``200,201``, or nothing."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{text!r} is not a list of statuses; write them as 200,201")
    return tuple(map(_whole, parts))


@usage_errors
def header(text: str) -> dict[str, str]:
    """Read ``Name: value``, or ``@file`` with one per line. No error shows a value, which may be secret."""
    lines = _lines_of(text[1:]) if text.startswith("@") else [text]
    headers = {}
    for line in filter(str.strip, lines):
        name, colon, value = line.partition(":")
        if not colon or len(name.split()) != 1:
            raise ValueError("write a header as 'Name: value', or '@FILE' for a file of such lines")
        one = {name.strip(): value.strip()}
        try:
            Options.checked(headers=one)
        except OptionError:
            raise ValueError(f"the header {name.strip()!r} cannot be sent: it is not plain text in Latin-1") from None
        headers.update(one)
    return headers


def _lines_of(path: str) -> list[str]:
    refuse_special_file(path)
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path!r} is not a text in UTF-8") from None


@usage_errors
def parameter(text: str) -> dict[str, str]:
    """Read ``name=value``."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError("write a parameter as name=value")
    return {name: value}


size = usage_errors(units.parse_size)
duration = usage_errors(units.parse_duration)

METAVARS: dict[Any, str] = {
    duration: "TIME",
    header: "HEADER",
    int: "N",
    parameter: "NAME=VALUE",
    retries: "N",
    share: "K/N",
    size: "SIZE",
    statuses: "STATUS,…",
    timeout: "TIME[,TIME]",
    uploads: "N",
}
"""What the help calls the value of a flag."""
