"""One upload of an :class:`~resumable.receiver.s3.store.S3Store`."""

from __future__ import annotations

import errno
import secrets
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..messages import Refusal
from ..store.record import UploadRecord
from ..store.refusals import Discarded, other_bytes, other_hash
from .chunks import ChunkList, StoredChunks
from .composition import PartPlan, Parts
from .failures import Missing
from .layout import digests_of, home_of, mark_of, open_marker
from .lease import UploadLease
from .memory import Memory, Remembrance
from .policy import ObjectPolicy
from .publication import Publication
from .reservation import release
from .state import UploadState
from .tombstone import ObjectTombstone

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ObjectUpload"]


class ObjectUpload:
    """A :class:`~resumable.receiver.store.base.StoredUpload` of which ``known`` is remembered.

    ``recalled`` says that the store was not asked for this request.
    """

    def __init__(
        self, policy: ObjectPolicy, memory: Memory, key: str, known: Remembrance, *, recalled: bool = False
    ) -> None:
        snapshot = known.snapshot
        self._memory = memory
        self._known = known
        self._recalled = recalled
        self._policy = policy
        self._bucket = policy.bucket
        self._key = key
        self._home = home_of(key)
        self.record = policy.located(snapshot.state.record)
        self._plan = PartPlan(self.record.plan, policy.part_size)
        again = self._plan.width > 1 or not self._bucket.copies
        recent = policy.recent if again else None
        self._chunks = StoredChunks(self._bucket, self._home, snapshot.state.generation, self._plan.plan, recent)
        self._lease = UploadLease(
            self._bucket,
            f"{self._home}record",
            snapshot,
            secrets.token_hex(8),
            seconds=policy.lease,
            patience=policy.patience,
            changed=lambda: memory.forget(key),
            stale=recalled,
        )
        self._list: ChunkList | None = None
        self._left_to_others = False

    def __enter__(self) -> Self:
        self._memory.enter(self._key)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.enter(self._key, -1)
        self._lease.release()

    def has(self, index: int) -> bool:
        """See :meth:`StoredUpload.has`."""
        return self._over() or self._listed().has(index)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """See :meth:`StoredUpload.ranges`."""
        return iter([(0, self._plan.plan.count)]) if self._over() else self._listed().ranges()

    def stored(self) -> int:
        """See :meth:`StoredUpload.stored`."""
        return self._plan.plan.count if self._over() else self._listed().count

    def complete(self) -> bool:
        """See :meth:`StoredUpload.complete`. False if another request that is receiving a chunk will see to the end."""
        return self._over() or (not self._left_to_others and self._listed().complete)

    def _over(self) -> bool:
        """Return whether the upload is published, as far as that is known."""
        return self._lease.state.record.published is not None

    def _listed(self) -> ChunkList:
        """Ask the store which chunks there are, once for each request."""
        if self._list is None:
            listed = self._ask()
            if listed.record_etag == self._lease.snapshot.etag:
                self._memory.learn(self._key, self._lease.snapshot)
            else:
                self._lease.reread()
            self._list = listed
        return self._list

    def _ask(self) -> ChunkList:
        """Ask the store which chunks there are, and add those that this process has stored: a list may come late."""
        listed = self._chunks.listed()
        with self._known.lock:
            if self._known.chunks is not None:
                listed.include(self._known.chunks)
            self._known.chunks, self._known.has_past = listed, listed.has_past
        return listed

    def receive(self, index: int, pieces: Iterator[bytes]) -> bool:
        """See :meth:`StoredUpload.receive`. The pieces go to the store as they arrive."""
        if self._over():
            return self._repeat(index, pieces)
        with self._known.lock:
            self._known.receiving += 1
        try:
            digest, new = self._chunks.store(index, pieces)
            if not new and not self._same(index, digest):
                raise other_bytes(index)
            self._note(index, digest)
        finally:
            with self._known.lock:
                self._known.receiving -= 1
                others = self._known.receiving > 0
        # If there are other requests here that are receiving a chunk, the last one finds out whether the file is whole.
        # If that one fails, nobody does; so this is done only for clients that ask again until they are told.
        if others and self._known.has_past is not None and self.record.sessions:
            self._list, self._left_to_others = self._known.chunks, True
            return new
        try:
            self._listed()
        except Discarded:
            self._bucket.delete([self._chunks.key(index)])
            if self._recalled:
                # Another upload may have begun, of which nothing was known here.
                raise Refusal(503, "The upload was removed: try again.", ("Retry-After", "1")) from None
            raise
        if self._over():
            # It was published while this chunk came, and the objects of its chunks are gone.
            self._bucket.delete([self._chunks.key(index)])
            if not self._past().has_chunk(index, bytes.fromhex(digest)):
                raise other_bytes(index)
            return False
        return new

    def _same(self, index: int, digest: str) -> bool:
        """Return whether the chunk that is stored, or was published in the meantime, has this digest."""
        same = self._chunks.has_digest(index, digest)
        if same is None:
            self._lease.reread()
            return self._over() and self._past().has_chunk(index, bytes.fromhex(digest))
        return same

    def _note(self, index: int, digest: str) -> None:
        """Note that a chunk is stored. Begin to make the part that it completes, so that less is left at the end."""
        part = self._plan.part_of(index)
        range_of_part = self._plan.chunks(part)
        start, end = self._plan.plan.span(index)
        with self._known.lock:
            chunks = self._known.chunks = self._known.chunks or ChunkList(self._plan.plan)
            whole = chunks.add(index, end - start, digest) and chunks.has(*range_of_part)
        state = self._lease.state
        if whole and state.upload_id is not None:
            parts = Parts(self._bucket, self._chunks, self._plan, state.target, state.upload_id)
            self._policy.background.run(state.upload_id, partial(parts.make, part))

    def _repeat(self, index: int, pieces: Iterator[bytes]) -> bool:
        if self._past().repeats(self.record, index, pieces) is not None:
            raise other_bytes(index)
        return False

    def set_file_sha256(self, sha256: str) -> None:
        """See :meth:`StoredUpload.set_file_sha256`."""
        if self.record.file_sha256 == sha256:
            return

        def said(state: UploadState) -> UploadState | None:
            known = state.record.file_sha256
            if known is not None and known != sha256:
                raise other_hash(known, sha256)
            if known is not None or state.record.published is not None:
                return None
            return replace(state, record=replace(state.record, file_sha256=sha256))

        self._lease.update(said)

    def publish(self, verify: Callable[[UploadRecord, Iterator[bytes]], object] | None = None) -> UploadRecord | None:
        """See :meth:`StoredUpload.publish`."""
        with self._lease.holding(lambda state: state.record.published is not None) as held:
            if not held:
                return None
            state = self._lease.state
            if state.upload_id is not None:
                # A part that is being made need not be made twice.
                self._policy.background.wait(state.upload_id, self._policy.patience)
            listed = self._list
            if listed is None or listed.record_etag != self._lease.replaced:
                # Otherwise nobody can have removed a chunk since this request asked.
                listed = self._ask()
            mark, existing = mark_of(self._key, state.generation), self._policy.existing
            publication = Publication(self._bucket, self._chunks, self._plan, mark, existing, self._lease.write)
            try:
                if not listed.complete:
                    raise Missing
                if verify is not None:
                    verify(state.record, self._chunks.pieces(0, self._plan.plan.count))
                digests, where = listed.digests, digests_of(self._key, state.generation)
                with ThreadPoolExecutor(1, "resumable-digests") as pool:
                    written = pool.submit(self._bucket.put, where, digests, len(digests))
                    state = publication.publish(state)
                written.result()
            except Missing:
                self._memory.forget(self._key)
                # Whoever takes over from a request that seems to have died removes the chunks when it has finished.
                self._lease.check()
                raise OSError(errno.EIO, "a chunk of the upload is missing") from None
            state = replace(state, record=replace(state.record, published=state.target), upload_id=None)
            self._lease.release(state)
            return self._policy.located(state.record)

    def notify_once(
        self,
        callback: Callable[[UploadRecord], Mapping[str, Any] | None] | None = None,
        *,
        collected: bool = False,
        session: str = "",
    ) -> UploadRecord | None:
        """See :meth:`StoredUpload.notify_once`."""
        with self._lease.holding(lambda state: state.record.published is None or state.record.announced) as held:
            if not held:
                return None
            self.remove_chunks()
            record = self._lease.state.record
            result = None if callback is None else callback(self._policy.located(record))
            announced = self._policy.announced(record, collected=collected, session=session, result=result)
            self._lease.release(replace(self._lease.state, record=announced))
            return self._policy.located(announced)

    def _past(self) -> ObjectTombstone:
        return ObjectTombstone(self._policy, self._key, self._lease.snapshot)

    def published(self) -> ObjectTombstone | None:
        """See :meth:`StoredUpload.published`."""
        return self._past() if self._over() else None

    def give_way(self) -> None:
        """See :meth:`StoredUpload.give_way`."""
        with suppress(Discarded), self._lease.holding(lambda state: state.record.published is None) as held:
            if held:
                self.remove_chunks()
                text = self._lease.state.encoded()
                self._bucket.put(f"{self._home}past", text, len(text))
                self._remove_record()

    def forget(self, record: UploadRecord) -> bool:
        """See :meth:`Store.forget`."""

        def forgotten(state: UploadState) -> UploadState | None:
            known = state.record
            if known.published is None or known.published != record.published or known.forgotten:
                return None
            return replace(state, record=replace(known, forgotten=True))

        return self._lease.update(forgotten)

    def discard(self) -> None:
        """See :meth:`StoredUpload.discard`."""
        with self._lease.holding(lambda state: False):
            state = self._lease.state
            self._remove_record()
            if self._policy.existing == "refuse":
                release(self._bucket, state.record.name, self._key)
            if state.upload_id is not None:
                # Some stores keep a part that arrives while its multipart upload is aborted.
                self._policy.background.wait(state.upload_id, self._policy.patience)
                self._bucket.abort(state.target, state.upload_id)
            self.remove_chunks()

    def remove_chunks(self) -> None:
        """Remove the objects of the chunks; the upload no longer counts as unfinished."""
        # In this order: if there are no chunks left, there is no marker either.
        marker = open_marker(self.record.tenant, self._key, self.record.total_size)
        self._bucket.delete([marker, *self._chunks.keys()])

    def _remove_record(self) -> None:
        """Remove the record, so that the next request with the key begins a new upload."""
        self._lease.abandon()
        self._bucket.delete([f"{self._home}record"])
        self._memory.forget(self._key)
