"""The log of the library among the lines of a command."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.text import Text

from ..params.command import OUTPUT, Option, styled
from ..params.flags import as_flags
from .log_file import LogFile

__all__ = ["describe", "file_named", "library_log", "log_flag", "log_line"]


class _LibraryLogHandler(logging.Handler):
    """Shows warnings, and requests if they are wanted. The command itself reports what is between."""

    def __init__(self, show: Callable[[logging.LogRecord], None], *, requests: bool) -> None:
        super().__init__()
        self._show = show
        self._requests = requests

    def emit(self, record: logging.LogRecord) -> None:
        """Show the record."""
        if record.levelno >= logging.WARNING or (self._requests and record.levelno == logging.DEBUG):
            self._show(record)


def log_flag() -> Option:
    """Return ``--log-file``."""
    return Option(
        "--log-file",
        type=click.Path(dir_okay=False),
        callback=file_named("-vv shows requests on the terminal"),
        envvar="RESUMABLE_LOG_FILE",
        show_envvar=True,
        section=OUTPUT,
        help="Append everything that is reported, and every request, to this file, with times.",
    )


def file_named(instead: str) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """Return a callback that refuses "" and - as the name of a log file, and says what to do ``instead``."""

    def checked(context: click.Context, flag: click.Parameter, value: str | None) -> str | None:
        if value in ("", "-"):
            raise click.BadParameter(f"{value!r} is not the name of a file; {instead}", context, flag)
        return value

    return checked


@contextmanager
def library_log(
    show: Callable[[logging.LogRecord], None], *, requests: bool = False, file: str | None = None
) -> Iterator[None]:
    """Show the warnings of the library's log within this block, and its ``requests``. ``file`` gets all of it.

    Raises UsageError if the file cannot be written.
    """
    logger = logging.getLogger("resumable")
    handlers: list[logging.Handler] = [_LibraryLogHandler(show, requests=requests)]
    if file is not None:
        try:
            handlers.append(LogFile(file, lambda text: show(_warning(text))))
        except OSError as error:
            text = f"{error.strerror}: {file!r}"
            raise click.BadParameter(text, click.get_current_context(), log_flag()) from None
        handlers[-1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    before = logger.level
    for handler in handlers:
        logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if requests or file is not None else logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


def _warning(text: str) -> logging.LogRecord:
    return logging.makeLogRecord({"levelno": logging.WARNING, "msg": text})


def log_line(text: str) -> None:
    """Write what is reported to the file of the log, if there is one."""
    logging.getLogger("resumable").info("%s", text, extra={"reported": True})


def describe(record: logging.LogRecord) -> tuple[Text, str]:
    """Return a record as a line, and as a sentence; of a traceback only what was raised."""
    text = as_flags(record.getMessage())
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and str(error) not in text:
        text += f" {type(error).__name__}: {error}"
    if record.levelno < logging.WARNING:
        return styled(("request: ", "dim"), text), text
    return styled(("note: ", "yellow"), text), text
