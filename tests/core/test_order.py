"""In which order chunks are leased, and which of them are alone on the wire."""

from __future__ import annotations

import pytest
from support.core_driver import Driver


def test_bookends_are_alone_and_the_middle_is_parallel() -> None:
    """The first chunk is answered before another begins, the last begins after all others were answered."""
    driver = Driver(mode="bookends", slots=4)
    driver.add(5)
    driver.upload()
    (first,) = driver.leases()
    assert first.index == 0
    driver.answer(first)
    middle = driver.leases()
    assert [lease.index for lease in middle] == [1, 2, 3]
    for lease in middle[:2]:
        driver.answer(lease)
        assert driver.leases() == []
    driver.answer(middle[2])
    (last,) = driver.leases()
    assert last.index == 4
    assert driver.answer(last) == ["chunk_success", "file_success", "complete"]


def test_bookends_wait_for_a_retry_and_for_a_request_that_stops() -> None:
    """A first chunk that waits for its retry, or is being stopped, still keeps the others back."""
    driver = Driver(mode="bookends", slots=3, delay=lambda retries, failures: 5.0)
    file = driver.add(3)
    driver.upload()
    driver.answer(driver.lease(), "retry")
    assert driver.wait() == 5.0
    driver.now = 5.0
    again = driver.lease()
    assert driver.leases() == []
    driver.do(driver.core.pause_file, file.key)
    driver.do(driver.core.resume_file, file.key)
    assert driver.leases() == []
    driver.answer(again, "stopped")
    assert driver.indexes() == [0]


def test_other_files_fill_the_slots_that_bookends_leave_free() -> None:
    """A file that has to wait for its own chunk does not keep the next one waiting."""
    driver = Driver(mode="bookends", slots=3)
    for _ in range(3):
        driver.add(3)
    driver.upload()
    assert [(lease.file, lease.index) for lease in driver.leases()] == [(1, 0), (2, 0), (3, 0)]


def test_sequential_is_one_chunk_at_a_time_for_each_file() -> None:
    """However many slots are free, a file has one request."""
    driver = Driver(mode="sequential", slots=4)
    driver.add(3)
    driver.add(2)
    driver.upload()
    seen = []
    while leases := driver.leases():
        assert len({lease.file for lease in leases}) == len(leases)
        seen += [(lease.file, lease.index) for lease in leases]
        driver.answer(leases[0])
        for lease in leases[1:]:
            driver.answer(lease)
    assert seen == [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2)]


def test_free_fills_all_slots_from_the_earliest_file() -> None:
    """The order of resumable.js: the chunks of the first file, then those of the second."""
    driver = Driver(slots=4)
    driver.add(3)
    driver.add(3)
    driver.upload()
    assert [(lease.file, lease.index) for lease in driver.leases()] == [(1, 0), (1, 1), (1, 2), (2, 0)]


def test_prioritised_ends_of_all_files_go_before_any_middle() -> None:
    """``prioritize_first_and_last_chunk``: first and last of each file, then the rest, file by file."""
    driver = Driver(slots=20, first_and_last=True)
    for chunks in (4, 1, 2, 3):
        driver.add(chunks)
    driver.upload()
    assert [(lease.file, lease.index) for lease in driver.leases()] == [
        (1, 0), (1, 3), (2, 0), (3, 0), (3, 1), (4, 0), (4, 2), (1, 1), (1, 2), (4, 1),
    ]  # fmt: skip


def test_a_prioritised_end_that_was_stopped_is_prioritised_again() -> None:
    """A file whose last chunk has to be sent again goes before another file's middle."""
    driver = Driver(slots=1, first_and_last=True)
    driver.add(4)
    second = driver.add(4)
    driver.do(driver.core.mark_file, 1, [(0, 1), (3, 4)])
    driver.do(driver.core.mark_file, second.key, [(0, 1)])
    driver.upload()
    last = driver.lease()
    assert (last.file, last.index) == (2, 3)
    driver.do(driver.core.pause)
    driver.answer(last, "stopped")
    driver.upload()
    again = driver.lease()
    assert (again.file, again.index) == (2, 3)
    driver.answer(again)
    assert driver.finish() == [1, 2, 1, 2]


@pytest.mark.parametrize("mode", ["bookends", "free", "sequential"])
@pytest.mark.parametrize("first_and_last", [False, True])
@pytest.mark.parametrize("chunks", [1, 2, 3, 6])
def test_every_chunk_is_leased_once_with_its_own_bytes(mode: str, first_and_last: bool, chunks: int) -> None:
    """Whatever the order, the leases of a file without mishap are its chunks."""
    driver = Driver(mode=mode, slots=2, first_and_last=first_and_last)
    file = driver.add(chunks, size=chunks * 10 + 3)
    driver.upload()
    spans = []
    while leases := driver.leases():
        for lease in leases:
            spans.append((lease.index, lease.start, lease.end))
            driver.answer(lease)
    assert sorted(spans) == [(index, *file.plan.span(index)) for index in range(chunks)]
    assert file.bytes_done == chunks * 10 + 3


@pytest.mark.parametrize("mode", ["bookends", "free", "sequential"])
def test_the_final_flag_says_that_no_chunk_is_left_behind(mode: str) -> None:
    """It is on each lease after which every other chunk is stored or on its way, retries included."""
    driver = Driver(mode=mode, slots=2)
    driver.add(3)
    driver.upload()
    flags = []
    while leases := driver.leases():
        flags += [(lease.index, lease.final) for lease in leases]
        driver.answer(leases[0])
        for lease in leases[1:]:
            driver.answer(lease)
    assert flags == [(0, False), (1, False), (2, True)]


def test_a_retry_is_final_once_all_others_are_on_their_way() -> None:
    """The server may assemble on any chunk that completes the file, so a retry can be the final one."""
    driver = Driver(slots=2)
    driver.add(2)
    driver.upload()
    first, second = driver.leases()
    assert (first.final, second.final) == (False, True)
    driver.answer(second)
    driver.answer(first, "retry")
    assert driver.lease().final


def test_an_empty_file_is_one_empty_chunk() -> None:
    """It is sent, and its success is the server's answer."""
    driver = Driver(mode="bookends")
    file = driver.add(0, size=0)
    driver.upload()
    lease = driver.lease()
    assert (lease.index, lease.start, lease.end, lease.final) == (0, 0, 0, True)
    assert driver.answer(lease, message="stored") == ["chunk_success", "file_success", "complete"]
    assert (file.complete, file.bytes_done, file.message) == (True, 0, "stored")


def test_a_chunk_that_is_not_tested_is_sent_by_its_lease() -> None:
    """Asking again whether it may be sent is allowed, and tells nothing."""
    driver = Driver()
    driver.add(1)
    driver.upload()
    lease = driver.lease()
    del driver.told[:]
    assert driver.send(lease)
    assert driver.told == []


def test_files_added_during_a_run_wait_behind_the_others() -> None:
    """A file takes the next free slot once those before it want none."""
    driver = Driver(slots=1)
    driver.add(2)
    driver.upload()
    lease = driver.lease()
    driver.add(1)
    driver.answer(lease)
    assert [(driver.lease().file)] == [1]
    assert driver.leases() == []
