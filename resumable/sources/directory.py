"""The files of a directory, named as a browser names those of a folder that is dropped into it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import OptionError, SourceError
from ..validators import is_async
from .base import as_source_errors, expand_home, is_remote, refuse_unless_permitted

__all__ = ["LinkedAgain", "Select", "check_choices", "files", "walk"]

Patterns = set[tuple[str, ...]]
Select = Callable[[str, bool], bool]

_EVERYTHING = "**/*"


class LinkedAgain(SourceError):
    """A link leads to a directory whose files were found already, so they are not found again under its name."""

    def __init__(self, source: str) -> None:
        super().__init__(source, "it is a link to a directory whose files are taken already", errno=errno.ELOOP)


def check_choices(pattern: Any, exclude: Any, select: Any, links: Any) -> list[str]:
    """Return what to exclude. Raises OptionError for what :func:`files` does not take: what an async ``select`` returns
    would count as true."""
    if not isinstance(pattern, str):
        raise OptionError("pattern", pattern, "a pattern such as '**/*.jpg'")
    excluded = [exclude] if isinstance(exclude, str) or not isinstance(exclude, Iterable) else list(exclude)
    if not all(isinstance(each, str) for each in excluded):
        raise OptionError("exclude", exclude, "a list of patterns such as '*.tmp'")
    if select is not None and (not callable(select) or is_async(select)):
        raise OptionError("select", select, "a callable(path, is_directory) that is not async, or None")
    if links not in ("follow", "skip", "error"):
        raise OptionError("links", links, "'follow', 'skip' or 'error'")
    return excluded


def files(
    root: Any,
    pattern: str = _EVERYTHING,
    exclude: str | Iterable[str] = (),
    *,
    select: Select | None = None,
    links: str = "follow",
    dead: Callable[[str], None] = lambda path: None,
) -> Iterator[tuple[Any, str]]:
    """Find each regular file below ``root`` that the pattern takes, and yield its entry with its relative path, sorted.

    Relative paths begin with the name of ``root`` itself. ``pattern`` is matched below ``root``, ``**`` being any
    number of directories. ``exclude`` are patterns: if one of them matches the path below ``root`` or any part of it,
    the file is left out, or the directory with all that is in it.

    ``select(path, is_directory)`` says of what is left whether a file is taken, or a directory looked into.

    ``links`` are followed, but a directory that was walked already is not walked again through a link; or they are
    left out (``skip``), or raise SourceError (``error``). ``dead`` is called with each link that leads nowhere. Raises
    SourceError at once if ``root`` is missing or is not a directory, and on the way if a directory cannot be read.

    ``root`` may be a universal path: what has ``iterdir()``, ``is_dir()`` and ``name``. Its files are such paths, too,
    and it knows nothing of links.
    """
    exclude = check_choices(pattern, exclude, select, links)
    chosen = _selector(pattern, exclude)

    def both(path: str, is_directory: bool) -> bool:
        return chosen(path, is_directory) and (select is None or select(path, is_directory))

    if is_remote(root):
        return _universal(root, both)
    root = Path(expand_home(os.fsdecode(root)))
    with as_source_errors(str(root)):
        mode = root.stat().st_mode
        # Fails if the working directory was deleted, which still is a directory.
        name = os.path.basename(os.path.abspath(root))
    if not stat.S_ISDIR(mode):
        raise SourceError(str(root), "it is not a directory; add_file() adds a file")

    def unlinked(path: str, is_directory: bool) -> bool:
        if not both(path, is_directory):
            return False
        if not os.path.islink(whole := os.path.join(root, path)):
            return True
        if links == "error":
            raise SourceError(whole, "it is a link, and links='error'")
        return False

    def failed(error: SourceError) -> None:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise error
        if not isinstance(error, LinkedAgain) and os.path.islink(error.source):
            dead(error.source)

    found = walk(root, both if links == "follow" else unlinked, failed)
    return ((entry, f"{name}/{path}") for entry, path in found) if name else found


def _universal(root: Any, select: Select) -> Iterator[tuple[Any, str]]:
    """Yield the files below a universal path, sorted, with their relative paths."""
    with as_source_errors(str(root)):
        if not root.is_dir():
            raise SourceError(str(root), "it is not a directory; add_file() adds a file")

    def found(directory: Any, above: str) -> Iterator[tuple[Any, str]]:
        with as_source_errors(str(directory)):
            entries = sorted(directory.iterdir(), key=lambda entry: str(entry.name))
        for entry in entries:
            path = f"{above}/{entry.name}" if above else str(entry.name)
            with as_source_errors(str(entry)):
                is_directory = bool(entry.is_dir())
            if not select(path, is_directory):
                continue
            if is_directory:
                yield from found(entry, path)
            else:
                yield entry, f"{root.name}/{path}" if root.name else path

    return found(root, "")


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
                linked = entry.is_symlink()
                if linked:
                    # That one leads nowhere is told here alone.
                    entry.stat()
                is_file = entry.is_file()
        except SourceError as error:
            failed(error)
            continue
        if is_directory:
            parts.append(entry.name)
            links.append(links[-1] or linked)
            levels.append(_entries(entry.path, visited, failed, linked=links[-1]))
        elif is_file:
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
            # Its files may have names that can be read, and nothing else.
            refuse_unless_permitted(directory, os.X_OK)
            with os.scandir(directory) as listing:
                return iter(sorted(listing, key=lambda entry: entry.name))
    except SourceError as error:
        failed(error)
        return iter(())


def _selector(pattern: str, exclude: str | Iterable[str]) -> Select:
    """Return what takes the files that match the pattern and none of the exclusions."""
    patterns = set(_opened([part for part in pattern.split("/") if part not in ("", ".")]))
    excluded = [exclude] if isinstance(exclude, str) else list(exclude)
    if pattern == _EVERYTHING and not excluded:
        return lambda path, is_directory: True

    @lru_cache(maxsize=64)
    def behind(path: str) -> Patterns:
        rest = patterns
        for part in path.split("/") if path else ():
            rest = _behind(rest, part)
        return rest

    def select(path: str, is_directory: bool) -> bool:
        above, _, name = path.rpartition("/")
        if any(fnmatchcase(path, each) or fnmatchcase(name, each) for each in excluded):
            return False
        # The files of a directory come one after the other.
        rest = _behind(behind(above), name)
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
