"""What the system knows of a connection: its round trip, its losses, and what keeps it.

Linux tells it, in a structure that only ever grows at its end. Elsewhere nobody does.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import NamedTuple

__all__ = ["TcpInfo", "read_tcp_info"]

_FIELDS = struct.Struct("=8x24I4Q6I4Q")
"""The structure up to ``tcpi_sndbuf_limited``, as of Linux 4.10."""

_LONGEST_NAME = 16


class TcpInfo(NamedTuple):
    """Facts of one connection. Times are seconds: the mean and the least ``round_trip``, how long something was on its
    way (``busy``), and how long of that the receiver had no room for more (``window_limited``). ``window``: how many
    bytes the congestion control lets be on their way."""

    round_trip: float
    least_round_trip: float
    segments_sent: int
    segments_resent: int
    busy: float
    window_limited: float
    congestion_control: str
    window: int


if sys.platform == "linux":

    def read_tcp_info(connection: socket.socket) -> TcpInfo | None:
        """Return what the system tells of the connection, None if that is nothing. Another thread may close it."""
        try:
            fields = _FIELDS.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _FIELDS.size))
            control = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _LONGEST_NAME)
        except (AttributeError, OSError, struct.error):
            return None
        return TcpInfo(
            round_trip=fields[15] / 1e6,
            least_round_trip=fields[31] / 1e6,
            segments_sent=fields[33],
            segments_resent=fields[23],
            busy=fields[35] / 1e6,
            window_limited=fields[36] / 1e6,
            congestion_control=control.partition(b"\0")[0].decode("ascii", "replace"),
            window=fields[2] * fields[18],
        )

else:

    def read_tcp_info(connection: socket.socket) -> TcpInfo | None:
        """Return None: only Linux tells of a connection."""
        return None
