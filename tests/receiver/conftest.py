"""A receiver on an empty directory, one server for all tests that need sockets, and what they wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resumable.receiver import (
    FileStore,
    Limits,
    Receiver,
    Server,
)

PATIENCE = 60.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "incoming"


@pytest.fixture
def receiver(root: Path) -> Receiver:
    return Receiver(FileStore(root, fsync="never"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    store = FileStore(tmp_path_factory.mktemp("served"), fsync="never")
    with Server(Receiver(store), limits=Limits(rate_window=5)) as server:
        yield server


def eventually(condition: Callable[[], bool]) -> None:
    """Asked again and again, until it is so."""
    passing = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if condition():
            return
        passing.wait(0.01)
    raise AssertionError("it never was so")


def until_no_connection_is_served() -> None:
    """Threads that serve one, also those of servers that tests share, are gone with all that they had open.

    They go on for a moment after their client has what it wanted, and after their server counts them as ended.
    """
    eventually(lambda: not any(thread.name == "resumable-connection" for thread in threading.enumerate()))
