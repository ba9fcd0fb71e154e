"""The requests that the store sends: one method each, with the errors of boto3 translated."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from .body import StreamedBody
from .failures import Missing, PreconditionFailed, StoreFailure, damaged, refused, translate
from .key_locks import KeyLocks
from .silence import SILENT_AFTER, Silence

__all__ = ["Bucket", "ObjectFacts"]

_log = logging.getLogger(__name__)

_PAGE = 1000
_PIECE = 1 << 18


@dataclass(frozen=True)
class ObjectFacts:
    """What the store says about an object. ``modified`` is in seconds since the epoch, by the clock of the store."""

    key: str
    size: int
    etag: str
    modified: float
    metadata: dict[str, str] = field(default_factory=dict)


class Bucket:
    """The objects of a bucket below a prefix. Keys are relative to the prefix.

    ``connect()`` returns a boto3 client; it is called once in each process. ``conditions`` says whether the store
    knows ``If-None-Match`` and ``If-Match``, ``copies`` whether it copies objects as parts, ``tells_md5`` whether the
    ETag of an object that is written at once is its MD5, and ``logs`` whether failures are logged, and also requests
    that get no answer for ``silent_after`` seconds, while they wait. Every method raises
    what :func:`~resumable.receiver.s3.failures.translate` returns.
    """

    def __init__(
        self,
        name: str,
        prefix: str,
        connect: Callable[[], Any],
        *,
        conditions: bool = True,
        logs: bool = True,
        silent_after: float = SILENT_AFTER,
    ) -> None:
        self.name = name
        self.prefix = prefix
        self._conditions = conditions
        self._logs = logs
        self._silence = Silence(silent_after if logs else math.inf)
        self.copies = True
        self.tells_md5 = True
        self._writing = KeyLocks()
        self._connect = connect
        self._lock = threading.Lock()
        self._client: tuple[int, Any] | None = None
        self._ahead = time.time() - time.monotonic()

    @property
    def client(self) -> Any:
        """The client of this process: connections must not be shared with a forked child."""
        with self._lock:
            if self._client is None or self._client[0] != os.getpid():
                self._client = (os.getpid(), self._connect())
            return self._client[1]

    def now(self) -> float:
        """Return the time by the clock of the store, as its last answer said, also if that of this machine is set."""
        return time.monotonic() + self._ahead

    def get(self, key: str) -> tuple[bytes, ObjectFacts] | None:
        """Return a small object with its facts, None if there is none."""
        doing = f"read {key!r}"
        try:
            answer = self._call(doing, "get_object", Key=self.prefix + key)
        except Missing:
            return None
        return b"".join(self._read(answer["Body"], doing)), _facts(key, answer)

    def pieces(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes ``[start, end)`` of an object. Raises :class:`Missing` if there is none."""
        if end is not None and start >= end:
            return
        doing = f"read {key!r}"
        ranged = {} if end is None else {"Range": f"bytes={start}-{end - 1}"}
        yield from self._read(self._call(doing, "get_object", Key=self.prefix + key, **ranged)["Body"], doing)

    def head(self, key: str) -> ObjectFacts | None:
        """Return the facts of an object, None if there is none."""
        try:
            return _facts(key, self._call(f"look at {key!r}", "head_object", Key=self.prefix + key))
        except Missing:
            return None

    def put(
        self,
        key: str,
        body: bytes | StreamedBody,
        length: int,
        *,
        new: bool = False,
        etag: str | None = None,
        metadata: dict[str, str] | None = None,
    ) -> str:
        """Write an object and return its ETag. With ``new`` only if there is none, with ``etag`` only over that one.

        Raises :class:`PreconditionFailed` if that does not hold, and whatever the pieces of the body raise. If the
        store received other bytes, there is no such object afterwards.
        """
        options: dict[str, Any] = {"Metadata": metadata} if metadata else {}
        with self._condition(key, new=new, etag=etag) as condition:
            options |= condition
            try:
                written = self._send(f"write {key!r}", "put_object", body, length, Key=self.prefix + key, **options)
            except Missing:
                raise PreconditionFailed(key) from None
        if self._is_damaged(body, written):
            self.delete([key])
            raise self._logged(damaged(f"write {key!r} in {self.name!r}"))
        return written

    def delete(self, keys: list[str]) -> None:
        """Delete objects, whether they exist or not."""
        for start in range(0, len(keys), _PAGE):
            objects = [{"Key": self.prefix + key} for key in keys[start : start + _PAGE]]
            doing = f"delete {keys[start]!r}"
            if len(objects) == 1:
                self._call(doing, "delete_object", **objects[0])
                continue
            answer = self._call(doing, "delete_objects", Delete={"Objects": objects, "Quiet": True})
            for said in answer.get("Errors", ()):
                with suppress(Missing):
                    raise self._logged(refused(said, 0, f"{doing} and others in {self.name!r}"))

    def listed(self, prefix: str) -> Iterator[ObjectFacts]:
        """Yield the facts of all objects whose keys begin with ``prefix``, in the order of the keys."""
        options: dict[str, Any] = {}
        while True:
            page = self._call(f"list {prefix!r}", "list_objects_v2", Prefix=self.prefix + prefix, **options)
            for said in page.get("Contents", ()):
                key = said["Key"][len(self.prefix) :]
                yield ObjectFacts(key, said["Size"], said["ETag"], said["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            options = {"ContinuationToken": page["NextContinuationToken"]}

    def begin_multipart(self, key: str, metadata: dict[str, str]) -> str:
        """Begin a multipart upload, and return its id."""
        operation = "create_multipart_upload"
        return str(self._call(f"begin {key!r}", operation, Key=self.prefix + key, Metadata=metadata)["UploadId"])

    def put_part(self, key: str, upload_id: str, number: int, body: StreamedBody, length: int) -> str:
        """Send a part, and return its ETag. Raises :class:`Missing` if the multipart upload has ended.

        If the store received other bytes, it ends, since others could take the part for a good one.
        """
        where = {"Key": self.prefix + key, "UploadId": upload_id, "PartNumber": number}
        doing = f"write part {number} of {key!r}"
        written = self._send(doing, "upload_part", body, length, **where)
        if self._is_damaged(body, written):
            self.abort(key, upload_id)
            raise self._logged(damaged(f"{doing} in {self.name!r}"))
        return written

    def copy_part(self, key: str, upload_id: str, number: int, source: str) -> str:
        """Have the store copy a whole object as a part, and return its ETag.

        Raises :class:`Missing` if the object does not exist, or if the multipart upload has ended.
        """
        answer = self._call(
            f"copy part {number} of {key!r}",
            "upload_part_copy",
            Key=self.prefix + key,
            UploadId=upload_id,
            PartNumber=number,
            CopySource={"Bucket": self.name, "Key": self.prefix + source},
        )
        # A store that does not know this header has written an empty part.
        return str(answer["CopyPartResult"].get("ETag", ""))

    def parts(self, key: str, upload_id: str) -> dict[int, ObjectFacts]:
        """Return the parts by their numbers. Raises :class:`Missing` if the multipart upload has ended."""
        found: dict[int, ObjectFacts] = {}
        where: dict[str, Any] = {"Key": self.prefix + key, "UploadId": upload_id}
        while True:
            page = self._call(f"list the parts of {key!r}", "list_parts", **where)
            for part in page.get("Parts", ()):
                found[part["PartNumber"]] = ObjectFacts(key, part["Size"], part["ETag"], 0.0)
            if not page.get("IsTruncated"):
                return found
            where["PartNumberMarker"] = page["NextPartNumberMarker"]

    def complete(self, key: str, upload_id: str, etags: list[str], *, new: bool) -> str:
        """Make an object of the parts, and return its ETag. With ``new`` only if there is none of this key.

        Raises :class:`PreconditionFailed` if that does not hold, :class:`Missing` if the multipart upload has ended.
        """
        parts = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]}
        with self._condition(key, new=new) as condition:
            options = {"Key": self.prefix + key, "UploadId": upload_id, "MultipartUpload": parts} | condition
            return str(self._call(f"complete {key!r}", "complete_multipart_upload", **options)["ETag"])

    def abort(self, key: str, upload_id: str) -> None:
        """End a multipart upload and remove its parts, if it has not ended."""
        with suppress(Missing):
            self._call(f"abort {key!r}", "abort_multipart_upload", Key=self.prefix + key, UploadId=upload_id)

    def multiparts(self) -> Iterator[tuple[str, str, float]]:
        """Yield key, id and beginning of all multipart uploads."""
        options: dict[str, Any] = {}
        while True:
            page = self._call("list multipart uploads", "list_multipart_uploads", Prefix=self.prefix, **options)
            for said in page.get("Uploads", ()):
                yield said["Key"][len(self.prefix) :], said["UploadId"], said["Initiated"].timestamp()
            if not page.get("IsTruncated"):
                return
            options = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    @contextmanager
    def _condition(self, key: str, *, new: bool, etag: str | None = None) -> Iterator[dict[str, Any]]:
        """Return the options of a request that writes under this condition.

        If the store does not know conditions, look at the object first, while no other thread writes it.
        """
        if self._conditions or not (new or etag):
            yield {"IfNoneMatch": "*"} if new else {} if etag is None else {"IfMatch": etag}
            return
        with self._writing.holding(key):
            found = self.head(key)
            if found is not None if new else (found is None or found.etag != etag):
                raise PreconditionFailed(key)
            yield {}

    def _send(self, doing: str, operation: str, body: bytes | StreamedBody, length: int, **arguments: Any) -> str:
        return str(self._call(doing, operation, Body=body, ContentLength=length, **arguments)["ETag"])

    def _is_damaged(self, body: bytes | StreamedBody, etag: str) -> bool:
        return self.tells_md5 and isinstance(body, StreamedBody) and body.drain() != etag.strip('"')

    def _call(self, doing: str, operation: str, **arguments: Any) -> Any:
        body = arguments.get("Body")
        with self._translated(doing, body), self._silence.noticed(doing, body):
            answer = getattr(self.client, operation)(Bucket=self.name, **arguments)
        said = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if said:
            self._ahead = parsedate_to_datetime(said).timestamp() - time.monotonic()
        return answer

    def _read(self, body: Any, doing: str) -> Iterator[bytes]:
        with closing(body), self._translated(doing):
            while piece := self._next(body, doing):
                yield piece

    def _next(self, body: Any, doing: str) -> bytes:
        with self._silence.noticed(doing):
            return bytes(body.read(_PIECE))

    @contextmanager
    def _translated(self, doing: str, body: Any = None) -> Iterator[None]:
        """Translate the errors of boto3 in a block, and no others. What the pieces of a body raised is raised again."""
        try:
            yield
        except Exception as error:
            if isinstance(body, StreamedBody) and body.error is not None:
                raise body.error from None
            own = type(error).__module__.partition(".")[0] not in ("boto3", "botocore", "urllib3")
            if own and not isinstance(error, RecursionError):
                raise
            raise self._logged(translate(error, f"{doing} in {self.name!r}")) from error

    def _logged(self, error: Exception) -> Exception:
        if isinstance(error, StoreFailure) and self._logs:
            _log.log(logging.WARNING if error.status == 503 else logging.ERROR, "%s", error.detail)
        return error


def _facts(key: str, answer: Any) -> ObjectFacts:
    modified = answer["LastModified"].timestamp()
    return ObjectFacts(key, answer["ContentLength"], answer["ETag"], modified, answer.get("Metadata", {}))
