"""The handles on a file and its chunks: what users hold, and what handlers get.

Handles hold the dispatcher and facts that never change; every other value is asked for, and is a consistent snapshot.
Pickled, they become plain records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload
from weakref import WeakValueDictionary

from .core.states import ChunkState, FileState
from .dispatch.dispatcher import Dispatcher
from .dispatch.registry import ChunkRecord, FileEntry, FileRecord
from .dispatch.transfers import TransferStats
from .errors import UnknownEvent, UploadCancelled
from .events import EVENTS, FileEventName, canonical
from .progress import Progress
from .signals import Subscription

if TYPE_CHECKING:
    from .session import Resumable

__all__ = ["Chunks", "Registration", "ResumableChunk", "ResumableFile", "file_event"]

_SHORT = {
    "success": "file_success",
    "error": "file_error",
    "progress": "file_progress",
    "retry": "file_retry",
    "cancelled": "file_cancelled",
    "completed": "file_success",
}


class ResumableFile(Progress):
    """One file of a session. All sizes are bytes, all times seconds; every method may be called by any thread."""

    def __init__(self, session: Resumable, dispatcher: Dispatcher, entry: FileEntry) -> None:
        self.resumable_obj = session
        self._dispatcher = dispatcher
        self._entry = entry
        self._views: WeakValueDictionary[int, ResumableChunk] = WeakValueDictionary()

    # -- facts ---------------------------------------------------------------------------------------------------

    @property
    def file_name(self) -> str:
        """The name that the server is told (``fileName``)."""
        return self._entry.record.file_name

    @property
    def relative_path(self) -> str:
        """The path below what was added, with ``/`` (``relativePath``)."""
        return self._entry.record.relative_path

    @property
    def size(self) -> int:
        """The bytes of the file."""
        return self._entry.record.size

    @property
    def mime_type(self) -> str:
        """The MIME type that the server is told; empty where it is not known."""
        return self._entry.record.mime_type

    @property
    def unique_identifier(self) -> str | None:
        """The name of the upload at the server (``uniqueIdentifier``); None until a slow one has been made."""
        return self._entry.record.unique_identifier

    @property
    def path(self) -> str:
        """The source as text, as resumable.py 0.1.1 had it."""
        return str(self._entry.source.path)

    @property
    def chunk_size(self) -> int:
        """The option ``chunk_size``."""
        return self._entry.plan.chunk_size

    @property
    def chunks(self) -> Sequence[ResumableChunk]:
        """The chunks, in the order of the file; each is made when asked for."""
        return Chunks(self)

    # -- state ---------------------------------------------------------------------------------------------------

    @property
    def state(self) -> FileState:
        """Where the file is now."""
        return self._dispatcher.file_status(self._entry).state

    @property
    def error(self) -> Exception | None:
        """What the file failed of, or None."""
        return self._dispatcher.file_status(self._entry).error

    @property
    def message(self) -> str | None:
        """The server's last words on the file: the answer that completed it, or that refused it."""
        return self._dispatcher.file_status(self._entry).message

    def is_complete(self) -> bool:
        """Whether the server acknowledged every byte. A failed file is not complete."""
        return self.state is FileState.SUCCESS

    @property
    def is_completed(self) -> bool:
        """As :meth:`is_complete`; as resumable.py 0.1.1 had it."""
        return self.is_complete()

    def is_paused(self) -> bool:
        """Whether the file waits for :meth:`resume`."""
        return self.state is FileState.PAUSED

    def is_uploading(self) -> bool:
        """Whether a chunk of the file has had its turn, the file is not finished, and nothing is paused."""
        return self.state is FileState.UPLOADING and self.resumable_obj.is_uploading()

    # -- progress ------------------------------------------------------------------------------------------------

    @property
    def _moved(self) -> TransferStats:
        return self._dispatcher.file_stats(self._entry)

    def progress(self, relative: bool = False) -> float:
        """The confirmed part of the file, 0 to 1; 1 only once the server acknowledged all of it.

        ``relative``: as a part of the whole session instead. Source: resumable.js ``file.progress()``.
        """
        moved = self._moved
        if relative:
            total = self._dispatcher.session_stats().size
            return moved.confirmed / total if total else 0.0
        if not moved.size:
            return 1.0 if self.is_complete() else 0.0
        return moved.confirmed / moved.size

    @property
    def fraction_completed(self) -> float:
        """As :meth:`progress`; as resumable.py 0.1.1 had it."""
        return self.progress()

    # -- commands ------------------------------------------------------------------------------------------------

    def pause(self, paused: bool = True) -> None:
        """No request for the file begins any more; what is being sent is cut off. ``pause(False)`` is resume()."""
        if paused:
            self._dispatcher.pause(self._entry)
        else:
            self.resume()

    def resume(self) -> None:
        """A paused file goes on where it was."""
        self._dispatcher.resume(self._entry)

    def abort(self) -> None:
        """The requests stop, what is stored is kept, and the next ``upload()`` or :meth:`resume` goes on
        (resumable.js ``abort``)."""
        self._dispatcher.pause(self._entry, aborted=True)

    def cancel(self) -> None:
        """The file is no longer part of the session. Fires ``file_cancelled`` unless it had finished."""
        self._dispatcher.cancel(self._entry)

    def retry(self) -> None:
        """A failed file goes on with what is stored; one that has not ended is left alone.

        Raises StateError where it has succeeded, is no longer part of the session, or that is closed.
        """
        self._dispatcher.retry(self._entry)

    def bootstrap(self) -> None:
        """The file is cut anew and nothing of it is taken for stored (resumable.js ``bootstrap``).

        Raises StateError where it is no longer part of the session, or that is closed.
        """
        self._dispatcher.bootstrap(self._entry)

    def mark_chunks_completed(self, chunks: int | Iterable[int]) -> None:
        """The first so many chunks, or those at these indexes, are taken for stored: neither tested nor sent, unless
        the receiver of this package says at the end that it lacks them.

        Raises StateError where the file has ended, is no longer part of the session, or that is closed.
        Source: resumable.js ``markChunksCompleted``, which takes a count.
        """
        count = self._entry.plan.count
        if isinstance(chunks, int):
            ranges = [(0, min(chunks, count))] if chunks > 0 else []
        else:
            ranges = _ranges(index for index in chunks if 0 <= index < count)
        self._dispatcher.mark(self._entry, ranges)

    def wait(self, timeout: float | None = None) -> None:
        """Returns once the file has succeeded and its handlers have returned.

        Raises what it failed of, UploadCancelled (also if the session was closed before), WaitTimeout after
        ``timeout`` seconds, StateError in a handler or hook. Begins no run: without ``auto_upload``, call ``upload()``
        of the session before.
        """
        self._dispatcher.wait(self._entry, timeout)
        status = self._dispatcher.file_status(self._entry)
        if status.error is not None:
            raise status.error
        if status.state is not FileState.SUCCESS:
            raise UploadCancelled(f"{self.relative_path!r} was cancelled", status.reason or "cancelled")

    def close(self) -> None:
        """Does nothing: a file is open only while it is read. For code written for resumable.py 0.1.1."""

    # -- events --------------------------------------------------------------------------------------------------

    @overload
    def on(self, event: FileEventName | str, handler: Callable[..., Any], *, weak: bool = False) -> Subscription: ...

    @overload
    def on(self, event: FileEventName | str, *, weak: bool = False) -> Callable[[Callable[..., Any]], Subscription]: ...

    def on(self, event: FileEventName | str, handler: Callable[..., Any] | None = None, *, weak: bool = False) -> Any:
        """``handler`` is called for this file: ``file.on("success", f)`` or ``file.on("file_success", f)``.

        A handler that comes late is told first what it missed: the chunks that are stored (``chunk_success``), or how
        the file ended. Without a handler it is a decorator. Raises UnknownEvent, also for one that does not happen to
        files or chunks.
        """
        name = file_event(event)
        if handler is None:
            return lambda function: self.on(name, function, weak=weak)
        return self.resumable_obj._emitter.listen(self, name, handler, weak)

    def off(self, event: str, handler: Callable[..., Any]) -> None:
        """The handler does not listen to the event of this file any more."""
        self.resumable_obj.signals.off(file_event(event), handler, sender=self)

    @property
    def completed(self) -> Registration:
        """``register(callback)``, called without arguments when the file is done; as resumable.py 0.1.1 had it."""
        return Registration(lambda callback: self.on("file_success", lambda *_: callback()))

    @property
    def chunk_completed(self) -> Registration:
        """``register(callback)``, called with each stored chunk; as resumable.py 0.1.1 had it."""
        return Registration(lambda callback: self.on("chunk_success", lambda chunk: callback(chunk)))

    # -- inside --------------------------------------------------------------------------------------------------

    def _chunk(self, index: int) -> ResumableChunk:
        # One view a chunk while anybody holds it, so that a handler connected to it finds it as the sender.
        with self.resumable_obj.signals.lock:
            view = self._views.get(index)
            if view is None:
                view = self._views[index] = ResumableChunk(self, index)
        return view

    def _chunk_state(self, index: int) -> tuple[ChunkState, int]:
        return self._dispatcher.chunk_state(self._entry, index)

    def __repr__(self) -> str:
        state = "of another process" if self._dispatcher.in_forked_child else self.state.value
        return f"<ResumableFile {self.relative_path!r}, {self.size} bytes, {state}>"

    def __reduce__(self) -> Any:
        record = self._entry.record
        return FileRecord, (
            record.file_name,
            record.relative_path,
            record.size,
            record.mime_type,
            record.unique_identifier,
        )


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
        return self.file._entry.plan.span(self.index)[0]

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.file._entry.plan.span(self.index)[1]

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
        start, end = self.file._entry.plan.span(self.index)
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
        start, end = self.file._entry.plan.span(self.index)
        data = bytearray(end - start)
        with self.file._entry.source.open() as reader:
            reader.read_into(memoryview(data), start)
        return bytes(data)

    def on(self, event: str, handler: Callable[..., Any]) -> Subscription:
        """``handler`` is called for this chunk's ``chunk_success``, ``chunk_retry`` or ``chunk_error``.

        Raises UnknownEvent, also for one that does not happen to chunks.
        """
        return self.file.resumable_obj.signals.on(_event_among(event, ("chunk",)), handler, sender=self)

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
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"the file has {count} chunks")
        return self._file._chunk(index % count)


class Registration:
    """An event as resumable.py 0.1.1 offered it."""

    def __init__(self, connect: Callable[[Callable[..., Any]], Any]) -> None:
        self._connect = connect

    def register(self, callback: Callable[..., Any]) -> None:
        """The callback is called from now on."""
        self._connect(callback)


def file_event(name: str) -> str:
    """The event of this name as :meth:`ResumableFile.on` understands it. Raises UnknownEvent."""
    return _event_among(_SHORT.get(name.lower(), name), ("file", "chunk"))


def _event_among(name: str, subjects: tuple[str, ...]) -> str:
    """The event of this name, which happens to one of the subjects. Raises UnknownEvent."""
    event = canonical(name)
    if EVENTS[event].subject not in subjects and event != "catch_all":
        raise UnknownEvent(f"{name} of a {subjects[0]}")
    return event


def _ranges(indexes: Iterable[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for index in sorted(set(indexes)):
        if ranges and ranges[-1][1] == index:
            ranges[-1] = (ranges[-1][0], index + 1)
        else:
            ranges.append((index, index + 1))
    return ranges
