"""The slots of a session: each is taken by the record of a chunk, or of a file whose hooks run.

A slot is taken from the lease until the report. A retry that waits keeps it, so that a server in trouble is not given
other chunks meanwhile; a request that was told to stop keeps it too, because it is on the wire for as long.
"""

from __future__ import annotations

from .file import FileCore, Live
from .states import ChunkEvent, ChunkState

__all__ = ["Slots"]


class Slots:
    """At most ``count`` records, by the ids of their leases."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._leases = 0
        self._waiting: dict[int, Live] = {}
        self.live: dict[int, Live] = {}

    def free(self, *, fewer: bool) -> bool:
        """Return whether another record fits, also if there is one slot ``fewer``, unless it is the only one."""
        return len(self.live) < (self._count - 1 if fewer and self._count > 1 else self._count)

    def take(self, record: Live) -> int:
        """The id of a new lease, with which the record holds a slot."""
        self._leases += 1
        self.live[self._leases] = record
        return self._leases

    def keep(self, identifier: int) -> None:
        """The record holds its slot until it is due."""
        self._waiting[identifier] = self.live[identifier]

    def next_due(self) -> float | None:
        """When the next retry is due, or None where none waits."""
        return min(record.due for record in self._waiting.values()) if self._waiting else None

    def wake(self, attempt: int) -> None:
        """Hasten the retries of what failed before this attempt began, which succeeded."""
        for record in self._waiting.values():
            if record.failed < attempt:
                record.due = record.earliest

    def take_due(self) -> Live:
        """The record of the retry that is due first, which holds no slot until it is leased anew."""
        identifier = min(self._waiting, key=lambda waiting: self._waiting[waiting].due)
        del self._waiting[identifier]
        return self.live.pop(identifier)

    def files(self) -> list[FileCore]:
        """The files that hold slots, each once."""
        return list(dict.fromkeys(record.file for record in self.live.values()))

    def stop(self, file: FileCore) -> tuple[list[int], bool]:
        """The leases of the file whose requests must stop now, and whether any of them was not told before. Its retries
        are released and hold no slot any more.

        What was told before is told again: a cancel does not wait for what a pause lets finish.
        """
        told = []
        fresh = False
        for identifier, record in list(self.live.items()):
            if record.file is not file or record.prepare:
                continue
            if record.state is ChunkState.STOPPING:
                told.append(identifier)
            elif record.step(ChunkEvent.STOP) is ChunkState.STOPPING:
                told.append(identifier)
                fresh = True
            else:
                del self.live[identifier], self._waiting[identifier]
                file.release(record)
        return told, fresh
