"""Decide which connection has to go if a server has too many.

Clients that connect and send nothing, or a byte a second, would otherwise keep everybody else out. No address has a
limit, because a proxy has one address, and a campus too; but the address with most silent connections gives one first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from .connection import Connection

__all__ = ["Peer", "longest_silent"]

_SILENT = 1.0
"""Seconds after which a client that has not sent a whole header counts as silent."""

_MANY = 8
"""Connections without a whole header from one address that count as silent at once, if there is no other room."""


@dataclass(eq=False)
class Peer:
    """The client at the other end of a connection.

    ``silent_since`` is the time since which the server waits for the whole header of a request, None during a request.
    ``leaving`` says that the connection was shut down to make room.
    """

    connection: Connection
    address: str
    silent_since: float | None = None
    leaving: bool = False


def longest_silent(peers: Iterable[Peer], now: float, *, full: bool) -> Peer | None:
    """Return who has to go: of the address with most silent connections, the one that is silent longest.

    A client counts as silent until its whole header is there, however many bytes it has sent. Return None if nobody is
    silent long enough; if the server is ``full``, many connections of one address are silent at once.
    """
    waiting = [(peer, peer.silent_since) for peer in peers if peer.silent_since is not None and not peer.leaving]
    silent = [(peer, since) for peer, since in waiting if now - since >= _SILENT]
    if not silent and full:
        counts = Counter(peer.address for peer, _ in waiting)
        silent = [(peer, since) for peer, since in waiting if counts[peer.address] >= _MANY]
    if not silent:
        return None
    counts = Counter(peer.address for peer, _ in silent)
    return min(silent, key=lambda each: (-counts[each[0].address], each[1]))[0]
