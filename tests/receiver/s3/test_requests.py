"""How many requests to the object store a chunk costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.object_store import ObjectStore

from resumable import Resumable
from resumable.receiver import Receiver, Server

from .stores import DATA, PART_SIZE, a_store

pytestmark = pytest.mark.once


@pytest.mark.parametrize(("chunk_size", "most"), [(PART_SIZE, 2.2), (PART_SIZE // 5, 1.5)])
def test_a_chunk_costs_few_requests(
    object_store: ObjectStore,
    bucket: str,
    chunk_size: int,
    most: float,
    record_property: Callable[[str, object], None],
) -> None:
    data = DATA * (chunk_size * 60 // len(DATA) + 1)
    with Server(Receiver(a_store(object_store, bucket))) as server:
        object_store.forget()
        with Resumable(server.url, chunk_size=chunk_size, simultaneous_uploads=3) as session:
            file = session.add_file(data, relative_path="a.bin")
            session.join(120)
        asked = object_store.operations
    assert object_store.objects(bucket) == {"in/a.bin": data}
    each = sum(asked.values()) / len(file.chunks)
    record_property("requests", f"{each:.2f} for each of {len(file.chunks)} chunks of {chunk_size}: {dict(asked)}")
