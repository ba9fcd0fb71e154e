"""The run that a bar shows: which files it has seen, and which of them go on."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..core.states import TERMINAL, FileState
from ..units import count, strip_control

if TYPE_CHECKING:
    from ..file import ResumableFile

__all__ = ["FilesOfRun"]


class FilesOfRun:
    """The files that a bar was called with since the run began, and which of them have not ended.

    A file may have ended before the first call with it, or have been retried and have ended again before the next, and
    there may be calls with it after the run: these are told apart by what was seen before.
    """

    def __init__(self) -> None:
        self._before: WeakKeyDictionary[ResumableFile, FileState] = WeakKeyDictionary()
        self._all: set[ResumableFile] = set()
        self._open: set[ResumableFile] = set()
        self._failed: set[ResumableFile] = set()

    @property
    def ended(self) -> bool:
        """Whether none of them goes on."""
        return not self._open

    def add(self, file: ResumableFile) -> bool:
        """Note the file as it is now, and return whether a bar should begin for it if there is none."""
        state = file.state
        ended = state in TERMINAL
        if state is FileState.ERROR:
            self._failed.add(file)
        else:
            self._failed.discard(file)
        before = self._before.get(file)
        self._before[file] = state
        retried = before is FileState.ERROR and state is FileState.SUCCESS
        if ended and before is not None and not retried:
            self._open.discard(file)
            return False
        self._all.add(file)
        if not ended:
            self._open.add(file)
        return True

    def clear(self) -> None:
        """Begin the next run."""
        self._all.clear()
        self._open.clear()
        self._failed.clear()

    def in_words(self, first: ResumableFile) -> str:
        """Return the name of a bar for all of them: how many there are, or what the first is called, and how many of
        them failed."""
        name = count(len(self._all), "file") if len(self._all) > 1 else strip_control(first.relative_path)
        return f"{name}, {len(self._failed)} failed" if self._failed else name
