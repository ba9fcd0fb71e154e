"""Spread the packets of a connection over its round trip.

Left alone, Linux sends all that a connection may have on its way at once. A chunk that is a part of what a long line
holds comes as one burst to the queue before the line then. That overflows, every connection loses packets, takes that
for a full line, and becomes slow, while the line is idle between the bursts. So a connection with a long round trip
sends them one after the other, which the system does by itself as soon as there is a bound for the rate, however high.
"""

from __future__ import annotations

import socket
import sys

from .tcp_info import read_tcp_info

__all__ = ["LONG_WAY", "spread_packets"]

LONG_WAY = 0.01
"""Seconds of a round trip from which on bursts are avoided. Below, the bursts are short, and timers are not free."""

_MAX_PACING_RATE = 47
"""``SO_MAX_PACING_RATE``, which Python does not name."""

_ANY_RATE = (0xFFFFFFFE).to_bytes(4, sys.byteorder)
"""The highest number of bytes a second that is not "no bound"."""


def spread_packets(connection: socket.socket, long_way: float = LONG_WAY) -> bool:
    """Spread the packets of this new connection from now on, if its round trip is that long, and return whether they
    are. Where the system cannot do so, or does not tell of round trips, nothing changes."""
    info = read_tcp_info(connection)
    if info is None or info.round_trip < long_way:
        return False
    try:
        connection.setsockopt(socket.SOL_SOCKET, _MAX_PACING_RATE, _ANY_RATE)
    except OSError:
        return False
    return True
