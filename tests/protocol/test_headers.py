"""The headers that the two ends add for each other."""

from __future__ import annotations

import pytest

from resumable.protocol.headers import FileStatus, format_file_status, parse_file_status


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
