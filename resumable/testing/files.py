"""The files that a server has, as far as they can be seen from here."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

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

    def remove(self, sent: Iterable[str]) -> int:
        """Remove from the directory what is left of the files with these names, and return how many files that were."""
        if self.directory is None:
            return 0
        keys = {found[0] for found in map(_KEY.search, sent) if found}
        left = [path for path in _visible(self.directory) if (key := _KEY.search(path.name)) and key[0] in keys]
        for path in left:
            path.unlink()
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
