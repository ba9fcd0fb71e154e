"""The files to send: named, listed, in a directory, or matching a pattern, without those that are left out."""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from ...errors import SourceError
from ...protocol.parameters import unescaped
from ...sources.base import as_source_errors
from ...sources.directory import walk
from ...sources.shard import Shard
from ...sources.url import find_urls, is_url

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["STREAM", "FilterRules", "Found", "Selection", "find", "is_missing"]

STREAM = "-"


class Found(NamedTuple):
    """One file to send: its path (``-`` is the standard input), its name at the server, its size (None: unknown)."""

    path: str
    relative_path: str
    size: int | None


class FilterRules:
    """Decide what is left out: ``exclude`` and ``include`` are lines of a .gitignore, ``links`` follow, skip or error.

    If there is an ``include``, a file must match it. What ``exclude`` matches is left out in any case.
    """

    def __init__(self, exclude: Iterable[str] = (), links: str = "follow", include: Iterable[str] = ()) -> None:
        self._excluded = _spec(exclude)
        self._included = _spec(include)
        self._links = links

    @property
    def empty(self) -> bool:
        """Whether there are no patterns."""
        return self._excluded is None and self._included is None

    def excludes(self, relative_path: str, *, directory: bool = False) -> bool:
        """Return whether the path is left out, and if it is a directory all that is in it."""
        relative_path = unescaped(relative_path)
        if not directory:
            left_out = self._included is not None and not self._included.match_file(relative_path)
            return left_out or (self._excluded is not None and self._excluded.match_file(relative_path))
        # The walk asks about the directory itself: the last rule for it decides, as with "*", "!*/", "!*.jpg".
        for pattern in reversed([*self._excluded.patterns] if self._excluded is not None else []):
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


def _spec(lines: Iterable[str]) -> GitIgnoreSpec | None:
    """Return the rules in these lines, None if there are none."""
    lines = [*map(unescaped, lines)]
    if not lines:
        return None
    import pathspec  # most uploads have no rules, and need not wait for it

    spec = pathspec.GitIgnoreSpec.from_lines(lines)
    return spec if len(spec) else None


class Selection(NamedTuple):
    """What to send.

    ``sources`` are files, directories, patterns or ``-``; ``listed`` are names as they are, of files and directories.
    Both are looked up in ``base``. Names at the server begin with ``prefix``, if it is not empty. ``piped``: one of the
    sources, or the list, is the standard input. If there is a ``shard``, only its files are sent. ``log`` is the real
    path of a file that is written meanwhile, and not sent.
    """

    sources: tuple[str, ...] = ()
    listed: Iterable[str] = ()
    rules: FilterRules = FilterRules()
    base: str | None = None
    prefix: str = ""
    stream_name: str = "stdin"
    piped: bool = False
    shard: Shard | None = None
    log: str | None = None


def is_missing(error: SourceError) -> bool:
    """Return whether there is nothing at the path, as opposed to something that cannot be read."""
    return error.errno in (errno.ENOENT, errno.ENOTDIR)


def find(selection: Selection) -> Iterator[Found | SourceError]:
    """Find the files to send, in order, and the error of each source that cannot be sent.

    A directory means all files in it, under its own name; a pattern means what it matches, named by its path below the
    part of the pattern that has no ``*``; ``-`` means the standard input. What is listed, and with a ``base`` every
    source, keeps its path below that as its name.
    """
    for item in _find(selection):
        if isinstance(item, Found):
            if selection.log is not None and os.path.realpath(item.path) == selection.log:
                continue
            name = f"{selection.prefix}/{item.relative_path}" if selection.prefix else item.relative_path
            item = item._replace(relative_path=unescaped(name))
            if selection.shard is not None and not selection.shard.takes(item.relative_path):
                continue
        yield item


def _find(selection: Selection) -> Iterator[Found | SourceError]:
    for source in selection.sources:
        try:
            yield from _typed(source, selection)
        except SourceError as error:
            yield error
    seen: set[str] = set()
    try:
        for name in selection.listed:
            for item in _listed(name, selection):
                # A list may name a directory and then what is in it, as that of find does.
                if isinstance(item, SourceError) or item.relative_path not in seen:
                    yield item
                if isinstance(item, Found):
                    seen.add(item.relative_path)
    except SourceError as error:
        yield error


def _typed(source: str, selection: Selection) -> Iterator[Found | SourceError]:
    """Find what one source means. Raises SourceError if it cannot be sent."""
    rules, base = selection.rules, selection.base
    path = source if base is None or source == "" else os.path.join(base, source)
    if source == STREAM:
        yield Found(STREAM, selection.stream_name, None)
    elif is_url(source):
        for url, name, size in find_urls(source):
            if not rules.excludes(name):
                yield Found(url, name, size)
    elif not os.path.lexists(path) and glob.has_magic(source):
        yield from _matches(source, selection)
    elif base is None:
        yield from _named(path, os.path.basename(os.path.abspath(path)), rules)
    else:
        yield from _named(path, _below_base(source, base), rules)


def _listed(name: str, selection: Selection) -> Iterator[Found | SourceError]:
    """Find what one name of a list means."""
    base = selection.base or ""
    path = os.path.join(base, name)
    relative_path = _below_base(name, base)
    if os.path.isdir(path) and selection.rules.excludes(relative_path, directory=True):
        return
    try:
        yield from _named(f".{os.sep}{path}" if path == STREAM else path, relative_path, selection.rules)
    except SourceError as error:
        yield error


def _below_base(source: str, base: str) -> str:
    """Return the path of the source below the base. If it is elsewhere, its root or its leading ``..`` is dropped."""
    path, root = os.path.normpath(source), os.path.abspath(base)
    if os.path.isabs(path):
        path = os.path.relpath(path, root) if _is_below(path, root) else os.path.splitdrive(path)[1].lstrip(os.sep)
    parts = [part for part in path.split(os.sep) if part not in (os.curdir, os.pardir)]
    return "/".join(parts)


def _is_below(path: str, root: str) -> bool:
    try:
        return os.path.commonpath([path, root]) == root
    except ValueError:  # on another drive
        return False


def _matches(pattern: str, selection: Selection) -> Iterator[Found | SourceError]:
    base, root = selection.base, pattern
    while glob.has_magic(root):
        root = os.path.dirname(root)
    matched = sorted(glob.glob(pattern, root_dir=base, recursive=True))
    if not matched:
        raise SourceError(pattern, "the pattern matches nothing", errno=errno.ENOENT)
    for name in matched:
        path = name if base is None else os.path.join(base, name)
        # With ** a directory and its files match, each by itself.
        if "**" in pattern and os.path.isdir(path):
            continue
        relative_path = os.path.relpath(name, root or ".") if base is None else _below_base(name, base)
        try:
            yield from _named(path, relative_path, selection.rules)
        except SourceError as error:
            yield error


def _named(path: str, name: str, rules: FilterRules) -> Iterator[Found | SourceError]:
    """Find the file, or the files of the directory, at a path that was typed. Raises SourceError if there is none."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise SourceError(path, error.strerror or str(error), errno=error.errno) from error
    except ValueError as error:
        raise SourceError(path, str(error)) from error
    name = name.replace(os.sep, "/")
    if not rules.follows(path):
        return
    if stat.S_ISDIR(status.st_mode):
        yield from _below(path, name, rules)
    elif not rules.excludes(name):
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(path, "it is not a regular file; pipe its content to - instead")
        yield Found(path, name, status.st_size)


def _below(directory: str, name: str, rules: FilterRules) -> Iterator[Found | SourceError]:
    """Find the files in a directory."""
    errors: list[SourceError] = []

    def select(path: str, is_directory: bool) -> bool:
        return not rules.excludes(path, directory=is_directory) and rules.follows(os.path.join(directory, path))

    for entry, path in walk(directory, select, errors.append):
        yield from errors
        errors.clear()
        try:
            with as_source_errors(entry.path):
                size = entry.stat().st_size
        except SourceError as error:
            yield error
        else:
            yield Found(entry.path, f"{name}/{path}" if name else path, size)
    yield from errors
