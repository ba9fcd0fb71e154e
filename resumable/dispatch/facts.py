"""What is the case in a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..core.records import Ending
from ..core.states import ChunkState, FileState, SessionState
from . import replay
from .delivery import Delivery
from .registry import FileEntry
from .shared_state import SharedState
from .transfers import SessionStats, TransferStats

__all__ = ["FileFacts", "SessionFacts"]


class FileFacts(NamedTuple):
    """The state of a file, its exception if it failed, the server's last answer about it, why it was cancelled,
    what a receiver of this package told of the whole file, that answer with its status and headers, and whether the
    server has the whole file, or None if it does not say."""

    state: FileState
    error: Exception | None
    message: str | None
    reason: str | None
    result: Mapping[str, Any] | None
    response: Any
    whole: bool | None


class SessionFacts:
    """The facts of one session, each value a consistent snapshot. Any thread may ask for them, and gets a StateError in
    the child of a fork."""

    def __init__(self, shared: SharedState, delivery: Delivery) -> None:
        self._shared = shared
        self._core = shared.core
        self._registry = shared.registry
        self._transfers = shared.transfers
        self._delivery = delivery

    # -- the session ---------------------------------------------------------------------------------------------

    @property
    def in_forked_child(self) -> bool:
        """Whether this is another process than that of the session. Raises nothing."""
        return self._shared.in_forked_child

    @property
    def state(self) -> SessionState:
        """The state of the session."""
        with self._shared.entrance:
            return self._core.state

    @property
    def uploading(self) -> bool:
        """Whether a run is under way that is not paused and has something left to send."""
        with self._shared.entrance:
            return self._core.state is SessionState.UPLOADING and not self._core.finished

    @property
    def outcome(self) -> Ending | None:
        """What became of the files of the run that ended last, None before one has."""
        with self._shared.entrance:
            return self._core.outcome

    @property
    def unfinished(self) -> Mapping[int, str]:
        """The names of the files that are not uploaded, without failed ones that were acknowledged. The mapping stays
        up to date, and holds nothing else of the session."""
        return self._core.unfinished

    def stats(self) -> SessionStats:
        """Return what the session does now."""
        with self._shared.entrance:
            return SessionStats(self._core.concurrency.slots, self._core.active)

    def session_stats(self) -> TransferStats:
        """Return how many bytes of the session moved."""
        with self._shared.entrance:
            paused = self._core.state is SessionState.PAUSED
            return self._transfers.of_session(self._core, self._shared.clock(), paused=paused)

    def retry_in(self, entry: FileEntry | None = None) -> float | None:
        """Return the seconds until the next attempt, at the file or at any, if there is nothing to do before, or
        None."""
        with self._shared.entrance:
            now = self._shared.clock()
            at = self._core.waits_until(now, None if entry is None else entry.core)
            return None if at is None else max(at - now, 0.0)

    # -- its files -----------------------------------------------------------------------------------------------

    def entries(self) -> list[FileEntry]:
        """Return the files of the session, in the order in which they were added."""
        with self._shared.entrance:
            return self._registry.present()

    def count(self) -> int:
        """Return how many files the session has."""
        with self._shared.entrance:
            return len(self._core.files)

    def find(self, identifier: str) -> FileEntry | None:
        """Return the file of the session with this identifier, or None."""
        with self._shared.entrance:
            return self._registry.find(identifier)

    def entry(self, key: int) -> FileEntry:
        """Return the file with this key, even if it was removed."""
        return self._registry.entries[key]

    def unfinished_at_server(self, entries: Iterable[FileEntry]) -> list[FileEntry]:
        """Return those of the files that are part of the session, of which the server may have a part and not all."""
        with self._shared.entrance:
            return [
                entry
                for entry in entries
                if self._registry.has(entry)
                and entry.core.state is not FileState.SUCCESS
                and (entry.core.cursor or entry.core.stored)
            ]

    def file_facts(self, entry: FileEntry) -> FileFacts:
        """Return the status of the file, which the program knows then."""
        with self._shared.entrance:
            core = entry.core
            self._core.acknowledge([entry.key])
            return FileFacts(
                core.state, core.error, core.message, core.reason, core.result, core.response, core.known_whole
            )

    def file_stats(self, entry: FileEntry) -> TransferStats:
        """Return how many bytes of the file moved."""
        with self._shared.entrance:
            paused = SessionState.PAUSED is self._core.state or FileState.PAUSED is entry.core.state
            return self._transfers.of_file(entry, self._shared.clock(), paused=paused)

    def chunk_state(self, entry: FileEntry, index: int) -> tuple[ChunkState, int]:
        """Return the chunk's state, and how often an attempt at it failed."""
        with self._shared.entrance:
            return self._core.chunk_state(entry.key, index)

    def is_tested(self, entry: FileEntry, index: int) -> bool:
        """Return whether the server was asked for the chunk, if it is asked for chunks at all."""
        with self._shared.entrance:
            return entry.core.is_tested(index)

    def bytes_sent(self, entry: FileEntry, index: int) -> int:
        """Return how many bytes of the chunk its current attempt has sent."""
        with self._shared.entrance:
            return self._transfers.of_chunk(entry, index)

    # -- what late handlers missed -------------------------------------------------------------------------------

    def missed(self, entry: FileEntry, event: str) -> bool:
        """Return whether this has happened to the file, and a handler that begins to listen now will not get it."""
        with self._shared.entrance:
            return replay.missed(entry.core, event, self._delivery.coming(entry.key))

    def missed_chunks(self, entry: FileEntry) -> list[tuple[int, int]]:
        """Return the ranges of indexes of stored chunks whose events a handler that begins to listen now will not
        get."""
        with self._shared.entrance:
            return replay.missed_chunks(entry.core, self._delivery.coming(entry.key))
