"""Remember published objects, and find out whether they still exist."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from ..store.chunks import with_offsets
from ..store.record import UploadRecord
from ..store.refusals import cannot_check
from ..store.spool import Spool
from ..store.tombstone import REPEATED_FOR
from .body import new_digest
from .chunks import DIGEST_SIZE
from .failures import Missing, StoreFailure
from .layout import UPLOAD, digests_of
from .policy import ObjectPolicy
from .state import Snapshot

__all__ = ["ObjectTombstone"]


class ObjectTombstone:
    """A :class:`~resumable.receiver.store.base.PublishedUpload` on an object store.

    ``key`` and ``snapshot`` are those of its upload.
    """

    def __init__(self, policy: ObjectPolicy, key: str, snapshot: Snapshot) -> None:
        self._policy = policy
        self._bucket = policy.bucket
        self._snapshot = snapshot
        self._digests = digests_of(key, snapshot.state.generation)
        self._record = policy.located(snapshot.state.record)

    @property
    def record(self) -> UploadRecord:
        """See :attr:`PublishedUpload.record`."""
        return self._record

    def finished_by(self, session: str) -> bool:
        """See :meth:`PublishedUpload.finished_by`."""
        return session in self.record.sessions and self._age() <= REPEATED_FOR

    def counts_as_stored(self, *, collected: bool) -> bool:
        """See :meth:`PublishedUpload.counts_as_stored`. Asks for the facts of the object, and does not read it."""
        if self.record.forgotten:
            return False
        if self._policy.owns(self.record, collected=collected):
            return self._age() <= self._policy.forget_after
        try:
            found = self._bucket.head(self._name)
        except StoreFailure as error:
            raise cannot_check() from error
        if found is None:
            return False
        if found.etag == self._snapshot.state.etag:
            return True
        # Another upload of this receiver has replaced it, as it may: then the older one counts as stored, too.
        replaced = self._policy.existing == "replace" and UPLOAD in found.metadata
        return replaced and self._age() <= self._policy.forget_after

    def repeats(self, record: UploadRecord, index: int, pieces: Iterator[bytes]) -> Iterator[bytes] | None:
        """See :meth:`PublishedUpload.repeats`. A long chunk is kept in a temporary file without a name."""
        with Spool() as spool:
            digest = new_digest()
            for _, piece in with_offsets(record.plan, index, pieces):
                spool.write(piece)
                digest.update(piece)
            if self._has(record, index, digest.digest()):
                return None
            return spool.pieces()

    def has_chunk(self, index: int, digest: bytes) -> bool:
        """Return whether a chunk of the published file has this digest, as far as that is known."""
        start = DIGEST_SIZE * index
        with suppress(Missing):
            known = b"".join(self._bucket.pieces(self._digests, start, start + DIGEST_SIZE))
            return digest == (known if any(known) else self._read_digest(self.record, index))
        return False

    def _has(self, record: UploadRecord, index: int, digest: bytes) -> bool:
        try:
            found = self._bucket.head(self._name)
            if found is not None and found.etag == self._snapshot.state.etag:
                return self._read_digest(record, index) == digest
            return record.plan == self.record.plan and self.has_chunk(index, digest)
        except StoreFailure as error:
            raise cannot_check() from error

    def _read_digest(self, record: UploadRecord, index: int) -> bytes:
        digest = new_digest()
        with suppress(Missing):
            for piece in self._bucket.pieces(self._name, *record.plan.span(index)):
                digest.update(piece)
        return digest.digest()

    def _age(self) -> float:
        return self._bucket.now() - self._snapshot.modified

    @property
    def _name(self) -> str:
        return self.record.published or self.record.name
