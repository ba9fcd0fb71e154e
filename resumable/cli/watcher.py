"""Send the files of a directory as they come to rest, until a signal ends it."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from .. import FileRejected, HookError, Resumable, ResumableFile, SourceError
from .disposal import Disposal
from .inbox import Arrival, Inbox, version_of
from .interruption import Interrupted
from .output import report
from .output.exit_codes import ExitCode, code_of, code_together, explain, plugin_in_words
from .output.json_events import JsonEvents
from .output.notes import Notes, OutputOptions
from .output.resume_command import command_again
from .output.stats import chunks_in, chunks_there
from .output.units import duration
from .params.command import console, styled
from .params.destination import Destination
from .params.sources import is_missing
from .runs import UnderWay, exclusive

__all__ = ["Watcher", "directory_changes"]

_RESCAN = 60.0
"""Seconds: file systems of a network do not say what other machines change."""

_MOST_ERRORS = 100
"""How many of the last errors the result lists."""


class Watcher:
    """One call of ``resumable watch``. Within a block of ``changes(wake)``, changes of the directory set ``wake``."""

    def __init__(
        self,
        destination: Destination,
        inbox: Inbox,
        disposal: Disposal,
        output: OutputOptions,
        *,
        typed: Sequence[str],
        changes: Callable[[threading.Event], Any],
    ) -> None:
        self._destination = destination
        self._inbox = inbox
        self._disposal = disposal
        self._output = output
        self._typed = typed
        self._changes = changes
        self._console = console()
        self._records = JsonEvents() if output.json else None
        self._notes = Notes(lambda text, whole: self._console.print(text, soft_wrap=True), output, self._records)
        self._wake = threading.Event()
        self._ended: deque[ResumableFile] = deque()
        self._under_way: dict[ResumableFile, Arrival] = {}
        self._failures = 0
        self._codes: set[ExitCode] = set()
        # As text: an error has its file, and that its session, which a command that runs for months has many of.
        self._errors: deque[str] = deque(maxlen=_MOST_ERRORS)
        self._named: set[str] = set()
        self._outage = threading.Lock()
        self._succeeded = self._skipped = 0
        self._uploaded: Counter[str] = Counter()
        self._began = time.monotonic()

    def run(self, root: str, *, once: bool) -> int:
        """Send what comes to rest below ``root``, and return the exit code.

        ``once``: end when everything that is there was tried.
        """
        try:
            with (
                exclusive(self._destination.target, [root]),
                self._changes(self._wake),
                self._notes.library_log(),
            ):
                while True:
                    self._wake.clear()
                    arrivals = self._look()
                    if arrivals:
                        self._send(arrivals)
                    elif once and self._inbox.next_look(time.monotonic(), retries=False) is None:
                        return self._end(code_together(self._codes, self._succeeded))
                    else:
                        self._rest()
        except UnderWay as other:
            self._count(other)
            self._notes.failure(str(other))
            return self._end(ExitCode.BUSY)
        except Interrupted as stop:
            self._notes.say(report.watch_stopped(stop, self._succeeded, command_again(self._typed)), always=True)
            return self._end(stop.exit_code)

    def _look(self) -> list[Arrival]:
        arrivals = self._inbox.look(time.monotonic())
        for error in self._inbox.errors:
            # Not of a link to nowhere, nor of a file that has just vanished.
            if str(error) not in self._named and not (is_missing(error) and version_of(error.source) is None):
                self._named.add(str(error))
                self._notes.failure(str(error))
        return arrivals

    def _rest(self) -> None:
        """Wait until the directory changes, or something in it may be at rest."""
        wait = self._inbox.next_look(time.monotonic())
        self._wake.wait(_RESCAN if wait is None else min(wait + 0.05, _RESCAN))

    # -- sending -------------------------------------------------------------------------------------------------

    def _send(self, arrivals: Sequence[Arrival]) -> None:
        """Send the files, and those that come to rest meanwhile, until none is left."""
        try:
            session = Resumable(
                self._destination.target,
                **{**self._destination.options, "auto_upload": True},
                should_retry=self._attempt_failed,
            )
        except Exception as error:
            # The options were checked; only plugins run code of others here.
            raise click.UsageError(plugin_in_words(error)) from None
        try:
            with session:
                self._follow(session)
                self._add(session, arrivals)
                while self._under_way:
                    self._rest()
                    self._wake.clear()
                    self._settle(session)
                    self._add(session, self._look())
                session.join(raise_errors=False)
        finally:
            self._settle(session)
            self._under_way.clear()

    def _follow(self, session: Resumable) -> None:
        if self._records is not None:
            self._records.follow(session)
        session.on("chunk_success", self._got_through)
        session.on("file_success", self._file_ended)
        session.on("file_error", self._file_ended)

    def _file_ended(self, file: ResumableFile) -> None:
        self._ended.append(file)
        self._wake.set()

    def _add(self, session: Resumable, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            found = arrival.found
            try:
                file = session.add_file(found.path, relative_path=found.relative_path)
            except FileRejected as error:
                self._skipped += 1
                self._notes.say(styled(("left out: ", "yellow"), str(error)))
            except (SourceError, HookError) as error:
                self._failed(arrival, error)
            else:
                self._under_way[file] = arrival
                if self._output.verbose:
                    self._notes.say(report.sending(found))

    def _settle(self, session: Resumable) -> None:
        """Deal with the files that have ended."""
        while self._ended:
            file = self._ended.popleft()
            arrival = self._under_way.pop(file, None)
            if arrival is None:
                continue
            if file.error is None:
                self._succeeded += 1
                self._uploaded["chunks"] += chunks_in(file, file.part_size)
                self._uploaded["chunks_already_there"] += chunks_there(file)
                self._uploaded["bytes_confirmed"] += file.bytes_confirmed
                self._uploaded["bytes_skipped"] += file.bytes_skipped
                self._done(file, arrival)
            else:
                self._failed(arrival, file.error)
            # The session would keep it for good.
            session.remove_file(file)

    def _done(self, file: ResumableFile, arrival: Arrival) -> None:
        path = arrival.found.path
        what = ""
        try:
            if version_of(path) == arrival.version:
                what = self._disposal.settle(path, arrival.version)
        except OSError as error:
            self._count(error)
            text = f"{path!r} was uploaded, but cannot be moved or marked: {error.strerror or error}"
            self._notes.failure(text)
        self._notes.say(report.success(file, what))

    def _failed(self, arrival: Arrival, error: Exception) -> None:
        now, path = time.monotonic(), arrival.found.path
        if version_of(path) != arrival.version:
            # Moved away, or written again: the new version is sent once it is at rest.
            self._inbox.forget(arrival)
            if self._output.verbose:
                self._notes.say(styled(("changed: ", "yellow"), f"{path!r}, which is not sent as it was"))
            return
        self._count(error)
        wait = self._inbox.failed(arrival, now)
        self._notes.failure(f"{explain(error)}; trying again in {duration(wait)}")

    def _count(self, error: Exception) -> None:
        self._failures += 1
        self._codes.add(code_of(error))
        self._errors.append(str(error))

    # -- what is said --------------------------------------------------------------------------------------------

    def _attempt_failed(self, error: Exception, attempt: int) -> None:
        """Say once for each outage that attempts fail. Called by workers."""
        if self._outage.acquire(blocking=False):
            self._notes.say(report.trouble(error, self._destination.target, None))

    def _got_through(self) -> None:
        if self._outage.locked():
            self._outage.release()
            self._notes.say(styled(("going on: ", "green"), "the server answers again"))

    def _end(self, code: int) -> int:
        if self._records is not None:
            facts = report.result(
                code,
                succeeded=self._succeeded,
                failed=self._failures,
                skipped=self._skipped,
                seconds=time.monotonic() - self._began,
                errors=self._errors,
                **self._uploaded,
            )
            self._records.finish(facts)
        return int(code)


@contextmanager
def directory_changes(directory: str, wake: threading.Event) -> Iterator[None]:
    """Set ``wake`` whenever something in the directory changes, within this block."""
    import watchfiles

    stop = threading.Event()

    def follow() -> None:
        while not stop.is_set():
            changes = watchfiles.watch(
                directory,
                watch_filter=None,
                stop_event=stop,
                debounce=200,
                raise_interrupt=False,
                rust_timeout=1000,
                yield_on_timeout=True,
            )
            try:
                # What came before it began to follow is not told, so that the first time counts as a change.
                for number, changed in enumerate(changes):
                    if changed or number == 0:
                        wake.set()
            except (OSError, RuntimeError):
                # The directory is gone, for the time being, or there are too many to follow: the scans have to do.
                stop.wait(_RESCAN)

    thread = threading.Thread(target=follow, name="resumable-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
