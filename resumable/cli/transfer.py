"""One call of ``resumable upload``: what is sent, what is printed, and the exit code."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import NamedTuple

import click
from rich.text import Text

from .. import (
    FileRejected,
    HookError,
    Result,
    Resumable,
    ResumableFile,
    RetriesExhausted,
    SourceError,
    WaitTimeout,
)
from ..sources.directory import LinkedAgain
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
from .output.library_log import describe, library_log, log_line
from .output.resume_command import command_again
from .output.stats import RunStats
from .params.command import console, styled
from .params.connection import Connection
from .params.flags import as_flags
from .params.sources import (
    STREAM,
    Found,
    Selection,
    find,
    is_missing,
)
from .params.stdio import standard_input
from .runs import UnderWay, exclusive

__all__ = ["OutputOptions", "Transfer"]

_MOST_FAILURES = 20


class OutputOptions(NamedTuple):
    """The flags that decide what is printed, and how."""

    kind: str
    quiet: bool
    verbose: int
    json: bool
    log_file: str | None


class Transfer:
    """One call of the command, which sends the ``selection``.

    ``typed`` are its arguments, ``signals`` may interrupt it. With ``ignore_missing`` a source may be missing.
    """

    def __init__(
        self,
        connection: Connection,
        selection: Selection,
        output: OutputOptions,
        *,
        ignore_missing: bool,
        typed: Sequence[str],
        signals: InterruptGuard,
    ) -> None:
        self._selection = selection
        self._output = output
        self._ignore_missing = ignore_missing
        self._typed = typed
        self._signals = signals
        self._console = console()
        self._stats = RunStats()
        self._errors: list[Exception] = []
        self._missing = 0
        self._target = connection.target
        self._records = JsonEvents() if output.json else None
        try:
            self._session = Resumable(
                connection.target,
                **connection.options,
                should_retry=self._attempt_failed,
                throttle_progress_callbacks=0.1,
            )
        except Exception as error:
            # Only plugins run code of others here.
            raise click.UsageError(plugin_in_words(error)) from None
        self._display: Display = display("none", self._console, self._session, self._stats)
        self._outage_reported = threading.Lock()

    def run(self, *, dry: bool) -> int:
        """Upload the selected files, or list them if ``dry``, say how it went, and return the exit code.

        A source that cannot be read does not keep the others from being sent, unless the session fails fast.
        """
        try:
            found = list(find(self._selection))
            if dry and found:
                return self._list(found)
        except Interrupted as stop:
            self._say(report.stopped_early(stop, command_again(self._typed)), always=True, whole=True)
            return self._end(stop.exit_code)
        if not found:
            return self._end(self._nothing())
        part = self._session.options.part
        paths = [item.path for item in found if isinstance(item, Found) and item.path != STREAM]
        try:
            with (
                exclusive(self._target, paths, part),
                self._session as session,
                library_log(self._note, requests=self._output.verbose > 1, file=self._output.log_file),
            ):
                code, skipped = self._send(session, found)
        except Interrupted as stop:
            return self._end(stop.exit_code)
        except UnderWay as other:
            self._session.close()
            self._errors.append(other)
            self._say(report.failure(str(other)), always=True)
            return self._end(ExitCode.BUSY)
        return self._end(code, skipped)

    # -- sending -------------------------------------------------------------------------------------------------

    def _send(self, session: Resumable, found: Iterable[Found | SourceError]) -> tuple[ExitCode, int]:
        """Send the files, and return the exit code and how many were left out."""
        self._stats.follow(session)
        self._listen(session)
        try:
            self._add(session, found)
            if self._errors and session.options.fail_fast:
                session.cancel()
            if not session.files:
                return self._nothing(), 0
            output = self._output
            self._display = display(
                output.kind, self._console, session, self._stats, quiet=output.quiet, verbose=output.verbose > 0
            )
            with self._signals.held():
                session.upload()
            result = self._wait_for(session)
        except Interrupted as stop:
            self._stats.freeze()
            self._display.stop()
            text = report.stopped(stop, session, command_again(self._typed), piped=self._selection.piped)
            self._say(text, always=True, whole=True)
            # This gives nothing up: the same command resumes it.
            session.close()
            raise
        finally:
            self._display.stop()
        errors = [*self._errors, *result.errors]
        code = code_of_all(errors, len(result.succeeded))
        self._say(report.summary(session, self._stats, result, code, refused=len(self._errors)))
        return code, len(result.skipped)

    def _wait_for(self, session: Resumable) -> Result:
        while True:
            try:
                return session.join(self._display.interval, raise_errors=False)
            except WaitTimeout:
                # Bars that are interrupted halfway are drawn twice.
                with self._signals.held():
                    self._display.draw()

    def _add(self, session: Resumable, found: Iterable[Found | SourceError]) -> None:
        added: set[str] = set()
        for item in found:
            if isinstance(item, Found):
                self._add_one(session, item, added)
            else:
                self._refuse(item)

    def _add_one(self, session: Resumable, item: Found, added: set[str]) -> bool:
        """Add the file, or say why it is left out. Return whether it was added."""
        path = os.path.realpath(item.path)
        try:
            if item.path == STREAM:
                if sys.stdin is None:
                    raise SourceError(STREAM, "the standard input is closed")
                if sys.stdin.isatty():
                    self._say(Text("reading the standard input; press Ctrl-D at its end"))
                session.add_file(standard_input(self._signals.wait), relative_path=item.relative_path)
            else:
                session.add_file(item.path, relative_path=item.relative_path)
                added.add(path)
            return True
        except SourceError as error:
            self._refuse(error)
            return False
        except HookError as error:
            self._fail(error, explain(error))
            return False
        except FileRejected as error:
            if error.option != "unique_identifier" or path in added:
                self._leave_out(as_flags(str(error)), counted=error.option != "unique_identifier")
                return False
            # The server could not tell it from another file; the user did not ask to leave it out.
            self._fail(error, f"{item.path!r}: {error}; --identifier content tells them apart")
            return False

    def _refuse(self, error: SourceError) -> None:
        """Show why a source is not sent. A link to what is sent already is not a failure, nor need a missing one be."""
        if isinstance(error, LinkedAgain):
            self._leave_out(f"{error.source!r} is a link to a directory whose files are sent already")
        elif self._ignore_missing and is_missing(error):
            self._missing += 1
            self._leave_out(f"{error.source!r} does not exist")
        else:
            self._fail(error)

    def _leave_out(self, text: str, *, counted: bool = True) -> None:
        """Show what is not sent, and why, although nothing has failed."""
        self._say(styled(("left out: ", "yellow"), text))
        self._tell("left_out", text)
        if self._records is not None and counted:
            self._records.skipped += 1

    def _fail(self, error: Exception, text: str = "") -> None:
        """Count and show the error of something that does not even become a file of the session."""
        text = text or str(error).replace("open it and pass the stream", "pipe its content to - instead")
        self._errors.append(error)
        self._say(report.failure(text), always=True)
        self._tell("failed", text)

    def _nothing(self) -> ExitCode:
        """Say that there is nothing to send, if nothing has been said about it yet, and return the exit code."""
        if self._errors:
            return code_of_all(self._errors, 0)
        if self._missing or self._selection.shard is not None:
            self._say(styled(("done: ", "bold green"), "there is nothing to upload"))
            return ExitCode.DONE
        after = "" if self._selection.rules.empty else " after --include and --exclude"
        self._say(report.failure(f"there is nothing to upload{after}"), always=True)
        return ExitCode.SOURCE

    def _end(self, code: int, skipped: int = 0) -> int:
        if self._records is not None:
            records = self._records
            facts = report.facts(code, self._stats, self._errors, records.skipped + skipped)
            records.finish(facts)
        return int(code)

    # -- what is said meanwhile ----------------------------------------------------------------------------------

    def _listen(self, session: Resumable) -> None:
        session.on("file_success", self._file_done)
        session.on("file_error", lambda file: self._file_failed(file.error))
        if self._output.verbose:
            session.on("chunk_retry", lambda chunk, message: self._say(report.retry(chunk, message)))
        if self._output.verbose > 1:
            session.on("chunk_success", lambda chunk: self._say(report.chunk(chunk)))
        if self._records is not None:
            self._records.follow(session)

    def _attempt_failed(self, error: Exception, attempt: int) -> None:
        """Say once that attempts fail, for a person may know better than to wait. Called by workers."""
        self._stats.attempt_failed(error)
        limit = self._session.options.max_chunk_retries
        again = isinstance(error, RetriesExhausted) and (limit is None or attempt <= limit)
        if again and self._outage_reported.acquire(blocking=False):  # never released: it is said once
            text = report.trouble(error, self._target, self._session.options.retry_for)
            self._say(text)
            self._tell("waiting", text.plain.removeprefix("waiting: "))

    def _file_done(self, file: ResumableFile) -> None:
        if not self._display.finished(file) and self._output.verbose:
            self._say(report.success(file))

    def _file_failed(self, error: Exception | None) -> None:
        failed = self._stats.failed
        if error is not None and (failed <= _MOST_FAILURES or self._output.verbose):
            self._say(report.failure(explain(error)), always=True)
        elif failed == _MOST_FAILURES + 1:
            self._say(report.failure("more files; -v shows all of them"), always=True)

    def _say(self, text: Text, *, always: bool = False, whole: bool = False, logged: bool = True) -> None:
        if logged:
            log_line(text.plain)
        if always or not self._output.quiet:
            self._display.say(text, whole=whole)

    def _note(self, record: logging.LogRecord) -> None:
        """Show a record of the library's log."""
        line, text = describe(record)
        self._say(line, logged=False)
        if record.levelno >= logging.WARNING:
            self._tell("warning", text)

    def _tell(self, kind: str, text: str) -> None:
        """Write a note for programs."""
        if self._records is not None:
            self._records.write("note", {"kind": kind, "text": text})

    def _list(self, found: Iterable[Found | SourceError]) -> int:
        """List what would be sent, for ``--dry-run``: on the standard output, unless that is for ``--json``."""
        options = self._session.options
        listing = console(sys.stdout)
        added: set[str] = set()
        files: list[Found] = []
        with closing(self._session):
            for item in found:
                if isinstance(item, SourceError):
                    self._refuse(item)
                    continue
                if item.path != STREAM and not self._add_one(self._session, item, added):
                    continue
                files.append(item)
                if self._records is None:
                    listing.print(report.planned(item, options), soft_wrap=True)
                else:
                    self._say(report.planned(item, options))
                    self._records.write("planned", item._asdict())
        if not files and not self._errors:
            return self._end(self._nothing())
        self._say(report.plan(files))
        return self._end(code_of_all(self._errors, len(files)))
