"""Whole uploads into an object store."""

from __future__ import annotations

import pytest
from support.breaking_proxy import FlippingProxy
from support.client import upload
from support.marked import MARKS, marked
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


def test_a_bit_that_is_flipped_on_the_way_is_found_and_mended(object_store: ObjectStore, bucket: str) -> None:
    data = marked(4, 4096, 2)
    server = Server(Receiver(a_store(object_store, bucket)))
    with server, FlippingProxy(server.url, MARKS[:2]) as proxy:
        run = upload(proxy.url, data, chunk_size=4096, checksum="sha256", file_checksum=True)
        assert not proxy.values
    assert object_store.objects(bucket) == {"in/sample.bin": data}
    assert run.count("chunk_retry") == 2
