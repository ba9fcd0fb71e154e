"""Notices become signals: who gets which event, and what a handler that comes late has missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, cast

from .core.records import Ending, Notice
from .dispatch.delivery import BATCH
from .dispatch.dispatcher import Dispatcher
from .dispatch.registry import FileEntry
from .events import EVENTS
from .file import ResumableFile
from .signals import Signals
from .subscription import Subscription

__all__ = ["Emitter"]


class _CatchUp(NamedTuple):
    """What a late handler of a file missed: ``chunks`` that are stored, or, if that is None, the file's end."""

    subscription: Subscription
    chunks: range | None = None


class Emitter:
    """Emits the notices of one session: ``sender`` is the sender of its events, ``make_result`` makes the argument of
    ``complete``."""

    def __init__(
        self,
        sender: object,
        signals: Signals,
        dispatcher: Callable[[], Dispatcher],
        make_result: Callable[[Ending], Any],
    ) -> None:
        self._sender = sender
        self._make_result = make_result
        self._signals = signals
        self._dispatcher = dispatcher

    def listen(self, file: ResumableFile, event: str, handler: Callable[..., Any], weak: bool) -> Subscription:
        """Connect the handler to the event of the file, and replay the events that it missed."""
        dispatcher, entry = self._dispatcher(), file._entry
        # Under the lock that is held while receivers are chosen, so that nothing is emitted twice or not at all.
        with self._signals.lock:
            subscription = self._signals.on(event, handler, sender=file, weak=weak)
            if event == "chunk_success":
                missed = [_CatchUp(subscription, part) for part in _parts(dispatcher.facts.missed_chunks(entry))]
            else:
                missed = [_CatchUp(subscription)] if dispatcher.facts.missed(entry, event) else []
        if missed:
            dispatcher.replay([Notice(event, entry.key, extra=(each,)) for each in missed])
        return subscription

    def emit(self, notice: Notice, entry: FileEntry | None) -> None:
        """Emit one notice, on the thread that calls handlers."""
        file: ResumableFile | None = None if entry is None else entry.subject
        row = EVENTS[notice.event]
        if notice.extra and isinstance(notice.extra[0], _CatchUp):
            assert file is not None
            self._catch_up(file, notice.extra[0])
            return
        # Whoever connects to a file hears of its chunks and errors, whoever connects to the session of all.
        senders: tuple[Any, ...] = (self._sender,)
        if file is not None:
            senders = (self._sender, file) if row.subject == "session" else (file, self._sender)
        arguments: list[Any] = []
        extra = iter(notice.extra)
        for argument in row.arguments:
            if argument == "file":
                arguments.append(file)
            elif argument == "message":
                arguments.append(notice.message)
            elif argument == "result":
                arguments.append(self._make_result(cast(Ending, next(extra))))
            elif argument == "chunk":
                assert file is not None
                assert notice.index is not None
                chunk = file._chunk(notice.index)
                chunk._message = notice.message or ""
                chunk._response = notice.response
                arguments.append(chunk)
                senders = (chunk, *senders)
            elif argument == "ratio":
                # Once for a file: cutting takes no time.
                arguments.append(0.0)
            else:
                arguments.append(next(extra))
        if row.terminal and self._signals.has_receivers(row.name):
            # A program that listens to this learns that the files have failed.
            files = [file] if file is not None else getattr(arguments[0], "failed", ())
            self._dispatcher().acknowledge(each._entry.key for each in files)
        self._signals.emit(row.name, senders, tuple(arguments), self._dispatcher().recipients_fixed)

    def _catch_up(self, file: ResumableFile, missed: _CatchUp) -> None:
        call, subscription = self._signals.call, missed.subscription
        if missed.chunks is None:
            status = self._dispatcher().facts.file_facts(file._entry)
            facts = {"file": file, "ratio": 0.0, "message": status.message, "reason": status.reason}
            arguments = tuple(facts[name] for name in EVENTS[subscription.event].arguments)
            call(subscription.event, subscription.receive, file, arguments)
            return
        for index in missed.chunks:
            chunk = file._chunk(index)
            call(subscription.event, subscription.receive, chunk, (chunk, None))

    def report_failure(self, event: str, handler: Any, error: BaseException) -> None:
        """Queue ``handler_error`` for what failed on another thread than that of the handlers: an async handler, or the
        hook ``on_abort``."""
        self._dispatcher().notify(Notice("handler_error", extra=(event, handler, error)))


def _parts(ranges: Iterable[tuple[int, int]]) -> Iterator[range]:
    """Yield the ranges, in parts small enough that one does not freeze a window."""
    for start, stop in ranges:
        for first in range(start, stop, BATCH):
            yield range(first, min(first + BATCH, stop))
