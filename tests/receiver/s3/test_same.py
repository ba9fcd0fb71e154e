"""What has to be true of every store, tried on an object store."""

from __future__ import annotations

import pytest
from support.object_store import ObjectStore

from resumable.receiver import S3Store

from .. import test_any_store
from .stores import a_store

pytestmark = pytest.mark.once

globals().update({name: test for name, test in vars(test_any_store).items() if name.startswith("test_")})


@pytest.fixture
def store(object_store: ObjectStore, bucket: str) -> S3Store:
    return a_store(object_store, bucket)
