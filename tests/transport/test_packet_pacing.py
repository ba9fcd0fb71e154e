"""Which connections spread their packets, and that nothing ever fails because of it."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from support.scripted_server import PATIENCE, ScriptedServer, Store

from resumable import Resumable
from resumable.transport.packet_pacing import spread_packets

MAX_PACING_RATE = 47

linux = pytest.mark.skipif(sys.platform != "linux", reason="packets can be spread on Linux")


@contextmanager
def connected() -> Iterator[socket.socket]:
    """A connection whose way is short."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        yield client


def bound(connection: socket.socket) -> int:
    """Bytes a second at most."""
    return int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, MAX_PACING_RATE, 8), sys.byteorder)


@linux
def test_a_connection_with_a_long_way_spreads_its_packets() -> None:
    """Its bound is one that no line reaches."""
    with connected() as client:
        before = bound(client)
        assert spread_packets(client, long_way=0.0)
        assert before > bound(client) > 4_000_000_000


def test_a_connection_with_a_short_way_stays_as_it_is() -> None:
    """So does one that is over, and what is none."""
    with connected() as client:
        before = bound(client) if sys.platform == "linux" else 0
        assert not spread_packets(client, long_way=60.0)
        assert not before or bound(client) == before
    assert not spread_packets(client, long_way=0.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        assert not spread_packets(other, long_way=0.0)


class Sandboxed(socket.socket):
    """Knows some options only."""

    def setsockopt(self, level: int, option: int, *value: Any) -> None:
        if (level, option) == (socket.SOL_SOCKET, MAX_PACING_RATE):
            raise OSError(errno.ENOPROTOOPT, "unknown option")
        super().setsockopt(level, option, *value)


@linux
def test_a_system_that_cannot_spread_packets_is_no_failure() -> None:
    """As in a sandbox."""
    with connected() as client, Sandboxed(fileno=os.dup(client.fileno())) as sandboxed:
        assert not spread_packets(sandboxed, long_way=0.0)
        assert spread_packets(client, long_way=0.0)


@linux
@pytest.mark.parametrize("own", [False, True], ids=["fast path", "own session"])
def test_uploads_ask_for_each_new_connection(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with a Session of the user's."""
    asked: list[bool] = []

    def spread(connection: socket.socket) -> None:
        asked.append(spread_packets(connection, long_way=0.0))

    monkeypatch.setattr("resumable.transport.connections.spread_packets", spread)
    data = os.urandom(3000)
    store = Store()
    with ScriptedServer(behave=store) as server, requests.Session() as theirs:
        session = Resumable(server.url, chunk_size=1000, simultaneous_uploads=1, session=theirs if own else None)
        with session:
            file = session.add_file(data, relative_path="a.bin")
        file.wait(PATIENCE)
        assert store.content(file.unique_identifier or "") == data
    assert asked == [True]
