"""Where a receiver keeps what it gets.

A :class:`Store` is the little that the receiver asks for, so that another kind of storage can stand behind it.
:class:`FileStore` is the one that comes with it: a directory per upload, named by a hash, so that no path is ever
built from a client's text. In it are

``record``
    what the first request said, as JSON, and later the name that the file was published under: the tombstone
``part``
    the bytes, each chunk written straight to its place
``chunks``
    a byte per chunk, set after the chunk is written, behind eight bytes with a number below which all are set

It keeps nothing in memory between two requests, so that threads, processes and restarts are all one to it. The locks
are those of ``flock``, which the system drops when a process dies: a request holds the directory shared, whoever
wants to remove it exclusively; the sender of a chunk, and the one who publishes, hold a file of their own.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from ..errors import OptionError
from ..protocol.plan import ChunkPlan
from .messages import Refusal
from .names import STATE_DIRECTORY, numbered

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FileStore", "Store", "StoredUpload", "UploadRecord"]

_log = logging.getLogger(__name__)

_HEAD = 8
_BLOCK = 4096
_DAY = 86400.0


@dataclass(frozen=True)
class UploadRecord:
    """What is known of one upload; all but ``published`` is frozen by its first request. Sizes are bytes.

    ``name`` is the safe relative path to publish under, ``published`` the one it was published under, None before.
    """

    identifier: str
    file_name: str
    relative_path: str
    type: str
    total_size: int
    chunk_size: int
    total_chunks: int
    name: str
    tenant: str = ""
    published: str | None = None

    @property
    def plan(self) -> ChunkPlan:
        """The cut that these numbers say: resumable.js's default one, or the one of ``forceChunkSize``."""
        plan = ChunkPlan(self.total_size, self.chunk_size)
        return plan if plan.count == self.total_chunks else ChunkPlan(self.total_size, self.chunk_size, force=True)


class StoredUpload(Protocol):
    """One request's hold on one upload, to be used in a ``with`` block; it cannot be swept away meanwhile."""

    @property
    def record(self) -> UploadRecord:
        """What was known of the upload when it was opened."""

    def has(self, index: int) -> bool:
        """Whether the chunk is stored."""

    def ranges(self) -> Iterator[tuple[int, int]]:
        """The ranges ``[start, stop)`` of the stored chunks, ascending."""

    def complete(self) -> bool:
        """Whether all chunks are stored."""

    def receive(self, index: int, pieces: Iterator[bytes]) -> bool:
        """Store the chunk; True where it was not there before.

        It is stored when all pieces came and are as long as the plan says, and not at all else. A chunk that is there
        is compared. Raises :class:`Refusal`: 400 for another length, 409 for other bytes, 503 where another request
        that sends this chunk does not end; and whatever the pieces raise.
        """

    def publish(self) -> UploadRecord | None:
        """Publish the whole file under its name; None where that was done before.

        The name never exists with anything but the whole file under it, and nothing is overwritten.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Store(Protocol):
    """What the receiver asks of a storage. ``key`` is 40 hexadecimal digits. All may raise OSError."""

    def open(self, key: str) -> StoredUpload | None:
        """The upload of this key, None where there is none."""

    def create(self, key: str, record: UploadRecord) -> None:
        """There is an upload of this key afterwards: with this record, or the one of whoever came first."""

    def sweep(self) -> int:
        """Remove what nobody has touched for long, and say how many uploads that were. Never touches a live one."""


class FileStore:
    """Uploads in the directory ``root``: finished ones under their names, the others in ``root/.resumable``.

    ``fsync`` is ``"always"`` (an acknowledged chunk outlives a power failure), ``"finish"`` (a published file does; a
    chunk acknowledged in the last half minute before the failure may not) or ``"never"``. ``existing`` says what
    happens when the name is taken: ``"number"`` publishes as ``name (1)``, ``"refuse"`` answers 409.
    ``stale_after`` and ``forget_after`` are the seconds after which an unfinished upload, and the memory of a finished
    one, may be swept. A request waits up to ``patience`` seconds for another that sends the same chunk.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        fsync: str = "finish",
        existing: str = "number",
        stale_after: float = 7 * _DAY,
        forget_after: float = 7 * _DAY,
        patience: float = 15.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for option, value, allowed in (
            ("fsync", fsync, ("always", "finish", "never")),
            ("existing", existing, ("number", "refuse")),
        ):
            if value not in allowed:
                raise OptionError(option, value, "one of " + ", ".join(map(repr, allowed)))
        self.root = os.path.abspath(os.fspath(root))
        self.fsync = fsync
        self.existing = existing
        self.stale_after = stale_after
        self.forget_after = forget_after
        self.patience = patience
        self._clock = clock
        self._state = os.path.join(self.root, STATE_DIRECTORY)

    def open(self, key: str) -> FileUpload | None:
        """See :meth:`Store.open`."""
        directory = self._hold(key, fcntl.LOCK_SH)
        if directory is None:
            return None
        try:
            return FileUpload(self, directory)
        except BaseException:
            os.close(directory)
            raise

    def create(self, key: str, record: UploadRecord) -> None:
        """See :meth:`Store.create`. The upload appears with all its files at once."""
        os.makedirs(self._state, mode=0o700, exist_ok=True)
        new = os.path.join(self._state, f"new-{secrets.token_hex(8)}")
        os.mkdir(new, 0o700)
        directory = os.open(new, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.close(_open("part", os.O_WRONLY | os.O_CREAT, directory, mode=0o666))
            chunks = _open("chunks", os.O_WRONLY | os.O_CREAT, directory)
            try:
                os.ftruncate(chunks, _HEAD + record.total_chunks)
                if self.fsync == "always":
                    os.fsync(chunks)
            finally:
                os.close(chunks)
            write_record(directory, record, durable=self.fsync == "always")
            try:
                os.rename(new, os.path.join(self._state, key))
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                shutil.rmtree(new, ignore_errors=True)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        finally:
            os.close(directory)
        if self.fsync == "always":
            _sync_directory(self._state)

    def sweep(self) -> int:
        """See :meth:`Store.sweep`. Also removes what creating and sweeping left behind when a process died."""
        removed = 0
        try:
            names = os.listdir(self._state)
        except FileNotFoundError:
            return 0
        for name in names:
            try:
                if not name.startswith(("new-", "old-")):
                    removed += self._remove_if_old(name)
                elif self._age(os.path.join(self._state, name)) > self.stale_after:
                    shutil.rmtree(os.path.join(self._state, name), ignore_errors=True)
            except OSError:
                _log.exception("cannot sweep %r", name)
        return removed

    def _remove_if_old(self, name: str) -> bool:
        directory = self._hold(name, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if directory is None:
            return False
        try:
            path = os.path.join(self._state, name)
            finished = not os.path.exists(os.path.join(path, "chunks"))
            age = self._age(os.path.join(path, "record" if finished else "chunks"))
            if age <= (self.forget_after if finished else self.stale_after):
                return False
            old = os.path.join(self._state, f"old-{secrets.token_hex(8)}")
            os.rename(path, old)
            shutil.rmtree(old, ignore_errors=True)
            return True
        finally:
            os.close(directory)

    def _age(self, path: str) -> float:
        try:
            return self._clock() - os.stat(path).st_mtime
        except FileNotFoundError:
            return 0.0

    def _hold(self, key: str, operation: int) -> int | None:
        """The upload's directory, open and locked, None where there is none or, with LOCK_NB, where it is in use."""
        path = os.path.join(self._state, key)
        while True:
            try:
                directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except FileNotFoundError:
                return None
            try:
                fcntl.flock(directory, operation)
                # Whoever removed it held it too, so it may have gone while we waited.
                if os.path.samestat(os.fstat(directory), os.stat(path, follow_symlinks=False)):
                    held, directory = directory, -1
                    return held
            except FileNotFoundError:
                pass
            except BlockingIOError:
                return None
            finally:
                if directory >= 0:
                    os.close(directory)


class FileUpload:
    """One request's hold on one upload of a :class:`FileStore`: a :class:`StoredUpload`."""

    def __init__(self, store: FileStore, directory: int) -> None:
        self._store = store
        self._directory = directory
        # Publishing writes the record before it removes this file: where it is missing, the record says published.
        self._chunks = _open_if_there("chunks", os.O_RDWR, directory)
        try:
            self.record = read_record(directory)
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
                if self._store.fsync == "always":
                    os.fsync(part)
            finally:
                os.close(part)
            os.pwrite(self._chunks, b"\1", _HEAD + index)
            if self._store.fsync == "always":
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
            record = read_record(self._directory)
            if record.published is not None:
                return None
            durable = self._store.fsync != "never"
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
            write_record(self._directory, published, durable=durable)
            for done in ("chunks", "part"):
                os.unlink(done, dir_fd=self._directory)
            return published

    def _link(self, part: int, name: str, durable: bool) -> str:
        *parents, leaf = name.split("/")
        directory = os.open(self._store.root, os.O_RDONLY | os.O_DIRECTORY)
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
                    if self._store.existing == "refuse":
                        raise Refusal(409, "There is a file of this name already.") from None
            if durable:
                os.fsync(directory)
        finally:
            os.close(directory)
        return "/".join((*parents, candidate))

    @contextmanager
    def _claim(self, name: str, what: str) -> Iterator[None]:
        """Alone with this name among all threads and processes. Raises Refusal (503) after the store's patience."""
        deadline = time.monotonic() + self._store.patience
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


def read_record(directory: int) -> UploadRecord:
    """The record in an upload's directory."""
    with open(_open("record", os.O_RDONLY, directory), encoding="utf-8") as file:
        return UploadRecord(**json.load(file))


def write_record(directory: int, record: UploadRecord, *, durable: bool) -> None:
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


def _sync_directory(path: str) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
