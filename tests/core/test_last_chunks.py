"""Who sends the last chunks. A pace is the seconds that the latest chunk of a connection took."""

from __future__ import annotations

import pytest
from support.core_driver import Driver

FAST, SLOW = 0.25, 1.0


def beside(chunks: int, *paces: float, files: int = 1) -> Driver:
    """A session of which connections of these paces send a chunk each since a moment; so many others wait."""
    driver = Driver(slots=8)
    driver.add(len(paces) + chunks)
    for _ in range(files - 1):
        driver.add(1)
    driver.upload()
    for pace in paces:
        driver.lease(pace)
    return driver


def test_a_slow_connection_leaves_the_last_chunks_to_fast_ones() -> None:
    """If they will have sent them before it would be done with one. So it waits until they should have."""
    assert beside(3, FAST).wait(SLOW) == FAST + SLOW
    assert beside(6, FAST, FAST).wait(SLOW) == FAST + SLOW
    assert beside(3, FAST, SLOW).wait(SLOW) == FAST + SLOW
    assert beside(1, FAST, 2 * FAST, SLOW, files=4).wait(SLOW) == FAST + SLOW


@pytest.mark.parametrize(
    ("chunks", "paces", "files", "pace"),
    [
        pytest.param(4, [FAST], 1, SLOW, id="too many for the other"),
        pytest.param(7, [FAST, FAST], 1, SLOW, id="too many for two others"),
        pytest.param(1, [FAST], 4, SLOW, id="too many files"),
        pytest.param(1, [FAST], 9, SLOW, id="far too many files"),
        pytest.param(1, [SLOW, SLOW], 1, SLOW, id="as slow as the others"),
        pytest.param(1, [0.0], 1, SLOW, id="nobody knows the other"),
        pytest.param(1, [], 1, SLOW, id="no other"),
        pytest.param(1, [0.01], 1, 0.09, id="soon done all the same"),
        pytest.param(1, [FAST], 1, 0.0, id="nobody knows it"),
    ],
)
def test_otherwise_it_takes_one(chunks: int, paces: list[float], files: int, pace: float) -> None:
    driver = beside(chunks, *paces, files=files)
    assert driver.lease(pace).index == len(paces)


def test_a_new_connection_is_taken_for_as_slow_as_the_slowest() -> None:
    """It begins slowly."""
    assert beside(3, FAST, SLOW).wait() == FAST + SLOW


def test_one_that_has_become_slow_itself_does_not_count() -> None:
    """Whoever waited for it takes the chunk."""
    driver = beside(1, FAST)
    driver.now = FAST + SLOW / 2
    assert driver.wait(SLOW) == FAST + SLOW
    driver.now = FAST + SLOW
    assert driver.lease(SLOW).index == 1


def test_what_holds_its_end_or_asks_does_not_count() -> None:
    """Nobody knows when it will be free."""
    driver = Driver(slots=8, test_chunks=True)
    driver.add(2)
    driver.upload()
    assert driver.lease(FAST).test
    assert driver.lease(SLOW).index == 1
