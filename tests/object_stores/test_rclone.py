"""The receiver and ``rclone serve s3``: a store by others, which checks signatures and ignores conditions."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from support.object_store import CREDENTIALS

from resumable import Resumable
from resumable.receiver import Receiver, S3Store, Server
from resumable.receiver.s3.failures import StoreFailure

MIB = 1 << 20


class Rclone(NamedTuple):
    """A running store, and the folder that is its bucket ``bucket``."""

    url: str
    bucket: Path


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rclone]:
    root = tmp_path_factory.mktemp("rclone")
    (root / "bucket").mkdir()
    key = f"{CREDENTIALS['AWS_ACCESS_KEY_ID']},{CREDENTIALS['AWS_SECRET_ACCESS_KEY']}"
    command = [str(Path(sys.executable).with_name("rclone")), "serve", "s3", "--addr", "127.0.0.1:0"]
    # What it keeps of files that have just changed would outlive them.
    command += ["--auth-key", key, "--vfs-cache-mode", "off", "--config", os.devnull, str(root)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            found = next(filter(None, (re.search(r"https?://[^/]+", line) for line in process.stderr)))
            yield Rclone(found[0], root / "bucket")
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


def detail_of(store: S3Store) -> str:
    with pytest.raises(StoreFailure) as failure:
        store.prepare()
    return failure.value.detail


def test_it_is_refused_for_several_servers_because_it_ignores_conditions(rclone: Rclone) -> None:
    detail = detail_of(S3Store("bucket", "in", endpoint_url=rclone.url))
    for ignored in ("If-None-Match of PutObject", "If-Match of PutObject", "If-None-Match of CompleteMultipartUpload"):
        assert ignored in detail
    assert "--single-replica" in detail


@pytest.mark.parametrize("chunk_size", [5 * MIB, 2 * MIB])
def test_one_server_stores_whole_files_under_names_of_their_own(rclone: Rclone, chunk_size: int) -> None:
    store = S3Store("bucket", f"in{chunk_size}", endpoint_url=rclone.url, single_replica=True)
    files = [random.Random(seed).randbytes(11 * MIB) for seed in range(2)]
    with Server(Receiver(store)) as server, Resumable(server.url, chunk_size=chunk_size) as session:
        for number, data in enumerate(files):
            session.add_file(data, relative_path="a ü+%41.bin", unique_identifier=str(number))
            session.join(60)
    found = {path.name: path.read_bytes() for path in (rclone.bucket / f"in{chunk_size}").glob("*.bin")}
    assert found == {"a ü+%41.bin": files[0], "a ü+%41 (1).bin": files[1]}


def test_a_clock_that_is_20_minutes_off_is_said(rclone: Rclone, monkeypatch: pytest.MonkeyPatch) -> None:
    import botocore.auth

    now = botocore.auth.get_current_datetime
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *words: now(*words) + timedelta(minutes=20))
    assert "the clock of this machine is wrong: set it" in detail_of(S3Store("bucket", endpoint_url=rclone.url))


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("AWS_ACCESS_KEY_ID", "check the access key and its secret"),
        ("AWS_SECRET_ACCESS_KEY", "check the access key and its secret"),
        ("AWS_DEFAULT_REGION", "correct the region or the profile"),
    ],
)
def test_what_is_wrong_with_the_environment_is_said(
    rclone: Rclone, name: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "not right")
    assert advice in detail_of(S3Store("bucket", endpoint_url=rclone.url))


def test_a_bucket_that_is_missing_is_said(rclone: Rclone) -> None:
    assert "create the bucket" in detail_of(S3Store("missing", endpoint_url=rclone.url))
