"""Remove what nobody needs any more. Any number of servers may do so at the same time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from ..messages import Refusal
from ..store.record import UploadRecord
from ..store.refusals import Discarded
from ..store.tombstone import REPEATED_FOR
from .inventory import Kept, inventory
from .layout import NAMES, OPEN, PROBE, home_of
from .lease import Records
from .memory import Memory
from .policy import ObjectPolicy
from .state import Snapshot
from .upload import ObjectUpload

__all__ = ["ObjectSweep"]

_log = logging.getLogger(__name__)

# No request takes longer: what is older and belongs to no upload was left behind by a process that died.
_ABANDONED_AFTER = 86400.0


class ObjectSweep:
    """One sweep of a store. ``expired`` is called with the record of each unfinished upload after it was removed."""

    def __init__(
        self,
        policy: ObjectPolicy,
        memory: Memory,
        expired: Callable[[UploadRecord], object] | None,
    ) -> None:
        self._memory = memory
        self._policy = policy
        self._bucket = policy.bucket
        self._records = Records(policy.bucket)
        self._expired = expired
        self._known: set[str] = set()
        self.removed = 0

    def run(self) -> None:
        """Remove old uploads, and what processes that died have left. What cannot be removed is logged."""
        for kept in inventory(self._bucket):
            if kept.record is not None:
                self._known.add(kept.key)
            try:
                self._sweep(kept)
            except Discarded:
                continue  # by another server
            except Exception:
                _log.exception("cannot sweep %r", kept.key)
        self._sweep_markers()
        self._sweep_parts()

    def _sweep(self, kept: Kept) -> None:
        home, now = home_of(kept.key), self._bucket.now()
        if kept.past is not None and now - kept.past.modified > REPEATED_FOR:
            self._bucket.delete([kept.past.key])
        age = now - kept.touched
        if kept.record is None:
            if age > _ABANDONED_AFTER:
                self._delete_all(home)
            return
        kept_for = min(self._policy.stale_after, self._policy.forget_after)
        if age <= kept_for and not (kept.stored and age > _ABANDONED_AFTER):
            return
        try:
            snapshot = self._records.read(kept.record.key)
        except ValueError:
            _log.exception("removing upload %s, which is damaged", kept.key)
            self._delete_all(home)
            return
        if snapshot is not None:
            self._sweep_upload(kept, snapshot, age)

    def _sweep_upload(self, kept: Kept, snapshot: Snapshot, age: float) -> None:
        record = snapshot.state.record
        known = self._memory.learn(kept.key, snapshot)
        with ObjectUpload(self._policy, self._memory, kept.key, known) as upload, suppress(Refusal):
            if record.published is not None:
                if kept.stored:
                    upload.remove_chunks()
                if age > self._policy.forget_after:
                    upload.discard()
                    self._delete_all(home_of(kept.key))
                    self.removed += 1
            elif age > self._policy.stale_after:
                upload.discard()
                self.removed += 1
                self._notify(record)

    def _notify(self, record: UploadRecord) -> None:
        try:
            if self._expired is not None:
                self._expired(record)
        except Exception:
            _log.exception("a handler of upload_expired failed")

    def _sweep_markers(self) -> None:
        """Remove the markers of uploads that do not exist, old reservations, and what tries of the store have left."""
        now = self._bucket.now()
        gone = [
            facts.key
            for facts in self._bucket.listed(OPEN)
            if facts.key.rpartition("/")[2].partition(".")[0] not in self._known
            and now - facts.modified > _ABANDONED_AFTER
        ]
        gone += [facts.key for facts in self._bucket.listed(PROBE) if now - facts.modified > _ABANDONED_AFTER]
        # Whoever goes on with an upload that began so long ago may find its name taken at the end.
        longest = max(self._policy.stale_after, _ABANDONED_AFTER)
        gone += [facts.key for facts in self._bucket.listed(NAMES) if now - facts.modified > longest]
        self._bucket.delete(gone)

    def _sweep_parts(self) -> None:
        """Abort the multipart uploads that belong to no upload."""
        limit = max(self._policy.stale_after, _ABANDONED_AFTER)
        now = self._bucket.now()
        old = [(key, number) for key, number, began in self._bucket.multiparts() if now - began > limit]
        if not old:
            return
        used: set[str | None] = set()
        for key in self._known:
            with suppress(ValueError):
                snapshot = self._records.read(f"{home_of(key)}record")
                used.add(None if snapshot is None else snapshot.state.upload_id)
        for key, upload_id in old:
            if upload_id not in used:
                self._bucket.abort(key, upload_id)

    def _delete_all(self, prefix: str) -> None:
        past = f"{prefix}past"
        self._bucket.delete([facts.key for facts in self._bucket.listed(prefix) if facts.key != past])
