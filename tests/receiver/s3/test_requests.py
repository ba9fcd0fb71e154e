"""How many requests to the object store a chunk costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.object_store import ObjectStore
from support.sizes import sized

from resumable import Resumable
from resumable.receiver import Receiver, Server
from resumable.receiver.s3.body import StreamedBody
from resumable.receiver.s3.connection import connect

from .stores import DATA, PART_SIZE, a_store

pytestmark = pytest.mark.once


@pytest.mark.parametrize("chunk_size", [PART_SIZE, PART_SIZE // 4])
def test_a_chunk_costs_few_requests(
    object_store: ObjectStore,
    bucket: str,
    chunk_size: int,
    record_property: Callable[[str, object], None],
) -> None:
    data = (DATA * (chunk_size * sized(30, 300) // len(DATA) + 1))[: chunk_size * sized(30, 300)]
    with Server(Receiver(a_store(object_store, bucket))) as server:
        object_store.forget()
        with Resumable(server.url, chunk_size=chunk_size, simultaneous_uploads=3) as session:
            file = session.add_file(data, relative_path="a.bin")
            session.join(120)
        asked = object_store.operations
    assert object_store.objects(bucket) == {"in/a.bin": data}
    chunks = len(file.chunks)
    parts = chunks if chunk_size == PART_SIZE else chunks // 4
    assert asked["UploadPart"] == parts
    assert asked["PUT"] <= chunks + 10
    # How many chunks share a list, and for how long a record is trusted, depends on the machine. Chunks are not read
    # back, but for those of a part that is made twice.
    assert asked["List"] <= chunks + 10
    assert asked["GET"] <= (chunks + 20 if chunk_size == PART_SIZE else 2 * chunks // 3)
    each = sum(asked.values()) / chunks
    record_property("requests", f"{each:.2f} for each of {chunks} chunks of {chunk_size}: {dict(asked)}")


def test_only_the_body_of_a_chunk_waits_for_permission(object_store: ObjectStore, bucket: str) -> None:
    client = connect(object_store.url)
    waited: list[bool] = []
    client.meta.events.register("before-send.s3", lambda request, **_: waited.append("Expect" in request.headers))
    for body in (b"a", StreamedBody(iter([b"a"]))):
        client.put_object(Bucket=bucket, Key="a", Body=body, ContentLength=1)
    assert waited == [False, True]
