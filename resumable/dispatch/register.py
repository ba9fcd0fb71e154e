"""The files of a session, by key and by identifier. The monitor's lock protects it."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.file import FileCore
from ..errors import FileRejected
from .entry import Entry

__all__ = ["Register"]


class Register:
    """Knows every file that was ever added; ``present`` are the core's, those that are part of the session now."""

    def __init__(self, present: Mapping[int, FileCore]) -> None:
        self._present = present
        self._entries: dict[int, Entry] = {}
        self._owners: dict[str, Entry] = {}

    def __getitem__(self, key: int) -> Entry:
        return self._entries[key]

    def add(self, key: int, entry: Entry) -> None:
        """The file was added, and has this key."""
        entry.core = self._present[key]
        self._entries[key] = entry

    def has(self, entry: Entry) -> bool:
        """Whether the file is part of the session now."""
        return entry.core.key in self._present

    def present(self) -> list[Entry]:
        """The files of the session, in the order in which they were added."""
        return [self._entries[key] for key in self._present]

    def find(self, identifier: str) -> Entry | None:
        """The file of the session with this identifier, or None."""
        owner = self._owners.get(identifier)
        return owner if owner is not None and self.has(owner) else None

    def claim(self, entry: Entry, *, anyway: bool = False) -> None:
        """The identifier of the file, where it has one by now, is its own. Raises FileRejected where another file of
        the session has it, unless it is to be had ``anyway``."""
        record = entry.record
        if record.unique_identifier is None:
            return
        if not anyway and self.find(record.unique_identifier) not in (None, entry):
            reason = f"a file with the identifier {record.unique_identifier!r} is there already"
            raise FileRejected(record.relative_path, "unique_identifier", reason)
        self._owners[record.unique_identifier] = entry
