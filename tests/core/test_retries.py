"""Retries: when they come, when they end, and what they hold back meanwhile."""

from __future__ import annotations

import pytest

from resumable.core.retries import RETRY_AFTER_CAP
from resumable.core.states import ChunkState, FileState

from .driver import Driver


def test_a_retry_keeps_its_slot_and_comes_when_it_is_due() -> None:
    """No other chunk is given to a server in trouble, and the retry has an id of its own."""
    driver = Driver(slots=1, delay=lambda retries, streak: 4.0)
    file = driver.add(2)
    driver.upload()
    lease = driver.lease()
    assert driver.answer(lease, "retry", message="busy") == ["chunk_retry", "file_retry"]
    assert driver.core.chunk_state(file.key, 0) == (ChunkState.BACKOFF, 1)
    assert driver.wait() == 4.0
    driver.now = 3.9
    assert driver.wait() == 4.0
    driver.now = 4.0
    again = driver.lease()
    assert (again.index, again.retries, again.id != lease.id) == (0, 1, True)


def test_the_retry_that_is_due_first_goes_first() -> None:
    """Retries do not queue in the order in which they failed."""
    driver = Driver(slots=2, delay=lambda retries, streak: 10.0 / retries)
    driver.add(2)
    driver.upload()
    first, second = driver.leases()
    driver.answer(first, "retry")
    driver.now = 10.0
    first = driver.lease()
    driver.answer(second, "retry")
    driver.answer(first, "retry")
    assert driver.wait() == 15.0
    driver.now = 20.0
    assert driver.indexes() == [0, 1]


def test_the_last_retry_fails_the_file() -> None:
    """``max_chunk_retries`` further attempts are made, then the error that came with the last is the file's."""
    driver = Driver(max_chunk_retries=2)
    file = driver.add(1)
    driver.upload()
    error = RuntimeError("busy")
    for _ in range(2):
        assert driver.answer(driver.lease(), "retry") == ["chunk_retry", "file_retry"]
    assert driver.answer(driver.lease(), "retry", error=error, message="busy") == [
        "chunk_error", "file_error", "error", "complete",
    ]  # fmt: skip
    assert (file.state, file.error, file.message) == (FileState.ERROR, error, "busy")


def test_retries_without_end() -> None:
    """None is no limit."""
    driver = Driver(max_chunk_retries=None)
    driver.add(1)
    driver.upload()
    for retries in range(500):
        lease = driver.lease()
        assert lease.retries == retries
        driver.answer(lease, "retry")
    assert driver.finish() == [0]


def test_a_test_that_fails_for_now_is_retried_as_an_upload() -> None:
    """After the delay the chunk is sent without another test."""
    driver = Driver(test_chunks=True)
    driver.add(1)
    driver.upload()
    assert driver.answer(driver.lease(), "retry") == ["chunk_retry", "file_retry"]
    again = driver.lease()
    assert (again.test, again.retries) == (False, 1)


def test_retry_after_holds_the_whole_session() -> None:
    """Neither another chunk nor another retry is leased before the server wants it."""
    driver = Driver(slots=3)
    driver.add(2)
    driver.add(2)
    driver.upload()
    first = driver.lease()
    driver.answer(driver.lease(), "retry", retry_after=30.0)
    assert driver.wait() == 30.0
    driver.answer(first)
    assert driver.wait() == 30.0
    driver.now = 29.9
    assert driver.wait() == 30.0
    driver.now = 30.0
    assert driver.indexes() == [1, 0, 1]


def test_an_absurd_retry_after_is_capped_and_a_shorter_one_does_not_undo_it() -> None:
    """At most two minutes."""
    driver = Driver(slots=2)
    driver.add(2)
    driver.upload()
    first, second = driver.leases()
    driver.answer(first, "retry", retry_after=1e9)
    driver.answer(second, "retry", retry_after=1.0)
    assert driver.wait() == RETRY_AFTER_CAP


def test_a_late_answer_still_says_when_the_server_wants_to_be_asked() -> None:
    """Retry-After counts even where the outcome does not."""
    driver = Driver()
    file = driver.add(1)
    driver.upload()
    lease = driver.lease()
    driver.do(driver.core.bootstrap_file, file.key)
    driver.answer(lease, "retry", retry_after=7.0)
    assert driver.wait() == 7.0


def test_a_delay_counts_the_failures_since_anything_got_through() -> None:
    """The streak is reset by a chunk that was stored meanwhile, the retries are not."""
    asked = []
    driver = Driver(slots=2, delay=lambda retries, streak: asked.append((retries, streak)) or 0.0)
    driver.add(4)
    driver.upload()
    first, second = driver.leases()
    driver.answer(first, "retry")
    again = driver.lease()
    driver.answer(again, "retry")
    again = driver.lease()
    driver.answer(second)
    driver.answer(again, "retry")
    assert asked == [(1, 1), (2, 2), (3, 1)]


def test_a_hopeless_failure_ends_at_once_unless_the_server_was_reached() -> None:
    """A name that does not resolve is a typing error before the first answer, and a mishap after it."""
    driver = Driver()
    driver.add(2)
    driver.upload()
    assert driver.answer(driver.lease(), "retry", hopeless=True)[:2] == ["chunk_error", "file_error"]
    driver = Driver()
    driver.add(2)
    driver.upload()
    driver.answer(driver.lease(), answered=True)
    assert driver.answer(driver.lease(), "retry", hopeless=True) == ["chunk_retry", "file_retry"]


def patient() -> Driver:
    """A session that gives up after ten seconds without a gain."""
    return Driver(slots=2, retry_for=10.0, max_chunk_retries=None)


def test_a_file_fails_when_nothing_got_through_for_so_long() -> None:
    """``retry_for`` counts from the beginning of the run, or from the last chunk that was stored."""
    driver = patient()
    driver.add(3)
    driver.upload(held=True)
    driver.now = 9.0
    first, second = driver.leases()
    driver.answer(first)
    driver.now = 18.9
    assert driver.answer(second, "retry") == ["chunk_retry", "file_retry"]
    second = driver.lease()
    driver.now = 19.0
    assert driver.answer(second, "retry") == ["chunk_error", "file_error", "error"]


def test_the_last_attempt_is_made_when_the_time_is_over_and_not_a_delay_later() -> None:
    driver = Driver(slots=2, retry_for=10.0, max_chunk_retries=None, delay=lambda retries, streak: 60.0)
    driver.add(1)
    driver.upload(held=True)
    lease = driver.lease()
    driver.now = 4.0
    assert driver.answer(lease, "retry") == ["chunk_retry", "file_retry"]
    assert driver.wait() == 10.0
    driver.now = 10.0
    assert driver.answer(driver.lease(), "retry") == ["chunk_error", "file_error", "error"]


def test_time_in_which_there_was_nothing_to_send_does_not_count() -> None:
    """A file that is added to an idle run, or resumed, has the whole time."""
    driver = patient()
    driver.upload(held=True)
    assert driver.wait() is None
    driver.now = 1000.0
    file = driver.add(1)
    lease = driver.lease()
    driver.now = 1009.0
    assert driver.answer(lease, "retry") == ["chunk_retry", "file_retry"]
    driver.do(driver.core.pause_file, file.key)
    assert driver.wait() is None
    driver.now = 2000.0
    driver.do(driver.core.resume_file, file.key)
    lease = driver.lease()
    driver.now = 2009.0
    assert driver.answer(lease, "retry") == ["chunk_retry", "file_retry"]
    lease = driver.lease()
    driver.now = 2010.0
    assert driver.answer(lease, "retry") == ["chunk_error", "file_error", "error"]


def test_files_behind_one_that_failed_do_not_wait_as_long_again() -> None:
    """The server that took nothing for so long is asked once more for each file."""
    driver = patient()
    for _ in range(3):
        driver.add(1)
    driver.upload()
    leases = driver.leases()
    driver.now = 10.0
    for lease in leases:
        assert "file_error" in driver.answer(lease, "retry")
    assert driver.answer(driver.lease(), "retry") == ["chunk_error", "file_error", "error", "complete"]


def test_retrying_a_file_and_resuming_the_session_give_it_the_whole_time_again() -> None:
    """What lies before the command is not held against the server."""
    driver = patient()
    file = driver.add(1)
    driver.add(1)
    driver.upload()
    first, second = driver.leases()
    driver.now = 50.0
    driver.answer(first, "retry")
    assert driver.do(driver.core.retry_file, file.key, driver.now) == []
    driver.now = 59.0
    assert driver.answer(second, "retry") == ["chunk_retry", "file_retry"]
    driver.do(driver.core.pause)
    driver.now = 100.0
    driver.upload()
    first, second = driver.leases()
    driver.now = 109.0
    assert driver.answer(first, "retry") == ["chunk_retry", "file_retry"]
    assert driver.answer(second, "retry") == ["chunk_retry", "file_retry"]


def test_fail_fast_cancels_what_has_not_ended() -> None:
    """The first failed file ends the run; the others are cancelled, and told to stop."""
    driver = Driver(slots=3, fail_fast=True)
    done = driver.add(1)
    driver.upload()
    driver.answer(driver.lease())
    for _ in range(3):
        driver.add(1)
    driver.upload()
    first, second, third = driver.leases()
    assert driver.answer(first, "refused") == [
        "chunk_error", "file_error", "error", "file_cancelled", "file_cancelled",
    ]  # fmt: skip
    assert driver.stopped == [second.id, third.id]
    assert driver.answer(second, "stopped") == []
    assert driver.answer(third) == ["complete"]
    assert list(driver.core.files) == [done.key, first.file]


@pytest.mark.parametrize("policy", [{}, {"fail_fast": False}])
def test_one_bad_file_does_not_end_the_batch(policy: dict[str, bool]) -> None:
    """The others finish."""
    driver = Driver(slots=1, **policy)
    driver.add(2)
    good = driver.add(1)
    driver.upload()
    driver.answer(driver.lease(), "refused")
    assert driver.finish() == [0]
    assert good.state is FileState.SUCCESS
    assert driver.events()[-1] == "complete"
    assert driver.core.ended == {1: FileState.ERROR, 2: FileState.SUCCESS}
