"""Progress for callbacks of fsspec: ``resumable[fsspec]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsspec.callbacks import Callback  # type: ignore[import-not-found, import-untyped, unused-ignore]

from .callback import follow

if TYPE_CHECKING:
    from ..file import ResumableFile
    from ..session import Resumable

__all__ = ["FsspecCallback"]


class FsspecCallback:
    """Tells a callback of fsspec, such as its ``TqdmCallback``, how many bytes a session has, and how many moved.

    An object is a plugin (``Resumable(url, plugins=[FsspecCallback(callback)])``) or is given as ``on_progress`` of
    :func:`~resumable.upload`. Whoever made the callback closes it.
    """

    name = "fsspec"

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self._size: int | None = None

    def attach(self, session: Resumable) -> None:
        """Follow the session: see :class:`~resumable.hooks.Plugin`."""
        follow(session, self)

    def __call__(self, file: ResumableFile) -> None:
        """Tell the progress of the file's session."""
        session = file.resumable_obj
        size = session.get_size()
        if size != self._size:
            self._size = size
            self._callback.set_size(size)
        self._callback.absolute_update(session.bytes_transferred)
