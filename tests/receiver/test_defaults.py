"""What a receiver that was given nothing but a directory refuses, so that strangers cannot fill it or run anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.sample import Sample
from support.stored_uploads import a_record, begun, key_of

from resumable.receiver import FileStore, Receiver, Refusal, Server

PLENTY = 2**40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "incoming"


def free(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Let every disk have so many bytes left."""
    real = os.fstatvfs

    def fstatvfs(fd: int) -> os.statvfs_result:
        found = list(real(fd))
        found[1], found[4] = 1, room
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "fstatvfs", fstatvfs)


def test_a_reserve_of_the_disk_is_left_free(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = Sample()
    receiver = Receiver(root)
    reserve = 64 * 2**20
    free(monkeypatch, reserve)
    assert sample.send(receiver, 1) == [507]
    free(monkeypatch, reserve + len(sample.data))
    assert sample.send(receiver, 1) == [200]


@pytest.mark.once
def test_the_thousand_and_first_open_upload_is_refused(root: Path) -> None:
    store = FileStore(root, fsync="never")
    for number in range(1000):
        store.create(key_of(number), a_record())
    with pytest.raises(Refusal, match="already 1000 unfinished uploads") as refused:
        begun(store, key=key_of(1000))
    assert refused.value.status == 429
    begun(store, a_record(tenant="another"), key_of(1001))


@pytest.mark.parametrize("name", ["run.sh", "run", "program.exe", "../run.sh"])
def test_nothing_that_arrives_can_be_executed(root: Path, name: str) -> None:
    before = os.umask(0)
    try:
        sample = Sample(b"#!/bin/sh\necho hello\n", 1000, file_name=name, relative_path="deep/" + name.lstrip("./"))
        assert sample.send(Receiver(root), 1) == [201]
    finally:
        os.umask(before)
    files = [path for path in root.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if path.stat().st_mode & 0o111] == []


def test_it_listens_on_this_machine_only_and_elsewhere_with_a_token_only(root: Path) -> None:
    with Server(root) as server:
        assert server.url.startswith("http://127.0.0.1:")
    with pytest.raises(ValueError, match="token"):
        Server(root, host="0.0.0.0")


def test_pages_of_others_may_not_upload(root: Path) -> None:
    sample = Sample(headers={"origin": "https://elsewhere.example", "host": "localhost"})
    assert sample.send(Receiver(root), 1) == [403]
