"""The log of the library among the lines of a command."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.text import Text

from ..params.command import styled
from ..params.flags import as_flags

__all__ = ["describe", "library_log"]


class _Handler(logging.Handler):
    """Shows the records."""

    def __init__(self, show: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        """Show the record."""
        self._show(record)


@contextmanager
def library_log(show: Callable[[logging.LogRecord], None], level: int = logging.WARNING) -> Iterator[None]:
    """Show the records of the library's log from this level on, within this block."""
    logger = logging.getLogger("resumable")
    handler, before = _Handler(show), logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


def describe(record: logging.LogRecord) -> tuple[Text, str]:
    """Return a record as a line, and as a sentence; of a traceback only what was raised."""
    text = as_flags(record.getMessage())
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and str(error) not in text:
        text += f" {type(error).__name__}: {error}"
    return styled(("note: ", "yellow"), text), text
