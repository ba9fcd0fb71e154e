"""What is left after the power failed: of a file, what the disk had been told to take, and any part of the rest."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resumable.receiver import FileStore

from .uploads import (
    DATA,
    KEY,
    a_record,
    begun,
    directory_of,
    filled,
    marks_of,
    memory_directory,
    opened,
    restarted,
    state_of,
    whole,
)

PAGE = 16
"""The bytes that reach a disk together; small, so that many ends of chunks lie within one."""


class Disk:
    """Remembers what each file was when the system was last told to put it on the disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: dict[int, bytes] = {}
        real = os.fsync

        def fsync(file: int) -> None:
            real(file)
            path = f"/proc/self/fd/{file}"
            if os.path.isfile(path):
                self.synced[os.fstat(file).st_ino] = Path(path).read_bytes()

        monkeypatch.setattr(os, "fsync", fsync)

    def fail(self, path: Path, random: Random) -> None:
        """Each page of the file is now as it was synced last, or as it was written since, as chance will have it."""
        written = path.read_bytes()
        synced = self.synced.get(path.stat().st_ino, b"").ljust(len(written), b"\0")
        pages = range(0, len(written), PAGE)
        path.write_bytes(b"".join(random.choice((synced, written))[page : page + PAGE] for page in pages))


@pytest.mark.parametrize("fsync", ["always", "finish", "never"])
@settings(max_examples=40)
@given(st.integers(1, 60), st.lists(st.sampled_from(["chunk", "chunk", "chunk", "sweep", "fail"])), st.randoms())
def test_what_a_power_failure_took_is_missing_and_never_published(
    fsync: str, count: int, steps: list[str], random: Random
) -> None:
    data = random.randbytes(count * 10)
    record = a_record(data, 10)
    left = random.sample(range(count), count)
    acknowledged: set[int] = set()
    with memory_directory() as root, pytest.MonkeyPatch.context() as monkeypatch:
        store = FileStore(root, fsync=fsync)
        disk = Disk(monkeypatch)
        begun(store, record)
        for step in steps:
            if step == "chunk" and left:
                with opened(store, record) as upload:
                    index = left.pop()
                    upload.receive(index, whole(upload, index, data))
                    acknowledged.add(index)
            elif step == "sweep":
                store.sweep()
            elif step == "fail":
                for name in sorted(state_of(root) & {"part", "chunks"}):
                    disk.fail(directory_of(root) / name, random)
                restarted(root)
        with opened(store, record) as upload:
            stored = {index for index in range(count) if upload.has(index)}
            assert stored == acknowledged if fsync == "always" else stored <= acknowledged
            if stored:
                part = (directory_of(root) / "part").read_bytes()
                assert all(part[index * 10 :][:10] == data[index * 10 :][:10] for index in stored)
        with filled(store, record, data) as upload:
            assert upload.publish() is not None
        assert (root / "a.bin").read_bytes() == data


def test_after_a_start_of_the_machine_only_what_was_on_the_disk_is_stored(root: Path) -> None:
    store = FileStore(root, fsync="finish")
    with opened(store) as upload:
        upload.receive(0, whole(upload, 0))
        store.sweep()
        upload.receive(1, whole(upload, 1))
    restarted(root)
    (status,) = store.uploads()
    assert (status.stored_chunks, status.stored_bytes) == (1, 30)
    with opened(store) as upload:
        assert list(upload.ranges()) == [(0, 1)]
        assert not upload.complete()
    assert marks_of(root) == b"\2\0\0"


def test_a_death_while_the_marks_are_taken_back_leaves_none_that_counts(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(root, fsync="finish")
    filled(store).__exit__(None, None, None)
    restarted(root)
    real, left = os.pwrite, [0]

    def pwrite(file: int, data: bytes, offset: int) -> int:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(file, data, offset)

    for calls in range(4):
        left[0] = calls
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", pwrite)
            with pytest.raises(KeyboardInterrupt):
                store.open(KEY)
    with opened(store) as upload:
        assert list(upload.ranges()) == []


def test_a_file_that_has_its_name_is_whole_whatever_the_marks_say(root: Path) -> None:
    store = FileStore(root, fsync="finish")
    with filled(store):
        os.link(directory_of(root) / "part", root / "a.bin")
    restarted(root)
    with opened(store) as upload:
        # Were it missing, other bytes would go into a file that everybody sees.
        assert upload.complete()
        published = upload.publish()
    assert published is not None
    assert published.published == "a.bin"
    assert sorted(os.listdir(root)) == [".resumable", "a.bin"]


def test_many_requests_at_once_after_a_start_of_the_machine_take_the_marks_back_once(root: Path) -> None:
    store = FileStore(root, fsync="finish")
    filled(store).__exit__(None, None, None)
    restarted(root)
    barrier = threading.Barrier(8)

    def send(index: int) -> bool:
        barrier.wait(30)
        with opened(store) as upload:
            return upload.receive(index % 3, whole(upload, index % 3))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, range(8))) == 3
    assert marks_of(root) == b"\1\1\1"


def test_another_link_to_the_bytes_does_not_make_them_whole(root: Path) -> None:
    store = FileStore(root, fsync="finish")
    (root / "there").mkdir(parents=True)
    for name in ("a.bin", "missing/a.bin", "there/a.bin"):
        with opened(store, a_record(name=name)) as upload:
            upload.receive(0, whole(upload, 0))
        # As backups are made that take no room.
        os.link(directory_of(root) / "part", root / ".resumable" / "copy")
        restarted(root)
        with opened(store) as upload:
            assert not any(upload.has(index) for index in range(3))
            upload.discard()
        (root / ".resumable" / "copy").unlink()


@pytest.mark.parametrize("finish", [lambda store, upload: upload.publish(), lambda store, upload: upload.settle()])
def test_what_the_disk_did_not_take_is_missing(
    root: Path, monkeypatch: pytest.MonkeyPatch, finish: Callable[[object, object], object]
) -> None:
    store = FileStore(root, fsync="finish")

    def fsync(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with filled(store) as upload:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            with pytest.raises(OSError, match="Input/output error"):
                finish(store, upload)
        # The system says so once only: the next time it would seem to be there.
        assert list(upload.ranges()) == []
    with filled(store) as upload:
        assert upload.publish() is not None
    assert (root / "a.bin").read_bytes() == DATA


def test_without_a_boot_id_every_chunk_is_on_the_disk_before_it_is_acknowledged(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resumable.receiver.upload.boot_id", lambda: None)
    with filled(FileStore(root, fsync="finish")):
        assert marks_of(root) == b"\2\2\2"


def test_no_mark_counts_of_a_file_that_lost_its_end(root: Path) -> None:
    store = FileStore(root, fsync="finish")
    filled(store).__exit__(None, None, None)
    os.truncate(directory_of(root) / "chunks", 0)
    with opened(store) as upload:
        assert not any(upload.has(index) for index in range(3))
        assert not upload.complete()
    assert marks_of(root) == b"\0\0\0"
