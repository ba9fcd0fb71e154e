"""The handles on the chunks of a file, each made when it is asked for."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, overload

from .core.states import ChunkState
from .dispatch.registry import ChunkRecord
from .events import chunk_event
from .subscription import Subscription

if TYPE_CHECKING:
    from .file import ResumableFile
    from .session import Resumable
    from .transport.base import Reply

__all__ = ["Chunks", "ResumableChunk"]

_STATUSES = {ChunkState.PENDING: "pending", ChunkState.DONE: "success", ChunkState.FAILED: "error"}
"""What resumable.js calls these states; the others are ``uploading``."""


class ResumableChunk:
    """One chunk of a file. ``index`` (and ``offset``, its resumable.js name) counts from 0, ``number`` from 1; the
    bytes are ``[start, end)`` of the file. Chunks are made when asked for and equal when they are the same chunk.

    If ``preprocess_file`` replaces the bytes of the file, ``start``, ``end`` and ``size`` are those of the new cut,
    and raise IndexError for a chunk that is not in it.
    """

    __slots__ = ("__weakref__", "_message", "_response", "file", "index")

    def __init__(self, file: ResumableFile, index: int) -> None:
        self.file = file
        self.index = index
        self._message = ""
        self._response: Reply | None = None

    @property
    def start(self) -> int:
        """The offset in the file at which the chunk begins."""
        return self.file._entry.plan.span(self.index)[0]

    @property
    def end(self) -> int:
        """The offset in the file at which the next chunk begins."""
        return self.file._entry.plan.span(self.index)[1]

    @property
    def offset(self) -> int:
        """The chunk's index, as resumable.js calls it."""
        return self.index

    @property
    def number(self) -> int:
        """The chunk's number as it is sent to servers: from 1."""
        return self.index + 1

    @property
    def size(self) -> int:
        """The size of the chunk in bytes."""
        start, end = self.file._entry.plan.span(self.index)
        return end - start

    @property
    def state(self) -> ChunkState:
        """The state of the chunk."""
        return self.file._chunk_state(self.index)[0]

    @property
    def retries(self) -> int:
        """How often an attempt at the chunk failed and another followed."""
        return self.file._chunk_state(self.index)[1]

    def read(self) -> bytes:
        """Read the bytes of the chunk from its source.

        Raises SourceError, also if the source was bytes or a stream and the file was removed or the session closed.
        """
        start, end = self.file._entry.plan.span(self.index)
        data = bytearray(end - start)
        with self.file._entry.source.open() as reader:
            reader.read_into(memoryview(data), start)
        return bytes(data)

    # -- as resumable.js has it ----------------------------------------------------------------------------------

    @property
    def file_obj(self) -> ResumableFile:
        """The file (resumable.js ``fileObj``)."""
        return self.file

    @property
    def resumable_obj(self) -> Resumable:
        """The session (resumable.js ``resumableObj``)."""
        return self.file.resumable_obj

    @property
    def start_byte(self) -> int:
        """Where the chunk begins in the file (resumable.js ``startByte``)."""
        return self.start

    @property
    def end_byte(self) -> int:
        """Where the next one begins (resumable.js ``endByte``)."""
        return self.end

    @property
    def loaded(self) -> int:
        """Bytes of the chunk that are confirmed, or that its current attempt has sent."""
        if self.state is ChunkState.DONE:
            return self.size
        return self.file._facts.bytes_sent(self.file._entry, self.index)

    @property
    def tested(self) -> bool:
        """Whether the server was asked if it has the chunk already."""
        file = self.file
        return file.resumable_obj.options.test_chunks and file._facts.is_tested(file._entry, self.index)

    def status(self) -> str:
        """Return ``pending``, ``uploading``, ``success`` or ``error``; :attr:`state` says more."""
        return _STATUSES.get(self.state, "uploading")

    def message(self) -> str:
        """Return the server's last answer about the chunk, if this handle existed when it came; else an empty text."""
        return self._message

    @property
    def response(self) -> Reply | None:
        """The server's last answer about the chunk, with ``status``, ``headers`` (their names are in lower case),
        ``text`` and ``json()``, if this handle existed when it came, as in handlers; else None."""
        return self._response

    def progress(self, relative: bool = False) -> float:
        """Return which part of the chunk is sent, 0 to 1; 1 only if the server has it, and 0 if it failed.

        ``relative``: as a part of the file instead.
        """
        state, size, total = self.state, self.size, self.file.size
        if state is ChunkState.DONE:
            done = 1.0
        else:
            sent = self.file._facts.bytes_sent(self.file._entry, self.index)
            done = 0.95 * sent / size if size else 0.0
        return done * (size / total if total else 1.0) if relative else done

    # -- events --------------------------------------------------------------------------------------------------

    @overload
    def on(self, event: str, handler: Callable[..., Any]) -> Subscription: ...

    @overload
    def on(self, event: str) -> Callable[[Callable[..., Any]], Subscription]: ...

    def on(self, event: str, handler: Callable[..., Any] | None = None) -> Any:
        """Call ``handler`` for ``chunk_success``, ``chunk_retry`` or ``chunk_error`` of this chunk, or short for
        ``success``, ``retry`` or ``error``. Without a handler, return a decorator.

        Raises UnknownEvent, also for an event that does not happen to chunks.
        """
        name = chunk_event(event)
        if handler is None:
            return lambda function: self.on(name, function)
        return self.file.resumable_obj.signals.on(name, handler, sender=self)

    def off(self, event: str, handler: Callable[..., Any]) -> None:
        """Stop calling ``handler`` for the event of this chunk."""
        self.file.resumable_obj.signals.off(chunk_event(event), handler, sender=self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResumableChunk) and (self.file, self.index) == (other.file, other.index)

    def __hash__(self) -> int:
        return hash((id(self.file), self.index))

    def __repr__(self) -> str:
        return f"<ResumableChunk {self.number} of {self.file.file_name!r}>"

    def __reduce__(self) -> Any:
        return ChunkRecord, (self.file._entry.record, self.number, self.start, self.end)


class Chunks(Sequence[ResumableChunk]):
    """The chunks of a file, made on demand."""

    def __init__(self, file: ResumableFile) -> None:
        self._file = file

    def __len__(self) -> int:
        return self._file._entry.plan.count

    @overload
    def __getitem__(self, index: int) -> ResumableChunk: ...

    @overload
    def __getitem__(self, index: slice) -> list[ResumableChunk]: ...

    def __getitem__(self, index: int | slice) -> ResumableChunk | list[ResumableChunk]:
        if isinstance(index, slice):
            return [self._file._chunk(position) for position in range(*index.indices(len(self)))]
        count, index = len(self), operator.index(index)
        if not -count <= index < count:
            raise IndexError(f"the file has {count} chunks")
        return self._file._chunk(index % count)
