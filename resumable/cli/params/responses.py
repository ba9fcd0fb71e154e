"""The flags that decide which answers count as success: ``--accept`` and ``--reject``."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import click

from .command import SERVER, Option
from .types import usage_errors

__all__ = ["ResponsePattern", "accept_response", "pattern", "response_flags"]


class ResponsePattern(NamedTuple):
    """Answers with this status (None: any that counts as success) in whose body the expression is found."""

    status: int | None
    expression: re.Pattern[str]

    def matches(self, response: Any) -> bool:
        """Return whether the answer is one of them."""
        return self.status in (None, response.status) and self.expression.search(response.text) is not None


@usage_errors
def pattern(text: str) -> ResponsePattern:
    """Read ``STATUS:PATTERN``, for example ``200:stored``."""
    status, colon, expression = text.partition(":")
    if not colon or not (status == "*" or re.fullmatch("[1-5][0-9][0-9]", status, re.ASCII)):
        raise ValueError(f"{text!r} does not begin with a status and a colon; write it as 200:PATTERN or *:PATTERN")
    try:
        return ResponsePattern(None if status == "*" else int(status), re.compile(expression))
    except re.error as error:
        raise ValueError(f"{expression!r} is not a regular expression: {error}") from None


def response_flags() -> list[Option]:
    """Return the two flags."""
    return [
        Option(
            "--accept",
            type=pattern,
            multiple=True,
            metavar="STATUS:PATTERN",
            section=SERVER,
            help="Count a chunk as stored if it is answered with this status (* for any of --success-statuses) and the "
            "regular expression is found in the body, whatever else it says. May be given several times.",
        ),
        Option(
            "--reject",
            type=pattern,
            multiple=True,
            metavar="STATUS:PATTERN",
            section=SERVER,
            help="Count a chunk as refused if it is answered like this, even if --accept matches. May be given several "
            "times.",
        ),
    ]


def accept_response(
    accept: Sequence[ResponsePattern], reject: Sequence[ResponsePattern], success: Collection[int]
) -> Callable[[Any], bool | None] | None:
    """Return the hook of this name that the flags stand for, or None without any.

    Raises UsageError for a status that is not among those of success: such an answer is not asked about.
    """
    for given in (*accept, *reject):
        if given.status is not None and given.status not in success:
            statuses = ",".join(map(str, [*success, given.status]))
            raise click.UsageError(
                f"an answer with status {given.status} does not count as success, so --accept and --reject do not "
                f"decide about it; --success-statuses {statuses} would let them"
            )

    def decide(response: Any) -> bool | None:
        if any(each.matches(response) for each in reject):
            return False
        return True if any(each.matches(response) for each in accept) else None

    return decide if accept or reject else None
