"""The files of a directory, named as a browser names those of a folder that is dropped into it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import SourceError
from .base import as_source_errors

__all__ = ["LinkedAgain", "files", "walk"]

Patterns = set[tuple[str, ...]]
Select = Callable[[str, bool], bool]


class LinkedAgain(SourceError):
    """A link leads to a directory whose files were found already, so they are not found again under its name."""

    def __init__(self, source: str) -> None:
        super().__init__(source, "it is a link to a directory whose files are taken already", errno=errno.ELOOP)


def files(
    root: str | os.PathLike[str], pattern: str = "**/*", exclude: str | Iterable[str] = ()
) -> Iterator[tuple[Path, str]]:
    """Find each regular file below ``root`` that the pattern takes, and yield it with its relative path, sorted.

    Relative paths begin with the name of ``root`` itself. ``pattern`` is matched below ``root``, ``**`` being any
    number of directories. ``exclude`` are patterns: if one of them matches the path below ``root`` or any part of it,
    the file is left out, or the directory with all that is in it.

    Links are followed, but a directory that was walked already is not walked again through a link. Links that lead
    nowhere are left out. Raises SourceError at once if ``root`` is missing or is not a directory, and on the way if a
    directory cannot be read.
    """
    root = Path(root)
    with as_source_errors(str(root)):
        mode = root.stat().st_mode
    if not stat.S_ISDIR(mode):
        raise SourceError(str(root), "it is no directory; add_file() adds a file")
    name = os.path.basename(os.path.abspath(root))
    found = walk(root, _selector(pattern, exclude), _raise_unless_linked)
    return ((Path(entry), f"{name}/{path}" if name else path) for entry, path in found)


def walk(
    root: str | os.PathLike[str], select: Select, failed: Callable[[SourceError], None]
) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Find the regular files below ``root``, and yield each with its path below it, in sorted order.

    Paths have ``/`` between their parts. ``select(relative_path, is_directory)`` says whether a file is taken, or a
    directory looked into. Links are followed, but a directory that was walked already is not walked again through a
    link. What is not a regular file is left out. ``failed`` is called with the SourceError of what cannot be read or
    followed, and of what ``select`` raises; the walk then goes on.
    """
    visited: set[tuple[int, int]] = set()
    # A stack of our own: a tree may be deeper than the interpreter's.
    levels = [_entries(os.fspath(root), visited, failed, linked=False)]
    parts: list[str] = []
    links = [False]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            del levels[-1], parts[-1:], links[-1]
            continue
        path = "/".join((*parts, entry.name))
        is_directory = _is_directory(entry)
        try:
            if not select(path, is_directory):
                continue
            with as_source_errors(entry.path):
                mode = entry.stat().st_mode
        except SourceError as error:
            failed(error)
            continue
        if is_directory:
            parts.append(entry.name)
            links.append(links[-1] or entry.is_symlink())
            levels.append(_entries(entry.path, visited, failed, linked=links[-1]))
        elif stat.S_ISREG(mode):
            yield entry, path


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entries(
    directory: str, visited: set[tuple[int, int]], failed: Callable[[SourceError], None], *, linked: bool
) -> Iterator[os.DirEntry[str]]:
    """Return what is in the directory, sorted; nothing if it cannot be read, or is a link to one that was visited."""
    try:
        with as_source_errors(directory):
            status = os.stat(directory)
            identity = status.st_dev, status.st_ino
            if linked and identity in visited:
                raise LinkedAgain(directory)
            visited.add(identity)
            with os.scandir(directory) as listing:
                return iter(sorted(listing, key=lambda entry: entry.name))
    except SourceError as error:
        failed(error)
        return iter(())


def _raise_unless_linked(error: SourceError) -> None:
    if error.errno not in (errno.ENOENT, errno.ELOOP):
        raise error


def _selector(pattern: str, exclude: str | Iterable[str]) -> Select:
    """Return what takes the files that match the pattern and none of the exclusions."""
    patterns = set(_opened([part for part in pattern.split("/") if part not in ("", ".")]))
    excluded = [exclude] if isinstance(exclude, str) else list(exclude)

    def select(path: str, is_directory: bool) -> bool:
        parts = path.split("/")
        if any(fnmatchcase(path, each) or fnmatchcase(parts[-1], each) for each in excluded):
            return False
        rest = patterns
        for part in parts:
            rest = _behind(rest, part)
        return bool(rest) if is_directory else () in rest

    return select


def _opened(pattern: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the pattern, and what is left of it if its leading ``**`` stand for no directory."""
    pattern = tuple(pattern)
    yield pattern
    while pattern[:1] == ("**",):
        pattern = pattern[1:]
        yield pattern


def _behind(patterns: Patterns, name: str) -> Patterns:
    """Return what is left to match behind this name; nothing if it does not match."""
    rest: set[tuple[str, ...]] = set()
    for pattern in patterns:
        if pattern[:1] == ("**",):
            rest.update(_opened(pattern))
        elif pattern and fnmatchcase(name, pattern[0]):
            rest.update(_opened(pattern[1:]))
    return rest
