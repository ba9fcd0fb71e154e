"""``--part`` sends a part of each file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command import Run
from support.scripted_server import ScriptedServer, lacking

from resumable.receiver import Server

Make = Callable[..., Path]


def test_parts_of_a_file_make_the_whole_and_the_last_line_says_so(
    run: Run, make: Make, server: Server, received: Path
) -> None:
    path = make("a.bin", 2500)
    first = run("upload", "--chunk-size", "1000", "--part", "1/2", "a.bin", server.url)
    assert first.code == 0
    assert "0 files whole at the server, 1 not yet" in first.err
    last = run("upload", "-v", "--chunk-size", "1000", "--part", "2/2", "a.bin", server.url)
    assert "1 file whole at the server, 0 not yet" in last.err
    assert "part 2 of 2 of a.bin, 1.46 KiB" in last.err
    assert (received / "a.bin").read_bytes() == path.read_bytes()
    again = run("upload", "--json", "--chunk-size", "1000", "--part", "2/2", "a.bin", server.url)
    events = [json.loads(line) for line in again.out.splitlines()]
    (success,) = [event for event in events if event["event"] == "file_success"]
    assert success["file"]["whole"] is True
    assert "1 of 1 chunk already there" in again.err


def test_a_server_that_may_need_an_order_is_named(run: Run, make: Make) -> None:
    make("a.bin", 2500)
    with ScriptedServer(behave=lacking) as server:
        ran = run("upload", "--part", "1/2", "a.bin", server.url)
    assert ran.code == 4
    assert "--chunk-order free" in ran.err
    assert not server.uploads


@pytest.mark.parametrize(
    "arguments", [["--part", "0/3"], ["--part", "3"], ["--part", "1/2", "--chunk-order", "strict"]]
)
def test_what_is_no_part_is_a_wrong_call(run: Run, make: Make, arguments: list[str]) -> None:
    make("a.bin", 10)
    assert run("upload", *arguments, "a.bin", "http://127.0.0.1:9/").code == 2


@pytest.mark.parametrize("command", ["watch", "status"])
def test_only_uploads_have_parts(run: Run, command: str) -> None:
    assert run(command, "--part", "1/2", ".", "http://127.0.0.1:9/").code == 2
