"""Whoever types what ``resumable doctor`` says has his file at the server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.advice import advised, follow

from .bench import Running, running
from .log_in import log_in
from .registry import Record

pytestmark = pytest.mark.timeout(300)

MIB = 1024 * 1024
ROOT = Path(__file__).parents[3]

Call = Callable[..., "Called"]


class Called:
    """The end of a command."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.code = process.returncode
        self.err = process.stderr


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """``call(*arguments)`` runs the command in ``tmp_path``."""

    def call(*arguments: str) -> Called:
        command = [sys.executable, "-m", "resumable", *arguments]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
        return Called(
            subprocess.run(
                command, cwd=tmp_path, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
        )

    return call


def stored(server: Running, call: Call, folder: Path, *arguments: str, size: int = 5 * MIB + 123_456) -> list[str]:
    """Follow the advice until a new file is uploaded, and return what was typed. The file is at the server."""
    path = folder / f"{os.urandom(4).hex()}-source.bin"
    path.write_bytes(os.urandom(size))
    typed, ran = follow(call, path.name, *arguments, server.url)
    assert typed[0] == "upload", ran.err
    assert ran.code == 0, ran.err
    assert path.read_bytes() in [content for _, content in server.contents()]
    return typed[1:-2]


@pytest.mark.only(lambda record: not record.log_in)
def test_what_is_advised_works(server: Running, call: Call, tmp_path: Path) -> None:
    flags = stored(server, call, tmp_path)
    assert flags == (["--dialect", "flowjs"] if server.record.options else [])


@pytest.mark.only(lambda record: record.log_in)
def test_whoever_has_to_log_in_is_told_to_and_then_what_is_advised_works(
    server: Running, call: Call, tmp_path: Path
) -> None:
    ran = call("doctor", "--yes", server.url)
    assert ran.code == 6
    assert advised(ran.err) == ["doctor", "--header", "@FILE", server.url]
    options = log_in(server.url)
    cookies = "; ".join(f"{name}={value}" for name, value in options["session"].cookies.get_dict().items())
    (tmp_path / "FILE").write_text(f"Cookie: {cookies}\nX-CSRFToken: {options['headers']['X-CSRFToken']}\n")
    query = [word for name, value in options["query"].items() for word in ("--query", f"{name}={value}")]
    flags = stored(server, call, tmp_path, "--header", "@FILE", *query)
    assert sorted(flags) == sorted(["--header", "@FILE", *query])


@pytest.mark.only(lambda record: record.name == "php-sample")
@pytest.mark.parametrize(
    ("settings", "typed", "flags"),
    [
        ((), ["--chunk-size", "4M"], ["--chunk-size", "1M"]),
        (("upload_max_filesize=100K",), [], ["--chunk-size", "32K"]),
        # What is larger than this is acknowledged, and not stored.
        (("upload_max_filesize=100M", "post_max_size=200K"), [], ["--chunk-size", "64K"]),
        (("upload_max_filesize=100M", "post_max_size=50K"), [], ["--chunk-size", "16K"]),
    ],
)
def test_php_that_takes_small_forms_only_gets_small_chunks(
    settings: tuple[str, ...], typed: list[str], flags: list[str], record: Record, call: Call, tmp_path: Path
) -> None:
    with running(replace(record, settings=settings), tmp_path / "root") as server:
        assert stored(server, call, tmp_path, *typed) == flags


@pytest.mark.only(lambda record: record.kind == "nginx")
@pytest.mark.parametrize(
    ("settings", "flags"),
    [((), ["--chunk-size", "256K"]), (("client_max_body_size 100k;",), ["--chunk-size", "32K"])],
)
def test_nginx_that_takes_small_requests_only_gets_small_chunks(
    settings: tuple[str, ...], flags: list[str], record: Record, call: Call, tmp_path: Path
) -> None:
    with running(replace(record, settings=settings), tmp_path / "root") as server:
        assert stored(server, call, tmp_path) == flags


@pytest.mark.only(lambda record: record.name == "dash-uploader")
def test_a_wrong_path_that_is_answered_by_a_page_is_no_place_for_uploads(server: Running, call: Call) -> None:
    ran = call("doctor", "--yes", f"{server.url}/wrong")
    assert ran.code == 4
    assert "check the path of the URL" in ran.err
    assert advised(ran.err) == []
