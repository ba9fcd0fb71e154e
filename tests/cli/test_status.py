"""What ``resumable status`` says, and that it sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.command import Run, tree
from support.scripted_server import Answer, Request, ScriptedServer, Store

from resumable.cli.output.json_events import fields_of
from resumable.receiver import Server

Make = Callable[..., Path]


def states(run: Run, *arguments: str) -> tuple[int, dict[str, tuple[str, int]]]:
    """The exit code, and of each file its state and how many chunks are there."""
    ran = run("status", "--json", "--chunk-size", "1000", *arguments)
    assert all(set(fields_of(event["event"])) == event.keys() - {"event", "time"} for event in ran.events)
    assert (ran.events[-1]["event"], ran.events[-1]["exit_code"]) == ("result", ran.code)
    found = [event for event in ran.events if event["event"] == "status"]
    return ran.code, {event["relative_path"]: (event["state"], event["chunks_already_there"]) for event in found}


def test_a_receiver_of_this_package_says_what_it_has(run: Run, make: Make, server: Server, received: Path) -> None:
    make("top/whole.bin", 3000)
    make("top/empty.bin", 0)
    assert run("upload", "--chunk-size", "1000", "top", server.url).code == 0
    make("top/none.bin", 10)
    before = tree(received)
    assert states(run, "top", server.url) == (
        1,
        {"top/empty.bin": ("complete", 1), "top/none.bin": ("missing", 0), "top/whole.bin": ("complete", 3)},
    )
    assert tree(received) == before
    assert states(run, "--exclude", "none.bin", "top", server.url)[0] == 0


@pytest.mark.parametrize("chunks", [1, 3])
def test_a_receiver_of_this_package_has_the_first_chunks(
    chunks: int, run: Run, make: Make, server: Server, begin: Callable[..., None]
) -> None:
    begin(server.url, make("part.bin", 4000), chunks, chunk_size=1000)
    assert states(run, "part.bin", server.url) == (1, {"part.bin": ("partial", chunks)})


@pytest.mark.parametrize("there", [(1,), (1, 2, 4), (2, 3, 4)])
def test_a_foreign_server_is_asked_for_each_chunk(there: tuple[int, ...], run: Run, make: Make) -> None:
    make("part.bin", 4000)

    def step(request: Request) -> Answer:
        number = int(request.parameters["resumableChunkNumber"])
        canary = "canary" in request.parameters["resumableIdentifier"]
        return (200, "") if number in there and not canary else (404, "")

    with ScriptedServer() as server:
        server.behave = step
        assert states(run, "part.bin", server.url) == (1, {"part.bin": ("partial", len(there))})
        assert {request.method for request in server.requests} == {"GET"}


def test_a_file_that_a_foreign_server_has_is_complete(run: Run, make: Make) -> None:
    make("whole.bin", 3000)
    store = Store()
    with ScriptedServer() as server:
        server.behave = store
        assert run("upload", "--chunk-size", "1000", "whole.bin", server.url).code == 0
        assert states(run, "whole.bin", server.url) == (0, {"whole.bin": ("complete", 3)})


def test_a_server_that_says_yes_to_everything_is_not_believed(run: Run, make: Make) -> None:
    make()
    with ScriptedServer() as server:
        server.behave = lambda request: (200, "")
        assert states(run, "a.bin", server.url) == (1, {"a.bin": ("unknown", 0)})
        assert {request.method for request in server.requests} == {"GET"}


@pytest.mark.parametrize(("status", "code"), [(401, 6), (403, 6), (500, 5), (302, 4)])
def test_an_answer_that_says_nothing_is_a_failure(status: int, code: int, run: Run, make: Make) -> None:
    make()
    with ScriptedServer() as server:
        server.behave = lambda request: (status, "no")
        ran = run("status", "a.bin", server.url)
        assert ran.code == code
        assert f"→ {status} 'no'" in ran.text
        assert {request.method for request in server.requests} == {"GET"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_wrong_path_of_a_receiver_of_this_package_is_no_endpoint(
    method: str, run: Run, make: Make, server: Server
) -> None:
    make()
    make("b.bin")
    ran = run("status", "--json", "--test-method", method, "a.bin", "b.bin", f"{server.url}nothing-here")
    assert (ran.code, ran.events[-1]["failed"], len(ran.events)) == (4, 1, 1)
    assert f"{method} {server.url}nothing-here → 404 " in ran.text or method == "HEAD"
    assert "this is not an upload endpoint: check the URL" in ran.text


def test_of_a_server_that_cannot_be_reached_one_file_is_asked(run: Run, make: Make, silent_port: int) -> None:
    make()
    make("b.bin")
    ran = run("status", "--json", "a.bin", "b.bin", f"http://127.0.0.1:{silent_port}/?token=s3cret")
    assert (ran.code, ran.events[-1]["failed"]) == (5, 1)
    assert "s3cret" not in ran.out + ran.err


def test_sources_that_are_missing_are_named(run: Run, make: Make, server: Server) -> None:
    make()
    ran = run("status", "a.bin", "nowhere", server.url)
    assert ran.code == 1
    assert "cannot read 'nowhere'" in ran.text
    assert ran.out == "missing   a.bin  (1000 B)\n"
    assert run("status", "nowhere", server.url).code == 3
    assert run("status", "-q", "--ignore-missing", "a.bin", "nowhere", server.url) == (1, "", "")


@pytest.mark.parametrize("arguments", [["a.bin"], ["http://h/"], ["-", "http://h/"], []])
def test_what_makes_no_sense_is_refused(arguments: list[str], run: Run) -> None:
    assert run("status", *arguments).code == 2
    assert run("status", "--json", *arguments).events[-1]["event"] == "result"
