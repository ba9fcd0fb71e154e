"""The files of a session and what became of them. The session's lock protects all of it.

A run may end, and the next begin, before anybody joins: RunResults keeps the results of the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from ..core.file import FileCore
from ..core.records import Ending
from ..core.session import SessionCore
from ..core.speed import SpeedMeter
from ..core.states import FileState
from ..errors import FileRejected
from ..protocol.plan import ChunkOrder, ChunkPlan
from ..sources.path import Source
from .file_digest import FileDigest

__all__ = ["Addition", "ChunkRecord", "FileEntry", "FileRecord", "FileRegistry", "RunResults"]


class FileRecord(NamedTuple):
    """What is known of a file apart from its progress. ``size`` is bytes; ``unique_identifier`` is None until a
    slow identifier has been made. ``whole``: whether the server had the whole file when the handle was pickled; None if
    it did not say."""

    file_name: str
    relative_path: str
    size: int
    mime_type: str
    unique_identifier: str | None
    whole: bool | None = None


class ChunkRecord(NamedTuple):
    """One chunk: ``number`` from 1, the bytes ``[start, end)`` of its file."""

    file: FileRecord
    number: int
    start: int
    end: int


class FileEntry:
    """One file. ``subject`` is the handle that users hold; ``key`` is that of the core, 0 until the file was added.

    ``record``, ``source`` and ``plan`` are facts that any thread may read. The worker that prepares the file replaces
    them before its first request; ``replaced`` says that a hook gave other bytes. ``digest`` is what hashes the whole
    file, if anything does.

    ``core``, ``meter``, ``transfers``, the number of leases under way, and ``told``, the bytes that users were told to
    be transferred, belong to the dispatcher: read them with the session's lock held.
    """

    def __init__(self, record: FileRecord, source: Source, plan: ChunkPlan) -> None:
        self.record = record
        self.source = source
        self.plan = plan
        self.replaced = False
        self.digest: FileDigest | None = None
        self.subject: Any = None
        self.key = 0
        self.core: FileCore
        self.transfers = 0
        self.told = 0

    @cached_property
    def meter(self) -> SpeedMeter:
        """How fast the bytes of the file move. Of many files none do, because the server has them."""
        return SpeedMeter()

    def close(self) -> None:
        """Read the file no more, and free what its source owns."""
        if self.digest is not None:
            self.digest.stop()
        self.source.close()


class Addition(NamedTuple):
    """A file to add, and the order of its chunks. ``prepared``: no hook has to run before its first request."""

    entry: FileEntry
    order: ChunkOrder
    prepared: bool


class FileRegistry:
    """Knows every file that was ever added: ``entries``, by their keys. Those in ``present``, which is the core's, are
    part of the session now."""

    def __init__(self, present: Mapping[int, FileCore]) -> None:
        self.entries: dict[int | None, FileEntry] = {}
        self._present = present
        self._owners: dict[str, FileEntry] = {}

    def add(self, key: int, entry: FileEntry) -> None:
        """Add the file, to which the core gave this key."""
        entry.key = key
        entry.core = self._present[key]
        self.entries[key] = entry

    def has(self, entry: FileEntry) -> bool:
        """Return whether the file is part of the session now."""
        return entry.key in self._present

    def present(self) -> list[FileEntry]:
        """Return the files of the session, in the order in which they were added."""
        return [self.entries[key] for key in self._present]

    def find(self, identifier: str) -> FileEntry | None:
        """Return the file of the session with this identifier, or None."""
        owner = self._owners.get(identifier)
        return owner if owner is not None and self.has(owner) else None

    def reserve_identifier(self, entry: FileEntry, *, anyway: bool = False) -> None:
        """Give the file its identifier, if that is known by now. Raises FileRejected if another file of the session has
        it, unless ``anyway``."""
        record = entry.record
        if record.unique_identifier is None:
            return
        if not anyway and self.find(record.unique_identifier) not in (None, entry):
            reason = f"a file with the identifier {record.unique_identifier!r} is there already"
            raise FileRejected(record.relative_path, "unique_identifier", reason)
        self._owners[record.unique_identifier] = entry


class RunResults:
    """The ends of one session's files, and what was left out. ``joining`` counts the threads in ``join()``."""

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        self._earlier: dict[int, FileState] = {}
        self._skipped: list[FileRejected] = []
        self._skips_reported = 0
        self._reported = True
        self.joining = 0

    def skip(self, reasons: Iterable[FileRejected]) -> None:
        """Keep why files were left out."""
        self._skipped += reasons

    def keep(self, ended: Mapping[int, FileState], *, joined: bool) -> None:
        """Keep the previous run's results until ``join()`` has returned them. Called when another run begins;
        ``joined``: somebody is in ``join()``, and may not have looked yet."""
        self._earlier = {**self._earlier, **ended} if joined or not self._reported else {}
        if not joined:
            del self._skipped[: self._skips_reported]
            self._skips_reported = 0
        self._reported = False

    def report(self) -> Ending:
        """Return what became of the files, to somebody who joins."""
        self._reported = True
        self._skips_reported = len(self._skipped)
        return Ending({**self._earlier, **self._core.ended}, tuple(self._skipped))

    def forget(self) -> None:
        """Take the run that is under way for reported: it was cancelled."""
        self._reported = True
        self._skips_reported = len(self._skipped)
