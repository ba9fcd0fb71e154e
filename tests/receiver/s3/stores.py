"""Stores and uploads for these tests."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.object_store import ObjectStore

from resumable.receiver import S3Store
from resumable.receiver.s3.failures import StoreFailure

DATA = random.Random(1).randbytes(20_000)
PART_SIZE = 2048


def a_store(object_store: ObjectStore, bucket: str, **options: Any) -> S3Store:
    """A store below the prefix ``in``, whose parts may be small. It takes for granted what others have proved."""
    store = S3Store(bucket, "in", **{"part_size": PART_SIZE, "client": object_store.client, **options})
    store._prepared = True
    return store


def detail_of(store: S3Store) -> str:
    """Return what is wrong with the object store, which does not hang: what takes long here is the machine."""
    with pytest.raises(StoreFailure) as failure:
        store.prepare(within=100)
    return failure.value.detail
