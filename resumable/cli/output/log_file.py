"""Write a log to a file, as one JSON object in a line for each record."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from logging.handlers import WatchedFileHandler

__all__ = ["log_file"]

_ACCESS = "resumable.receiver.access"


def log_file(path: str) -> logging.Handler:
    """Return a handler that appends to the file, also after another program has renamed it. Raises OSError."""
    handler = WatchedFileHandler(path, encoding="utf-8", errors="backslashreplace")
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
