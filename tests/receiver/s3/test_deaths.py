"""A server that dies at its first request to the object store, at its second, and so on."""

from __future__ import annotations

import pytest
from support.object_store import ObjectStore, StoreRequest
from support.sample import Sample
from support.sizes import sized

from resumable.receiver import Receiver, UploadRecord
from resumable.receiver.s3.connection import connect

from .stores import DATA, a_store

pytestmark = pytest.mark.once


class Death:
    """From its last request on, nothing of a server reaches the store. The last one may have been carried out."""

    def __init__(self, last: int, *, carried_out: bool) -> None:
        self._left = last
        self._carried_out = carried_out
        self.died = False

    def __call__(self, request: StoreRequest) -> tuple[int, str] | None:
        self._left -= 1
        if self._left > 0 or (self._left == 0 and self._carried_out):
            return None
        self.died = True
        return 403, "AccessDenied"


def test_whatever_request_is_its_last_another_one_finishes_what_it_began(object_store: ObjectStore) -> None:
    client = connect(object_store.url, attempts=1)
    sample = Sample(data=DATA, chunk_size=10_000)
    last = 0
    died = True
    while died:
        last += sized(3, 1)
        bucket = object_store.bucket()
        told: list[UploadRecord] = []
        death = Death(last, carried_out=last % 2 == 0)
        object_store.before = death
        doomed = Receiver(a_store(object_store, bucket, client=client), on_file_received=told.append)
        acknowledged = [status in (200, 201) for status in sample.send(doomed)]
        object_store.before = None
        died = death.died
        # lease=0: who died is known to be dead.
        heir = Receiver(a_store(object_store, bucket, lease=0), on_file_received=told.append)
        for number, stored in enumerate(acknowledged[:-1], 1):
            assert not stored or sample.test(heir, number).status == 200
        if not died:
            break
        assert set(sample.send(heir)) <= {200, 201}
        assert object_store.objects(bucket) == {"in/sample.bin": DATA}
        assert 1 <= len(told) <= 2
        assert {record.published for record in told} == {"sample.bin"}
        kept = object_store.kept(bucket, "in/.resumable/")
        assert not [key for key in kept if "/c/" in key or "/open/" in key]
        heir.sweep()
        assert not object_store.client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert last > 15
