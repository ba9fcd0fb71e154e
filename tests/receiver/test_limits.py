"""What a store refuses to take: too many uploads, too many bytes, the last of the disk."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.stored_uploads import KEY, a_record, aged, begun, directory_of, filled, key_of, opened, whole, write_at

from resumable.receiver import FileStore, UploadRecord
from resumable.receiver.messages import Refusal


def refused(store: FileStore, number: int, tenant: str = "") -> int:
    with pytest.raises(Refusal) as caught:
        store.create(key_of(number), a_record(tenant=tenant))
    assert store.open(key_of(number)) is None
    assert not any(name.startswith("new-") for name in os.listdir(Path(store.root, ".resumable")))
    return caught.value.status


def test_a_tenant_may_have_so_many_open_uploads(root: Path) -> None:
    store = FileStore(root, fsync="never", max_open_uploads=2)
    for tenant in ("one", "other"):
        for number in (1, 2):
            begun(store, a_record(tenant=tenant), f"{tenant:->39}{number}")
        with pytest.raises(Refusal, match="2 unfinished uploads") as caught:
            store.create(f"{tenant:->39}3", a_record(tenant=tenant))
        assert caught.value.status == 429
        assert ("Retry-After", "60") in caught.value.headers


def test_a_tenant_may_have_so_many_bytes(root: Path) -> None:
    store = FileStore(root, fsync="never", max_bytes=250)
    begun(store, key=key_of(1))
    begun(store, key=key_of(2))
    with pytest.raises(Refusal, match=r"200 of 250 bytes \(max_bytes\), which leaves no room for 100 more") as caught:
        store.create(key_of(3), a_record())
    assert caught.value.status == 507
    begun(store, a_record(bytes(50)), key_of(4))


def test_a_file_that_can_never_fit_is_refused_for_good(root: Path) -> None:
    assert refused(FileStore(root, fsync="never", max_bytes=99), 1) == 413


def test_what_is_there_already_counts_no_second_time(root: Path) -> None:
    store = FileStore(root, fsync="never", max_open_uploads=1)
    for _ in range(3):
        begun(store)
    assert refused(store, 2) == 429


def publishes(store: FileStore) -> None:
    with filled(store) as upload:
        upload.publish()


def discards(store: FileStore) -> None:
    with opened(store) as upload:
        upload.discard()


def expires(store: FileStore) -> None:
    aged(Path(store.root), 1e9)
    assert store.sweep() == 1


def is_damaged(store: FileStore) -> None:
    write_at(directory_of(Path(store.root)) / "record", 0, b"?")
    assert store.open(KEY) is None


@pytest.mark.parametrize("end", [publishes, discards, expires, is_damaged])
def test_the_end_of_one_makes_room_for_another(root: Path, end: Callable[[FileStore], None]) -> None:
    store = FileStore(root, fsync="never", max_open_uploads=1, max_bytes=100)
    begun(store)
    assert refused(store, 1) == 429
    end(store)
    begun(store, key=key_of(1))
    assert refused(store, 2) == 429


def forget_nothing(root: Path) -> None:
    pass


def die_in_a_change(root: Path) -> None:
    os.truncate(root / ".resumable" / "accounts", 0)


def start_the_machine(root: Path) -> None:
    quotas = root / ".resumable" / "accounts"
    write_at(quotas, quotas.read_text().index('"') + 1, b"other")


def lose_the_accounts(root: Path) -> None:
    (root / ".resumable" / "accounts").unlink()


def work_without_limits(root: Path) -> None:
    store = FileStore(root, fsync="never")
    begun(store, key=key_of(8))
    with opened(store, key=key_of(1)) as upload:
        upload.discard()


def sweep(root: Path) -> None:
    FileStore(root, fsync="never", max_open_uploads=2).sweep()


@pytest.mark.parametrize(
    "happens",
    [forget_nothing, die_in_a_change, start_the_machine, lose_the_accounts, work_without_limits, sweep],
)
def test_the_counts_are_right_whatever_happened(root: Path, happens: Callable[[Path], None]) -> None:
    store = FileStore(root, fsync="never", max_open_uploads=2)
    with filled(store) as upload:
        upload.publish()
    begun(store, a_record(tenant="other"), key_of(9))
    begun(store, key=key_of(1))
    begun(store, key=key_of(2))
    happens(root)
    assert refused(store, 3) == 429
    begun(store, a_record(tenant="other"), key_of(4))
    assert refused(store, 5, "other") == 429


@pytest.mark.parametrize("written", [None, 3])
def test_where_the_disk_takes_no_counts_the_uploads_are_counted(
    root: Path, monkeypatch: pytest.MonkeyPatch, written: int | None
) -> None:
    store = FileStore(root, fsync="never", max_open_uploads=2)
    begun(store)
    real = os.pwrite

    def pwrite(file: int, data: bytes, offset: int) -> int:
        if offset or not data.startswith(b"["):
            return real(file, data, offset)
        if written is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, data[:written], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        begun(store, key=key_of(1))
    assert (root / ".resumable" / "accounts").read_bytes() == b""
    assert refused(store, 2) == 429


def test_many_that_begin_at_once_get_no_more_than_the_limit(root: Path) -> None:
    results: list[str] = []
    barrier = threading.Barrier(8)

    def begin(number: int) -> None:
        # Each thread a store of its own, as each process has one.
        store = FileStore(root, fsync="never", max_open_uploads=20)
        barrier.wait(60)
        for attempt in range(10):
            try:
                store.create(key_of(10 * number + attempt), a_record())
                results.append("begun")
            except Refusal:
                results.append("refused")

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count("begun") == 20
    assert results.count("refused") == 60
    assert len(list(FileStore(root).uploads())) == 20


def test_some_of_the_disk_stays_free(root: Path) -> None:
    root.mkdir()
    disk = os.statvfs(root)
    free = disk.f_bavail * disk.f_frsize
    # It is the disk of others too, and a tenth of it is more than they write or remove meanwhile.
    store = FileStore(root, fsync="never", reserve=free - free // 10)
    begun(store)
    with pytest.raises(Refusal, match="no room for") as caught:
        store.create(key_of(1), UploadRecord("id", "a", "a", "", free // 2, free // 2, 1, "a"))
    assert caught.value.status == 507
    with opened(FileStore(root, fsync="never", reserve=2 * free)) as upload:
        with pytest.raises(Refusal, match="no room for") as caught:
            upload.receive(0, whole(upload, 0))
        assert caught.value.status == 507
        assert not upload.has(0)
    with opened(store) as upload:
        assert upload.receive(0, whole(upload, 0))


def test_a_repeated_chunk_that_is_kept_on_the_disk_leaves_the_reserve_alone(root: Path) -> None:
    disk = os.statvfs(root.parent)
    full = FileStore(root, fsync="never", reserve=2 * disk.f_blocks * disk.f_frsize)
    for size in (1 << 20, (1 << 20) + 1):
        data, key = bytes(size), key_of(size)
        record = UploadRecord("id", "a", "a", "", size, size, 1, "a")
        with filled(FileStore(root, fsync="never", reserve=0), record, data, key) as upload:
            upload.publish()
        with opened(full, record, key) as upload:
            past = upload.published()
            assert past is not None
            if size == 1 << 20:
                assert past.repeats(record, 0, iter([data])) is None
                continue
            with pytest.raises(Refusal, match="no room for") as caught:
                past.repeats(record, 0, iter(()))
            assert caught.value.status == 507
