"""A receiver on an empty directory, one server for all tests that need sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from resumable.receiver import (
    FileStore,
    Limits,
    Receiver,
    Server,
)


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
