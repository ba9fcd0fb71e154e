"""How many chunks are tested ahead of their turn."""

from __future__ import annotations

from resumable.core.probes import Probes
from resumable.core.retry import SessionPolicy


def test_there_are_half_as_many_after_some_had_no_answer_however_many_they_were() -> None:
    probes = Probes(SessionPolicy(slots=4, connections=16), {})
    for identifier in range(4):
        assert probes.free(identifier)
        probes.begin(identifier, lacking=False)
    assert not probes.free(4)
    for identifier in (0, 1):
        probes.failed()
        probes.end(identifier)
    assert not probes.free(2)
    for identifier in (2, 3):
        probes.end(identifier)
    assert not probes.free(0)
    probes.progressed(0.1)
    assert probes.free(0)
    for _ in range(10):
        probes.found()
    probes.begin(4, lacking=False)
    assert probes.free(1)
    probes.begin(5, lacking=False)
    assert not probes.free(2)


def test_new_files_are_tested_ahead_unless_answers_are_quick() -> None:
    """A chunk that took long says so for a while."""
    probes = Probes(SessionPolicy(slots=3, connections=16), {})
    paid = []
    for seconds in (0.1, *[0.001] * 20, 0.1):
        paid.append(probes.pay_for_new_files)
        probes.progressed(seconds)
    assert paid[:2] == [True, True]
    assert (paid[-1], probes.pay_for_new_files) == (False, True)


def test_they_leave_room_for_uploads_and_take_none_from_them() -> None:
    probes = Probes(SessionPolicy(slots=2, connections=2), {})
    probes.begin(0, lacking=True)
    assert probes.leave_room(1)
    assert not probes.leave_room(2)
    assert probes.lacking == 1


def test_a_session_that_tests_nothing_or_everything_has_none() -> None:
    for policy in (
        SessionPolicy(test_chunks=False, connections=8),
        SessionPolicy(test_every_chunk=True, connections=8),
    ):
        assert not Probes(policy, {}).free(0)
