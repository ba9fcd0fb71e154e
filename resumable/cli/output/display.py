"""What a person sees while it goes on: bars, a plain line now and then, or nothing."""

from __future__ import annotations

import os
import time
from typing import Protocol

from rich.console import Console
from rich.text import Text

from ... import Resumable, ResumableFile
from .progress import where
from .stats import RunStats

__all__ = ["Display", "Plain", "Quiet", "display"]


class Display(Protocol):
    """How progress is shown. ``interval`` is the seconds between two calls of :meth:`draw`."""

    interval: float

    def draw(self) -> None:
        """What is shown is true. Called by the main thread."""

    def say(self, text: Text, *, whole: bool = False) -> None:
        """A line that stays; ``whole``: somebody may copy it, so no line break is put into it. Any thread."""

    def finished(self, file: ResumableFile) -> bool:
        """The file is at the server; whether a line says so. Called where handlers are."""

    def stop(self) -> None:
        """Nothing changes on the screen any more."""


class Quiet:
    """Lines that stay, and no progress."""

    interval = 1.0

    def __init__(self, console: Console) -> None:
        self._console = console

    def draw(self) -> None:
        """Nothing is drawn."""

    def say(self, text: Text, *, whole: bool = False) -> None:
        """A line that stays. Where no terminal is it is always whole."""
        self._console.print(text, soft_wrap=whole or not self._console.is_terminal)

    def finished(self, file: ResumableFile) -> bool:
        """Nothing is said."""
        return False

    def stop(self) -> None:
        """There is nothing to stop."""


class Plain(Quiet):
    """A line of numbers every five seconds, for logs and for terminals that cannot draw."""

    EVERY = 5.0

    def __init__(self, console: Console, session: Resumable, stats: RunStats) -> None:
        super().__init__(console)
        self._session = session
        self._stats = stats
        self._last = time.monotonic()

    def draw(self) -> None:
        """Says where the run is, unless it has just been said."""
        if time.monotonic() - self._last >= self.EVERY:
            self._last = time.monotonic()
            self.say(Text(where(self._session, self._stats)))


def display(
    kind: str, console: Console, session: Resumable, stats: RunStats, *, quiet: bool = False, verbose: bool = False
) -> Display:
    """The display of this kind: bar, plain, none, or auto: bars where there is a terminal that can move its cursor."""
    if quiet or kind == "none":
        return Quiet(console)
    capable = console.is_terminal and os.environ.get("TERM", "") not in ("", "dumb")
    if kind == "bar" or (kind == "auto" and capable):
        from .bars import Bars

        return Bars(console, session, stats, verbose=verbose)
    return Plain(console, session, stats)
