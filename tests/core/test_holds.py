"""Which chunks are early, when their ends are released, and what becomes of those that go wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.core_driver import Driver

from resumable.core.file import FileCore
from resumable.core.holds import awaits_flowing, may_finish
from resumable.core.records import Lease, Permission


def fresh(chunks: int = 6, **rules: Any) -> tuple[Driver, FileCore]:
    """A run of one file, of which the server has nothing."""
    driver = Driver(
        mode="bookends", **{"slots": 3, "test_chunks": True, "held_bytes": 1000, "smallest_held": 10, **rules}
    )
    file = driver.add(chunks)
    driver.upload()
    return driver, file


def begin_first(driver: Driver) -> Lease:
    """The first chunk, bytes of which are on their way."""
    first = driver.lease()
    assert (first.index, first.awaited, driver.ask(first)) == (0, True, Permission.SEND)
    driver.core.flow(first.id)
    return first


def hold_two(**rules: Any) -> tuple[Driver, FileCore, Lease, list[Lease]]:
    """The first chunk under way, and two others whose ends are held."""
    driver, file = fresh(**rules)
    first = begin_first(driver)
    early = driver.leases()
    assert [driver.ask(lease) for lease in early] == [Permission.HOLD, Permission.HOLD]
    return driver, file, first, early


def test_others_are_asked_for_and_sent_while_the_first_is_and_finish_after_it() -> None:
    """Their ends are released by the answer to the first, not before."""
    driver, _, first, early = hold_two()
    assert [(lease.index, lease.test) for lease in early] == [(1, True), (2, True)]
    assert driver.leases() == []
    assert driver.released == []
    driver.answer(first)
    assert sorted(driver.released) == [lease.id for lease in early]
    assert [driver.answer(lease) for lease in early] == [["chunk_success"], ["chunk_success"]]


def test_nothing_is_early_before_the_first_has_begun_to_flow() -> None:
    """A server that takes one request at a time must find the first one first."""
    driver, _ = fresh()
    first = driver.lease()
    assert driver.leases() == []
    driver.ask(first)
    assert driver.leases() == []
    driver.core.flow(first.id)
    assert [lease.index for lease in driver.leases()] == [1, 2]


def test_the_last_is_sent_beside_the_others_and_finishes_after_all() -> None:
    """It begins when nothing else is left to begin."""
    driver, _ = fresh(4)
    driver.answer(begin_first(driver))
    middle = driver.leases()
    assert [driver.ask(lease) for lease in middle] == [Permission.SEND, Permission.SEND]
    assert driver.leases() == []
    for lease in middle:
        driver.core.flow(lease.id)
    (last,) = driver.leases()
    assert (last.index, driver.ask(last)) == (3, Permission.HOLD)
    driver.answer(middle[1])
    assert driver.released == []
    driver.answer(middle[0])
    assert driver.released == [last.id]
    assert driver.answer(last) == ["chunk_success", "file_success", "complete"]


def test_a_held_chunk_that_the_last_waits_for_holds_it_too() -> None:
    """In a file that fits into the slots all are on the wire at once, and finish in three steps."""
    driver, _ = fresh(3)
    first = begin_first(driver)
    (second,) = driver.leases()
    assert driver.ask(second) is Permission.HOLD
    driver.core.flow(second.id)
    (last,) = driver.leases()
    assert driver.ask(last) is Permission.HOLD
    driver.answer(first)
    assert driver.released == [second.id]
    driver.answer(second)
    assert driver.released == [second.id, last.id]


def test_a_chunk_that_the_server_has_is_early_and_done() -> None:
    """Its test says so while the first is on its way."""
    driver, file = fresh()
    first = begin_first(driver)
    (second, third) = driver.leases()
    driver.answer(second, "present")
    assert driver.ask(third) is Permission.HOLD
    driver.answer(first)
    assert driver.released == [third.id]
    assert file.bytes_done == 20


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param({"held_bytes": 0}, id="switched off"),
        pytest.param({"test_chunks": False}, id="no tests"),
        pytest.param({"smallest_held": 11}, id="small chunks"),
        pytest.param({"held_bytes": 9}, id="large chunks"),
        pytest.param({"slots": 1}, id="one slot"),
    ],
)
def test_no_chunk_is_early(rules: dict[str, Any]) -> None:
    """The first one is alone."""
    driver, _ = fresh(**rules)
    first = driver.lease()
    assert not first.awaited or rules in ({"smallest_held": 11}, {"held_bytes": 9}, {"slots": 1})
    driver.ask(first)
    driver.core.flow(first.id)
    assert driver.leases() == []


@pytest.mark.parametrize("mode", ["strict", "sequential"])
def test_other_orders_hold_nothing(mode: str) -> None:
    """What must be alone is."""
    driver = Driver(mode=mode, slots=3, test_chunks=True, held_bytes=1000, smallest_held=10)
    driver.add(4)
    driver.upload()
    first = driver.lease()
    assert not first.awaited
    driver.ask(first)
    driver.core.flow(first.id)
    assert driver.leases() == []


def test_held_chunks_have_no_more_bytes_than_they_may() -> None:
    """The next one waits for its turn, and is not asked for again then."""
    driver, _ = fresh(held_bytes=15)
    first = begin_first(driver)
    second, third = driver.leases()
    assert driver.ask(second) is Permission.HOLD
    assert driver.ask(third) is Permission.STOP
    driver.answer(third, "stopped")
    assert driver.leases() == []
    driver.answer(first)
    (again,) = [lease for lease in driver.leases() if lease.index == 2]
    assert not again.test


def test_a_test_that_was_not_answered_proves_nothing() -> None:
    """The server may be waiting in the first request."""
    driver, _ = fresh()
    begin_first(driver)
    second, _ = driver.leases()
    assert driver.ask(second, proven=False) is Permission.STOP


def test_a_first_chunk_that_began_again_is_another_request() -> None:
    """A test that was asked before it says nothing about it."""
    driver, _ = fresh()
    first = begin_first(driver)
    second, _ = driver.leases()
    driver.answer(first, "retry")
    again = driver.lease()
    assert again.index == 0
    driver.core.flow(again.id)
    assert driver.ask(second) is Permission.STOP


def test_the_last_is_not_early_while_others_have_not_begun() -> None:
    """Nor are the others, once the first is stored: their turn has come."""
    driver, file = fresh(6)
    driver.answer(begin_first(driver))
    for lease in driver.leases():
        driver.ask(lease)
        driver.core.flow(lease.id)
    assert (awaits_flowing(file, 5), awaits_flowing(file, 4)) == (False, False)
    assert may_finish(file, 4)


def test_other_files_come_first() -> None:
    """No early chunk takes a slot for which another file has work."""
    driver, _ = fresh()
    driver.add(2)
    begin_first(driver)
    assert [(lease.file, lease.index) for lease in driver.leases()] == [(2, 0), (1, 1)]


def test_nothing_is_early_long_before_all_that_it_waits_for_will_be_done() -> None:
    """If each takes as long as the latest, or as the latest of its connection did. Whoever waits is told when."""
    driver, _ = fresh(5)
    first = begin_first(driver)
    driver.now = 5.0
    driver.answer(first)
    one, two, three = driver.lease(), driver.lease(pace=7.0), driver.lease()
    for lease in one, two, three:
        driver.ask(lease)
        driver.core.flow(lease.id)
    driver.now = 6.0
    driver.answer(one)
    assert driver.wait(pace=0.01) == 9.0
    driver.now = 9.0
    last = driver.lease(pace=0.01)
    assert (last.index, driver.ask(last)) == (4, Permission.HOLD)


@pytest.mark.parametrize("answer", ["retry", "refused"])
def test_held_requests_stop_if_the_first_fails(answer: str) -> None:
    """They wait for another turn, with no retry counted and nothing told; early chunks are still possible then."""
    driver, _, first, early = hold_two(delay=lambda retries, streak: 5.0)
    driver.answer(first, answer)
    assert sorted(driver.stopped) == [lease.id for lease in early]
    assert driver.released == []
    if answer == "refused":
        return
    assert [driver.answer(lease, "stopped") for lease in early] == [[], []]
    driver.now = 5.0
    again = driver.lease()
    driver.core.flow(again.id)
    # Of those two it is known that the server lacks them, and nothing can be proven by asking again.
    assert driver.leases() == []
    driver.answer(again)
    assert [(lease.index, lease.test, lease.retries) for lease in driver.leases()][:2] == [(1, False, 0), (2, False, 0)]


@pytest.mark.parametrize("pause", [lambda core, key: core.pause(), lambda core, key: core.pause_file(key)])
def test_a_pause_stops_held_requests(pause: Callable[..., Any]) -> None:
    """And no end is released any more, whatever the first one comes to."""
    driver, file, first, early = hold_two()
    driver.do(pause, driver.core, file.key)
    assert set(driver.stopped) == {first.id, *(lease.id for lease in early)}
    driver.answer(first)
    assert driver.released == []


@pytest.mark.parametrize("kind", ["stopped", "retry", "refused"])
def test_a_held_request_that_fails_costs_no_retry_and_is_the_last_of_its_kind(kind: str) -> None:
    """It waits for its turn as if it had had none. Nothing is early any more in the session."""
    driver, _, first, (second, third) = hold_two(max_chunk_retries=0)
    assert driver.answer(second, kind, busy=True, retry_after=50.0) == []
    assert driver.leases() == []
    driver.answer(first)
    assert driver.released == [third.id]
    again, other = driver.leases()
    assert [(lease.index, lease.test, lease.retries) for lease in (again, other)] == [(1, False, 0), (3, False, 0)]
    assert not again.awaited
    driver.core.flow(again.id)
    assert driver.leases() == []


def test_a_released_request_that_fails_costs_no_retry_either() -> None:
    """What went wrong may have begun while it was held: it is sent once more, and then it counts."""
    driver, _, first, (second, _) = hold_two(max_chunk_retries=0)
    driver.answer(first)
    assert driver.answer(second, "refused") == []
    again = next(lease for lease in driver.leases() if lease.index == 1)
    assert driver.answer(again, "refused") == ["chunk_error", "file_error", "error"]


def test_a_refused_test_of_an_early_chunk_is_asked_again_in_its_turn() -> None:
    """Then it counts."""
    driver, _ = fresh()
    first = begin_first(driver)
    second, third = driver.leases()
    assert driver.answer(second, "refused") == []
    driver.answer(third, "present")
    driver.answer(first)
    again = driver.lease()
    assert (again.index, again.test) == (1, True)
    assert driver.answer(again, "refused")[0] == "chunk_error"


def test_a_lease_that_is_over_does_not_flow() -> None:
    """Its worker may say so late."""
    driver, _ = fresh()
    first = begin_first(driver)
    driver.answer(first)
    driver.core.flow(first.id)
    assert [lease.index for lease in driver.leases()] == [1, 2, 3]


def test_a_server_that_takes_any_order_gets_it() -> None:
    """From its first answer on nothing is held, and nobody waits."""
    driver, _ = fresh(4, slots=4)
    assert driver.ask(driver.lease(), any_order=True) is Permission.SEND
    others = driver.leases()
    assert [lease.index for lease in others] == [1, 2, 3]
    assert [driver.ask(lease, any_order=True) for lease in others] == [Permission.SEND] * 3


def test_an_answer_to_a_chunk_may_say_it_too() -> None:
    """The ends that are held are released then, and the last is like all others."""
    driver, _ = fresh(4)
    first = begin_first(driver)
    second, third = driver.leases()
    assert driver.ask(second) is Permission.HOLD
    driver.answer(third, "present", any_order=True)
    assert driver.released == [second.id]
    (other,) = driver.leases()
    assert (other.index, driver.ask(other)) == (3, Permission.SEND)
    driver.answer(first)


def test_the_order_that_the_user_chose_stays() -> None:
    """Whatever the server says."""
    driver = Driver(mode="strict", slots=4, test_chunks=True)
    driver.add(4)
    driver.upload()
    assert driver.ask(driver.lease(), any_order=True) is Permission.SEND
    assert driver.leases() == []


def test_the_last_chunk_is_early_also_beside_one_that_began_long_ago() -> None:
    """A slow connection may send a chunk of the middle while others send all that comes behind it."""
    driver, file = fresh(chunks=20)
    first = begin_first(driver)
    driver.answer(first)
    slow = driver.lease()
    driver.ask(slow)
    driver.core.flow(slow.id)
    while file.pending > 1:
        lease = driver.lease()
        assert not lease.test or driver.send(lease)
        driver.answer(lease)
    last = driver.lease()
    assert last.index == 19
    assert driver.ask(last) is Permission.HOLD
    driver.answer(slow)
    assert driver.released == [last.id]
