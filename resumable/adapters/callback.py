"""Progress for functions: what is called with each file that moves, and what is called with bytes, as in boto3."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..file import ResumableFile
    from ..session import Resumable

__all__ = ["ByteCallback", "OnProgress", "follow"]

OnProgress = Callable[["ResumableFile"], object]
"""What is called with a file that was added, has moved, waits for its next attempt, or has ended."""

_EVENTS = ("file_added", "file_progress", "file_retry", "file_success", "file_error", "file_cancelled")


def follow(session: Resumable, on_progress: OnProgress) -> None:
    """Call ``on_progress`` with each file of the session that was added, has moved, waits for its next attempt, or has
    ended, on the thread of the handlers. Raises what :meth:`Resumable.on` raises."""
    session.signals.check(on_progress)
    for event in _EVENTS:
        session.on(event, lambda file: on_progress(file))


class ByteCallback:
    """Calls a function with how many bytes moved since the last call, as boto3 does with its ``Callback``.

    The bytes of all files together, those that the server had already included, make up the size of what was uploaded.
    """

    name = "byte-callback"

    def __init__(self, function: Callable[[int], object]) -> None:
        self._function = function
        self._told: dict[Any, int] = {}

    def attach(self, session: Resumable) -> None:
        """Follow the session: see :class:`~resumable.hooks.Plugin`."""
        follow(session, self)

    def __call__(self, file: ResumableFile) -> None:
        moved = file.bytes_transferred
        new = moved - self._told.get(file, 0)
        self._told[file] = moved
        if new > 0:
            self._function(new)
