"""The files of a directory, named as a browser names those of a folder that is dropped into it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import SourceError
from .base import as_source_errors

__all__ = ["walk"]

Patterns = set[tuple[str, ...]]


def walk(
    root: str | os.PathLike[str], pattern: str = "**/*", exclude: str | Iterable[str] = ()
) -> Iterator[tuple[Path, str]]:
    """Each regular file below ``root`` that the pattern takes, with its relative path, in sorted order.

    Relative paths have ``/`` between their parts and begin with the name of ``root`` itself. ``pattern`` is matched
    below ``root``, ``**`` being any number of directories. ``exclude`` are patterns of which one that matches the path
    below ``root`` or any part of it leaves out a file, or a directory with all that is in it.

    Links are followed, but a directory that was walked already is not walked again through a link. Whatever is no
    regular file is left out, and so are links that lead nowhere. Raises SourceError at once where ``root`` is missing
    or is no directory, and on the way where a directory cannot be read.
    """
    root = Path(root)
    with as_source_errors(str(root)):
        mode = root.stat().st_mode
    if not stat.S_ISDIR(mode):
        raise SourceError(str(root), "it is no directory; add_file() adds a file")
    patterns = set(_opened([part for part in pattern.split("/") if part not in ("", ".")]))
    excluded = [exclude] if isinstance(exclude, str) else list(exclude)
    name = os.path.basename(os.path.abspath(root))
    return _Walk(excluded).files(root, (), patterns, prefix=name and name + "/", linked=False)


class _Walk:
    def __init__(self, exclude: Sequence[str]) -> None:
        self.exclude = exclude
        self.visited: set[tuple[int, int]] = set()

    def files(
        self, directory: Path, below: tuple[str, ...], patterns: Patterns, *, prefix: str, linked: bool
    ) -> Iterator[tuple[Path, str]]:
        """The files in a directory ``below`` the root. ``patterns`` is what is left to match, ``linked``: by a link."""
        with as_source_errors(str(directory)):
            status = os.stat(directory)
            names = sorted(os.listdir(directory))
        identity = status.st_dev, status.st_ino
        if linked and identity in self.visited:
            return
        self.visited.add(identity)
        for name in names:
            path, parts, rest = directory / name, (*below, name), _behind(patterns, name)
            if not rest or self._excludes(parts):
                continue
            with as_source_errors(str(path)):
                try:
                    mode = os.stat(path).st_mode
                except OSError as error:
                    if error.errno in (errno.ENOENT, errno.ELOOP):
                        continue
                    raise
            if stat.S_ISDIR(mode):
                yield from self.files(path, parts, rest, prefix=prefix, linked=linked or path.is_symlink())
            elif stat.S_ISREG(mode) and () in rest:
                yield path, prefix + "/".join(parts)

    def _excludes(self, parts: tuple[str, ...]) -> bool:
        path = "/".join(parts)
        return any(fnmatchcase(path, each) or fnmatchcase(parts[-1], each) for each in self.exclude)


def _opened(pattern: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The pattern, and what is left of it where its leading ``**`` stand for no directory."""
    pattern = tuple(pattern)
    yield pattern
    while pattern[:1] == ("**",):
        pattern = pattern[1:]
        yield pattern


def _behind(patterns: Patterns, name: str) -> Patterns:
    """What is left to match behind this name; nothing where it does not match."""
    rest: set[tuple[str, ...]] = set()
    for pattern in patterns:
        if pattern[:1] == ("**",):
            rest.update(_opened(pattern))
        elif pattern and fnmatchcase(name, pattern[0]):
            rest.update(_opened(pattern[1:]))
    return rest
