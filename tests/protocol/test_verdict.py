"""What an answer means, and the header that lists the stored chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.texts import texts

from resumable.options import Options
from resumable.protocol.verdict import (
    Rules,
    Verdict,
    format_ranges,
    parse_ranges,
)

STORED, MISSING, RETRY, FATAL = Verdict.STORED, Verdict.MISSING, Verdict.RETRY, Verdict.FATAL


@pytest.mark.parametrize(
    ("status", "test", "upload"),
    [
        (200, STORED, STORED),
        (201, STORED, STORED),
        (202, MISSING, RETRY),
        (204, MISSING, RETRY),
        (301, MISSING, FATAL),
        (307, MISSING, FATAL),
        (400, MISSING, FATAL),
        (401, MISSING, FATAL),
        (403, MISSING, FATAL),
        (404, MISSING, FATAL),
        (405, MISSING, FATAL),
        (408, MISSING, RETRY),
        (409, MISSING, FATAL),
        (410, MISSING, FATAL),
        (413, MISSING, FATAL),
        (415, MISSING, FATAL),
        (422, MISSING, FATAL),
        (425, MISSING, RETRY),
        (429, MISSING, RETRY),
        (500, MISSING, FATAL),
        (501, MISSING, FATAL),
        (502, MISSING, RETRY),
        (503, MISSING, RETRY),
        (504, MISSING, RETRY),
    ],
)
def test_what_a_status_means(status: int, test: Verdict, upload: Verdict) -> None:
    assert Rules().test(status) is test
    assert Rules().upload(status) is upload


def test_a_permanent_status_fails_a_test_where_the_dialect_says_so() -> None:
    rules = Rules(test_errors_are_permanent=True)
    assert rules.test(404) is FATAL
    assert rules.test(503) is MISSING
    assert rules.test(200) is STORED


def test_the_rules_and_the_options_have_the_same_defaults() -> None:
    options = Options()
    assert Rules() == Rules(
        frozenset(options.success_statuses), frozenset(options.permanent_errors), options.test_errors_are_permanent
    )


@st.composite
def range_lists(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    edges = sorted(draw(st.sets(st.integers(0, 10**6), max_size=20)))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    return (max(edges, default=0) + draw(st.integers(1, 5))), pairs


@given(range_lists())
def test_ranges_survive_the_way_through_the_header(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    count, ranges = drawn
    assert list(parse_ranges(format_ranges(iter(ranges)), count)) == ranges


def test_ranges_are_written_with_numbers_from_1_and_their_ends_included() -> None:
    assert format_ranges(iter([(0, 61), (63, 64)])) == "1-61,64"
    assert parse_ranges(" 1 - 61 , 64", 100) == ((0, 61), (63, 64))


def test_ranges_are_cut_to_the_chunks_that_there_are() -> None:
    assert parse_ranges("1-9999999999999999999,3,7", 5) == ((0, 5), (2, 3))


@pytest.mark.parametrize(
    "value",
    ["", ",", "1,", "0", "0-3", "3-1", "-1", "1-", "1-2-3", "a", "1.5", "٣", "1" * 20, "1\n2", "1," * 32768 + "1"],
)
def test_what_is_not_well_formed_lists_nothing(value: str) -> None:
    assert parse_ranges(value, 5) == ()


@given(st.text("0123456789-, ٣x", max_size=40) | texts(), st.integers(1, 10**6))
def test_parsing_never_raises_and_never_leaves_the_file(value: str, count: int) -> None:
    for start, stop in parse_ranges(value, count):
        assert 0 <= start < stop <= count
