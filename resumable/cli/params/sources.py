"""The files to send: named, in a directory, or matching a pattern, without those that are excluded."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pathspec

from ...errors import SourceError
from ...sources.directory import walk

__all__ = ["STREAM", "Found", "Rules", "find"]

STREAM = "-"


class Found(NamedTuple):
    """One file to send: its path (``-`` is the standard input), its name at the server, its size (None: unknown)."""

    path: str
    relative_path: str
    size: int | None


class Rules:
    """Decide what is left out: ``exclude`` are lines of a .gitignore, ``links`` is follow, skip or error."""

    def __init__(self, exclude: Iterable[str] = (), links: str = "follow") -> None:
        self._excluded = pathspec.GitIgnoreSpec.from_lines(exclude)
        self._links = links

    def excludes(self, relative_path: str, *, directory: bool = False) -> bool:
        """Return whether the path is left out, and if it is a directory all that is in it."""
        if not directory:
            return self._excluded.match_file(relative_path)
        # The walk asks about the directory itself: the last rule for it decides, as with "*", "!*/", "!*.jpg".
        for pattern in reversed([*self._excluded.patterns]):
            if pattern.include is not None and pattern.match_file(f"{relative_path}/"):
                return pattern.include
        return False

    def follows(self, path: str) -> bool:
        """Return whether what is at this path is taken: it is not a link, or links are followed.

        Raises SourceError if there must not be a link.
        """
        if self._links == "follow" or not os.path.islink(path):
            return True
        if self._links == "error":
            raise SourceError(path, "it is a link, and --links is error")
        return False


def find(sources: Iterable[str], rules: Rules, *, stream_name: str = "stdin") -> Iterator[Found | SourceError]:
    """Find the files that the sources name, in order, and the error of each that exists but cannot be sent.

    A directory means all files in it, under its own name; a pattern means what it matches, named by its path below the
    part of the pattern that has no ``*``; ``-`` means the standard input. Raises SourceError for a source that does not
    exist.
    """
    for source in sources:
        if source == STREAM:
            yield Found(STREAM, stream_name, None)
        elif not os.path.lexists(source) and glob.has_magic(source):
            yield from _matches(source, rules)
        else:
            yield from _named(source, os.path.basename(os.path.abspath(source)), rules)


def _matches(pattern: str, rules: Rules) -> Iterator[Found | SourceError]:
    root = pattern
    while glob.has_magic(root):
        root = os.path.dirname(root)
    matched = sorted(glob.glob(pattern, recursive=True))
    if not matched:
        raise SourceError(pattern, "the pattern matches nothing")
    directories = tuple(path for path in matched if os.path.isdir(path))
    for path in matched:
        # With ** a directory and its files match, each by itself.
        if path in directories and "**" in pattern:
            continue
        yield from _named(path, os.path.relpath(path, root or "."), rules)


def _named(path: str, name: str, rules: Rules) -> Iterator[Found | SourceError]:
    """Find the file, or the files of the directory, at a path that was typed."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise SourceError(path, error.strerror or str(error), errno=error.errno) from error
    name = name.replace(os.sep, "/")
    if not rules.follows(path):
        return
    if stat.S_ISDIR(status.st_mode):
        yield from _below(path, name, rules)
    elif not rules.excludes(name):
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(path, "it is not a regular file; pipe its content to - instead")
        yield Found(path, name, status.st_size)


def _below(directory: str, name: str, rules: Rules) -> Iterator[Found | SourceError]:
    """Find the files in a directory."""
    errors: list[SourceError] = []

    def select(path: str, is_directory: bool) -> bool:
        return not rules.excludes(path, directory=is_directory) and rules.follows(os.path.join(directory, path))

    for entry, path in walk(directory, select, errors.append):
        yield from errors
        errors.clear()
        yield Found(entry.path, f"{name}/{path}" if name else path, entry.stat().st_size)
    yield from errors
