"""Pause, cancel, retry and bootstrap while requests are on the wire."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.core_driver import Driver

from resumable.core.states import ChunkState, FileState, SessionState

Stop = Callable[[Driver], object]
Resume = Callable[[Driver], object]
PAUSES = [
    pytest.param(lambda d: d.do(d.core.pause), lambda d: d.upload(), id="session"),
    pytest.param(lambda d: d.do(d.core.pause_file, 1), lambda d: d.do(d.core.resume_file, 1), id="file"),
]


@pytest.mark.parametrize(("pause", "resume"), PAUSES)
def test_nothing_is_leased_while_paused(pause: Stop, resume: Resume) -> None:
    """Requests under way are told to stop, keep their slots, and may not go on to send."""
    driver = Driver(slots=2, test_chunks=True)
    driver.add(4)
    driver.upload()
    first, second = driver.leases()
    driver.send(first)
    pause(driver)
    assert driver.stopped == [first.id, second.id]
    assert driver.wait() is None
    assert not driver.send(second)
    assert driver.core.chunk_state(1, 0) == (ChunkState.STOPPING, 0)
    resume(driver)
    assert driver.wait() is None
    driver.answer(first, "stopped")
    again = driver.lease()
    assert (again.index, again.test) == (0, False)
    driver.answer(second, "stopped")
    again = driver.lease()
    assert (again.index, again.test) == (1, True)


@pytest.mark.parametrize(("pause", "resume"), PAUSES)
def test_pause_keeps_the_retries_and_drops_the_wait(pause: Stop, resume: Resume) -> None:
    """A retry that waited goes on at once after the pause, with its count."""
    driver = Driver(slots=1, delay=lambda retries, failures: 60.0)
    driver.add(2)
    driver.upload()
    driver.answer(driver.lease(), "retry")
    pause(driver)
    assert driver.stopped == []
    assert driver.core.chunk_state(1, 0) == (ChunkState.PENDING, 1)
    assert driver.wait() is None
    resume(driver)
    again = driver.lease()
    assert (again.index, again.retries) == (0, 1)


@pytest.mark.parametrize(("pause", "resume"), PAUSES)
def test_what_was_stored_although_it_should_have_stopped_counts(pause: Stop, resume: Resume) -> None:
    """A request whose answer was on its way may end a file, and a run, that is paused."""
    driver = Driver(slots=2)
    file = driver.add(2)
    driver.upload()
    first, second = driver.leases()
    pause(driver)
    assert driver.answer(first) == ["chunk_success"]
    assert driver.answer(second) == ["chunk_success", "file_success", "complete"]
    assert file.bytes_done == 20


@pytest.mark.parametrize("kind", ["retry", "refused", "stopped"])
def test_a_request_that_was_stopped_fails_without_consequence(kind: str) -> None:
    """What went wrong may have gone wrong because it was stopped: it is no failed attempt."""
    driver = Driver(max_chunk_retries=0)
    file = driver.add(1)
    driver.upload()
    lease = driver.lease()
    driver.do(driver.core.pause)
    assert driver.answer(lease, kind) == []
    driver.upload()
    assert driver.lease().retries == 0
    assert file.state is FileState.UPLOADING


def test_progress_is_told_where_something_was_stopped() -> None:
    """As in resumable.js: of each file that had requests under way."""
    driver = Driver(slots=1)
    driver.add(2)
    driver.add(1)
    driver.upload()
    driver.lease()
    del driver.told[:]
    driver.do(driver.core.pause)
    assert [(notice.event, notice.file) for notice in driver.told] == [
        ("file_progress", 1), ("progress", None), ("pause", None),
    ]  # fmt: skip


def test_pausing_twice_and_resuming_what_runs_do_nothing() -> None:
    """Asking for what holds already tells nothing."""
    driver = Driver()
    driver.add(1)
    assert driver.do(driver.core.pause) == []
    assert driver.upload() == ["upload_start"]
    assert driver.upload() == []
    assert driver.do(driver.core.resume_file, 1) == []
    driver.do(driver.core.pause)
    assert driver.do(driver.core.pause) == []
    driver.do(driver.core.pause_file, 1)
    assert driver.do(driver.core.pause_file, 1) == []


def test_a_paused_file_keeps_the_run_open() -> None:
    """The others finish, and the run ends after the file was resumed and stored."""
    driver = Driver()
    paused = driver.add(1)
    driver.add(1)
    driver.do(driver.core.pause_file, paused.key)
    driver.upload()
    driver.finish()
    assert driver.core.state is SessionState.UPLOADING
    assert driver.do(driver.core.resume_file, paused.key) == []
    driver.finish()
    assert driver.events()[-2:] == ["file_success", "complete"]


def test_cancelling_the_session_removes_every_file_without_completion() -> None:
    """In the order of resumable.js: each file, then cancel. Late answers tell nothing."""
    driver = Driver(slots=2)
    driver.add(2)
    driver.add(2)
    driver.upload()
    leases = driver.leases()
    assert driver.do(driver.core.cancel) == ["file_cancelled", "file_cancelled", "cancel"]
    core = driver.core
    assert (core.files, core.total_size, core.bytes_done, core.state) == ({}, 0, 0, SessionState.IDLE)
    assert driver.stopped == [lease.id for lease in leases]
    assert [driver.answer(lease) for lease in leases] == [[], []]
    assert core.bytes_done == 0
    assert driver.upload() == ["upload_start", "complete"]


def test_cancelling_tells_nothing_about_a_file_that_has_ended() -> None:
    """It is removed, and the session's progress is told, for its size has changed."""
    driver = Driver()
    file = driver.add(1)
    driver.upload()
    driver.finish()
    del driver.told[:]
    driver.do(driver.core.cancel_file, file.key)
    assert [(notice.event, notice.file) for notice in driver.told] == [("progress", None)]
    assert (driver.core.total_size, driver.core.bytes_done) == (0, 0)
    assert driver.core.ended == {file.key: FileState.SUCCESS}


def test_a_new_run_waits_for_the_slots_of_a_cancelled_one() -> None:
    """What is on the wire holds its slot until it is answered, and the run does not end before."""
    driver = Driver(slots=1)
    driver.add(1)
    driver.upload()
    old = driver.lease()
    driver.do(driver.core.cancel)
    driver.add(1)
    driver.upload()
    assert driver.wait() is None
    driver.answer(old, "stopped")
    assert driver.lease().file == 2


def test_cancelling_the_last_open_file_ends_the_run_once_its_requests_have() -> None:
    """A removed file is no completion of its own, but the run is over without it."""
    driver = Driver()
    file = driver.add(1)
    driver.upload()
    lease = driver.lease()
    assert driver.do(driver.core.cancel_file, file.key) == ["file_cancelled"]
    assert driver.answer(lease, "stopped") == ["complete"]
    assert driver.core.ended == {file.key: FileState.CANCELLED}
    assert driver.do(driver.core.cancel_file, file.key) == []


def test_a_file_can_be_removed_in_silence() -> None:
    """Without ``announce`` no progress is told; that it was cancelled is."""
    driver = Driver()
    driver.add(1)
    effects = driver.core.cancel_file(1, announce=False)
    assert [notice.event for notice in effects.notices] == ["file_cancelled"]


def test_closing_cancels_what_has_not_ended_and_tells_nothing_more() -> None:
    """Not even what was stored after all, or what the hooks said."""
    driver = Driver(slots=3)
    driver.add(2)
    driver.add(1, prepared=False)
    driver.upload()
    first, second, hooks = driver.leases()
    done = driver.add(0)
    driver.do(driver.core.mark_file, done.key, [(0, 1)])
    assert driver.do(driver.core.close) == ["file_cancelled", "file_cancelled"]
    assert [notice.extra for notice in driver.told[-2:]] == [("closed",), ("closed",)]
    assert driver.core.ended == {1: FileState.CANCELLED, 2: FileState.CANCELLED, 3: FileState.SUCCESS}
    assert driver.stopped == [first.id, second.id]
    assert driver.answer(first) == []
    assert driver.answer(second, "refused") == []
    assert driver.answer(hooks, "refused") == []
    assert driver.wait() is None
    assert driver.core.bytes_done == 0
    assert driver.do(driver.core.close) == []


def test_a_retried_file_keeps_what_is_stored_and_forgets_the_failures() -> None:
    """It goes on with the chunks that are missing, tested and counted anew, in a run of its own."""
    driver = Driver(slots=2, test_chunks=True, max_chunk_retries=1)
    file = driver.add(3)
    driver.upload()
    first, second = driver.leases()
    driver.send(first)
    driver.answer(second, "present")
    driver.answer(first, "retry")
    first = driver.lease()
    assert "file_error" in driver.answer(first, "retry", error=OSError(), message="no")
    assert driver.core.state is SessionState.IDLE
    assert driver.do(driver.core.retry_file, file.key, driver.now) == ["upload_start"]
    assert (file.error, file.message, file.epoch) == (None, None, 1)
    again, third = driver.leases()
    assert (again.index, again.retries, again.test, again.epoch) == (0, 0, True, 1)
    assert third.index == 2
    assert file.bytes_skipped == 10


def test_late_answers_of_a_failed_run_only_free_their_slots() -> None:
    """The chunk keeps its position until then, so it is not sent twice at once, and is asked for again after."""
    driver = Driver(slots=3)
    file = driver.add(3)
    driver.upload()
    first, second, third = driver.leases()
    driver.answer(first, "refused")
    assert driver.stopped == [second.id, third.id]
    assert driver.answer(third) == []
    driver.do(driver.core.retry_file, file.key, driver.now)
    assert driver.indexes() == [0, 2]
    assert driver.answer(second) == []
    assert file.bytes_done == 0
    assert driver.indexes() == [1]


def test_retrying_a_file_that_is_under_way_does_nothing() -> None:
    """As does a retry before the run."""
    driver = Driver()
    file = driver.add(1)
    assert driver.do(driver.core.retry_file, file.key, 0.0) == []
    assert driver.core.state is SessionState.IDLE
    driver.upload()
    driver.lease()
    assert driver.do(driver.core.retry_file, file.key, 0.0) == []
    assert file.epoch == 0


def test_a_file_that_is_cut_anew_waits_until_the_wire_is_clear_of_it() -> None:
    """Old requests belong to the old cut: nothing of them counts, nothing new begins beside them."""
    driver = Driver(slots=3)
    file = driver.add(3)
    driver.upload()
    first, second, third = driver.leases()
    driver.answer(first)
    assert driver.do(driver.core.bootstrap_file, file.key) == ["chunking_progress", "chunking_complete"]
    assert (file.bytes_done, driver.core.bytes_done, file.state) == (0, 0, FileState.READY)
    assert driver.stopped == [second.id, third.id]
    assert driver.leases() == []
    assert driver.answer(second) == []
    assert driver.leases() == []
    assert driver.answer(third, "stopped") == []
    assert driver.finish() == [0, 1, 2]
    assert driver.events()[-2:] == ["file_success", "complete"]


def test_other_files_go_on_while_one_waits_for_the_wire() -> None:
    """Only the file that was cut anew waits."""
    driver = Driver(slots=2)
    file = driver.add(1)
    driver.add(1)
    driver.upload()
    driver.lease()
    driver.do(driver.core.bootstrap_file, file.key)
    assert [lease.file for lease in driver.leases()] == [2]


@pytest.mark.parametrize("end", ["accepted", "refused"])
def test_a_file_that_has_ended_can_be_cut_anew(end: str) -> None:
    """It is open again, and sent whole by the next run."""
    driver = Driver()
    file = driver.add(1)
    driver.upload()
    driver.answer(driver.lease(), end, error=OSError())
    driver.do(driver.core.bootstrap_file, file.key)
    assert (file.state, file.error, driver.core.bytes_done) == (FileState.READY, None, 0)
    assert driver.core.ended == {}
    assert driver.upload() == ["upload_start"]
    assert driver.finish() == [0]
    assert driver.events()[-2:] == ["file_success", "complete"]


def test_a_lease_that_is_over_is_over() -> None:
    """Reporting it again, or asking to send it, changes nothing: so a wedged request can be given up."""
    driver = Driver(slots=1, test_chunks=True)
    file = driver.add(2)
    driver.upload()
    lease = driver.lease()
    driver.do(driver.core.pause)
    driver.answer(lease, "stopped")
    assert driver.answer(lease) == []
    assert not driver.send(lease)
    assert file.bytes_done == 0
    driver.upload()
    assert driver.finish() == [0, 1]


def test_a_request_of_a_failed_file_is_told_again_to_stop_when_the_session_is_closed() -> None:
    driver = Driver(slots=2)
    driver.add(2)
    driver.upload()
    refused, other = driver.leases()
    driver.answer(refused, "refused")
    assert driver.stopped == [other.id]
    assert driver.do(driver.core.close) == []
    assert driver.stopped == [other.id] * 2
    assert driver.answer(other, "stopped") == []
    assert driver.core.finished


def test_an_aborted_file_goes_on_with_the_next_upload_and_a_paused_one_does_not() -> None:
    """As in resumable.js, where only pause() lasts."""
    driver = Driver(slots=4)
    for _ in range(2):
        driver.add(1)
    driver.upload()
    for lease in driver.leases():
        driver.do(driver.core.pause_file, lease.file, aborted=lease.file == 1)
        driver.answer(lease, "stopped")
    assert driver.wait() is None
    driver.upload(open_ended=True)
    assert driver.wait() is None
    driver.upload()
    assert driver.lease().file == 1
    assert driver.wait() is None
    assert driver.core.files[2].state is FileState.PAUSED


def test_a_cancel_stops_what_a_pause_lets_finish() -> None:
    """Told before, the request is told again; the file's progress is not."""
    driver = Driver(slots=1)
    driver.add(1)
    driver.upload()
    lease = driver.lease()
    driver.do(driver.core.pause)
    assert driver.stopped == [lease.id]
    assert "file_progress" not in driver.do(driver.core.pause_file, 1, aborted=True)
    driver.do(driver.core.cancel)
    assert driver.stopped == [lease.id] * 3
