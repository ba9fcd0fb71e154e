"""One object store for all tests of storing into one, and a bucket for each."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from support.object_store import CREDENTIALS, ObjectStore, running


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def running_store() -> Iterator[ObjectStore]:
    before = dict(os.environ)
    os.environ.update(CREDENTIALS)
    try:
        with running() as store:
            yield store
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def object_store(running_store: ObjectStore) -> Iterator[ObjectStore]:
    running_store.forget()
    yield running_store
    running_store.before = running_store.after = running_store.asked = running_store.said = None
    running_store.ignored.clear()
    for thread in threading.enumerate():
        if thread.name == "resumable-part":
            thread.join()  # the next test counts its own requests only


@pytest.fixture
def bucket(object_store: ObjectStore) -> str:
    return object_store.bucket()
