"""Whole uploads into an object store."""

from __future__ import annotations

import pytest
from support.object_store import ObjectStore
from support.sample import Sample

from resumable import Resumable
from resumable.receiver import Receiver, Server

from .stores import DATA, a_store

pytestmark = pytest.mark.once


@pytest.mark.parametrize("chunk_size", [30_000, 4096, 1500])
def test_a_file_arrives_whole(object_store: ObjectStore, bucket: str, chunk_size: int) -> None:
    receiver = Receiver(a_store(object_store, bucket))
    sample = Sample(data=DATA, chunk_size=chunk_size)
    assert set(sample.send(receiver)[:-1]) <= {200}
    assert sample.test(receiver, 1).status == 200
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


def test_a_session_uploads_a_file_of_many_chunks(object_store: ObjectStore, bucket: str) -> None:
    with Server(Receiver(a_store(object_store, bucket))) as server, Resumable(server.url, chunk_size=4096) as session:
        session.add_file(DATA, relative_path="a/b.bin")
        session.join(60)
    assert object_store.objects(bucket) == {"in/a/b.bin": DATA}
