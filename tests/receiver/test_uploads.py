"""What a store tells of its uploads."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.stored_uploads import a_record, aged, begun, directory_of, filled, key_of, older, opened, whole

from resumable.receiver import FileStore, UploadStatus


@pytest.fixture
def store(root: Path) -> FileStore:
    return FileStore(root, fsync="never")


def test_there_are_none_where_nothing_was_stored(store: FileStore, root: Path) -> None:
    assert list(store.uploads()) == []
    assert not root.exists()


def test_an_open_upload_says_how_far_it_is(store: FileStore, root: Path) -> None:
    before = time.time()
    with opened(store) as upload:
        upload.receive(1, whole(upload, 1))
    (status,) = store.uploads()
    assert status.record == a_record()
    assert (status.name, status.state) == ("a.bin", "open")
    assert (status.stored_chunks, status.total_chunks) == (1, 3)
    assert (status.stored_bytes, status.total_size) == (30, 100)
    assert before - 1 < status.touched < time.time() + 1


@pytest.mark.parametrize(("total_chunks", "last"), [(3, 40), (4, 10)])
def test_the_last_chunk_counts_as_long_as_it_is(store: FileStore, total_chunks: int, last: int) -> None:
    with opened(store, a_record(total_chunks=total_chunks)) as upload:
        upload.receive(0, whole(upload, 0))
        upload.receive(total_chunks - 1, whole(upload, total_chunks - 1))
    (status,) = store.uploads()
    assert status.stored_chunks == 2
    assert status.stored_bytes == 30 + last


def test_a_published_upload_is_done_and_has_the_name_it_got(store: FileStore, root: Path) -> None:
    root.mkdir()
    (root / "a.bin").touch()
    with filled(store) as upload:
        upload.publish()
    (status,) = store.uploads()
    assert (status.name, status.state) == ("a (1).bin", "done")
    assert (status.stored_chunks, status.stored_bytes) == (3, 100)


def names(statuses: object) -> list[str]:
    assert hasattr(statuses, "__iter__")
    return [status.name for status in statuses if isinstance(status, UploadStatus)]


def test_those_touched_last_come_first_and_no_more_than_asked_for(store: FileStore, root: Path) -> None:
    for number in (3, 1, 4, 2):
        begun(store, a_record(name=str(number)), key_of(number))
        aged(root, 100 * number, key_of(number))
        older(directory_of(root, key_of(number)) / "chunks", 100 * number)
    assert names(store.uploads()) == ["1", "2", "3", "4"]
    assert names(store.uploads(limit=2)) == ["1", "2"]
    with filled(store, a_record(name="4"), key=key_of(4)) as upload:
        upload.publish()
    assert names(store.uploads()) == ["4", "1", "2", "3"]


def test_a_tenant_sees_his_own(store: FileStore) -> None:
    for number, tenant in enumerate(("", "one", "other", "one")):
        begun(store, a_record(name=str(number), tenant=tenant), key_of(number))
    assert sorted(names(store.uploads("one"))) == ["1", "3"]
    assert names(store.uploads("")) == ["0"]
    assert sorted(names(store.uploads())) == ["0", "1", "2", "3"]
    assert len(names(store.uploads("one", limit=1))) == 1


def test_what_is_no_upload_is_left_out(store: FileStore, root: Path) -> None:
    begun(store)
    for number in range(3):
        begun(store, key=key_of(number + 1))
    (directory_of(root, key_of(1)) / "record").unlink()
    (directory_of(root, key_of(2)) / "record").write_text("{")
    (directory_of(root, key_of(3)) / "chunks").unlink()
    (root / ".resumable" / "stray").touch()
    assert names(store.uploads()) == ["a.bin"]


def test_a_million_chunks_are_counted_in_blocks(store: FileStore) -> None:
    count = 200_000
    with opened(store, a_record(bytes(count), 1)) as upload:
        stored = {0, 1, 2**16 - 1, 2**16, 2**16 + 1, 2**17 - 1, count - 1}
        for index in stored:
            upload.receive(index, iter([b"\0"]))
        assert list(upload.ranges()) == [(0, 2), (2**16 - 1, 2**16 + 2), (2**17 - 1, 2**17), (count - 1, count)]
    (status,) = store.uploads()
    assert status.stored_chunks == status.stored_bytes == len(stored)
