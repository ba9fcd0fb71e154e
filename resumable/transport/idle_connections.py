"""The connections that a pool keeps while nobody uses them: which is lent next, and their end.

A pool of urllib3 lends the one that came back last. While all are in use that is one's own; but if some wait for the
end of a slow chunk, it is the slowest.
"""

from __future__ import annotations

from typing import Any

from .packet_pacing import LONG_WAY
from .tcp_info import read_tcp_info

__all__ = ["close_idle", "put_widest_first"]


def put_widest_first(pool: Any, long_way: float = LONG_WAY) -> None:
    """Have the pool lend next the idle connection that may have most bytes on its way, if the system tells that.

    Nothing changes if the next one has a round trip of less than ``long_way`` seconds: one is as good as another then.
    Raises AttributeError if it is another kind of pool.
    """
    connections = pool.pool
    with connections.mutex:
        idle = connections.queue
        if len(idle) - idle.count(None) > 1 and not _is_nearer(idle[-1], long_way):
            # A list in urllib3 2, a deque in urllib3 1.
            ordered = sorted(idle, key=_window)
            idle.clear()
            idle.extend(ordered)


def close_idle(pool: Any) -> None:
    """Close the idle connections of the pool, which opens them again when it lends them."""
    connections = pool.pool
    with connections.mutex:
        for connection in connections.queue:
            if connection is not None:
                connection.close()


def _is_nearer(connection: Any, long_way: float) -> bool:
    info = read_tcp_info(connection.sock) if connection is not None and connection.sock is not None else None
    return info is not None and info.round_trip < long_way


def _window(connection: Any) -> int:
    if connection is None:
        # A place for a connection that is still to be opened.
        return -1
    info = None if connection.sock is None else read_tcp_info(connection.sock)
    return 0 if info is None else info.window
