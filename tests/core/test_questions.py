"""Questions about many files: which are asked for, and what the answers are taken for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from support.core_driver import Driver

from resumable.core.file import FileCore
from resumable.core.questions import FEWEST_FILES, MOST_POSTPONED
from resumable.core.records import Lease, Outcome, OutcomeKind, Proof
from resumable.core.states import ChunkState, FileState, SessionState
from resumable.errors import UploadError
from resumable.protocol.question import MOST_FILES, FileAnswer

WHOLE = FileAnswer(True, result={"name": "a"})
ABSENT = FileAnswer(False)
PARTIAL = FileAnswer(False, ((0, 1),))


def begun(files: int, *, takes_questions: bool | None = True, **rules: Any) -> tuple[Driver, list[FileCore]]:
    """A session with so many files of two chunks, and one before them, whose answer said this of the server."""
    driver = Driver(**{"test_chunks": True, "slots": 1, **rules})
    driver.add(1)
    added = [driver.add(2) for _ in range(files)]
    driver.upload()
    first = driver.lease()
    driver.answer(first, "present", proof=Proof.WHOLE, takes_questions=takes_questions)
    return driver, added


def keys(files: Sequence[FileCore]) -> tuple[int, ...]:
    return tuple(file.key for file in files)


def told(driver: Driver, lease: Lease, *answers: FileAnswer | None, **facts: Any) -> list[str]:
    return driver.answer(lease, "told", answers=answers, **facts)


def test_files_that_nobody_has_asked_for_are_asked_for_together() -> None:
    driver, files = begun(FEWEST_FILES, slots=2)
    lease = driver.lease()
    assert (lease.files, lease.file) == (keys(files), files[0].key)
    assert driver.core.active == 1
    assert driver.leases() == []


def test_a_question_has_so_many_files_and_those_behind_have_another() -> None:
    driver, files = begun(MOST_FILES + FEWEST_FILES, slots=2)
    assert [lease.files for lease in driver.leases()] == [keys(files[:MOST_FILES]), keys(files[MOST_FILES:])]


@pytest.mark.parametrize(
    ("count", "rules"),
    [
        (FEWEST_FILES - 1, {}),
        (FEWEST_FILES, {"takes_questions": None}),
        (FEWEST_FILES, {"takes_questions": False}),
        (FEWEST_FILES, {"test_every_chunk": True}),
    ],
    ids=["few", "unknown", "old", "every chunk"],
)
def test_otherwise_each_is_tested(count: int, rules: dict[str, Any]) -> None:
    driver, files = begun(count, **rules)
    lease = driver.lease()
    assert (lease.files, lease.test, lease.file) == ((), True, files[0].key)


def test_nobody_is_asked_who_is_not_tested() -> None:
    driver = Driver(test_chunks=False, slots=1)
    files = [driver.add(2) for _ in range(FEWEST_FILES + 1)]
    driver.upload()
    driver.answer(driver.lease(), "accepted", takes_questions=True)
    assert driver.lease().file == files[0].key
    assert driver.core.active == 1


def test_a_server_that_has_once_not_understood_is_not_asked_again() -> None:
    driver, files = begun(FEWEST_FILES)
    told(driver, driver.lease(), takes_questions=False)
    lease = driver.lease()
    assert (lease.files, lease.test, lease.file) == ((), True, files[0].key)
    driver.answer(lease, "present", takes_questions=True)
    assert driver.lease().files == ()


def test_what_the_server_has_is_done_and_what_it_lacks_is_sent_without_a_test() -> None:
    driver, files = begun(FEWEST_FILES)
    whole, part, absent, unknown = files[:4]
    events = told(driver, driver.lease(), WHOLE, PARTIAL, ABSENT, *[None] * (FEWEST_FILES - 3), any_order=True)
    assert events == ["file_success"]
    assert (whole.state, whole.result, whole.known_whole) == (FileState.SUCCESS, {"name": "a"}, True)
    assert driver.core.chunk_state(part.key, 0)[0] is ChunkState.DONE
    assert (part.known_whole, absent.known_whole, unknown.known_whole) == (False, False, None)
    assert driver.core.bytes_skipped == driver.core.bytes_done == 10 + 20 + 10
    sent = []
    for _ in range(4):
        lease = driver.lease()
        sent.append((lease.file, lease.index, lease.test, lease.files))
        driver.answer(lease, "accepted" if not lease.test else "present", proof=Proof.PARTIAL)
    assert sent == [
        (part.key, 1, False, ()),
        (part.key, 1, True, ()),
        (absent.key, 0, False, ()),
        (absent.key, 1, False, ()),
    ]


def test_a_file_whose_chunks_are_all_stored_is_not_done_unless_the_server_says_so() -> None:
    driver, files = begun(FEWEST_FILES)
    assert told(driver, driver.lease(), FileAnswer(False, ((0, 2),)), *[WHOLE] * 15) == ["file_success"] * 15
    lease = driver.lease()
    assert (lease.file, lease.confirm) == (files[0].key, True)
    assert driver.answer(lease, "present", proof=Proof.WHOLE) == ["file_success", "complete"]


def test_files_behind_the_end_of_an_answer_are_asked_for_again() -> None:
    driver, files = begun(2 * FEWEST_FILES)
    told(driver, driver.lease(), *[WHOLE] * FEWEST_FILES)
    lease = driver.lease()
    assert lease.files == keys(files[FEWEST_FILES:])
    told(driver, lease, *[WHOLE] * FEWEST_FILES)
    assert driver.core.state is SessionState.IDLE


def test_files_of_which_nothing_was_said_are_tested_one_by_one() -> None:
    """Also after an error, as if they had never been asked for, and the next files are asked for again."""
    for facts in ({"answers": (None,) * MOST_FILES}, {"kind": "refused"}):
        driver, files = begun(MOST_FILES + FEWEST_FILES)
        driver.answer(driver.lease(), **{"kind": "told", **facts})
        lease = driver.lease()
        assert (lease.files, lease.test, lease.file) == ((), True, files[0].key)
        for file in files[:MOST_FILES]:
            driver.do(driver.core.cancel_file, file.key)
        driver.answer(lease, "stopped")
        assert driver.lease().files == keys(files[MOST_FILES:])


def test_a_pause_stops_a_question_which_is_asked_again() -> None:
    driver, files = begun(FEWEST_FILES)
    lease = driver.lease()
    driver.do(driver.core.pause)
    assert driver.stopped == [lease.id]
    driver.answer(lease, "stopped")
    driver.upload()
    assert driver.lease().files == keys(files)


def test_an_answer_counts_that_comes_after_the_pause() -> None:
    driver, files = begun(FEWEST_FILES)
    lease = driver.lease()
    driver.do(driver.core.pause_file, files[0].key)
    driver.do(driver.core.pause)
    told(driver, lease, *[WHOLE] * FEWEST_FILES)
    assert {file.state for file in files} == {FileState.SUCCESS}


def test_a_question_is_stopped_when_none_of_its_files_is_open_and_not_before() -> None:
    driver, files = begun(FEWEST_FILES)
    lease = driver.lease()
    for file in files[:-1]:
        driver.do(driver.core.cancel_file, file.key)
    assert driver.stopped == []
    driver.do(driver.core.cancel_file, files[-1].key)
    assert driver.stopped == [lease.id]
    assert not driver.core.finished
    assert told(driver, lease, *[WHOLE] * FEWEST_FILES) == ["complete"]


def test_an_answer_says_nothing_of_a_file_that_began_anew_or_has_ended() -> None:
    driver, files = begun(FEWEST_FILES)
    lease = driver.lease()
    anew, marked = files[:2]
    driver.do(driver.core.bootstrap_file, anew.key)
    driver.do(driver.core.mark_file, marked.key, [(0, 2)])
    assert marked.state is FileState.SUCCESS
    told(driver, lease, *[WHOLE] * FEWEST_FILES)
    assert marked.result is None
    assert (anew.state, anew.bytes_done) == (FileState.READY, 0)
    again = driver.lease()
    assert (again.file, again.files, again.test) == (anew.key, (), True)


def test_a_closed_session_takes_no_answer() -> None:
    driver, files = begun(FEWEST_FILES)
    lease = driver.lease()
    driver.do(driver.core.close)
    assert driver.stopped == [lease.id]
    assert told(driver, lease, *[WHOLE] * FEWEST_FILES) == []
    assert told(driver, lease, *[WHOLE] * FEWEST_FILES) == []
    assert {file.state for file in files} == {FileState.CANCELLED}


def test_a_file_that_was_touched_ends_the_question_before_it() -> None:
    driver, files = begun(2 * FEWEST_FILES, slots=2)
    driver.do(driver.core.bootstrap_file, files[FEWEST_FILES].key)
    assert driver.lease().files == keys(files[:FEWEST_FILES])


def test_a_file_that_is_paused_or_gone_or_waits_for_its_hooks_is_not_asked_for() -> None:
    driver, files = begun(FEWEST_FILES + 2, slots=2)
    driver.add(2, prepared=False)
    driver.do(driver.core.pause_file, files[3].key)
    driver.do(driver.core.cancel_file, files[7].key)
    assert driver.lease().files == keys([*files[:3], *files[4:7], *files[8:]])


def test_the_answer_to_a_question_is_progress() -> None:
    """The time without progress begins anew, and there is nothing to wait for."""
    driver, files = begun(FEWEST_FILES, retry_for=10.0)
    lease = driver.lease()
    driver.now = 9.0
    assert driver.core.waits_until(driver.now) is driver.core.waits_until(driver.now, files[0]) is None
    told(driver, lease, ABSENT, *[WHOLE] * (FEWEST_FILES - 1))
    driver.now = 18.0
    error = UploadError("no")
    assert driver.answer(driver.lease(), "retry", error=error, answered=True) == ["chunk_retry", "file_retry"]


def test_a_server_that_is_busy_is_left_alone_and_asked_again() -> None:
    """Several times in a row; then the files are tested one by one."""
    driver, files = begun(FEWEST_FILES, slots=2, delay=lambda retries, failures: 10.0 * failures)
    for number in range(1, MOST_POSTPONED + 1):
        lease = driver.lease()
        assert lease.files == keys(files)
        told(driver, lease, busy=True, retry_after=25.0)
        assert driver.core.waits_until(driver.now) == driver.now + max(25.0, 10.0 * number)
        assert driver.leases() == []
        driver.now += max(25.0, 10.0 * number)
    told(driver, driver.lease(), busy=True, retry_after=25.0)
    lease = driver.lease()
    assert (lease.files, lease.test, lease.file) == ((), True, files[0].key)


def test_an_answer_ends_the_row_of_times_that_a_server_was_busy() -> None:
    driver, files = begun(MOST_FILES + FEWEST_FILES)
    for _ in range(MOST_POSTPONED):
        told(driver, driver.lease(), busy=True)
    told(driver, driver.lease(), *[WHOLE] * MOST_FILES)
    told(driver, driver.lease(), busy=True)
    assert driver.lease().files == keys(files[MOST_FILES:])


def test_new_files_are_not_tested_ahead_where_they_can_be_asked_for() -> None:
    driver, files = begun(FEWEST_FILES, connections=16)
    assert driver.lease().files == keys(files)
    assert not driver.core.may_probe(driver.now)


def test_a_test_that_found_nothing_says_too_whether_files_can_be_asked_for_together() -> None:
    driver = Driver(test_chunks=True, slots=1)
    driver.add(1)
    files = [driver.add(2) for _ in range(FEWEST_FILES)]
    driver.upload()
    lease = driver.lease()
    driver.core.begin_send(lease.id, Outcome(OutcomeKind.ABSENT, takes_questions=True))
    driver.answer(lease)
    assert driver.lease().files == keys(files)
