"""What an asyncio program has of a session and its files: ``async with``, what can be awaited, and events to iterate.

Nothing here blocks the loop: what reads disks or waits runs on a thread. asyncio is imported by those who have a loop.
"""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast
from weakref import WeakMethod, WeakSet

from .dispatch.blocking_calls import in_thread, uninterrupted
from .dispatch.event_loop import running_loop
from .errors import BlockedLoop
from .events import EVENTS

if TYPE_CHECKING:
    import asyncio
    import os
    from pathlib import PurePath

    from .chunk import ResumableChunk
    from .core.records import Ending
    from .dispatch.additions import Additions
    from .dispatch.dispatcher import Dispatcher
    from .dispatch.registry import FileEntry
    from .file import ResumableFile
    from .result import Result
    from .session import Resumable
    from .signals import Signals

__all__ = ["AsyncFile", "AsyncSession", "EventStream", "UploadEvent"]


class UploadEvent(NamedTuple):
    """One event of a session: its name as ``on()`` takes it, and its arguments. The attributes for arguments that
    it does not have are None."""

    name: str
    arguments: tuple[Any, ...] = ()

    def _argument(self, name: str) -> Any:
        return dict(zip(EVENTS[self.name].arguments, self.arguments, strict=False)).get(name)

    @property
    def file(self) -> ResumableFile | None:
        """The file that it is about, also if it is about a chunk."""
        chunk = self.chunk
        found: ResumableFile | None = self._argument("file") if chunk is None else chunk.file
        return found

    @property
    def chunk(self) -> ResumableChunk | None:
        """The chunk that it is about."""
        chunk: ResumableChunk | None = self._argument("chunk")
        return chunk

    @property
    def message(self) -> str | None:
        """What the server said."""
        message: str | None = self._argument("message")
        return message

    @property
    def result(self) -> Result | None:
        """What became of the files, for ``complete``."""
        result: Result | None = self._argument("result")
        return result


class EventStream:
    """The events of a session, for ``async for``: from the call of ``events()`` to the end of the run.

    Of progress that was not taken yet there is one event for each file. If the others are not taken fast enough, the
    upload is held back, so that they need little memory. It is not while the task that takes them awaits the end of
    the session, or has ended itself: it would wait for ever.
    """

    def __init__(self, session: Resumable, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._events: deque[UploadEvent] = deque()
        self._progress: set[tuple[Any, ...]] = set()
        self._ended = False
        self._held = 0
        self._unread = False
        self._reader: asyncio.Task[Any] | None = None
        self._read_by(_current_task())
        # Weak, so that a stream that nobody iterates any more is gone.
        self._subscription = session.on("catch_all", self._take_in, weak=True)

    def _take_in(self, name: str, *arguments: Any) -> None:
        if EVENTS[name].coalesced:
            key = name, *arguments[:1]
            if key in self._progress:
                return
            self._progress.add(key)
        elif not self._unread:
            self._hold(1)
        self._events.append(UploadEvent(name, arguments))
        if name in ("complete", "cancel"):
            self._end()

    def _end(self) -> None:
        self._ended = True
        self._subscription.off()

    def __aiter__(self) -> EventStream:
        return self

    def _hold(self, count: int) -> None:
        self._held += count
        self._dispatcher.hold_back(count)

    def _read_by(self, task: asyncio.Task[Any] | None) -> None:
        """Note which task takes the events."""
        self._unread = False
        if task is self._reader or task is None:
            return
        self._reader = task
        # Weak, as above: the task may last longer than the iteration.
        let_go = WeakMethod(self.let_go)
        task.add_done_callback(lambda task: (method := let_go()) and method(task))

    def let_go(self, task: asyncio.Task[Any] | None) -> None:
        """Hold nothing back until the next event is taken, if it is this task that takes them."""
        if task is self._reader:
            self._unread = True
            self._hold(-self._held)

    async def __anext__(self) -> UploadEvent:
        self._read_by(_current_task())
        if (
            not self._events
            and not self._ended
            and not await self._dispatcher.wait_for_event(lambda: bool(self._events))
        ):
            self._end()
        if not self._events:
            raise StopAsyncIteration
        event = self._events.popleft()
        if EVENTS[event.name].coalesced:
            self._progress.discard((event.name, *event.arguments[:1]))
        elif self._held:
            self._hold(-1)
        return event

    async def aclose(self) -> None:
        """End the iteration, as the ``aclose()`` of a generator does."""
        self._end()
        self._events.clear()
        self._hold(-self._held)

    def __del__(self) -> None:
        if self._held:
            self._dispatcher.hold_back(-self._held)


class AsyncSession:
    """What can be awaited of a session."""

    _additions: Additions
    _dispatcher: Dispatcher
    signals: Signals
    add_file: Callable[..., ResumableFile]
    add_files: Callable[..., list[ResumableFile]]
    add_directory: Callable[..., list[ResumableFile]]
    cancel: Callable[[], None]
    close: Callable[[], None]
    _warned = False
    _streams: WeakSet[EventStream] | None = None

    def _concluded(self, ended: Ending, raise_errors: bool) -> Result:
        raise NotImplementedError

    def _abandon(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Resumable:
        self._dispatcher.keep_open()
        return cast("Resumable", self)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self.wait()
            else:
                await uninterrupted(self._abandon)
        finally:
            await self.close_async()

    async def wait(self, *, raise_errors: bool = True) -> Result:
        """Wait until everything is uploaded, and return what became of the files: :meth:`join` for asyncio.

        By then every handler has returned, async ones too, unless this is awaited in an async handler. Cancelling this
        ends only the waiting; a cancellation that leaves the ``async with`` block also cancels the upload.
        """
        task = _current_task()
        for stream in tuple(self._streams or ()):
            stream.let_go(task)
        if self._additions.under_way:
            await in_thread(partial(self._additions.wait, None))
        ended = await self._dispatcher.join_in_loop(self.signals.async_handlers.wait)
        return self._concluded(ended, raise_errors)

    def events(self) -> EventStream:
        """Return the events from now on, for ``async for``. The last one is ``complete`` or ``cancel``.

        The iteration also ends with the session, and when nothing that was added is left to upload. As long as nothing
        was added, it waits. While a task waits for the next event, the run ends by itself after ``completion_delay``,
        even in an ``async with`` block, because nobody is expected to add more files.
        """
        stream = EventStream(cast("Resumable", self), self._dispatcher)
        if self._streams is None:
            self._streams = WeakSet()
        self._streams.add(stream)
        return stream

    async def add_file_async(
        self,
        source: Any,
        relative_path: str | PurePath | None = None,
        *,
        unique_identifier: str | None = None,
        mime_type: str | None = None,
        on: Mapping[str, Callable[..., Any]] | None = None,
    ) -> ResumableFile:
        """Add a file as :meth:`add_file` does, on a thread: for slow disks, and for streams, which are copied first."""
        add = partial(self.add_file, unique_identifier=unique_identifier, mime_type=mime_type, on=on)
        return await in_thread(partial(add, source, relative_path))

    async def add_files_async(self, sources: Iterable[Any]) -> list[ResumableFile]:
        """Add files as :meth:`add_files` does, on a thread."""
        return await in_thread(partial(self.add_files, sources))

    async def add_directory_async(
        self,
        root: str | os.PathLike[str],
        pattern: str = "**/*",
        exclude: Iterable[str] = (),
        *,
        select: Callable[[str, bool], bool] | None = None,
        links: Literal["follow", "skip", "error"] = "follow",
    ) -> list[ResumableFile]:
        """Add the files of a directory as :meth:`add_directory` does, on a thread, which also calls ``select``. It ends
        if the session is closed meanwhile."""
        return await in_thread(partial(self.add_directory, root, pattern, exclude, select=select, links=links))

    async def cancel_async(self) -> None:
        """Remove all files as :meth:`cancel` does, on a thread, because ``cancel_deletes`` sends requests."""
        await uninterrupted(self.cancel)

    async def close_async(self) -> None:
        """End the session as :meth:`close` does, on a thread. It is closed afterwards even if the task is cancelled
        meanwhile."""
        await uninterrupted(self.close)

    def _warn_of_blocking(self, call: str, instead: str) -> None:
        """Warn once if the calling thread runs an asyncio loop, which is about to be blocked."""
        if self._warned or running_loop() is None or _in_notebook():
            return
        self._warned = True
        warnings.warn(BlockedLoop(f"{call} blocks the asyncio loop until it is over; {instead} does not"), stacklevel=3)


class AsyncFile:
    """What can be awaited of a file."""

    _dispatcher: Dispatcher
    _entry: FileEntry

    def _raise_unless_uploaded(self) -> None:
        raise NotImplementedError

    async def wait_async(self) -> None:
        """Wait until the file has succeeded and its handlers have returned: :meth:`wait` for asyncio. It does not wait
        for async handlers.

        Raises what :meth:`wait` raises.
        """
        await self._dispatcher.wait_in_loop(self._entry)
        self._raise_unless_uploaded()


def _current_task() -> asyncio.Task[Any] | None:
    """Return the task that calls this, None if no loop runs here."""
    import asyncio

    return None if running_loop() is None else asyncio.current_task()


def _in_notebook() -> bool:
    """Return whether this is a notebook: its cells run in a loop, and people expect them to take their time."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return shell is not None and shell() is not None
