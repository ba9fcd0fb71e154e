"""Which upload a request is about: the key, what has to agree, and what is over."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from ..protocol.headers import CHUNK_SIZE_HEADER, SESSION_HEADER
from .messages import Refusal, Request
from .store.base import PublishedUpload, StoredUpload, UploadRecord

__all__ = ["Remembered", "check_frozen", "is_repeat", "key_of", "remembered", "session_of"]

_FROZEN = {
    "total_size": "a total size",
    "chunk_size": "a chunk size",
    "total_chunks": "a number of chunks",
    "file_name": "a file name",
    "relative_path": "a relative path",
}
_CUT = ("chunk_size", "total_chunks")
_SESSION = re.compile("[0-9a-f]{32}")


class Remembered(NamedTuple):
    """What an upload is for a request.

    ``over`` says that nothing can be added to it: it was published, and who wants to send it begins another one.
    ``past`` is the published file that counts as stored for this request, if there is one.
    """

    over: bool
    past: PublishedUpload | None


def key_of(record: UploadRecord) -> str:
    """Return the key of the upload in its store."""
    # With its length in front, no tenant can be made to look like another with a longer identifier.
    whole = f"{len(record.tenant)} {record.tenant}{record.identifier}"
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def session_of(request: Request) -> str:
    """Return the client's session that a request says it is part of; nothing if it does not say."""
    said = request.headers.get(SESSION_HEADER.lower(), "")
    return said if _SESSION.fullmatch(said) else ""


def check_frozen(known: UploadRecord, said: UploadRecord) -> None:
    """The request agrees with those before it. Raises :class:`Refusal` (409)."""
    for field, what in _FROZEN.items():
        if getattr(known, field) != getattr(said, field):
            began, now = getattr(known, field), getattr(said, field)
            headers = [(CHUNK_SIZE_HEADER, str(known.chunk_size))] if field in _CUT else []
            raise Refusal(409, f"This upload began with {what} of {began!r}, not {now!r}.", *headers)
    if known.file_sha256 and said.file_sha256 and known.file_sha256 != said.file_sha256:
        raise Refusal(409, f"This upload began with a SHA-256 of {known.file_sha256!r}, not {said.file_sha256!r}.")


def remembered(upload: StoredUpload, said: UploadRecord, session: str, *, collected: bool) -> Remembered:
    """Find out what an upload is for a request that says this of its file, in this session of a client.

    Raises what :meth:`PublishedUpload.stands` does.
    """
    past = upload.published()
    if past is None:
        return Remembered(False, None)
    if not past.record.announced:
        return Remembered(not past.stands(collected=collected), None)
    counts = is_repeat(past, said, session) or (_is_same_file(past.record, said) and past.stands(collected=collected))
    return Remembered(True, past if counts else None)


def is_repeat(past: PublishedUpload, said: UploadRecord, session: str) -> bool:
    """Return whether a request of a session may be a repeat: of one whose answer it has not got."""
    return bool(session) and _is_same_file(past.record, said) and past.finished_by(session)


def _is_same_file(known: UploadRecord, said: UploadRecord) -> bool:
    """Whether two requests mean one file, as far as they say; into which chunks they cut it does not matter."""
    hashes = {known.file_sha256, said.file_sha256} - {None}
    return len(hashes) < 2 and all(
        getattr(known, field) == getattr(said, field) for field in _FROZEN if field not in _CUT
    )
