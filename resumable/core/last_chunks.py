"""The last chunks: a slow connection leaves them to fast ones.

Connections to one server may differ by far: one that lost packets at the wrong time takes ten times as long for a chunk
as its neighbour, for seconds. While there is enough to do that harms nobody, since each sends what it can. But whoever
takes one of the last chunks decides when all of them are done. So a connection takes none if the others will probably
have sent what is left before it would be done with one. How long it takes is how long its latest chunk took; before its
first it is taken for as slow as the slowest.
"""

from __future__ import annotations

from collections.abc import Iterable

from .active_chunk import ActiveChunk
from .scheduler import FileQueue
from .states import ChunkState

__all__ = ["wait_for_others"]

SHORT = 0.1
"""Seconds for a chunk that nobody minds."""


def wait_for_others(pace: float, live: Iterable[ActiveChunk], queue: FileQueue, now: float) -> float | None:
    """Return None if a connection that needs ``pace`` seconds for a chunk may take one, or until when it may not,
    because the others, which send the ``live`` chunks, are expected to be sooner. A pace of 0 is not known."""
    if 0 < pace < SHORT:
        return None
    others = [record for record in live if record.pace and not record.early and record.state is ChunkState.SENDING]
    pace = pace or max((record.pace for record in others), default=0.0)
    if pace < SHORT:
        return None
    possible, until = 0, None
    for record in others:
        expected = record.leased + record.pace
        if now >= expected + pace:
            # It has become slow itself.
            continue
        possible += int((now + pace - max(expected, now)) / record.pace)
        until = min(until or expected + pace, expected + pace)
    return until if possible and queue.waiting(possible + 1) <= possible else None
