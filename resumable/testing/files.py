"""The files that a server has, as far as they can be seen from here."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["ServerFiles"]

_POLL = 0.05
_KEY = re.compile("check-[0-9a-f]{12}")


class ServerFiles:
    """Where a server puts finished files: a directory, or a function that returns whether a file with these bytes is
    there. None if they cannot be seen.

    ``patience`` is how long to wait for a file that the server has acknowledged, in seconds.
    """

    def __init__(self, place: str | Path | Callable[[bytes], bool] | None, patience: float) -> None:
        self.visible = place is not None
        """Whether it is known which files are at the server."""
        self.directory = Path(place) if isinstance(place, (str, Path)) else None
        self._place = place
        self._patience = patience

    def has(self, content: bytes) -> bool:
        """Return whether there is a file with these bytes, or none can be seen. Waits for it as long as agreed."""
        if not self.visible:
            return True
        deadline = time.monotonic() + self._patience
        pause = threading.Event()
        while not self._has(content):
            if time.monotonic() >= deadline:
                return False
            pause.wait(_POLL)
        return True

    def remove(self, sent: MutableMapping[str, Any]) -> int:
        """Remove from the directory the files with these names, and the names of what was there. Return how many files
        that were."""
        if self.directory is None:
            return 0
        names = {found[0]: name for name in sent if (found := _KEY.search(name))}
        left = [
            (path, names[key[0]])
            for path in _visible(self.directory)
            if (key := _KEY.search(path.name)) and key[0] in names
        ]
        for path, name in left:
            path.unlink()
            sent.pop(name, None)
            for folder in path.parents[: path.parents.index(self.directory)]:
                with suppress(OSError):
                    folder.rmdir()  # if nothing else is in it
        return len(left)

    def _has(self, content: bytes) -> bool:
        if callable(self._place):
            return self._place(content)
        assert self.directory is not None
        return any(_equal(path, content) for path in _visible(self.directory))


def _visible(directory: Path) -> Iterator[Path]:
    """Return the files below the directory, but for hidden ones and those in hidden directories."""
    for path in directory.rglob("*"):
        if not any(part.startswith(".") for part in path.relative_to(directory).parts) and path.is_file():
            yield path


def _equal(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False  # the server has moved it
