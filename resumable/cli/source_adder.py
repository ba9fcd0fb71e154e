"""Add the files that were found to a session, and say which are left out or cannot be sent, and why."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from rich.text import Text

from .. import FileRejected, HookError, Resumable, SourceError
from ..sources.directory import LinkedAgain
from .interruption import InterruptGuard
from .output.exit_codes import explain
from .output.json_events import JsonEvents
from .output.notes import Notes
from .params.command import styled
from .params.flags import as_flags
from .params.sources import STREAM, Found, is_missing
from .params.stdio import standard_input

__all__ = ["SourceAdder"]


class SourceAdder:
    """The files of one call of the command. ``errors`` are those of what does not even become a file of the session.

    With ``ignore_missing`` a source may be missing; ``missing`` counts those that are. ``signals`` may interrupt the
    reading of the standard input.
    """

    def __init__(
        self,
        session: Resumable,
        notes: Notes,
        records: JsonEvents | None,
        signals: InterruptGuard,
        *,
        ignore_missing: bool,
    ) -> None:
        self.errors: list[Exception] = []
        self.missing = 0
        self._session = session
        self._notes = notes
        self._records = records
        self._signals = signals
        self._ignore_missing = ignore_missing
        self._added: set[str] = set()

    def add_all(self, found: Iterable[Found | SourceError]) -> None:
        """Add the files that were found, and say why the others are not sent."""
        for item in found:
            if isinstance(item, Found):
                self.add(item)
            else:
                self.refuse(item)

    def add(self, item: Found) -> bool:
        """Add the file, or say why it is left out. Return whether it was added."""
        path = os.path.realpath(item.path)
        try:
            if item.path == STREAM:
                self._add_stream(item)
            else:
                self._session.add_file(item.path, relative_path=item.relative_path)
                self._added.add(path)
            return True
        except SourceError as error:
            self.refuse(error)
        except HookError as error:
            self.fail(error, explain(error))
        except FileRejected as error:
            if error.option != "unique_identifier" or path in self._added:
                self._leave_out(as_flags(str(error)), counted=error.option != "unique_identifier")
            else:
                # The server could not tell it from another file; the user did not ask to leave it out.
                self.fail(error, f"{item.path!r}: {error}; --identifier content tells them apart")
        return False

    def refuse(self, error: SourceError) -> None:
        """Show why a source is not sent. A link to what is sent already is not a failure, nor need a missing one be."""
        if isinstance(error, LinkedAgain):
            self._leave_out(f"{error.source!r} is a link to a directory whose files are sent already")
        elif self._ignore_missing and is_missing(error):
            self.missing += 1
            self._leave_out(f"{error.source!r} does not exist")
        else:
            self.fail(error, str(error).replace("open it and pass the stream", "pipe its content to - instead"))

    def fail(self, error: Exception, text: str) -> None:
        """Count and show an error."""
        self.errors.append(error)
        self._notes.failure(text)
        self._notes.tell("failed", text)

    def _add_stream(self, item: Found) -> None:
        if sys.stdin is None:
            raise SourceError(STREAM, "the standard input is closed")
        if sys.stdin.isatty():
            self._notes.say(Text("reading the standard input; press Ctrl-D at its end"))
        self._session.add_file(standard_input(self._signals.wait), relative_path=item.relative_path)

    def _leave_out(self, text: str, *, counted: bool = True) -> None:
        """Show what is not sent, and why, although nothing has failed."""
        self._notes.say(styled(("left out: ", "yellow"), text))
        self._notes.tell("left_out", text)
        if self._records is not None and counted:
            self._records.skipped += 1
