"""What a command says besides its progress: on the terminal, in the log file, and as notes for programs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from rich.text import Text

from . import report
from .json_events import JsonEvents
from .library_log import describe, library_log, log_line

__all__ = ["Notes", "OutputOptions"]


class OutputOptions(NamedTuple):
    """The flags that decide what is printed, and how."""

    quiet: bool
    verbose: int
    json: bool
    log_file: str | None
    progress: str = "none"


class Notes:
    """Says what happens. Any thread may call it.

    ``show(text, whole)`` prints a line that stays, if ``whole`` without line breaks; ``records`` is the output of
    ``--json``, if there is one.
    """

    def __init__(
        self, show: Callable[[Text, bool], object], options: OutputOptions, records: JsonEvents | None
    ) -> None:
        self._show = show
        self._options = options
        self._records = records

    def say(self, text: Text, *, always: bool = False, whole: bool = False) -> None:
        """Print a line that stays, unless ``--quiet`` is given and it is not to be shown ``always``, and log it."""
        log_line(text.plain)
        self._print(text, always=always, whole=whole)

    def failure(self, text: str) -> None:
        """Say what has failed."""
        self.say(report.failure(text), always=True)

    def tell(self, kind: str, text: str) -> None:
        """Write a note for programs."""
        if self._records is not None:
            self._records.write("note", {"kind": kind, "text": text})

    def library_log(self) -> AbstractContextManager[None]:
        """Show the warnings of the library's log within a block, with ``-vv`` also its requests, and log all of it."""
        return library_log(self._library_record, requests=self._options.verbose > 1, file=self._options.log_file)

    def _library_record(self, record: logging.LogRecord) -> None:
        line, text = describe(record)
        self._print(line)
        if record.levelno >= logging.WARNING:
            self.tell("warning", text)

    def _print(self, text: Text, *, always: bool = False, whole: bool = False) -> None:
        if always or not self._options.quiet:
            self._show(text, whole)
