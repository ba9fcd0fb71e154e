"""The files of a session and what became of them. The session's lock protects all of it.

A run may end, and the next begin, before anybody joins: RunResults keeps what became of the files of the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..core.file import FileCore
from ..core.records import Ending
from ..core.session import SessionCore
from ..core.speed import SpeedMeter
from ..core.states import FileState
from ..errors import FileRejected
from ..sources.path import Source

__all__ = ["ChunkRecord", "FileEntry", "FileRecord", "FileRegistry", "RunResults"]


class FileRecord(NamedTuple):
    """What is known of a file apart from its progress. ``size`` is bytes; ``unique_identifier`` is None until a
    slow identifier has been made."""

    file_name: str
    relative_path: str
    size: int
    mime_type: str
    unique_identifier: str | None


class ChunkRecord(NamedTuple):
    """One chunk: ``number`` from 1, the bytes ``[start, end)`` of its file."""

    file: FileRecord
    number: int
    start: int
    end: int


class FileEntry:
    """One file. ``subject`` is the handle that users hold; ``core`` is there once the file was added.

    ``record`` and ``source`` are replaced, by the worker that prepares the file, before its first request; ``replaced``
    says that a hook gave other bytes.
    """

    def __init__(self, record: FileRecord, source: Source) -> None:
        self.record = record
        self.source = source
        self.replaced = False
        self.subject: Any = None
        self.core: FileCore
        self.meter = SpeedMeter()


class FileRegistry:
    """Knows every file that was ever added; ``present`` are the core's, those that are part of the session now."""

    def __init__(self, present: Mapping[int, FileCore]) -> None:
        self._present = present
        self._entries: dict[int, FileEntry] = {}
        self._owners: dict[str, FileEntry] = {}

    def __getitem__(self, key: int) -> FileEntry:
        return self._entries[key]

    def add(self, key: int, entry: FileEntry) -> None:
        """The file was added, and has this key."""
        entry.core = self._present[key]
        self._entries[key] = entry

    def has(self, entry: FileEntry) -> bool:
        """Whether the file is part of the session now."""
        return entry.core.key in self._present

    def present(self) -> list[FileEntry]:
        """The files of the session, in the order in which they were added."""
        return [self._entries[key] for key in self._present]

    def find(self, identifier: str) -> FileEntry | None:
        """The file of the session with this identifier, or None."""
        owner = self._owners.get(identifier)
        return owner if owner is not None and self.has(owner) else None

    def reserve_identifier(self, entry: FileEntry, *, anyway: bool = False) -> None:
        """The identifier of the file, where it has one by now, is its own. Raises FileRejected where another file of
        the session has it, unless it is to be had ``anyway``."""
        record = entry.record
        if record.unique_identifier is None:
            return
        if not anyway and self.find(record.unique_identifier) not in (None, entry):
            reason = f"a file with the identifier {record.unique_identifier!r} is there already"
            raise FileRejected(record.relative_path, "unique_identifier", reason)
        self._owners[record.unique_identifier] = entry


class RunResults:
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
