"""What a store keeps of its uploads: lists, limits, what is removed, and what is remembered."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.object_store import ObjectStore, StoreRequest
from support.sample import Sample

from resumable.receiver import Receiver, Refusal, Request, S3Store, UploadRecord
from resumable.receiver.s3 import reservation

from .stores import DATA, a_store

pytestmark = pytest.mark.once

SAMPLE = Sample(data=DATA, chunk_size=10_000)
SESSION = "0123456789abcdef" * 2


@pytest.fixture
def store(object_store: ObjectStore, bucket: str) -> S3Store:
    return a_store(object_store, bucket)


def keys(object_store: ObjectStore, bucket: str) -> list[str]:
    return object_store.kept(bucket, "in/.resumable/")


def test_uploads_are_listed_with_how_far_they_are(store: S3Store) -> None:
    receiver = Receiver(store)
    SAMPLE.send(receiver, 1)
    other = Sample(data=b"abc", identifier="done", file_name="b", relative_path="b/c.bin")
    other.send(receiver)
    found = {upload.name: upload for upload in store.uploads()}
    assert {name: upload.state for name, upload in found.items()} == {"sample.bin": "open", "b/c.bin": "done"}
    assert (found["sample.bin"].stored_chunks, found["sample.bin"].stored_bytes) == (1, 10_000)
    assert found["b/c.bin"].stored_bytes == 3
    assert list(store.uploads("another")) == []
    assert len(list(store.uploads(limit=1))) == 1


@pytest.mark.parametrize(("limits", "status"), [({"max_open_uploads": 1}, 429), ({"max_bytes": 30_000}, 507)])
def test_limits_count_unfinished_uploads_only(
    object_store: ObjectStore, bucket: str, limits: dict[str, int], status: int
) -> None:
    receiver = Receiver(a_store(object_store, bucket, **limits))
    other = Sample(data=DATA, chunk_size=10_000, identifier="other")
    assert SAMPLE.send(receiver, 1) == [200]
    assert other.send(receiver, 1) == [status]
    assert SAMPLE.send(receiver, 2) == [201]
    assert other.send(receiver) == [200, 201]


def test_a_file_that_can_never_fit_is_refused(object_store: ObjectStore, bucket: str) -> None:
    receiver = Receiver(a_store(object_store, bucket, max_bytes=100))
    assert SAMPLE.send(receiver, 1) == [413]
    long = Sample(relative_path="/".join(["a" * 203] * 5), file_name="a")
    assert long.send(Receiver(a_store(object_store, bucket)), 1) == [400]


def test_a_sweep_removes_stale_uploads_and_all_that_they_have(object_store: ObjectStore, bucket: str) -> None:
    store = a_store(object_store, bucket)
    began = time.monotonic()
    SAMPLE.send(Receiver(store), 1)
    assert store.sweep() == 0
    assert SAMPLE.test(Receiver(store), 1).status == 200
    expired: list[UploadRecord] = []
    assert a_store(object_store, bucket, stale_after=0).sweep(expired.append) == 1
    assert [record.name for record in expired] == ["sample.bin"]
    assert keys(object_store, bucket) == []
    assert not object_store.client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    # For 5 seconds the first one remembers the upload, and says that it has to be tried again.
    first, *others = SAMPLE.send(Receiver(store), 1, 1, 2)
    assert first == 503 or time.monotonic() - began > 5
    assert others == [200, 201]


def test_a_sweep_forgets_finished_uploads_and_leaves_their_files(object_store: ObjectStore, bucket: str) -> None:
    SAMPLE.send(Receiver(a_store(object_store, bucket)))
    assert a_store(object_store, bucket, forget_after=0).sweep() == 1
    assert keys(object_store, bucket) == []
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


@pytest.mark.parametrize("existing", ["refuse", "replace"])
def test_what_happens_to_a_name_that_is_taken_is_a_choice(
    object_store: ObjectStore, bucket: str, existing: str
) -> None:
    receiver = Receiver(a_store(object_store, bucket, existing=existing))
    assert SAMPLE.send(receiver) == [200, 201]
    other = Sample(data=DATA[::-1], chunk_size=10_000, identifier="other")
    assert other.send(receiver) == ([409, 409] if existing == "refuse" else [200, 201])
    assert object_store.objects(bucket) == {"in/sample.bin": DATA if existing == "refuse" else other.data}
    # The one that was replaced by another upload counts as stored.
    assert SAMPLE.test(receiver, 1).status == 200


def test_a_free_name_belongs_to_the_upload_that_began_first(object_store: ObjectStore, bucket: str) -> None:
    receivers = [Receiver(a_store(object_store, bucket, existing="refuse")) for _ in range(2)]
    first, second, third = (Sample(data=DATA, chunk_size=10_000, identifier=name) for name in ("1", "2", "3"))
    assert first.send(receivers[0], 1) == [200]
    assert second.send(receivers[1], 1, 2) == [409, 409]
    other = Sample(data=DATA, chunk_size=10_000, identifier="other", relative_path="other.bin")
    assert other.send(receivers[1], 1) == [200]
    (record,) = [status.record for status in receivers[1].uploads() if status.record.identifier == "1"]
    assert receivers[0].discard(record)
    assert second.send(receivers[1], 1) == [200]
    assert third.send(receivers[0], 1) == [409]
    assert second.send(receivers[1], 2) == [201]
    assert third.send(receivers[0], 1) == [409]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}
    assert any("/names/" in key for key in keys(object_store, bucket))


def test_an_upload_that_nobody_continues_keeps_no_name(
    object_store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver(a_store(object_store, bucket, existing="refuse"))
    first, second = (Sample(data=DATA, chunk_size=10_000, identifier=name) for name in ("first", "second"))
    assert first.send(receiver, 1) == [200]
    monkeypatch.setattr(reservation, "HELD_FOR", 0.0)
    assert second.send(receiver, 1) == [200]
    monkeypatch.undo()
    # It lost its name, but not what was stored of it.
    assert first.send(receiver, 2) == [201]
    assert second.send(receiver, 2) == [409]


def test_an_upload_that_is_refused_keeps_no_name(object_store: ObjectStore, bucket: str) -> None:
    options = {"existing": "refuse", "max_open_uploads": 0}
    assert SAMPLE.send(Receiver(a_store(object_store, bucket, **options)), 1) == [429]
    other = Sample(data=DATA, chunk_size=10_000, identifier="other")
    assert other.send(Receiver(a_store(object_store, bucket, existing="refuse"))) == [200, 201]


@pytest.mark.parametrize("data", [DATA, b"short", b""])
def test_a_file_that_is_sent_again_is_the_same_file(object_store: ObjectStore, store: S3Store, data: bytes) -> None:
    receiver = Receiver(store)
    sample = Sample(data=data, chunk_size=10_000)
    assert sample.send(receiver)[-1] == 201
    assert set(sample.send(receiver)) == {200}
    changed = Sample(data=bytes(len(data)) or b"x", chunk_size=10_000)
    assert changed.send(receiver)[-1] == 201
    assert len(object_store.objects(store._bucket.name)) == 2


def test_a_file_that_is_gone_may_be_sent_again_unless_the_application_owns_it(
    object_store: ObjectStore, bucket: str
) -> None:
    plain, owned = Receiver(a_store(object_store, bucket)), Receiver(a_store(object_store, bucket, collected=True))
    SAMPLE.send(plain)
    object_store.client.delete_object(Bucket=bucket, Key="in/sample.bin")
    assert SAMPLE.test(owned, 1).status == 200
    assert SAMPLE.send(owned) == [200, 200]
    assert SAMPLE.test(plain, 1).status == 204
    assert SAMPLE.send(plain) == [200, 201]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


def test_a_file_that_was_changed_may_be_sent_again(object_store: ObjectStore, bucket: str) -> None:
    receiver = Receiver(a_store(object_store, bucket))
    SAMPLE.send(receiver)
    object_store.client.put_object(Bucket=bucket, Key="in/sample.bin", Body=bytes(20_000))
    assert SAMPLE.test(receiver, 1).status == 204
    assert SAMPLE.send(receiver) == [200, 201]
    assert object_store.objects(bucket) == {"in/sample.bin": bytes(20_000), "in/sample (1).bin": DATA}


def test_a_session_that_repeats_its_request_is_told_so_after_the_upload_gave_way(
    object_store: ObjectStore, bucket: str
) -> None:
    receiver = Receiver(a_store(object_store, bucket))
    ours = Sample(data=DATA, chunk_size=10_000, headers={"resumable-session": SESSION})
    assert ours.send(receiver) == [200, 201]
    assert Sample(data=DATA[::-1], chunk_size=10_000).send(receiver) == [200, 201]
    assert set(ours.send(receiver)) == {200}
    assert len(object_store.objects(bucket)) == 2


def test_a_file_is_forgotten_on_demand(object_store: ObjectStore, bucket: str) -> None:
    told: list[UploadRecord] = []
    receiver = Receiver(a_store(object_store, bucket), on_file_received=told.append)
    SAMPLE.send(receiver)
    assert receiver.forget(told[0])
    assert not receiver.forget(told[0])
    assert SAMPLE.test(receiver, 1).status == 204


def test_a_file_with_another_hash_than_the_client_says_is_not_published(object_store: ObjectStore, bucket: str) -> None:
    receiver = Receiver(a_store(object_store, bucket))
    wrong = Sample(data=DATA, chunk_size=10_000, extra={"resumableFileSha256": "0" * 64})
    assert wrong.send(receiver) == [200, 409]
    assert object_store.objects(bucket) == {}
    assert keys(object_store, bucket) == []


@pytest.mark.parametrize("data", [DATA, b""])
def test_a_chunk_that_is_refused_at_its_end_is_not_stored(object_store: ObjectStore, bucket: str, data: bytes) -> None:
    receiver = Receiver(a_store(object_store, bucket))
    wrong = Sample(data=data, chunk_size=10_000, extra={"resumableChunkSha256": "0" * 64})
    assert wrong.send(receiver, 1) == [460]
    assert not [key for key in keys(object_store, bucket) if "/c/" in key]


def test_a_hook_that_raises_is_called_again_by_another_server(object_store: ObjectStore, bucket: str) -> None:
    told: list[str | None] = []

    def fail(record: UploadRecord) -> None:
        raise RuntimeError("no")

    first = Receiver(a_store(object_store, bucket), on_file_received=fail)
    second = Receiver(a_store(object_store, bucket), on_file_received=lambda record: told.append(record.published))
    assert SAMPLE.send(first) == [200, 500]
    assert SAMPLE.test(second, 2).status == 204
    assert SAMPLE.send(second, 2) == [201]
    assert told == ["sample.bin"]


def test_while_one_server_finishes_the_others_say_that_they_wait(object_store: ObjectStore, bucket: str) -> None:
    impatient = Receiver(a_store(object_store, bucket, patience=0), on_file_received=lambda record: None)
    seen: list[int] = []
    receiver = Receiver(
        a_store(object_store, bucket),
        on_file_received=lambda record: seen.append(impatient.handle(SAMPLE.octet(2)).status),
    )
    assert SAMPLE.send(receiver) == [200, 201]
    assert seen == [503]
    assert SAMPLE.send(impatient, 2) == [200]


def test_a_chunk_that_comes_while_its_upload_is_removed_is_not_acknowledged(
    object_store: ObjectStore, bucket: str
) -> None:
    store = a_store(object_store, bucket)
    SAMPLE.send(Receiver(store), 1)

    def read(body: Iterator[bytes]) -> Any:
        def read(size: int) -> bytes:
            a_store(object_store, bucket, stale_after=0).sweep()
            return next(body, b"")

        return read

    request = SAMPLE.octet(2)
    slow = Request("POST", query=request.query, content_length=10_000, read=read(iter([SAMPLE.chunk(2)])))
    assert Receiver(a_store(object_store, bucket)).handle(slow).status == 409
    assert keys(object_store, bucket) == []


def test_a_damaged_record_is_removed_and_one_of_another_version_stays(object_store: ObjectStore, bucket: str) -> None:
    receiver = Receiver(a_store(object_store, bucket))
    SAMPLE.send(receiver, 1)
    (record,) = (key for key in keys(object_store, bucket) if key.endswith("/record"))
    object_store.client.put_object(Bucket=bucket, Key=record, Body=b'{"version": 99}')
    assert SAMPLE.send(receiver, 1) == [500]
    assert record in keys(object_store, bucket)
    object_store.client.put_object(Bucket=bucket, Key=record, Body=b"{")
    assert SAMPLE.send(receiver) == [200, 201]


def test_half_of_a_record_that_is_being_replaced_is_read_again(object_store: ObjectStore, bucket: str) -> None:
    SAMPLE.send(Receiver(a_store(object_store, bucket)), 1)
    client = object_store.client
    (record,) = (key for key in keys(object_store, bucket) if key.endswith("/record"))
    whole = client.get_object(Bucket=bucket, Key=record)["Body"].read()
    client.put_object(Bucket=bucket, Key=record, Body=whole[: len(whole) // 2])
    reads: list[StoreRequest] = []

    def finish(request: StoreRequest) -> None:
        if request.method == "GET" and request.path.endswith("/record"):
            reads.append(request)
            if len(reads) == 3:
                client.put_object(Bucket=bucket, Key=record, Body=whole)

    object_store.before = finish
    assert SAMPLE.send(Receiver(a_store(object_store, bucket)), 2) == [201]
    assert object_store.objects(bucket)["in/sample.bin"] == DATA


def test_nothing_is_stored_under_a_hash_that_another_request_contradicts(store: S3Store) -> None:
    SAMPLE.send(Receiver(store), 1)
    key = next(iter(store._bucket.listed(".resumable/"))).key.split("/")[1]
    upload = store.open(key)
    assert upload is not None
    with upload:
        upload.set_file_sha256("a" * 64)
        upload.set_file_sha256("a" * 64)
        with pytest.raises(Refusal) as refusal:
            upload.set_file_sha256("b" * 64)
        assert refusal.value.status == 409


def test_a_multipart_upload_that_a_rule_of_the_bucket_has_ended_is_begun_again(
    object_store: ObjectStore, bucket: str
) -> None:
    receiver = Receiver(a_store(object_store, bucket))
    assert SAMPLE.send(receiver, 1) == [200]
    (begun,) = object_store.client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    object_store.client.abort_multipart_upload(Bucket=bucket, Key=begun["Key"], UploadId=begun["UploadId"])
    assert SAMPLE.send(receiver, 2) == [201]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


def test_a_chunk_that_somebody_removed_is_asked_for_again(object_store: ObjectStore, bucket: str) -> None:
    receiver = Receiver(a_store(object_store, bucket))
    sample = Sample(data=DATA, chunk_size=4096)
    assert sample.send(receiver, 1, 2, 3) == [200, 200, 200]
    (begun,) = object_store.client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    object_store.client.abort_multipart_upload(Bucket=bucket, Key=begun["Key"], UploadId=begun["UploadId"])
    (first,) = (key for key in keys(object_store, bucket) if key.endswith("/00000000"))
    object_store.client.delete_object(Bucket=bucket, Key=first)
    assert sample.send(receiver, 4) == [500]
    assert sample.test(receiver, 1).status == 204
    assert sample.test(receiver, 2).status == 200
    assert sample.send(receiver, 1) == [201]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}
