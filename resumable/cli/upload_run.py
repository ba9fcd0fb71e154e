"""One call of ``resumable upload``: what is sent, what is printed, and the exit code."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing

import click

from .. import (
    Result,
    Resumable,
    ResumableFile,
    RetriesExhausted,
    SourceError,
    WaitTimeout,
)
from .interruption import Interrupted, InterruptGuard
from .output import report
from .output.display import Display, display
from .output.exit_codes import (
    ExitCode,
    code_of_all,
    explain,
    plugin_in_words,
)
from .output.json_events import JsonEvents
from .output.notes import Notes, OutputOptions
from .output.resume_command import command_again
from .output.stats import RunStats
from .params.command import console, styled
from .params.destination import Destination
from .params.sources import (
    STREAM,
    Found,
    Selection,
    find,
)
from .runs import UnderWay, exclusive
from .source_adder import SourceAdder

__all__ = ["UploadRun"]

_MOST_FAILURES = 20


class UploadRun:
    """One call of the command, which sends the ``selection``.

    ``typed`` are its arguments, ``signals`` may interrupt it. With ``ignore_missing`` a source may be missing.
    """

    def __init__(
        self,
        destination: Destination,
        selection: Selection,
        output: OutputOptions,
        *,
        ignore_missing: bool,
        typed: Sequence[str],
        signals: InterruptGuard,
    ) -> None:
        self._selection = selection
        self._output = output
        self._typed = typed
        self._signals = signals
        self._console = console()
        self._stats = RunStats()
        self._target = destination.target
        self._records = JsonEvents() if output.json else None
        try:
            self._session = Resumable(
                destination.target,
                **destination.options,
                should_retry=self._attempt_failed,
                throttle_progress_callbacks=0.1,
            )
        except Exception as error:
            # Only plugins run code of others here.
            raise click.UsageError(plugin_in_words(error)) from None
        self._display: Display = display("none", self._console, self._session, self._stats)
        self._notes = Notes(lambda text, whole: self._display.say(text, whole=whole), output, self._records)
        self._adder = SourceAdder(self._session, self._notes, self._records, signals, ignore_missing=ignore_missing)
        self._outage_reported = threading.Lock()

    def run(self, *, dry: bool) -> int:
        """Upload the selected files, or list them if ``dry``, say how it went, and return the exit code.

        If a source cannot be read, the others are still sent, unless the session fails fast.
        """
        try:
            found = list(find(self._selection))
            if dry and found:
                return self._list(found)
        except Interrupted as stop:
            self._notes.say(report.stopped_early(stop, command_again(self._typed)), always=True, whole=True)
            return self._end(stop.exit_code)
        if not found:
            return self._end(self._nothing())
        part = self._session.options.part
        paths = [item.path for item in found if isinstance(item, Found) and item.path != STREAM]
        try:
            with (
                exclusive(self._target, paths, part),
                self._session as session,
                self._notes.library_log(),
            ):
                code, skipped = self._send(session, found)
        except Interrupted as stop:
            return self._end(stop.exit_code)
        except UnderWay as other:
            self._session.close()
            self._adder.errors.append(other)
            self._notes.failure(str(other))
            return self._end(ExitCode.BUSY)
        return self._end(code, skipped)

    # -- sending -------------------------------------------------------------------------------------------------

    def _send(self, session: Resumable, found: Iterable[Found | SourceError]) -> tuple[ExitCode, int]:
        """Send the files, and return the exit code and how many were left out."""
        self._stats.follow(session)
        self._listen(session)
        try:
            self._adder.add_all(found)
            if self._adder.errors and session.options.fail_fast:
                session.cancel()
            if not session.files:
                return self._nothing(), 0
            output = self._output
            self._display = display(
                output.progress, self._console, session, self._stats, quiet=output.quiet, verbose=output.verbose > 0
            )
            with self._signals.held():
                session.upload()
            result = self._wait_for(session)
        except Interrupted as stop:
            self._stats.freeze()
            self._display.stop()
            text = report.stopped(stop, session, command_again(self._typed), piped=self._selection.piped)
            self._notes.say(text, always=True, whole=True)
            # This gives nothing up: the same command resumes it.
            session.close()
            raise
        finally:
            self._display.stop()
        refused = self._adder.errors
        code = code_of_all([*refused, *result.errors], len(result.succeeded))
        self._notes.say(report.summary(session, self._stats, result, code, refused=len(refused)))
        return code, len(result.skipped)

    def _wait_for(self, session: Resumable) -> Result:
        while True:
            try:
                return session.join(self._display.interval, raise_errors=False)
            except WaitTimeout:
                # Bars that are interrupted halfway are drawn twice.
                with self._signals.held():
                    self._display.draw()

    def _nothing(self) -> ExitCode:
        """Say that there is nothing to send, if nothing has been said about it yet, and return the exit code."""
        if self._adder.errors:
            return code_of_all(self._adder.errors, 0)
        if self._adder.missing or self._selection.shard is not None:
            self._notes.say(styled(("done: ", "bold green"), "there is nothing to upload"))
            return ExitCode.DONE
        after = "" if self._selection.rules.empty else " after --include and --exclude"
        self._notes.failure(f"there is nothing to upload{after}")
        return ExitCode.SOURCE

    def _end(self, code: int, skipped: int = 0) -> int:
        if self._records is not None:
            skipped += self._records.skipped
            self._records.finish(report.facts(code, self._stats, self._adder.errors, skipped))
        return int(code)

    # -- what is said meanwhile ----------------------------------------------------------------------------------

    def _listen(self, session: Resumable) -> None:
        session.on("file_success", self._file_done)
        session.on("file_error", lambda file: self._file_failed(file.error))
        if self._output.verbose:
            session.on("chunk_retry", lambda chunk, message: self._notes.say(report.retry(chunk, message)))
        if self._output.verbose > 1:
            session.on("chunk_success", lambda chunk: self._notes.say(report.chunk(chunk)))
        if self._records is not None:
            self._records.follow(session)

    def _attempt_failed(self, error: Exception, attempt: int) -> None:
        """Say once that attempts fail, for a person may know better than to wait. Called by workers."""
        self._stats.attempt_failed(error)
        limit = self._session.options.max_chunk_retries
        again = isinstance(error, RetriesExhausted) and (limit is None or attempt <= limit)
        if again and self._outage_reported.acquire(blocking=False):  # never released: it is said once
            text = report.trouble(error, self._target, self._session.options.retry_for, limit)
            self._notes.say(text)
            self._notes.tell("waiting", text.plain.removeprefix("waiting: "))

    def _file_done(self, file: ResumableFile) -> None:
        if not self._display.finished(file) and self._output.verbose:
            self._notes.say(report.success(file))

    def _file_failed(self, error: Exception | None) -> None:
        failed = self._stats.failed
        if error is not None and (failed <= _MOST_FAILURES or self._output.verbose):
            self._notes.failure(explain(error))
        elif failed == _MOST_FAILURES + 1:
            self._notes.failure("more files; -v shows all of them")

    def _list(self, found: Iterable[Found | SourceError]) -> int:
        """List what would be sent, for ``--dry-run``: on the standard output, unless that is for ``--json``."""
        options, adder = self._session.options, self._adder
        listing = console(sys.stdout)
        files: list[Found] = []
        with closing(self._session):
            for item in found:
                if isinstance(item, SourceError):
                    adder.refuse(item)
                    continue
                if item.path != STREAM and not adder.add(item):
                    continue
                files.append(item)
                if self._records is None:
                    listing.print(report.planned(item, options), soft_wrap=True)
                else:
                    self._notes.say(report.planned(item, options))
                    self._records.write("planned", item._asdict())
        if not files and not adder.errors:
            return self._end(self._nothing())
        self._notes.say(report.plan(files))
        return self._end(code_of_all(adder.errors, len(files)))
