"""Ends that are held back: what servers see of it, and that servers of every kind get each chunk in its turn."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.pool_server import PoolServer
from support.scripted_server import PATIENCE, Request, ScriptedServer, holding, lacking

from resumable import Resumable
from resumable.errors import SourceChanged, UploadFailed
from resumable.transport.body import HOLD_LIMIT

CHUNK = 128 * 1024
MOST = CHUNK - 2048
"""Bytes of a chunk that are sent while its end is held, at least."""


def wait_until_held(server: ScriptedServer, count: int = 2) -> None:
    """The first chunk waits for its answer, and so many others for their ends."""
    server.wait(lambda: len(server.held) == 1 and len(server.pending_bytes) == count and server.pending_bytes[0] > MOST)
    server.settle()
    assert server.numbers == [1]


def test_the_bytes_of_others_are_sent_while_the_first_is_under_way() -> None:
    """None of them is whole before the first is answered. The last waits for them in the same way."""
    data = os.urandom(CHUNK * 4)
    with ScriptedServer(behave=holding) as server, Resumable(server.url, chunk_size=CHUNK) as session:
        session.add_file(data, relative_path="a.bin")
        wait_until_held(server)
        server.release()
        server.wait_held(2)
        server.wait(lambda: len(server.pending_bytes) == 1 and server.pending_bytes[0] > MOST)
        server.settle()
        assert {request.number for request in server.held} == {2, 3}
        two = server.held.pop(0)
        two.answer(200)
        server.settle()
        assert len(server.uploads) == 3
        server.behave = lacking
        server.release()
    assert b"".join(request.chunk for request in sorted(server.uploads, key=lambda request: request.number)) == data


@pytest.mark.parametrize("order", ["strict", "sequential"])
def test_other_orders_send_nothing_beside_the_first(order: str) -> None:
    """Not even a test."""
    with (
        ScriptedServer(behave=holding) as server,
        Resumable(server.url, chunk_size=CHUNK, chunk_order=order) as session,
    ):
        session.add_file(os.urandom(CHUNK * 4), relative_path="a.bin")
        server.wait_held()
        server.settle()
        assert (len(server.tests), server.pending_bytes) == (1, [])
        server.behave = lacking
        server.release()


def test_a_server_that_takes_any_order_gets_whole_chunks_beside_the_first() -> None:
    """It says so in answer to the first test."""
    ours = {"Resumable-Server": "1", "Resumable-Order": "any"}
    status = {"Resumable-File": "partial;stored=0;total=4"}

    def behave(request: Request) -> tuple[int, str, dict[str, str]] | None:
        return (404, "", {**ours, **status}) if request.chunk is None else None

    with ScriptedServer(behave=behave) as server, Resumable(server.url, chunk_size=CHUNK) as session:
        session.add_file(os.urandom(CHUNK * 4), relative_path="a.bin")
        server.wait_held(3)
        server.behave = lambda request: (200, "", {**ours, "Resumable-File": "whole"})
        for request in server.held:
            request.answer(200, "", {**ours, **status})


@pytest.mark.parametrize("command", ["pause", "cancel", "close"])
def test_held_requests_end_with_a_pause(command: str) -> None:
    """At once, and without their ends."""
    with ScriptedServer(behave=holding) as server:
        session = Resumable(server.url, chunk_size=CHUNK)
        session.add_file(os.urandom(CHUNK * 4), relative_path="a.bin")
        wait_until_held(server)
        getattr(session, command)()
        server.wait(lambda: server.pending_bytes == [])
        assert server.numbers == [1]
        if command == "pause":
            server.behave = lacking
            server.release()
            session.resume()
            assert session.join()
            assert sorted(server.numbers) == [1, 2, 3, 4]
        session.close()


def test_held_requests_end_if_the_first_fails() -> None:
    """Nothing is told of them, and they are sent in their turn."""
    told: list[tuple[str, int]] = []
    with (
        ScriptedServer(behave=holding) as server,
        Resumable(server.url, chunk_size=CHUNK, chunk_retry_interval=0) as session,
    ):
        session.on("chunk_retry", lambda chunk: told.append(("retry", chunk.number)))
        session.add_file(os.urandom(CHUNK * 4), relative_path="a.bin")
        wait_until_held(server)
        server.behave = lacking
        server.release(502)
    assert told == [("retry", 1)]
    assert server.numbers[:2] == [1, 1]
    assert sorted(server.numbers) == [1, 1, 2, 3, 4]


def test_a_source_that_changes_while_its_end_is_held_is_not_sent(tmp_path: Path) -> None:
    """No chunk with its old bytes becomes whole."""
    path = tmp_path / "a.bin"
    path.write_bytes(os.urandom(CHUNK * 4))
    with ScriptedServer(behave=holding) as server:
        session = Resumable(server.url, chunk_size=CHUNK)
        file = session.add_file(path)
        wait_until_held(server)
        path.write_bytes(os.urandom(CHUNK * 4 + 1))
        server.behave = lacking
        server.release()
        with pytest.raises(UploadFailed):
            session.join(PATIENCE)
        assert isinstance(file.error, SourceChanged)
        assert server.numbers == [1]
        session.close()


def test_a_held_chunk_that_is_refused_for_its_token_is_sent_anew() -> None:
    """With the new one, and without a retry."""
    retries: list[Any] = []
    current = ["old"]

    def headers(*_: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {current[0]}"}

    def behave(request: Request) -> tuple[int] | None:
        if request.chunk is None:
            return (404,)
        if request.number == 1 and request.headers["authorization"] == "Bearer old":
            return None
        if request.headers["authorization"] == "Bearer old":
            current[0] = "new"
            return (401,)
        return (200,)

    with ScriptedServer(behave=behave) as server, Resumable(server.url, chunk_size=CHUNK, headers=headers) as session:
        session.on("chunk_retry", retries.append)
        session.add_file(os.urandom(CHUNK * 4), relative_path="a.bin")
        wait_until_held(server)
        server.release()
    assert retries == []
    answered = [(request.number, request.headers["authorization"][7:]) for request in server.uploads]
    assert {number for number, token in answered if token == "new"} >= {2, 3, 4}


SERVERS: dict[str, tuple[int, Callable[[], PoolServer]]] = {
    "as many threads as connections": (3, PoolServer),
    "threads, connections kept": (3, lambda: PoolServer(keep_alive=True)),
    "one worker": (3, lambda: PoolServer(1)),
    "two workers": (8, lambda: PoolServer(2)),
    "three workers": (8, lambda: PoolServer(3)),
    "a lock for each file": (3, lambda: PoolServer(lock_at_head=True, think=lambda number: 0.02)),
    "a lock for each file, many uploads": (8, lambda: PoolServer(lock_at_head=True)),
    "no patience": (3, lambda: PoolServer(patience=5.0, think=lambda number: 0.1)),
    "a first chunk that takes long": (3, lambda: PoolServer(think=lambda number: 1.5 if number == 1 else 0.0)),
    "others refused before the first": (3, lambda: PoolServer(think=lambda number: 0.1, at_head=_needs_first(404))),
    "others fail before the first": (3, lambda: PoolServer(think=lambda number: 0.1, at_head=_needs_first(500))),
    "one at a time, or 429": (3, lambda: PoolServer(think=lambda number: 0.1, at_head=_needs_first(429))),
}


def _needs_first(status: int) -> Callable[[int, set[int]], int | None]:
    return lambda number, stored: status if number > 1 and 1 not in stored else None


def upload(server: PoolServer, *, files: int = 1, chunks: int = 8, **options: Any) -> None:
    """Upload files: the server has them whole then, and got their chunks in order."""
    data = [os.urandom(CHUNK * chunks) for _ in range(files)]
    with Resumable(server.url, chunk_size=CHUNK, **options) as session:
        added = [session.add_file(each, relative_path=f"{number}.bin") for number, each in enumerate(data)]
    assert [server.whole(file.unique_identifier or "") for file in added] == data
    assert server.out_of_order() == []


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("files", [1, 3])
def test_every_server_gets_each_chunk_once_and_in_its_turn(kind: str, files: int) -> None:
    """With no retry left, so that whatever held ends do to a server fails no upload."""
    uploads, make = SERVERS[kind]
    with make() as server:
        upload(server, files=files, simultaneous_uploads=uploads, max_chunk_retries=0)
        assert len(server.arrivals) == 8 * files


def test_a_first_chunk_that_takes_too_long_costs_one_hold() -> None:
    """The requests that were held are given up, and the rest goes on in strict order."""
    with PoolServer(think=lambda number: HOLD_LIMIT + 0.5 if number == 1 else 0.0) as server:
        upload(server, max_chunk_retries=0)
        assert 1 <= server.broken <= 2
        assert len(server.arrivals) == 8


def test_two_clients_at_a_small_pool_do_not_block_each_other() -> None:
    """Each gets its turn, and no request is given up for having waited too long."""
    with PoolServer(4) as server:
        sessions = [Resumable(server.url, chunk_size=CHUNK, max_chunk_retries=0) for _ in range(2)]
        files = [session.add_file(os.urandom(CHUNK * 8), relative_path=f"{id(session)}.bin") for session in sessions]
        for session in sessions:
            session.join(PATIENCE)
            session.close()
        assert server.broken == 0
        assert [len(server.whole(file.unique_identifier or "")) for file in files] == [CHUNK * 8] * 2
        assert server.out_of_order() == []
