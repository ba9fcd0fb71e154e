from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.descriptors import open_below
from support.sample import Sample
from support.stored_uploads import (
    DATA,
    HEAD,
    KEY,
    a_record,
    begun,
    directory_of,
    entries,
    filled,
    key_of,
    opened,
    state_of,
    whole,
)

from resumable.errors import OptionError
from resumable.protocol.verdict import Rules
from resumable.receiver import FileStore, Receiver, UploadRecord
from resumable.receiver.messages import Refusal


@pytest.fixture
def store(root: Path) -> FileStore:
    return FileStore(root, fsync="never", patience=5.0)


@pytest.mark.parametrize(
    "option",
    [
        {"fsync": "sometimes"},
        {"existing": "overwrite"},
        {"max_open_uploads": -1},
        {"max_bytes": -1},
        {"reserve": -1},
        {"stale_after": -5},
        {"forget_after": -1},
        {"patience": -0.1},
        {"patience": float("nan")},
    ],
)
def test_an_unknown_policy_is_refused(root: Path, option: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(option))):
        FileStore(root, **option)


def test_the_constructor_touches_no_disk(root: Path) -> None:
    FileStore(root)
    assert not root.exists()


def test_there_is_no_upload_before_it_is_created(store: FileStore) -> None:
    assert store.open(KEY) is None


def test_the_first_record_stays(store: FileStore, root: Path) -> None:
    with opened(store, a_record(name="first")) as first, opened(store, a_record(name="second")) as second:
        assert first.record == second.record == a_record(name="first")
    assert entries(root) == [KEY]


def test_an_upload_that_cannot_be_created_leaves_nothing(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", fails(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        store.create(KEY, a_record())
    assert entries(root) == []


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_the_first_request_is_refused_and_the_log_says_what_to_do(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    receiver = Receiver(FileStore(root))
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", fails(code))
        answers = [receiver.handle(Sample().octet(1)) for _ in range(2)]
    # For no client is this a reason to try again: resumable.js, flow.js, this library and the page.
    assert {answer.status for answer in answers} == {501}
    assert 501 in Rules().permanent
    assert all(b"cannot store files in its directory" in answer.body for answer in answers)
    assert entries(root) == []
    assert f"the file system of {str(root)!r} has no hard links" in caplog.text
    assert "use a directory on another one" in caplog.text
    assert Sample().send(receiver) == [200, 201]


def test_another_failure_of_the_first_link_is_no_reason_to_give_up(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", fails(errno.EIO))
        with pytest.raises(OSError, match="Input/output error"):
            store.create(KEY, a_record())
    assert entries(root) == []
    begun(store)


def test_hard_links_are_tried_once(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(store)
    monkeypatch.setattr(os, "link", fails(errno.EPERM))
    begun(store, key=key_of(1))


def test_what_is_in_the_way_of_an_upload_stays_there(store: FileStore, root: Path) -> None:
    begun(store, key=key_of(1))
    (root / ".resumable" / KEY).write_text("in the way")
    store.create(KEY, a_record())
    with pytest.raises(NotADirectoryError):
        store.open(KEY)
    assert entries(root) == [KEY, key_of(1)]


def write_record(directory: Path, **changes: object) -> None:
    record = json.loads((directory / "record").read_text())
    (directory / "record").write_text(json.dumps({**record, **changes}))


def half_a_record(directory: Path) -> None:
    (directory / "record").write_text((directory / "record").read_text()[:-10])


@pytest.mark.parametrize(
    "damage",
    [
        half_a_record,
        lambda directory: (directory / "record").write_bytes(b""),
        lambda directory: write_record(directory, chunk_size=0),
        lambda directory: write_record(directory, total_chunks=5),
        lambda directory: (directory / "record").unlink(),
        lambda directory: (directory / "chunks").unlink(),
    ],
)
def test_an_upload_of_which_a_power_failure_left_a_part_is_removed(
    store: FileStore, root: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    begun(store)
    damage(directory_of(root))
    before = open_below(root)
    assert store.open(KEY) is None
    assert open_below(root) == before
    assert entries(root) == []
    assert "is damaged" in caplog.text
    with filled(store) as upload:
        assert upload.publish() is not None


def test_a_record_that_says_more_than_is_understood_raises_and_is_kept(store: FileStore, root: Path) -> None:
    begun(store)
    record = directory_of(root) / "record"
    record.write_text(record.read_text().replace('"tenant"', '"owner"'))
    before = open_below(root)
    with pytest.raises(TypeError, match="owner"):
        store.open(KEY)
    assert open_below(root) == before
    assert state_of(root) == {"record", "chunks", "part"}


def test_a_record_from_before_there_were_hashes_is_understood(store: FileStore, root: Path) -> None:
    begun(store)
    record = directory_of(root) / "record"
    said = json.loads(record.read_text())
    del said["file_sha256"]
    record.write_text(json.dumps(said))
    with filled(store) as upload:
        assert upload.record == a_record()
        upload.set_file_sha256("0" * 64)
        with pytest.raises(Refusal, match="no"):
            upload.publish(refuse_another_hash)
        assert upload.publish() is not None


def refuse_another_hash(record: UploadRecord, pieces: Iterator[bytes]) -> None:
    if record.file_sha256 == "0" * 64:
        raise Refusal(409, "no")


def test_a_record_that_is_not_understood_is_in_nobodys_way(root: Path) -> None:
    store = FileStore(root, max_open_uploads=1)
    begun(store)
    record = directory_of(root) / "record"
    record.write_text(record.read_text().replace('"tenant"', '"owner"'))
    (root / ".resumable" / "accounts").write_bytes(b"")
    begun(store, key=key_of(1))
    assert [upload.record for upload in store.uploads()] == [a_record()]


def test_chunks_come_in_any_order_and_any_pieces(store: FileStore, root: Path) -> None:
    with opened(store) as upload:
        assert upload.receive(2, iter([DATA[60:61], b"", DATA[61:99], DATA[99:]]))
        assert upload.receive(0, iter([DATA[:30]]))
        assert not upload.complete()
        assert list(upload.ranges()) == [(0, 1), (2, 3)]
        assert upload.receive(1, iter([DATA[30:60]]))
        assert upload.complete()
        known = UploadRecord("identifier", "a.bin", "a.bin", "", 100, 30, 3, "a.bin", "", "a.bin")
        assert upload.publish() == replace(known, path=str(root / "a.bin"))
    assert (root / "a.bin").read_bytes() == DATA
    assert state_of(root) == {"record"}


def broken() -> Iterator[bytes]:
    yield DATA[:10]
    raise ConnectionError("the client went away")


@pytest.mark.parametrize(
    ("pieces", "error", "says"),
    [
        (lambda: iter([DATA[:29]]), Refusal, "only 29 of its 30 bytes"),
        (lambda: iter([]), Refusal, "only 0 of its 30 bytes"),
        (lambda: iter([DATA[:31]]), Refusal, "more than its 30 bytes"),
        (lambda: iter([DATA[:30], b"x"]), Refusal, "more than its 30 bytes"),
        (broken, ConnectionError, "went away"),
    ],
)
def test_a_chunk_that_is_not_whole_is_not_stored_and_can_come_again(
    store: FileStore, root: Path, pieces: Callable[[], Iterator[bytes]], error: type[Exception], says: str
) -> None:
    with opened(store) as upload:
        with pytest.raises(error, match=says):
            upload.receive(0, pieces())
        assert not upload.has(0)
        assert state_of(root) == {"record", "part", "chunks"}
        assert upload.receive(0, whole(upload, 0))


def test_a_chunk_longer_than_its_own_never_touches_its_neighbour(store: FileStore, root: Path) -> None:
    with opened(store) as upload:
        upload.receive(1, whole(upload, 1))
        with pytest.raises(Refusal):
            upload.receive(0, iter([DATA[:30], b"!!!"]))
    assert (root / ".resumable" / KEY / "part").read_bytes()[30:60] == DATA[30:60]


def test_a_repeat_is_compared_and_never_written(store: FileStore, root: Path) -> None:
    with opened(store) as upload:
        upload.receive(0, whole(upload, 0))
        assert not upload.receive(0, iter([DATA[:10], DATA[10:30]]))
        with pytest.raises(Refusal, match="other bytes") as caught:
            upload.receive(0, iter([DATA[:10], b"x" * 20]))
        assert caught.value.status == 409
    assert (root / ".resumable" / KEY / "part").read_bytes() == DATA[:30]


def test_a_request_that_began_before_the_end_finds_its_chunk_stored(store: FileStore) -> None:
    with filled(store) as upload, store.open(KEY) as late:  # type: ignore[union-attr]
        assert upload.publish() is not None
        assert late.record.published is None
        assert late.has(1)
        assert not late.receive(1, whole(late, 1))
        assert late.publish() is None


def test_a_published_upload_is_remembered(store: FileStore) -> None:
    with filled(store) as upload:
        upload.publish()
    with store.open(KEY) as again:  # type: ignore[union-attr]
        assert again.record.published == "a.bin"
        assert again.has(2)
        assert again.complete()
        assert list(again.ranges()) == [(0, 3)]
        assert again.publish() is None


def test_an_empty_file_is_one_empty_chunk(store: FileStore, root: Path) -> None:
    with opened(store, a_record(b"")) as upload:
        assert not upload.complete()
        assert upload.receive(0, iter([]))
        assert upload.complete()
        upload.publish()
    assert (root / "a.bin").read_bytes() == b""


@settings(max_examples=30)
@given(st.integers(1, 200), st.randoms(use_true_random=False))
@pytest.mark.once
def test_what_is_stored_is_what_was_received(
    tmp_path_factory: pytest.TempPathFactory, total: int, order: random.Random
) -> None:
    store = FileStore(tmp_path_factory.mktemp("store"), fsync="never")
    data = order.randbytes(total)
    indexes = order.sample(range(total), total)
    half = set(indexes[: total // 2])
    with opened(store, a_record(data, 1)) as upload:
        for index in indexes[: total // 2]:
            upload.receive(index, whole(upload, index, data))
        assert [upload.has(index) for index in range(total)] == [index in half for index in range(total)]
        assert {index for start, stop in upload.ranges() for index in range(start, stop)} == half
        ranges = list(upload.ranges())
        assert all(stop < start for (_, stop), (start, _) in pairwise(ranges))
        for index in indexes[total // 2 :]:
            assert not upload.complete()
            upload.receive(index, whole(upload, index, data))
        assert upload.complete()
        upload.publish()
    assert Path(store.root, "a.bin").read_bytes() == data


@pytest.mark.parametrize("missing", [0, 4095, 4096, 4097, 8192, 9999])
def test_one_missing_chunk_of_ten_thousand_is_noticed_anywhere(store: FileStore, root: Path, missing: int) -> None:
    with opened(store, a_record(bytes(10_000), 1)) as upload:
        # Setting a million bytes through receive() would take minutes; the file is the same.
        stored = bytearray(b"\1" * 10_000)
        stored[missing] = 0
        with open(root / ".resumable" / KEY / "chunks", "r+b") as chunks:
            chunks.seek(HEAD)
            chunks.write(stored)
        assert not upload.complete()
        assert not upload.complete()
        assert upload.receive(missing, iter([b"\0"]))
        assert upload.complete()
        assert upload.complete()


def test_a_taken_name_gets_a_number(store: FileStore, root: Path) -> None:
    for number in range(3):
        with filled(store, key=str(number) * 40) as upload:
            published = upload.publish()
            assert published is not None
            assert published.published == ("a.bin", "a (1).bin", "a (2).bin")[number]
    assert sorted(os.listdir(root)) == [".resumable", "a (1).bin", "a (2).bin", "a.bin"]


def test_a_name_that_was_free_when_it_was_looked_for_is_not_taken_from_another(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.mkdir()
    for number in range(5):
        (root / ("a.bin" if number == 0 else f"a ({number}).bin")).write_text("another")
    real = os.link

    def link(source: str, name: str, **more: Any) -> None:
        # Until a (8).bin, another is always faster.
        if name in ("a (5).bin", "a (6).bin", "a (7).bin"):
            (root / name).write_text("faster")
        real(source, name, **more)

    with filled(store) as upload:
        monkeypatch.setattr(os, "link", link)
        published = upload.publish()
    assert published is not None
    assert published.published == "a (8).bin"
    assert {path.read_bytes() for path in root.glob("a*.bin")} == {b"another", b"faster", DATA}
    assert (root / "a (8).bin").read_bytes() == DATA


def test_a_name_that_was_taken_meanwhile_can_be_refused_and_the_bytes_are_kept(root: Path) -> None:
    store = FileStore(root, fsync="never", existing="refuse")
    with filled(store) as upload:
        (root / "a.bin").write_text("mine")
        with pytest.raises(Refusal, match="exists already") as caught:
            upload.publish()
        assert caught.value.status == 409
        assert (root / "a.bin").read_text() == "mine"
        (root / "a.bin").unlink()
        assert upload.publish() is not None
    assert (root / "a.bin").read_bytes() == DATA


def test_a_death_between_the_link_and_the_record_publishes_once(store: FileStore, root: Path) -> None:
    with filled(store) as upload:
        os.link(root / ".resumable" / KEY / "part", root / "a.bin")
        published = upload.publish()
        assert published is not None
        assert published.published == "a.bin"
    assert sorted(os.listdir(root)) == [".resumable", "a.bin"]


def test_directories_are_made_and_shared(store: FileStore, root: Path) -> None:
    for number, name in enumerate(("dir/sub/a", "dir/sub/b", "dir/c")):
        with filled(store, a_record(name=name), key=str(number) * 40) as upload:
            upload.publish()
        assert (root / name).read_bytes() == DATA


@pytest.mark.parametrize("existing", ["number", "replace", "refuse"])
def test_a_directory_that_is_a_file_is_refused_before_the_first_byte_and_else_at_the_end(
    root: Path, existing: str
) -> None:
    store = FileStore(root, existing=existing)
    with filled(store, a_record(name="dir/a")) as upload:
        (root / "dir").write_text("a file")
        with pytest.raises(Refusal, match="is a file here") as late:
            upload.publish()
    with pytest.raises(Refusal, match="is a file here") as early:
        store.create("1" * 40, a_record(name="dir/b"))
    assert (late.value.status, early.value.status) == (409, 409)


def test_a_file_that_would_replace_a_directory_is_refused_before_the_first_byte(root: Path) -> None:
    (root / "a.bin").mkdir(parents=True)
    with pytest.raises(Refusal, match="is a directory here") as caught:
        FileStore(root, existing="replace").create(KEY, a_record())
    assert caught.value.status == 409


def test_a_planted_link_leads_nowhere(store: FileStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    root.mkdir()
    with filled(store, a_record(name="dir/a")) as upload:
        (root / "dir").symlink_to(tmp_path / "outside")
        (root / "a.bin").symlink_to(tmp_path / "outside" / "target")
        with pytest.raises(Refusal, match="is a file here"):
            upload.publish()
    with filled(store, key="1" * 40) as upload:
        published = upload.publish()
    assert published is not None
    assert published.published == "a (1).bin"
    assert os.listdir(tmp_path / "outside") == []


def test_a_part_of_the_wrong_size_is_never_published(store: FileStore, root: Path) -> None:
    with filled(store) as upload:
        os.truncate(root / ".resumable" / KEY / "part", 99)
        with pytest.raises(OSError, match="not have the size"):
            upload.publish()
    assert os.listdir(root) == [".resumable"]


def test_a_second_sender_of_a_chunk_waits_for_the_first(store: FileStore, root: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        yield DATA[:10]
        begun.set()
        assert go_on.wait(60)
        yield DATA[10:30]

    results: dict[str, bool] = {}
    with opened(store) as first, store.open(KEY) as second:  # type: ignore[union-attr]
        sending = threading.Thread(target=lambda: results.update(first=first.receive(0, slow())))
        sending.start()
        assert begun.wait(60)
        waiting = threading.Thread(target=lambda: results.update(second=second.receive(0, whole(second, 0))))
        waiting.start()
        assert second.receive(1, whole(second, 1))
        assert results == {}
        go_on.set()
        sending.join(60)
        waiting.join(60)
    assert results == {"first": True, "second": False}
    assert state_of(root) == {"record", "part", "chunks"}


def test_the_second_sender_gets_the_chunk_when_the_first_breaks_off(store: FileStore) -> None:
    with opened(store) as first, store.open(KEY) as second:  # type: ignore[union-attr]
        with pytest.raises(ConnectionError):
            first.receive(0, broken())
        assert second.receive(0, whole(second, 0))


def test_a_second_sender_waits_no_longer_than_the_store_has_patience(root: Path) -> None:
    store = FileStore(root, fsync="never", patience=0.01)
    with opened(store) as first, store.open(KEY) as second:  # type: ignore[union-attr]

        def pieces() -> Iterator[bytes]:
            with pytest.raises(Refusal, match="Another request is still sending chunk 1") as caught:
                second.receive(0, whole(second, 0))
            assert caught.value.status == 503
            assert caught.value.headers == (("Retry-After", "1"),)
            yield DATA[:30]

        assert first.receive(0, pieces())


def test_a_claim_that_a_dead_process_left_is_taken_over(store: FileStore, root: Path) -> None:
    with opened(store) as upload:
        (root / ".resumable" / KEY / "claim-chunk-0").touch()
        assert upload.receive(0, whole(upload, 0))
    assert state_of(root) == {"record", "part", "chunks"}


def test_a_claim_that_cannot_be_removed_is_not_held_for_ever(store: FileStore, root: Path) -> None:
    claim = root / ".resumable" / KEY / "claim-chunk-0"

    def pieces() -> Iterator[bytes]:
        # As little as from a disk that has become read-only can it be removed now.
        claim.unlink()
        claim.mkdir()
        yield DATA[:30]

    with opened(store) as upload:
        before = open_below(root)
        with pytest.raises(OSError, match="claim-chunk-0"):
            upload.receive(0, pieces())
        assert open_below(root) == before


def test_a_claim_that_was_given_back_between_opening_and_locking_is_made_anew(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    given_back: list[str] = []

    def flock(handle: int, operation: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        if path.endswith("/claim-chunk-0") and not given_back:
            os.unlink(path)
            given_back.append(path)
        real(handle, operation)

    def pieces() -> Iterator[bytes]:
        assert "claim-chunk-0" in state_of(root)
        yield DATA[:30]

    monkeypatch.setattr(fcntl, "flock", flock)
    with opened(store) as upload:
        assert upload.receive(0, pieces())
    assert len(given_back) == 1


def fails(code: int) -> Callable[..., Any]:
    """A call of the system that does."""

    def fail(*arguments: object, **more: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


class Syncs:
    """Which files were synced, in order, and what the map of chunks said at that moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[str, bytes]] = []
        real = os.fsync

        def fsync(handle: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{handle}"))
            chunks = path.parent / "chunks"
            self.seen.append(
                (path.name, chunks.read_bytes()[HEAD : HEAD + a_record().total_chunks] if chunks.exists() else b"")
            )
            real(handle)

        monkeypatch.setattr(os, "fsync", fsync)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.seen]


def test_always_syncs_the_chunk_before_it_is_marked_and_the_mark_before_it_is_acknowledged(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(root, fsync="always")
    syncs = Syncs(monkeypatch)
    with opened(store) as upload:
        assert "record-new" in syncs.names
        assert syncs.names[-1] == ".resumable"
        syncs.seen.clear()
        upload.receive(1, whole(upload, 1))
        assert syncs.seen == [("part", b"\0\0\0"), ("chunks", b"\0\2\0")]


def test_finish_syncs_the_file_before_it_has_its_name_and_the_name_before_it_is_acknowledged(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(root, fsync="finish")
    syncs = Syncs(monkeypatch)
    with filled(store, a_record(name="dir/a.bin")) as upload:
        assert syncs.names == [root.parent.name]  # which the new root is in
        upload.publish()
    assert syncs.names == [root.parent.name, "part", root.name, "dir", "record-new", KEY]


def test_finish_has_the_disk_begin_with_a_chunk_that_is_not_small(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begins: list[tuple[str, int, int]] = []
    real = os.posix_fadvise

    def posix_fadvise(handle: int, offset: int, length: int, advice: int) -> None:
        real(handle, offset, length, advice)
        assert advice == os.POSIX_FADV_DONTNEED
        begins.append((Path(os.readlink(f"/proc/self/fd/{handle}")).name, offset, length))

    monkeypatch.setattr(os, "posix_fadvise", posix_fadvise)
    for fsync in ("always", "finish", "never"):
        store = FileStore(root / fsync, fsync=fsync)
        for key, size in enumerate((1000, 100_000)):
            data = bytes(2 * size)
            with filled(store, a_record(data, size), data, key_of(key)) as upload:
                assert upload.complete()
    assert begins == [("part", 0, 100_000), ("part", 100_000, 100_000)]


def test_never_syncs_nothing(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = Syncs(monkeypatch)
    with filled(store) as upload:
        upload.publish()
    assert syncs.names == []


def until_locked(path: Path, waiting: threading.Thread) -> None:
    """Return when a thread waits for the lock on this directory: the system lists it with an arrow."""
    end = f":{path.stat().st_ino} 0 EOF"
    while not any("->" in line and line.endswith(end) for line in Path("/proc/locks").read_text().splitlines()):
        assert waiting.is_alive()


def test_who_waits_for_an_upload_that_is_swept_meanwhile_gets_none(store: FileStore, root: Path) -> None:
    opened(store).__exit__(None, None, None)
    path = root / ".resumable" / KEY
    sweeper = os.open(path, os.O_RDONLY)
    fcntl.flock(sweeper, fcntl.LOCK_EX)
    found: list[object] = []
    waiting = threading.Thread(target=lambda: found.append(store.open(KEY)))
    waiting.start()
    until_locked(path, waiting)
    path.rename(root / ".resumable" / "old-1")
    os.close(sweeper)
    waiting.join(60)
    assert found == [None]


def test_who_waits_for_an_upload_that_is_made_anew_meanwhile_gets_the_new_one(store: FileStore, root: Path) -> None:
    opened(store, a_record(name="old")).__exit__(None, None, None)
    path = root / ".resumable" / KEY
    sweeper = os.open(path, os.O_RDONLY)
    fcntl.flock(sweeper, fcntl.LOCK_EX)
    found: list[str] = []

    def wait() -> None:
        with store.open(KEY) as upload:  # type: ignore[union-attr]
            found.append(upload.record.name)

    waiting = threading.Thread(target=wait)
    waiting.start()
    until_locked(path, waiting)
    path.rename(root / ".resumable" / "old-1")
    store.create(KEY, a_record(name="new"))
    os.close(sweeper)
    waiting.join(60)
    assert found == ["new"]


def test_a_full_disk_stores_nothing_of_the_chunk(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite

    def pwrite(handle: int, piece: bytes, offset: int) -> int:
        if offset >= 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, piece[:7], offset)

    with opened(store) as upload:
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", pwrite)
            with pytest.raises(OSError, match="No space left"):
                upload.receive(0, whole(upload, 0))
        assert not upload.has(0)
        assert upload.receive(0, whole(upload, 0))


def test_a_write_that_takes_only_a_part_is_gone_on_with(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    with opened(store) as upload, monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda handle, piece, offset: real(handle, piece[:7], offset))
        assert upload.receive(0, whole(upload, 0))
    assert (root / ".resumable" / KEY / "part").read_bytes() == DATA[:30]


def test_a_store_is_prepared_before_anybody_uploads(root: Path) -> None:
    FileStore(root / "deep" / "down").prepare()
    assert [path.name for path in (root / "deep" / "down").iterdir()] == [".resumable"]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc here")
@pytest.mark.parametrize("place", ["/proc/uploads", "/proc/uploads/deep"])
def test_a_place_where_nothing_can_be_made_is_an_error(place: str) -> None:
    with pytest.raises(FileNotFoundError):
        FileStore(place).prepare()
