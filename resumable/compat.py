"""What resumable.py 0.1.1 called otherwise, for code that was written for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["CompatFile", "CompatSession", "Registration"]


class Registration:
    """An event as resumable.py 0.1.1 offered it."""

    def __init__(self, connect: Callable[[Callable[..., Any]], Any]) -> None:
        self._connect = connect

    def register(self, callback: Callable[..., Any]) -> None:
        """Call the callback at the event from now on."""
        self._connect(callback)


class CompatSession:
    """The old names of what a session has."""

    on: Callable[..., Any]

    @property
    def file_added(self) -> Registration:
        """``register(callback)``, called with the file, as in resumable.py 0.1.1."""
        return Registration(lambda callback: self.on("file_added", lambda file: callback(file)))

    @property
    def file_completed(self) -> Registration:
        """``register(callback)``, called with the file, as in resumable.py 0.1.1."""
        return Registration(lambda callback: self.on("file_success", lambda file: callback(file)))

    @property
    def chunk_completed(self) -> Registration:
        """``register(callback)``, called with the file and the chunk, as in resumable.py 0.1.1."""
        return Registration(lambda callback: self.on("chunk_success", lambda chunk: callback(chunk.file, chunk)))


class CompatFile:
    """The old names of what a file has."""

    on: Callable[..., Any]
    is_complete: Callable[[], bool]
    progress: Callable[[], float]

    @property
    def is_completed(self) -> bool:
        """The same as :meth:`is_complete`, for code written for resumable.py 0.1.1."""
        return self.is_complete()

    @property
    def fraction_completed(self) -> float:
        """The same as :meth:`progress`, for code written for resumable.py 0.1.1."""
        return self.progress()

    @property
    def completed(self) -> Registration:
        """``register(callback)``, called without arguments when the file is done, as in resumable.py 0.1.1."""
        return Registration(lambda callback: self.on("file_success", lambda *_: callback()))

    @property
    def chunk_completed(self) -> Registration:
        """``register(callback)``, called with each stored chunk, as in resumable.py 0.1.1."""
        return Registration(lambda callback: self.on("chunk_success", lambda chunk: callback(chunk)))

    def close(self) -> None:
        """Do nothing: a file is open only while it is read. For code written for resumable.py 0.1.1."""
