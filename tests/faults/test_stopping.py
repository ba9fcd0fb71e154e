"""Stopping: whatever the server does or fails to do, it takes at most two seconds."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.client import CHUNK, content
from support.scripted_server import Answer, Request, ScriptedServer, Store, answer, hold

from resumable import (
    ChunkState,
    FileState,
    Resumable,
    SessionState,
    UploadCancelled,
)

BLIND: dict[str, Any] = {"test_chunks": False}
PATIENT: dict[str, Any] = {"timeout": (50, 50), "chunk_size": CHUNK, "simultaneous_uploads": 4, "chunk_order": "free"}
LIMIT = 2.0


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """The block takes no longer. Other programs share the machine, so it is given some leave; what would not be
    stopped would take fifty seconds."""
    start = time.monotonic()
    try:
        yield
    finally:
        assert time.monotonic() - start < seconds + 3


def never_reads(request: Request) -> None:
    request.hold()


def stops_in_its_answer(request: Request) -> None:
    request.read()
    request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    request.hold()


SERVERS = {"never answers": hold, "never reads": never_reads, "stops in its answer": stops_in_its_answer}


@pytest.fixture(params=["never answers", *(pytest.param(name, marks=pytest.mark.slow) for name in list(SERVERS)[1:])])
def hung(request: pytest.FixtureRequest) -> Iterator[ScriptedServer]:
    """A server that takes requests and does not finish one."""
    with ScriptedServer(otherwise=SERVERS[request.param], receive_buffer=4096) as server:
        yield server


def begun(session: Resumable, server: ScriptedServer, **more: Any) -> Any:
    """A file, four chunks of which hang at the server. They are large enough to fill all buffers on the way."""
    file = session.add_file(content(4 * session.options.chunk_size), relative_path="a.bin", **more)
    server.wait_requests(4)
    return file


def large(way: dict[str, Any]) -> dict[str, Any]:
    return {**BLIND, **PATIENT, "chunk_size": 8 << 20, **way}


@pytest.mark.timed
def test_cancel_ends_requests_that_hang(hung: ScriptedServer, way: dict[str, Any]) -> None:
    session = Resumable(hung.url, **large(way))
    file = begun(session, hung)
    with within(LIMIT):
        session.cancel()
        assert session.state is SessionState.IDLE
        assert file.state is FileState.CANCELLED
        with pytest.raises(UploadCancelled):
            file.wait(1)
        session.close()
    assert no_threads_of(session)


@pytest.mark.timed
def test_cancelling_the_file_ends_its_requests(hung: ScriptedServer, way: dict[str, Any]) -> None:
    session = Resumable(hung.url, **large(way))
    file = begun(session, hung)
    with within(LIMIT):
        file.cancel()
        result = session.join(60)
    assert result.cancelled == (file,)
    session.close()


@pytest.mark.timed
def test_close_ends_requests_that_hang(hung: ScriptedServer, way: dict[str, Any]) -> None:
    session = Resumable(hung.url, **large(way))
    begun(session, hung)
    with within(LIMIT):
        session.close()
    assert session.state is SessionState.CLOSED
    assert no_threads_of(session)


@pytest.mark.timed
def test_a_pause_before_does_not_keep_them_from_ending(hung: ScriptedServer, way: dict[str, Any]) -> None:
    # A pause lets a request that waits for its answer finish; a cancel that follows must not.
    session = Resumable(hung.url, **large(way))
    begun(session, hung)
    session.pause()
    with within(LIMIT):
        session.cancel()
        assert settled(session)
        session.close()
    assert no_threads_of(session)


@pytest.mark.timed
def test_leaving_the_block_with_an_exception_ends_requests_that_hang(hung: ScriptedServer, way: dict[str, Any]) -> None:
    session = Resumable(hung.url, **large(way))
    with pytest.raises(ZeroDivisionError):
        leave_by_exception(session, hung)
    assert session.state is SessionState.CLOSED
    assert no_threads_of(session)


def leave_by_exception(session: Resumable, server: ScriptedServer) -> None:
    with within(LIMIT), session:
        begun(session, server)
        raise ZeroDivisionError


@pytest.mark.timed
def test_a_test_and_a_canary_that_hang_are_ended(way: dict[str, Any]) -> None:
    # Three workers wait to hear what becomes of the canary that the fourth has sent.
    with ScriptedServer(answer(200), answer(200), answer(200), answer(200), otherwise=hold) as server:
        session = Resumable(server.url, **PATIENT, **way)
        session.add_file(content(4 * CHUNK), relative_path="a.bin")
        server.wait_requests(5)
        with within(LIMIT):
            session.close()
        assert no_threads_of(session)


@pytest.mark.timed
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_that_never_comes_about_does_not_hold_up_the_end(scheme: str) -> None:
    # The backlog is full, or TLS is never spoken; nothing can be shut down, so the worker is left alone.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(20 if scheme == "http" else 0)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        session = Resumable(f"{scheme}://127.0.0.1:{port}/", **PATIENT, **BLIND)
        session.add_file(content(10), relative_path="a.bin")
        with within(LIMIT):
            session.close()
        for filler in fillers:
            filler.close()
    # Now that nobody listens, the next packet that asks for the connection is refused.
    for thread in threading.enumerate():
        if thread.name.startswith("resumable-"):
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.timed
def test_pause_stops_bodies_and_resume_goes_on(way: dict[str, Any]) -> None:
    store = Store()
    data = content(2 * (8 << 20))
    gate = threading.Event()

    def slow(request: Request) -> Answer:
        gate.wait(60)
        return store(request)

    with ScriptedServer(*[slow] * 4, receive_buffer=4096) as server:
        with Resumable(
            server.url, **{**BLIND, **PATIENT, "chunk_size": 8 << 20, "chunk_retry_interval": 0.01}, **way
        ) as session:
            file = session.add_file(data, relative_path="a.bin")
            server.wait_requests(2)
            with within(LIMIT):
                session.pause()
                assert settled(session)
            assert file.bytes_sent == 0
            gate.set()
            session.resume()
            session.join(60)
        assert file.is_complete()
    assert store.content(file.unique_identifier) == data


def test_a_pause_lets_an_answer_come_that_is_on_its_way(way: dict[str, Any]) -> None:
    gate = threading.Event()

    def late(request: Request) -> None:
        request.read()
        gate.wait(60)
        answer(read=False)(request)

    sent = threading.Event()
    options = {**BLIND, **PATIENT, "throttle_progress_callbacks": 0, **way}
    with ScriptedServer(late, late) as server, Resumable(server.url, **options) as session:

        @session.on("file_progress")
        def look(file: Any) -> None:
            if file.bytes_sent == file.size:
                sent.set()

        file = session.add_file(content(2 * CHUNK), relative_path="a.bin")
        server.wait_requests(2)
        assert sent.wait(60)
        session.pause()
        gate.set()
        assert settled(session)
        assert file.bytes_confirmed == 2 * CHUNK


def settled(session: Resumable) -> bool:
    """Whether nothing is on the wire any more, soon."""

    deadline = time.monotonic() + 5
    condition = threading.Condition()
    while time.monotonic() < deadline:
        chunks = [chunk for file in session.files for chunk in file.chunks]
        live = [
            chunk for chunk in chunks if chunk.state in (ChunkState.TESTING, ChunkState.SENDING, ChunkState.STOPPING)
        ]
        if not live:
            return True
        with condition:
            condition.wait(0.02)
    return False


def no_threads_of(session: Resumable) -> bool:
    """Whether no worker is left, soon."""
    deadline = time.monotonic() + 20
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("resumable-worker")]
    for thread in workers:
        thread.join(max(deadline - time.monotonic(), 0))
    return not any(thread.is_alive() for thread in workers)


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------


def program(tmp_path: Path, url: str, body: str) -> subprocess.Popen[str]:
    """A program that uploads ``a.bin``; it has the default handling of SIGINT, whoever started the tests."""
    (tmp_path / "a.bin").write_bytes(content(16 * CHUNK))
    text = f"""
import signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from resumable import Resumable
options = dict(test_chunks=False, chunk_size={CHUNK}, simultaneous_uploads=4, chunk_order="free", timeout=(50, 50))
path = {str(tmp_path / "a.bin")!r}
url = {url!r}

def tell_when_joined(session):
    def tell():
        while not session._dispatcher._shared.waiting:
            time.sleep(0.001)
        print("joined", flush=True)
    threading.Thread(target=tell, daemon=True).start()

{textwrap.dedent(body)}
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"}
    return subprocess.Popen(
        [sys.executable, "-c", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


BODIES = {
    "join": """
        session = Resumable(url, **options)
        session.add_file(path)
        tell_when_joined(session)
        try:
            session.join()
        except KeyboardInterrupt:
            print(session.state.value)
            session.close()
            print("closed")
        """,
    "the end of the block": """
        try:
            with Resumable(url, **options) as session:
                session.add_file(path)
        except KeyboardInterrupt:
            print("paused")
            print("closed")
        """,
    "the block": """
        try:
            with Resumable(url, **options) as session:
                session.add_file(path)
                time.sleep(50)
        except KeyboardInterrupt:
            print("paused")
            print("closed")
        """,
    "wait of the file": """
        try:
            with Resumable(url, **options) as session:
                session.add_file(path).wait()
        except KeyboardInterrupt:
            print("paused")
            print("closed")
        """,
}


@pytest.mark.timed
@pytest.mark.parametrize("place", BODIES)
@pytest.mark.parametrize("behaviour", ["never answers", pytest.param("never reads", marks=pytest.mark.slow)])
def test_ctrl_c_ends_a_program_on_a_hung_server(place: str, behaviour: str, tmp_path: Path) -> None:
    with ScriptedServer(otherwise=SERVERS[behaviour]) as server:
        process = program(tmp_path, server.url, BODIES[place])
        server.wait_requests(4)
        if place == "join":
            # Until then Ctrl-C would come where nobody catches it.
            assert process.stdout is not None
            assert process.stdout.readline() == "joined\n"
        with within(LIMIT):
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
    assert errors == ""
    assert output == "paused\nclosed\n"
    assert process.returncode == 0


@pytest.mark.timed
def test_ctrl_c_that_nobody_catches_ends_the_program(tmp_path: Path) -> None:
    with ScriptedServer(otherwise=hold) as server:
        process = program(tmp_path, server.url, "s = Resumable(url, **options); s.add_file(path); s.join()")
        server.wait_requests(4)
        with within(LIMIT):
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "\nKeyboardInterrupt\n" in errors
    assert "UnfinishedUpload" in errors


@pytest.mark.timed
def test_a_program_that_just_ends_does_not_wait_for_its_uploads(tmp_path: Path) -> None:
    with ScriptedServer(otherwise=hold) as server:
        body = "s = Resumable(url, **options); s.add_file(path); sys.stdin.readline(); print('end')"
        process = program(tmp_path, server.url, body)
        server.wait_requests(4)
        with within(LIMIT):
            output, errors = process.communicate("\n", timeout=60)
    assert (output, process.returncode) == ("end\n", 0)
    assert "UnfinishedUpload" in errors


@pytest.mark.timed
def test_a_second_ctrl_c_ends_the_closing(tmp_path: Path) -> None:
    # A handler that does not return is all that closing can wait for here.
    body = """
        def stuck(chunk):
            print("stuck", flush=True)
            time.sleep(50)
        try:
            with Resumable(url, **options) as session:
                session.on("chunk_retry", stuck)
                session.add_file(path)
                time.sleep(50)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """
    with ScriptedServer(answer(503), otherwise=hold) as server:
        process = program(tmp_path, server.url, body)
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        with within(LIMIT):
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=60)
    assert output in ("interrupted\n", "")
