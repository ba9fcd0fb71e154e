"""Read and replace the record of an upload, and hold the right to finish it.

The record is the only object that ever changes, and only by a request with ``If-Match``: of two that change it at the
same time, one has to read it again. Who finishes an upload writes its own name into the record first, and again and
again while that takes long; a name that was not written for ``seconds`` is that of a process that died.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from ..messages import Refusal
from ..store.refusals import Discarded, still_busy
from .bucket import Bucket
from .failures import PreconditionFailed
from .state import Snapshot, UploadState

__all__ = ["Records", "UploadLease"]

_PAUSE = 0.05
_LONGEST_PAUSE = 0.25
_BEING_WRITTEN = (0.05, 0.2, 1.0)
"""Seconds before a record that cannot be understood is read again."""
_LEAST_RENEWAL = 0.25


class Records:
    """The record objects in a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def read(self, name: str) -> Snapshot | None:
        """Read a record, None if there is none. Raises ValueError if it is damaged.

        Some stores show half of an object that is being replaced, so it counts as damaged only if it stays so.
        """
        for pause in (*_BEING_WRITTEN, None):
            found = self._bucket.get(name)
            if found is None:
                break
            text, facts = found
            try:
                return Snapshot(UploadState.decoded(text), facts.etag, facts.modified)
            except ValueError:
                if pause is None:
                    raise
                threading.Event().wait(pause)
        return None

    def write(self, name: str, state: UploadState, etag: str | None = None) -> Snapshot:
        """Replace the record that has this ETag; create it if that is None.

        Raises :class:`PreconditionFailed` if there is another one.
        """
        text = state.encoded()
        etag = self._bucket.put(name, text, len(text), new=etag is None, etag=etag)
        return Snapshot(state, etag, self._bucket.now())


class UploadLease:
    """The right to finish one upload, which one request at a time has, on whatever machine.

    ``snapshot`` is what is known of the record. ``holder`` is the name of the request. A request waits up to
    ``patience`` seconds for another one. ``changed()`` is called when the record turns out to be another one.
    ``stale`` says that the snapshot is a memory, after which nothing is left undone.
    """

    def __init__(
        self,
        bucket: Bucket,
        name: str,
        snapshot: Snapshot,
        holder: str,
        *,
        seconds: float,
        patience: float,
        changed: Callable[[], object],
        stale: bool = False,
    ) -> None:
        self.snapshot = snapshot
        self._bucket = bucket
        self._records = Records(bucket)
        self._name = name
        self._holder = holder
        self._seconds = seconds
        self._patience = patience
        self._changed = changed
        self._stale = stale
        self._lock = threading.Lock()
        self._ended: threading.Event | None = None
        self.replaced = ""
        """The ETag of the record over which this request wrote that it has the right."""

    @property
    def state(self) -> UploadState:
        """What the record says, as far as it is known."""
        return self.snapshot.state

    @property
    def held(self) -> bool:
        """Whether this request has the right."""
        return self._ended is not None

    def reread(self) -> None:
        """Read the record again. Raises :class:`Discarded` if it is gone, or that of another upload."""
        self._changed()
        found = self._records.read(self._name)
        if found is None or found.state.generation != self.state.generation:
            raise Discarded
        self.snapshot = found
        self._stale = False

    @contextmanager
    def holding(self, needless: Callable[[UploadState], bool]) -> Iterator[bool]:
        """Acquire the right for a block, and give it back if the block raises."""
        held = self.acquire(needless)
        try:
            yield held
        except BaseException:
            with suppress(Refusal, PreconditionFailed):
                self.release()
            raise

    def acquire(self, needless: Callable[[UploadState], bool]) -> bool:
        """Get the right, unless the state says that it is ``needless``. Return whether this request has it.

        Raises :class:`Discarded`, and :class:`Refusal` (503) if another request has it for too long.
        """
        if self.held:
            return True

        def held(state: UploadState) -> UploadState | None:
            self.replaced = self.snapshot.etag
            return None if needless(state) else _held_by(state, self._holder)

        if not self.update(held):
            return False
        self._ended = threading.Event()
        threading.Thread(target=self._renew, args=(self._ended,), name="resumable-lease", daemon=True).start()
        return True

    def update(self, change: Callable[[UploadState], UploadState | None]) -> bool:
        """Replace the record by what ``change`` makes of it, as soon as nobody else finishes the upload.

        Return False if ``change`` returns None. Raises what :meth:`acquire` raises.
        """
        deadline = time.monotonic() + self._patience
        pause = _PAUSE
        while True:
            changed = change(self.state)
            if changed is None:
                if not self._stale:
                    return False
                self.reread()
                continue
            if not self._is_taken():
                try:
                    self._write(changed)
                    return True
                except PreconditionFailed:
                    pass
            if time.monotonic() >= deadline:
                raise still_busy("finishing")
            threading.Event().wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            self.reread()

    def write(self, state: UploadState) -> None:
        """Replace the record while this request has the right. Raises :class:`Refusal` (503) if it has lost it."""
        try:
            self._write(_held_by(state, self._holder))
        except PreconditionFailed:
            self.abandon()
            raise _lost() from None

    def check(self) -> None:
        """Ask the store whether this request still has the right. Raises :class:`Refusal` (503) if it has lost it."""
        with self._lock:
            found = self._records.read(self._name)
            lost = found is None or found.etag != self.snapshot.etag
        if lost:
            self.abandon()
            raise _lost()

    def release(self, state: UploadState | None = None) -> None:
        """Give the right back, and replace the record by ``state`` in the same request."""
        if self.held:
            self.abandon()
            try:
                self._write(_held_by(state or self.state, ""))
            except PreconditionFailed:
                raise _lost() from None

    def abandon(self) -> None:
        """Stop renewing the right, for example because the record is gone."""
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    def _is_taken(self) -> bool:
        if self.state.holder in ("", self._holder):
            return False
        return self._bucket.now() - self.snapshot.modified < self._seconds

    def _write(self, state: UploadState) -> None:
        with self._lock:
            self.snapshot = self._records.write(self._name, state, self.snapshot.etag)
        self._changed()

    def _renew(self, ended: threading.Event) -> None:
        """Write the record again and again, so that others see that this request lives."""
        while not ended.wait(max(self._seconds / 4, _LEAST_RENEWAL)):
            try:
                with self._lock:
                    if not ended.is_set():
                        self.snapshot = self._records.write(self._name, self.state, self.snapshot.etag)
            except PreconditionFailed:
                return
            except Refusal:
                continue  # logged; perhaps the next one succeeds in time


def _held_by(state: UploadState, holder: str) -> UploadState:
    return replace(state, holder=holder)


def _lost() -> Refusal:
    return Refusal(503, "Another server has taken over this upload: try again.", ("Retry-After", "1"))
