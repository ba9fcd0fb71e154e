"""One line of progress on a terminal, for programs that have neither tqdm nor rich."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from ..core.states import FileState
from ..units import count, duration, rate, remaining, size
from .callback import follow

if TYPE_CHECKING:
    from ..file import ResumableFile
    from ..session import Resumable

__all__ = ["ProgressLine"]


class ProgressLine:
    """Writes how far a session is: on a terminal over and over into the same line, elsewhere once, at the end."""

    name = "line"

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._files: set[ResumableFile] = set()
        self._failed: set[ResumableFile] = set()
        self._width = 0

    def attach(self, session: Resumable) -> None:
        """Follow the session: see :class:`~resumable.hooks.Plugin`."""
        follow(session, self)
        for event in ("complete", "cancel"):
            session.on(event, lambda *_: self._write(session, end="\n"))

    def __call__(self, file: ResumableFile) -> None:
        """Draw the progress of the file's session."""
        self._files.add(file)
        if file.state is FileState.ERROR:
            self._failed.add(file)
        else:
            self._failed.discard(file)
        if self._out.isatty():
            self._write(file.resumable_obj, end="")

    def _write(self, session: Resumable, *, end: str) -> None:
        moved, total = session.bytes_transferred, session.get_size()
        waits = session.retry_in
        left = session.time_remaining
        parts = [
            f"{count(len(self._files), 'file')}: {moved * 100 // total if total else 0} %",
            f"{size(moved)} of {size(total)}",
            rate(session.speed) if waits is None else f"next try in {duration(waits)}",
        ]
        if left:
            parts.append(f"{remaining(left)} left")
        if self._failed:
            parts.append(f"{len(self._failed)} failed")
        line = ", ".join(parts)
        begin = "\r" if self._out.isatty() else ""
        self._out.write(f"{begin}{line:<{self._width}}{end}")
        self._out.flush()
        self._width = 0 if end else len(line)
