"""One upload in the files of a :class:`~resumable.receiver.files.FileStore`.

In its directory are

``record``
    what the first request said, as JSON, and later the name that the file was published under: the tombstone
``part``
    the bytes, each chunk written straight to its place
``chunks``
    a byte per chunk, set after the chunk is written, behind eight bytes with a number below which all are set
``claim-…``
    while somebody sends this chunk, or publishes: a file that is locked, and belongs to nobody when it is not
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING

from .messages import Refusal
from .names import numbered
from .store import UploadRecord

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FilePolicy", "FileUpload", "lay_out"]

_HEAD = 8
_BLOCK = 4096


@dataclass(frozen=True)
class FilePolicy:
    """Where uploads are published, and how; see :class:`~resumable.receiver.files.FileStore`."""

    root: str
    fsync: str
    existing: str
    patience: float


def lay_out(directory: int, record: UploadRecord, *, durable: bool) -> None:
    """The empty directory holds an upload with no chunks afterwards."""
    os.close(_open("part", os.O_WRONLY | os.O_CREAT, directory, mode=0o666))
    chunks = _open("chunks", os.O_WRONLY | os.O_CREAT, directory)
    try:
        os.ftruncate(chunks, _HEAD + record.total_chunks)
        if durable:
            os.fsync(chunks)
    finally:
        os.close(chunks)
    _write_record(directory, record, durable=durable)


class FileUpload:
    """One request's hold on one upload: a :class:`~resumable.receiver.store.StoredUpload`.

    ``directory`` is the upload's, open and locked; leaving the ``with`` block closes it.
    """

    def __init__(self, policy: FilePolicy, directory: int) -> None:
        self._policy = policy
        self._directory = directory
        # Publishing writes the record before it removes this file: where it is missing, the record says published.
        self._chunks = _open_if_there("chunks", os.O_RDWR, directory)
        try:
            self.record = _read_record(directory)
            self._plan = self.record.plan
        except BaseException:
            self._close_chunks()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_chunks()
        os.close(self._directory)

    def _close_chunks(self) -> None:
        if self._chunks is not None:
            os.close(self._chunks)

    def has(self, index: int) -> bool:
        """See :meth:`StoredUpload.has`."""
        return self._chunks is None or os.pread(self._chunks, 1, _HEAD + index) == b"\1"

    def ranges(self) -> Iterator[tuple[int, int]]:
        """See :meth:`StoredUpload.ranges`. Reads the byte of every chunk at once."""
        if self._chunks is None:
            yield 0, self._plan.count
            return
        stored = os.pread(self._chunks, self._plan.count, _HEAD)
        stop = 0
        while (start := stored.find(b"\1", stop)) >= 0:
            stop = stored.find(b"\0", start)
            if stop < 0:
                stop = self._plan.count
            yield start, stop

    def complete(self) -> bool:
        """See :meth:`StoredUpload.complete`. Costs the same for any number of chunks.

        The first eight bytes of the file are a place below which everything is stored. Bytes are set and never
        cleared, so a place that was true once stays true, and it does not matter who writes it last.
        """
        if self._chunks is None:
            return True
        place = known = int.from_bytes(os.pread(self._chunks, _HEAD, 0), "little")
        while place < self._plan.count:
            block = os.pread(self._chunks, _BLOCK, _HEAD + place)
            if b"\0" in block:
                break
            place += len(block)
        if place > known:
            os.pwrite(self._chunks, place.to_bytes(_HEAD, "little"), 0)
        return place >= self._plan.count

    def receive(self, index: int, pieces: Iterator[bytes]) -> bool:
        """See :meth:`StoredUpload.receive`. The pieces go to their place as they come."""
        with self._claim(f"chunk-{index}", f"chunk {index + 1}"):
            if self.has(index):
                self._compare(index, pieces)
                return False
            assert self._chunks is not None
            part = _open("part", os.O_WRONLY, self._directory)
            try:
                for offset, piece in self._placed(index, pieces):
                    written = os.pwrite(part, piece, offset)
                    while written < len(piece):
                        written += os.pwrite(part, piece[written:], offset + written)
                if self._policy.fsync == "always":
                    os.fsync(part)
            finally:
                os.close(part)
            os.pwrite(self._chunks, b"\1", _HEAD + index)
            if self._policy.fsync == "always":
                os.fsync(self._chunks)
            return True

    def _placed(self, index: int, pieces: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
        """Each piece with its offset in the file; they are as long as the chunk when they end."""
        start, end = self._plan.span(index)
        offset = start
        for piece in pieces:
            if offset + len(piece) > end:
                raise Refusal(400, f"Chunk {index + 1} is longer than its {end - start} bytes.")
            yield offset, piece
            offset += len(piece)
        if offset < end:
            raise Refusal(400, f"Chunk {index + 1} has {offset - start} bytes instead of {end - start}.")

    def _compare(self, index: int, pieces: Iterator[bytes]) -> None:
        part = _open_if_there("part", os.O_RDONLY, self._directory)
        try:
            for offset, piece in self._placed(index, pieces):
                if part is not None and os.pread(part, len(piece), offset) != piece:
                    raise Refusal(409, f"Chunk {index + 1} is stored already, with other bytes: did the file change?")
        finally:
            if part is not None:
                os.close(part)

    def publish(self) -> UploadRecord | None:
        """See :meth:`StoredUpload.publish`. The bytes are not copied: the part file gets its name as a second link."""
        with self._claim("publish", "the end"):
            record = _read_record(self._directory)
            if record.published is not None:
                return None
            durable = self._policy.fsync != "never"
            part = _open("part", os.O_RDONLY, self._directory)
            try:
                if os.fstat(part).st_size != record.total_size:
                    raise OSError(errno.EIO, "the part file has not the size of the upload")
                if durable:
                    os.fsync(part)
                name = self._link(part, record.name, durable)
            finally:
                os.close(part)
            published = dataclasses.replace(record, published=name)
            _write_record(self._directory, published, durable=durable)
            for done in ("chunks", "part"):
                os.unlink(done, dir_fd=self._directory)
            return published

    def _link(self, part: int, name: str, durable: bool) -> str:
        *parents, leaf = name.split("/")
        directory = os.open(self._policy.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for parent in parents:
                above, directory = directory, _enter(directory, parent)
                if durable:
                    os.fsync(above)
                os.close(above)
            for number in count():
                candidate = numbered(leaf, number) if number else leaf
                try:
                    os.link("part", candidate, src_dir_fd=self._directory, dst_dir_fd=directory)
                    break
                except FileExistsError:
                    # A process that died after this very link has left it; the file is one, under both names.
                    if os.path.samestat(os.fstat(part), os.stat(candidate, dir_fd=directory, follow_symlinks=False)):
                        break
                    if self._policy.existing == "refuse":
                        raise Refusal(409, "There is a file of this name already.") from None
            if durable:
                os.fsync(directory)
        finally:
            os.close(directory)
        return "/".join((*parents, candidate))

    @contextmanager
    def _claim(self, name: str, what: str) -> Iterator[None]:
        """Alone with this name among all threads and processes. Raises Refusal (503) after the store's patience."""
        deadline = time.monotonic() + self._policy.patience
        pause = 0.001
        while (claim := _try_claim(f"claim-{name}", self._directory)) is None:
            if time.monotonic() > deadline:
                sentence = f"Another request is sending {what} of this upload; try again."
                raise Refusal(503, sentence, ("Retry-After", "1"))
            threading.Event().wait(pause)
            pause = min(2 * pause, 0.05)
        try:
            yield
        finally:
            os.unlink(f"claim-{name}", dir_fd=self._directory)
            os.close(claim)


def _try_claim(name: str, directory: int) -> int | None:
    """The file of this name, locked, None where another has it. Whoever has it removes it before letting go."""
    claim = _open(name, os.O_RDWR | os.O_CREAT, directory)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(claim).st_nlink:
            held, claim = claim, -1
            return held
    except BlockingIOError:
        pass
    finally:
        if claim >= 0:
            os.close(claim)
    return None


def _read_record(directory: int) -> UploadRecord:
    """The record in an upload's directory."""
    with open(_open("record", os.O_RDONLY, directory), encoding="utf-8") as file:
        return UploadRecord(**json.load(file))


def _write_record(directory: int, record: UploadRecord, *, durable: bool) -> None:
    """The directory has this record afterwards; at no moment has it half of it."""
    text = json.dumps(dataclasses.asdict(record))
    with open(_open("record-new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, directory), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    os.replace("record-new", "record", src_dir_fd=directory, dst_dir_fd=directory)
    if durable:
        os.fsync(directory)


def _open(name: str, flags: int, directory: int, mode: int = 0o600) -> int:
    return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=directory)


def _open_if_there(name: str, flags: int, directory: int) -> int | None:
    try:
        return _open(name, flags, directory)
    except FileNotFoundError:
        return None


def _enter(directory: int, name: str) -> int:
    """The directory of this name inside the open one, made where it is missing. Follows no link."""
    try:
        os.mkdir(name, dir_fd=directory)
    except FileExistsError:
        pass
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    except NotADirectoryError:
        raise Refusal(409, "A directory in the path of the file is a file here.") from None
