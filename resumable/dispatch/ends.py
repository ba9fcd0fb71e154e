"""What became of the files of each run, until somebody who joins has been told.

A run may end, and the next begin, before anybody joins: what became of the first is kept. The monitor's lock protects
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..core.records import Ending
from ..core.session import SessionCore
from ..core.states import FileState
from ..errors import FileRejected

__all__ = ["Ends"]


class Ends:
    """The ends of one session's files, and what was left out. ``joining`` counts who waits in ``join()``."""

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        self._earlier: dict[int, FileState] = {}
        self._skipped: list[FileRejected] = []
        self._skips_told = 0
        self._told = True
        self.joining = 0

    def skip(self, reasons: Iterable[FileRejected]) -> None:
        """Keep why these files were left out."""
        self._skipped += reasons

    def keep(self, ended: Mapping[int, FileState], *, joined: bool) -> None:
        """Another run has begun, behind one whose files ended so; ``joined`` says whether somebody waited for that one,
        who may not have looked yet."""
        self._earlier = {**self._earlier, **ended} if joined or not self._told else {}
        if not joined:
            del self._skipped[: self._skips_told]
            self._skips_told = 0
        self._told = False

    def tell(self) -> Ending:
        """What became of the files, which somebody who joins is told now."""
        self._told = True
        self._skips_told = len(self._skipped)
        return Ending({**self._earlier, **self._core.ended}, tuple(self._skipped))

    def forget(self) -> None:
        """Nobody wants to hear of the run that is under way once another has begun: it was cancelled."""
        self._told = True
        self._skips_told = len(self._skipped)
