"""A server that writes everything down, files to send, and the proof that no thread stays behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.scripted_server import ScriptedServer, lacking
from support.threads import wait_until_threads_are_gone


@pytest.fixture
def wire() -> Iterator[ScriptedServer]:
    """A server that lacks every chunk and takes every chunk, until the test says otherwise."""
    with ScriptedServer(behave=lacking) as server:
        yield server


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """A function that makes a file of so many bytes, no two of which next to each other are equal."""

    def make(name: str = "a.bin", size: int = 10) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((bytes(range(251)) * (size // 251 + 1))[:size])
        return path

    return make


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
