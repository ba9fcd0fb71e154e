"""Find out which upload a request belongs to: its key, what has to agree, and what is over."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import NamedTuple

from ..protocol.headers import CHUNK_SIZE_HEADER, SESSION_HEADER
from .messages import Refusal, Request
from .store.base import PublishedUpload, StoredUpload
from .store.record import UploadRecord
from .store.refusals import other_hash

__all__ = ["Remembered", "check_frozen", "counted", "is_repeat", "key_for", "key_of", "remembered", "session_of"]

_FILE = {"total_size": "bytes", "file_name": "name", "relative_path": "path"}
_SESSION = re.compile("[0-9a-f]{32}")


class Remembered(NamedTuple):
    """What an upload is for a request.

    ``over`` says that nothing can be added to it: it was published, and sending the file again begins another one.
    ``past`` is the published file that counts as stored for this request, if there is one; without ``over`` the
    application has not been told of it yet.
    """

    over: bool
    past: PublishedUpload | None


def key_of(record: UploadRecord) -> str:
    """Return the key of the upload in its store."""
    return key_for(record.tenant, record.identifier)


@lru_cache(maxsize=256)
def key_for(tenant: str, identifier: str) -> str:
    """Return the key of the upload with this identifier of this tenant."""
    # With its length in front, no tenant can be made to look like another with a longer identifier.
    whole = f"{len(tenant)} {tenant}{identifier}"
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def session_of(request: Request) -> str:
    """Return the client's session that the request names; an empty string if it names none."""
    said = request.headers.get(SESSION_HEADER.lower(), "")
    return said if _SESSION.fullmatch(said) else ""


def check_frozen(known: UploadRecord, said: UploadRecord, *, cut: bool = True) -> None:
    """Check that the request agrees with the first one of its upload, with ``cut`` also in how it cuts the file.

    Raises :class:`Refusal` (409).
    """
    for field, what in _FILE.items():
        if getattr(known, field) != getattr(said, field):
            began, now = getattr(known, field), getattr(said, field)
            differs = f"{began} {what}, not {now}" if field == "total_size" else f"the {what} {began!r}, not {now!r}"
            raise Refusal(
                409,
                f"An unfinished upload with this identifier has {differs}: upload this file under another identifier.",
            )
    if cut and (known.chunk_size, known.total_chunks) != (said.chunk_size, said.total_chunks):
        raise Refusal(409, _other_cut(known, said), (CHUNK_SIZE_HEADER, str(known.chunk_size)))
    if known.file_sha256 and said.file_sha256 and known.file_sha256 != said.file_sha256:
        raise other_hash(known.file_sha256, said.file_sha256)


def _other_cut(known: UploadRecord, said: UploadRecord) -> str:
    """Return what a client that cuts the file into other chunks has to change."""
    size = known.chunk_size
    changes = [] if said.chunk_size == size else [f"chunk_size={size} (--chunk-size {size})"]
    if known.plan.force != said.plan.force:
        changes.append(
            "force_chunk_size=True (--force-chunk-size)"
            if known.plan.force
            else "force_chunk_size=False (no --force-chunk-size)"
        )
    return (
        f"An unfinished upload of this file has {known.total_chunks} chunks of {size} bytes, not {said.total_chunks} "
        f"of {said.chunk_size}: continue it with {' and '.join(changes)}."
    )


def remembered(upload: StoredUpload, said: UploadRecord, session: str, *, collected: bool) -> Remembered:
    """Return what an upload is for a request that describes its file like this, in this session of a client.

    Raises what :meth:`PublishedUpload.counts_as_stored` raises.
    """
    past = upload.published()
    return Remembered(False, None) if past is None else counted(past, said, session, collected=collected)


def counted(past: PublishedUpload, said: UploadRecord, session: str, *, collected: bool) -> Remembered:
    """Return what :func:`remembered` returns for a published upload."""
    same = _is_same_file(past.record, said)
    if not past.record.announced:
        stored = past.counts_as_stored(collected=collected)
        return Remembered(not stored, past if stored and same else None)
    stored = is_repeat(past, said, session) or (same and past.counts_as_stored(collected=collected))
    return Remembered(True, past if stored else None)


def is_repeat(past: PublishedUpload, said: UploadRecord, session: str) -> bool:
    """Return whether the request may repeat one whose answer was lost."""
    return bool(session) and _is_same_file(past.record, said) and past.finished_by(session)


def _is_same_file(known: UploadRecord, said: UploadRecord) -> bool:
    """Return whether two requests describe the same file, no matter how they cut it."""
    hashes = {known.file_sha256, said.file_sha256} - {None}
    return len(hashes) < 2 and all(getattr(known, field) == getattr(said, field) for field in _FILE)
