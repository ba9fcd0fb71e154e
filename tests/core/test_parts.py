"""A part of a file: only its chunks count, and it has succeeded when they are stored, whatever others do."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.core_driver import Driver

from resumable.core.records import Lease, OutcomeKind, Proof
from resumable.core.states import ChunkState, FileState
from resumable.protocol.plan import ChunkPlan

PARTIAL: dict[str, Any] = {"proof": Proof.PARTIAL}
WHOLE: dict[str, Any] = {"proof": Proof.WHOLE}
ANY: dict[str, Any] = {"proof": Proof.PARTIAL, "any_order": True, "listed": True}


def question(driver: Driver) -> Lease:
    """The only lease that there is: a question."""
    (lease,) = driver.leases()
    assert lease.confirm
    assert lease.test
    return lease


def test_the_server_is_asked_before_anything_is_sent_and_sent_the_chunks_of_the_part() -> None:
    driver = Driver(mode="bookends", test_chunks=True, slots=9)
    file = driver.add(7, part=(2, 3))
    driver.upload()
    driver.answer(question(driver), "denied", **ANY)
    leases = driver.leases()
    assert [(lease.index, lease.test, lease.final) for lease in leases] == [(1, False, True), (4, False, True)]
    assert (file.size, driver.core.total_size, file.known_whole) == (20, 20, False)
    assert driver.answer(leases[1], **PARTIAL) == ["chunk_success"]
    assert driver.answer(leases[0], **PARTIAL) == ["chunk_success"]
    assert (file.bytes_done, file.known_whole) == (10, False)
    assert driver.answer(question(driver), "denied", stored=((1, 2), (4, 5)), **PARTIAL) == ["file_success", "complete"]
    assert (file.bytes_done, driver.core.bytes_done, file.known_whole) == (20, 20, False)


@pytest.mark.parametrize(("kind", "said"), [("refused", PARTIAL), ("refused", {})])
def test_a_part_that_may_not_be_sent_fails_before_it_is(kind: str, said: dict[str, Any]) -> None:
    driver = Driver(mode="bookends", test_chunks=True)
    file = driver.add(6, part=(1, 2))
    driver.upload()
    assert driver.answer(question(driver), kind, error=RuntimeError(), **said) == ["file_error", "error", "complete"]
    assert file.state is FileState.ERROR
    driver.do(driver.core.retry_file, file.key, driver.now)
    assert question(driver).confirm


def test_a_question_that_fails_is_asked_again_and_nothing_is_sent() -> None:
    driver = Driver(mode="bookends", delay=lambda retries, failures: 5.0)
    driver.add(6, part=(1, 2))
    driver.upload()
    assert driver.answer(question(driver), "retry") == ["file_retry"]
    driver.now = 5.0
    assert question(driver).retries == 1


def test_what_is_stored_is_not_sent_again() -> None:
    driver = Driver(mode="bookends", test_chunks=True)
    file = driver.add(6, part=(1, 2))
    driver.upload()
    driver.answer(question(driver), "denied", stored=((0, 4),), **ANY)
    assert (file.bytes_done, file.bytes_skipped) == (20, 20)
    (lease,) = driver.leases()
    assert lease.index == 4
    assert driver.answer(lease, **WHOLE) == ["chunk_success", "file_success", "complete"]
    assert file.known_whole


@pytest.mark.parametrize(("kind", "said"), [("present", WHOLE), ("denied", PARTIAL)])
def test_a_part_that_is_stored_succeeds_with_the_first_answer(kind: str, said: dict[str, Any]) -> None:
    driver = Driver(mode="bookends", test_chunks=True)
    file = driver.add(6, part=(2, 2))
    driver.upload()
    told = driver.answer(question(driver), kind, stored=((0, 6),), any_order=True, **said)
    assert told == ["file_success", "complete"]
    assert (file.bytes_done, file.known_whole) == (30, kind == "present")


def test_chunks_that_the_server_lost_are_sent_again_and_the_rest_is_asked_for_once() -> None:
    driver = Driver(test_chunks=True, slots=1)
    file = driver.add(6, part=(2, 2))
    driver.upload()
    for index in (1, 3, 5):
        lease = driver.lease()
        assert lease.index == index
        assert driver.send(lease)
        driver.answer(lease, **PARTIAL)
    assert driver.answer(question(driver), "denied", stored=((1, 2),), **PARTIAL) == []
    assert file.bytes_done == 10
    for index in (3, 5):
        lease = driver.lease()
        assert (lease.index, lease.test) == (index, True)
        driver.answer(lease, "present", **PARTIAL)
    told = driver.answer(question(driver), "denied", stored=((1, 2),), **PARTIAL)
    assert told == ["file_success", "complete"]
    assert (file.bytes_done, driver.core.bytes_done) == (30, 30)


@pytest.mark.parametrize("mode", ["bookends", "free"])
def test_a_part_without_chunks_succeeds_without_a_request(mode: str) -> None:
    driver = Driver(mode=mode, test_chunks=True)
    file = driver.add(2, part=(3, 3))
    driver.upload()
    lease = driver.lease()
    assert lease.prepare
    assert driver.answer(lease, "prepared") == ["file_success", "complete"]
    assert (file.size, file.known_whole) == (0, None)
    driver.do(driver.core.bootstrap_file, file.key)
    driver.upload()
    assert driver.answer(driver.lease(), "prepared") == ["file_success", "complete"]


def test_other_bytes_are_cut_into_parts_too() -> None:
    driver = Driver()
    file = driver.add(2, part=(2, 2), prepared=False)
    driver.upload()
    driver.answer(driver.lease(), "prepared", plan=ChunkPlan(55, 10))
    assert (file.size, driver.core.total_size) == (20, 20)
    assert driver.indexes() == [1, 3]


def test_a_foreign_server_is_sent_the_part_if_the_user_says_that_it_may_be() -> None:
    driver = Driver(test_chunks=True, slots=1)
    file = driver.add(4, part=(1, 2))
    driver.upload()
    lease = driver.lease()
    assert (lease.index, lease.confirm) == (0, False)
    assert driver.send(lease)
    driver.answer(lease, proof=Proof.UNFINISHED, error=RuntimeError())
    lease = driver.lease()
    assert driver.send(lease)
    assert driver.answer(lease, proof=Proof.UNFINISHED, error=RuntimeError()) == [
        "chunk_success", "file_success", "complete",
    ]  # fmt: skip
    assert file.known_whole is None


def test_chunks_of_others_are_pending_and_those_of_the_part_are_tested_ahead() -> None:
    driver = Driver(test_chunks=True, slots=1, connections=4)
    file = driver.add(8, part=(2, 2))
    driver.upload()
    assert [lease.index for lease in driver.leases()][:1] == [1]
    assert [file.chunk_state(index)[0] is ChunkState.PENDING for index in (0, 2, 7)] == [True] * 3
    assert not file.is_tested(0)


@pytest.mark.parametrize("seed", range(40))
def test_parts_that_are_sent_together_make_the_whole(seed: int) -> None:
    """In whatever order their requests end, with failures, pauses, and parts that begin again from nothing: each chunk
    is sent by its own part, and the one that ends last says that the file is whole."""
    dice = random.Random(seed)
    count, parts = dice.randint(1, 90), dice.randint(1, 6)
    stored: set[int] = set()
    under_way: dict[int, tuple[Driver, list[Lease]]] = {}
    whole: list[bool | None] = []

    def begin(number: int) -> None:
        driver = Driver(mode="bookends", test_chunks=True, slots=dice.randint(1, 4), delay=lambda *_: 0.0)
        driver.add(count, part=(number, parts))
        driver.upload()
        under_way[number] = driver, []

    def said() -> dict[str, Any]:
        ranges = tuple((index, index + 1) for index in sorted(stored))
        return {"proof": Proof.WHOLE if len(stored) == count else Proof.PARTIAL, "stored": ranges, "any_order": True}

    for number in range(1, parts + 1):
        begin(number)
    while under_way:
        number = dice.choice([*under_way])
        driver, leases = under_way[number]
        leases += driver.leases()
        file = driver.core.files[1]
        if leases and dice.random() < 0.05:
            # Killed on its way. What it had sent may still arrive.
            stored |= {lease.index for lease in leases if not lease.test and not lease.prepare and dice.random() < 0.5}
            begin(number)
            continue
        if leases:
            lease = leases.pop(dice.randrange(len(leases)))
            assert lease.prepare or file.order.position(lease.index) < file.order.length
            if lease.prepare:
                driver.answer(lease, "prepared")
            elif dice.random() < 0.2:
                driver.answer(lease, "retry", error=OSError())
            elif lease.confirm:
                driver.answer(lease, "present" if len(stored) == count else "denied", **said())
            elif lease.test and (lease.index in stored or not driver.send(lease)):
                driver.answer(lease, "present" if lease.index in stored else OutcomeKind.STOPPED.value, **said())
            else:
                stored.add(lease.index)
                driver.answer(lease, **said())
        if file.state is FileState.SUCCESS:
            assert file.bytes_done == file.size == driver.core.bytes_done
            whole.append(file.known_whole)
            del under_way[number]
    assert stored == set(range(count))
    assert [said for said in whole if said is not None][-1]
