"""What storing costs, in calls of the system, bytes and memory: the same for small files and large ones.

Calls are counted and not timed, so that it does not matter what else runs on the machine.
"""

from __future__ import annotations

import gc
import os
import sys
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import FrameType

import pytest
from support.crash_points import key_in
from support.sample import Sample
from support.sizes import sized
from support.stored_uploads import (
    HEAD,
    a_record,
    aged,
    begun,
    directory_of,
    entries,
    key_of,
    memory_directory,
    opened,
    whole,
    write_at,
)

from resumable.receiver import FileStore, Receiver, UploadRecord

pytestmark = [pytest.mark.once, pytest.mark.unmeasured]

MIB = 1 << 20


class Calls:
    """The calls of the system while the block runs, by name, and the bytes that they read and wrote."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()
        for name in ("read", "pread"):
            self._count(monkeypatch, name, len)
        for name in ("write", "pwrite"):
            self._count(monkeypatch, name, int)

    def _count(self, monkeypatch: pytest.MonkeyPatch, name: str, size: Callable[..., int]) -> None:
        real = getattr(os, name)

        def call(*arguments: object) -> object:
            result = real(*arguments)
            self.moved[name] += size(result)
            return result

        monkeypatch.setattr(os, name, call)

    def __enter__(self) -> Calls:
        self.names.clear()
        self.moved.clear()
        # A collection in the middle would close what others have left.
        gc.collect()
        gc.disable()
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        gc.enable()

    def _see(self, frame: FrameType, event: str, function: object) -> None:
        if event == "c_call" and getattr(function, "__module__", None) in ("posix", "fcntl"):
            self.names[function.__name__] += 1  # type: ignore[attr-defined]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


@pytest.fixture
def root() -> Iterator[Path]:
    with memory_directory() as directory:
        yield directory / "incoming"


def a_sample(size: int, chunk_size: int) -> Sample:
    """An upload of this size, of which the first bytes are zeros, and the last chunk is data."""
    count = size // chunk_size
    changes = {"total_size": size, "chunk_size": chunk_size, "total_chunks": count, "current_chunk_size": chunk_size}
    return Sample(b"", chunk_size, changes={**changes, "chunk_number": count})


def all_but_the_last(root: Path, receiver: Receiver, sample: Sample) -> None:
    """All chunks but the last one are stored: zeros, which take no room."""
    size, count = sample.changes["total_size"], sample.changes["total_chunks"]
    assert receiver.handle(sample.octet(1, b"wrong length")).status == 400
    directory = directory_of(root, key_in(root))
    os.truncate(directory / "part", size - sample.chunk_size)
    write_at(directory / "chunks", HEAD, b"\1" * (count - 1))
    digest = zlib.crc32(bytes(sample.chunk_size)).to_bytes(4, sys.byteorder)
    write_at(directory / "chunks", HEAD + count, digest * (count - 1))


@pytest.mark.parametrize("fsync", ["always", "finish", "never"])
def test_finishing_a_gib_costs_what_finishing_a_little_costs(root: Path, calls: Calls, fsync: str) -> None:
    costs = []
    for size, chunk_size in ((4 * 1024, 1024), (1024 * MIB, MIB)):
        receiver = Receiver(FileStore(root / str(size), fsync=fsync))
        sample = a_sample(size, chunk_size)
        all_but_the_last(root / str(size), receiver, sample)
        request = sample.octet(1, os.urandom(chunk_size))
        with calls:
            answer = receiver.handle(request)
        assert answer.status == 201
        assert (root / str(size) / "sample.bin").stat().st_size == size
        costs.append((dict(calls.names), calls.moved["write"] + calls.moved["pwrite"] - chunk_size, calls.moved))
        # 4 bytes for each chunk stand in the marks, and then in the record, which is written once if there is no hook.
        assert calls.names["replace"] == 1
        count = size // chunk_size
        assert calls.moved["read"] + calls.moved["pread"] < 16 * 1024 + 3 * 4 * count
        assert calls.moved["write"] + calls.moved["pwrite"] < chunk_size + 4 * 1024 + 4 * count
    (few, _, _), (many, _, _) = costs
    # A chunk of a MiB comes in more pieces, and the disk is told to begin with it.
    many["pwrite"] = few["pwrite"]
    many.pop("posix_fadvise", None)
    assert many == few


def test_a_test_and_a_chunk_cost_the_same_in_a_file_of_a_million_chunks(root: Path, calls: Calls) -> None:
    costs = []
    for count in (10, 1_000_000):
        store = FileStore(root / str(count), fsync="never")
        record = UploadRecord("id", "a", "a", "", count, 1, count, "a")
        begun(store, record)
        with calls, opened(store, record) as upload:
            assert not upload.has(count // 2)
            assert upload.receive(count // 2, iter([b"x"]))
            assert upload.has(count // 2)
            assert not upload.complete()
        costs.append(dict(calls.names))
        assert calls.moved.total() < 8192
    assert costs[0] == costs[1]


def test_the_two_thousandth_file_of_a_name_costs_about_what_the_twentieth_costs(root: Path, calls: Calls) -> None:
    costs = []
    for taken in (20, 2000):
        below = root / str(taken)
        store = FileStore(below, fsync="never")
        with opened(store) as upload:
            for index in range(upload.record.total_chunks):
                upload.receive(index, whole(upload, index))
            (below / "a.bin").touch()
            for number in range(1, taken):
                (below / f"a ({number}).bin").touch()
            with calls:
                published = upload.publish()
        assert published is not None
        assert published.published == f"a ({taken}).bin"
        costs.append(calls.names.total())
    assert costs[1] < costs[0] + 20
    assert costs[1] < 80


def test_memory_is_flat_in_the_number_of_chunks(root: Path) -> None:
    count = 1_000_000
    store = FileStore(root, fsync="finish")
    record = UploadRecord("id", "a", "a", "", count, 1, count, "a")
    begun(store, record)
    directory = directory_of(root)
    digest = zlib.crc32(b"\0").to_bytes(4, sys.byteorder)
    write_at(directory / "chunks", HEAD, b"\1" * (count - 1) + b"\0" + digest * (count - 1000))
    (directory / "part").touch()
    os.truncate(directory / "part", count - 1)
    tracemalloc.start()
    try:
        with opened(store, record) as upload:
            assert list(upload.ranges()) == [(0, count - 1)]
            (status,) = store.uploads()
            assert status.stored_chunks == count - 1
            store.sweep()
            assert upload.receive(count - 1, iter([b"x"]))
            assert upload.complete()
            assert upload.publish(lambda record, pieces: [None for _ in pieces]) is not None
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()
    assert (root / "a").stat().st_size == count


def test_memory_is_flat_in_the_size_of_a_file(root: Path) -> None:
    store = FileStore(root, fsync="never")
    sizes = (4 * MIB, 64 * MIB)
    peaks = []
    for number, size in enumerate(sizes):
        record = UploadRecord("id", "a", "a", "", size, size, 1, str(number))
        piece = bytes(1 << 16)
        begun(store, record, key_of(number))
        tracemalloc.start()
        try:
            with opened(store, record, key_of(number)) as upload:
                upload.receive(0, (piece for _ in range(size // len(piece))))
                upload.publish(lambda record, pieces: [None for _ in pieces])
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert max(peaks) < MIB


@pytest.mark.slow
def test_thousands_of_open_uploads_make_no_request_dearer_and_can_be_listed_and_swept(root: Path, calls: Calls) -> None:
    costs = []
    number = 0
    store = FileStore(root, fsync="never", max_open_uploads=20_000, max_bytes=1 << 40, stale_after=100)
    for uploads in (10, sized(2000, 10_000)):
        while number < uploads:
            store.create(key_of(number), a_record(tenant=str(number % 3)))
            number += 1
        with calls:
            with opened(store, a_record(), "f" * 40) as upload:
                upload.receive(0, whole(upload, 0))
            with opened(store, a_record(), "f" * 40) as upload:
                assert upload.has(0)
                upload.discard()
        costs.append((dict(calls.names), calls.moved["write"] + calls.moved["pwrite"]))
    (few, little), (many, much) = costs
    assert many == few
    assert much < little + 100
    with calls:
        assert len(list(islice(store.uploads("1", limit=20), 100))) == 20
    # The times of all, and no more than the records of the first of all tenants until there are 20.
    assert calls.names["read"] < 1000
    for name in range(uploads):
        aged(root, 200, key_of(name))
    assert store.sweep() == uploads
    assert entries(root) == []
