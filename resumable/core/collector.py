"""What a call to the core brings about, collected while it works."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .file import FileCore
from .records import Effects, Notice

__all__ = ["EffectCollector"]

_PROGRESS = Notice("progress")
_NOTHING = Effects()


class EffectCollector:
    """Collects notices, leases to stop and files that ended, in order, until :meth:`flush`."""

    def __init__(self) -> None:
        self._notices: list[Notice] = []
        self._others: dict[str, list[int]] = {}

    def add(self, event: str, file: FileCore | None = None, index: int | None = None, *,
             message: str | None = None, extra: tuple[object, ...] = (), response: Any = None) -> None:  # fmt: skip
        """Add a notice of the event."""
        self._notices.append(Notice(event, None if file is None else file.key, index, message, extra, response))

    def progress(self, file: FileCore | None = None) -> None:
        """Add that bytes of the file, and so of the session, moved or stopped moving; without a file, the session's."""
        if file is not None:
            self._notices.append(file.progress)
        self._notices.append(_PROGRESS)

    def stored(self, file: FileCore, index: int, message: str | None, response: Any = None) -> None:
        """Add that the server has the chunk, as it said in its response."""
        self._notices += (
            Notice("chunk_success", file.key, index, message, (), response),
            file.progress if message is None else Notice("file_progress", file.key, None, message),
            _PROGRESS,
        )

    def added(self, file: FileCore) -> None:
        """Add that the file was cut and is part of the session."""
        self._notices.append(Notice("chunking_start", file.key))
        self.chunked(file)
        self._notices.append(Notice("file_added", file.key))

    def chunked(self, file: FileCore) -> None:
        """Add the events of resumable.js for a file that was cut: as many for a million chunks as for one."""
        self._notices += (Notice("chunking_progress", file.key), Notice("chunking_complete", file.key))

    def stop(self, leases: Iterable[int]) -> None:
        """Add leases whose requests must stop."""
        self._add("stopped", leases)

    def end(self, file: FileCore) -> None:
        """Add that the file has ended or left the session."""
        self._add("ended", (file.key,))

    def release(self, leases: Iterable[int]) -> None:
        """Add leases whose ends are held no more."""
        self._add("released", leases)

    def abandon(self, file: FileCore) -> None:
        """Add that the upload of the file was given up."""
        self._add("abandoned", (file.key,))

    def flush(self) -> Effects:
        """Return what was collected since the last call."""
        notices, others = self._notices, self._others
        if not (notices or others):
            return _NOTHING
        self._notices, self._others = [], {}
        if not others:
            return Effects(tuple(notices))
        return Effects(tuple(notices), **{kind: tuple(keys) for kind, keys in others.items()})

    def _add(self, kind: str, keys: Iterable[int]) -> None:
        self._others.setdefault(kind, []).extend(keys)
