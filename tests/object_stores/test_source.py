"""``s3://`` as a source: s3fs reads ranges of an object, as long as it is the same object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.object_store import CREDENTIALS, ObjectStore, StoreRequest, running

import resumable
from resumable import SourceChanged, UploadFailed
from resumable.receiver import Server
from resumable.sources.path import make_source

MIB = 1 << 20


@pytest.fixture
def object_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    import fsspec

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with running() as store:
        fsspec.config.conf["s3"] = {"endpoint_url": store.url, "skip_instance_cache": True}
        yield store
        del fsspec.config.conf["s3"]


def test_an_object_is_read_in_ranges_as_long_as_it_is_the_same(object_store: ObjectStore, tmp_path: Path) -> None:
    bucket, data = object_store.bucket(), bytes(range(251)) * (3 * MIB // 251)
    object_store.client.put_object(Bucket=bucket, Key="run/a.bin", Body=data)
    object_store.forget()
    with Server(tmp_path / "in") as server:
        (file,) = resumable.upload(f"s3://{bucket}/run/a.bin", server.url, chunk_size=MIB).succeeded
        assert (tmp_path / "in" / "a.bin").read_bytes() == data
        assert object_store.operations["GET"] >= 3
        source = make_source(f"s3://{bucket}/run/a.bin")
        assert source.version == object_store.client.head_object(Bucket=bucket, Key="run/a.bin")["ETag"]
        assert file.size == source.size == len(data)

        def replace(request: StoreRequest) -> None:
            if request.operation == "GET":
                object_store.before = None
                object_store.client.put_object(Bucket=bucket, Key="run/b.bin", Body=data[::-1])

        object_store.client.put_object(Bucket=bucket, Key="run/b.bin", Body=data)
        object_store.before = replace
        with pytest.raises(UploadFailed) as failed:
            resumable.upload(f"s3://{bucket}/run/b.bin", server.url, chunk_size=MIB, simultaneous_uploads=1)
    assert isinstance(failed.value.result.failed[0].error, SourceChanged)
    assert not (tmp_path / "in" / "b.bin").exists()
