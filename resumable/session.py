"""The session: what a user holds."""

from __future__ import annotations

import logging
import mimetypes
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath, PureWindowsPath
from typing import Any

from .core.records import Notice
from .core.session import Policy
from .core.states import FileState, SessionState
from .dispatch.engine import Engine, Moved
from .dispatch.entry import Entry, FileRecord
from .dispatch.hooks import Hooks
from .dispatch.perform import Performer
from .errors import FileRejected, StateError, UploadFailed, without_secrets
from .events import EVENTS
from .file import CatchUp, Registration, ResumableFile, time_remaining
from .options import Options
from .plugins import resolve_plugins
from .protocol import identifiers
from .protocol.plan import ChunkOrder, ChunkPlan
from .signals import Signals, Subscription
from .transport.directory import walk
from .transport.http import RequestsTransport
from .transport.source import Source, make_source

__all__ = ["Result", "Resumable"]

logger = logging.getLogger("resumable")

MANY_CHUNKS = 9999
"""Some servers name the files of chunks with four digits."""

_ENDINGS = frozenset({"file_success", "file_error", "file_cancelled"})


@dataclass(frozen=True)
class Result:
    """What became of the files of a run. ``errors`` are those of the failed files, in the same order."""

    succeeded: tuple[ResumableFile, ...] = ()
    failed: tuple[ResumableFile, ...] = ()
    cancelled: tuple[ResumableFile, ...] = ()

    @property
    def errors(self) -> tuple[Exception, ...]:
        """The exceptions of the failed files."""
        return tuple(file.error for file in self.failed if file.error is not None)

    def __bool__(self) -> bool:
        return not self.failed and not self.cancelled


class Resumable:
    """Uploads files in chunks, in parallel, to a server that speaks the protocol of resumable.js.

    ``target`` is the URL (or a callable that makes it); the other options are listed in the documentation, one row
    each, and every one of them may be given by keyword. Nothing is opened and no thread is started before the first
    file is added. Every method may be called by any thread, and from handlers, unless it says otherwise.

    As a context manager a session ends with the block: everything is uploaded and what failed is raised, or, where
    the block raised, everything is cancelled.

    Raises UnknownOption (a TypeError) and OptionError (a ValueError).
    """

    support = True
    """Whether uploads work here (resumable.js ``support``): always."""

    def __init__(
        self,
        target: str | Callable[[list[str]], str],
        chunk_size: int = 1024 * 1024,
        simultaneous_uploads: int = 3,
        headers: Any = None,
        test_chunks: bool = True,
        max_chunk_retries: int | None = 100,
        permanent_errors: Iterable[int] = Options.permanent_errors,
        **options: Any,
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
        self.signals = Signals(self, loop=checked.loop)
        self._transport = checked.transport or RequestsTransport(
            checked.session, connections=checked.simultaneous_uploads
        )
        self._owns_transport = checked.transport is None
        order = "free" if checked.prioritize_first_and_last_chunk else checked.chunk_order
        self._order = order
        policy = Policy(
            slots=checked.simultaneous_uploads,
            test_chunks=checked.test_chunks,
            max_chunk_retries=checked.max_chunk_retries,
            retry_for=checked.retry_for,
            fail_fast=checked.fail_fast,
            first_and_last=checked.prioritize_first_and_last_chunk,
            delay=_delay(checked.chunk_retry_interval),
        )
        self._engine = Engine(
            policy,
            perform=lambda entry, lease, watch: self._performer.perform(entry, lease, watch),
            emit=self._emit,
            wanted=self.signals.wanted,
            deliver=checked.deliver,
            clock=clock,
            throttle=checked.throttle_progress_callbacks,
        )
        self._performer = Performer(
            lambda: self._options,
            self._hooks,
            self._transport,
            begin_send=self._engine.begin_send,
            trusts_tests=self._engine.trusts_tests,
            distrusts_tests=lambda: self._engine.distrusts_tests,
        )
        self._raised: set[int] = set()
        for plugin in plugins:
            plugin.attach(self)

    # -- adding --------------------------------------------------------------------------------------------------

    def add_file(
        self,
        source: Any,
        *,
        relative_path: str | PurePath | None = None,
        unique_identifier: str | None = None,
        mime_type: str | None = None,
        on: Mapping[str, Callable[..., Any]] | None = None,
    ) -> ResumableFile:
        """The file is part of the session, and with ``auto_upload`` its upload has begun.

        ``source`` is a path, an object with ``open()`` and ``stat()``, a binary file, bytes (then ``relative_path``
        names them), or a binary stream. ``on`` connects handlers before anything happens. Raises SourceError,
        FileRejected (also where the file is in the session already), StateError on a closed session, HookError.
        """
        self._refuse_closed()
        self._engine.tell(Notice("before_add"))
        file = self._add(source, relative_path, unique_identifier, mime_type, on or {})
        self._engine.tell(Notice("files_added", extra=([file], [])))
        return file

    def add_files(self, sources: Iterable[Any]) -> list[ResumableFile]:
        """The files are part of the session. Each source is one for :meth:`add_file`, or (source, relative path).

        What is refused or there already is not raised but listed in ``skipped`` of ``files_added``; a source that
        cannot be read raises SourceError, and then none of them was added.
        """
        self._refuse_closed()
        batch = [item if isinstance(item, tuple) else (item, None) for item in sources]
        self._engine.tell(Notice("before_add"))
        prepared = [(source, make_source(source, name=_name(path)), path) for source, path in batch]
        added: list[ResumableFile] = []
        skipped: list[Any] = []
        if not self._takes(len(prepared)):
            self._refuse_many([source for source, _, _ in prepared])
            skipped = [source for source, _, _ in prepared]
            prepared = []
        for given, source, path in prepared:
            try:
                added.append(self._admit(given, source, path, None, None, {}))
            except FileRejected:
                source.close()
                skipped.append(given)
        self._engine.tell(Notice("files_added", extra=(added, skipped)))
        return added

    def add_directory(
        self, root: str | os.PathLike[str], pattern: str = "**/*", exclude: Iterable[str] = ()
    ) -> list[ResumableFile]:
        """The files below ``root`` that match ``pattern`` and none of ``exclude`` are part of the session.

        Their relative paths begin with the name of the directory, as a browser has it. Raises SourceError.
        """
        return self.add_files(list(walk(root, pattern, exclude)))

    def _add(
        self,
        given: Any,
        relative_path: Any,
        unique_identifier: str | None,
        mime_type: str | None,
        on: Mapping[str, Callable[..., Any]],
    ) -> ResumableFile:
        if not self._takes(1):
            raise self._refuse_many([given])
        source = make_source(given, name=_name(relative_path))
        try:
            return self._admit(given, source, relative_path, unique_identifier, mime_type, on)
        except BaseException:
            source.close()
            raise

    def _admit(
        self,
        given: Any,
        source: Source,
        relative_path: Any,
        unique_identifier: str | None,
        mime_type: str | None,
        on: Mapping[str, Callable[..., Any]],
    ) -> ResumableFile:
        options = self._options
        path = _posix(relative_path) if relative_path is not None else source.name
        name = path.rpartition("/")[2] or source.name
        kind = mime_type if mime_type is not None else mimetypes.guess_type(name)[0] or ""
        self._check(given, source, name, kind)
        identifier = unique_identifier
        if identifier is None:
            identifier = self._identify(source, path if relative_path is None else relative_path, path)
        if identifier is not None and self.get_from_unique_identifier(identifier) is not None:
            raise FileRejected(path, "unique_identifier", f"a file with the identifier {identifier!r} is there already")
        if options.max_files == 1:
            for other in self.files:
                self._engine.cancel_file(other._entry, announce=False)
        entry = Entry(FileRecord(name, path, source.size, kind, identifier), source, relative=relative_path)
        handle = entry.subject = ResumableFile(self, self._engine, entry)
        for event, handler in on.items():
            self.signals.on(event, handler, sender=handle)
        plan = ChunkPlan(source.size, options.chunk_size, options.force_chunk_size)
        if plan.count > MANY_CHUNKS:
            logger.warning("%r has %d chunks: some servers take at most 9999; raise chunk_size for those", path, plan.count)
        order = ChunkOrder(plan.count, self._order, options.prioritize_first_and_last_chunk)
        prepared = identifier is not None and not self._hooks.has("preprocess_file")
        self._engine.add(entry, plan, order, prepared=prepared, start=options.auto_upload)
        return handle

    def _identify(self, source: Source, relative_path: Any, path: str) -> str | None:
        made = self._options.generate_unique_identifier
        if made is not None and identifiers.is_slow(made):
            return None
        identifier = self._hooks.call("generate_unique_identifier", source.path, relative_path)
        if identifier is None:
            return identifiers.default(source.size, path, source.mtime_ns)
        return str(identifier)

    def _takes(self, count: int) -> bool:
        limit = self._options.max_files
        if limit is None:
            return True
        if limit == 1:
            return count == 1
        return len(self.files) + count <= limit

    def _refuse_many(self, sources: list[Any]) -> FileRejected:
        count = len(self.files)
        callback = self._options.max_files_error_callback
        if callback is not None:
            callback(sources, count)
        name = str(sources[0]) if not isinstance(sources[0], bytes) else "bytes"
        return FileRejected(name, "max_files", f"max_files is {self._options.max_files}, and there are {count} already")

    def _check(self, given: Any, source: Source, name: str, kind: str) -> None:
        options = self._options
        for refused, option, reason, callback in (
            (
                not _is_of_type(options.file_type, name, kind),
                "file_type",
                f"file_type allows {', '.join(options.file_type)}",
                options.file_type_error_callback,
            ),
            (
                source.size < options.min_file_size,
                "min_file_size",
                f"it has {source.size} bytes, and min_file_size is {options.min_file_size}",
                options.min_file_size_error_callback,
            ),
            (
                options.max_file_size is not None and source.size > options.max_file_size,
                "max_file_size",
                f"it has {source.size} bytes, and max_file_size is {options.max_file_size}",
                options.max_file_size_error_callback,
            ),
        ):
            if refused:
                if callback is not None:
                    callback(given, len(self.files))
                raise FileRejected(name, option, reason)

    def _refuse_closed(self) -> None:
        if self._engine.state is SessionState.CLOSED:
            raise StateError("add a file", "the session is closed")

    # -- commands ------------------------------------------------------------------------------------------------

    def upload(self) -> None:
        """A run is under way: the files are sent, and ``complete`` fires when nothing is open. Resumes a pause."""
        self._engine.upload()

    def pause(self) -> None:
        """No request begins any more, and bodies stop; a request that waits for its answer may finish and counts."""
        self._engine.pause()

    def resume(self) -> None:
        """A paused session goes on; one that is not paused is left alone."""
        if self._engine.state is SessionState.PAUSED:
            self._engine.upload()

    def cancel(self) -> None:
        """All files are removed and their requests cut off. ``complete`` does not fire."""
        self._engine.cancel()

    def join(self, timeout: float | None = None, *, raise_errors: bool = True) -> Result:
        """No more files come; returns what became of them, once the run is over and every handler has returned.

        The session can be used for another run. With ``deliver="manual"`` the handlers run here meanwhile; with a
        posted delivery only the transfers are waited for. Ctrl-C pauses the session and is raised.

        Raises UploadFailed with the error of each failed file (once; not with ``raise_errors=False``), WaitTimeout
        after ``timeout`` seconds, and StateError in a handler.
        """
        if self._engine.inside_handler:
            raise StateError("join the session", "a handler is running on this thread, and it would wait for itself")
        if self._engine.state is SessionState.IDLE and any(file.state in _OPEN for file in self.files):
            self._engine.upload()
        self._engine.release()
        try:
            ended = self._engine.join(timeout)
        except KeyboardInterrupt:
            self._engine.pause()
            raise
        result = self._result(ended)
        if raise_errors and result.failed:
            fresh = [file for file in result.failed if id(file.error) not in self._raised]
            self._raised.update(id(file.error) for file in fresh)
            if fresh:
                raise UploadFailed(result.errors, result)
        return result

    def close(self) -> None:
        """The session has ended for good: requests are cut off, threads gone, connections closed. At most 2 s.

        Raises StateError in a handler. Asking twice does nothing.
        """
        self._engine.close()
        if self._owns_transport:
            self._transport.close()
        for entry in self._engine.entries():
            entry.source.close()

    def __enter__(self) -> Resumable:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.join()
            elif self._engine.state is not SessionState.CLOSED:
                self._engine.cancel()
        finally:
            self.close()

    def process_events(self) -> int:
        """How many waiting notices were delivered, by handlers run here: for ``deliver="manual"``."""
        return self._engine.process_events()

    def remove_file(self, file: ResumableFile) -> None:
        """The file is no longer part of the session (resumable.js ``removeFile``); its requests are cut off."""
        self._engine.cancel_file(file._entry, announce=False)

    def update_query(self, query: Any) -> None:
        """Later requests carry these extra parameters (resumable.js ``updateQuery``). Raises OptionError."""
        self._options = self._options.with_query(query)

    # -- facts ---------------------------------------------------------------------------------------------------

    @property
    def options(self) -> Options:
        """The options, checked and normalised."""
        return self._options

    @property
    def state(self) -> SessionState:
        """Where the session is."""
        return self._engine.state

    @property
    def files(self) -> list[ResumableFile]:
        """The files of the session, in the order in which they were added."""
        return [entry.subject for entry in self._engine.entries()]

    def is_uploading(self) -> bool:
        """Whether a run is under way and not paused (resumable.js ``isUploading``)."""
        return self._engine.state is SessionState.UPLOADING

    def get_from_unique_identifier(self, identifier: str) -> ResumableFile | None:
        """The file with this identifier, or None (resumable.js ``getFromUniqueIdentifier``)."""
        for file in self.files:
            if file.unique_identifier == identifier:
                return file
        return None

    def get_size(self) -> int:
        """The bytes of all files (resumable.js ``getSize``)."""
        return self._moved.size

    def progress(self) -> float:
        """The confirmed part of all files, 0 to 1 (resumable.js ``progress``)."""
        moved = self._moved
        if not moved.size:
            files = self.files
            return 1.0 if files and all(file.is_complete for file in files) else 0.0
        return moved.confirmed / moved.size

    @property
    def _moved(self) -> Moved:
        return self._engine.session_moved()

    @property
    def bytes_confirmed(self) -> int:
        """The bytes of all files that the server acknowledged."""
        return self._moved.confirmed

    @property
    def bytes_skipped(self) -> int:
        """Those of the confirmed bytes that the server had already."""
        return self._moved.skipped

    @property
    def bytes_sent(self) -> int:
        """The bytes that were handed to the network and not given up. Falls on a retry."""
        return self._moved.sent

    @property
    def speed(self) -> float:
        """Bytes a second, smoothed; what the server had already does not count."""
        return self._moved.speed

    @property
    def time_remaining(self) -> float | None:
        """Seconds until all is sent at this speed; None where there is no speed yet."""
        return time_remaining(self._moved)

    def __repr__(self) -> str:
        target = self._options.target
        shown = without_secrets(target) if isinstance(target, str) else "a callable"
        return f"<Resumable to {shown}, {len(self.files)} files, {self.state.value}>"

    # -- events --------------------------------------------------------------------------------------------------

    def on(self, event: str, handler: Callable[..., Any] | None = None, *, weak: bool = False) -> Any:
        """``handler`` is called at the event, with resumable.js's arguments; those it has no room for are dropped.

        Returns a subscription with ``off()``; without a handler it is a decorator. Handlers are called one at a time,
        in the order of the events, never on the thread of a worker. Raises UnknownEvent.
        """
        if handler is None:
            return lambda function: self.signals.on(event, function, weak=weak)
        return self.signals.on(event, handler, weak=weak)

    def off(self, event: str, handler: Callable[..., Any]) -> None:
        """The handler does not listen to the event any more."""
        self.signals.off(event, handler)

    @property
    def file_added(self) -> Registration:
        """``register(callback)``, called with the file; as resumable.py 0.1.1 had it."""
        return Registration(lambda callback: self.on("file_added", lambda file: callback(file)))

    @property
    def file_completed(self) -> Registration:
        """``register(callback)``, called with the file; as resumable.py 0.1.1 had it."""
        return Registration(lambda callback: self.on("file_success", lambda file: callback(file)))

    @property
    def chunk_completed(self) -> Registration:
        """``register(callback)``, called with the file and the chunk; as resumable.py 0.1.1 had it."""
        return Registration(lambda callback: self.on("chunk_success", lambda chunk: callback(chunk.file, chunk)))

    def _listen(self, file: ResumableFile, event: str, handler: Callable[..., Any], weak: bool) -> Subscription:
        name = self.signals[event].name
        missed: tuple[tuple[int, int], ...] | None = None
        with self.signals.lock:
            subscription = self.signals.on(name, handler, sender=file, weak=weak)
            late = file._told == name
            if name == "chunk_success":
                missed = self._engine.told_chunks(file._entry, file._told_notice)
                late = bool(missed)
        if late:
            self._engine.tell(Notice(name, file._entry.core.key, extra=(CatchUp(subscription, missed),)))
        return subscription

    def _emit(self, notice: Notice, entry: Entry | None) -> None:
        """Delivers one notice, on the thread that calls handlers."""
        file: ResumableFile | None = entry.subject if entry is not None else None
        event = notice.event
        if notice.extra and isinstance(notice.extra[0], CatchUp):
            assert file is not None
            self._catch_up(file, notice.extra[0])
            return
        senders: tuple[Any, ...] = (self,) if file is None or EVENTS[event].subject == "session" else (file,)
        facts: dict[str, Any] = {}
        extra = iter(notice.extra)
        for argument in EVENTS[event].arguments:
            if argument == "file":
                facts["file"] = file
            elif argument == "message":
                facts["message"] = notice.message
            elif argument == "chunk":
                assert file is not None and notice.index is not None
                facts["chunk"] = file.chunks[notice.index]
                senders = (facts["chunk"], file)
            else:
                facts[argument] = next(extra)

        def told() -> None:
            if file is not None:
                file._told_notice = notice
                if event in _ENDINGS:
                    file._told = event

        self.signals.emit(event, senders, facts, told)

    def _catch_up(self, file: ResumableFile, missed: CatchUp) -> None:
        if missed.ranges is None:
            self.signals.emit_to(missed.subscription, file, {"file": file, "message": file.message})
            return
        for start, stop in missed.ranges:
            for index in range(start, stop):
                chunk = file.chunks[index]
                self.signals.emit_to(missed.subscription, chunk, {"chunk": chunk, "message": None})

    def _result(self, ended: Mapping[int, FileState]) -> Result:
        by_state: dict[FileState, list[ResumableFile]] = {state: [] for state in FileState}
        for key, state in sorted(ended.items()):
            by_state[state].append(self._engine.entry(key).subject)
        return Result(
            tuple(by_state[FileState.SUCCESS]),
            tuple(by_state[FileState.ERROR]),
            tuple(by_state[FileState.CANCELLED]),
        )


_OPEN = frozenset({FileState.PREPARING, FileState.READY, FileState.UPLOADING, FileState.PAUSED})


def _delay(interval: Any) -> Callable[[int, int], float]:
    """Seconds before a retry, from how often the chunk was retried and how long nothing got through."""
    if callable(interval):
        return lambda retries, streak: float(interval(retries))
    if interval is not None:
        return lambda retries, streak: float(interval)
    # Full jitter: clients that failed together do not come back together.
    return lambda retries, streak: random.uniform(0, min(60.0, 0.5 * 2 ** min(streak, 10)))


def _posix(path: Any) -> str:
    """The path with ``/``, without drive and root: what a server may know of where a file lies."""
    text = PureWindowsPath(str(path)).as_posix() if isinstance(path, PureWindowsPath) else os.fspath(path)
    text = str(text).replace("\\", "/")
    drive, colon, rest = text.partition(":/")
    if colon and len(drive) == 1:
        text = rest
    return "/".join(part for part in text.split("/") if part not in ("", "."))


def _name(relative_path: Any) -> str | None:
    return None if relative_path is None else _posix(relative_path).rpartition("/")[2] or None


def _is_of_type(allowed: tuple[str, ...], name: str, kind: str) -> bool:
    """Whether the file is of an allowed type: an extension with or without its dot, or a MIME type (``image/*``)."""
    if not allowed:
        return True
    lowered = name.lower()
    for item in (item.lower().replace(" ", "") for item in allowed):
        if "/" in item:
            family = item.partition("/")[0]
            if item == kind or (item.endswith("/*") and kind.startswith(f"{family}/")):
                return True
        elif lowered.endswith(item if item.startswith(".") else f".{item}"):
            return True
    return False
