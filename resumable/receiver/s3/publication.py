"""Give a finished upload its name, at once and as a whole, and never over another object unless it may be replaced.

The record has each name before it is tried. So if a process dies, the next one finds the object that it published, and
does not publish a second one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeGuard

from ..messages import Refusal
from ..store.names import free_number, numbered
from ..store.refusals import name_taken
from .body import StreamedBody
from .bucket import Bucket, ObjectFacts
from .chunks import StoredChunks
from .composition import PartPlan, Parts
from .failures import Missing, PreconditionFailed
from .layout import UPLOAD
from .state import UploadState

__all__ = ["Publication", "free_name", "is_ours"]

_ATTEMPTS = 20
"""How often an object is published whose names others take, or whose parts they end, at the same moment."""


class Publication:
    """Publishes one upload. ``write(state)`` replaces its record; ``existing`` is what happens if a name is taken."""

    def __init__(
        self,
        bucket: Bucket,
        chunks: StoredChunks,
        plan: PartPlan,
        mark: str,
        existing: str,
        write: Callable[[UploadState], object],
    ) -> None:
        self._bucket = bucket
        self._chunks = chunks
        self._plan = plan
        self._mark = mark
        self._existing = existing
        self._write = write

    def publish(self, state: UploadState) -> UploadState:
        """Publish the object, and return the state with the ETag that it got.

        Raises :class:`Refusal` (409) if the name is taken and none may be added, and (503) if that changes whenever it
        is to be published; :class:`Missing` if a chunk is gone.
        """
        for _ in range(_ATTEMPTS):
            ended = False
            try:
                return replace(state, etag=self._make(state))
            except PreconditionFailed:
                pass
            except Missing:
                # The multipart upload has ended: a request completed it whose answer was lost, or it was aborted.
                ended = True
            found = self._bucket.head(state.target)
            if is_ours(found, self._mark):
                return replace(state, etag=found.etag)
            if ended:
                if state.upload_id is None or self._exists(state):
                    raise Missing
                state = self._begun(state, state.target)
            elif found is not None:
                state = self._elsewhere(state)
        leaf = state.target.rpartition("/")[2]
        raise Refusal(503, f"The store does not let {leaf!r} get its name: try again.", ("Retry-After", "1"))

    def _exists(self, state: UploadState) -> bool:
        """Return whether the multipart upload exists."""
        try:
            self._bucket.parts(state.target, state.upload_id or "")
        except Missing:
            return False
        return True

    def _make(self, state: UploadState) -> str:
        new = self._existing != "replace"
        if state.upload_id is None:
            size = self._plan.plan.size
            body = StreamedBody(self._chunks.recent_pieces(0, self._plan.plan.count)) if size else b""
            return self._bucket.put(state.target, body, size, new=new, metadata={UPLOAD: self._mark})
        parts = Parts(self._bucket, self._chunks, self._plan, state.target, state.upload_id)
        return self._bucket.complete(state.target, state.upload_id, parts.make_all(), new=new)

    def _elsewhere(self, state: UploadState) -> UploadState:
        """Choose the next free name, and write it into the record."""
        if self._existing == "refuse":
            raise name_taken(state.record.name)
        target = free_name(self._bucket, state.record.name)
        if state.upload_id is not None:
            self._bucket.abort(state.target, state.upload_id)
        return self._begun(state, target)

    def _begun(self, state: UploadState, target: str) -> UploadState:
        upload_id = state.upload_id and self._bucket.begin_multipart(target, {UPLOAD: self._mark})
        state = replace(state, target=target, upload_id=upload_id)
        self._write(state)
        return state


def is_ours(found: ObjectFacts | None, mark: str) -> TypeGuard[ObjectFacts]:
    """Return whether an object is the published one of the upload with this mark."""
    return found is not None and found.metadata.get(UPLOAD) == mark


def free_name(bucket: Bucket, name: str) -> str:
    """Return the name, or one with a number, that no object has."""
    folder, slash, leaf = name.rpartition("/")

    def candidate(number: int) -> str:
        return f"{folder}{slash}{numbered(leaf, number)}"

    if bucket.head(name) is None:
        return name
    return candidate(free_number(lambda number: bucket.head(candidate(number)) is not None))
