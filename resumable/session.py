"""The session: what a user holds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, overload

from .adder import FileAdder
from .asynchronous import AsyncSession
from .attempts.messages import origin
from .attempts.runner import LeaseRunner
from .background import BackgroundAdding
from .compat import CompatSession
from .core.records import Ending
from .core.states import FileState, SessionState
from .dispatch.additions import Additions
from .dispatch.dispatcher import Dispatcher
from .dispatch.event_loop import running_loop
from .dispatch.registry import FileEntry
from .dispatch.transfers import SessionStats, TransferStats
from .dispatch.waiter import checked_timeout
from .emitter import Emitter
from .errors import OptionError, UploadFailed, redact_url
from .events import EventName
from .file import ResumableFile
from .hooks import Hooks
from .options import Options
from .plugins import attach, resolve_plugins
from .policy import make_policy
from .progress import Progress
from .result import Result
from .signals import Signals
from .subscription import Subscription
from .transport.http import RequestsTransport
from .unfinished import watch

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .static_types import Extra, SessionOptions

__all__ = ["Resumable"]


class Resumable(AsyncSession, BackgroundAdding, CompatSession, Progress):
    """Uploads files in chunks, in parallel, to a server that speaks the protocol of resumable.js.

    ``target`` is the URL, or a callable that makes it. The other options are listed in the documentation, and all of
    them may be given by keyword. Nothing is opened and no thread is started before the first file is added. Every
    method may be called by any thread, and from handlers, unless it says otherwise.

    As a context manager a session ends with the block: everything is uploaded and failures are raised. If the block
    raises, everything is cancelled. In an asyncio program it is ``async with``: see :meth:`wait` and :meth:`events`.

    Raises UnknownOption (a TypeError) and OptionError (a ValueError).
    """

    support = True
    """Whether uploads work here (resumable.js ``support``): always."""

    def __init__(
        self,
        target: str | Callable[[list[str]], str],
        chunk_size: int = 1024 * 1024,
        simultaneous_uploads: int | Literal["auto"] = "auto",
        headers: Extra = None,
        test_chunks: bool = True,
        max_chunk_retries: int | None = 100,
        permanent_errors: Iterable[int] = Options.permanent_errors,
        **options: Unpack[SessionOptions],
    ) -> None:
        self._options = Options.checked(
            target=target,
            chunk_size=chunk_size,
            simultaneous_uploads=simultaneous_uploads,
            headers=headers,
            test_chunks=test_chunks,
            max_chunk_retries=max_chunk_retries,
            permanent_errors=permanent_errors,
            **options,
        )
        checked = self._options
        clock = checked.clock or time.monotonic
        plugins = resolve_plugins(checked.plugins)
        self._hooks = Hooks(vars(checked), plugins)
        if checked.file_checksum and self._hooks.has("preprocess"):
            raise OptionError("file_checksum", True, "False if preprocess gives chunks other bytes than the file has")
        self.signals = Signals(
            self,
            loop=checked.loop,
            find_loop=running_loop,
            report=lambda *facts: self._emitter.report_failure(*facts),
            returned=lambda: self._dispatcher.consider(),
            plugins=[each.plugin for each in plugins],
        )
        policy = make_policy(checked, self._hooks)
        self._emitter = Emitter(self, self.signals, lambda: self._dispatcher, self._result)
        self._transport = checked.transport or RequestsTransport(
            checked.session,
            connections=max(policy.most_slots or policy.slots, policy.connections) + checked.cancel_deletes,
            congestion_control=checked.congestion_control,
        )
        self._owns_transport = checked.transport is None
        self._runner = LeaseRunner(checked, self._hooks, self._transport)
        self._dispatcher = Dispatcher(
            policy,
            perform=self._runner.perform,
            abandon=lambda entry: self._runner.abandon(entry, self._emitter.report_failure),
            emit=self._emitter.emit,
            listeners=self.signals.listeners,
            deliver=checked.deliver,
            clock=clock,
            place=origin(checked.target) if isinstance(checked.target, str) else "",
            throttle=checked.throttle_progress_callbacks,
            completion_delay=checked.completion_delay,
            handling=self.signals.async_handlers.running,
        )
        self._facts = self._dispatcher.facts
        self._adder = FileAdder(
            lambda entry: ResumableFile(self, self._dispatcher, entry),
            checked,
            self._hooks,
            self.signals,
            self._dispatcher,
        )
        self._additions = Additions(self._dispatcher.adding)
        self._reported: dict[ResumableFile, Exception] = {}
        watch(self, self._facts.unfinished)
        for each in plugins:
            attach(each, self)

    # -- adding --------------------------------------------------------------------------------------------------

    def add_file(
        self,
        source: Any,
        relative_path: str | PurePath | None = None,
        *,
        unique_identifier: str | None = None,
        mime_type: str | None = None,
        on: Mapping[str, Callable[..., Any]] | None = None,
    ) -> ResumableFile:
        """Add a file to the session, and with ``auto_upload`` begin its upload.

        ``source`` is a path, an object with ``open()`` and ``stat()``, a binary file, bytes (then ``relative_path``
        names them), or a binary stream. ``on`` connects handlers before anything happens. Raises SourceError,
        FileRejected (also if the file is in the session already), StateError on a closed session, HookError.
        """
        with self._dispatcher.adding():
            return self._adder.one(
                source, relative_path, unique_identifier=unique_identifier, mime_type=mime_type, on=on or {}
            )

    def add_files(self, sources: Iterable[Any]) -> list[ResumableFile]:
        """Add files to the session. Each source is one for :meth:`add_file`, or (source, relative path).

        A refused file raises nothing: ``skipped`` of the event ``files_added`` lists it, and ``skipped`` of the run's
        result says why. A source that the session has already is only in the event. Raises SourceError for a source
        that cannot be read, HookError, StateError on a closed session; then none of the files was added.
        """
        if isinstance(sources, (str, bytes, os.PathLike)) or not isinstance(sources, Iterable):
            raise TypeError("add_files takes several sources; add_file takes one")
        with self._dispatcher.adding():
            return self._adder.several([item if isinstance(item, tuple) else (item, None) for item in sources])

    def add_directory(
        self,
        root: str | os.PathLike[str],
        pattern: str = "**/*",
        exclude: Iterable[str] = (),
        *,
        select: Callable[[str, bool], bool] | None = None,
        links: Literal["follow", "skip", "error"] = "follow",
    ) -> list[ResumableFile]:
        """Add the files below ``root`` that match ``pattern`` and none of ``exclude``.

        Their relative paths begin with the name of the directory, as in a browser. ``root`` may be a universal path.
        ``select(path, is_directory)`` gets each path below ``root``, and returns whether to take the file, or to look
        into the directory. ``links`` says whether symbolic links are followed, skipped, or an error. A broken link is
        left out, and listed in ``skipped`` like a refused file. Fires ``before_add`` first, as resumable.js does for a
        dropped directory.
        Raises what :meth:`add_files` raises.
        """
        with self._dispatcher.adding():
            return self._adder.directory(root, pattern, exclude, select=select, links=links)

    # -- commands ------------------------------------------------------------------------------------------------

    def upload(self) -> None:
        """Start sending the files, or resume a paused session. ``complete`` fires when every file has ended.

        Raises StateError on a closed session.
        """
        self._dispatcher.upload()

    def retry_failed(self) -> list[ResumableFile]:
        """Retry all failed files, and return them. Only the chunks that the server lacks are sent.

        Raises StateError on a closed session.
        """
        failed = [file for file in self.files if file.state is FileState.ERROR]
        for file in failed:
            file.retry()
        return failed

    def pause(self) -> None:
        """Pause the session, until :meth:`resume` or :meth:`upload`.

        When this has returned, no request starts, and no more bytes of a file are sent. A request that only waits for
        its answer may finish. Raises StateError on a closed session.
        """
        self._dispatcher.pause()

    def resume(self) -> None:
        """Resume a paused session. Does nothing to one that is not paused."""
        self._dispatcher.resume()

    def cancel(self) -> None:
        """Cancel all files: abort their requests, and remove them from the session. ``complete`` does not fire.

        With ``cancel_deletes`` it also asks a receiver of this package to delete the unfinished ones, which takes at
        most 2 s. Raises StateError on a closed session.
        """
        self._additions.end()
        with self._deleting(self._facts.entries()):
            self._dispatcher.cancel()

    def join(self, timeout: float | None = None, *, raise_errors: bool = True) -> Result:
        """Wait until all files are uploaded, and return what became of them.

        This ends the run: files that are not sent yet are sent, and every handler has returned when it returns. It also
        waits for a run that a handler begins meanwhile, and for a paused session until it is resumed. The result also
        has the files of earlier runs that were not joined; files that were open when the session was closed count as
        cancelled. Afterwards the session can be used for another run.

        With ``deliver="manual"`` the handlers run in this call; if ``deliver`` is a function, it waits only for the
        transfers. It never waits for async handlers. Ctrl-C pauses the session and is raised. In an asyncio loop this
        blocks the loop, and a :class:`~resumable.errors.BlockedLoop` says so once: see :meth:`wait`.

        Raises UploadFailed with the error of each failed file, unless ``raise_errors`` is False (an error that was
        raised or returned once is not raised by a later call), WaitTimeout after ``timeout`` seconds, and StateError in
        a handler or hook.
        """
        timeout = checked_timeout(timeout)
        self._warn_of_blocking("join()", "await session.wait()")
        try:
            ended = self._dispatcher.join(self._additions.wait(timeout))
        except KeyboardInterrupt:
            if self._facts.state is SessionState.UPLOADING:
                self._dispatcher.pause()
            raise
        return self._concluded(ended, raise_errors)

    def _concluded(self, ended: Ending, raise_errors: bool) -> Result:
        """Return what became of the files. Raises UploadFailed if some failed and nobody was told."""
        result = self._result(ended)
        fresh = [file for file in result.failed if file.error is not self._reported.get(file)]
        self._reported.update({file: file.error for file in fresh if file.error is not None})
        if raise_errors and fresh:
            raise UploadFailed(result.errors, result)
        return result

    def close(self) -> None:
        """Close the session for good: abort its requests, end its threads, close its connections. At most 2 seconds.

        Unfinished files are cancelled, with ``file_cancelled`` and the reason ``closed``. The server keeps the chunks
        that it has, and a later session sends only the rest. A second call does nothing. Raises StateError in a handler
        or hook.
        """
        if sys.is_finalizing():
            # The interpreter ends, and a method __del__ closes the session: its threads have stopped for good.
            return
        self._additions.end()
        self._dispatcher.close()
        if self._owns_transport:
            self._transport.close()

    def __enter__(self) -> Resumable:
        if not self._facts.in_forked_child:
            self._dispatcher.keep_open()
            self._warn_of_blocking("a with block", "async with Resumable(...) and await session.wait()")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and (self._facts.in_forked_child or sys.is_finalizing()):
            # The child of a fork ends inside the block; the upload goes on in the parent. Or the interpreter ends, and
            # with it a generator that is inside the block.
            return
        try:
            if kind is None:
                self.join()
            else:
                self._abandon()
        finally:
            self.close()

    def _abandon(self) -> None:
        """Cancel what is left, because a block raised."""
        if self._facts.state is not SessionState.CLOSED:
            self._dispatcher.cancel(reason="closed")

    def process_events(self) -> int:
        """Call the handlers of waiting events, for ``deliver="manual"``, and return how many events there were.

        At most 1024 in one call, so that a window that calls this from a timer does not freeze. Raises StateError if
        the handlers are called in another way.
        """
        return self._dispatcher.process_events()

    def remove_file(self, file: ResumableFile) -> None:
        """Remove the file from the session (resumable.js ``removeFile``), and abort its requests."""
        given: Any = file
        if getattr(given, "resumable_obj", None) is not self:
            kind = "one of another session" if isinstance(given, ResumableFile) else type(given).__name__
            raise TypeError(f"remove_file takes a file of this session, got {kind}")
        self._dispatcher.cancel(file._entry, "removed", announce=False)

    def update_query(self, query: Any) -> None:
        """Send these extra parameters with later requests (resumable.js ``updateQuery``). Raises OptionError."""
        options = self._options.changed("query", query)
        self._hooks.give("query", options.query)
        self._options = options

    @contextmanager
    def _deleting(self, entries: Iterable[FileEntry]) -> Iterator[None]:
        """Delete at the receiver what it has of these files, if the block cancels them and the user wants that."""
        unfinished = self._facts.unfinished_at_server(entries) if self._options.cancel_deletes else []
        yield
        if unfinished:
            self._runner.delete(unfinished)

    @property
    def limit_rate(self) -> int | None:
        """The maximum of bytes per second; None: no limit. Set it at any time. A wrong value raises OptionError.

        Running requests follow a new limit at once; if there was none before, later requests do.
        """
        return self._options.limit_rate

    @limit_rate.setter
    def limit_rate(self, rate: int | None) -> None:
        options = self._options.changed("limit_rate", rate)
        self._runner.limit_rate(options.limit_rate)
        self._options = options

    # -- facts ---------------------------------------------------------------------------------------------------

    @property
    def options(self) -> Options:
        """The options, checked and normalised."""
        return self._options

    @property
    def state(self) -> SessionState:
        """The state of the session."""
        return self._facts.state

    @property
    def result(self) -> Result | None:
        """The result of the run that ended last; in a handler of ``complete``, of that run. None before a run has
        ended; a cancelled run does not count."""
        outcome = self._facts.outcome
        return None if outcome is None else self._result(outcome)

    @property
    def stats(self) -> SessionStats:
        """How many chunks are on their way, and how many may be: that changes if ``simultaneous_uploads`` is "auto"."""
        return self._facts.stats()

    @property
    def files(self) -> list[ResumableFile]:
        """The files of the session, in the order in which they were added."""
        return [entry.subject for entry in self._facts.entries()]

    def is_uploading(self) -> bool:
        """Return whether something is left to send and the session is not paused (resumable.js ``isUploading``)."""
        return self._facts.uploading

    def get_from_unique_identifier(self, identifier: str) -> ResumableFile | None:
        """Return the file with this identifier, or None (resumable.js ``getFromUniqueIdentifier``)."""
        entry = self._facts.find(identifier)
        return None if entry is None else entry.subject

    def get_size(self) -> int:
        """Return the size of all files together, in bytes (resumable.js ``getSize``)."""
        return self._moved.size

    def progress(self) -> float:
        """Return the confirmed part of all files, 0 to 1 (resumable.js ``progress``). Without files, as after
        :meth:`cancel`, it is 0."""
        moved = self._moved
        if not moved.size:
            files = self.files
            return 1.0 if files and all(file.is_complete() for file in files) else 0.0
        return moved.confirmed / moved.size

    @property
    def _moved(self) -> TransferStats:
        return self._facts.session_stats()

    @property
    def retry_in(self) -> float | None:
        """Seconds until the next attempt if everything waits for it, because attempts failed or the server asked for a
        pause. Otherwise None."""
        return self._facts.retry_in()

    def __reduce__(self) -> Any:
        raise TypeError("a session cannot be copied or pickled: make another one with the same options")

    def __repr__(self) -> str:
        target = self._options.target
        shown = redact_url(target) if isinstance(target, str) else "a callable"
        if self._facts.in_forked_child:
            return f"<Resumable to {shown}, of another process>"
        number = len(self.files)
        return f"<Resumable to {shown}, {number} file{'s' * (number != 1)}, {self.state.value}>"

    # -- events --------------------------------------------------------------------------------------------------

    @overload
    def on(self, event: EventName | str, handler: Callable[..., Any], *, weak: bool = False) -> Subscription: ...

    @overload
    def on(self, event: EventName | str, *, weak: bool = False) -> Callable[[Callable[..., Any]], Subscription]: ...

    def on(self, event: EventName | str, handler: Callable[..., Any] | None = None, *, weak: bool = False) -> Any:
        """Call ``handler`` for the event, with the arguments of resumable.js; it may take fewer of them.

        Returns a subscription with ``off()``; without a handler it is a decorator. Handlers are called one at a time,
        in the order of the events, never on the thread of a worker. Raises UnknownEvent.
        """
        if handler is None:
            name = self.signals[event].name
            return lambda function: self.signals.on(name, function, weak=weak)
        return self.signals.on(event, handler, weak=weak)

    def off(self, event: str, handler: Callable[..., Any]) -> None:
        """Stop calling the handler for the event."""
        self.signals.off(event, handler)

    def _result(self, ending: Ending) -> Result:
        by_state: dict[FileState, list[ResumableFile]] = {state: [] for state in FileState}
        for key, state in sorted(ending.files.items()):
            by_state[state].append(self._facts.entry(key).subject)
        return Result(
            tuple(by_state[FileState.SUCCESS]),
            tuple(by_state[FileState.ERROR]),
            tuple(by_state[FileState.CANCELLED]),
            ending.skipped,
        )
