"""How many uploads there are: facts one by one, and whole uploads over lines and servers that are a model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from support.core_driver import Driver
from support.link_model import Line, Simulation

from resumable.core.concurrency import CAUTION, FEW, FULL_FOR, MOST, REST, USUAL, ConcurrencyController, Flow
from resumable.core.records import Lease
from resumable.core.states import ChunkState

pytestmark = pytest.mark.once

MIB = 1024 * 1024
NOTHING = Flow()
FAST = 25e6
"""Bytes a second of 200 Mbit/s."""


# -- one fact at a time --------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """A controller, the time, and the way to let a window pass."""

    controller: ConcurrencyController
    now: float = 0.0
    attempts: int = 0

    def window(self, rate: float = 1, *, seconds: float = 0.2, answers: int = 400, flow: Flow = NOTHING) -> int:
        """How many there may be after a window with this rate, in GB a second, and so many answers a second, each to a
        chunk that took so many seconds."""
        controller = self.controller
        if controller.measure_at == math.inf:
            controller.busy(MIB)
        if controller.measure_at == -math.inf:
            controller.measure(flow, self.now)
        length = controller.measure_at - self.now
        count = round(answers * length)
        for _ in range(count):
            controller.answered(round(rate * 1e9 * length / count), seconds)
        self.now = controller.measure_at
        controller.measure(flow, self.now)
        return controller.slots

    def fail(self, *, busy: bool = False) -> int:
        """The newest attempt failed. How many there may be now."""
        self.attempts += 1
        self.controller.failed(self.attempts, self.attempts, self.now, busy=busy)
        return self.controller.slots


@pytest.fixture
def bench() -> Bench:
    return Bench(ConcurrencyController(FEW, MOST))


def test_a_number_stays_what_it_is() -> None:
    """Whatever happens, and nobody has to measure anything."""
    controller = ConcurrencyController(7, None)
    controller.busy(MIB)
    controller.answered(MIB, 0.1)
    controller.failed(1, 1, 0.0, busy=True)
    controller.limit(2)
    assert (controller.slots, controller.measure_at) == (7, math.inf)


def test_it_doubles_while_that_pays_up_to_the_usual_number(bench: Bench) -> None:
    """A trial takes two windows, because the first is for new connections to find their speed."""
    assert bench.window(1) == 6
    assert bench.window(1) == 6
    assert bench.window(2) == 6 == USUAL
    assert max(bench.window(2) for _ in range(30)) == 6


@pytest.mark.parametrize(
    ("most", "said", "flow"),
    [
        (16, 16, NOTHING),
        (16, None, Flow(0, 0.05, lossy=True)),
        (10, None, Flow(0, 0.05, lossy=True)),
        (6, None, Flow(0, 0.05)),
        (6, None, Flow(0, 0.05, lossy=True, queue=0.05)),
        (6, None, Flow(0, 0.01, lossy=True)),
        (6, None, Flow(0, None, lossy=True)),
        (4, 4, Flow(0, 0.05, lossy=True)),
        (2, 2, NOTHING),
        (16, 500, NOTHING),
    ],
)
def test_the_limit_is_what_the_server_says_or_what_the_way_allows(most: int, said: int | None, flow: Flow) -> None:
    """With each upload as fast as all others."""
    bench = Bench(ConcurrencyController(FEW, 10 if most == 10 else MOST))
    bench.window(flow=flow)
    if said is not None:
        bench.controller.limit(said)
    assert max(bench.window(bench.controller.slots, flow=flow) for _ in range(200)) == most


@pytest.mark.parametrize(("gain", "kept"), [(0.9, 3), (1.0, 3), (1.07, 3), (1.1, 4), (1.2, 5), (1.3, 6), (2.0, 6)])
def test_as_many_stay_as_are_worth_it(bench: Bench, gain: float, kept: int) -> None:
    """Each upload has to bring a quarter of its part."""
    bench.window(1)
    bench.window(0.1)
    assert bench.window(gain) == kept


@pytest.mark.parametrize(("sessions", "most"), [(1, 6), (2, 3), (3, 2), (6, 1), (100, 1)])
def test_sessions_share_what_one_would_have(bench: Bench, sessions: int, most: int) -> None:
    """Those that come later, and at its next look the one that had all."""
    flow = Flow(sessions=sessions)
    assert max(bench.window(bench.controller.slots) for _ in range(5)) == 6
    assert [bench.window(bench.controller.slots, flow=flow) for _ in range(3)] == [most] * 3
    assert max(bench.window(bench.controller.slots) for _ in range(100)) == 6


def test_beyond_the_usual_number_each_brings_half_of_its_part(bench: Bench) -> None:
    """From 6 to 12 that is half as much again."""
    bench.controller.limit(MOST)
    bench.window(1)
    bench.window(2)
    bench.window(2)
    assert bench.window(2) == 12
    bench.window(2)
    assert bench.window(2.6) == 9


@pytest.mark.parametrize(("queue", "kept"), [(0.0, 6), (0.004, 6), (0.02, 3), (0.05, 3)])
def test_on_a_full_line_each_has_to_bring_half_of_its_part_later(bench: Bench, queue: float, kept: int) -> None:
    """Three others use the line, and lose what more uploads gain. A short queue is nothing to anybody."""
    flow = Flow(round_trip=0.05, queue=queue)
    bench.window(1, flow=flow)
    seen = [bench.window(2 / (1 + 3 / bench.controller.slots), flow=flow) for _ in range(60)]
    assert seen[0] == 6
    assert max(seen[30:], key=seen[30:].count) == kept


def test_later_a_few_are_taken_away_to_see_whether_they_are_missed(bench: Bench) -> None:
    """They are not, so it goes on down to a few, and no further."""
    seen = [bench.window(1 if bench.now < 0.5 else 2) for _ in range(60)]
    assert seen[:4] == [6, 6, 6, 6]
    assert [number for number, before in zip(seen[1:], seen, strict=False) if number < before][:3] == [5, 4, 3]
    assert min(seen) == FEW


def test_quick_answers_are_tried_with_one(bench: Bench) -> None:
    """Threads that wait for each other are slower than one."""
    assert bench.window(1, seconds=0.001) == 1
    assert bench.window(1.2, seconds=0.001) == 1
    assert {bench.window(1.2, seconds=0.001) for _ in range(5)} == {1}


def test_one_that_is_slower_does_not_stay(bench: Bench) -> None:
    """Even if it is not by much."""
    assert bench.window(1, seconds=0.001) == 1
    assert bench.window(0.9, seconds=0.001) == FEW


def test_one_is_enough_only_while_answers_are_quick(bench: Bench) -> None:
    """Then the search begins anew."""
    bench.window(1, seconds=0.001)
    bench.window(1.2, seconds=0.001)
    assert bench.window(1, seconds=0.1) == FEW
    assert bench.window(1, seconds=0.1) == 6


@pytest.mark.parametrize(("slots", "fewer"), [(16, 12), (12, 9), (6, 4), (4, 3), (3, 2), (2, 1), (1, 1)])
def test_a_server_that_has_too_much_to_do_gets_less_at_once(slots: int, fewer: int) -> None:
    """Once for all attempts that began before, and only if something got through since."""
    controller = ConcurrencyController(slots, MOST)
    controller.answered(MIB, 0.1)
    controller.failed(4, 9, 0.0, busy=True)
    assert controller.slots == fewer
    controller.answered(MIB, 0.1)
    controller.failed(9, 9, 0.0, busy=True)
    assert controller.slots == fewer
    controller.failed(10, 12, 0.0, busy=True)
    assert controller.slots == max(1, min(fewer - 1, fewer * 3 // 4))


def test_what_was_too_much_is_not_tried_again_for_a_while(bench: Bench) -> None:
    """Then it is."""
    bench.window()
    assert bench.fail(busy=True) == 4
    refused = bench.now
    seen: list[tuple[float, int]] = []
    while bench.now < refused + 5 * CAUTION:
        number = bench.window(bench.controller.slots)
        seen.append((bench.now, number))
    assert max(number for now, number in seen if now < refused + CAUTION) == 5
    assert max(number for _, number in seen) == 6


def test_a_trial_that_is_refused_ends_where_it_began() -> None:
    """A step of one goes back by one."""
    bench = Bench(ConcurrencyController(5, MOST))
    assert bench.window() == USUAL
    assert bench.fail(busy=True) == 5


def test_requests_that_are_lost_leave_a_few(bench: Bench) -> None:
    """Unless it happens again soon."""
    bench.window()
    assert bench.fail() == 4
    for pause, slots in [(60, 3), (60, 3), (5, 2), (5, 1), (60, 1)]:
        bench.controller.answered(MIB, 0.1)
        bench.now += pause
        assert bench.fail() == slots


def test_a_server_that_is_gone_changes_nothing(bench: Bench) -> None:
    """The number was not the reason."""
    assert [bench.fail() for _ in range(4)] == [FEW] * 4
    assert bench.window() == 6


def test_nobody_tries_more_before_the_first_answer(bench: Bench) -> None:
    """But with the first, at once."""
    controller = bench.controller
    controller.busy(MIB)
    controller.measure(Flow(), 0.0)
    for departed in range(1, 9):
        bench.now = controller.measure_at
        controller.measure(Flow(departed * MIB), bench.now)
        assert controller.slots == FEW
    controller.answered(MIB, 1.0)
    controller.measure(Flow(8 * MIB), controller.measure_at + 6)
    assert controller.slots == 6


def test_nothing_is_learnt_while_a_slot_is_idle(bench: Bench) -> None:
    """Or if a chunk was stopped in between."""
    bench.controller.busy(MIB)
    bench.controller.measure(Flow(), 0.0)
    bench.controller.idle()
    assert bench.controller.measure_at == math.inf


LONG = Flow(round_trip=0.05)


def opened(size: int, *departed: int, flow: Flow = LONG, said: int = MOST) -> int:
    """How many there are if so many bytes have left by one round trip after the other, before the first answer."""
    controller = ConcurrencyController(FEW, MOST)
    controller.limit(said)
    controller.busy(size)
    controller.measure(flow, 0.0)
    for total in departed:
        controller.measure(flow._replace(departed=total), controller.measure_at)
    return controller.slots


def test_on_a_long_way_the_usual_number_begins_before_the_first_answer() -> None:
    """As soon as the first bytes show that as many chunks arrive in time."""
    assert opened(MIB, 10_000) == FEW
    assert opened(MIB, 10_000, 31_000) == USUAL
    assert opened(MIB, 100_000) == USUAL
    assert opened(10 * MIB, 100_000) == FEW
    assert opened(10 * MIB, 100_000, 310_000) == USUAL


def test_a_line_that_is_full_or_short_begins_with_a_few() -> None:
    """So does one of which the system tells nothing, and a server that likes no more."""
    assert opened(MIB, 100_000, flow=Flow(round_trip=0.05, queue=0.02)) == FEW
    assert opened(MIB, 100_000, flow=Flow(round_trip=0.01)) == FEW
    assert opened(MIB, 100_000, flow=Flow()) == FEW
    assert opened(MIB, 100_000, said=2) == 2
    assert opened(MIB, 100_000, said=4) == 4


def test_a_line_that_was_full_a_moment_ago_is_full() -> None:
    """Its own queue comes and goes, and what it loses then is no reason for more uploads."""
    bench = Bench(ConcurrencyController(USUAL, MOST))
    lossy = LONG._replace(lossy=True)
    bench.window(flow=lossy._replace(queue=0.05))
    full = bench.now
    while bench.window(flow=lossy) == USUAL:
        assert bench.now < full + 2 * FULL_FOR
    assert bench.now >= full + FULL_FOR


def test_what_is_lost_on_a_full_line_is_no_reason_for_more_uploads() -> None:
    """Also if it is full for a round trip within a window, as when all connections find their speed at once."""
    bench = Bench(ConcurrencyController(USUAL, MOST))
    bench.window(flow=LONG)
    look = bench.controller.look_at
    assert bench.now < look < bench.controller.measure_at
    bench.controller.measure(LONG._replace(lossy=True, queue=0.05), look)
    bench.controller.measure(LONG._replace(lossy=True), bench.controller.look_at)
    assert max(bench.window(flow=LONG) for _ in range(40)) == USUAL


def test_losses_that_are_seen_later_are_made_up_for_at_once() -> None:
    """A session that has the usual number does not rest before it tries more, once."""
    bench = Bench(ConcurrencyController(USUAL, MOST))
    assert [bench.window(flow=LONG) for _ in range(3)] == [USUAL] * 3
    lossy = LONG._replace(lossy=True)
    seen = [bench.window(flow=lossy) for _ in range(6)]
    assert seen[:2] == [12, 12]
    assert seen[2:] == [USUAL] * 4
    assert bench.now < REST


def test_losses_at_the_beginning_are_made_up_for_without_an_answer() -> None:
    """A slow first chunk may keep the others waiting. What is more than twice the usual number waits for answers."""
    lossy = LONG._replace(lossy=True)
    assert opened(MIB, 100_000, 3_000_000, flow=lossy) == 12
    assert opened(MIB, 100_000, 3_000_000, 6_000_000, 9_000_000, flow=lossy) == 12
    assert opened(MIB, 21_000, 231_000, flow=lossy) == USUAL
    assert opened(MIB, 100_000, 3_000_000, flow=lossy, said=4) == 4


def test_more_that_the_server_likes_are_tried_without_an_answer() -> None:
    """On a long line that was never full."""
    assert opened(MIB, 100_000, 3_000_000) == 12
    assert opened(MIB, 100_000, 3_000_000, said=USUAL) == USUAL
    assert opened(MIB, 100_000, 3_000_000, flow=Flow(round_trip=0.01)) == FEW


def test_no_window_is_judged_before_its_time(bench: Bench) -> None:
    """Two threads may find at once that it is time."""
    for rate in (0.5, 1, 1):
        bench.window(rate)
        due = bench.controller.measure_at
        bench.controller.measure(NOTHING, bench.now)
        assert (bench.controller.slots, bench.controller.measure_at) == (6, due)


def test_a_window_waits_for_answers(bench: Bench) -> None:
    """But not for ever, and not if bytes flow all the time."""
    bench.window()
    assert bench.window(answers=4) == 6
    while bench.controller.slots == 6:
        bench.window(answers=4)
    assert 6 < bench.now < 20


def test_nobody_waits_too_long_on_a_slow_line(bench: Bench) -> None:
    """With six, a chunk would take longer than servers wait."""
    controller = bench.controller
    controller.busy(10 * MIB)
    controller.measure(Flow(), 0.0)
    for _ in range(6):
        controller.answered(MIB, 2.0)
    controller.measure(Flow(), 6.0)
    assert controller.slots == FEW


# -- whole uploads -------------------------------------------------------------------------------------------------


@pytest.mark.unmeasured
def test_a_long_clean_line_gets_the_usual_number() -> None:
    """And keeps it, or one less."""
    run = Simulation(Line(rate=FAST, each=FAST / 2), MIB).run(60)
    assert run.most == USUAL
    assert run.share(5, 6, since=2) > 0.99


@pytest.mark.unmeasured
@pytest.mark.parametrize("each", [0.47e6, 1.8e6])
def test_a_long_line_that_loses_packets_gets_all(each: float) -> None:
    """Within seconds, for each connection is slow by itself."""
    run = Simulation(Line(rate=FAST, each=each, lossy=True), MIB).run(60)
    assert run.share(MOST, MOST, since=8) > 0.8


@pytest.mark.unmeasured
def test_a_long_line_of_which_the_system_tells_nothing_gets_the_usual_number() -> None:
    """Nobody knows that it loses packets."""
    run = Simulation(Line(rate=FAST, each=0.47e6, lossy=True, told=False), MIB).run(60)
    assert run.most == USUAL


@pytest.mark.unmeasured
@pytest.mark.parametrize("lossy", [False, True])
@pytest.mark.parametrize(("rate", "round_trip"), [(FAST, 0.01), (FAST, 0.05), (5e6, 0.05), (2.5e6, 0.15)])
def test_another_who_uses_the_line_keeps_a_quarter(rate: float, round_trip: float, lossy: bool) -> None:
    """After a minute. It gets as much as one upload, and loses packets when they make the line full."""
    run = Simulation(Line(rate=rate, others=1, round_trip=round_trip, lossy=lossy), MIB).run(60)
    before = run.taken
    run.run(120)
    assert run.taken - before >= 0.245 * rate * 120


@pytest.mark.unmeasured
def test_a_satellite_gets_the_usual_number() -> None:
    run = Simulation(Line(rate=2.5e6, round_trip=0.3), MIB).run(60)
    assert run.share(5, 6, since=6) > 0.99


@pytest.mark.unmeasured
@pytest.mark.parametrize("rate", [125e3, 250e3, 500e3])
def test_a_slow_line_keeps_a_few(rate: float) -> None:
    """More would only share it, and none is lost."""
    run = Simulation(Line(rate=rate, round_trip=0.08, lossy=True, step=0.02), MIB).run(300)
    assert run.share(FEW, FEW, since=0) > 0.9
    assert run.failures == []


@pytest.mark.unmeasured
@pytest.mark.parametrize(("above", "lossy"), [(4, False), (2, False), (1, False), (4, True), (9, True)])
def test_a_server_that_refuses_too_many_gets_what_it_takes(above: int, lossy: bool) -> None:
    """Within seconds, and with few refusals afterwards."""
    run = Simulation(Line(rate=FAST, each=1e6, busy_above=above, lossy=lossy), MIB).run(120)
    assert run.share(max(above - 2, 1), above, since=10) > 0.9
    assert len(run.failures) <= 12


@pytest.mark.unmeasured
@pytest.mark.parametrize("above", [4, 6, 10])
def test_a_server_that_cuts_off_too_many_gets_what_it_takes(above: int) -> None:
    run = Simulation(Line(rate=FAST, each=1e6, broken_above=above, lossy=True), MIB).run(120)
    assert run.share(above - 3, above, since=10) > 0.9
    assert len(run.failures) <= 12


@pytest.mark.unmeasured
@pytest.mark.parametrize(("workers", "low", "high"), [(1, 3, 4), (2, 3, 4), (4, 4, 6)])
def test_a_small_server_is_not_crowded(workers: int, low: int, high: int) -> None:
    """Its queue brings nothing."""
    run = Simulation(Line(round_trip=0.005, workers=workers, service=0.1), MIB).run(120)
    assert run.most == USUAL
    assert run.share(low, high, since=20) > 0.9


@pytest.mark.unmeasured
def test_small_files_nearby_are_sent_one_at_a_time() -> None:
    """Because threads that want the interpreter wait for each other."""
    line = Line(round_trip=0.00002, work=0.0004, quarrel=0.35, step=0.0001)
    run = Simulation(line, 1024).run(2)
    assert run.share(1, 1, since=0.2) > 0.99


@pytest.mark.unmeasured
def test_small_files_a_little_further_away_are_not() -> None:
    """Most of the time is spent with waiting."""
    line = Line(round_trip=0.001, work=0.0004, quarrel=0.2, step=0.0001)
    run = Simulation(line, 1024).run(2)
    assert run.share(FEW, FEW, since=0.5) > 0.99


# -- the slots of a session ----------------------------------------------------------------------------------------


def adaptive(slots: int = FEW) -> Driver:
    """A session with a file of a thousand chunks, all slots taken."""
    driver = Driver(slots=slots, most_slots=MOST)
    driver.add(1000)
    driver.upload()
    return driver


def turn(driver: Driver, leases: list[Lease], seconds: float) -> list[Lease]:
    """All chunks are answered after so many seconds, and others take their slots."""
    driver.now += seconds
    for lease in leases:
        driver.answer(lease, answered=True)
        if driver.now >= driver.core.concurrency.measure_at:
            driver.core.concurrency.measure(Flow(), driver.now)
    return driver.leases()


def test_a_session_has_as_many_slots_as_it_finds_best() -> None:
    """It begins with a few."""
    driver = adaptive()
    leases = driver.leases()
    assert len(leases) == driver.core.concurrency.slots == driver.core.active == FEW
    while driver.now < 3:
        leases = turn(driver, leases, 0.05)
    assert len(leases) == driver.core.concurrency.slots == USUAL


def test_a_session_with_fewer_slots_than_requests_begins_none_and_retries_none() -> None:
    """Until as many have ended. What is due then goes first."""
    driver = adaptive(4)
    leases = driver.leases()
    driver.answer(leases[0])
    driver.leases()
    driver.answer(leases[1], "retry", busy=True, answered=True)
    assert driver.core.concurrency.slots == 3
    assert driver.wait() is None
    driver.answer(leases[2])
    assert driver.lease().index == leases[1].index
    assert driver.wait() is None


def test_a_server_says_how_many_it_likes() -> None:
    driver = adaptive()
    leases = driver.leases()
    driver.answer(leases[0], max_uploads=1)
    assert driver.core.concurrency.slots == 1
    assert driver.wait() is None
    driver.answer(leases[1])
    assert driver.wait() is None
    driver.answer(leases[2])
    assert len(driver.leases()) == 1


def test_a_test_that_is_too_much_for_the_server_is_a_sign() -> None:
    """There are fewer uploads after one in its turn, and fewer tests after one ahead of it."""
    driver = Driver(slots=4, most_slots=4, test_chunks=True, connections=6)
    driver.add(40)
    driver.upload()
    driver.answer(driver.lease(), "present")
    leases = driver.leases()
    sent = next(lease for lease in leases if not lease.ahead)
    ahead = next(lease for lease in leases if lease.ahead)
    driver.answer(ahead, "absent", crowded=True)
    assert driver.core.concurrency.slots == 4
    assert not driver.core.files[1].is_tested(ahead.index)
    driver.send(sent)
    driver.answer(sent, "accepted", crowded=True)
    assert driver.core.concurrency.slots == 3
    assert driver.core.chunk_state(1, sent.index)[0] is ChunkState.DONE


def test_a_session_that_has_too_little_to_do_learns_nothing() -> None:
    """Its slots are not all taken."""
    driver = Driver(slots=FEW, most_slots=MOST)
    driver.add(3)
    driver.upload()
    leases = driver.leases()
    assert driver.core.concurrency.measure_at == -math.inf
    driver.answer(leases[0])
    assert driver.wait() is None
    assert driver.core.concurrency.measure_at == math.inf


def test_a_session_has_no_more_slots_than_the_server_likes() -> None:
    driver = Driver(slots=3, most_slots=16)
    driver.core.concurrency.limit(2)
    assert driver.core.concurrency.slots == 2
