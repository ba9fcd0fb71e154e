"""Chunks that are stored already, as the server or the user said."""

from __future__ import annotations

import random

import pytest
from support.core_driver import Driver

from resumable.core.file import FileCore
from resumable.core.records import Outcome, OutcomeKind
from resumable.core.states import ChunkState, FileState
from resumable.protocol.plan import ChunkOrder, ChunkPlan


def stored(file: FileCore) -> list[int]:
    """The indexes of the stored chunks."""
    return sorted(file.order.index(position) for start, stop in file.stored_ranges() for position in range(start, stop))


def test_marked_chunks_are_neither_tested_nor_sent() -> None:
    """Their bytes count as done and as skipped."""
    driver = Driver(slots=9)
    file = driver.add(6, size=65)
    assert driver.do(driver.core.mark_file, file.key, [(1, 3), (5, 6)]) == []
    assert (file.bytes_done, file.bytes_skipped, driver.core.bytes_skipped) == (35, 35, 35)
    driver.upload()
    assert driver.indexes() == [0, 3, 4]


@pytest.mark.parametrize("mode", ["free", "bookends"])
@pytest.mark.parametrize("first_and_last", [False, True])
def test_any_ranges_in_any_order_add_up(mode: str, first_and_last: bool) -> None:
    """Overlapping, touching, repeated, empty and outlying ranges count each chunk once."""
    chance = random.Random(1)
    for _ in range(300):
        plan = ChunkPlan(chance.randrange(0, 200), 10, force=chance.random() < 0.5)
        file = FileCore(1, plan, ChunkOrder(plan.count, mode, first_and_last))
        known: set[int] = set()
        live = [file.take() for _ in range(chance.randrange(min(3, plan.count)))]
        for record in live[1:]:
            file.release(record)
        flying = {file.order.index(record.position) for record in live[:1]}
        for _ in range(chance.randrange(6)):
            start = chance.randrange(-3, plan.count + 2)
            stop = start + chance.randrange(-1, 8)
            before = file.bytes_done
            gained = file.mark([(start, stop)])
            known |= set(range(max(start, 0), min(stop, plan.count))) - flying
            assert stored(file) == sorted(known)
            assert file.bytes_done == before + gained == sum(plan.length(i, i + 1) for i in known)
            counted = file.cursor + sum(stop - start for start, stop in file.known_ranges)
            assert file.stored + len(file.live) + len(file.released) == counted
            assert all(file.is_done(file.order.position(i)) == (i in known) for i in range(plan.count))
            assert file.known_ranges == sorted(file.known_ranges)
            assert all(a[1] < b[0] for a, b in zip(file.known_ranges, file.known_ranges[1:], strict=False))
        assert file.complete == (len(known) == plan.count)


def test_a_chunk_on_the_wire_is_left_to_its_own_answer() -> None:
    """It is not counted twice."""
    driver = Driver(slots=1)
    file = driver.add(3)
    driver.upload()
    lease = driver.lease()
    driver.do(driver.core.mark_file, file.key, [(0, 3)])
    assert (file.bytes_done, file.complete) == (20, False)
    assert driver.answer(lease) == ["chunk_success", "file_success", "complete"]
    assert file.bytes_done == 30


def test_a_chunk_that_was_stopped_can_be_marked() -> None:
    """It has no further turn."""
    driver = Driver(slots=2)
    file = driver.add(3)
    driver.upload()
    first, second = driver.leases()
    driver.do(driver.core.pause)
    driver.answer(first, "stopped")
    driver.answer(second, "stopped")
    driver.do(driver.core.mark_file, file.key, [(0, 1)])
    driver.upload()
    assert driver.indexes() == [1, 2]


def test_bad_ranges_mark_nothing() -> None:
    """Whatever raises while they are read, the sums stay right."""
    driver = Driver()
    file = driver.add(3)
    with pytest.raises(TypeError):
        driver.core.mark_file(file.key, [(0, 1), (1, "2")])  # type: ignore[list-item]
    assert (file.bytes_done, driver.core.bytes_done) == (0, 0)


def test_marking_everything_ends_the_file() -> None:
    """Also before the run, in which there is nothing left to do."""
    driver = Driver()
    file = driver.add(3)
    assert driver.do(driver.core.mark_file, file.key, [(0, 3)]) == ["file_success"]
    assert file.state is FileState.SUCCESS
    assert driver.upload() == ["upload_start", "complete"]
    file = driver.add(3)
    driver.upload()
    assert driver.do(driver.core.mark_file, file.key, [(0, 3)]) == ["file_success", "complete"]


def test_the_server_may_say_what_it_has_with_any_answer() -> None:
    """One test answers for many chunks."""
    driver = Driver(slots=1, test_chunks=True)
    file = driver.add(5)
    driver.upload()
    assert driver.answer(driver.lease(), "present", stored=((0, 3), (4, 9))) == ["chunk_success"]
    assert (file.bytes_done, file.bytes_skipped) == (40, 40)
    last = driver.lease()
    assert (last.index, last.final) == (3, True)
    driver.send(last)
    assert driver.answer(last, stored=((0, 3),)) == ["chunk_success", "file_success", "complete"]
    assert (file.bytes_done, file.bytes_skipped) == (50, 40)


def test_the_state_of_each_chunk_can_be_asked() -> None:
    """Stored, on its way, stopped or untouched; of a removed file nothing is known."""
    driver = Driver(slots=3)
    file = driver.add(6)
    driver.do(driver.core.mark_file, file.key, [(4, 5)])
    driver.upload()
    first, second, third = driver.leases()
    driver.answer(first)
    driver.answer(second, "retry")
    states = [driver.core.chunk_state(file.key, index) for index in range(6)]
    assert states == [
        (ChunkState.DONE, 0), (ChunkState.BACKOFF, 1), (ChunkState.SENDING, 0),
        (ChunkState.PENDING, 0), (ChunkState.DONE, 0), (ChunkState.PENDING, 0),
    ]  # fmt: skip
    assert list(file.stored_ranges()) == [(0, 1), (4, 5)]
    driver.do(driver.core.pause)
    driver.core.report(third, Outcome(OutcomeKind.STOPPED), 0.0)
    assert driver.core.chunk_state(file.key, 1) == (ChunkState.PENDING, 1)
    driver.do(driver.core.cancel)
    assert driver.core.chunk_state(file.key, 0) == (ChunkState.PENDING, 0)
