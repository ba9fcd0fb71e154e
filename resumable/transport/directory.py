"""The files of a directory, named as a browser names those of a folder that is dropped into it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import SourceError
from .reader import reading

__all__ = ["walk"]


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
    with reading(str(root)):
        mode = root.stat().st_mode
    if not stat.S_ISDIR(mode):
        raise SourceError(str(root), "it is no directory; add_file() adds a file")
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    excluded = [exclude] if isinstance(exclude, str) else list(exclude)
    name = os.path.basename(os.path.abspath(root))
    return _Walk(parts, excluded).files(root, (), prefix=name and name + "/", linked=False)


class _Walk:
    def __init__(self, pattern: Sequence[str], exclude: Sequence[str]) -> None:
        self.pattern = pattern
        self.exclude = exclude
        self.visited: set[tuple[int, int]] = set()

    def files(
        self, directory: Path, below: tuple[str, ...], *, prefix: str, linked: bool
    ) -> Iterator[tuple[Path, str]]:
        """The files in a directory that is ``below`` the root. ``linked``: a link led here."""
        with reading(str(directory)):
            status = os.stat(directory)
            names = sorted(os.listdir(directory))
        identity = status.st_dev, status.st_ino
        if linked and identity in self.visited:
            return
        self.visited.add(identity)
        for name in names:
            path, parts = directory / name, (*below, name)
            if self._excludes(parts):
                continue
            with reading(str(path)):
                try:
                    mode = os.stat(path).st_mode
                except OSError as error:
                    if error.errno in (errno.ENOENT, errno.ELOOP):
                        continue
                    raise
            if stat.S_ISDIR(mode):
                yield from self.files(path, parts, prefix=prefix, linked=linked or path.is_symlink())
            elif stat.S_ISREG(mode) and _matches(parts, self.pattern):
                yield path, prefix + "/".join(parts)

    def _excludes(self, parts: tuple[str, ...]) -> bool:
        path = "/".join(parts)
        return any(fnmatchcase(path, each) or fnmatchcase(parts[-1], each) for each in self.exclude)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or (bool(parts) and _matches(parts[1:], pattern))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
