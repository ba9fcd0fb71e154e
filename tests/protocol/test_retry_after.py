"""What Retry-After says, also when it says it badly."""

from __future__ import annotations

import pytest
from hypothesis import given
from support.texts import texts

from resumable.protocol.retry_after import parse_http_date, parse_retry_after

NOW = 784111777.0
"""Sun, 06 Nov 1994 08:49:37 GMT."""


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("1.", 1.0),
        ("9" * 400, float("inf")),
        ("5, 10", 10.0),
        ("10,5", 10.0),
        ("5, soon", 5.0),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sunday, 06-Nov-94 08:49:47 GMT", 10.0),
        ("Sun Nov  6 08:49:47 1994", 10.0),
        ("Sun, 06 Nov 1994 10:49:47 +0200", 10.0),
        ("5, Sun, 06 Nov 1994 08:49:57 GMT", 20.0),
        ("Sun, 06 Nov 1994 08:49:47 GMT, Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 252618189022.0),
        ("", None),
        (",", None),
        ("soon", None),
        ("-5", None),
        ("+5", None),
        ("1e9", None),
        ("10^21", None),
        ("0x10", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
        ("120 seconds", None),
        ("5;q=1", None),
        ("2026-01-01T00:00:00Z", None),
        ("Wed, 99 Foo 2026", None),
    ],
)
def test_what_a_value_says(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(texts())
def test_whatever_a_server_says_is_no_time_or_a_time_to_come(value: str) -> None:
    found = parse_retry_after(value, NOW)
    assert found is None or found >= 0


def test_a_date_without_a_zone_is_in_utc() -> None:
    assert parse_http_date("Sun Nov  6 08:49:37 1994") == NOW
    assert parse_http_date("Sun, 06 Nov 1994 08:49:37 -0000") == NOW
    assert parse_http_date("") is None
