"""Publishing, telling about it, and giving an upload up."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.stored_uploads import (
    DATA,
    HEAD,
    KEY,
    a_record,
    begun,
    directory_of,
    entries,
    filled,
    opened,
    state_of,
    whole,
    write_at,
)

from resumable.receiver import FileStore, UploadRecord
from resumable.receiver.messages import Refusal


@pytest.fixture
def store(root: Path) -> FileStore:
    return FileStore(root, fsync="never", patience=5.0)


def test_what_is_verified_is_the_whole_file_before_it_has_its_name(store: FileStore, root: Path) -> None:
    data = os.urandom(1 << 20)
    seen = []

    def verify(record: UploadRecord, pieces: Iterator[bytes]) -> None:
        assert os.listdir(root) == [".resumable"]
        seen.extend(pieces)

    with filled(store, a_record(data, 1 << 18), data) as upload:
        assert upload.publish(verify) is not None
    assert b"".join(seen) == data
    assert max(map(len, seen)) <= 1 << 18


def test_what_verifying_raises_keeps_the_file_unpublished(store: FileStore, root: Path) -> None:
    def verify(record: UploadRecord, pieces: Iterator[bytes]) -> None:
        raise Refusal(422, "no")

    with filled(store) as upload:
        with pytest.raises(Refusal, match="no"):
            upload.publish(verify)
        assert os.listdir(root) == [".resumable"]
        assert upload.complete()
        assert upload.publish(lambda record, pieces: None) is not None


def test_a_file_that_lacks_a_chunk_is_never_published(store: FileStore, root: Path) -> None:
    with filled(store) as upload:
        assert upload.complete()
        # What complete() found out is taken back, by somebody to whom the disk said that it has not got the bytes.
        write_at(directory_of(root) / "chunks", HEAD + 1, b"\0")
        with pytest.raises(OSError, match="chunk of the upload is missing"):
            upload.publish()
        assert os.listdir(root) == [".resumable"]
        assert upload.receive(1, whole(upload, 1))
        assert upload.publish() is not None


def test_a_published_file_is_not_verified_again(store: FileStore) -> None:
    def verify(record: UploadRecord, pieces: Iterator[bytes]) -> None:
        raise AssertionError

    with filled(store) as upload:
        upload.publish()
        assert upload.publish(verify) is None


def test_it_is_told_once_and_remembered(store: FileStore) -> None:
    told: list[UploadRecord] = []
    with filled(store) as upload:
        assert not upload.notify_once(told.append)
        published = upload.publish()
        assert published is not None
        assert not published.announced
        assert upload.notify_once(told.append)
        assert not upload.notify_once(told.append)
    assert told == [published]
    with opened(store) as upload:
        assert upload.record.announced
        assert not upload.notify_once(told.append)
    assert len(told) == 1


@pytest.mark.parametrize("published", [False, True])
def test_a_file_that_no_callback_has_to_know_of_is_published_and_announced_in_one_step(
    root: Path, published: bool
) -> None:
    store = FileStore(root)
    with filled(store) as upload:
        if published:
            assert upload.publish() is not None
        record = upload.publish_announced(session="s")
        assert record is not None
        assert (record.published, record.announced, record.sessions) == ("a.bin", True, ("s",))
        assert os.listdir(directory_of(root)) == ["record"]
        assert upload.publish_announced(session="s") is None
    with opened(store) as again:
        assert again.record == record


def test_it_can_be_announced_without_telling_anybody(store: FileStore) -> None:
    with filled(store) as upload:
        upload.publish()
        assert upload.notify_once()
    with opened(store) as upload:
        assert upload.record.announced


def test_it_is_told_again_when_telling_raised(store: FileStore, root: Path) -> None:
    def tell(record: UploadRecord) -> None:
        raise LookupError

    told: list[UploadRecord] = []
    with filled(store) as upload:
        upload.publish()
        with pytest.raises(LookupError):
            upload.notify_once(tell)
    with opened(store) as upload:
        assert upload.record.published == "a.bin"
        assert not upload.record.announced
        assert upload.notify_once(told.append)
    assert len(told) == 1
    assert state_of(root) == {"record"}


def test_who_tells_at_the_same_time_waits_and_does_not_tell(store: FileStore, root: Path) -> None:
    emitter, go_on = threading.Event(), threading.Event()
    told: list[str] = []

    def slow(record: UploadRecord) -> None:
        emitter.set()
        assert go_on.wait(60)
        told.append("first")

    results: list[UploadRecord | None] = []
    with filled(store) as first, opened(store) as second:
        first.publish()
        threads = [threading.Thread(target=lambda: results.append(first.notify_once(slow)))]
        threads[0].start()
        assert emitter.wait(60)
        threads.append(
            threading.Thread(target=lambda: results.append(second.notify_once(lambda record: told.append("second"))))
        )
        threads[1].start()
        assert not results
        go_on.set()
        for thread in threads:
            thread.join(60)
    assert sorted(record is not None for record in results) == [False, True]
    assert told == ["first"]


def test_what_a_process_that_died_left_goes_when_it_is_told(store: FileStore, root: Path) -> None:
    with filled(store) as upload:
        for name in ("chunks", "part"):
            os.link(directory_of(root) / name, root.parent / name)
        upload.publish()
        for name in ("chunks", "part"):
            os.link(root.parent / name, directory_of(root) / name)
    with opened(store) as upload:
        assert upload.complete()
        assert upload.notify_once()
    assert state_of(root) == {"record"}


def test_a_discarded_upload_begins_anew(store: FileStore, root: Path) -> None:
    with filled(store) as upload:
        upload.discard()
    assert entries(root) == []
    assert store.open(KEY) is None
    with opened(store) as upload:
        assert list(upload.ranges()) == []


def test_a_discarded_upload_is_gone_for_those_that_hold_it(store: FileStore) -> None:
    with filled(store) as full, opened(store, key="1" * 40) as other:
        full.receive(0, whole(full, 0))
        full.discard()
        for ask in (full.publish, full.notify_once, lambda: full.receive(0, whole(full, 0))):
            with pytest.raises(Refusal, match="was removed") as caught:
                ask()
            assert caught.value.status == 409
        assert other.receive(0, whole(other, 0))


@pytest.mark.parametrize("stored", [True, False])
def test_an_upload_can_be_discarded_while_a_chunk_comes(store: FileStore, root: Path, stored: bool) -> None:
    with opened(store) as upload, opened(store) as other:
        if stored:
            upload.receive(0, whole(upload, 0))

        def pieces() -> Iterator[bytes]:
            yield DATA[:10]
            other.discard()
            assert entries(root) == []
            yield DATA[10:30]

        assert upload.receive(0, pieces()) != stored
    assert store.open(KEY) is None


def test_a_discard_leaves_alone_what_was_begun_after_another_discard(store: FileStore) -> None:
    with opened(store) as early:
        with opened(store) as other:
            other.discard()
        begun(store, a_record(name="new"))
        with pytest.raises(Refusal, match="was removed"):
            early.discard()
    with opened(store) as upload:
        assert upload.record.name == "new"


def renames_and_begins(store: FileStore, root: Path) -> None:
    directory_of(root).rename(root / ".resumable" / "old-1")
    begun(store, a_record(name="new"))


def renames(store: FileStore, root: Path) -> None:
    directory_of(root).rename(root / ".resumable" / "old-1")


@pytest.mark.parametrize("other", [renames, renames_and_begins])
def test_who_discards_what_another_is_about_to_remove_leaves_it_to_him(
    store: FileStore, root: Path, other: Callable[[FileStore, Path], None]
) -> None:
    with opened(store) as upload:
        other(store, root)
        before = set(entries(root))
        upload.discard()
    assert set(entries(root)) == before


@pytest.mark.parametrize("stored", [True, False])
def test_a_chunk_that_comes_while_the_upload_is_discarded_is_refused(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    real = os.open
    with opened(store) as upload, opened(store) as other:
        if stored:
            upload.receive(0, whole(upload, 0))

        def discards_first(name: str, *arguments: Any, **more: Any) -> int:
            if name == "part":
                monkeypatch.undo()
                other.discard()
            return real(name, *arguments, **more)

        monkeypatch.setattr(os, "open", discards_first)
        with pytest.raises(Refusal, match="was removed"):
            upload.receive(0, whole(upload, 0))


def test_an_upload_whose_root_is_gone_cannot_be_discarded(store: FileStore, root: Path) -> None:
    with opened(store) as upload:
        root.rename(root.parent / "moved")
        with pytest.raises(Refusal, match="was removed"):
            upload.discard()


def test_discarding_a_published_upload_forgets_it_and_keeps_the_file(store: FileStore, root: Path) -> None:
    with filled(store) as upload:
        upload.publish()
        upload.discard()
    assert store.open(KEY) is None
    assert (root / "a.bin").read_bytes() == DATA


def test_a_link_that_a_dead_process_left_is_found_whatever_its_number(store: FileStore, root: Path) -> None:
    root.mkdir(exist_ok=True)
    with filled(store) as upload:
        os.link(directory_of(root) / "part", root / "a (1).bin")
        published = upload.publish()
    assert published is not None
    assert published.published == "a (1).bin"
    assert sorted(os.listdir(root)) == [".resumable", "a (1).bin"]
