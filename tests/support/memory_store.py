"""A store in memory: what an application may write that keeps uploads elsewhere, with nothing but what is public.

It is for one process, keeps what it is told for ever, and publishes into ``files``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from resumable.receiver import Discarded, PublishedUpload, Refusal, StoredUpload, UploadRecord, UploadStatus

__all__ = ["MemoryStore"]

PATIENCE = 15.0


@dataclass
class Entry:
    """One upload."""

    record: UploadRecord
    chunks: dict[int, bytes] = field(default_factory=dict)
    users: int = 0
    gone: bool = False
    touched: float = field(default_factory=time.time)
    lock: threading.RLock = field(default_factory=threading.RLock)


class MemoryStore:
    """A :class:`~resumable.receiver.Store`."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._entries: dict[str, Entry] = {}
        self._earlier: dict[str, Entry] = {}
        self._lock = threading.Lock()

    def open(self, key: str) -> MemoryUpload | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            entry.users += 1
        return MemoryUpload(self, key, entry)

    def create(self, key: str, record: UploadRecord) -> None:
        with self._lock:
            self._entries.setdefault(key, Entry(record))

    @contextmanager
    def earlier(self, key: str) -> Iterator[MemoryFile | None]:
        entry = self._earlier.get(key)
        yield None if entry is None else MemoryFile(self, entry)

    def forget(self, key: str, record: UploadRecord) -> bool:
        entry = self._entries.get(key)
        if entry is None or entry.record.published != record.published or entry.record.forgotten:
            return False
        entry.record = replace(entry.record, forgotten=True)
        return True

    def discard(self, key: str) -> UploadRecord | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.record.published is not None:
                return None
            if entry.users:
                raise Refusal(409, "Another request is in this upload.")
            entry.gone = True
            return self._entries.pop(key).record

    def uploads(self, tenant: str | None = None, limit: int | None = None) -> Iterator[UploadStatus]:
        newest = sorted(self._entries.values(), key=lambda entry: entry.touched, reverse=True)
        found = [_status(entry) for entry in newest if tenant in (None, entry.record.tenant)]
        return iter(found[:limit])

    def sweep(self, expired: Callable[[UploadRecord], object] | None = None) -> int:
        return 0

    def _give_way(self, key: str, entry: Entry) -> None:
        with self._lock:
            if self._entries.get(key) is entry:
                self._earlier[key] = self._entries.pop(key)


def _status(entry: Entry) -> UploadStatus:
    record = entry.record
    if record.published is not None:
        return UploadStatus(record, record.total_chunks, record.total_size, entry.touched)
    return UploadStatus(record, len(entry.chunks), sum(map(len, entry.chunks.values())), entry.touched)


class MemoryUpload:
    """A :class:`~resumable.receiver.StoredUpload`."""

    def __init__(self, store: MemoryStore, key: str, entry: Entry) -> None:
        self.record = entry.record
        self._store = store
        self._key = key
        self._entry = entry

    def __enter__(self) -> MemoryUpload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._store._lock:
            self._entry.users -= 1

    def has(self, index: int) -> bool:
        return self._entry.record.published is not None or index in self._entry.chunks

    def ranges(self) -> Iterator[tuple[int, int]]:
        return ((index, index + 1) for index in range(self.record.total_chunks) if self.has(index))

    def stored(self) -> int:
        return sum(self.has(index) for index in range(self.record.total_chunks))

    def complete(self) -> bool:
        return self.stored() == self.record.total_chunks

    def receive(self, index: int, pieces: Iterator[bytes]) -> bool:
        data = b"".join(pieces)
        start, end = self.record.plan.span(index)
        if len(data) != end - start:
            raise Refusal(400, "The length of the chunk is wrong.")
        with self._entry.lock:
            self._check()
            known = self._entry.chunks.setdefault(index, data)
            self._entry.touched = time.time()
            if known is data:
                return True
            if known != data:
                raise Refusal(409, "The chunk is stored with other bytes.")
            return False

    def set_file_sha256(self, sha256: str) -> None:
        with self._entry.lock:
            self._check()
            if self._entry.record.file_sha256 not in (None, sha256):
                raise Refusal(409, "The upload has another SHA-256.")
            self._entry.record = replace(self._entry.record, file_sha256=sha256)

    def publish(self, verify: Callable[[UploadRecord, Iterator[bytes]], object] | None = None) -> UploadRecord | None:
        entry = self._entry
        with entry.lock:
            self._check()
            if entry.record.published is not None:
                return None
            pieces = [entry.chunks[index] for index in range(entry.record.total_chunks)]
            if verify is not None:
                verify(entry.record, iter(pieces))
            name = entry.record.name
            while name in self._store.files:
                name += "~"
            self._store.files[name] = b"".join(pieces)
            entry.record = replace(entry.record, published=name, path=f"memory:{name}")
            return entry.record

    def notify_once(
        self,
        callback: Callable[[UploadRecord], Mapping[str, Any] | None] | None = None,
        *,
        collected: bool = False,
        session: str = "",
    ) -> UploadRecord | None:
        entry = self._entry
        with entry.lock:
            self._check()
            if entry.record.published is None or entry.record.announced:
                return None
            result = callback(entry.record) if callback is not None else None
            sessions = (*entry.record.sessions, session) if session else entry.record.sessions
            entry.record = replace(entry.record, announced=True, collected=collected, result=result, sessions=sessions)
            return entry.record

    def published(self) -> MemoryFile | None:
        return None if self.record.published is None else MemoryFile(self._store, self._entry)

    def give_way(self) -> None:
        self._store._give_way(self._key, self._entry)

    def discard(self) -> None:
        with self._entry.lock, self._store._lock:
            self._entry.gone = True
            if self._store._entries.get(self._key) is self._entry:
                del self._store._entries[self._key]

    def _check(self) -> None:
        if self._entry.gone:
            raise Discarded


class MemoryFile:
    """A :class:`~resumable.receiver.PublishedUpload`."""

    def __init__(self, store: MemoryStore, entry: Entry) -> None:
        self.record = entry.record
        self._store = store

    def finished_by(self, session: str) -> bool:
        return session in self.record.sessions

    def counts_as_stored(self, *, collected: bool) -> bool:
        if self.record.forgotten:
            return False
        return collected or bool(self.record.collected) or self.record.published in self._store.files

    def repeats(self, record: UploadRecord, index: int, pieces: Iterator[bytes]) -> Iterator[bytes] | None:
        data = b"".join(pieces)
        start, end = record.plan.span(index)
        if len(data) != end - start:
            raise Refusal(400, "The length of the chunk is wrong.")
        stored = self._store.files.get(self.record.published or "", b"")
        return None if stored[start:end] == data else iter([data])


def _check_types(store: MemoryStore, entry: Entry) -> None:
    """Nothing: a type checker sees here that these are what they claim to be."""
    upload: StoredUpload = MemoryUpload(store, "", entry)
    file: PublishedUpload = MemoryFile(store, entry)
    assert upload.record == file.record
