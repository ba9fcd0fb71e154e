"""Which files are meant: by name, by directory, by pattern, by rules of exclusion."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pathspec

from ...errors import SourceError

__all__ = ["STREAM", "Found", "Rules", "find"]

STREAM = "-"


class Found(NamedTuple):
    """One file to send: where it is (``-`` is the standard input), the name it gets, and its size (None: unknown)."""

    path: str
    relative_path: str
    size: int | None


class Rules:
    """What is left out: ``exclude`` are lines of a .gitignore, ``links`` is follow, skip or error."""

    def __init__(self, exclude: Iterable[str] = (), links: str = "follow") -> None:
        self._excluded = pathspec.GitIgnoreSpec.from_lines(exclude)
        self._links = links

    def excludes(self, relative_path: str, *, directory: bool = False) -> bool:
        """Whether the path is left out, and where it is a directory all that is in it."""
        if not directory:
            return self._excluded.match_file(relative_path)
        # Whoever walks asks for the directory itself: the last rule for it decides, as with "*", "!*/", "!*.jpg".
        for pattern in reversed([*self._excluded.patterns]):
            if pattern.include is not None and pattern.match_file(f"{relative_path}/"):
                return pattern.include
        return False

    def passes(self, path: str) -> bool:
        """Whether a link at this path is followed. Raises SourceError where there must not be one."""
        if self._links == "error":
            raise SourceError(path, "it is a link, and --links is error")
        return self._links == "follow"


def find(sources: Iterable[str], rules: Rules, *, stream_name: str = "stdin") -> Iterator[Found | SourceError]:
    """The files that the sources mean, in order, and the error of each that is there and cannot be taken.

    A directory means all files in it, under its own name; a pattern what it matches, named by what follows the part
    of it that has no ``*``; ``-`` the standard input. Raises SourceError at once for a source that is not there.
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
    """The file or directory at a path that somebody gave."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise SourceError(path, error.strerror or str(error), errno=error.errno) from error
    name = name.replace(os.sep, "/")
    if os.path.islink(path) and not rules.passes(path):
        return
    if stat.S_ISDIR(status.st_mode):
        yield from _walk(path, name, "", rules, {(status.st_dev, status.st_ino)})
    elif not rules.excludes(name):
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(path, "it is no regular file; give what it yields to the standard input, as -")
        yield Found(path, name, status.st_size)


def _walk(
    directory: str, prefix: str, below: str, rules: Rules, above: set[tuple[int, int]]
) -> Iterator[Found | SourceError]:
    """The files in a directory, sorted. ``above``: the directories that it is in, so that a link back is no loop."""
    try:
        with os.scandir(directory) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield SourceError(directory, error.strerror or str(error), errno=error.errno)
        return
    for entry in entries:
        inside = f"{below}{entry.name}"
        try:
            if rules.excludes(inside, directory=entry.is_dir()):
                continue
            if entry.is_symlink() and not rules.passes(entry.path):
                continue
            status = entry.stat()
        except SourceError as error:
            yield error
            continue
        except OSError as error:
            yield SourceError(entry.path, error.strerror or str(error), errno=error.errno)
            continue
        if stat.S_ISDIR(status.st_mode):
            identity = status.st_dev, status.st_ino
            if identity not in above:
                yield from _walk(entry.path, prefix, f"{inside}/", rules, above | {identity})
        elif stat.S_ISREG(status.st_mode):
            yield Found(entry.path, f"{prefix}/{inside}" if prefix else inside, status.st_size)
