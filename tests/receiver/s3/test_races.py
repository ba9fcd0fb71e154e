"""Several servers at one object store, at the same time."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from support.object_store import ObjectStore, StoreRequest
from support.sample import Sample

from resumable.receiver import Receiver, Response, UploadRecord

from .stores import DATA, a_store

pytestmark = pytest.mark.once


@pytest.mark.parametrize("chunk_size", [10_000, 1500])
def test_of_two_servers_that_get_the_last_chunks_at_once_one_publishes(
    object_store: ObjectStore, bucket: str, chunk_size: int
) -> None:
    told: list[UploadRecord] = []
    receivers = [Receiver(a_store(object_store, bucket), on_file_received=told.append) for _ in range(2)]
    sample = Sample(data=DATA, chunk_size=chunk_size)
    sample.send(receivers[0], *range(1, sample.count - 1))
    together = threading.Barrier(2)

    def send(index: int) -> int:
        together.wait()
        return receivers[index].handle(sample.octet(sample.count - index)).status

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(send, range(2))) <= {200, 201}
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}
    assert [record.published for record in told] == ["sample.bin"]


def test_the_same_chunk_at_two_servers_is_stored_once(object_store: ObjectStore, bucket: str) -> None:
    sample = Sample(data=DATA, chunk_size=4096)
    receivers = [Receiver(a_store(object_store, bucket)) for _ in range(2)]
    together = threading.Barrier(2)

    def send(receiver: Receiver) -> int:
        together.wait()
        return receiver.handle(sample.octet(2)).status

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(send, receivers)) == [200, 200]
    assert sum("/c/" in key for key in object_store.kept(bucket, "in/")) == 1


def test_other_bytes_under_the_same_identifier_are_refused_by_every_server(
    object_store: ObjectStore, bucket: str
) -> None:
    sample = Sample(data=DATA, chunk_size=4096)
    first, second = (Receiver(a_store(object_store, bucket)) for _ in range(2))
    assert sample.send(first, 1) == [200]
    assert second.handle(sample.octet(1, bytes(4096))).status == 409
    assert sample.send(second, 1, 2, 3, 4) == [200, 200, 200, 201]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


@pytest.mark.parametrize("chunk_size", [30_000, 4096])
def test_files_of_one_name_never_replace_each_other(object_store: ObjectStore, bucket: str, chunk_size: int) -> None:
    samples = [
        Sample(data=bytes([number]) * 5000, chunk_size=chunk_size, identifier=str(number)) for number in range(3)
    ]
    together = threading.Barrier(len(samples))

    def send(sample: Sample) -> list[int]:
        receiver = Receiver(a_store(object_store, bucket))
        together.wait()
        return sample.send(receiver)

    with ThreadPoolExecutor(len(samples)) as pool:
        assert {statuses[-1] for statuses in pool.map(send, samples)} == {201}
    found = object_store.objects(bucket)
    assert sorted(found) == ["in/sample (1).bin", "in/sample (2).bin", "in/sample.bin"]
    assert Counter(found.values()) == Counter(sample.data for sample in samples)


def test_a_name_that_is_taken_by_another_program_at_the_last_moment_stays(
    object_store: ObjectStore, bucket: str
) -> None:
    def take(request: StoreRequest) -> None:
        if request.operation == "Complete":
            object_store.before = None
            object_store.client.put_object(Bucket=bucket, Key="in/sample.bin", Body=b"theirs")

    sample = Sample(data=DATA, chunk_size=4096)
    receiver = Receiver(a_store(object_store, bucket))
    object_store.before = take
    assert sample.send(receiver) == [200, 200, 200, 201]
    assert object_store.objects(bucket) == {"in/sample.bin": b"theirs", "in/sample (1).bin": DATA}
    assert not list(object_store.client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()))


def test_a_name_whose_reservation_always_changes_sends_the_client_away_for_a_while(
    object_store: ObjectStore, bucket: str
) -> None:
    def refuse(request: StoreRequest) -> tuple[int, str] | None:
        reserving = request.method == "PUT" and "/names/" in request.path
        return (412, "PreconditionFailed") if reserving else None

    receiver = Receiver(a_store(object_store, bucket, existing="refuse"))
    sample = Sample(data=DATA, chunk_size=10_000)
    object_store.before = refuse
    answer = receiver.handle(sample.octet(1))
    assert (answer.status, dict(answer.headers)["Retry-After"]) == (503, "1")
    assert b"'sample.bin'" in answer.body
    object_store.before = None
    assert sample.send(receiver) == [200, 201]


@pytest.mark.parametrize(("operation", "leaf"), [("Complete", "sample.bin"), ("PUT", "record")])
def test_a_store_that_refuses_the_last_step_every_time_sends_the_client_away_for_a_while(
    object_store: ObjectStore, bucket: str, operation: str, leaf: str
) -> None:
    sample = Sample(data=DATA, chunk_size=4096)
    receiver = Receiver(a_store(object_store, bucket, patience=0.2))
    assert sample.send(receiver, 1, 2, 3) == [200, 200, 200]

    def refuse(request: StoreRequest) -> tuple[int, str] | None:
        last = request.operation == operation and request.path.endswith(f"/{leaf}")
        return (412, "PreconditionFailed") if last else None

    object_store.before = refuse
    answer = receiver.handle(sample.octet(4))
    assert (answer.status, dict(answer.headers)["Retry-After"]) == (503, "1")
    object_store.before = None
    assert sample.send(receiver, 4) == [201]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


@pytest.mark.parametrize("hashed", [False, True])
def test_a_server_that_was_taken_for_dead_while_it_finished_sends_the_client_to_the_other(
    object_store: ObjectStore, bucket: str, hashed: bool
) -> None:
    told: list[str | None] = []
    extra = {"resumableFileSha256": hashlib.sha256(DATA).hexdigest()} if hashed else {}
    sample = Sample(data=DATA, chunk_size=4096, extra=extra)
    slow, other = (
        Receiver(a_store(object_store, bucket, lease=0), on_file_received=lambda record: told.append(record.published))
        for _ in range(2)
    )
    sample.send(slow, 1, 2, 3)
    taken_over: list[int] = []

    def finish_elsewhere(request: StoreRequest) -> None:
        # The first request after the one that took the right to finish.
        if any(each.operation == "PUT" and each.path.endswith("/record") for each in object_store.requests[:-1]):
            if hashed and "/c/" not in request.path:
                return
            object_store.before = None
            taken_over.append(other.handle(sample.octet(4)).status)

    object_store.forget()
    object_store.before = finish_elsewhere
    assert slow.handle(sample.octet(4)).status == 503
    assert taken_over == [201]
    assert slow.handle(sample.octet(4)).status == 200
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}
    assert told == ["sample.bin"]


def test_of_two_servers_at_which_an_upload_begins_at_once_one_begins_it(object_store: ObjectStore, bucket: str) -> None:
    sample = Sample(data=DATA, chunk_size=4096)
    first, second = (Receiver(a_store(object_store, bucket)) for _ in range(2))
    marks, has_begun = threading.Event(), threading.Event()

    def go_on_when_the_other_marks_it(request: StoreRequest) -> None:
        if request.operation == "CreateMultipart":
            object_store.before = wait_for_the_other
            answers.append(pool.submit(second.handle, sample.octet(2)))
            assert marks.wait(10)

    def wait_for_the_other(request: StoreRequest) -> None:
        if "/open/" in request.path and request.method == "PUT":
            marks.set()
            assert has_begun.wait(10)

    answers: list[Future[Response]] = []
    object_store.before = go_on_when_the_other_marks_it
    with ThreadPoolExecutor(1) as pool:
        assert first.handle(sample.octet(1)).status == 200
        has_begun.set()
        assert [answer.result().status for answer in answers] == [200]
    assert object_store.operations["CreateMultipart"] == 1
    assert sample.send(first, 3, 4) == [200, 201]


def test_an_upload_begins_at_another_server_if_the_first_died_while_it_began_it(
    object_store: ObjectStore, bucket: str
) -> None:
    sample = Sample(data=DATA, chunk_size=4096)

    def die(request: StoreRequest) -> tuple[int, str] | None:
        return (403, "AccessDenied") if request.operation == "CreateMultipart" else None

    object_store.before = die
    assert Receiver(a_store(object_store, bucket)).handle(sample.octet(1)).status == 500
    object_store.before = None
    assert sample.send(Receiver(a_store(object_store, bucket, lease=0.1))) == [200, 200, 200, 201]
