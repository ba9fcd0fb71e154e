"""The cut of a file and the order of its chunks, against what browsers did and against its own laws."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable.protocol.plan import ChunkOrder, ChunkPlan

TABLES = Path(__file__).parent.parent / "vectors" / "tables"
BOUNDARIES = json.loads((TABLES / "chunk_boundaries.json").read_text(encoding="utf-8"))["rows"]

plans = st.builds(ChunkPlan, st.integers(0, 2**54), st.integers(1, 2**40), st.booleans()) | st.builds(
    ChunkPlan, st.integers(0, 300), st.integers(1, 40), st.booleans()
)
orders = st.builds(ChunkOrder, st.integers(1, 50), st.sampled_from(["free", "bookends", "sequential"]), st.booleans())


def test_the_table_has_all_its_rows() -> None:
    assert len(BOUNDARIES) == 234
    assert {row["forceChunkSize"] for row in BOUNDARIES} == {False, True}


@pytest.mark.parametrize("row", BOUNDARIES, ids=lambda row: f"{row['size']}/{row['chunkSize']}/{row['forceChunkSize']}")
def test_a_file_is_cut_as_in_a_browser(row: dict[str, Any]) -> None:
    plan = ChunkPlan(row["size"], row["chunkSize"], row["forceChunkSize"])
    assert plan.count == row["total"]
    recorded = row["chunks"]
    if "..." in recorded:
        # A long row is written as its beginning, an ellipsis and its end.
        gap = recorded.index("...")
        head, tail = recorded[:gap], recorded[gap + 1 :]
        indexes = [*range(len(head)), *range(plan.count - len(tail), plan.count)]
        recorded = head + tail
    else:
        indexes = list(range(plan.count))
    assert [list(plan.span(index)) for index in indexes] == recorded


@given(plans, st.data())
def test_the_spans_tile_the_file(plan: ChunkPlan, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, plan.count - 1))
    start, end = plan.span(index)
    assert plan.span(0)[0] == 0
    assert plan.span(plan.count - 1)[1] == plan.size
    assert start == (plan.span(index - 1)[1] if index else 0)
    if plan.size:
        assert start < end
    limit = plan.chunk_size if plan.force else 2 * plan.chunk_size - 1
    assert end - start <= limit
    if index < plan.count - 1:
        assert end - start == plan.chunk_size


@given(plans)
def test_the_cut_is_known_again_by_its_count(plan: ChunkPlan) -> None:
    again = ChunkPlan.of_count(plan.size, plan.chunk_size, plan.count)
    assert [again.span(index) for index in (0, again.count - 1)] == [plan.span(index) for index in (0, plan.count - 1)]


def test_a_count_that_neither_cut_has_is_refused() -> None:
    assert [ChunkPlan.of_count(10, 4, count).force for count in (2, 3)] == [False, True]
    for count in (0, 1, 4):
        with pytest.raises(ValueError, match=f"10 bytes in chunks of 4 are not {count} chunks"):
            ChunkPlan.of_count(10, 4, count)


@given(plans, st.data())
def test_the_length_of_a_range_is_the_sum_of_its_chunks(plan: ChunkPlan, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, plan.count))
    stop = data.draw(st.integers(0, min(plan.count, start + 20)))
    assert plan.length(start, stop) == sum(
        end - begin for begin, end in (plan.span(index) for index in range(start, stop))
    )


def test_what_is_outside_the_file_is_an_error() -> None:
    plan = ChunkPlan(10, 3)
    for index in (-1, 3):
        with pytest.raises(IndexError, match=f"chunk index {index} is outside 0..2"):
            plan.span(index)


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="size must be 0 or more bytes, not -1"):
        ChunkPlan(-1, 1)
    with pytest.raises(ValueError, match="chunk_size must be 1 byte or more, not 0"):
        ChunkPlan(1, 0)


@given(orders)
def test_position_and_index_are_inverse_and_every_chunk_has_one_position(order: ChunkOrder) -> None:
    indexes = [order.index(position) for position in range(order.count)]
    assert sorted(indexes) == list(range(order.count))
    assert [order.position(index) for index in indexes] == list(range(order.count))
    assert order.permuted == (indexes != list(range(order.count)))


def test_the_first_and_the_last_chunk_go_first_as_in_resumable_js() -> None:
    order = ChunkOrder(5, "free", first_and_last=True)
    assert [order.index(position) for position in range(5)] == [0, 4, 1, 2, 3]


@given(orders, st.data())
def test_a_range_of_chunks_maps_to_ascending_ranges_of_just_their_positions(
    order: ChunkOrder, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, order.count))
    stop = data.draw(st.integers(0, order.count))
    ranges = list(order.positions(start, stop))
    assert all(begin < end for begin, end in ranges)
    assert all(before[1] <= after[0] for before, after in pairwise(ranges))
    positions = [position for begin, end in ranges for position in range(begin, end)]
    assert positions == sorted(order.position(index) for index in range(start, stop))


@pytest.mark.parametrize(
    ("first", "last", "ranges"),
    [
        (0, 5, [(0, 1), (4, 5), (1, 4)]),
        (0, 1, [(0, 1)]),
        (1, 2, [(4, 5)]),
        (2, 4, [(1, 3)]),
        (3, 3, []),
    ],
)
def test_the_ranges_at_some_positions_when_the_first_and_the_last_go_first(
    first: int, last: int, ranges: list[tuple[int, int]]
) -> None:
    assert list(ChunkOrder(5, "free", first_and_last=True).indexes(first, last)) == ranges


def test_the_length_of_a_range_is_that_of_its_chunks() -> None:
    plan = ChunkPlan(45, 10)
    assert [plan.length(start, stop) for start, stop in [(0, 4), (1, 3), (3, 4), (2, 2)]] == [45, 20, 15, 0]


@pytest.mark.parametrize(
    ("start", "stop", "ranges"),
    [
        (0, 5, [(0, 1), (1, 2), (2, 5)]),
        (0, 1, [(0, 1)]),
        (4, 5, [(1, 2)]),
        (1, 3, [(2, 4)]),
        (0, 3, [(0, 1), (2, 4)]),
        (2, 5, [(1, 2), (3, 5)]),
        (2, 2, []),
    ],
)
def test_the_positions_of_a_range_when_the_first_and_the_last_go_first(
    start: int, stop: int, ranges: list[tuple[int, int]]
) -> None:
    assert list(ChunkOrder(5, "free", first_and_last=True).positions(start, stop)) == ranges


@pytest.mark.parametrize(
    ("mode", "alone"),
    [("free", []), ("bookends", [0, 4]), ("sequential", [0, 1, 2, 3, 4])],
)
def test_which_chunks_are_alone_on_the_wire(mode: str, alone: list[int]) -> None:
    order = ChunkOrder(5, mode)
    pairs = [(one, other) for one in range(5) for other in range(5) if one != other]
    assert {pair for pair in pairs if not order.may_share(pair[0], (pair[1],))} == {
        pair for pair in pairs if not {*pair}.isdisjoint(alone)
    }
