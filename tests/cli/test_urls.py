"""URLs as sources of ``resumable upload``."""

from __future__ import annotations

import uuid
from pathlib import Path

import fsspec
import pytest
from support.command import Run

from resumable.cli.params.destination import is_target
from resumable.receiver import Server


def test_urls_are_sent_beside_files(run: Run, server: Server, received: Path, work: Path) -> None:
    place = uuid.uuid4().hex
    memory = fsspec.filesystem("memory")
    for name in ("a.bin", "b.txt"):
        memory.pipe(f"/{place}/run/{name}", name.encode())
    (work / "here.bin").write_bytes(b"here")
    ran = run("upload", "--exclude", "*.txt", "--to", "x", f"memory://{place}/run", "here.bin", server.url)
    assert ran.code == 0
    assert (received / "x" / "run" / "a.bin").read_bytes() == b"a.bin"
    assert (received / "x" / "here.bin").exists()
    assert not (received / "x" / "run" / "b.txt").exists()
    dry = run("upload", "-n", f"memory://{place}/run/*", server.url)
    assert "a.bin" in dry.out
    memory.rm(f"/{place}", recursive=True)


def test_a_url_is_a_source_and_the_environment_names_the_target(
    run: Run, server: Server, received: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = uuid.uuid4().hex
    memory = fsspec.filesystem("memory")
    memory.pipe(f"/{place}/a.bin", b"abc")
    monkeypatch.setenv("RESUMABLE_URL", server.url)
    assert run("upload", f"memory://{place}/a.bin").code == 0
    assert (received / "a.bin").read_bytes() == b"abc"
    memory.rm(f"/{place}", recursive=True)


def test_what_cannot_be_read_is_named(run: Run, server: Server) -> None:
    ran = run("upload", "memory://nowhere/none.bin", server.url)
    assert ran.code != 0
    assert "there is nothing at this URL" in ran.err


@pytest.mark.parametrize("word", ["http://a/", "HTTPS://a/", "http+unix://a/"])
def test_targets_are_reached_by_http(word: str) -> None:
    assert is_target(word)
    assert not is_target(word.lower().replace("http", "s3"))
