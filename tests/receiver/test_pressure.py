"""Connections that send nothing, or next to nothing, keep nobody out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.client import content, upload
from support.waiting import eventually

from resumable.receiver import FileStore, Limits, Receiver, Server
from resumable.receiver.server.pressure import Peer, longest_silent

CONNECTIONS = 10
CONTENT = content(40_000)


def peers(*facts: tuple[str, float | None]) -> list[Peer]:
    connection: Any = None
    return [Peer(connection, address, since) for address, since in facts]


@pytest.mark.parametrize(
    ("facts", "full", "chosen"),
    [
        # The one that is silent longest, of the address with most.
        ([("a", 3.0), ("a", 2.0), ("b", 1.0)], False, 1),
        ([("a", 3.0), ("b", 2.0), ("c", 1.0)], False, 2),
        # Nobody in a request, however long it takes, and nobody who has just come.
        ([("a", None), ("a", None), ("b", 9.5)], False, None),
        ([("a", None), ("a", None), ("b", 8.0)], True, 2),
        ([("a", 9.5)] * 7 + [("b", 9.9)], True, None),
        # Unless there are many of one address, and no room.
        ([("b", 9.4), *[("a", 9.5)] * 8], True, 1),
        ([("b", 9.4), *[("a", 9.5)] * 8], False, None),
        ([], True, None),
    ],
)
def test_who_has_to_go(facts: list[tuple[str, float | None]], full: bool, chosen: int | None) -> None:
    found = peers(*facts)
    assert longest_silent(found, 10.0, full=full) is (None if chosen is None else found[chosen])


def test_who_is_going_is_not_chosen_again() -> None:
    first, second = peers(("a", 1.0), ("a", 2.0))
    first.leaving = True
    assert longest_silent([first, second], 10.0, full=True) is second


@pytest.fixture
def server(root: Path) -> Iterator[Server]:
    limits = Limits(max_connections=CONNECTIONS, header_timeout=60, idle_timeout=60)
    with Server(Receiver(FileStore(root, fsync="never")), limits=limits) as server:
        yield server


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\nHost: local"])
def test_half_open_connections_keep_nobody_out(server: Server, root: Path, sent: bytes) -> None:
    with ExitStack() as closing:
        flood = []
        for _ in range(6 * CONNECTIONS):
            connection = closing.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            connection.sendall(sent)
            flood.append(connection)
        run = upload(server.url, (CONTENT, "a.bin"), simultaneous_uploads=2)
    assert run.count("file_success") == 1
    assert (root / "a.bin").read_bytes() == CONTENT


def test_clients_that_drip_keep_nobody_out(server: Server, root: Path) -> None:
    stopped = threading.Event()

    def drip() -> None:
        while not stopped.is_set():
            try:
                with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
                    while not stopped.wait(0.2):
                        connection.sendall(b"x")
            except OSError:
                continue

    threads = [threading.Thread(target=drip) for _ in range(3 * CONNECTIONS)]
    for thread in threads:
        thread.start()
    try:
        run = upload(server.url, (CONTENT, "a.bin"), simultaneous_uploads=2)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    assert run.count("file_success") == 1
    assert (root / "a.bin").read_bytes() == CONTENT


def test_a_running_request_is_not_cut_off_for_others(root: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hold(record: object, number: int) -> None:
        entered.set()
        assert go_on.wait(60)

    receiver = Receiver(FileStore(root, fsync="never"), on_chunk_received=hold)
    with Server(receiver, limits=Limits(max_connections=CONNECTIONS)) as server, ExitStack() as closing:
        runs: list[Any] = []
        sending = threading.Thread(target=lambda: runs.append(upload(server.url, (b"one", "a.bin"))))
        sending.start()
        assert entered.wait(60)
        for _ in range(3 * CONNECTIONS):
            closing.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
        go_on.set()
        sending.join()
    assert runs[0].count("file_success") == 1
    assert runs[0].count("chunk_retry") == 0


def test_without_pressure_silent_clients_stay(server: Server) -> None:
    with ExitStack() as closing:
        silent = [
            closing.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            for _ in range(CONNECTIONS // 2)
        ]
        eventually(
            lambda: sum(thread.name == "resumable-connection" for thread in threading.enumerate()) >= len(silent)
        )
        run = upload(server.url, (b"one", "a.bin"))
        assert run.count("file_success") == 1
        for connection in silent:
            connection.sendall(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 404"
