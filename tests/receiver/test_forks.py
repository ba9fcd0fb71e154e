"""A program around the receiver that forks while requests run: its children keep no lock."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.stored_uploads import a_record, filled, opened

from resumable.receiver import FileStore, Receiver
from resumable.receiver.store.quotas import QUOTA_FILE, Quotas, TenantLimits


@contextmanager
def a_child() -> Iterator[None]:
    """A process that was forked, has everything open that we have, and does nothing with it."""
    child = os.fork()
    if not child:
        signal.pause()
        os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_child_does_not_keep_an_upload_from_being_swept(root: Path) -> None:
    store = FileStore(root, fsync="never", stale_after=0)
    upload = opened(store)
    with a_child():
        upload.__exit__(None, None, None)
        assert Receiver(store).sweep() == 1


def test_a_child_does_not_keep_the_accounts_locked(root: Path) -> None:
    store = FileStore(root, fsync="never", max_open_uploads=9)
    quotas = Quotas(TenantLimits(9, None), lambda state: iter(()))
    with filled(store):
        pass
    state = os.open(root / ".resumable", os.O_RDONLY)
    changing = quotas.beginning(a_record(), state)
    changing.__enter__()
    with a_child():
        changing.__exit__(None, None, None)
        with open(root / ".resumable" / QUOTA_FILE, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pytest.fail("the child has the lock")
    os.close(state)
