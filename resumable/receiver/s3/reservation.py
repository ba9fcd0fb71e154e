"""Reserve a free name for the upload that began first, so that another one is refused before its bytes are sent.

An object for each reserved name says which upload it is for. It is no lock: what keeps a file from being replaced is
the condition under which it is published.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..messages import Refusal
from ..store.refusals import begun_already, name_taken
from ..store.reservation import HELD_FOR
from .bucket import Bucket
from .failures import PreconditionFailed
from .inventory import inventory
from .layout import home_of, reservation
from .lease import Records

__all__ = ["release", "reserving"]

_BEGINS_FOR = 30.0
"""Seconds within which an upload has a record after it has reserved its name."""

_ATTEMPTS = 5
"""How often a reservation is tried that others change at the same moment."""


@contextmanager
def reserving(bucket: Bucket, name: str, key: str) -> Iterator[None]:
    """Reserve a name for the upload with this key, which begins in the block.

    Raises :class:`Refusal` (409) if the name is taken, or reserved for another upload that somebody continues, and
    (503) if the reservation changes whenever it is to be made.
    """
    if bucket.head(name) is not None:
        raise name_taken(name)
    _reserve(bucket, name, key)
    try:
        yield
    except Refusal:
        release(bucket, name, key)
        raise


def release(bucket: Bucket, name: str, key: str) -> None:
    """Release the name, if it is reserved for the upload with this key."""
    found = bucket.get(reservation(name))
    if found is not None and found[0] == key.encode():
        bucket.delete([reservation(name)])


def _reserve(bucket: Bucket, name: str, key: str) -> None:
    where, text, etag = reservation(name), key.encode(), None
    for _ in range(_ATTEMPTS):
        try:
            bucket.put(where, text, len(text), new=etag is None, etag=etag)
            return
        except PreconditionFailed:
            found = bucket.get(where)
        if found is None:
            etag = None
            continue
        other, facts = found[0].decode(), found[1]
        if other == key:
            return
        if _holds(bucket, other, name, facts.modified):
            raise begun_already(name)
        etag = facts.etag
    leaf = name.rpartition("/")[2]
    sentence = f"Other uploads named {leaf!r} begin and end at this moment: try again."
    raise Refusal(503, sentence, ("Retry-After", "1"))


def _holds(bucket: Bucket, key: str, name: str, reserved: float) -> bool:
    """Return whether the upload with this key is unfinished, has this name, and got a chunk not long ago."""
    now = bucket.now()
    kept = next(inventory(bucket, key), None)
    if kept is None or kept.record is None:
        return now - reserved < _BEGINS_FOR
    try:
        snapshot = Records(bucket).read(f"{home_of(key)}record")
    except (TypeError, ValueError):
        return False
    if snapshot is None or snapshot.state.record.published is not None:
        return False
    return snapshot.state.record.name == name and now - kept.touched < HELD_FOR
