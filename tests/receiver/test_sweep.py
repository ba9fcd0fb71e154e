from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from support.stored_uploads import (
    DATA,
    KEY,
    a_record,
    aged,
    begun,
    directory_of,
    entries,
    filled,
    key_of,
    marks_of,
    older,
    opened,
    restarted,
    state_of,
    whole,
)

from resumable.receiver import FileStore, UploadRecord


@pytest.fixture
def store(root: Path) -> FileStore:
    return FileStore(root, fsync="never", stale_after=100, forget_after=1000)


def test_there_is_nothing_to_sweep_where_nothing_was_stored(store: FileStore, root: Path) -> None:
    assert store.sweep() == 0
    assert not root.exists()


def test_an_upload_is_swept_when_it_is_stale_and_nobody_holds_it(store: FileStore, root: Path) -> None:
    with opened(store):
        aged(root, 200)
        assert store.sweep() == 0
    aged(root, 50)
    assert store.sweep() == 0
    aged(root, 200)
    assert store.sweep() == 1
    assert entries(root) == []
    assert store.open(KEY) is None


def test_a_chunk_makes_an_upload_young_again(store: FileStore, root: Path) -> None:
    with opened(store) as upload:
        aged(root, 200)
        upload.receive(0, whole(upload, 0))
    assert store.sweep() == 0


def test_a_clock_that_is_set_makes_nothing_stale(store: FileStore, root: Path) -> None:
    begun(store)
    older(directory_of(root) / "chunks", 1e8)
    assert store.sweep() == 0


def test_the_age_outlives_a_start_of_the_machine(store: FileStore, root: Path) -> None:
    begun(store)
    older(directory_of(root) / "chunks", 60)
    restarted(root)
    older(directory_of(root) / "chunks", 60)
    assert store.sweep() == 0
    # Now it was opened by the sweep, which has to leave it as old as it was.
    (status,) = store.uploads()
    assert 59 < os.stat(directory_of(root) / "chunks").st_mtime - status.touched < 70
    older(directory_of(root) / "chunks", 200)
    restarted(root)
    older(directory_of(root) / "chunks", 200)
    assert store.sweep() == 1


def test_a_published_file_is_forgotten_later_and_stays(store: FileStore, root: Path) -> None:
    with filled(store) as upload:
        upload.publish()
    aged(root, 200)
    assert store.sweep() == 0
    aged(root, 2000)
    assert store.sweep() == 1
    assert (root / "a.bin").read_bytes() == DATA
    assert entries(root) == []


def test_whoever_asks_hears_of_unfinished_uploads_that_expired(store: FileStore, root: Path) -> None:
    for number, name in enumerate(("finished", "unfinished", "young")):
        with opened(store, a_record(name=name), key_of(number)) as upload:
            if name == "finished":
                for index in range(3):
                    upload.receive(index, whole(upload, index))
                upload.publish()
        if name != "young":
            aged(root, 2000, key_of(number))
    heard: list[UploadRecord] = []
    assert store.sweep(heard.append) == 2
    assert heard == [a_record(name="unfinished")]


def test_what_a_listener_raises_does_not_keep_the_rest(
    store: FileStore, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def listen(record: UploadRecord) -> None:
        raise LookupError(record.name)

    for number in range(3):
        begun(store, a_record(name=str(number)), key_of(number))
        aged(root, 200, key_of(number))
    assert store.sweep(listen) == 3
    assert entries(root) == []
    assert caplog.text.count("LookupError: ") == 3


def test_what_dead_processes_left_is_swept(store: FileStore, root: Path) -> None:
    state = root / ".resumable"
    for name in ("new-1", "old-1"):
        (state / name).mkdir(mode=0o700, parents=True)
        (state / name / "part").write_bytes(DATA)
    state.chmod(0o700)
    assert store.sweep() == 0
    assert entries(root) == ["new-1", "old-1"]
    for name in ("new-1", "old-1"):
        older(state / name, 4000)
    assert store.sweep() == 0
    assert entries(root) == []


def test_what_cannot_be_swept_does_not_keep_the_rest(
    store: FileStore, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun(store)
    (root / ".resumable" / "stray").touch()
    aged(root, 200)
    assert store.sweep() == 1
    assert entries(root) == ["stray"]
    assert "cannot sweep 'stray'" in caplog.text


def test_a_sweep_removes_damaged_uploads(store: FileStore, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    begun(store)
    (directory_of(root) / "record").write_bytes(b"")
    assert store.sweep() == 1
    assert entries(root) == []
    assert "is damaged" in caplog.text


def test_a_sweep_puts_what_is_stored_on_the_disk(root: Path) -> None:
    store = FileStore(root, fsync="finish")
    with opened(store) as upload:
        upload.receive(0, whole(upload, 0))
        upload.receive(2, whole(upload, 2))
        assert marks_of(root) == b"\1\0\1"
        assert store.sweep() == 0
        assert marks_of(root) == b"\2\0\2"
        upload.receive(1, whole(upload, 1))
        assert marks_of(root) == b"\2\1\2"


def test_a_sweep_lets_those_be_that_finish(root: Path) -> None:
    store = FileStore(root, fsync="finish")
    with filled(store) as upload:

        def verify(record: UploadRecord, pieces: object) -> None:
            assert store.sweep() == 0
            assert marks_of(root) == b"\1\1\1"

        assert upload.publish(verify) is not None


def test_a_sweep_ends_what_a_process_that_published_left(store: FileStore, root: Path) -> None:
    with filled(store) as upload:
        for name in ("chunks", "part"):
            os.link(directory_of(root) / name, root.parent / name)
        upload.publish()
    for name in ("chunks", "part"):
        os.link(root.parent / name, directory_of(root) / name)
    (status,) = store.uploads()
    assert status.state == "done"
    assert store.sweep() == 0
    assert state_of(root) == {"record"}


@pytest.mark.once
def test_two_sweeps_at_once_count_an_upload_once(store: FileStore, root: Path) -> None:
    for number in range(200):
        begun(store, key=key_of(number))
        aged(root, 200, key_of(number))
    counted: list[int] = []
    sweeping = [threading.Thread(target=lambda: counted.append(store.sweep())) for _ in range(2)]
    for thread in sweeping:
        thread.start()
    for thread in sweeping:
        thread.join()
    assert sum(counted) == 200
