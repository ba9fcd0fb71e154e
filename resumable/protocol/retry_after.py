"""Parse ``Retry-After`` (RFC 9110, 10.2.3), also as servers and proxies write it that do not follow the standard."""

from __future__ import annotations

import datetime
import email.utils
import re

__all__ = ["parse_http_date", "parse_retry_after"]

_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?")
_BETWEEN = re.compile(r",(?!\s*[0-9]{1,2}[\s-]+[A-Za-z])")
"""A comma between two values, and not the one behind the weekday of a date."""


def parse_http_date(value: str) -> float | None:
    """Return the time, in seconds since the epoch, of a date in any of HTTP's three forms; None if it is none."""
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    # The dates of HTTP are in UTC, also if they do not say so.
    return (date if date.tzinfo else date.replace(tzinfo=datetime.timezone.utc)).timestamp()


def parse_retry_after(value: str, now: float) -> float | None:
    """Return the seconds from ``now`` (since the epoch) that the server wants us to wait, 0 or more; None
    if it does not say.

    A header that is there twice, or a list, counts as its longest wait. Fractions of seconds are allowed, as many
    servers write them. Anything else says nothing.
    """
    waits = []
    for part in _BETWEEN.split(value):
        text = part.strip()
        if _SECONDS.fullmatch(text):
            waits.append(float(text))
        elif (date := parse_http_date(text)) is not None:
            waits.append(max(date - now, 0.0))
    return max(waits, default=None)
