"""What becomes of a file that was uploaded: it stays, is marked, or is moved elsewhere."""

from __future__ import annotations

import errno
import os
import shutil
from typing import Protocol

from .inbox import Version

__all__ = ["MARK", "Disposal", "Keep", "Mark", "Move"]

MARK = ".uploaded"
"""The end of the name of a marker."""


class Disposal(Protocol):
    """What is done with a file that is at the server."""

    def settle(self, path: str, version: Version) -> str:
        """Deal with the file, and return what was done, in words. Raises OSError."""

    def skips(self, path: str, version: Version) -> bool:
        """Return whether the file was dealt with before, or is no file to send."""


class Keep:
    """Leave the file where it is."""

    def settle(self, path: str, version: Version) -> str:
        """Do nothing."""
        return ""

    def skips(self, path: str, version: Version) -> bool:
        """Return whether the file is a marker that was made earlier."""
        return path.endswith(MARK) and os.path.exists(path.removesuffix(MARK))


class Mark:
    """Make a small file beside it, with ``.uploaded`` behind its name, that has the size and the time of the file."""

    def settle(self, path: str, version: Version) -> str:
        """Write the marker, in one step."""
        marker = path + MARK
        with open(marker + ".tmp", "w", encoding="ascii") as file:
            file.write(_written(version))
        os.replace(marker + ".tmp", marker)
        return f"marked with {os.path.basename(marker)!r}"

    def skips(self, path: str, version: Version) -> bool:
        """Return whether the file is a marker, or its marker is about this very version."""
        if path.endswith((MARK, f"{MARK}.tmp")):
            return True
        try:
            with open(path + MARK, encoding="ascii", errors="replace") as file:
                return file.read() == _written(version)
        except OSError:
            return False


class Move:
    """Move the file into another directory, under its path below the one that is watched. Nothing is overwritten."""

    def __init__(self, root: str, directory: str) -> None:
        self._root = root
        self._directory = os.path.realpath(directory)

    def settle(self, path: str, version: Version) -> str:
        """Move the file."""
        goal = os.path.join(self._directory, os.path.relpath(path, self._root))
        os.makedirs(os.path.dirname(goal), exist_ok=True)
        goal = _free(goal)
        try:
            os.rename(path, goal)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(path, goal)
        return f"moved to {goal!r}"

    def skips(self, path: str, version: Version) -> bool:
        """Return whether the file is in the directory that files are moved to."""
        return os.path.realpath(path).startswith(self._directory + os.sep)


def _written(version: Version) -> str:
    return f"{version.size} {version.mtime_ns}\n"


def _free(path: str) -> str:
    """Return the path, or one like it, that nothing is at."""
    stem, ending = os.path.splitext(path)
    number, free = 0, path
    while os.path.lexists(free):
        number += 1
        free = f"{stem} ({number}){ending}"
    return free


def _copy(path: str, goal: str) -> None:
    """Move the file to another file system: the goal appears once it is whole, and only then is the file removed."""
    part = f"{goal}.part"
    shutil.copy2(path, part)
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    os.rename(part, goal)
    os.unlink(path)
