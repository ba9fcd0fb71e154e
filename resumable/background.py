"""Adding files without keeping the calling thread, for programs with windows."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Literal

from .adder import FileAdder
from .core.records import Notice
from .core.states import SessionState
from .dispatch.additions import Additions
from .dispatch.dispatcher import Dispatcher
from .errors import FileRejected, ResumableError, StateError
from .sources.base import expand_home, is_path_object, is_remote
from .sources.directory import check_choices, files

__all__ = ["BackgroundAdding"]

logger = logging.getLogger("resumable")

BATCH = 16
"""Files that are added together."""

REST = 0.005
"""The most seconds of rest after a batch."""

Found = tuple[Any, "str | None"]
"""A file and its relative path, None for that of a file which was given by itself."""


class BackgroundAdding:
    """What a session has to add files on another thread."""

    _dispatcher: Dispatcher
    _adder: FileAdder
    _additions: Additions

    def add_in_background(
        self,
        paths: Any,
        pattern: str = "**/*",
        exclude: Iterable[str] = (),
        *,
        select: Callable[[str, bool], bool] | None = None,
        links: Literal["follow", "skip", "error"] = "follow",
    ) -> None:
        """Add files and directories on a thread, and return at once: for windows, which would freeze meanwhile.

        ``paths`` is one path or a list of them. A directory stands for its files, as in :meth:`add_directory`, which
        has the other parameters. The files come in batches, each with an event ``files_added``, and their upload begins
        while others are still looked for.

        What cannot be read is left out. It is told with an event ``error`` that has no file, and logged. :meth:`cancel`
        and :meth:`close` end the adding, too. Raises StateError on a closed session.
        """
        given = list(paths) if isinstance(paths, (list, tuple)) else [paths]
        for path in given:
            if not isinstance(path, (str, os.PathLike)) and not is_path_object(path):
                raise TypeError(f"add_in_background takes paths; add_file takes {type(path).__name__}, too")
        if self._dispatcher.facts.state is SessionState.CLOSED:
            raise StateError("add files", "the session is closed")
        exclude = check_choices(pattern, exclude, select, links)

        def add(unwanted: threading.Event) -> None:
            def chosen(path: str, is_directory: bool) -> bool:
                if unwanted.is_set():
                    raise _Unwanted
                return select is None or select(path, is_directory)

            self._add_all(given, unwanted, pattern=pattern, exclude=exclude, select=chosen, links=links)

        self._additions.begin(add)

    def _add_all(self, paths: list[Any], unwanted: threading.Event, **options: Any) -> None:
        dead: list[FileRejected] = []
        found = self._find(paths, options, dead)
        try:
            begun = time.monotonic()
            while (batch := list(islice(found, BATCH))) or dead:
                if dead:
                    self._adder.several([], dead)
                    dead.clear()
                added = self._add_batch(batch) if batch else []
                if unwanted.is_set():
                    for file in added:
                        file.cancel()
                    return
                # The window needs the interpreter, too, for every cell that it draws, and gets it within milliseconds
                # each time only if nothing else runs.
                unwanted.wait(min(time.monotonic() - begun, REST))
                begun = time.monotonic()
        except (_Unwanted, StateError):
            # All was cancelled, or the session was closed.
            pass

    def _find(self, paths: list[Any], options: dict[str, Any], dead: list[FileRejected]) -> Iterator[Found]:
        """Yield every file, and tell of what cannot be read on the way."""

        def skip(path: str) -> None:
            dead.append(FileRejected(path, "links", "it is a link that leads nowhere"))

        for path in paths:
            try:
                if not _is_directory(path):
                    yield path, None
                    continue
                self._dispatcher.notify(Notice("before_add"))
                yield from files(path, **options, dead=skip)
            except (_Unwanted, StateError):
                raise
            except Exception as error:
                self._tell(error)

    def _add_batch(self, batch: list[Found]) -> list[Any]:
        """Add files, one by one if something is wrong with one of them, and return those that were added."""
        try:
            return list(self._adder.several(batch))
        except StateError:
            raise
        except Exception as error:
            if len(batch) > 1:
                return [file for each in batch for file in self._add_batch([each])]
            self._tell(error)
            return []

    def _tell(self, error: Exception) -> None:
        message = str(error) if isinstance(error, ResumableError) else f"{type(error).__name__}: {error}"
        logger.warning("%s", message)
        self._dispatcher.notify(Notice("error", message=message))


class _Unwanted(Exception):
    """The files that are being looked for are not wanted any more."""


def _is_directory(path: Any) -> bool:
    if is_remote(path):
        return bool(path.is_dir())
    return isinstance(path, (str, os.PathLike)) and os.path.isdir(expand_home(os.fsdecode(path)))
