"""What has to be true of every store: ``STORES`` has those that are tried, and one of your own joins with a line."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.client import upload
from support.memory_store import MemoryStore
from support.stored_uploads import DATA, KEY, a_record

from resumable.receiver import (
    Discarded,
    FileStore,
    Receiver,
    Refusal,
    Request,
    Response,
    Server,
    Store,
    StoredUpload,
    UploadRecord,
    UploadStatus,
)

STORES: dict[str, Callable[[Path], Store]] = {
    "files": lambda root: FileStore(root, fsync="never", patience=5),
    "memory": lambda root: MemoryStore(),
}

RECORD = a_record()
SHA256 = hashlib.sha256(DATA).hexdigest()
OTHER = "1" * 40


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, root: Path) -> Store:
    return STORES[request.param](root)


def begun(store: Store, record: UploadRecord = RECORD, key: str = KEY) -> StoredUpload:
    store.create(key, record)
    found = store.open(key)
    assert found is not None
    return found


def pieces(index: int, data: bytes = DATA) -> Iterator[bytes]:
    start, end = RECORD.plan.span(index)
    return iter([data[start : start + 7], data[start + 7 : end]])


def filled(store: Store, record: UploadRecord = RECORD, key: str = KEY) -> StoredUpload:
    upload = begun(store, record, key)
    for index in range(record.total_chunks):
        upload.receive(index, pieces(index))
    return upload


def finished(store: Store, key: str = KEY, *, collected: bool = False, session: str = "") -> UploadRecord:
    with filled(store, key=key) as upload:
        upload.publish()
        record = upload.notify_once(collected=collected, session=session)
    assert record is not None
    return record


def test_an_upload_is_there_once_it_is_created_with_the_first_record(store: Store) -> None:
    assert store.open(KEY) is None
    record = replace(RECORD, metadata={"album": "été"}, sessions=("s",))
    store.create(KEY, record)
    store.create(KEY, replace(RECORD, name="other"))
    with begun(store) as upload:
        assert upload.record == record
        assert (upload.stored(), upload.complete(), list(upload.ranges())) == (0, False, [])
    assert store.open(OTHER) is None


def test_chunks_come_in_any_order_and_are_stored_whole_or_not_at_all(store: Store) -> None:
    with begun(store) as upload:
        assert upload.receive(1, pieces(1))
        for wrong in (b"", DATA):
            with pytest.raises(Refusal) as refused:
                upload.receive(0, iter([wrong]))
            assert refused.value.status == 400
        assert (upload.has(0), upload.has(1)) == (False, True)
        assert list(upload.ranges()) == [(1, 2)]
        assert not upload.receive(1, pieces(1))
        with pytest.raises(Refusal) as differs:
            upload.receive(1, pieces(1, bytes(100)))
        assert differs.value.status == 409
    with begun(store) as again:
        assert again.has(1)
        assert [again.receive(index, pieces(index)) for index in (2, 0)] == [True, True]
        assert again.complete()


def test_a_chunk_whose_pieces_fail_is_not_stored(store: Store) -> None:
    def broken() -> Iterator[bytes]:
        yield DATA[:7]
        raise ConnectionResetError

    with begun(store) as upload:
        with pytest.raises(ConnectionResetError):
            upload.receive(0, broken())
        assert not upload.has(0)


def test_a_file_is_published_once_and_verified_before(store: Store) -> None:
    seen: list[bytes] = []

    def refuse(record: UploadRecord, content: Iterator[bytes]) -> None:
        seen.append(b"".join(content))
        raise Refusal(409, "Not this one.")

    with filled(store) as upload, begun(store) as other:
        with pytest.raises(Refusal, match="Not this one"):
            upload.publish(refuse)
        record = upload.publish()
        assert record is not None
        assert (record.published, bool(record.path)) == ("a.bin", True)
        assert other.publish() is None
    assert seen == [DATA]
    with filled(store, key=OTHER) as second:
        again = second.publish()
        assert again is not None
        assert again.published not in (None, "a.bin")


def test_the_application_is_told_once_and_its_result_stays(store: Store) -> None:
    told: list[UploadRecord] = []

    def fail(record: UploadRecord) -> None:
        told.append(record)
        raise LookupError

    with filled(store) as upload:
        assert upload.notify_once(lambda record: {"id": 0}) is None
        upload.publish()
        with pytest.raises(LookupError):
            upload.notify_once(fail)
        record = upload.notify_once(lambda record: {"id": len(told)}, session="s")
        assert record is not None
        assert (record.result, record.announced, record.sessions) == ({"id": 1}, True, ("s",))
        assert upload.notify_once(fail) is None
    assert told[0].published == "a.bin"
    with begun(store) as again:
        past = again.published()
        assert past is not None
        assert (past.record.result, past.record.path) == ({"id": 1}, told[0].path)
        assert (past.finished_by("s"), past.finished_by("other")) == (True, False)
        assert past.counts_as_stored(collected=False)
        assert past.repeats(RECORD, 0, pieces(0)) is None
        others = past.repeats(RECORD, 0, pieces(0, bytes(100)))
        assert others is not None
        assert b"".join(others) == bytes(30)
        with pytest.raises(Refusal):
            past.repeats(RECORD, 0, iter([b"short"]))


def test_a_published_upload_gives_way_and_is_remembered(store: Store) -> None:
    record = finished(store)
    with begun(store) as upload:
        upload.give_way()
        upload.give_way()
    assert store.open(KEY) is None
    with store.earlier(KEY) as earlier:
        assert earlier is not None
        assert earlier.record.published == record.published
    with store.earlier(OTHER) as nothing:
        assert nothing is None


def test_a_forgotten_file_does_not_count_as_stored(store: Store) -> None:
    record = finished(store, collected=True)
    assert not store.forget(OTHER, record)
    assert store.forget(KEY, record)
    assert not store.forget(KEY, record)
    with begun(store) as upload:
        past = upload.published()
        assert past is not None
        assert not past.counts_as_stored(collected=True)


def test_the_hash_of_the_file_is_that_of_the_first_request_with_one(store: Store) -> None:
    with begun(store) as upload:
        upload.set_file_sha256(SHA256)
        upload.set_file_sha256(SHA256)
        with begun(store) as other:
            assert other.record.file_sha256 == SHA256
            with pytest.raises(Refusal) as refused:
                other.set_file_sha256("0" * 64)
            assert refused.value.status == 409


def test_an_upload_that_was_discarded_is_gone_for_all_who_have_it_open(store: Store) -> None:
    with filled(store) as upload, begun(store) as other:
        upload.discard()
        with pytest.raises(Discarded):
            other.publish()
    assert store.open(KEY) is None


def test_an_unfinished_upload_is_discarded_by_its_key_unless_it_is_in_use(store: Store) -> None:
    with begun(store) as upload:
        upload.receive(0, pieces(0))
        with pytest.raises(Refusal) as refused:
            store.discard(KEY)
        assert refused.value.status == 409
    assert store.discard(KEY) == RECORD
    assert store.open(KEY) is None
    assert store.discard(KEY) is None
    finished(store)
    assert store.discard(KEY) is None


def test_the_uploads_of_a_tenant_or_of_all_are_listed(store: Store) -> None:
    finished(store)
    with begun(store, replace(RECORD, tenant="ada"), OTHER) as upload:
        upload.receive(2, pieces(2))

    def facts(status: UploadStatus) -> tuple[str, str, int, int]:
        return status.record.tenant, status.state, status.stored_chunks, status.stored_bytes

    assert set(map(facts, store.uploads())) == {("", "done", 3, 100), ("ada", "open", 1, 40)}
    assert list(map(facts, store.uploads("ada"))) == [("ada", "open", 1, 40)]
    assert list(map(facts, store.uploads(""))) == [("", "done", 3, 100)]
    assert len(list(store.uploads(limit=1))) == 1


def test_a_receiver_works_on_it(store: Store) -> None:
    receiver = Receiver(store, on_file_received=lambda record: {"path": record.path})
    content = bytes(range(256)) * 100
    with Server(receiver) as server:
        first = upload(server.url, (content, "a.bin"), simultaneous_uploads=3)
        again = upload(server.url, (content, "a.bin"), simultaneous_uploads=3)
    (result,) = {str(run.files[0].result) for run in (first, again)}
    assert "a.bin" in result
    assert again.files[0].bytes_skipped == len(content)
    assert [(status.name, status.state) for status in receiver.uploads()] == [("a.bin", "done")]


def joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return iter([b"".join(pieces)])


class PatientStore(FileStore):
    """Receives a chunk when it has all of it."""

    def open(self, key: str) -> Any:
        upload = super().open(key)
        if upload is not None:
            receive = upload.receive
            upload.receive = lambda index, pieces: receive(index, joined(pieces))  # type: ignore[method-assign]
        return upload


class RewritingReceiver(Receiver):
    """Looks at the bytes of each body, and changes them."""

    def handle(self, request: Request) -> Response:
        read = request.read
        return super().handle(replace(request, read=lambda size: read(size).replace(b"\xfe", b"\xff")))


@pytest.mark.parametrize("method", ["multipart", "octet"])
@pytest.mark.parametrize("make", [lambda root: MemoryStore(), PatientStore], ids=["own", "made of a FileStore"])
def test_a_store_that_keeps_the_pieces_of_a_chunk_has_them_as_they_were_sent(
    make: Callable[[Path], Store], method: str, root: Path
) -> None:
    content = os.urandom(1_000_000)
    store = make(root)
    with Server(Receiver(store)) as server:
        upload(server.url, (content, "a.bin"), chunk_size=len(content), method=method)
    found = store.files["a.bin"] if isinstance(store, MemoryStore) else (root / "a.bin").read_bytes()
    assert found == content


@pytest.mark.parametrize("method", ["multipart", "octet"])
def test_an_application_that_reads_bodies_itself_decides_what_is_stored(method: str, root: Path) -> None:
    content = bytes(1000) + b"\xfe" * 1_000_000
    with Server(RewritingReceiver(FileStore(root, fsync="never"))) as server:
        upload(server.url, (content, "a.bin"), chunk_size=len(content), method=method)
    assert (root / "a.bin").read_bytes() == content.replace(b"\xfe", b"\xff")
