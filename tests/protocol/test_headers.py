"""The headers that the two ends add for each other."""

from __future__ import annotations

import pytest

from resumable.protocol.headers import (
    SERVER_HEADER,
    FileStatus,
    format_file_status,
    from_receiver,
    parse_file_status,
    parse_max_uploads,
)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("whole", FileStatus(True)),
        ("partial;stored=0;total=1", FileStatus(False, 0, 1)),
        ("partial;stored=4;total=12", FileStatus(False, 4, 12)),
    ],
)
def test_a_file_status_is_written_and_read(value: str, status: FileStatus) -> None:
    assert format_file_status(status) == value
    assert parse_file_status(f" {value} ") == status


@pytest.mark.parametrize(
    "value",
    ["", "Whole", "whole;", "partial", "partial;stored=1", "partial;stored=-1;total=2", "partial;stored=x;total=2"],
)
def test_a_file_status_that_is_not_well_formed_says_nothing(value: str) -> None:
    assert parse_file_status(value) is None


@pytest.mark.parametrize(
    ("value", "number"), [("1", 1), (" 16 ", 16), ("0", None), ("-1", None), ("1.5", None), ("", None), ("many", None)]
)
def test_the_number_of_uploads_is_one_from_1_on_or_says_nothing(value: str, number: int | None) -> None:
    assert parse_max_uploads(value) == number


def test_a_receiver_of_this_package_is_known_by_one_header() -> None:
    assert from_receiver({"content-type": "text/plain", SERVER_HEADER.lower(): "2"})
    assert not from_receiver({"server": SERVER_HEADER})
