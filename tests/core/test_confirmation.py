"""Files whose chunks are all taken for stored, and that something still has to confirm."""

from __future__ import annotations

from typing import Any

import pytest
from support.core_driver import Driver

from resumable.core.file import FileCore
from resumable.core.records import Lease, Proof
from resumable.core.states import ChunkState, FileState

PARTIAL: dict[str, Any] = {"proof": Proof.PARTIAL}
WHOLE: dict[str, Any] = {"proof": Proof.WHOLE}
UNFINISHED: dict[str, Any] = {"proof": Proof.UNFINISHED}


def asked(chunks: int = 4, *, size: int | None = None, **rules: Any) -> tuple[Driver, FileCore, Lease]:
    """A file of which all chunks were sent, and the question whether the receiver has it."""
    driver = Driver(**rules)
    file = driver.add(chunks, size=size)
    driver.upload()
    while not file.complete:
        assert "file_success" not in driver.answer(driver.lease(), **PARTIAL)
    (question,) = driver.leases()
    assert (question.confirm, question.ours, question.index) == (True, True, file.plan.count - 1)
    return driver, file, question


def skipped(chunks: int = 4, **rules: Any) -> tuple[Driver, FileCore, Lease]:
    """A file of which a foreign server says that it has the first chunks, all but one, and the question."""
    driver = Driver(test_chunks=True, slots=1, **rules)
    file = driver.add(chunks)
    driver.upload()
    for _ in range(chunks - 1):
        driver.answer(driver.lease(), "present", believed=True)
    last = driver.lease()
    assert not driver.send(last)
    driver.answer(last, "stopped")
    (question,) = driver.leases()
    assert question.confirm
    assert not question.ours
    return driver, file, question


def test_a_file_is_a_success_with_the_answer_that_says_whole() -> None:
    driver = Driver()
    driver.add(2)
    driver.upload()
    driver.answer(driver.lease(), **PARTIAL)
    assert driver.answer(driver.lease(), **WHOLE) == ["chunk_success", "file_success", "complete"]


def test_an_answer_that_says_whole_before_the_last_is_asked_about() -> None:
    """Answers of requests that are on the wire together come in any order, or the last chunk began a new upload."""
    driver = Driver()
    driver.add(2)
    driver.upload()
    first, second = driver.leases()
    driver.answer(second, **WHOLE)
    assert driver.answer(first, **PARTIAL) == ["chunk_success"]
    assert driver.answer(driver.lease(), "present", **WHOLE) == ["file_success", "complete"]


@pytest.mark.parametrize("size", [0, 5, 45])
def test_a_file_that_waits_to_be_confirmed_is_not_done(size: int) -> None:
    """Its last chunk does not count, and nothing else is leased."""
    driver, file, question = asked(size=size)
    assert file.state is FileState.UPLOADING
    assert file.bytes_done == driver.core.bytes_done == (30 if size == 45 else 0)
    assert driver.wait() is None
    driver.do(driver.core.mark_file, file.key, [(0, 1)])
    assert driver.answer(question, "present", **WHOLE) == ["file_success", "complete"]
    assert file.bytes_done == driver.core.bytes_done == size


def test_what_a_receiver_lacks_is_sent_and_the_question_asked_again() -> None:
    driver, file, question = asked()
    assert driver.answer(question, "denied", stored=((0, 1), (3, 9)), **PARTIAL) == []
    assert (file.bytes_done, driver.core.bytes_done) == (20, 20)
    first, second = driver.leases()
    assert [first.index, second.index] == [1, 2]
    driver.answer(first, **PARTIAL)
    driver.answer(second, **PARTIAL)
    (again,) = driver.leases()
    error = RuntimeError("not whole")
    told = driver.answer(again, "denied", stored=((0, 3),), error=error, **PARTIAL)
    assert told == ["file_error", "error", "complete"]
    assert (file.error, file.bytes_done) == (error, 30)


def test_a_retry_of_a_file_that_was_denied_begins_anew() -> None:
    """What is missing is sent, and the receiver is asked for the whole once more, not for the last time."""
    driver, file, question = asked()
    driver.answer(question, "denied", **PARTIAL)
    for lease in driver.leases():
        driver.answer(lease, **PARTIAL)
    driver.answer(driver.lease(), **PARTIAL)
    driver.answer(driver.lease(), "denied", stored=((0, 3),), **PARTIAL)
    assert file.state is FileState.ERROR
    driver.do(driver.core.retry_file, file.key, driver.now)
    driver.answer(driver.lease(), **PARTIAL)
    driver.answer(driver.lease(), "denied", stored=((0, 3),), **PARTIAL)
    assert file.state is FileState.UPLOADING
    driver.answer(driver.lease(), **WHOLE)
    assert file.state is FileState.SUCCESS


@pytest.mark.parametrize("mode", ["free", "bookends"])
@pytest.mark.parametrize("first_and_last", [False, True])
@pytest.mark.parametrize("chunks", [1, 2, 5])
def test_a_receiver_that_has_all_chunks_and_not_the_file_gets_the_last_again(
    mode: str, first_and_last: bool, chunks: int
) -> None:
    driver, _, question = asked(chunks, mode=mode, first_and_last=first_and_last)
    driver.answer(question, "denied", stored=((0, chunks),), **PARTIAL)
    (lease,) = driver.leases()
    assert lease.index == chunks - 1
    assert driver.answer(lease, **WHOLE) == ["chunk_success", "file_success", "complete"]


def test_a_question_that_fails_is_asked_again_later_and_not_for_ever() -> None:
    driver, file, question = asked(max_chunk_retries=1, delay=lambda retries, failures: 5.0)
    assert driver.answer(question, "retry") == ["file_retry"]
    assert driver.wait() == 5.0
    driver.now = 5.0
    (again,) = driver.leases()
    assert (again.confirm, again.retries) == (True, 1)
    assert driver.answer(again, "retry", error=OSError()) == ["file_error", "error", "complete"]
    driver.do(driver.core.retry_file, file.key, driver.now)
    assert driver.lease().confirm


def test_a_question_that_is_refused_fails_the_file_and_forgets_nothing() -> None:
    driver, file, question = asked()
    assert driver.answer(question, "refused", **PARTIAL) == ["file_error", "error", "complete"]
    assert file.complete
    driver.do(driver.core.retry_file, file.key, driver.now)
    (again,) = driver.leases()
    assert again.confirm
    assert driver.answer(again, "present", **WHOLE) == ["file_success", "complete"]


@pytest.mark.parametrize("kind", ["stopped", "retry", "refused"])
def test_a_question_that_is_stopped_is_asked_again(kind: str) -> None:
    driver, file, question = asked()
    driver.do(driver.core.pause_file, file.key)
    assert driver.stopped == [question.id]
    driver.answer(question, kind)
    assert driver.wait() is None
    driver.do(driver.core.resume_file, file.key)
    assert driver.lease().confirm


def test_a_question_that_is_stopped_is_asked_again_though_the_file_was_said_to_be_whole() -> None:
    """The answer itself was lost, behind a redirect for instance, so the file has not ended by it."""
    driver, file, question = asked()
    driver.do(driver.core.pause_file, file.key)
    driver.answer(question, "stopped", **WHOLE)
    driver.do(driver.core.resume_file, file.key)
    (again,) = driver.leases()
    assert again.confirm
    assert driver.answer(again, "present", **WHOLE) == ["file_success", "complete"]


def test_marks_do_not_end_a_file_that_is_being_asked_about() -> None:
    """Its question is under way, and would come after the end."""
    driver, file, question = asked(delay=lambda retries, failures: 5.0)
    driver.answer(question, "retry", **WHOLE)
    assert driver.do(driver.core.mark_file, file.key, [(0, 4)]) == []
    assert file.bytes_done == 30
    driver.now = 5.0
    assert driver.answer(driver.lease(), "present", **WHOLE) == ["file_success", "complete"]
    assert file.bytes_done == driver.core.bytes_done == 40


def test_marks_that_end_a_file_count_all_its_bytes() -> None:
    driver, file, question = asked()
    driver.do(driver.core.pause_file, file.key)
    driver.answer(question, "stopped", **WHOLE)
    assert driver.do(driver.core.mark_file, file.key, [(0, 4)]) == ["file_success", "complete"]
    assert file.bytes_done == driver.core.bytes_done == 40


def test_a_question_that_is_answered_though_it_was_stopped_counts() -> None:
    driver, file, question = asked()
    driver.do(driver.core.pause_file, file.key)
    driver.answer(question, "denied", stored=((0, 3),), **PARTIAL)
    driver.do(driver.core.resume_file, file.key)
    assert [lease.index for lease in driver.leases()] == [3]


def test_a_question_that_waits_for_its_retry_is_stopped_by_a_pause() -> None:
    driver, file, question = asked(delay=lambda retries, failures: 5.0)
    driver.answer(question, "retry")
    driver.do(driver.core.pause_file, file.key)
    driver.do(driver.core.resume_file, file.key)
    assert driver.lease().confirm


def test_the_answer_to_a_question_of_the_past_is_not_counted() -> None:
    """The file was cut anew meanwhile, and waits until the question has left the wire."""
    driver, file, question = asked()
    driver.do(driver.core.bootstrap_file, file.key)
    assert driver.wait() is None
    assert driver.answer(question, "present", **WHOLE) == []
    assert sorted(driver.indexes()) == [0, 1, 2]


def test_a_question_of_the_past_does_not_keep_a_new_cut_from_its_end() -> None:
    driver, file, question = asked()
    driver.do(driver.core.bootstrap_file, file.key)
    assert driver.do(driver.core.mark_file, file.key, [(0, 4)]) == ["file_success"]
    assert driver.answer(question, "stopped") == ["complete"]


def test_what_a_foreign_server_was_believed_is_forgotten_and_sent_without_a_test() -> None:
    driver, file, question = skipped(6)
    assert question.index == 4
    driver.answer(question, "denied")
    assert (file.bytes_done, file.bytes_skipped) == (0, 0)
    sent = []
    while file.state is FileState.UPLOADING:
        lease = driver.lease()
        assert not lease.test
        sent.append(lease.index)
        driver.answer(lease)
    assert sent == [0, 1, 2, 3, 4, 5]
    assert driver.events()[-2:] == ["file_success", "complete"]


@pytest.mark.parametrize("mode", ["free", "bookends", "sequential"])
@pytest.mark.parametrize("first_and_last", [False, True])
@pytest.mark.parametrize("chunks", [2, 3, 6])
def test_what_a_foreign_server_was_believed_and_confirms_is_stored(
    mode: str, first_and_last: bool, chunks: int
) -> None:
    driver, file, question = skipped(chunks, mode=mode, first_and_last=first_and_last)
    assert driver.answer(question, "present") == []
    (last,) = driver.leases()
    assert not last.test
    assert driver.answer(last) == ["chunk_success", "file_success", "complete"]
    assert (file.bytes_done, file.bytes_skipped) == (10 * chunks, 10 * (chunks - 1))


def test_the_last_chunk_waits_for_the_others_and_then_for_the_question() -> None:
    """A foreign server forgets all chunks with the last, whichever that is."""
    driver = Driver(test_chunks=True, slots=9)
    driver.add(4)
    driver.upload()
    first, second, third, fourth = driver.leases()
    driver.answer(first, "present", believed=True)
    assert not driver.send(third)
    assert driver.send(fourth)
    assert driver.send(second)
    driver.answer(third, "stopped")
    assert driver.wait() is None
    driver.answer(fourth)
    assert driver.wait() is None
    driver.answer(second)
    (question,) = driver.leases()
    assert (question.confirm, question.index) == (True, 0)
    driver.answer(question, "present")
    (again,) = driver.leases()
    assert (again.index, again.test, again.final) == (2, False, True)
    assert driver.answer(again) == ["chunk_success", "file_success", "complete"]


def test_a_foreign_server_that_has_all_chunks_is_asked_at_the_end() -> None:
    driver = Driver(test_chunks=True)
    file = driver.add(3)
    driver.upload()
    for lease in driver.leases():
        driver.answer(lease, "present", believed=True)
    (question,) = driver.leases()
    assert (question.confirm, file.bytes_done) == (True, 20)
    assert driver.answer(question, "present") == ["file_success", "complete"]


def test_a_foreign_server_is_not_asked_for_what_it_may_have_forgotten() -> None:
    """What was there before was the last in turn, and the chunk that was sent meanwhile has completed the file."""
    driver = Driver(test_chunks=True)
    driver.add(3)
    driver.upload()
    first, second, third = driver.leases()
    assert driver.send(second)
    driver.answer(first, "present", believed=True)
    driver.answer(third, "present", believed=True)
    assert driver.answer(second) == ["chunk_success", "file_success", "complete"]


def test_a_foreign_server_that_still_has_the_last_chunk_is_asked_after_one_was_sent() -> None:
    driver = Driver(test_chunks=True, slots=1)
    driver.add(3)
    driver.upload()
    driver.answer(driver.lease(), "present", believed=True)
    sent = driver.lease()
    assert driver.send(sent)
    driver.answer(sent)
    driver.answer(driver.lease(), "present", believed=True)
    (question,) = driver.leases()
    assert question.confirm


@pytest.mark.parametrize("kind", ["stopped", "retry"])
def test_a_question_before_the_last_chunk_that_is_stopped_is_asked_again(kind: str) -> None:
    driver, file, question = skipped()
    driver.do(driver.core.pause_file, file.key)
    driver.answer(question, kind)
    driver.do(driver.core.resume_file, file.key)
    (again,) = driver.leases()
    assert again.confirm


def test_the_verdict_holds_when_the_last_chunk_is_sent_again() -> None:
    """Its answer was lost, and the server has forgotten all chunks."""
    driver, file, question = skipped(max_chunk_retries=0)
    driver.answer(question, "present")
    driver.answer(driver.lease(), "retry", error=OSError())
    assert file.state is FileState.ERROR
    driver.do(driver.core.retry_file, file.key, driver.now)
    last = driver.lease()
    assert driver.send(last)
    assert driver.answer(last) == ["chunk_success", "file_success", "complete"]


def test_a_receiver_of_ours_that_answers_the_question_is_asked_at_the_end() -> None:
    driver, file, question = skipped()
    driver.answer(question, "denied", **PARTIAL)
    assert not driver.lease().confirm
    assert file.bytes_done == 30


def test_chunks_that_a_foreign_server_listed_are_only_believed() -> None:
    driver = Driver(test_chunks=True)
    file = driver.add(9)
    driver.upload()
    lease = driver.lease()
    driver.send(lease)
    driver.answer(lease, stored=((2, 4), (5, 9)), believed=True)
    first, second = driver.leases()
    assert not driver.send(first)
    assert driver.send(second)
    driver.answer(first, "stopped")
    driver.answer(second)
    (question,) = driver.leases()
    assert (question.confirm, question.index) == (True, 8)
    driver.answer(question, "denied")
    assert driver.core.chunk_state(file.key, 0)[0] is ChunkState.DONE
    assert sorted(driver.finish()) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_chunks_that_the_user_marked_are_taken_for_stored() -> None:
    driver = Driver()
    file = driver.add(3)
    driver.upload()
    assert driver.do(driver.core.mark_file, file.key, [(0, 3)]) == ["file_success", "complete"]


def unfinished(chunks: int = 3, **rules: Any) -> tuple[Driver, FileCore]:
    """A file of which a foreign server took all chunks, and said with each that it has not the file."""
    driver = Driver(**{"test_chunks": True, "slots": 1, **rules})
    file = driver.add(chunks)
    driver.upload()
    while not file.asked:
        lease = driver.lease()
        driver.send(lease)
        told = driver.answer(lease, **UNFINISHED)
        assert told == ["chunk_success"]
    assert (file.state, file.bytes_done, driver.core.bytes_done) == (FileState.UPLOADING, 0, 0)
    return driver, file


@pytest.mark.parametrize("mode", ["free", "bookends", "sequential"])
@pytest.mark.parametrize("test_chunks", [False, True])
@pytest.mark.parametrize("chunks", [1, 2, 5])
def test_a_file_that_a_foreign_server_has_not_is_sent_again(mode: str, test_chunks: bool, chunks: int) -> None:
    driver, file = unfinished(chunks, mode=mode, test_chunks=test_chunks)
    sent = []
    while file.state is FileState.UPLOADING:
        lease = driver.lease()
        assert lease.test is test_chunks
        driver.send(lease)
        sent.append(lease.index)
        driver.answer(lease, **({} if len(sent) == chunks else UNFINISHED))
    assert sent == [driver.core.files[file.key].order.index(position) for position in range(chunks)]
    assert file.state is FileState.SUCCESS
    assert (file.bytes_done, driver.core.bytes_done, file.bytes_skipped) == (10 * chunks, 10 * chunks, 0)


@pytest.mark.parametrize("chunks", [1, 2, 5])
def test_a_file_that_a_foreign_server_still_has_not_fails_and_a_retry_begins_anew(chunks: int) -> None:
    driver, file = unfinished(chunks)
    error = RuntimeError("not whole")
    for _ in range(chunks):
        lease = driver.lease()
        driver.send(lease)
        told = driver.answer(lease, error=error, **UNFINISHED)
    assert told == ["chunk_success", "file_error", "error", "complete"]
    assert (file.error, file.bytes_done, driver.core.bytes_done) == (error, 0, 0)
    driver.do(driver.core.retry_file, file.key, driver.now)
    for left in reversed(range(chunks)):
        lease = driver.lease()
        assert driver.send(lease)
        driver.answer(lease, **UNFINISHED)
        assert file.asked is not left
    assert file.state is FileState.UPLOADING


def test_a_foreign_server_that_has_not_the_file_gets_only_what_it_lacks() -> None:
    driver, file = unfinished(4)
    for index in range(4):
        lease = driver.lease()
        assert (lease.index, lease.test) == (index, True)
        if index == 2:
            driver.send(lease)
            assert driver.answer(lease) == ["chunk_success"]
        else:
            told = driver.answer(lease, "present")
    assert told == ["chunk_success", "file_success", "complete"]
    assert (file.bytes_done, file.bytes_skipped) == (40, 30)


@pytest.mark.parametrize("believed", [False, True])
@pytest.mark.parametrize("said", [{}, UNFINISHED])
@pytest.mark.parametrize("chunks", [1, 4])
def test_a_foreign_server_that_has_all_chunks_and_not_the_file_gets_the_last_again(
    believed: bool, said: dict[str, Any], chunks: int
) -> None:
    driver, file = unfinished(chunks)
    for _ in range(chunks):
        driver.answer(driver.lease(), "present", believed=believed)
    lease = driver.lease()
    assert (lease.index, lease.test, lease.confirm, file.bytes_done) == (chunks - 1, False, False, 10 * (chunks - 1))
    end = ["file_error", "error"] if said else ["file_success"]
    assert driver.answer(lease, **said) == ["chunk_success", *end, "complete"]


def test_any_answer_that_does_not_say_so_may_be_that_to_the_last_chunk() -> None:
    """The server ends with the chunk whose answer comes first."""
    driver = Driver()
    driver.add(3)
    driver.upload()
    first, second, third = driver.leases()
    driver.answer(third)
    driver.answer(second, **UNFINISHED)
    assert driver.answer(first, **UNFINISHED) == ["chunk_success", "file_success", "complete"]


def test_a_file_of_which_all_or_the_rest_was_there_is_taken_for_whole() -> None:
    driver = Driver(test_chunks=True)
    driver.add(2)
    driver.upload()
    first, second = driver.leases()
    assert driver.send(first)
    driver.answer(first, **UNFINISHED)
    assert driver.answer(second, "present") == ["chunk_success", "file_success", "complete"]


def test_a_receiver_of_ours_is_not_asked_as_a_foreign_server_is() -> None:
    driver = Driver()
    file = driver.add(2)
    driver.upload()
    driver.answer(driver.lease(), **PARTIAL)
    assert driver.answer(driver.lease(), **UNFINISHED) == ["chunk_success"]
    assert not file.asked
    (question,) = driver.leases()
    assert (question.confirm, question.ours) == (True, True)


def test_a_paused_file_that_a_foreign_server_has_not_waits_and_is_sent_again() -> None:
    driver = Driver()
    file = driver.add(1)
    driver.upload()
    lease = driver.lease()
    driver.do(driver.core.pause_file, file.key)
    assert driver.answer(lease, **UNFINISHED) == ["chunk_success"]
    assert (file.state, file.bytes_done) == (FileState.PAUSED, 0)
    assert driver.wait() is None
    driver.do(driver.core.resume_file, file.key)
    assert driver.finish() == [0]
    assert file.state is FileState.SUCCESS


def test_a_file_that_is_cut_anew_or_tried_again_is_not_finished_by_what_was_said_before() -> None:
    driver = Driver()
    file = driver.add(2)
    driver.upload()
    first, second = driver.leases()
    driver.answer(first)
    driver.answer(second, "refused")
    assert file.finished
    driver.do(driver.core.retry_file, file.key, driver.now)
    assert not file.finished
    driver.answer(driver.lease())
    driver.do(driver.core.bootstrap_file, file.key)
    assert not file.finished
