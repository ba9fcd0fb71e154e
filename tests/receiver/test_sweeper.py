"""The thread that sweeps in applications around a receiver."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.stored_uploads import aged, begun, key_of

from resumable.errors import OptionError
from resumable.receiver import FileStore, Receiver, UploadRecord


@pytest.fixture
def store(root: Path) -> FileStore:
    return FileStore(root, fsync="never", stale_after=100)


def stale(store: FileStore, root: Path, number: int) -> None:
    begun(store, key=key_of(number))
    aged(root, 200, key_of(number))


class Expired:
    """How many uploads were swept."""

    def __init__(self, receiver: Receiver) -> None:
        self.count = threading.Semaphore(0)
        receiver.signals.upload_expired.connect(self._see, weak=False)

    def _see(self, sender: Receiver, record: UploadRecord) -> None:
        self.count.release()

    def wait(self) -> None:
        assert self.count.acquire(timeout=60)


def test_it_sweeps_at_once_and_again_until_it_is_stopped(store: FileStore, root: Path) -> None:
    receiver = Receiver(store)
    expired = Expired(receiver)
    stale(store, root, 0)
    sweeper = receiver.sweep_every(0.01)
    expired.wait()
    for number in range(1, 4):
        stale(store, root, number)
        expired.wait()
    sweeper.stop()
    stale(store, root, 4)
    assert not expired.count.acquire(timeout=0.1)
    sweeper.stop()


def test_no_thread_begins_before_it_is_asked_for(store: FileStore) -> None:
    before = set(threading.enumerate())
    receiver = Receiver(store)
    assert set(threading.enumerate()) <= before
    sweeper = receiver.sweep_every()
    assert [thread.name for thread in set(threading.enumerate()) - before] == ["resumable-sweeper"]
    sweeper.stop()
    assert set(threading.enumerate()) <= before


def test_a_sweep_that_fails_is_logged_and_the_next_one_comes(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = iter([OSError("the disk is away"), LookupError("still")])
    receiver = Receiver(store)
    expired = Expired(receiver)
    real = store.sweep

    def sweep(*arguments: object) -> int:
        for failure in failures:
            raise failure
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "sweep", sweep)
    stale(store, root, 0)
    sweeper = receiver.sweep_every(0.01)
    expired.wait()
    sweeper.stop()
    assert caplog.text.count("cannot sweep") == 2
    assert "the disk is away" in caplog.text


def test_a_handler_of_the_sweep_can_stop_it(store: FileStore, root: Path) -> None:
    receiver = Receiver(store)
    begins = threading.Event()
    stopped = threading.Event()

    @receiver.signals.upload_expired.connect
    def stop(sender: Receiver, record: UploadRecord) -> None:
        assert begins.wait(60)
        sweeper.stop()
        stopped.set()

    stale(store, root, 0)
    sweeper = receiver.sweep_every(0.01)
    begins.set()
    assert stopped.wait(60)
    sweeper.stop()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_it_sweeps_neither_all_the_time_nor_never(store: FileStore, seconds: float) -> None:
    with pytest.raises(OptionError, match="seconds"):
        Receiver(store).sweep_every(seconds)


def test_it_keeps_no_program_from_ending(root: Path) -> None:
    program = "import sys; from resumable.receiver import Receiver; Receiver(sys.argv[1]).sweep_every()"
    subprocess.run([sys.executable, "-c", program, str(root)], check=True, timeout=60)
