"""Several receivers behind one address that do not share a store: all chunks are acknowledged, nobody has the file."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from support.scripted_server import Answer, Request, ScriptedServer

from resumable import FileState, IncompleteUpload, Resumable
from resumable.cli import main
from resumable.receiver import Server

CHUNK = 1000
OF_ONE_CONNECTION = ("content-length", "connection", "date", "server")
DATA = random.Random(1).randbytes(12 * CHUNK)


class Balancer(ScriptedServer):
    """A proxy that gives each request to the next of several servers. With ``servers`` of one it is a plain one."""

    def __init__(self, servers: list[str]) -> None:
        super().__init__(otherwise=self.forward)
        self.servers = servers
        self._turn = itertools.count()

    def forward(self, request: Request) -> Answer:
        request.read()
        there = self.servers[next(self._turn) % len(self.servers)]
        query = urlsplit(request.target).query
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        answer = requests.request(request.method, f"{there}?{query}", data=request.body, headers=headers, timeout=60)
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in OF_ONE_CONNECTION}
        return answer.status_code, answer.content, kept


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[Balancer]:
    """Two receivers with a directory each, ``a`` and ``b`` below ``tmp_path``, behind one address."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        Server(tmp_path / "a") as first,
        Server(tmp_path / "b") as second,
        Balancer([first.url, second.url]) as balancer,
    ):
        yield balancer


def files(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir() if not each.name.startswith("."))


@pytest.mark.parametrize("options", [{}, {"test_chunks": False}, {"simultaneous_uploads": 1}, {"chunk_order": "free"}])
def test_an_upload_to_replicas_without_a_common_store_is_no_success(
    replicas: Balancer, tmp_path: Path, options: dict[str, Any]
) -> None:
    given = {"chunk_size": CHUNK, "chunk_retry_interval": 0.01, "auto_upload": False, **options}
    with Resumable(replicas.url, **given) as session:
        file = session.add_file(DATA, relative_path="a.bin")
        session.join(60, raise_errors=False)
    published = files(tmp_path / "a") + files(tmp_path / "b")
    if file.state is FileState.SUCCESS:
        # By luck one of them got all of it; then it says so.
        assert published == ["a.bin"]
        return
    assert type(file.error) is IncompleteUpload
    assert 0 < file.error.stored < file.error.total == 12
    assert published == []
    assert file.progress() < 1


def test_a_second_run_is_no_success_either_and_one_behind_a_single_receiver_converges(
    replicas: Balancer, tmp_path: Path
) -> None:
    given: dict[str, Any] = {
        "chunk_size": CHUNK,
        "chunk_retry_interval": 0.01,
        "auto_upload": False,
        "test_chunks": False,
    }
    with Resumable(replicas.url, simultaneous_uploads=1, **given) as session:
        file = session.add_file(DATA, relative_path="a.bin", unique_identifier="1")
        session.join(60, raise_errors=False)
        assert type(file.error) is IncompleteUpload
        file.retry()
        session.join(60, raise_errors=False)
        while file.state is not FileState.SUCCESS:
            assert files(tmp_path / "a") + files(tmp_path / "b") == []
            del replicas.servers[1:]
            file.retry()
            session.join(60, raise_errors=False)
    assert (tmp_path / "a" / "a.bin").read_bytes() == DATA


def test_the_doctor_finds_replicas_without_a_common_store(
    replicas: Balancer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--yes", replicas.url]) == 8
    assert "common store" in " ".join(capfd.readouterr().err.split())
    del replicas.servers[1:]
    assert main(["doctor", "--yes", replicas.url]) == 0


def test_the_command_says_which_part_is_where_and_ends_with_a_code_of_its_own(
    replicas: Balancer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.bin").write_bytes(DATA)
    arguments = ["--chunk-size", "1000", "-j", "1", "--no-test-chunks", "--retry-interval", "0.01"]
    assert main(["upload", *arguments, str(tmp_path / "a.bin"), replicas.url]) == 8
    said = " ".join(capfd.readouterr().err.split())
    assert " of 12" in said
    assert "common store" in said
