"""One upload of a :class:`~resumable.receiver.store.files.FileStore`.

:mod:`~resumable.receiver.store.layout` describes the files in its directory.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .bitmap import ChunkBitmap
from .chunks import compare_chunk, write_chunk
from .layout import PAST, load_upload, remove_upload
from .locks import hold_lock
from .part import complete_digests, contents, touch
from .policy import FilePolicy
from .publication import is_published, publish_file
from .record import UploadRecord
from .record_file import read_kept, read_record, write_record
from .refusals import Discarded, other_hash
from .replacement import replacing
from .safe_files import (
    closing_fd,
    exists,
    open_directory,
    open_file,
    unlock_and_close,
)
from .tombstone import Tombstone

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FileUpload"]


class FileUpload:
    """A :class:`~resumable.receiver.store.base.StoredUpload` in the open and locked directory ``directory_fd``.

    Leaving the ``with`` block closes it. Raises what :func:`load_upload` raises.
    """

    def __init__(self, policy: FilePolicy, key: str, directory_fd: int) -> None:
        self._policy = policy
        self._key = key
        self._directory_fd = directory_fd
        self._closing: ExitStack | None = None
        record, self._bitmap = load_upload(directory_fd)
        self.record = policy.located(record)
        try:
            self._plan = self.record.plan
            if self._bitmap is not None and not self._bitmap.trusted():
                self._discard_unsynced(self._bitmap)
        except BaseException:
            self._close_bitmap()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._closing is not None:
            self._closing.close()
        self._close_bitmap()
        unlock_and_close(self._directory_fd)

    def _close_bitmap(self) -> None:
        if self._bitmap is not None:
            self._bitmap.close()

    def has(self, index: int) -> bool:
        """See :meth:`StoredUpload.has`."""
        return self._bitmap is None or self._bitmap.has(index)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """See :meth:`StoredUpload.ranges`."""
        return iter([(0, self._plan.count)]) if self._bitmap is None else self._bitmap.ranges()

    def stored(self) -> int:
        """See :meth:`StoredUpload.stored`. Takes constant time."""
        return self._plan.count if self._bitmap is None else self._bitmap.at_least()

    def complete(self) -> bool:
        """See :meth:`StoredUpload.complete`. Takes constant time."""
        return self._bitmap is None or self._bitmap.complete()

    def receive(self, index: int, pieces: Iterator[bytes]) -> bool:
        """See :meth:`StoredUpload.receive`. The pieces are written to their place as they arrive."""
        with self._hold_lock(f"chunk-{index}", f"sending chunk {index + 1} of"):
            if self._bitmap is None or self._bitmap.has(index):
                compare_chunk(self._directory_fd, self._plan, index, pieces)
                return False
            digest = write_chunk(self._policy, self._directory_fd, self._plan, index, pieces)
            self._bitmap.set(index, digest, synced=self._policy.chunks_synced)
            return True

    def set_file_sha256(self, sha256: str) -> None:
        """See :meth:`StoredUpload.set_file_sha256`."""
        if self.record.file_sha256 == sha256:
            return
        with self._finishing():
            kept = read_kept(self._directory_fd)
            record = kept.record
            if record.file_sha256 is not None and record.file_sha256 != sha256:
                raise other_hash(record.file_sha256, sha256)
            if record.file_sha256 is None and record.published is None:
                # Chunks that a sweep has put on the disk are lost without a record, so the new one must be whole there.
                said = replace(kept, record=replace(record, file_sha256=sha256))
                write_record(self._directory_fd, said, durable=self._policy.durable)

    def publish(self, verify: Callable[[UploadRecord, Iterator[bytes]], object] | None = None) -> UploadRecord | None:
        """See :meth:`StoredUpload.publish`. No bytes are copied: the name is a second link to the part file."""
        return self._publish(verify, lambda record: record)

    def publish_announced(
        self,
        verify: Callable[[UploadRecord, Iterator[bytes]], object] | None = None,
        *,
        collected: bool = False,
        session: str = "",
    ) -> UploadRecord | None:
        """See :meth:`QuickUpload.publish_announced`. The record is written once."""
        announced = partial(self._policy.announced, collected=collected, session=session)
        record = self._publish(verify, announced)
        return self.notify_once(collected=collected, session=session) if record is None else record

    def _publish(
        self,
        verify: Callable[[UploadRecord, Iterator[bytes]], object] | None,
        ended: Callable[[UploadRecord], UploadRecord],
    ) -> UploadRecord | None:
        """Publish the file, and save and return what ``ended`` makes of its record; None if it was published before."""
        with self._finishing():
            kept = read_kept(self._directory_fd)
            record = kept.record
            if record.published is not None or self._bitmap is None:
                return None
            if self._bitmap.stored()[0] < record.total_chunks:
                raise OSError(errno.EIO, "a chunk of the upload is missing")
            durable = self._policy.durable
            with closing_fd(open_file("part", os.O_RDONLY, self._directory_fd)) as part_fd:
                if os.fstat(part_fd).st_size != record.total_size:
                    raise OSError(errno.EIO, "the part file does not have the size of the upload")
                if verify is not None:
                    verify(record, contents(part_fd))
                complete_digests(part_fd, self._plan, self._bitmap)
                modified = touch(part_fd)
                if durable:
                    self._sync(part_fd, self._bitmap)
                name = self._give_name(record.name, part_fd)
            record = ended(replace(record, published=name))
            published = replace(kept, record=record, modified=modified)
            write_record(self._directory_fd, published, durable=durable, digests=self._bitmap.digests())
            self._remove_working_files(record)
            return self._policy.located(record)

    def _give_name(self, name: str, part_fd: int) -> str:
        policy = self._policy
        options: dict[str, Any] = {"existing": policy.existing, "durable": policy.durable}
        if policy.existing != "replace":
            return publish_file(policy.root, name, self._directory_fd, part_fd, **options)
        with self._state() as state_fd, replacing(policy, self._key, name, state_fd):
            return publish_file(policy.root, name, self._directory_fd, part_fd, **options)

    def notify_once(
        self,
        callback: Callable[[UploadRecord], Mapping[str, Any] | None] | None = None,
        *,
        collected: bool = False,
        session: str = "",
    ) -> UploadRecord | None:
        """See :meth:`StoredUpload.notify_once`."""
        with self._finishing():
            kept = read_kept(self._directory_fd)
            record = kept.record
            if record.published is None or record.announced:
                return None
            self._remove_working_files(record)
            result = None if callback is None else callback(self._policy.located(record))
            announced = self._policy.announced(record, collected=collected, session=session, result=result)
            write_record(self._directory_fd, replace(kept, record=announced), durable=self._policy.durable)
            return self._policy.located(announced)

    def published(self) -> Tombstone | None:
        """See :meth:`StoredUpload.published`."""
        if self.record.published is None:
            return None
        closing = self._closing = self._closing or ExitStack()
        try:
            root_fd = closing.enter_context(closing_fd(open_directory("../..", self._directory_fd)))
            record_fd = closing.enter_context(closing_fd(open_file("record", os.O_RDONLY, self._directory_fd)))
        except FileNotFoundError:
            raise Discarded from None
        return Tombstone(self._policy, root_fd, record_fd, self._finishing)

    def give_way(self) -> None:
        """See :meth:`StoredUpload.give_way`."""
        past = f"{PAST}{self._key}"
        with suppress(Discarded), self._finishing(), self._state() as state_fd:
            self._remove_working_files(read_record(self._directory_fd))
            with suppress(FileNotFoundError):
                os.unlink(past, dir_fd=state_fd)
            os.link("record", past, src_dir_fd=self._directory_fd, dst_dir_fd=state_fd, follow_symlinks=False)
            remove_upload(self._policy.quotas, self._key, state_fd, self._directory_fd)

    def forget(self, record: UploadRecord) -> bool:
        """See :meth:`Store.forget`."""
        with self._finishing():
            kept = read_kept(self._directory_fd)
            if kept.record.published is None or kept.record.published != record.published or kept.record.forgotten:
                return False
            forgotten = replace(kept, record=replace(kept.record, forgotten=True))
            write_record(self._directory_fd, forgotten, durable=self._policy.durable)
            return True

    def _remove_working_files(self, record: UploadRecord) -> None:
        """Remove the part file and the bitmap of a published upload. Another process may have died before it did so."""
        with suppress(FileNotFoundError):
            os.unlink("part", dir_fd=self._directory_fd)
        # Last: a sweep looks only at uploads that have a bitmap for what was left behind.
        if exists("chunks", self._directory_fd):
            with self._state() as state_fd, self._policy.quotas.ending(record, state_fd):
                os.unlink("chunks", dir_fd=self._directory_fd)

    def discard(self) -> None:
        """See :meth:`StoredUpload.discard`."""
        with self._finishing(), self._state() as state_fd:
            # Only the holder of this lock, or of an exclusive lock on the directory, may rename it.
            remove_upload(self._policy.quotas, self._key, state_fd, self._directory_fd)

    def recover(self) -> None:
        """Complete what a process that died left half done. With ``fsync="finish"`` put stored chunks on the disk.

        Raises :class:`Refusal` (503) if another request is finishing the upload.
        """
        if self._bitmap is None:
            return
        with self._hold_lock("end", "finishing", timeout=0.0):
            record = read_record(self._directory_fd)
            if record.published is not None:
                self._remove_working_files(record)
                return
            written = self._bitmap.unsynced()
            if self._policy.fsync != "finish" or not written:
                return
            for name in ("part", "record"):
                with closing_fd(open_file(name, os.O_RDONLY, self._directory_fd)) as fd:
                    self._sync(fd, self._bitmap)
            os.fsync(self._directory_fd)
            self._bitmap.confirm(written)

    def _sync(self, fd: int, bitmap: ChunkBitmap) -> None:
        """Put the file on the disk. If that fails, the system reports it only once and drops the bytes: so do we."""
        try:
            os.fsync(fd)
        except OSError:
            bitmap.discard_unsynced(whole=self._is_published())
            raise

    def _discard_unsynced(self, bitmap: ChunkBitmap) -> None:
        """Discard the chunks that may not have reached the disk before the machine restarted."""
        with self._finishing():
            # Another request may have done it while we waited.
            if not bitmap.trusted():
                bitmap.discard_unsynced(whole=self._is_published())

    def _is_published(self) -> bool:
        """Return whether the file already has its name, though the record does not say so. Then it is whole."""
        try:
            part = os.stat("part", dir_fd=self._directory_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return is_published(self._policy.root, self.record.name, part)

    @contextmanager
    def _finishing(self) -> Iterator[int]:
        with self._hold_lock("end", "finishing"):
            # An upload that is being removed can still be locked while its directory is emptied.
            if not exists("record", self._directory_fd):
                raise Discarded
            yield self._directory_fd

    def _hold_lock(self, name: str, doing: str, timeout: float | None = None) -> hold_lock:
        timeout = self._policy.patience if timeout is None else timeout
        return hold_lock(name, self._directory_fd, timeout=timeout, doing=doing)

    @contextmanager
    def _state(self) -> Iterator[int]:
        state_fd = self._policy.home.open()
        if state_fd is None:
            raise Discarded
        with closing_fd(state_fd):
            yield state_fd
