"""Retries: when they come, when they end, and what they hold back meanwhile."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from support.core_driver import Driver

from resumable.core.records import Lease
from resumable.core.retry import RETRY_AFTER_CAP
from resumable.core.states import ChunkState, FileState
from resumable.errors import UploadError


def test_a_retry_keeps_its_slot_and_comes_when_it_is_due() -> None:
    """No other chunk is given to a server in trouble, and the retry has an id of its own."""
    driver = Driver(slots=1, delay=lambda retries, failures: 4.0)
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
    driver = Driver(slots=2, delay=lambda retries, failures: 10.0 / retries)
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


def test_a_server_that_is_busy_with_an_open_file_is_left_alone() -> None:
    """Neither another chunk nor another retry is leased before the server wants it."""
    driver = Driver(slots=3)
    driver.add(4)
    driver.add(2)
    driver.upload()
    driver.answer(driver.lease())
    first, second, third = driver.leases()
    driver.answer(first, "retry", busy=True, retry_after=30.0)
    assert driver.wait() == 30.0
    driver.answer(second)
    assert driver.wait() == 30.0
    driver.now = 29.9
    assert driver.wait() == 30.0
    driver.now = 30.0
    assert [(lease.file, lease.index) for lease in driver.leases()] == [(1, 1), (2, 0)]
    driver.answer(third)


def test_a_chunk_that_was_turned_away_while_another_made_its_file_an_open_one_waits_alone() -> None:
    """It was new when it was sent: the server has nothing against the file, nor against others that it has."""
    driver = Driver(slots=2, delay=lambda retries, failures: 4.0)
    driver.add(3)
    driver.upload()
    first, second = driver.leases()
    driver.answer(first)
    driver.answer(second, "retry", busy=True, retry_after=60.0)
    assert driver.core.chunk_state(1, 1) == (ChunkState.BACKOFF, 1)
    driver.now = 4.0
    assert driver.lease().index == 1


def test_a_file_that_was_turned_away_before_another_ended_begins_in_its_place() -> None:
    """The refusal, which arrives later, says nothing of the room that is left now."""
    driver = Driver(slots=2)
    driver.add(1)
    driver.add(1)
    driver.upload()
    first, second = driver.leases()
    driver.answer(first)
    driver.answer(second, "retry", busy=True, retry_after=60.0)
    driver.answer(driver.lease(), "retry", busy=True, retry_after=60.0)
    assert driver.wait() == 60.0


def test_an_open_file_that_is_turned_away_without_a_time_waits_alone() -> None:
    """Others go on; the chunk has the usual delay."""
    driver = Driver(slots=2, delay=lambda retries, failures: 4.0)
    driver.add(4)
    driver.upload()
    driver.answer(driver.lease())
    first, second = driver.leases()
    driver.answer(first, "retry", busy=True)
    driver.answer(second)
    assert driver.lease().index == 3
    assert driver.wait() == 4.0


def test_an_absurd_retry_after_is_capped_and_a_shorter_one_does_not_undo_it() -> None:
    """At most two minutes."""
    driver = Driver(slots=2)
    driver.add(3)
    driver.upload()
    driver.answer(driver.lease())
    first, second = driver.leases()
    driver.answer(first, "retry", busy=True, retry_after=1e9)
    driver.answer(second, "retry", busy=True, retry_after=1.0)
    assert driver.wait() == RETRY_AFTER_CAP


def test_a_late_answer_still_says_when_the_server_wants_to_be_asked() -> None:
    """Retry-After counts even where the outcome does not."""
    driver = Driver()
    file = driver.add(1)
    driver.upload()
    lease = driver.lease()
    driver.do(driver.core.bootstrap_file, file.key)
    driver.answer(lease, "retry", busy=True, retry_after=7.0)
    assert driver.wait() == 7.0


# -- new files that are turned away ------------------------------------------------------------------------------------


def crowded(files: int = 4, *, chunks: int = 3, **rules: Any) -> tuple[Driver, Lease]:
    """A server that took the first chunk of the first file and turned the other files away for a minute; the lease is
    that of the next chunk."""
    driver = Driver(mode="bookends", **{"slots": 3, **rules})
    for _ in range(files):
        driver.add(chunks)
    driver.upload()
    first, *others = driver.leases()
    for lease in others:
        assert driver.answer(lease, "retry", busy=True, retry_after=60.0) == ["chunk_retry", "file_retry"]
    driver.answer(first)
    return driver, driver.lease()


def test_a_new_file_that_is_turned_away_holds_back_new_files_only() -> None:
    """The open file goes on, with a slot less; the chunk that was turned away holds none, and keeps its retries."""
    driver, second = crowded(chunks=5)
    third = driver.lease()
    assert [(lease.file, lease.index) for lease in (second, third)] == [(1, 1), (1, 2)]
    assert driver.wait() is None
    assert driver.core.chunk_state(2, 0) == (ChunkState.PENDING, 1)
    driver.now = 60.0
    assert [(lease.file, lease.retries) for lease in driver.leases()] == [(1, 0)]


def test_each_file_that_ends_makes_room_for_one() -> None:
    """It is what the server waited for: nobody waits for the end of its minute. The order is kept."""
    driver, second = crowded()
    driver.answer(second)
    last = driver.lease()
    assert "file_success" in driver.answer(last)
    (lease,) = driver.leases()
    assert (lease.file, lease.retries) == (2, 1)
    driver.answer(lease)
    for file in (2, 3, 4):
        for index in (1, 2) if file == 2 else (0, 1, 2):
            (lease,) = driver.leases()
            assert (lease.file, lease.index) == (file, index)
            driver.answer(lease)
    assert driver.events()[-1] == "complete"


@pytest.mark.parametrize("slots", [1, 2])
def test_with_a_slot_or_two_the_open_file_is_not_kept_from_its_end(slots: int) -> None:
    """A chunk that was turned away does not sit in the only slot."""
    driver = Driver(slots=slots)
    first = driver.add(2)
    driver.add(1)
    driver.upload()
    driver.answer(driver.lease())
    driver.do(driver.core.pause_file, first.key)
    driver.answer(driver.lease(), "retry", busy=True, retry_after=60.0)
    assert driver.wait() == 60.0
    driver.do(driver.core.resume_file, first.key)
    assert "file_success" in driver.answer(driver.lease())
    assert driver.finish() == [0]


def test_a_file_that_was_taken_and_then_failed_or_was_cancelled_makes_room_too() -> None:
    for end in ("fail", "cancel"):
        driver, second = crowded()
        if end == "fail":
            driver.answer(second, "refused")
        else:
            driver.do(driver.core.cancel_file, 1)
            driver.answer(second, "stopped")
        assert [lease.file for lease in driver.leases()] == [2]


def test_a_new_file_that_is_refused_for_good_leaves_its_room_to_the_next() -> None:
    driver, second = crowded()
    driver.answer(second)
    driver.answer(driver.lease())
    driver.answer(driver.lease(), "refused")
    assert [lease.file for lease in driver.leases()] == [3]


def test_a_held_file_that_is_cancelled_makes_no_room() -> None:
    driver, _ = crowded()
    driver.do(driver.core.cancel_file, 2)
    driver.do(driver.core.cancel_file, 4)
    assert driver.wait() == 60.0


@pytest.mark.parametrize(("wait", "alone"), [(5.0, True), (20.0, False)])
def test_a_new_file_that_is_turned_away_twice_within_ten_seconds_stops_the_host(wait: float, alone: bool) -> None:
    """It came when it was told to. Several that were under way together are turned away once, and much later the
    server is full again, and that is all."""
    driver = Driver(mode="sequential", slots=3)
    for _ in range(3):
        driver.add(9)
    driver.upload()
    first, *others = driver.leases()
    for lease in others:
        driver.answer(lease, "retry", busy=True, retry_after=wait)
    driver.answer(first)
    first = driver.lease()
    driver.now = wait
    driver.answer(driver.lease(), "retry", busy=True, retry_after=5.0)
    driver.answer(first)
    assert driver.wait() == wait + 5.0 if alone else driver.lease().file == 1


def test_a_new_file_that_was_let_in_on_a_guess_does_not_stop_the_host() -> None:
    """One had ended, and another client, or another of our own requests, was faster."""
    driver, second = crowded(slots=4)
    driver.answer(second)
    driver.answer(driver.lease())
    driver.do(driver.core.mark_file, 3, [(1, 2)])
    second, third = driver.leases()
    assert (second.file, third.file) == (2, 3)
    driver.answer(second, "retry", busy=True, retry_after=60.0)
    driver.answer(third)
    assert driver.lease().file == 3


def test_without_a_time_new_files_wait_for_the_delay_of_the_first() -> None:
    """It grows with each time that the file is turned away."""
    driver = Driver(slots=1, delay=lambda retries, failures: 10.0 * failures)
    driver.add(1)
    driver.add(1)
    driver.upload()
    driver.answer(driver.lease(), "retry", busy=True)
    assert driver.wait() == 10.0
    driver.now = 10.0
    assert driver.lease().file == 1
    driver = Driver(slots=1)
    driver.add(1)
    driver.upload()
    driver.answer(driver.lease(), "retry", busy=True, delay=30.0)
    assert driver.wait() == 30.0


def test_a_file_that_was_turned_away_more_than_once_lets_other_new_ones_go_first() -> None:
    """A server that does not want one file must not keep all others from beginning."""
    driver = Driver(slots=1)
    for _ in range(3):
        driver.add(1)
    driver.upload()
    for now in (0.0, 60.0):
        driver.now = now
        driver.answer(driver.lease(), "retry", busy=True, retry_after=60.0)
    driver.now = 120.0
    files = []
    for _ in range(3):
        lease = driver.lease()
        files.append(lease.file)
        driver.answer(lease)
    assert files == [2, 3, 1]


def test_a_file_that_waits_for_others_does_not_use_up_its_retries() -> None:
    """While others get through it may be turned away as often as it likes; without them its retries count."""
    driver = Driver(mode="sequential", slots=2, max_chunk_retries=2)
    driver.add(50)
    driver.add(1)
    driver.upload()
    first, second = driver.leases()
    for _ in range(10):
        driver.answer(second, "retry", busy=True, retry_after=60.0)
        driver.answer(first)
        driver.now += 60.0
        first, second = driver.leases()
    assert (second.file, second.retries) == (2, 1)
    driver.answer(second, "retry", busy=True, retry_after=60.0)
    driver.now += 60.0
    (second,) = driver.leases()
    assert second.retries == 1
    driver.answer(second, "retry", busy=True, retry_after=60.0)
    driver.now += 60.0
    (second,) = driver.leases()
    assert second.retries == 2
    assert "file_error" in driver.answer(second, "retry", busy=True, retry_after=60.0)


# -- waking ------------------------------------------------------------------------------------------------------------


def test_a_success_wakes_what_waits_since_the_outage() -> None:
    """One chunk of three comes to its turn first; the others follow at once, and not at the end of their backoff."""
    driver = Driver(slots=3, delay=lambda retries, failures: 2.0**failures)
    driver.add(30)
    driver.upload()
    leases = driver.leases()
    for failures in range(1, 7):
        for lease in leases:
            driver.answer(lease, "retry")
        driver.now += 2.0**failures
        leases = driver.leases()
    driver.answer(leases[1], "retry")
    driver.answer(leases[2], "retry")
    failed = driver.now
    driver.answer(leases[0])
    lease = driver.lease()
    assert driver.wait() == failed + 2.0**7, "a request from before the failure says nothing about it"
    driver.now += 1.0
    driver.answer(lease)
    lease = driver.lease()
    assert (lease.index, driver.wait()) == (4, failed + 2.0), "never earlier than a first retry"
    driver.now = failed + 2.0
    assert driver.indexes() == [1, 2]


def test_a_success_does_not_hasten_a_retry_whose_time_the_user_chose() -> None:
    driver = Driver(slots=2)
    driver.add(9)
    driver.upload()
    first, second = driver.leases()
    driver.answer(first, "retry", delay=30.0)
    driver.answer(second)
    driver.answer(driver.lease())
    driver.answer(driver.lease())
    driver.now = 29.0
    driver.lease()
    assert driver.wait() == 30.0


def test_a_chunk_that_is_refused_while_others_succeed_keeps_its_own_backoff() -> None:
    """Its waits double, whatever the others do: it must not burn its retries while they prosper."""
    driver = Driver(slots=2, delay=lambda retries, failures: 2.0**failures, max_chunk_retries=None)
    driver.add(1000)
    driver.upload()
    tries = []
    while driver.now < 500.0:
        for lease in driver.leases():
            if lease.index:
                driver.answer(lease)
            else:
                tries.append(driver.now)
                driver.answer(lease, "retry")
        driver.now += 1.0
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert gaps == [2.0**step for step in range(1, len(gaps) + 1)]


def test_a_delay_counts_the_failures_since_anything_got_through() -> None:
    """Those failures are reset by a chunk that was stored meanwhile; the retries are not, nor what failed in spite."""
    asked = []
    driver = Driver(slots=2, delay=lambda retries, failures: asked.append((retries, failures)) or 0.0)
    driver.add(4)
    driver.upload()
    first, second = driver.leases()
    driver.answer(first, "retry")
    again = driver.lease()
    driver.answer(again, "retry")
    again = driver.lease()
    driver.answer(second)
    driver.answer(again, "retry")
    assert asked == [(1, 1), (2, 2), (2, 1), (3, 2)]


def test_a_hopeless_failure_ends_at_once_unless_the_server_was_reached() -> None:
    """A name that does not resolve is a typing error before the first answer, and a mishap after it."""
    driver = Driver()
    driver.add(2)
    driver.upload()
    assert driver.answer(driver.lease(), "retry", unreachable=True)[:2] == ["chunk_error", "file_error"]
    driver = Driver()
    driver.add(2)
    driver.upload()
    driver.answer(driver.lease(), answered=True)
    assert driver.answer(driver.lease(), "retry", unreachable=True) == ["chunk_retry", "file_retry"]


def patient() -> Driver:
    """A session that gives up after ten seconds without a gain."""
    return Driver(slots=2, retry_for=10.0, max_chunk_retries=None)


def test_a_file_fails_when_nothing_got_through_for_so_long() -> None:
    """``retry_for`` counts from the beginning of the run, or from the last chunk that was stored."""
    driver = patient()
    driver.add(3)
    driver.upload(open_ended=True)
    driver.now = 9.0
    first, second = driver.leases()
    driver.answer(first)
    driver.now = 18.9
    assert driver.answer(second, "retry") == ["chunk_retry", "file_retry"]
    second = driver.lease()
    driver.now = 19.0
    assert driver.answer(second, "retry") == ["chunk_error", "file_error", "error"]


def test_the_last_attempt_is_made_when_the_time_is_over_and_not_a_delay_later() -> None:
    driver = Driver(slots=2, retry_for=10.0, max_chunk_retries=None, delay=lambda retries, failures: 60.0)
    driver.add(1)
    driver.upload(open_ended=True)
    lease = driver.lease()
    driver.now = 4.0
    assert driver.answer(lease, "retry") == ["chunk_retry", "file_retry"]
    assert driver.wait() == 10.0
    driver.now = 10.0
    assert driver.answer(driver.lease(), "retry") == ["chunk_error", "file_error", "error"]


def test_time_in_which_there_was_nothing_to_send_does_not_count() -> None:
    """A file that is added to an idle run, or resumed, has the whole time."""
    driver = patient()
    driver.upload(open_ended=True)
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


# -- the last chance ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        {},
        {"delay": 1e9},
        {"busy": True, "retry_after": 1e21},
        {"busy": True},
        {"busy": True, "retry_after": 1e21, "delay": 1e9},
    ],
)
@pytest.mark.parametrize("begun", [False, True])
def test_whatever_holds_a_file_back_it_has_its_last_chance_at_its_deadline(failure: Any, begun: bool) -> None:
    """Neither the server nor the user can make it wait longer than ``retry_for``."""
    driver = Driver(slots=1, retry_for=10.0, max_chunk_retries=None, delay=lambda retries, failures: 60.0)
    driver.add(2)
    driver.upload()
    if begun:
        driver.answer(driver.lease())
    driver.now = 1.0
    assert driver.answer(driver.lease(), "retry", **failure) == ["chunk_retry", "file_retry"]
    assert driver.wait() == 10.0
    driver.now = 10.0
    assert "file_error" in driver.answer(driver.lease(), "retry", **failure)


def test_the_time_of_a_file_that_follows_on_a_failed_one_begins_anew() -> None:
    """No worker need have looked for work in between."""
    driver = Driver(slots=1, retry_for=10.0, max_chunk_retries=0)
    driver.add(1)
    driver.upload(open_ended=True)
    lease = driver.lease()
    driver.now = 4.0
    assert "file_error" in driver.answer(lease, "retry", busy=True, retry_after=1e21)
    driver.add(1)
    assert driver.wait() == 14.0


@pytest.mark.parametrize("begun", [False, True])
def test_a_file_that_others_hold_back_has_its_last_chance_too(begun: bool) -> None:
    """Of a file that was never sent, too: its time begins when it could be sent, but for the others."""
    driver = Driver(slots=1, retry_for=10.0, max_chunk_retries=0)
    driver.add(2)
    driver.upload(open_ended=True)
    if begun:
        driver.answer(driver.lease())
    driver.answer(driver.lease(), "retry", busy=True, retry_after=1e21)
    assert driver.wait() is None
    driver.now = 5.0
    driver.add(1)
    driver.add(1)
    assert driver.wait() == 15.0
    driver.now = 15.0
    for file in (2, 3):
        lease = driver.lease()
        assert lease.file == file
        assert "file_error" in driver.answer(lease, "retry", busy=True, retry_after=1e21)


def test_a_server_that_takes_the_last_chance_is_well_again() -> None:
    """What it said before is forgotten."""
    driver = Driver(slots=1, retry_for=10.0)
    driver.add(4)
    driver.upload()
    driver.answer(driver.lease())
    driver.answer(driver.lease(), "retry", busy=True, retry_after=1e21)
    driver.now = 10.0
    driver.answer(driver.lease())
    assert driver.finish() == [2, 3]


def test_a_kind_of_failure_may_have_few_attempts() -> None:
    """They are counted for themselves, and a pause does not make them anew."""
    driver = Driver(max_chunk_retries=None)
    file = driver.add(1)
    driver.upload()
    for limit in (None, 3, None, 3):
        driver.answer(driver.lease(), "retry", limit=limit)
    driver.do(driver.core.pause_file, file.key)
    driver.do(driver.core.resume_file, file.key)
    assert driver.answer(driver.lease(), "retry", limit=None) == ["chunk_retry", "file_retry"]
    assert "file_error" in driver.answer(driver.lease(), "retry", limit=3)


def test_a_chunk_is_tested_from_the_answer_to_its_test_on() -> None:
    """Also while its retry waits, and when it waits for another turn after a pause."""
    driver = Driver(test_chunks=True, delay=lambda retries, failures: 4.0)
    file = driver.add(2)
    driver.upload()
    lease = driver.lease()
    assert not file.is_tested(0)
    driver.send(lease)
    assert file.is_tested(0)
    driver.answer(lease, "retry")
    assert (driver.core.chunk_state(file.key, 0)[0], file.is_tested(0)) == (ChunkState.BACKOFF, True)
    driver.do(driver.core.pause_file, file.key)
    assert (driver.core.chunk_state(file.key, 0)[0], file.is_tested(0)) == (ChunkState.PENDING, True)
    assert not file.is_tested(1)
    driver.do(driver.core.mark_file, file.key, [(1, 2)])
    assert file.is_tested(1)


def test_an_error_that_ends_a_file_knows_why_there_was_no_further_attempt() -> None:
    driver = Driver(max_chunk_retries=0)
    driver.add(1)
    driver.upload()
    error = UploadError("busy")
    driver.answer(driver.lease(), "retry", error=error)
    assert error.ending


def test_a_file_whose_only_retry_is_not_due_waits_for_it() -> None:
    driver = Driver(slots=1, delay=lambda retries, failures: 4.0)
    file = driver.add(1)
    assert driver.core.waits_until(0.0) is None, "before the run"
    driver.upload()
    assert driver.core.waits_until(0.0) is None, "nothing holds back the first attempt"
    driver.answer(driver.lease(), "retry")
    assert driver.core.waits_until(0.0) == driver.core.waits_until(0.0, file) == 4.0
    driver.now = 4.0
    lease = driver.lease()
    assert driver.core.waits_until(4.0) is None, "an attempt is under way"
    driver.answer(lease)
    assert driver.core.waits_until(4.0) is driver.core.waits_until(4.0, file) is None, "it has ended"


def test_a_new_file_waits_while_no_new_one_may_begin_and_an_open_one_does_not() -> None:
    driver = Driver(slots=2)
    begun, new = driver.add(2), driver.add(1)
    driver.upload()
    first, other = driver.lease(), driver.lease()
    assert first.file == other.file == begun.key
    driver.answer(first)
    turned_away = driver.lease()
    assert turned_away.file == new.key
    driver.answer(turned_away, "retry", busy=True, retry_after=3.0, answered=True)
    driver.do(driver.core.pause_file, begun.key)
    driver.answer(other, "stopped")
    driver.do(driver.core.resume_file, begun.key)
    assert driver.core.waits_until(1.0, begun) is None
    assert driver.core.waits_until(1.0, new) == 3.0
