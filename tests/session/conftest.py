"""A server that writes everything down, files to send, and the proof that no thread stays behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.frames import current_frames
from support.wire import PATIENCE, Wire


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A server that lacks every chunk and takes every chunk, until the test says otherwise."""
    with Wire() as server:
        yield server


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """A function that makes a file of so many bytes, no two of which next to each other are equal."""

    def make(name: str = "a.bin", size: int = 10) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(index % 251 for index in range(size)))
        return path

    return make


def threads_of_sessions() -> list[threading.Thread]:
    """The threads that sessions have started and that are alive."""
    names = ("resumable-worker", "resumable-events", "resumable-completion")
    return [thread for thread in threading.enumerate() if thread.name.startswith(names)]


def wait_until_threads_are_gone() -> None:
    """No session has a thread any more, nor will one that goes have started another."""
    deadline = time.monotonic() + PATIENCE
    while threads := threads_of_sessions():
        assert time.monotonic() < deadline, threads
        threads[0].join(0.1)


def wait_until_answers_are_awaited(count: int = 1) -> None:
    """So many workers have sent their request and read from their socket, which nobody else can see."""
    deadline = time.monotonic() + PATIENCE
    passing = threading.Event()
    while not passing.wait(0.001):
        frames = current_frames()
        workers = [frames.get(thread.ident or 0) for thread in threads_of_sessions() if "worker" in thread.name]
        reading = [frame for frame in workers if frame is not None and frame.f_code.co_name == "readinto"]
        if len(reading) >= count:
            return
        assert time.monotonic() < deadline, workers


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    wait_until_threads_are_gone()


@pytest.fixture
def failures() -> None:
    """A test that uses this expects that something is logged as an error."""


@pytest.fixture(autouse=True)
def _no_failure_goes_unnoticed(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    if "failures" not in request.fixturenames:
        logged = [
            record.getMessage()
            for phase in ("setup", "call")
            for record in caplog.get_records(phase)
            if record.name.startswith("resumable") and record.levelname in ("ERROR", "CRITICAL")
        ]
        assert not logged
