"""A bar for each file that is being sent and one for all files, redrawn in place."""

from __future__ import annotations

import threading
import time

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ... import Resumable, ResumableFile
from ...units import strip_control
from .progress import fraction, pace, percent, reason, waiting
from .stats import RunStats
from .units import (
    count,
    duration,
    size,
)

__all__ = ["TerminalBars"]

_MOST_ROWS = 8
_FEW_FILES = 20
_YOUNG = 0.3
"""Seconds: files that take less time get no bar, or thousands of small ones would be a blur."""

Row = tuple[str, int, str, str, str]
"""Name, percent, size, speed, time left."""


class TerminalBars:
    """Draw at most eight rows of files, the total, and notes, whenever something has changed.

    If there are few files, or ``verbose``, finished ones keep their row above the others.
    """

    interval = 0.1

    def __init__(self, console: Console, session: Resumable, stats: RunStats, *, verbose: bool = False) -> None:
        self._console = console
        self._session = session
        self._stats = stats
        self._verbose = verbose
        self._drawn: object = None
        # One at a time: rich reckons how far up the rows begin before it writes, and two would reckon alike.
        self._drawing = threading.Lock()
        # Drawn by us alone, so that nothing is drawn twice and no thread of rich's runs.
        self._live = Live(self, console=console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._live.start()

    def __rich__(self) -> Group:
        """Return the current rows. Called also when a line was printed above them."""
        rows, notes = self._state()
        return Group(*[self._row(row) for row in rows], *notes)

    def draw(self) -> None:
        """Redraw the rows if they have changed."""
        state = *self._state(), self._console.size
        if state != self._drawn:
            self._drawn = state
            with self._drawing:
                self._live.refresh()

    def say(self, text: Text, *, whole: bool = False) -> None:
        """Print a line above the bars."""
        with self._drawing:
            self._console.print(text, soft_wrap=whole)

    def finished(self, file: ResumableFile) -> bool:
        """Print the row of the file above the bars, at 100 %, if there are few files or all are wanted."""
        keep = self._verbose or self._stats.files <= _FEW_FILES
        if keep:
            there = "there" if file.bytes_skipped == file.size and file.size else "done"
            row = self._row((strip_control(file.relative_path), 100, size(file.size), "", there))
            with self._drawing:
                self._console.print(row)
        return keep

    def stop(self) -> None:
        """Remove the bars; what was printed stays."""
        with self._drawing:
            self._live.stop()

    def _state(self) -> tuple[list[Row], list[Text]]:
        notes = self._notes()  # these first: what they count is in a row by then
        return self._rows(), notes

    def _rows(self) -> list[Row]:
        now, stats, session = time.monotonic(), self._stats, self._session
        alone = stats.files == 1
        old = [file for file, since in list(stats.active.items()) if alone or now - since >= _YOUNG]
        most = max(1, min(_MOST_ROWS, self._console.height - 5))
        rows = []
        for file in old[:most]:
            moved, total = fraction(file)
            done = percent(moved, total, whole=file.is_complete())
            rows.append((strip_control(file.relative_path), done, size(file.size), *pace(file, stats)))
        if alone and rows:
            return rows
        moved, total = session.bytes_skipped + session.bytes_sent, session.get_size()
        done = percent(min(moved, total), total, whole=stats.over and stats.succeeded == stats.files)
        name = f"{count(stats.succeeded)} of {count(stats.files, 'file')}"
        if stats.failed:
            name += f", {count(stats.failed)} failed"
        rows.append((name, done, size(total), *pace(session, stats)))
        return rows

    def _notes(self) -> list[Text]:
        stats = self._stats
        notes = []
        if stats.chunks_there:
            notes.append(Text(f"{count(stats.chunks_there)} of {count(stats.chunks, 'chunk')} already there", "dim"))
        wait = waiting(self._session)
        if wait:
            notes.append(Text(wait, "yellow", no_wrap=True, overflow="ellipsis"))
        if stats.trouble is not None:
            waited = duration(int(time.monotonic() - stats.trouble.since))
            text = strip_control(f"nothing has got through for {waited}: {reason(stats.trouble.error)}")
            text = text if len(text) < self._console.width - 2 else f"{text[: self._console.width - 4]}…"
            notes.append(Text(text, "yellow", no_wrap=True, overflow="ellipsis"))
        return notes

    def _row(self, row: Row) -> Table:
        name, done, total, speed, left = row
        # Room for the ^C that a terminal adds, which would otherwise begin a line that nobody clears.
        width = self._console.width - 3
        grid = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        numbers = [("100%", f"{done}%"), ("99.9 MiB", total)]
        if width >= 60:
            numbers.append(("99.9 MiB/s", speed))
        if width >= 68:
            numbers.append(("9:59:59", left))
        free = max(width - sum(len(widest) + 1 for widest, _ in numbers), 8)
        bar = free * 2 // 5
        grid.add_column(width=free - bar - 1, no_wrap=True, overflow="ellipsis")
        grid.add_column(width=bar, no_wrap=True)
        for widest, _ in numbers:
            grid.add_column(width=len(widest), justify="right", no_wrap=True)
        grid.add_row(Text(name), ProgressBar(100, done, width=bar), *[Text(text) for _, text in numbers])
        return grid
