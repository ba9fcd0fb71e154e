"""A receiver that is killed anywhere: whoever sends the file again gets it stored, once and right."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.crash_points import SCENARIOS, key_in, receiver_of, store_in
from support.sample import Sample
from support.sizes import sized
from support.stored_uploads import a_record, begun, entries, key_of, memory_directory, module_running, older

from resumable.receiver.messages import Refusal

DiedIn = Callable[..., list[str]]

pytestmark = [pytest.mark.once, pytest.mark.unmeasured, pytest.mark.slow]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A dead process loses nothing that it gave to the system, so that no disk is needed."""
    with memory_directory() as directory:
        yield directory


EVERY = {"always": sized(2, 1), "finish": sized(3, 1)}
"""How many calls of the system are between the deaths: every second is tried, with less on the disk every third. At
night all are."""


@pytest.fixture(scope="module")
def dying() -> Iterator[subprocess.Popen[str]]:
    """A program whose children die. It has imported all that they need."""
    with module_running("crash_points") as process:
        yield process


@pytest.fixture
def died_in(dying: subprocess.Popen[str], directory: Path) -> DiedIn:
    """``died_in(scenario, fsync)`` is where processes died, one for each directory ``1``, ``2``, … that there is now.

    In the last directory none died. ``every`` is another number than that of EVERY.
    """

    def died_in(scenario: str, fsync: str, *, every: int | None = None) -> list[str]:
        assert dying.stdin
        assert dying.stdout
        print(json.dumps([scenario, fsync, every or EVERY[fsync], str(directory)]), file=dying.stdin, flush=True)
        steps = [line.strip() for line in iter(dying.stdout.readline, "\n")]
        assert dying.poll() is None
        return steps

    return died_in


NAMED = """
_make_directory mkdir, mkdir_open mkdir, create mkdir, create flock, make ftruncate, write_record write,
write_record fsync, write_record replace, create rename, create fsync, lock_directory flock, _try_lock flock,
write_chunk pwrite, write_chunk fsync, set pwrite, set fsync, __exit__ unlink, complete pwrite, _sync fsync, _link link,
publish_file fsync, _remove_working_files unlink, _changing ftruncate, _write pwrite, unlock_and_close flock,
unlock_and_close close
"""
"""Steps of storing and finishing, as the function that takes it and the call of the system."""


def test_it_dies_at_every_step_of_storing_and_finishing(died_in: DiedIn) -> None:
    assert set(NAMED.replace("\n", " ").strip().split(", ")) <= set(died_in("a file of one chunk", "always", every=1))


@pytest.mark.parametrize("fsync", ["always", "finish"])
@pytest.mark.parametrize("name", [name for name, scenario in SCENARIOS.items() if not scenario.older])
def test_a_receiver_that_dies_at_any_call_of_the_system_goes_on_after_it(
    died_in: DiedIn, directory: Path, name: str, fsync: str
) -> None:
    steps = died_in(name, fsync)
    assert len(steps) > 12 // EVERY[fsync]
    scenario = SCENARIOS[name]
    kept = scenario.acknowledged if scenario.kept else ()
    for number in range(1, len(steps) + 2):
        goes_on(directory / str(number), fsync, scenario.sample, kept, hook=scenario.hook)


@pytest.mark.parametrize("fsync", ["always", "finish"])
def test_a_receiver_that_dies_while_it_replaces_a_file_goes_on_after_it(
    died_in: DiedIn, directory: Path, fsync: str
) -> None:
    name = "the last chunk of a file that replaces another"
    steps = died_in(name, fsync, every=1 if fsync == "always" else None)
    assert "_replace replace" in steps or fsync == "finish"
    scenario = SCENARIOS[name]
    sample, older = scenario.sample, scenario.older
    assert older is not None
    for number in range(1, len(steps) + 2):
        root = directory / str(number)
        file = root / "dir" / "sample.bin"
        assert file.read_bytes() in (older.data, sample.data)
        receiver = receiver_of(store_in(root, fsync, scenario.existing), root.with_suffix(".told"))
        missing = [number for number in (1, 2, 3) if sample.test(receiver, number).status != 200]
        assert set(missing) <= {3}
        if missing:
            assert sample.send(receiver, *missing) == [201]
        assert file.read_bytes() == sample.data
        assert [entry.name for entry in file.parent.iterdir()] == ["sample.bin"]
        # It was replaced, so its client must not send it again.
        assert [older.test(receiver, number).status for number in (1, 2, 3)] == [200, 200, 200]
        assert older.send(receiver) == [200, 200, 200]
        assert file.read_bytes() == sample.data


def goes_on(root: Path, fsync: str, sample: Sample, kept: tuple[int, ...], *, hook: bool = True) -> None:
    file, told = root / "dir" / "sample.bin", root.with_suffix(".told")
    assert not file.exists() or file.read_bytes() == sample.data
    store = store_in(root, fsync)
    receiver = receiver_of(store, told)
    missing = [number for number in range(1, sample.count + 1) if sample.test(receiver, number).status != 200]
    assert not set(missing) & set(kept)
    if missing:
        assert sample.send(receiver, *missing) == [200] * (len(missing) - 1) + [201]
    assert file.read_bytes() == sample.data
    assert sorted(os.listdir(root)) == [".resumable", "dir"]
    assert os.listdir(root / "dir") == ["sample.bin"]
    # Whoever dies after it has told, and before it has noted that, has it told again. Nobody was told at the beginning.
    if len(kept) < sample.count:
        lines = told.read_text().splitlines() if told.exists() else []
        assert len(lines) in ((1, 2) if hook else (0, 1))
    state = root / ".resumable"
    for name in entries(root):
        if name.startswith(("new-", "old-")):
            older(state / name, 4000)
    assert store.sweep() == 0
    key = key_in(root)
    assert {name for name in entries(root) if not name.startswith("past-")} == {key}
    assert {name for name in os.listdir(state / key) if not name.startswith("claim-")} == {"record"}
    begun(store, a_record(), key_of(1))
    with pytest.raises(Refusal, match="unfinished uploads"):
        store.create(key_of(2), a_record())
