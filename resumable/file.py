"""The handle on a file: what users hold, and what handlers get.

It holds what never changes, and asks the session for every other fact, which is a consistent snapshot. Pickled, it
becomes a plain record.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, overload

from .asynchronous import AsyncFile
from .chunk import Chunks, ResumableChunk
from .compat import CompatFile
from .core.ranges import Ranges
from .core.states import ChunkState, FileState
from .dispatch.dispatcher import Dispatcher
from .dispatch.registry import FileEntry, FileRecord
from .dispatch.transfers import TransferStats
from .dispatch.waiter import checked_timeout
from .errors import OptionError, UploadCancelled
from .events import FileEventName, file_event
from .progress import Progress
from .subscription import Subscription
from .units import size

if TYPE_CHECKING:
    from .session import Resumable
    from .transport.base import Reply

__all__ = ["ResumableFile"]


class ResumableFile(AsyncFile, CompatFile, Progress):
    """One file of a session. All sizes are bytes, all times seconds; every method may be called by any thread."""

    def __init__(self, session: Resumable, dispatcher: Dispatcher, entry: FileEntry | None = None) -> None:
        if not isinstance(entry, FileEntry):
            # resumable.py 0.1.1 had ResumableFile(path, chunk_size).
            raise TypeError("a session makes its files: session.add_file(path), with auto_upload=False to send nothing")
        self.resumable_obj = session
        self._dispatcher = dispatcher
        self._facts = dispatcher.facts
        self._entry = entry

    # -- facts ---------------------------------------------------------------------------------------------------

    @property
    def file_name(self) -> str:
        """The name that is sent to the server (``fileName``)."""
        return self._entry.record.file_name

    @property
    def relative_path(self) -> str:
        """The path relative to the directory that was added, with ``/`` (``relativePath``)."""
        return self._entry.record.relative_path

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        return self._entry.record.size

    @property
    def part_size(self) -> int:
        """The size of the part that the session sends, in bytes; without the option ``part`` that of the file."""
        return self._moved.size

    @property
    def mime_type(self) -> str:
        """The MIME type that is sent to the server; empty if it is not known."""
        return self._entry.record.mime_type

    @property
    def unique_identifier(self) -> str | None:
        """The name of the upload at the server (``uniqueIdentifier``); None while it is still being computed."""
        return self._entry.record.unique_identifier

    @property
    def path(self) -> str:
        """The source as text, as in resumable.py 0.1.1."""
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
        """The state of the file."""
        return self._facts.file_facts(self._entry).state

    @property
    def error(self) -> Exception | None:
        """The exception that the file failed with, or None."""
        return self._facts.file_facts(self._entry).error

    @property
    def message(self) -> str | None:
        """The server's last answer about the file: the one that completed it, or that refused it."""
        return self._facts.file_facts(self._entry).message

    @property
    def result(self) -> dict[str, Any] | None:
        """What a receiver of this package says about the uploaded file; None before the end, and with other servers.

        It is what the application there returned from ``on_file_received``, with the path under which the file was
        published as ``name``, unless the application returned a ``name`` itself.
        """
        result = self._facts.file_facts(self._entry).result
        return None if result is None else dict(result)

    @property
    def sha256(self) -> str | None:
        """The SHA-256 of the file in hexadecimal; None without ``file_checksum``, and before it is known."""
        digest = self._entry.digest
        return None if digest is None else digest.value

    @property
    def response(self) -> Reply | None:
        """The server's last answer about the file or a chunk of it, with ``status``, ``headers`` (their names are in
        lower case), ``text`` and ``json()``; None before the first."""
        response: Reply | None = self._facts.file_facts(self._entry).response
        return response

    @property
    def whole(self) -> bool | None:
        """Whether the server has the whole file, as it said last; None if it does not say. Only receivers of this
        package do. With the option ``part``, a file may succeed before the server has the parts of others."""
        return self._facts.file_facts(self._entry).whole

    def is_complete(self) -> bool:
        """Return whether the server acknowledged every byte. A failed file is not complete."""
        return self.state is FileState.SUCCESS

    def is_paused(self) -> bool:
        """Return whether the file waits for :meth:`resume`."""
        return self.state is FileState.PAUSED

    def is_uploading(self) -> bool:
        """Return whether a chunk of the file was begun, the file has not ended, and nothing is paused."""
        return self.state is FileState.UPLOADING and self.resumable_obj.is_uploading()

    # -- progress ------------------------------------------------------------------------------------------------

    @property
    def _moved(self) -> TransferStats:
        return self._facts.file_stats(self._entry)

    @property
    def retry_in(self) -> float | None:
        """Seconds until the next attempt if the whole file waits for it, because attempts failed or the server asked
        for a pause. Otherwise None."""
        return self._facts.retry_in(self._entry)

    def progress(self, relative: bool = False) -> float:
        """Return the confirmed part of the file, 0 to 1 (resumable.js ``file.progress()``).

        It is 1 only once the server acknowledged all of it. ``relative``: as a part of the whole session instead.
        """
        moved = self._moved
        if relative:
            total = self._facts.session_stats().size
            return moved.confirmed / total if total else 0.0
        if not moved.size:
            return 1.0 if self.is_complete() else 0.0
        return moved.confirmed / moved.size

    # -- commands ------------------------------------------------------------------------------------------------

    def pause(self, paused: bool = True) -> None:
        """Pause the file, until :meth:`resume`. ``pause(False)`` resumes it.

        When this has returned, no request for the file starts, and no more bytes of it are sent.
        """
        if paused:
            self._dispatcher.pause(self._entry)
        else:
            self.resume()

    def resume(self) -> None:
        """Resume a paused file."""
        self._dispatcher.resume(self._entry)

    def abort(self) -> None:
        """Stop the requests of the file until the next ``upload()`` or :meth:`resume` (resumable.js ``abort``).

        Chunks that are stored are kept.
        """
        self._dispatcher.pause(self._entry, aborted=True)

    def cancel(self) -> None:
        """Remove the file from the session. Fires ``file_cancelled`` unless the file has ended.

        With ``cancel_deletes`` it also asks a receiver of this package to delete the upload, which takes at most 2 s.
        """
        with self.resumable_obj._deleting([self._entry]):
            self._dispatcher.cancel(self._entry)

    def retry(self) -> None:
        """Retry a failed file. Only the chunks that the server lacks are sent. Does nothing if the file has not ended.

        Raises StateError if the file has succeeded or was removed from the session, or if the session is closed.
        """
        self._dispatcher.retry(self._entry)

    def bootstrap(self) -> None:
        """Start the file over: cut it into chunks again, none of which counts as stored (resumable.js ``bootstrap``).

        Raises StateError if the file was removed from the session, or if the session is closed.
        """
        self._dispatcher.bootstrap(self._entry)

    def mark_chunks_completed(self, chunks: int | Iterable[int]) -> None:
        """Mark chunks as stored: the first ``chunks`` of them, or those at these indexes, counted from 0.

        They are neither tested nor sent, unless a receiver of this package says at the end that it lacks them. In
        resumable.js it is ``markChunksCompleted``, which takes a count. Raises StateError if the file has ended or was
        removed from the session, or if the session is closed.
        """
        count, marked = self._entry.plan.count, Ranges()
        if isinstance(chunks, int):
            marked.include(0, min(chunks, count))
        else:
            try:
                indexes = set(map(operator.index, chunks))
            except TypeError:
                raise OptionError("chunks", chunks, "a number of chunks, or the indexes of some") from None
            for index in sorted(index for index in indexes if 0 <= index < count):
                marked.include(index, index + 1)
        self._dispatcher.mark(self._entry, marked)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the file has succeeded and its handlers have returned.

        Raises the error of a failed file, UploadCancelled (also if the session was closed before), WaitTimeout after
        ``timeout`` seconds, StateError in a handler or hook. Starts no run: without ``auto_upload``, call ``upload()``
        of the session first.
        """
        timeout = checked_timeout(timeout)
        self.resumable_obj._warn_of_blocking("file.wait()", "await file.wait_async()")
        self._dispatcher.wait(self._entry, timeout)
        self._raise_unless_uploaded()

    def _raise_unless_uploaded(self) -> None:
        status = self._facts.file_facts(self._entry)
        if status.error is not None:
            raise status.error
        if status.state is not FileState.SUCCESS:
            raise UploadCancelled(f"{self.relative_path!r} was cancelled", status.reason or "cancelled")

    # -- events --------------------------------------------------------------------------------------------------

    @overload
    def on(self, event: FileEventName | str, handler: Callable[..., Any], *, weak: bool = False) -> Subscription: ...

    @overload
    def on(self, event: FileEventName | str, *, weak: bool = False) -> Callable[[Callable[..., Any]], Subscription]: ...

    def on(self, event: FileEventName | str, handler: Callable[..., Any] | None = None, *, weak: bool = False) -> Any:
        """Call ``handler`` for the event of this file: ``file.on("success", f)`` or ``file.on("file_success", f)``.

        A handler that is connected late first gets the events that it missed: the chunks that are stored
        (``chunk_success``), or how the file ended. Without a handler it is a decorator. Raises UnknownEvent, also for
        an event that does not happen to files or chunks.
        """
        name = file_event(event)
        if handler is None:
            return lambda function: self.on(name, function, weak=weak)
        return self.resumable_obj._emitter.listen(self, name, handler, weak)

    def off(self, event: str, handler: Callable[..., Any]) -> None:
        """Stop calling the handler for the event of this file."""
        self.resumable_obj.signals.off(file_event(event), handler, sender=self)

    # -- inside --------------------------------------------------------------------------------------------------

    def _chunk(self, index: int) -> ResumableChunk:
        # One handle for each chunk while anybody holds it, so that a handler connected to it finds it as the sender.
        signals, key = self.resumable_obj.signals, (self._entry.key, index)
        with signals.lock:
            chunk: ResumableChunk | None = signals.chunks.get(key)
            if chunk is None:
                chunk = signals.chunks[key] = ResumableChunk(self, index)
        return chunk

    def _chunk_state(self, index: int) -> tuple[ChunkState, int]:
        return self._facts.chunk_state(self._entry, index)

    def __repr__(self) -> str:
        state = "of another process" if self._facts.in_forked_child else self.state.value
        return f"<ResumableFile {self.relative_path!r}, {self.size} bytes, {state}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the file, a bar, and its state."""
        moved = self._moved
        error = f"<br>{escape(str(self.error))}" if self.error is not None else ""
        bar = f'<progress max="{moved.size or 1}" value="{moved.transferred}"></progress>'
        facts = f"{size(moved.transferred)} of {size(moved.size)}, {self.state.value}"
        return f"<div><b>{escape(self.relative_path)}</b> {bar} {facts}{error}</div>"

    def __reduce__(self) -> Any:
        record = self._entry.record
        return FileRecord, (
            record.file_name,
            record.relative_path,
            record.size,
            record.mime_type,
            record.unique_identifier,
            self.whole,
        )
