"""What a file of a million chunks costs: a constant."""

from __future__ import annotations

import time
from itertools import islice

import pytest
from support.core_driver import Driver
from support.sizes import sized

from resumable.core.file import FileCore
from resumable.core.records import Lease, Outcome, OutcomeKind

pytestmark = [pytest.mark.once, pytest.mark.unmeasured]

SLOTS = 4
MANY = sized(4_000, 30_000)
"""So many chunks are sent one by one."""
ACCEPTED = Outcome(OutcomeKind.ACCEPTED, answered=True)


def sizes(driver: Driver, file: FileCore) -> int:
    """The size of the largest container that the core holds."""
    core = driver.core
    holders = [core, core._slots, core._ledger, core._ledger.queue, core.effects]
    values = [value for holder in holders for value in vars(holder).values()]
    values += [getattr(file, name) for name in FileCore.__slots__]
    return max(len(value) for value in values if type(value) in (dict, list, set, tuple))


def drive(driver: Driver, chunks: int) -> None:
    """So many chunks were sent, with all slots taken, some answered out of order, some stopped and sent again."""
    core, file = driver.core, driver.core.files[1]
    flying: list[Lease] = []
    for count in range(chunks):
        while isinstance(lease := core.lease(0.0), Lease):
            flying.append(lease)
        core.effects.flush()
        core.report(flying.pop(count % len(flying)), ACCEPTED, 0.0)
        if count % 1_000 == 500:
            core.pause()
            for lease in flying:
                core.report(lease, Outcome(OutcomeKind.STOPPED), 0.0)
            flying.clear()
            core.upload(0.0)
            assert sizes(driver, file) <= SLOTS
    for lease in flying:
        core.report(lease, ACCEPTED, 0.0)


@pytest.mark.parametrize("mode", ["free", "bookends"])
def test_a_file_of_a_million_chunks_needs_no_more_memory_than_its_slots(mode: str) -> None:
    """No container grows beyond the slots, through a whole upload with pauses."""
    driver = Driver(mode=mode, slots=SLOTS)
    file = driver.add(1_000_000)
    driver.upload()
    driver.do(driver.core.mark_file, file.key, [(MANY, 480_000), (485_000, 999_000)])
    drive(driver, MANY)
    assert driver.lease().index == 480_000 + SLOTS - 1
    assert sizes(driver, file) <= SLOTS


def test_the_time_of_a_chunk_does_not_depend_on_how_many_there_are() -> None:
    """The fastest of several rounds near the end of a million chunks is like that of a thousand chunks."""

    def fastest(chunks: int, first: int) -> float:
        rounds = []
        for _ in range(7):
            driver = Driver(slots=SLOTS)
            driver.add(chunks)
            driver.upload()
            driver.do(driver.core.mark_file, 1, [(0, first)])
            start = time.process_time()
            drive(driver, 800)
            rounds.append(time.process_time() - start)
        return min(rounds)

    assert fastest(1_000_000, 999_000) < 3 * fastest(1_000, 0)


def test_ranges_ahead_are_found_without_walking_them() -> None:
    """Half of two hundred thousand chunks, every other one, marked, asked for and sent: nothing is quadratic."""
    driver = Driver(slots=SLOTS)
    file = driver.add(200_000)
    driver.upload()
    driver.do(driver.core.mark_file, file.key, ((index, index + 1) for index in range(1, 200_000, 2)))
    assert file.bytes_done == 1_000_000
    assert [file.is_done(position) for position in range(99_990, 99_994)] == [False, True, False, True]
    drive(driver, 100)
    assert file.cursor == 206
    assert list(islice(file.stored_ranges(), 2)) == [(0, 206), (207, 208)]
