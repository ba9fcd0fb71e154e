"""What is left after the power failed: of a file, what the disk had been told to take, and any part of the rest; of a
directory, the names that it had then, and any of those that came or went since."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.sizes import sized
from support.stored_uploads import (
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
    whole,
)

from resumable.receiver import FileStore, UploadRecord

PAGE = 16
"""The bytes that reach a disk together; small, so that many ends of chunks lie within one."""


class Disk:
    """Remembers what each file and each directory was when the system was last told to put it on the disk.

    A file is its bytes, a directory the numbers of what its names lead to.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._kept: dict[int, int] = {}
        real = os.fsync

        def fsync(file: int) -> None:
            real(file)
            self._sync(Path(os.readlink(f"/proc/self/fd/{file}")))

        monkeypatch.setattr(os, "fsync", fsync)

    def _sync(self, path: Path) -> None:
        number = self._number(path)
        if path.is_dir():
            self._names[number] = {name: self._number(path / name) for name in os.listdir(path)}
        else:
            self._bytes[number] = path.read_bytes()

    def _number(self, path: Path) -> int:
        """The number of a file or directory, which no other gets as long as this one is open."""
        file = os.open(path, os.O_RDONLY)
        number = os.fstat(file).st_ino
        os.close(self._kept.pop(number, None) or os.dup(file))
        self._kept[number] = file
        return number

    def close(self) -> None:
        """Nothing is remembered any more."""
        while self._kept:
            os.close(self._kept.popitem()[1])

    def fail(self, path: Path, random: Random) -> None:
        """Everything below the directory is now as it was synced last, or as it became since, as chance will have it.

        That is decided for each name of a directory and each page of a file. A directory that was removed does not come
        back: the store removes none that anybody wants.
        """
        self._fail_directory(path, random)
        # What is still there after a start of the machine is what the disk has.
        for found in (path, *path.rglob("*")):
            self._sync(found)

    def _fail_directory(self, path: Path, random: Random) -> None:
        synced = self._names.get(path.stat().st_ino, {})
        written = {name: (path / name).stat().st_ino for name in os.listdir(path)}
        for name in sorted({*synced, *written}):
            before, now = synced.get(name), written.get(name)
            if before != now and random.random() < 0.5:
                if before is None:
                    remove(path / name)
                elif before in self._bytes:
                    # What the name led to before, under which there may be another file now.
                    (path / name).unlink(missing_ok=True)
                    (path / name).write_bytes(self._bytes[before])
            elif now is not None and (path / name).is_dir():
                self._fail_directory(path / name, random)
            elif now is not None:
                self._fail_file(path / name, random)

    def _fail_file(self, path: Path, random: Random) -> None:
        written = path.read_bytes()
        synced = self._bytes.get(path.stat().st_ino, b"").ljust(len(written), b"\0")
        pages = range(0, len(written), PAGE)
        path.write_bytes(b"".join(random.choice((synced, written))[page : page + PAGE] for page in pages))


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def a_disk() -> Iterator[tuple[Path, Disk]]:
    """A root that is on the disk, and the disk."""
    with memory_directory() as root, pytest.MonkeyPatch.context() as monkeypatch:
        disk = Disk(monkeypatch)
        try:
            yield root, disk
        finally:
            disk.close()


def power_fails(disk: Disk, root: Path, random: Random) -> None:
    """The machine is started again, with what the disk has."""
    disk.fail(root, random)
    for directory in root.glob(".resumable/*/"):
        if (directory / "chunks").exists():
            restarted(root, directory.name)


class Bad(Random):
    """Bad luck: of the bytes that were not synced nothing is there, and of the names either nothing or everything."""

    def __init__(self, *, names: bool) -> None:
        super().__init__(0)
        self._names = names

    def random(self) -> float:
        return 1.0 if self._names else 0.0

    def choice(self, choices: Any) -> Any:
        return choices[0]


SHA256 = "0" * 64


@pytest.mark.once
@pytest.mark.parametrize("fsync", ["always", "finish", "never"])
@settings(max_examples=sized(25, 60))
@given(
    st.integers(1, 60), st.lists(st.sampled_from(["chunk", "chunk", "chunk", "hash", "sweep", "fail"])), st.randoms()
)
@example(3, ["chunk", "fail"], Bad(names=False))
@example(3, ["chunk", "fail"], Bad(names=True))
@example(3, ["chunk", "sweep", "fail"], Bad(names=False))
@example(3, ["chunk", "sweep", "fail"], Bad(names=True))
@example(3, ["chunk", "sweep", "hash", "fail"], Bad(names=False))
@example(3, ["chunk", "sweep", "hash", "fail"], Bad(names=True))
def test_what_a_power_failure_took_is_missing_and_never_published(
    fsync: str, count: int, steps: list[str], random: Random
) -> None:
    """With "always" all that was acknowledged is there, with "finish" all that was when it was swept last."""
    data = random.randbytes(count * 10)
    record = a_record(data, 10)
    acknowledged: set[int] = set()
    swept: set[int] = set()
    with a_disk() as (root, disk):
        store = FileStore(root, fsync=fsync)
        begun(store, record)
        for step in steps:
            if step == "chunk" and len(acknowledged) < count:
                with opened(store, record) as upload:
                    index = random.choice(sorted(set(range(count)) - acknowledged))
                    upload.receive(index, whole(upload, index, data))
                    acknowledged.add(index)
            elif step == "hash":
                with opened(store, record) as upload:
                    upload.set_file_sha256(SHA256)
            elif step == "sweep":
                store.sweep()
                swept = set(acknowledged)
            elif step == "fail":
                power_fails(disk, root, random)
                with opened(store, record) as upload:
                    stored = {index for index in range(count) if upload.has(index)}
                    assert stored <= acknowledged
                    assert stored >= {"always": acknowledged, "finish": swept, "never": set()}[fsync]
                    if stored:
                        part = (directory_of(root) / "part").read_bytes()
                        assert all(part[index * 10 :][:10] == data[index * 10 :][:10] for index in stored)
                acknowledged = stored
                swept &= stored
        with filled(store, record, data) as upload:
            assert upload.publish() is not None
        assert (root / "a.bin").read_bytes() == data
        assert_known(store, root / "a.bin", record, data)


def assert_known(store: FileStore, file: Path, record: UploadRecord, data: bytes) -> None:
    """The digest of each chunk is that of its bytes, which are known again without the file."""
    file.unlink()
    with opened(store, record) as upload:
        past = upload.published()
        assert past is not None
        for index in range(record.total_chunks):
            assert past.repeats(record, index, whole(upload, index, data)) is None
            start, end = record.plan.span(index)
            assert past.repeats(record, index, iter([bytes(255 - byte for byte in data[start:end])])) is not None


@pytest.mark.once
@pytest.mark.parametrize("fsync", ["always", "finish"])
@settings(max_examples=sized(20, 40))
@given(st.sampled_from(["a.bin", "dir/sub/a.bin"]), st.randoms())
@example("dir/sub/a.bin", Bad(names=False))
@example("dir/sub/a.bin", Bad(names=True))
def test_a_published_file_outlives_a_power_failure_with_its_name(fsync: str, name: str, random: Random) -> None:
    """With "always" the memory of it does, too, so that a client that repeats itself does not publish it twice."""
    with a_disk() as (root, disk):
        store = FileStore(root, fsync=fsync)
        with filled(store, a_record(name=name)) as upload:
            assert upload.publish() is not None
            assert upload.notify_once()
        power_fails(disk, root, random)
        assert (root / name).read_bytes() == DATA
        if fsync == "always":
            with opened(store, a_record(name=name)) as upload:
                assert upload.record.announced
                assert upload.record.published == name
            assert_known(store, root / name, a_record(name=name), DATA)


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

    for calls in range(3):
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
        barrier.wait(60)
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


@pytest.mark.parametrize("finish", [lambda store, upload: upload.publish(), lambda store, upload: upload.recover()])
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
    monkeypatch.setattr("resumable.receiver.store.policy.boot_id", lambda: None)
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
