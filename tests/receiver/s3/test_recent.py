"""Small chunks are kept in memory until a part is made of them, and never more of them than was agreed on."""

from __future__ import annotations

import pytest
from support.object_store import ObjectStore, StoreRequest
from support.sample import Sample

from resumable.receiver import Receiver
from resumable.receiver.s3.recent import RecentChunks

from .stores import DATA, PART_SIZE, a_store

pytestmark = pytest.mark.once


def test_the_oldest_give_way() -> None:
    recent = RecentChunks(limit=10)
    for key in ("a", "b"):
        assert recent.reserve(5)
        recent.keep(key, [b"12", b"345"])
    assert recent.reserve(4)
    recent.keep("c", [b"1234"])
    assert [recent.pieces(key) is not None for key in "abc"] == [False, True, True]


def test_what_arrives_counts_and_gives_its_room_back() -> None:
    recent = RecentChunks(limit=10)
    assert recent.reserve(10)
    assert not recent.reserve(1)
    recent.release(10)
    assert recent.reserve(10)
    recent.keep("a", [b"0123456789"])
    recent.drop(["a", "b"])
    assert recent.pieces("a") is None
    assert recent.reserve(10)


def test_the_same_chunk_counts_once() -> None:
    recent = RecentChunks(limit=10)
    for _ in range(2):
        assert recent.reserve(5)
        recent.keep("a", [b"12345"])
    assert recent.reserve(5)
    assert recent.pieces("a") == [b"12345"]


@pytest.mark.parametrize("servers", [1, 2])
def test_a_server_reads_the_chunks_only_that_came_to_another(
    object_store: ObjectStore, bucket: str, servers: int
) -> None:
    read: list[str] = []

    def note(request: StoreRequest) -> None:
        if request.method == "GET" and "/c/" in request.path:
            read.append(request.path)

    receivers = [Receiver(a_store(object_store, bucket)) for _ in range(servers)]
    sample = Sample(data=DATA, chunk_size=PART_SIZE // 4)
    object_store.before = note
    answers = [sample.send(receivers[number % servers], number)[0] for number in range(1, sample.count + 1)]
    assert answers == [200] * (sample.count - 1) + [201]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}
    if servers == 1:
        assert read == []
    else:
        assert 0 < len(read) < sample.count


def test_a_chunk_that_is_refused_takes_no_room(object_store: ObjectStore, bucket: str) -> None:
    store = a_store(object_store, bucket)
    receiver = Receiver(store)
    sample = Sample(data=DATA, chunk_size=PART_SIZE // 4)
    assert sample.send(receiver, 1) == [200]
    object_store.before = lambda request: (503, "SlowDown") if request.method == "PUT" else None
    sample.send(receiver, 2)
    object_store.before = None
    assert sample.send(receiver, 1) == [200]
    recent = store._policy.recent
    assert recent.reserve(recent._limit)
