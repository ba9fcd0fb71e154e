"""Notices become signals: who is told what, and what a handler that comes late has missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, cast

from .core.records import Ending, Notice
from .dispatch.delivery import BATCH
from .dispatch.dispatcher import Dispatcher
from .dispatch.registry import FileEntry
from .events import EVENTS
from .file import ResumableFile
from .signals import Signals, Subscription

__all__ = ["Emitter"]


_ENDS = ("complete", "error", "file_error")
"""The events by which somebody who listens learns that a file has failed."""


class _CatchUp(NamedTuple):
    """What a late handler of a file missed: ``chunks`` that are stored, or, where that is None, the file's end."""

    subscription: Subscription
    chunks: range | None = None


class Emitter:
    """Tells the notices of one session: ``sender`` is who sends its events, ``make_result`` makes what the end of a run
    comes with."""

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
        """The handler listens to the event of the file, and is told first what it missed."""
        # Under the lock that is held while it is settled who is told, so that nothing is told twice or not at all.
        with self._signals.lock:
            subscription = self._signals.on(event, handler, sender=file, weak=weak)
            if event == "chunk_success":
                missed = [
                    _CatchUp(subscription, part) for part in _parts(self._dispatcher().missed_chunks(file._entry))
                ]
            else:
                missed = [_CatchUp(subscription)] if self._dispatcher().missed_end(file._entry, event) else []
        if missed:
            self._dispatcher().replay([Notice(event, file._entry.core.key, extra=(each,)) for each in missed])
        return subscription

    def emit(self, notice: Notice, entry: FileEntry | None) -> None:
        """Tells one notice, on the thread that calls handlers."""
        file: ResumableFile | None = None if entry is None else entry.subject
        event = notice.event
        if notice.extra and isinstance(notice.extra[0], _CatchUp):
            assert file is not None
            self._catch_up(file, notice.extra[0])
            return
        senders: tuple[Any, ...] = (self._sender,) if file is None or EVENTS[event].subject == "session" else (file,)
        facts: dict[str, Any] = {}
        extra = iter(notice.extra)
        for argument in EVENTS[event].arguments:
            if argument == "file":
                facts["file"] = file
            elif argument == "message":
                facts["message"] = notice.message
            elif argument == "result":
                facts["result"] = self._make_result(cast(Ending, next(extra)))
            elif argument == "chunk":
                assert file is not None
                assert notice.index is not None
                facts["chunk"] = file.chunks[notice.index]
                senders = (facts["chunk"], file)
            else:
                facts[argument] = next(extra)
        if event in _ENDS and self._signals.has_receivers(event):
            ended = facts["result"].failed if event == "complete" else [facts["file"]]
            self._dispatcher().know(each._entry.core.key for each in ended)
        self._signals.emit(event, senders, facts, self._dispatcher().recipients_fixed)

    def _catch_up(self, file: ResumableFile, missed: _CatchUp) -> None:
        if missed.chunks is None:
            facts = {"file": file, "message": file.message, "reason": file._entry.core.reason}
            self._signals.emit_to(missed.subscription, file, facts)
            return
        for index in missed.chunks:
            chunk = file.chunks[index]
            self._signals.emit_to(missed.subscription, chunk, {"chunk": chunk, "message": None})

    def report_failure(self, event: str, handler: Any, error: BaseException) -> None:
        """An async handler has failed, on the thread of its loop; that is told where handlers are called."""
        self._dispatcher().notify(Notice("handler_error", extra=(event, handler, error)))


def _parts(ranges: Iterable[tuple[int, int]]) -> Iterator[range]:
    """The ranges, in parts small enough that telling one does not freeze a window."""
    for start, stop in ranges:
        for first in range(start, stop, BATCH):
            yield range(first, min(first + BATCH, stop))
