"""Progress that a bar can show: what is on its way counts, nothing falls, and what stands still is known to."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.breaking_proxy import Fault, Proxy, Scenario
from support.scripted_server import PATIENCE, Request, ScriptedServer, lacking
from support.threads import wait_until_answers_are_awaited
from support.waiting import eventually

from resumable import Resumable, SessionState

Make = Callable[..., Path]

LARGE = 32 * 1024 * 1024
"""More than the buffers of two sockets."""


class Brake:
    """What a proxy calls when a byte has come, which then waits until the test lets it pass."""

    def __init__(self) -> None:
        self.reached, self.go = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        self.go.wait(PATIENCE)


@pytest.mark.once
def test_bytes_on_their_way_count_and_a_lost_connection_takes_none_back(wire: ScriptedServer) -> None:
    brakes = [Brake(), Brake()]
    calls = iter(brakes)
    faults = [Fault("call", LARGE // 4), Fault("reset"), Fault("call", 1024)]
    with (
        Proxy(wire.url, Scenario(faults), call=lambda: next(calls)()) as proxy,
        Resumable(proxy.url, chunk_size=LARGE, test_chunks=False, chunk_retry_interval=0) as session,
    ):
        file = session.add_file(bytes(LARGE), relative_path="large.bin")
        assert brakes[0].reached.wait(PATIENCE)
        eventually(lambda: file.bytes_transferred >= LARGE // 4 - 65536)
        told = file.bytes_transferred
        assert told < LARGE
        assert session.bytes_transferred >= told
        assert file.bytes_confirmed == session.bytes_confirmed == 0
        assert file.progress() == 0
        brakes[0].go.set()
        assert brakes[1].reached.wait(PATIENCE)
        assert file.bytes_transferred >= told
        assert session.bytes_transferred >= told
        brakes[1].go.set()
        session.join(PATIENCE)
        assert file.bytes_transferred == session.bytes_transferred == LARGE


def test_all_is_transferred_only_when_all_is_confirmed(wire: ScriptedServer) -> None:
    wire.behave = lambda request: None
    with Resumable(wire.url, chunk_size=100, test_chunks=False) as session:
        file = session.add_file(bytes(100), relative_path="a.bin")
        wire.wait_held()
        wait_until_answers_are_awaited()
        assert (file.bytes_transferred, session.bytes_transferred) == (99, 99)
        wire.release()
        session.join(PATIENCE)
        assert (file.bytes_transferred, session.bytes_transferred) == (100, 100)
        session.add_file(b"", relative_path="empty")
        wire.wait_held()
        wire.behave = lacking
        wire.release()


def test_what_a_hook_sends_instead_counts_as_the_chunk_at_most(wire: ScriptedServer) -> None:
    wire.behave = lambda request: None if request.number == 1 else (200,)
    more: dict[str, Any] = {"preprocess": lambda chunk: bytes(1000), "test_chunks": False}
    with Resumable(wire.url, chunk_size=100, simultaneous_uploads=1, **more) as session:
        file = session.add_file(bytes(1000), relative_path="a.bin")
        wire.wait_held()
        wait_until_answers_are_awaited()
        assert file.bytes_transferred == 100
        wire.release()


def test_what_is_transferred_starts_anew_with_the_file(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, chunk_size=10) as session:
        first = session.add_file(make("a.bin", 100))
        second = session.add_file(make("b.bin", 50))
        session.join(PATIENCE)
        assert session.bytes_transferred == 150
        session.remove_file(second)
        assert session.bytes_transferred == 100
        session.pause()
        first.bootstrap()
        assert (first.bytes_transferred, session.bytes_transferred) == (0, 0)
        session.cancel()
        assert (session.bytes_transferred, session.progress()) == (0, 0.0)


def test_a_pause_has_no_speed_and_no_end(wire: ScriptedServer, make: Make) -> None:
    now = [0.0]

    def behave(request: Request) -> Any:
        now[0] += 2
        return (200,) if request.number < 6 else None

    wire.behave = behave
    options: dict[str, Any] = {"chunk_size": 10, "test_chunks": False, "simultaneous_uploads": 1}
    with Resumable(wire.url, clock=lambda: now[0], **options) as session:
        file = session.add_file(make(size=100))
        wire.wait_held()
        eventually(lambda: file.speed > 0)
        assert session.time_remaining is not None
        file.pause()
        assert (file.speed, file.time_remaining) == (0, None)
        assert session.speed > 0
        file.resume()
        session.pause()
        assert (file.speed, file.time_remaining) == (session.speed, session.time_remaining) == (0, None)
        wire.behave = lambda request: (200,)
        session.resume()
        wire.release()


def test_while_a_server_is_down_there_is_no_speed_and_the_next_attempt_is_known(
    wire: ScriptedServer, make: Make
) -> None:
    now = [0.0]

    def behave(request: Request) -> Any:
        now[0] += 2
        return (200,) if request.number < 6 else (503,)

    wire.behave = behave
    options: dict[str, Any] = {"chunk_size": 10, "test_chunks": False, "simultaneous_uploads": 1, "auto_upload": False}
    session = Resumable(wire.url, clock=lambda: now[0], chunk_retry_interval=60, completion_delay=0, **options)
    assert session.retry_in is None
    file = session.add_file(make(size=100))
    failed = threading.Event()
    file.on("retry", lambda: failed.set())
    session.upload()
    assert failed.wait(PATIENCE)
    assert file.retry_in == session.retry_in == 60
    assert file.speed > 0, "it was there a moment ago"
    now[0] += 20
    assert file.retry_in == session.retry_in == 40
    assert file.retry_in == 40, "asking changes nothing"
    assert (file.speed, file.time_remaining) == (session.speed, session.time_remaining) == (0, None)
    session.pause()
    assert file.retry_in is session.retry_in is None
    session.close()
    assert session.state is SessionState.CLOSED


def test_nothing_waits_while_anything_is_under_way(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (503,) if request.fields["resumableFilename"] == "a.bin" else None
    with Resumable(wire.url, test_chunks=False, chunk_retry_interval=60) as session:
        failed = threading.Event()
        first, second = session.add_files([make("a.bin"), make("b.bin")])
        first.on("chunk_retry", lambda: failed.set())
        wire.wait_held()
        # A file that was turned away waits with all that are new.
        eventually(lambda: first.retry_in is not None)
        assert second.retry_in is None
        assert session.retry_in is None
        session.cancel()
        assert first.retry_in is None


def test_a_server_that_wants_to_be_left_alone_is_waited_for(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (429, b"", {"Retry-After": "100"})
    now = [0.0]
    with Resumable(wire.url, test_chunks=False, clock=lambda: now[0]) as session:
        first, second = session.add_files([make("a.bin"), make("b.bin")])
        eventually(lambda: session.retry_in is not None and session.retry_in >= 99)
        assert first.retry_in == second.retry_in == session.retry_in
        session.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what waits in the buffer of a socket")
def test_what_waits_in_the_buffer_of_this_machine_is_not_transferred(wire: ScriptedServer) -> None:
    brake = Brake()
    with Proxy(wire.url, Scenario([Fault("call", 1024)]), call=brake) as proxy:
        session = Resumable(proxy.url, chunk_size=LARGE, test_chunks=False, completion_delay=0)
        file = session.add_file(bytes(LARGE), relative_path="large.bin")
        assert brake.reached.wait(PATIENCE)
        eventually(lambda: file.bytes_sent > file.bytes_transferred > 0)
        session.close()
        brake.go.set()
