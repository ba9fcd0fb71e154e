"""The chunks of a part of a file: every chunk belongs to one part, and each part counts its own from 0."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resumable.protocol.part import PartOrder
from resumable.protocol.plan import ChunkOrder


def order(count: int, number: int, parts: int) -> PartOrder:
    return PartOrder(count, "free", False, number, parts)


@pytest.mark.parametrize(
    ("count", "parts", "expected"),
    [
        (1, 2, ["0", ""]),
        (5, 2, ["0 2 4", "1 3"]),
        (3, 3, ["0", "1", "2"]),
        (64, 2, ["0-1 4-5 8-9 12-13 16-17 20-21 24-25 28-29 32-33 36-37 40-41 44-45 48-49 52-53 56-57 60-61",
                 "2-3 6-7 10-11 14-15 18-19 22-23 26-27 30-31 34-35 38-39 42-43 46-47 50-51 54-55 58-59 62-63"]),
        (49, 1, ["0-2 3-5 6-8 9-11 12-14 15-17 18-20 21-23 24-26 27-29 30-32 33-35 36-38 39-41 42-44 45-47 48"]),
    ],
)  # fmt: skip
def test_runs_are_dealt_out_in_turn(count: int, parts: int, expected: list[str]) -> None:
    for number, runs in enumerate(expected, 1):
        part = order(count, number, parts)
        dealt = [
            f"{start}-{stop - 1}" if stop - start > 1 else str(start) for start, stop in part.indexes(0, part.length)
        ]
        assert dealt == runs.split()


@given(st.integers(1, 3000), st.integers(1, 40))
@example(1, 40)
def test_each_chunk_belongs_to_one_part_and_parts_are_about_equal(count: int, parts: int) -> None:
    orders = [order(count, number, parts) for number in range(1, parts + 1)]
    indexes = [part.index(position) for part in orders for position in range(part.length)]
    assert sorted(indexes) == list(range(count))
    longest, shortest = (kind(part.length for part in orders) for kind in (max, min))
    assert longest - shortest <= max(count // (16 * parts), 1)


@given(st.integers(1, 3000), st.integers(1, 12), st.data())
def test_positions_and_indexes_are_inverse(count: int, parts: int, data: st.DataObject) -> None:
    part = order(count, data.draw(st.integers(1, parts)), parts)
    ours = [part.index(position) for position in range(part.length)]
    assert ours == sorted(ours)
    assert [part.position(index) for index in ours] == list(range(part.length))
    assert all(part.position(index) == part.length for index in set(range(count)) - set(ours))
    assert not ours or part.index(part.last) == ours[-1]
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    found = [position for first, last in part.positions(start, stop) for position in range(first, last)]
    assert found == [position for position, index in enumerate(ours) if start <= index < stop]
    first = data.draw(st.integers(0, part.length))
    last = data.draw(st.integers(first, part.length))
    assert [index for begin, end in part.indexes(first, last) for index in range(begin, end)] == ours[first:last]


@given(st.integers(1, 60), st.booleans(), st.data())
def test_a_whole_file_has_the_same_inverse(count: int, first_and_last: bool, data: st.DataObject) -> None:
    whole = ChunkOrder(count, "free", first_and_last)
    first = data.draw(st.integers(0, count))
    last = data.draw(st.integers(first, count))
    found = [index for begin, end in whole.indexes(first, last) for index in range(begin, end)]
    assert sorted(found) == sorted(whole.index(position) for position in range(first, last))
    assert whole.index(whole.last) == count - 1
