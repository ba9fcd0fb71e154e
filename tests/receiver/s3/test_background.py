"""Parts are made while the next chunks arrive, and nothing depends on that."""

from __future__ import annotations

import threading

import pytest
from support.object_store import ObjectStore, StoreRequest
from support.sample import Sample

from resumable.receiver import Receiver
from resumable.receiver.s3.background import Background

from .stores import DATA, a_store

pytestmark = pytest.mark.once

SAMPLE = Sample(data=DATA, chunk_size=10_000)


def test_a_chunk_is_acknowledged_before_its_part_is_made(object_store: ObjectStore, bucket: str) -> None:
    acknowledged, begun = threading.Event(), threading.Event()

    def hold(request: StoreRequest) -> None:
        if request.operation == "UploadPart":
            begun.set()
            assert acknowledged.wait(30)

    receiver = Receiver(a_store(object_store, bucket))
    object_store.before = hold
    assert SAMPLE.send(receiver, 1) == [200]
    assert begun.wait(30)
    acknowledged.set()
    assert SAMPLE.send(receiver, 2) == [201]
    assert object_store.operations["UploadPart"] == 2
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


def test_an_upload_is_removed_after_its_parts_are_made(object_store: ObjectStore, bucket: str) -> None:
    begun, aborted = threading.Event(), threading.Event()
    early: list[bool] = []

    def hold(request: StoreRequest) -> None:
        if request.operation == "UploadPart":
            begun.set()
            early.append(aborted.wait(0.5))
        if request.operation == "Abort":
            aborted.set()

    receiver = Receiver(a_store(object_store, bucket))
    object_store.before = hold
    assert SAMPLE.send(receiver, 1) == [200]
    assert begun.wait(30)
    (status,) = receiver.uploads()
    assert receiver.discard(status.record)
    assert aborted.is_set()
    assert early == [False]
    assert object_store.kept(bucket, "in/.resumable/") == []


@pytest.mark.parametrize("answer", [(503, "SlowDown"), (404, "NoSuchKey"), (200, "Strange")])
def test_a_part_that_could_not_be_made_is_made_at_the_end(
    object_store: ObjectStore, bucket: str, answer: tuple[int, str]
) -> None:
    refused = threading.Event()

    def refuse(request: StoreRequest) -> tuple[int, str] | None:
        if request.operation != "UploadPart":
            return None
        refused.set()
        return answer

    receiver = Receiver(a_store(object_store, bucket))
    object_store.before = refuse
    assert SAMPLE.send(receiver, 1) == [200]
    assert refused.wait(30)
    object_store.before = None
    assert SAMPLE.send(receiver, 2) == [201]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


def test_whoever_begins_more_than_the_threads_can_do_does_it_itself() -> None:
    background = Background(1)
    done: list[str] = []
    go_on = threading.Event()

    def make() -> None:
        assert go_on.wait(30)
        done.append(threading.current_thread().name)

    background.run("a", make)
    background.run("b", lambda: done.append(threading.current_thread().name))
    assert done == [threading.current_thread().name]
    background.wait("a", 0)
    assert len(done) == 1
    go_on.set()
    background.wait("a", 30)
    assert done[1:] == ["resumable-part"]
