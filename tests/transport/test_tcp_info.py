"""What the system tells of a connection."""

from __future__ import annotations

import socket
import sys

import pytest

from resumable.transport.tcp_info import read_tcp_info


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_linux_tells_of_a_connection() -> None:
    """Something was sent and acknowledged, so there is a round trip."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(bytes(1000))
            assert len(accepted.recv(1000, socket.MSG_WAITALL)) == 1000
            info = read_tcp_info(client)
    assert info is not None
    assert 0 < info.least_round_trip < 10
    assert 0 < info.round_trip < 10
    assert info.segments_sent >= 1
    assert info.segments_resent <= info.segments_sent
    assert 0 <= info.window_limited <= info.busy + 0.001
    assert info.congestion_control.isascii()
    assert info.congestion_control
    assert info.window > 0


def test_of_anything_else_nothing_is_told() -> None:
    """As of a connection that another thread has closed."""
    closed = socket.socket()
    closed.close()
    assert read_tcp_info(closed) is None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        assert read_tcp_info(other) is None
