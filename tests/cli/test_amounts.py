"""Sizes and times are read and written as people do."""

from __future__ import annotations

import pytest

from resumable.cli.output import units


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("4096", 4096), ("1k", 1024), ("8M", 8 << 20), ("8 MiB", 8 << 20), ("1.5G", 3 << 29),
        ("2tb", 2 << 40), ("7b", 7), (" 7 ", 7), (str(2**53 + 1), 2**53 + 1), ("0.001K", 1),
    ],
)  # fmt: skip
def test_a_size_is_read(text: str, value: int) -> None:
    assert units.parse_size(text) == value


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5.5", "8X", "1e3", "٣", "9" * 400])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("1.5s", 1.5), ("250ms", 0.25), ("5m", 300), ("5min", 300), ("2h", 7200), ("1d", 86400)],
)
def test_a_time_is_read(text: str, value: float) -> None:
    assert units.parse_duration(text) == value


@pytest.mark.parametrize("text", ["", "s", "-1", "5 weeks", "soon"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1023, "1023 B"), (1536, "1.50 KiB"), (1 << 20, "1.00 MiB"),
        (12.3 * 2**20, "12.3 MiB"), (999 * 2**20, "999 MiB"), (1000 * 2**20, "0.98 GiB"), (2**70, "1024 EiB"),
    ],
)  # fmt: skip
def test_a_size_is_written_in_eight_characters(count: float, text: str) -> None:
    assert units.size(count) == text
    assert len(text) <= 8


@pytest.mark.parametrize(
    ("count", "text"), [(512 << 10, "512K"), (3 << 20, "3M"), (1 << 30, "1G"), (1000, "1000"), (1, "1"), (0, "0")]
)
def test_a_size_is_typed_as_it_is_read(count: int, text: str) -> None:
    assert units.size_typed(count) == text
    assert units.parse_size(text) == count


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-:--"), (0, "0:00"), (65, "1:05"), (3723, "1:02:03"), (400_000, "-:--")]
)
def test_what_remains_is_written_as_a_clock_does(seconds: float | None, text: str) -> None:
    assert units.remaining(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.04, "0.1 s"), (0.26, "0.3 s"), (1.25, "1.2 s"), (12.4, "12 s"), (89, "89 s"), (300, "5 min"),
        (3600, "1 h"), (5400, "1 h 30 min"),
    ],
)  # fmt: skip
def test_a_time_is_written_in_words(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text
