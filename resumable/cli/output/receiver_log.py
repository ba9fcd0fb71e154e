"""The log of a receiver, for whoever runs it: on the standard error, or in a file."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.text import Text

from ..params.command import styled
from .log_file import log_file

__all__ = ["receiver_log"]


@contextmanager
def receiver_log(show: Callable[[Text], object], level: str, file: str | None) -> Iterator[None]:
    """Show what the receiver logs from this level on, or write it to a file, for a block. Raises OSError."""
    logger = logging.getLogger("resumable.receiver")
    before = logger.level
    handler = (
        _LogHandler(show) if file is None else log_file(file, lambda text: show(styled(("warning: ", "yellow"), text)))
    )
    handler.setLevel(level)
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()


class _LogHandler(logging.Handler):
    """Shows what the receiver logs, with a traceback if the cause is not the system."""

    def __init__(self, show: Callable[[Text], object]) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        colour = "bold red" if record.levelno >= logging.ERROR else "yellow"
        self._show(styled((f"{record.levelname.lower()}: ", colour), record.getMessage()))
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, OSError):
            for line in "".join(traceback.format_exception(error)).splitlines():
                self._show(styled(line))
