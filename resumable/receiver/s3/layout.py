"""The objects of a store below its prefix, beside the published ones.

``.resumable/<key>/record``
    The record of an upload. It is created once, and replaced only if nobody else has replaced it in the meantime.
``.resumable/<key>/c/<generation>/<index>``
    A stored chunk. It is never replaced. The generation is that of the record: what an old request of an upload that
    was removed still writes is no chunk of the next one.
``.resumable/<key>/d/<generation>``
    The digests of the chunks of a published upload.
``.resumable/<key>/past``
    The record of the published upload that had the key before.
``.resumable/open/<tenant>/<key>.<bytes>``
    An empty object for each unfinished upload: listing them is what counts for the limits of a tenant.
``.resumable/names/<digest>``
    With ``existing="refuse"`` the key of the upload that a name is reserved for.
"""

from __future__ import annotations

import hashlib

from ..store.names import STATE_DIRECTORY

__all__ = [
    "NAMES",
    "OPEN",
    "PROBE",
    "STATE",
    "UPLOAD",
    "digests_of",
    "home_of",
    "mark_of",
    "open_marker",
    "open_markers",
    "reservation",
]

STATE = f"{STATE_DIRECTORY}/"
"""The prefix of all objects but the published ones."""

NAMES = f"{STATE}names/"
"""The prefix of the reservations of names."""

OPEN = f"{STATE}open/"
"""The prefix of the markers of unfinished uploads."""

PROBE = f"{STATE}probe/"
"""The prefix of the objects with which a server tries the store when it starts."""

UPLOAD = "resumable-upload"
"""The metadata of a published object that says which upload it is."""


def home_of(key: str) -> str:
    """Return the prefix of all objects of a key."""
    return f"{STATE}{key}/"


def digests_of(key: str, generation: str) -> str:
    """Return the key of the object with the digests of the chunks of a published upload."""
    return f"{home_of(key)}d/{generation}"


def mark_of(key: str, generation: str) -> str:
    """Return what the metadata ``resumable-upload`` of a published object says."""
    return f"{key}-{generation}"


def open_markers(tenant: str) -> str:
    """Return the prefix of the markers of a tenant's unfinished uploads."""
    return f"{OPEN}{hashlib.sha256(tenant.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}/"


def open_marker(tenant: str, key: str, size: int) -> str:
    """Return the key of the marker of an unfinished upload of ``size`` bytes."""
    return f"{open_markers(tenant)}{key}.{size}"


def reservation(name: str) -> str:
    """Return the key of the reservation of a name."""
    return f"{NAMES}{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"
