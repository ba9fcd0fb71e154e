"""Append a log to a file, in lines for people or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from logging.handlers import WatchedFileHandler
from typing import Any

from ...special_files import refuse_special_file

__all__ = ["LogFile", "log_file"]

_ACCESS = "resumable.receiver.access"


class LogFile(WatchedFileHandler):
    """Appends to the file, also after another program has renamed it.

    If it cannot be written any more, ``warn`` is told once, and nothing more is written: a full disk is no reason to
    stop an upload. Opening it raises OSError.
    """

    def __init__(self, path: str, warn: Callable[[str], object]) -> None:
        self._path = path
        self._warn = warn
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self._failed = False

    def _open(self) -> Any:
        # Also after it was renamed: what is there now may be anything.
        refuse_special_file(self._path, written=True)
        return super()._open()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        if not self._failed:
            try:
                super().emit(record)
            except OSError as error:  # It was renamed, and no other can be opened.
                self._give_up(error)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (so logging calls it)
        """Say why nothing is written any more."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self._give_up(error)
        else:
            super().handleError(record)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            super().close()

    def _give_up(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            self._warn(
                f"cannot write to the log file {self._path!r}: {error.strerror or error}; nothing more is logged"
            )


def log_file(path: str, warn: Callable[[str], object]) -> logging.Handler:
    """Return a handler that appends one JSON object in a line for each record. Raises OSError."""
    handler = LogFile(path, warn)
    handler.setFormatter(_JsonLines())
    return handler


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return a record as JSON: when, how bad, and what; the facts of a request are fields of their own."""
        facts = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if record.name == _ACCESS:
            facts |= json.loads(record.getMessage())
        else:
            facts["message"] = record.getMessage()
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return json.dumps(facts)
