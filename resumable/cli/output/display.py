"""What a person sees during an upload: bars, a plain line now and then, or nothing."""

from __future__ import annotations

import os
import time
from typing import Protocol

from rich.console import Console
from rich.text import Text

from ... import Resumable, ResumableFile
from .progress import progress_line
from .stats import RunStats

__all__ = ["Display", "Plain", "Quiet", "display"]


class Display(Protocol):
    """A way to show progress. ``interval`` is the time between two calls of :meth:`draw`, in seconds."""

    interval: float

    def draw(self) -> None:
        """Show the current progress. Called by the main thread."""

    def say(self, text: Text, *, whole: bool = False) -> None:
        """Print a line that stays. ``whole``: without line breaks, so that it can be copied. Any thread."""

    def finished(self, file: ResumableFile) -> bool:
        """Show that the file is at the server. Return whether a line says so. Called on the thread of handlers."""

    def stop(self) -> None:
        """Change nothing on the screen any more."""


class Quiet:
    """Lines that stay, without progress."""

    interval = 1.0

    def __init__(self, console: Console) -> None:
        self._console = console

    def draw(self) -> None:
        """Draw nothing."""

    def say(self, text: Text, *, whole: bool = False) -> None:
        """Print a line that stays. Without a terminal it is always whole."""
        self._console.print(text, soft_wrap=whole or not self._console.is_terminal)

    def finished(self, file: ResumableFile) -> bool:
        """Say nothing."""
        return False

    def stop(self) -> None:
        """Do nothing."""


class Plain(Quiet):
    """A line of numbers every five seconds, for logs and for terminals that cannot draw."""

    EVERY = 5.0

    def __init__(self, console: Console, session: Resumable, stats: RunStats) -> None:
        super().__init__(console)
        self._session = session
        self._stats = stats
        self._last = time.monotonic()

    def draw(self) -> None:
        """Print the progress, unless that was less than five seconds ago."""
        if time.monotonic() - self._last >= self.EVERY:
            self._last = time.monotonic()
            self.say(Text(progress_line(self._session, self._stats)))


def display(
    kind: str, console: Console, session: Resumable, stats: RunStats, *, quiet: bool = False, verbose: bool = False
) -> Display:
    """Return the display of this kind: bar, plain, none, or auto (bars if there is a terminal that can draw them)."""
    if quiet or kind == "none":
        return Quiet(console)
    capable = console.is_terminal and os.environ.get("TERM", "") not in ("", "dumb")
    if kind == "bar" or (kind == "auto" and capable):
        from .bars import TerminalBars

        return TerminalBars(console, session, stats, verbose=verbose)
    return Plain(console, session, stats)
