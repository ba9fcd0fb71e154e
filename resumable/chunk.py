"""Handles on the chunks of a file. None is kept: each is made when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, overload

from .core.states import ChunkState
from .dispatch.entry import ChunkRecord
from .errors import UnknownEvent
from .events import EVENTS, canonical
from .signals import Subscription

if TYPE_CHECKING:
    from .file import ResumableFile

__all__ = ["Chunks", "ResumableChunk", "event_among"]


class ResumableChunk:
    """One chunk of a file. ``index`` (and ``offset``, its resumable.js name) counts from 0, ``number`` from 1; the
    bytes are ``[start, end)`` of the file. Chunks are made when asked for and equal when they are the same chunk.

    Where ``preprocess_file`` replaces the bytes of the file, ``start``, ``end`` and ``size`` are those of the new cut,
    and raise IndexError for a chunk that is not in it.
    """

    __slots__ = ("__weakref__", "file", "index")

    def __init__(self, file: ResumableFile, index: int) -> None:
        self.file = file
        self.index = index

    @property
    def start(self) -> int:
        """Where the chunk begins in the file."""
        return self.file._plan.span(self.index)[0]

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.file._plan.span(self.index)[1]

    @property
    def offset(self) -> int:
        """The chunk's index, as resumable.js calls it."""
        return self.index

    @property
    def number(self) -> int:
        """The chunk's number, as servers are told it: from 1."""
        return self.index + 1

    @property
    def size(self) -> int:
        """The bytes of the chunk."""
        start, end = self.file._plan.span(self.index)
        return end - start

    @property
    def state(self) -> ChunkState:
        """Where the chunk is now."""
        return self.file._chunk_state(self.index)[0]

    @property
    def retries(self) -> int:
        """How often an attempt failed and another followed, while the chunk has its turn."""
        return self.file._chunk_state(self.index)[1]

    def read(self) -> bytes:
        """The bytes of the chunk, from its source. Raises SourceError, also where the file was removed or the session
        closed and its bytes were given, or came from a stream."""
        start, end = self.file._plan.span(self.index)
        data = bytearray(end - start)
        with self.file._entry.source.open() as reader:
            reader.read_into(memoryview(data), start)
        return bytes(data)

    def on(self, event: str, handler: Callable[..., Any]) -> Subscription:
        """``handler`` is called for this chunk's ``chunk_success``, ``chunk_retry`` or ``chunk_error``.

        Raises UnknownEvent, also for one that does not happen to chunks.
        """
        return self.file.resumable_obj.signals.on(event_among(event, ("chunk",)), handler, sender=self)

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
        return self._file._plan.count

    @overload
    def __getitem__(self, index: int) -> ResumableChunk: ...

    @overload
    def __getitem__(self, index: slice) -> list[ResumableChunk]: ...

    def __getitem__(self, index: int | slice) -> ResumableChunk | list[ResumableChunk]:
        if isinstance(index, slice):
            return [self._file._chunk(position) for position in range(*index.indices(len(self)))]
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"the file has {count} chunks")
        return self._file._chunk(index % count)


def event_among(name: str, subjects: tuple[str, ...]) -> str:
    """The event of this name, which happens to one of the subjects. Raises UnknownEvent."""
    event = canonical(name)
    if EVENTS[event].subject not in subjects and event != "catch_all":
        raise UnknownEvent(f"{name} of a {subjects[0]}")
    return event
