"""Files that the server has, while the hook ``after_file`` is still to run, and files that were given up."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.core_driver import Driver

from resumable.core.file import FileCore
from resumable.core.records import Lease, Outcome, OutcomeKind, Proof
from resumable.core.states import FileState

PARTIAL: dict[str, Any] = {"proof": Proof.PARTIAL}
WHOLE: dict[str, Any] = {"proof": Proof.WHOLE}
END = ["file_success", "complete"]
FAILED = ["file_error", "error", "complete"]


def hook(driver: Driver) -> Lease:
    """The only lease that there is: the one of the hook."""
    (lease,) = driver.leases()
    assert (lease.prepare, lease.after) == (True, True)
    return lease


def sent(chunks: int = 2, **rules: Any) -> tuple[Driver, FileCore]:
    """A file, all chunks of which a foreign server took."""
    driver = Driver(after_file=True, **rules)
    file = driver.add(chunks)
    driver.upload()
    while not file.complete:
        assert "file_success" not in driver.answer(driver.lease(), message="taken", response="answer")
    return driver, file


def test_the_hook_runs_once_and_then_the_file_is_a_success() -> None:
    driver, file = sent()
    assert (file.state, file.message, file.response) == (FileState.UPLOADING, "taken", "answer")
    lease = hook(driver)
    assert driver.leases() == []
    assert driver.answer(lease, "prepared") == END
    assert (file.message, file.response) == ("taken", "answer")


@pytest.mark.parametrize("size", [0, 5, 45])
def test_a_file_whose_hook_runs_is_not_done(size: int) -> None:
    driver = Driver(after_file=True)
    file = driver.add(0, size=size)
    driver.upload()
    while not file.complete:
        driver.answer(driver.lease())
    assert file.bytes_done == driver.core.bytes_done == (30 if size == 45 else 0)
    lease = hook(driver)
    assert driver.do(driver.core.mark_file, file.key, [(0, 9)]) == []
    driver.answer(lease, "prepared")
    assert file.bytes_done == driver.core.bytes_done == size


@pytest.mark.parametrize("asked", [False, True])
def test_a_receiver_of_ours_is_asked_whether_it_has_the_file_before_and_after_the_hook(asked: bool) -> None:
    """After it, because only that shows whether it still has the file when the hook is called again."""
    driver = Driver(after_file=True)
    file = driver.add(2)
    driver.upload()
    driver.answer(driver.lease(), **PARTIAL)
    driver.answer(driver.lease(), **(PARTIAL if asked else WHOLE))
    result = {"name": "a"}
    if asked:
        question = driver.lease()
        assert question.confirm
        assert driver.answer(question, "present", result=result, **WHOLE) == []
        assert file.result == result
    error = RuntimeError("the hook raised")
    assert driver.answer(hook(driver), "refused", error=error) == FAILED
    assert (file.error, file.complete) == (error, True)
    driver.do(driver.core.retry_file, file.key, driver.now)
    question = driver.lease()
    assert question.confirm
    assert driver.answer(question, "present", result=result, **WHOLE) == []
    assert file.result == result
    assert driver.answer(hook(driver), "prepared") == END
    assert file.bytes_done == driver.core.bytes_done == 20


def test_what_a_receiver_lost_before_the_hook_is_called_again_is_sent_again() -> None:
    driver = Driver(after_file=True)
    file = driver.add(3)
    driver.upload()
    for lease in driver.leases():
        driver.answer(lease, **WHOLE)
    driver.answer(hook(driver), "refused", error=RuntimeError())
    driver.do(driver.core.retry_file, file.key, driver.now)
    driver.answer(driver.lease(), "denied", stored=((0, 2),), **PARTIAL)
    again = driver.lease()
    assert again.index == 2
    driver.answer(again, **WHOLE)
    assert driver.answer(hook(driver), "prepared") == END


def test_a_foreign_server_is_not_asked_again_and_its_answer_is_kept_for_the_hook() -> None:
    """It may have forgotten the chunks when it put the file together."""
    driver, file = sent(test_chunks=False)
    for _ in range(2):
        assert driver.answer(hook(driver), "refused", message="hook", error=RuntimeError()) == FAILED
        assert (file.message, file.bytes_done) == ("hook", 10)
        driver.do(driver.core.retry_file, file.key, driver.now)
        assert (file.state, file.message, file.response) == (FileState.READY, "taken", "answer")
    assert driver.answer(hook(driver), "prepared") == END


def test_the_hook_runs_for_chunks_that_were_there_before_once_they_are_confirmed() -> None:
    driver = Driver(after_file=True, test_chunks=True)
    file = driver.add(3)
    driver.upload()
    for lease in driver.leases():
        driver.answer(lease, "present", believed=True)
    question = driver.lease()
    assert question.confirm
    assert driver.answer(question, "present") == []
    assert driver.answer(hook(driver), "refused", error=RuntimeError()) == FAILED
    driver.do(driver.core.retry_file, file.key, driver.now)
    assert driver.answer(hook(driver), "prepared") == END


@pytest.mark.parametrize("prepared", [False, True])
def test_the_hook_runs_for_a_file_of_which_the_program_says_that_it_is_stored(prepared: bool) -> None:
    driver = Driver(after_file=True)
    file = driver.add(2, prepared=prepared)
    driver.upload()
    if prepared:
        assert driver.do(driver.core.mark_file, file.key, [(0, 2)]) == []
    else:
        assert driver.answer(driver.lease(), "prepared", stored=((0, 2),)) == []
    assert driver.answer(hook(driver), "prepared") == END


@pytest.mark.parametrize("said", [WHOLE, PARTIAL, {}])
def test_the_hook_of_a_part_runs_when_the_part_is_stored(said: dict[str, Any]) -> None:
    driver = Driver(after_file=True)
    file = driver.add(6, part=(2, 2))
    driver.upload()
    for lease in driver.leases():
        driver.answer(lease, **said)
    if said is PARTIAL:
        driver.answer(driver.lease(), "denied", stored=((1, 2), (3, 4), (5, 6)), **PARTIAL)
    driver.answer(hook(driver), "refused", error=RuntimeError())
    driver.do(driver.core.retry_file, file.key, driver.now)
    if said:
        question = driver.lease()
        assert question.confirm
        kind = "present" if said is WHOLE else "denied"
        driver.answer(question, kind, stored=((1, 2), (3, 4), (5, 6)), **said)
    assert driver.answer(hook(driver), "prepared") == END
    assert (file.bytes_done, file.known_whole) == (30, {"whole": True, "partial": False}.get(_proof(said)))


def _proof(said: dict[str, Any]) -> str:
    return said["proof"].value if said else ""


def test_the_hook_of_a_part_without_chunks_runs_too() -> None:
    driver = Driver(after_file=True, test_chunks=True, connections=16)
    driver.add(1, part=(2, 2))
    driver.upload()
    assert driver.answer(driver.lease(), "prepared") == []
    assert driver.answer(hook(driver), "prepared") == END


def test_a_paused_file_ends_with_its_hook_and_begins_none() -> None:
    driver, file = sent()
    lease = hook(driver)
    driver.do(driver.core.pause_file, file.key)
    assert driver.stopped == []
    assert driver.answer(lease, "prepared") == END
    driver, file = sent()
    driver.do(driver.core.pause_file, file.key)
    assert driver.wait() is None
    driver.do(driver.core.resume_file, file.key)
    assert driver.answer(hook(driver), "prepared") == END


def test_a_hook_that_was_stopped_runs_again() -> None:
    driver, _ = sent()
    assert driver.answer(hook(driver), "stopped") == []
    assert driver.answer(hook(driver), "prepared") == END


@pytest.mark.parametrize("kind", ["prepared", "refused"])
def test_what_becomes_of_the_hook_of_a_file_that_was_cancelled_changes_nothing(kind: str) -> None:
    driver, file = sent()
    lease = hook(driver)
    assert driver.do(driver.core.cancel_file, file.key) == ["file_cancelled"]
    assert driver.answer(lease, kind) == ["complete"]
    assert file.state is FileState.CANCELLED


def test_what_becomes_of_the_hook_of_a_session_that_was_closed_changes_nothing() -> None:
    driver, file = sent()
    lease = hook(driver)
    driver.do(driver.core.close)
    assert driver.answer(lease, "prepared") == []
    assert file.state is FileState.CANCELLED


def test_a_file_that_is_cut_anew_while_its_hook_runs_is_sent_again_and_has_its_hook_again() -> None:
    driver, file = sent()
    lease = hook(driver)
    driver.do(driver.core.bootstrap_file, file.key)
    assert driver.wait() is None
    assert driver.answer(lease, "prepared") == []
    assert sorted(driver.indexes()) == [0, 1]


def test_a_hook_that_raises_drops_the_other_files_if_one_failure_is_enough() -> None:
    driver = Driver(after_file=True, on_abort=True, fail_fast=True, slots=2)
    first, second = driver.add(1), driver.add(1)
    driver.upload()
    one, _ = driver.leases()
    driver.answer(one)
    lease = driver.lease()
    effects = driver.core.report(lease, Outcome(OutcomeKind.REFUSED, error=RuntimeError()), 0.0)
    assert (first.state, second.state) == (FileState.ERROR, FileState.CANCELLED)
    assert effects.abandoned == (second.key,)


def test_files_are_given_up_by_a_cancel_that_has_not_come_too_late() -> None:
    driver = Driver(on_abort=True, slots=1)
    whole, failed, begun, waits = (driver.add(2) for _ in range(4))
    driver.upload()
    for kind in ("accepted", "accepted", "refused"):
        driver.answer(driver.lease(), kind)
    driver.lease()
    assert (whole.state, failed.state, begun.state) == (FileState.SUCCESS, FileState.ERROR, FileState.UPLOADING)
    assert driver.core.cancel_file(begun.key).abandoned == (begun.key,)
    assert driver.core.cancel_file(begun.key).abandoned == ()
    assert driver.core.cancel().abandoned == (waits.key, failed.key)


def test_what_is_closed_is_not_given_up() -> None:
    driver = Driver(on_abort=True)
    driver.add(1)
    driver.upload()
    driver.lease()
    assert driver.core.close().abandoned == ()


def test_without_the_hook_nobody_is_told_of_what_is_given_up() -> None:
    driver = Driver()
    driver.add(1)
    assert driver.core.cancel().abandoned == ()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_hook_has_run_for_each_success_and_for_nothing_that_was_not_stored(seed: int) -> None:
    """Random answers and commands; the hook runs for a file alone, when all of it is stored, and last."""
    chance = random.Random(seed)
    driver = Driver(after_file=True, test_chunks=chance.random() < 0.5, max_chunk_retries=3, slots=3)
    files = [driver.add(chance.randrange(1, 4), prepared=chance.random() < 0.7) for _ in range(3)]
    ours = chance.random() < 0.5
    ran: set[int] = set()
    driver.upload()
    for step in range(200):
        calm = step > 100
        driver.upload()
        for file in files:
            if file.state is FileState.ERROR:
                driver.do(driver.core.retry_file, file.key, driver.now)
            if file.state is FileState.PAUSED and (calm or chance.random() < 0.5):
                driver.do(driver.core.resume_file, file.key)
            elif not calm and chance.random() < 0.1:
                driver.do(driver.core.pause_file, file.key)
            elif not calm and chance.random() < 0.05:
                driver.do(driver.core.bootstrap_file, file.key)
                ran.discard(file.key)
        driver.now += 1.0
        for lease in driver.leases():
            file = driver.core.files[lease.file]
            good = calm or chance.random() < 0.7
            if lease.after:
                assert file.complete
                assert not file.live
                if not calm and chance.random() < 0.2:
                    driver.do(driver.core.pause_file, file.key)
                if driver.answer(lease, "prepared" if good else "refused", error=RuntimeError()) and good:
                    ran.add(file.key)
            elif lease.prepare:
                driver.answer(lease, "prepared")
            elif lease.confirm:
                driver.answer(lease, "present" if good else "retry", **(WHOLE if ours else {}))
            elif lease.test and not driver.send(lease):
                driver.answer(lease, "stopped")
            else:
                driver.answer(lease, "accepted" if good else "retry", **(PARTIAL if ours else {}))
    assert ran == {file.key for file in files if file.state is FileState.SUCCESS} == {1, 2, 3}
    assert driver.core.bytes_done == driver.core.total_size
