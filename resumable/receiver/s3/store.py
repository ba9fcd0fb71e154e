"""Store uploads in a bucket of an S3-compatible object store, from any number of machines.

Nothing is kept on the machine or between two requests, and the machines say nothing to each other: what they have to
agree on, they agree on by requests that the store fulfils only under a condition (``If-None-Match``, ``If-Match``).
:mod:`~resumable.receiver.s3.layout` describes the objects.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, TypeAlias

from ...errors import OptionError
from ..messages import Refusal
from ..store.files import MOST_OPEN_UPLOADS
from ..store.quotas import TenantLimits
from ..store.record import UploadRecord, UploadStatus
from ..store.refusals import in_use
from .bucket import Bucket
from .composition import PartPlan
from .connection import connect
from .failures import PreconditionFailed, StoreFailure, unfit
from .inventory import inventory
from .layout import UPLOAD, home_of, mark_of
from .lease import Records
from .memory import Memory
from .policy import ObjectPolicy
from .probe import probe_within
from .publication import free_name
from .quotas import OpenUploads
from .reservation import reserving
from .state import UploadState
from .sweeping import ObjectSweep
from .tombstone import ObjectTombstone
from .upload import ObjectUpload

__all__ = ["PART_SIZE", "S3Store"]

_log = logging.getLogger(__name__)

_Listed: TypeAlias = tuple[float, str, tuple[tuple[str, tuple[int, int]], ...]]
"""When an upload was touched last, its key, and the number and the bytes of the chunks of each generation."""

PART_SIZE = 5 * 2**20
"""The least size in bytes that object stores take for a part of an object."""

_URL = re.compile("https?://[^/]")
_DAY = 86400.0
_PATIENCE = 8.0
_AT_ONCE = 8
_BEGINS_FOR = 1.0
_PAUSE = 0.05
_LONGEST_KEY = 1024
_ROOM_FOR_NUMBER = 16
_LARGEST_PART = 5 * 2**30


class S3Store:
    """Keeps uploads in a bucket, below ``prefix``: finished ones under their names, the others in ``.resumable/``.

    ``client`` is a boto3 client for S3; without one, a client with the credentials and the region of the environment
    is made for ``endpoint_url``, or for AWS.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        client: Any = None,
        endpoint_url: str | None = None,
        existing: str = "number",
        stale_after: float = 7 * _DAY,
        forget_after: float = 7 * _DAY,
        collected: bool | None = None,
        patience: float = 15.0,
        lease: float = 20.0,
        part_size: int = PART_SIZE,
        max_open_uploads: int | None = MOST_OPEN_UPLOADS,
        max_bytes: int | None = None,
        single_replica: bool = False,
    ) -> None:
        if not bucket:
            raise OptionError("bucket", bucket, "the name of a bucket")
        if endpoint_url is not None and not _URL.match(endpoint_url):
            raise OptionError("endpoint_url", endpoint_url, "a URL, such as https://objects.example.com")
        prefix = prefix.strip("/")
        self._client = client
        self._endpoint_url = endpoint_url
        self._single_replica = single_replica
        self._prepared = False
        where = (bucket, f"{prefix}/" if prefix else "")
        self._bucket = Bucket(*where, self._connect, conditions=not single_replica)
        self._probed = Bucket(*where, self._connect_briefly, logs=False)
        self._probed.tells_md5 = False  # which is found out
        self._records = Records(self._bucket)
        self._memory = Memory()
        self._open_uploads = OpenUploads(self._bucket, TenantLimits(max_open_uploads, max_bytes))
        self._policy = ObjectPolicy(
            existing=existing,
            stale_after=stale_after,
            forget_after=forget_after,
            collected=collected,
            patience=patience,
            bucket=self._bucket,
            lease=lease,
            part_size=part_size,
        )

    @property
    def stale_after(self) -> float:
        """After how many seconds without a change an unfinished upload may be removed."""
        return self._policy.stale_after

    def prepare(self, *, within: float = 14.0) -> None:
        """Prove with a tiny object that the store does what is needed, to notice errors before the first upload.

        Raises :class:`StoreFailure` if it does not, or if that is not clear ``within`` so many seconds; its ``detail``
        says what to do.
        """
        abilities = probe_within(self._probed, within)
        self._bucket.copies, self._bucket.tells_md5 = abilities.copies, abilities.tells_md5
        if abilities.late:
            raise unfit(
                f"{' and '.join(abilities.late)} of the object store do not show an object that was just written, so "
                "chunks would seem to be missing: use another object store"
            )
        if abilities.ignored and not self._single_replica:
            raise unfit(
                f"the object store ignores {', '.join(abilities.ignored)}, so servers that share it could replace each "
                "other's objects: use another object store, or say that this is the only server (single_replica=True, "
                "--single-replica)"
            )
        self._prepared = True

    def _ensure_prepared(self) -> None:
        """Prepare, unless that is done. Raises :class:`StoreFailure`, which is logged."""
        if not self._prepared:
            try:
                self.prepare()
            except StoreFailure as error:
                _log.error("%s", error.detail)
                raise

    def _connect(self) -> Any:
        return self._client or connect(self._endpoint_url)

    def _connect_briefly(self) -> Any:
        return self._client or connect(self._endpoint_url, patience=_PATIENCE, attempts=1)

    def open(self, key: str) -> ObjectUpload | None:
        """See :meth:`Store.open`. A record that is damaged is removed."""
        known = self._memory.recall(key)
        if known is not None:
            return ObjectUpload(self._policy, self._memory, key, known, recalled=True)
        name = f"{home_of(key)}record"
        try:
            snapshot = self._records.read(name)
        except ValueError:
            _log.exception("removing upload %s, whose record is damaged", key)
            self._bucket.delete([name])
            return None
        if snapshot is None:
            return None
        if snapshot.state.upload_id is not None:
            # Another process began it, and only this one is new.
            self._ensure_prepared()
        return ObjectUpload(self._policy, self._memory, key, self._memory.learn(key, snapshot))

    def create(self, key: str, record: UploadRecord) -> None:
        """See :meth:`Store.create`. Begins the multipart upload if the file needs one."""
        self._ensure_prepared()
        with self._memory.beginning(key):
            if self._memory.recall(key) is not None:
                return
            self._check(record)
            refuse = self._policy.existing == "refuse"
            with reserving(self._bucket, record.name, key) if refuse else nullcontext():
                self._create(key, record)

    def _create(self, key: str, record: UploadRecord) -> None:
        plan = PartPlan(record.plan, self._policy.part_size)
        if not self._open_uploads.begin(key, record, new=not self._single_replica) and self._is_begun_elsewhere(key):
            return
        generation, target, upload_id = secrets.token_hex(8), record.name, None
        if plan.count > 1 or record.total_size > self._policy.part_size:
            if self._policy.existing == "number":
                target = free_name(self._bucket, record.name)
            upload_id = self._bucket.begin_multipart(target, {UPLOAD: mark_of(key, generation)})
        state = UploadState(record, generation, target, upload_id)
        try:
            self._memory.learn(key, self._records.write(f"{home_of(key)}record", state))
        except PreconditionFailed:
            if upload_id is not None:
                self._bucket.abort(target, upload_id)
            self.open(key)  # so that requests that wait to begin it, too, know of it

    def _is_begun_elsewhere(self, key: str) -> bool:
        """Wait for the record of an upload that another server has just marked. Return False if none appears, because
        that server died or is slow: then both begin it, and the record decides."""
        deadline = time.monotonic() + min(self._policy.lease, _BEGINS_FOR)
        pause = _PAUSE
        while time.monotonic() < deadline:
            threading.Event().wait(pause)
            pause *= 2
            if self.open(key) is not None:
                return True
        return False

    def _check(self, record: UploadRecord) -> None:
        """Raise :class:`Refusal` if the store can never take the file."""
        if len((self._bucket.prefix + record.name).encode()) > _LONGEST_KEY - _ROOM_FOR_NUMBER:
            raise Refusal(400, "The path of the file is too long for the object store: use a shorter one.")
        plan = PartPlan(record.plan, self._policy.part_size)
        if max(plan.size(0), plan.size(plan.count - 1)) > _LARGEST_PART:
            sentence = f"The object store takes no part of more than {_LARGEST_PART} bytes: send smaller chunks."
            raise Refusal(413, sentence)

    @contextmanager
    def earlier(self, key: str) -> Iterator[ObjectTombstone | None]:
        """See :meth:`Store.earlier`."""
        known = self._memory.recall(key)
        if known is not None and known.has_past is False:
            yield None
            return
        snapshot = self._records.read(f"{home_of(key)}past")
        yield None if snapshot is None else ObjectTombstone(self._policy, key, snapshot)

    def forget(self, key: str, record: UploadRecord) -> bool:
        """See :meth:`Store.forget`."""
        upload = self.open(key)
        if upload is None:
            return False
        with upload:
            return upload.forget(record)

    def discard(self, key: str) -> UploadRecord | None:
        """See :meth:`Store.discard`. Of other servers, only a request that finishes the upload is known to be in it."""
        if self._memory.is_open(key):
            raise in_use()
        self._memory.forget(key)
        upload = self.open(key)
        if upload is None or upload.record.published is not None:
            return None
        with upload:
            upload.discard()
        return upload.record

    def uploads(self, tenant: str | None = None, limit: int | None = None) -> Iterator[UploadStatus]:
        """See :meth:`Store.uploads`. Lists all objects of the store, but reads only as many records as needed."""
        # Of many thousands, only what is needed is remembered.
        listed = ((kept.touched, kept.key, tuple(kept.stored.items())) for kept in inventory(self._bucket))
        newest = sorted(listed, reverse=True)
        found: list[UploadStatus] = []
        with ThreadPoolExecutor(_AT_ONCE, "resumable-records") as pool:
            for start in range(0, len(newest), _AT_ONCE):
                for status in pool.map(self._status, newest[start : start + _AT_ONCE]):
                    if status is not None and tenant in (None, status.record.tenant):
                        found.append(status)
                if limit is not None and len(found) >= limit:
                    break
        return iter(found[:limit])

    def _status(self, listed: _Listed) -> UploadStatus | None:
        """Return how far an upload is, None if it is gone or its record is damaged."""
        touched, key, stored = listed
        with suppress(ValueError, TypeError):
            snapshot = self._records.read(f"{home_of(key)}record")
            if snapshot is not None:
                record = self._policy.located(snapshot.state.record)
                if record.published is not None:
                    return UploadStatus(record, record.total_chunks, record.total_size, snapshot.modified)
                return UploadStatus(record, *dict(stored).get(snapshot.state.generation, (0, 0)), touched)
        return None

    def sweep(self, expired: Callable[[UploadRecord], object] | None = None) -> int:
        """See :meth:`Store.sweep`. Lists all objects of the store, and reads the records of the old ones."""
        sweep = ObjectSweep(self._policy, self._memory, expired)
        with suppress(StoreFailure):  # which was logged
            sweep.run()
        return sweep.removed
