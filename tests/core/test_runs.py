"""Runs: how they begin and end, and what is told of a file before its first chunk."""

from __future__ import annotations

import pickle
from itertools import pairwise

import pytest
from support.core_driver import Driver

from resumable.core.records import (
    Effects,
    Lease,
    Notice,
    Outcome,
    OutcomeKind,
    Wait,
    joined,
)
from resumable.core.speed import SpeedMeter
from resumable.core.states import FileState, SessionState
from resumable.errors import FileRejected
from resumable.protocol.plan import ChunkPlan

ADDED = ["chunking_start", "chunking_progress", "chunking_complete", "file_added"]


def test_a_run_tells_its_events_in_order() -> None:
    """From the adding of the file to complete, progress included."""
    driver = Driver(test_chunks=True)
    driver.add(1)
    driver.upload()
    lease = driver.lease()
    driver.send(lease)
    driver.answer(lease, message="stored")
    assert [notice.event for notice in driver.told] == [
        *ADDED, "upload_start", "file_progress", "progress",
        "chunk_success", "file_progress", "progress", "file_success", "complete",
    ]  # fmt: skip
    assert [(n.event, n.message) for n in driver.told if n.message] == [
        ("chunk_success", "stored"), ("file_progress", "stored"), ("file_success", "stored"),
    ]  # fmt: skip


def test_complete_comes_once_a_run() -> None:
    """However many slots there are, however often it was paused, and again for the next run."""
    driver = Driver(slots=4)
    driver.add(4)
    driver.upload()
    leases = driver.leases()
    driver.do(driver.core.pause)
    driver.upload()
    for lease in leases:
        driver.answer(lease)
    assert driver.events().count("upload_start") == 2
    assert driver.events().count("complete") == 1
    assert driver.core.state is SessionState.IDLE
    driver.add(1)
    driver.upload()
    driver.finish()
    assert driver.events().count("complete") == 2


def test_nothing_is_leased_before_a_run() -> None:
    """An idle session waits for news."""
    driver = Driver()
    driver.add(1)
    assert driver.wait() is None


def test_a_held_run_ends_when_it_is_released() -> None:
    """Files come and go, and only the release ends it."""
    driver = Driver()
    assert driver.upload(open_ended=True) == ["upload_start"]
    for _ in range(2):
        driver.add(1)
        driver.finish()
    assert driver.core.finished
    assert driver.core.state is SessionState.UPLOADING
    assert driver.do(driver.core.close_run) == ["complete"]
    assert driver.do(driver.core.close_run) == []


def test_a_held_run_that_is_released_early_ends_with_its_last_file() -> None:
    """Nothing more comes, but what is there is finished first."""
    driver = Driver()
    driver.upload(open_ended=True)
    driver.add(1)
    assert driver.do(driver.core.close_run) == []
    driver.finish()
    assert driver.events()[-1] == "complete"


def test_an_explicit_upload_lets_go_of_a_held_run() -> None:
    """``upload()`` ends with what is open; a run that is under way is not held afterwards."""
    driver = Driver()
    driver.upload(open_ended=True)
    assert driver.upload() == ["complete"]
    driver.add(1)
    driver.upload()
    driver.upload(open_ended=True)
    driver.finish()
    assert driver.events()[-1] == "complete"


def test_what_became_of_the_files_is_that_of_the_last_run() -> None:
    """A new run begins with nothing ended."""
    driver = Driver()
    driver.add(1)
    driver.upload()
    driver.finish()
    assert driver.core.ended == {1: FileState.SUCCESS}
    driver.add(1)
    driver.upload()
    driver.answer(driver.lease(), "refused")
    assert driver.core.ended == {2: FileState.ERROR}


def test_hooks_run_before_the_first_chunk_and_take_a_slot() -> None:
    """A file is prepared by one lease, which is no chunk and is not told to stop."""
    driver = Driver(slots=2)
    file = driver.add(2, prepared=False)
    assert file.state is FileState.PREPARING
    driver.upload()
    (hooks,) = driver.leases()
    assert hooks == Lease(id=hooks.id, file=file.key, epoch=0, prepare=True)
    driver.do(driver.core.pause)
    assert driver.stopped == []
    driver.upload()
    assert driver.leases() == []
    assert driver.answer(hooks, "prepared") == []
    assert driver.indexes() == [0, 1]


def test_a_paused_file_is_prepared_and_waits() -> None:
    """What its hooks found counts, and it goes on where it is resumed."""
    driver = Driver()
    file = driver.add(1, prepared=False)
    driver.upload()
    hooks = driver.lease()
    driver.do(driver.core.pause_file, file.key)
    driver.answer(hooks, "prepared")
    assert (file.state, driver.leases()) == (FileState.PAUSED, [])
    driver.do(driver.core.resume_file, file.key)
    assert driver.finish() == [0]


def test_a_file_that_is_resumed_while_its_hooks_run_is_not_prepared_twice() -> None:
    """It waits for the hooks that run."""
    driver = Driver(slots=2)
    file = driver.add(1, prepared=False)
    driver.upload()
    hooks = driver.lease()
    driver.do(driver.core.pause_file, file.key)
    driver.do(driver.core.resume_file, file.key)
    assert driver.leases() == []
    driver.answer(hooks, "prepared")
    assert driver.indexes() == [0]


def test_hooks_may_replace_the_bytes_of_a_file() -> None:
    """The new cut counts, and what was known of the old one is forgotten."""
    driver = Driver(slots=9, mode="bookends")
    file = driver.add(3, prepared=False)
    driver.do(driver.core.mark_file, file.key, [(0, 2)])
    assert driver.core.bytes_done == 20
    driver.upload()
    assert driver.answer(driver.lease(), "prepared", plan=ChunkPlan(45, 20)) == ADDED[1:-1]
    core = driver.core
    assert (core.total_size, core.bytes_done, core.bytes_skipped) == (45, 0, 0)
    assert (file.plan.count, file.order.count, file.order.mode) == (2, 2, "bookends")
    assert driver.finish() == [0, 1]
    assert (core.bytes_done, file.bytes_done) == (45, 45)


def test_a_hook_that_fails_fails_its_file() -> None:
    """No chunk is to blame; a retry runs the hooks again."""
    driver = Driver()
    file = driver.add(1, prepared=False)
    driver.upload()
    error = ValueError("no")
    assert driver.answer(driver.lease(), "refused", error=error, message="no") == ["file_error", "error", "complete"]
    assert (file.state, file.error) == (FileState.ERROR, error)
    driver.do(driver.core.retry_file, file.key, 0.0)
    again = driver.lease()
    assert again.prepare
    driver.answer(again, "prepared")
    assert driver.finish() == [0]


@pytest.mark.parametrize("kind", ["retry", "stopped"])
def test_hooks_that_came_to_nothing_run_again(kind: str) -> None:
    """The file still has to be prepared."""
    driver = Driver()
    driver.add(1, prepared=False)
    driver.upload()
    driver.answer(driver.lease(), kind)
    assert driver.lease().prepare


def test_hooks_of_a_former_cut_count_for_nothing() -> None:
    """They run again when the first have returned."""
    driver = Driver(slots=2)
    file = driver.add(2, prepared=False)
    driver.upload()
    old = driver.lease()
    driver.do(driver.core.bootstrap_file, file.key)
    assert driver.leases() == []
    assert driver.answer(old, "prepared", plan=ChunkPlan(1, 1)) == []
    assert driver.lease().prepare
    assert file.plan.size == 20


def test_records_pickle() -> None:
    """Something other than our threads could do the work."""
    records = [
        Lease(1, 2, 3, position=4, index=5, start=6, end=7, retries=8, test=True, final=True),
        Outcome(OutcomeKind.RETRY, "busy", OSError("busy"), True, True, 1.5, 0.5, ((0, 3),), ChunkPlan(10, 3)),
        Effects((Notice("chunk_success", 1, 2, "stored", (0.5,)),), (1, 2)),
        Wait(2.5),
    ]
    for record in records:
        copy = pickle.loads(pickle.dumps(record))
        assert repr(copy) == repr(record)
    assert pickle.loads(pickle.dumps(OutcomeKind.RETRY)) is OutcomeKind.RETRY


def test_the_speed_is_a_mean_in_which_the_past_fades() -> None:
    """Bytes of the first call have no time of their own, and an idle time is forgotten by start()."""
    meter = SpeedMeter()
    assert meter.speed == 0.0
    meter.add(1_000_000, 5.0)
    assert meter.speed == 0.0
    for second in range(6, 16):
        meter.add(100, float(second))
    assert meter.speed == pytest.approx(100.0)
    meter.add(0, 14.0)
    assert meter.speed == pytest.approx(100.0)
    meter.start(1000.0)
    for second in range(1001, 1031):
        meter.add(300, float(second))
    assert meter.speed == pytest.approx(300.0, rel=0.02)


def test_the_time_that_remains_does_not_jump_if_a_slow_line_takes_its_bytes_in_bursts() -> None:
    """A hundred bytes a second, two hundred of them at every second second, and a thousand at once into a buffer."""
    meter = SpeedMeter()
    meter.start(0.0)
    left = 10_000
    known: list[float | None] = []
    meter.add(1000, 0.1)
    left -= 1000
    for tenth in range(1, 600):
        moved = 200 if tenth % 20 == 0 and tenth > 100 else 0
        left -= moved
        meter.add(moved, tenth / 10)
        known.append(meter.seconds_for(left))
    assert known[:100] == [None] * 100, "nothing is known as long as only a buffer was filled"
    shown = [seconds for seconds in known if seconds is not None]
    assert len(shown) > 450
    assert all(abs(after - before + 0.1) < 0.1 * before for before, after in pairwise(shown))


def test_a_line_that_stands_still_has_no_speed_after_ten_seconds() -> None:
    meter = SpeedMeter()
    assert meter.seconds_for(100) is None
    meter.start(0.0)
    for second in range(1, 11):
        meter.add(100, float(second))
    assert meter.seconds_for(1000) == pytest.approx(10.0)
    meter.add(0, 14.0)
    assert meter.speed == pytest.approx(100.0)
    assert meter.seconds_for(1000) == pytest.approx(6.0)
    meter.add(0, 20.1)
    assert meter.speed == 0.0
    assert meter.seconds_for(1000) is None
    meter.add(100, 21.0)
    assert 0.0 < meter.speed < 100.0


def test_without_a_request_the_speed_is_gone_after_a_second_and_comes_back_with_a_byte() -> None:
    meter = SpeedMeter()
    meter.start(0.0)
    for second in range(1, 11):
        meter.add(100, float(second))
    meter.rest(10.0)
    meter.look(10.5)
    assert meter.speed == pytest.approx(100.0)
    meter.rest(11.0)
    meter.look(11.5)
    assert (meter.speed, meter.seconds_for(100)) == (0.0, None)
    meter.start(12.0)
    meter.look(12.5)
    assert meter.speed == pytest.approx(100.0), "the next request has begun in time"
    meter.start(60.0)
    meter.look(60.0)
    assert meter.speed == 0.0, "one that begins later brings no speed until a byte moves"
    meter.add(100, 61.0)
    assert meter.speed == pytest.approx(100.0)


def test_while_a_request_stands_still_the_speed_falls() -> None:
    meter = SpeedMeter()
    meter.start(0.0)
    for second in range(1, 11):
        meter.add(100, float(second))
    speeds = []
    for second in range(10, 22):
        meter.add(0, float(second))
        speeds.append(round(meter.speed))
    assert speeds == [100, 100, 100, 100, 100, 100, 80, 60, 40, 20, 0, 0]


def test_the_time_in_which_a_request_waits_for_its_answer_counts() -> None:
    """Requests one after the other, each sent in a second and answered in another."""
    meter = SpeedMeter()
    for second in range(0, 40, 2):
        meter.start(float(second))
        meter.add(100, second + 1.0)
        meter.add(0, second + 2.0)
    assert meter.speed == pytest.approx(50.0, rel=0.2)
    assert meter.seconds_for(100) == pytest.approx(1.0, abs=0.4)


def test_what_was_left_out_is_in_the_result_of_one_run() -> None:
    driver = Driver()
    refusal = FileRejected("a.bin", "max_file_size", "it is too large")
    driver.core.skip([refusal])
    assert driver.upload()[-1] == "complete"
    assert driver.core.outcome is not None
    assert driver.core.outcome.skipped == (refusal,)
    assert driver.upload()[-1] == "complete"
    assert driver.core.outcome.skipped == ()


def test_a_file_that_failed_is_unfinished_until_somebody_knows_it() -> None:
    driver = Driver()
    failed, waiting = driver.add(1), driver.add(1)
    driver.upload()
    driver.answer(driver.lease(), "refused")
    driver.core.acknowledge([failed.key, waiting.key, 99])
    assert list(driver.core.unfinished) == [waiting.key]


def test_effects_name_the_files_that_ended_or_left_the_session() -> None:
    driver = Driver(fail_fast=True)
    good, bad, other = driver.add(1), driver.add(1), driver.add(1)
    driver.upload()
    first, second, _ = driver.leases()
    report, accepted, refused = driver.core.report, Outcome(OutcomeKind.ACCEPTED), Outcome(OutcomeKind.REFUSED)
    assert report(first, accepted, driver.now).ended == (good.key,)
    assert report(second, refused, driver.now).ended == (bad.key, other.key)
    assert driver.core.cancel_file(good.key).ended == (good.key,)
    assert driver.core.cancel_file(good.key).ended == ()
    assert driver.core.cancel().ended == (bad.key,)


def test_a_run_has_work_until_its_last_answer_is_there_though_it_is_paused() -> None:
    driver = Driver()
    driver.add(1)
    assert not driver.core.has_work
    driver.upload()
    lease = driver.lease()
    driver.do(driver.core.pause)
    assert driver.core.has_work
    driver.upload()
    driver.answer(lease)
    assert not driver.core.has_work


def test_bytes_that_moved_in_vain_are_no_speed() -> None:
    meter = SpeedMeter()
    meter.start(0.0)
    meter.add(1000, 1.0)
    speed = meter.speed
    meter.add(1000, 2.0)
    meter.take_back(1000)
    assert 0 < meter.speed < speed
    meter.take_back(5000)
    assert meter.speed == 0


def test_the_effects_of_several_calls_are_joined_in_their_order() -> None:
    first, second = Effects((Notice("file_added", 1),), ended=(1,)), Effects((Notice("file_added", 2),), stopped=(5,))
    assert joined([first, second]) == Effects((*first.notices, *second.notices), stopped=(5,), ended=(1,))
    assert joined([]) == Effects()
