"""Which idle connection a request gets."""

from __future__ import annotations

import socket
import sys
import threading
from typing import Any

import pytest
import urllib3

from resumable.transport.connections import borrow, give_back
from resumable.transport.control import RequestControl
from resumable.transport.idle_connections import put_widest_first
from resumable.transport.tcp_info import read_tcp_info

MUCH = 8_000_000


def window(connection: Any) -> int:
    """How many bytes may be on their way."""
    info = read_tcp_info(connection.sock)
    assert info is not None
    return info.window


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_of_idle_connections_the_one_that_may_have_most_on_its_way_is_lent() -> None:
    """Whichever came back last. One that is closed goes last, and where nothing is idle one is opened."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        urllib3.HTTPConnectionPool(*server.getsockname(), maxsize=4) as pool,
    ):
        wide, narrow, closed = lent = [borrow(pool, RequestControl(), 10.0) for _ in range(3)]
        accepted = [server.accept()[0] for _ in lent]
        reader = threading.Thread(target=lambda: accepted[0].recv(MUCH, socket.MSG_WAITALL))
        reader.start()
        wide.sock.sendall(bytes(MUCH))
        reader.join()
        closed.close()
        assert window(wide) > window(narrow)
        for order in [(wide, narrow, closed), (closed, narrow, wide), (narrow, closed, wide)]:
            for connection in order:
                give_back(pool, connection, keep=True)
            put_widest_first(pool, long_way=0.0)
            assert [borrow(pool, RequestControl(), 10.0) for _ in lent] == [wide, narrow, closed]
            accepted.append(server.accept()[0])
            closed.close()
        for connection in (*accepted, wide, narrow):
            connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_of_idle_connections_to_a_server_that_is_near_the_one_that_came_back_last_is_lent() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        urllib3.HTTPConnectionPool(*server.getsockname(), maxsize=4) as pool,
    ):
        lent = [borrow(pool, RequestControl(), 10.0) for _ in range(3)]
        for connection in lent:
            give_back(pool, connection, keep=True)
        put_widest_first(pool, long_way=10.0)
        assert [borrow(pool, RequestControl(), 10.0) for _ in lent] == lent[::-1]
        for connection in lent:
            connection.close()
