"""What has to be told, collected while the core works."""

from __future__ import annotations

from collections.abc import Iterable

from .file import FileCore
from .records import Effects, Notice

__all__ = ["EffectCollector"]

_PROGRESS = Notice("progress")
_NOTHING = Effects()


class EffectCollector:
    """The notices and the leases to stop, in order, until somebody takes them."""

    def __init__(self) -> None:
        self._notices: list[Notice] = []
        self._stopped: list[int] = []

    def add(self, event: str, file: FileCore | None = None, index: int | None = None, *,
             message: str | None = None, extra: tuple[object, ...] = ()) -> None:  # fmt: skip
        """The event happened."""
        self._notices.append(Notice(event, None if file is None else file.key, index, message, extra))

    def progress(self, file: FileCore | None = None) -> None:
        """Bytes of the file, and so of the session, moved or stopped moving; without a file, only the session's."""
        if file is not None:
            self._notices.append(file.progress)
        self._notices.append(_PROGRESS)

    def stored(self, file: FileCore, index: int, message: str | None) -> None:
        """The server has the chunk."""
        self._notices += (
            Notice("chunk_success", file.key, index, message),
            file.progress if message is None else Notice("file_progress", file.key, None, message),
            _PROGRESS,
        )

    def chunked(self, file: FileCore) -> None:
        """The file was cut into chunks: the events of resumable.js, as many for a million chunks as for one."""
        self.add("chunking_start", file)
        self.add("chunking_progress", file, extra=(0.0,))
        self.add("chunking_complete", file)

    def stop(self, leases: Iterable[int]) -> None:
        """The requests of these leases must stop."""
        self._stopped += leases

    def take(self) -> Effects:
        """What was collected, which is gone then."""
        if not self._notices and not self._stopped:
            return _NOTHING
        effects = Effects(tuple(self._notices), tuple(self._stopped))
        self._notices.clear()
        self._stopped.clear()
        return effects
