"""Find out whether an object store does what several servers need to share it, with a tiny object."""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any

from .body import StreamedBody
from .bucket import Bucket
from .failures import Missing, PreconditionFailed, StoreFailure, no_object_store, too_slow
from .layout import PROBE, UPLOAD

__all__ = ["Abilities", "probe", "probe_within"]

_MD5 = "c4ca4238a0b923820dcc509a6f75849b"
"""That of the first object."""

_OTHER = '"0123456789abcdef0123456789abcdef"'


@dataclass(frozen=True)
class Abilities:
    """What a store can do, in the words of S3.

    ``ignored`` is what it does not do although several servers need it, ``late`` what it does not show at once.
    """

    ignored: tuple[str, ...]
    late: tuple[str, ...]
    copies: bool
    tells_md5: bool


def probe_within(bucket: Bucket, seconds: float) -> Abilities:
    """Return what :func:`probe` returns. Raises :class:`StoreFailure` also if that takes longer."""
    found: Future[Abilities] = Future()
    threading.Thread(target=_probe_into, args=(found, bucket), name="resumable-probe", daemon=True).start()
    try:
        # An endpoint that sends a byte from time to time can make a single answer last for ever.
        return found.result(seconds)
    except FutureTimeout as error:
        raise too_slow(bucket.name, seconds) from error
    except (KeyError, Missing, PreconditionFailed) as error:
        raise no_object_store(bucket.name) from error


def _probe_into(found: Future[Abilities], bucket: Bucket) -> None:
    try:
        try:
            found.set_result(probe(bucket))
        except Missing:
            # Some stores do not say when a multipart upload began, so that the sweep of another server ended it.
            found.set_result(probe(bucket))
    except BaseException as error:
        found.set_exception(error)


def probe(bucket: Bucket) -> Abilities:
    """Try all that is needed with a tiny object. Raises :class:`StoreFailure` if the store cannot be used at all."""
    key = f"{PROBE}{secrets.token_hex(8)}"
    ignored: list[str] = []
    late: list[str] = []
    _write(bucket, key, b"1", new=True, metadata={UPLOAD: "probe"})
    try:
        found = bucket.head(key)
        if [facts.key for facts in bucket.listed(key)] != [key]:
            late.append("ListObjectsV2")
        if found is None:
            late.append("HeadObject")
        elif found.metadata.get(UPLOAD) != "probe":
            ignored.append("metadata of objects")
        tells_md5 = found is not None and found.etag.strip('"') == _MD5
        if not _refuses(bucket, key, new=True):
            ignored.append("If-None-Match of PutObject")
        if not _refuses(bucket, key, etag=_OTHER):
            ignored.append("If-Match of PutObject")
        elif (found := bucket.head(key)) is not None:
            _write(bucket, key, b"2", etag=found.etag)
        copies = _copies(bucket, key)
        upload_id = bucket.begin_multipart(key, {})
        part = bucket.put_part(key, upload_id, 1, StreamedBody(iter([b"3"])), 1)
        try:
            bucket.complete(key, upload_id, [part], new=True)
            ignored.append("If-None-Match of CompleteMultipartUpload")
        except PreconditionFailed:
            bucket.abort(key, upload_id)
    finally:
        # More than one, since that is another request, which not every store takes.
        bucket.delete([key, f"{key}-none"])
    return Abilities(tuple(ignored), tuple(late), copies, tells_md5)


def _write(bucket: Bucket, key: str, body: bytes, *, etag: str | None = None, **options: Any) -> None:
    try:
        bucket.put(key, body, len(body), etag=etag, **options)
    except PreconditionFailed:
        # boto3 repeats a request if the answer was lost, and then it is its own object that is in the way.
        found = bucket.head(key)
        if found is None or found.etag == etag:
            raise


def _refuses(bucket: Bucket, key: str, *, new: bool = False, etag: str | None = None) -> bool:
    try:
        bucket.put(key, b"0", 1, new=new, etag=etag)
    except PreconditionFailed:
        return True
    return False


def _copies(bucket: Bucket, key: str) -> bool:
    """Return whether the store copies an object as a part. Some write an empty part instead."""
    upload_id = bucket.begin_multipart(key, {})
    try:
        bucket.copy_part(key, upload_id, 1, key)
        return bucket.parts(key, upload_id)[1].size == 1
    except StoreFailure:
        return False
    finally:
        bucket.abort(key, upload_id)
