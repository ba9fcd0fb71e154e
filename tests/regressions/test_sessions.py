"""A requests.Session of the user, whatever was done with it before and whatever it sends with."""

from __future__ import annotations

import pickle
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from support.client import CHUNK, content, upload
from support.scripted_server import (
    LEAVE,
    PATIENCE,
    Answer,
    Request,
    ScriptedServer,
    Step,
    Store,
    answer,
    hold,
    holding,
    lacking,
)
from support.sessions import WAYS, Way
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from resumable import FileState, Resumable, SessionState

BLIND: dict[str, Any] = {"test_chunks": False}
IMPATIENT: dict[str, Any] = {"timeout": (1, 1), "final_chunk_timeout": 1, **BLIND}
WATCHED = ("fresh", "used", "shared", "blocking", "factory", "cached", "toolbelt", "retrying", "with token")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """Every kind of session."""
    return WAYS[request.param]


def heads_apart(step: Step) -> Step:
    """The step for what an upload sends; what the user sends is answered at once."""

    def apart(request: Request) -> Answer | None:
        return (answer() if request.method == "HEAD" else step)(request)

    return apart


def test_each_chunk_is_sent_once_and_arrives(way: Way, tmp_path: Path) -> None:
    store = Store()
    data = content(7 * 100_000, seed=1)
    with ScriptedServer(otherwise=heads_apart(store)) as server, way(server.url, tmp_path) as session:
        run = upload(server.url, data, chunk_size=100_000, session=session, simultaneous_uploads=3)
    assert run.count("chunk_retry") == run.count("file_error") == 0
    assert sorted(request.number for request in server.requests if request.method == "POST") == list(range(1, 8))
    assert store.content(run.files[0].unique_identifier or "") == data


def test_nothing_is_held_over_connections_that_are_not_seen(tmp_path: Path) -> None:
    """Nobody could cut it off. So no request begins that does not become whole."""
    data = content(4 * 128 * 1024, seed=4)
    with ScriptedServer(behave=holding) as server, WAYS["another thread"](server.url, tmp_path) as mine:
        with Resumable(server.url, chunk_size=128 * 1024, session=mine, simultaneous_uploads=3) as session:
            session.add_file(data, relative_path="a.bin")
            server.wait(lambda: len(server.tests) == 3 and server.held)
            server.behave = lacking
            server.release()
        assert server.settle() == len(server.tests) + 4
    assert sorted(server.numbers) == [1, 2, 3, 4]


def test_what_is_there_is_not_sent_again(way: Way, tmp_path: Path) -> None:
    store = Store()
    data = content(3 * CHUNK, seed=2)
    with ScriptedServer(otherwise=heads_apart(store)) as server:
        upload(server.url, (data, "same.bin"))
        with way(server.url, tmp_path) as session:
            run = upload(server.url, (data, "same.bin"), session=session)
    assert run.count("file_success") == 1
    assert sum(request.method == "POST" for request in server.requests) == 3


def test_a_pause_holds_and_resume_goes_on(way: Way, tmp_path: Path) -> None:
    store = Store()
    data = content(6 * CHUNK, seed=3)
    paused = threading.Event()
    with ScriptedServer(otherwise=heads_apart(store)) as server, way(server.url, tmp_path) as mine:
        session = Resumable(server.url, CHUNK, session=mine, simultaneous_uploads=1, **BLIND)

        def pause(*_: object) -> None:
            if not paused.is_set():
                session.pause()
                paused.set()

        with session:
            file = session.add_file(data, relative_path="sample.bin", on={"chunk_success": pause})
            assert paused.wait(PATIENCE)
            assert session.state is SessionState.PAUSED
            session.resume()
            session.join(PATIENCE)
    assert file.state is FileState.SUCCESS
    assert store.content(file.unique_identifier or "") == data


@pytest.mark.timed
@pytest.mark.parametrize("end", ["cancel", "close"])
def test_a_request_that_hangs_does_not_hold_up_the_end(end: str, way: Way, tmp_path: Path) -> None:
    with ScriptedServer(otherwise=heads_apart(hold)) as server, way(server.url, tmp_path) as mine:
        session = Resumable(server.url, CHUNK, session=mine, timeout=(50, 50), **BLIND)
        session.add_file(content(CHUNK), relative_path="sample.bin")
        server.wait(lambda: any(r.method == "POST" for r in server.requests))
        began = time.monotonic()
        getattr(session, end)()
        session.close()
        assert time.monotonic() - began < 2 + LEAVE


def test_a_server_that_stops_reading_is_given_up_and_tried_again(way: Way, tmp_path: Path) -> None:
    data = content(8 << 20, seed=4)
    store = Store()
    stalled: list[int] = []

    def stall_once(request: Request) -> Answer | None:
        if not stalled:
            stalled.append(request.number)
            request.hold()
            return None
        return store(request)

    with (
        ScriptedServer(otherwise=heads_apart(stall_once), receive_buffer=65536) as server,
        way(server.url, tmp_path) as session,
    ):
        run = upload(server.url, data, chunk_size=len(data), session=session, **IMPATIENT)
    assert stalled == [1]
    assert run.count("file_success") == 1
    assert store.content(run.files[0].unique_identifier or "") == data


@pytest.mark.parametrize("name", WATCHED)
def test_a_request_that_hangs_is_cut_off(name: str, tmp_path: Path) -> None:
    def behave(request: Request) -> tuple[Any, ...] | None:
        return (200,) if request.method == "HEAD" else None

    with ScriptedServer(behave=behave) as wire, WAYS[name](wire.url, tmp_path) as mine:
        session = Resumable(wire.url, CHUNK, session=mine, timeout=(50, 50), **BLIND)
        session.add_file(content(CHUNK), relative_path="sample.bin")
        (request,) = wire.wait_held()
        session.cancel()
        assert request.gone.wait(PATIENCE)
        session.close()


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_on_a_session(fails: bool) -> None:
    with ScriptedServer(answer(), answer(500 if fails else 200)) as server, requests.Session() as session:
        session.get(server.url)
        adapter: Any = session.get_adapter(server.url)
        pool = adapter.get_connection_with_tls_context(requests.Request("GET", server.url).prepare(), True)
        upload(server.url, content(10), session=session, **BLIND)
        connection = pool._get_conn()
        assert (type(pool), type(connection)) == (HTTPConnectionPool, HTTPConnection)
        assert not [name for name in (*vars(pool), *vars(connection)) if "resumable" in name]
        assert session.hooks == requests.Session().hooks
        pool._put_conn(connection)
        pickle.loads(pickle.dumps(session)).close()
