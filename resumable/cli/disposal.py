"""What becomes of a file that was uploaded: it stays, is marked, or is moved elsewhere."""

from __future__ import annotations

import errno
import os
import re
import shutil
from contextlib import suppress
from typing import Protocol

from .inbox import Version, version_of

__all__ = ["MARK", "Disposal", "Keep", "Mark", "Move"]

MARK = ".uploaded"
"""The end of the name of a marker."""

_UNFINISHED = f"{MARK}.tmp"
_MARKER = re.compile("[0-9]+ [0-9]+\n")


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
        return _is_marker(path)


class Mark:
    """Make a small file beside it, with ``.uploaded`` behind its name, that has the size and the time of the file."""

    def settle(self, path: str, version: Version) -> str:
        """Write the marker, in one step."""
        marker, unfinished = path + MARK, path + _UNFINISHED
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
        # Never an existing one: others who may write to the directory could have put a link to another file there.
        with open(unfinished, "x", encoding="ascii") as file:
            file.write(_written(version))
        os.replace(unfinished, marker)
        return f"marked with {os.path.basename(marker)!r}"

    def skips(self, path: str, version: Version) -> bool:
        """Return whether the file is a marker, or its marker is about this very version."""
        return _is_marker(path) or _beginning(path + MARK) == _written(version)


class Move:
    """Move the file into another directory, under its path below the one that is watched. Nothing is overwritten."""

    def __init__(self, root: str, directory: str) -> None:
        self._root = root
        self._directory = os.path.realpath(directory)

    def settle(self, path: str, version: Version) -> str:
        """Move the file, unless it changes while it is copied to another file system."""
        goal = os.path.join(self._directory, os.path.relpath(path, self._root))
        os.makedirs(os.path.dirname(goal), exist_ok=True)
        goal = _free(goal)
        try:
            os.rename(path, goal)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return f"moved to {goal!r}" if _moved_by_copy(path, goal, version) else ""
        return f"moved to {goal!r}"

    def skips(self, path: str, version: Version) -> bool:
        """Return whether the file is in the directory that files are moved to, or is a marker that was made earlier."""
        return os.path.realpath(path).startswith(self._directory + os.sep) or _is_marker(path)


def _is_marker(path: str) -> bool:
    """Return whether the file is a marker, or one that was not finished, even if the file that it is about is gone."""
    return path.endswith(_UNFINISHED) or (path.endswith(MARK) and _MARKER.fullmatch(_beginning(path)) is not None)


def _beginning(path: str) -> str:
    """Return as much of a file as a marker may have; nothing if it cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(64)
    except OSError:
        return ""


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


def _moved_by_copy(path: str, goal: str, version: Version) -> bool:
    """Move the file to another file system: the goal appears once it is whole, and only then is the file removed.

    Return False, and leave all as it is, if the file is not this version any more: the other one is not uploaded yet.
    """
    part = _free(f"{goal}.part")
    try:
        shutil.copy2(path, part)
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        if version_of(path) != version:
            return False
        os.rename(part, goal)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)
    os.unlink(path)
    return True
