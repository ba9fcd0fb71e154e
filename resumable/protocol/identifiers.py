"""Identifiers: the name under which a server knows an upload.

The same file must get the same identifier on every run, or nothing ever resumes; two files must not share one, or the
server mixes them. :func:`resumablejs` and :func:`content` are called as ``identify(path, relative_path)`` and may be
given as the option ``generate_unique_identifier``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from .parameters import unescaped

__all__ = ["content", "default", "resumablejs"]

_BYTE = re.compile("[\ud800-\udfff]")
_UNSAFE = re.compile(r"[^0-9A-Za-z_-]")


def resumablejs(path: Any, relative_path: str) -> str:
    """``size-name`` as resumable.js makes it, so that an upload begun in a browser is finished from here.

    Every character outside ``[0-9A-Za-z_-]`` is deleted, so names can collide: ``a/b.txt`` is ``ab.txt``, and all
    Chinese names of one size are one. Raises OSError where the file cannot be asked for its size.
    """
    return from_size(path.stat().st_size, relative_path)


def from_size(size: int, relative_path: str) -> str:
    """Return the identifier that resumable.js gives a file of this many bytes."""
    return f"{size}-{_UNSAFE.sub('', relative_path)}"


def default(size: int, relative_path: str, version: int | str) -> str:
    """Return the identifier that a file gets by default: ``size-cleaned-12 hex digits``.

    The digits are of the SHA-256 of the relative path, the size in bytes and the version (the time of the last change
    in nanoseconds, or the result of :func:`content`), so that neither names that look alike when cleaned nor an edited
    file of equal size share an upload. The cleaned name is cut to 64 characters for servers that make a file name of
    it.
    """
    seed = f"{relative_path}\0{size}\0{version}".encode("utf-8", "surrogatepass")
    return f"{size}-{_UNSAFE.sub('', relative_path)[:64]}-{hashlib.sha256(seed).hexdigest()[:12]}"


def without_time(path: Any, relative_path: str) -> str:
    """Return the default identifier of a source that has no time of change. Its content, which is read once, is its
    version."""
    version = content(path, relative_path)
    return default(int(version.partition("-")[0]), relative_path, version)


def content(path: Any, relative_path: str) -> str:
    """Return ``size-sha256`` of the bytes: equal content is one upload, whatever its name or age.

    The whole file is read once, on a worker. Raises OSError if it cannot be read.
    """
    digest = hashlib.sha256()
    size = 0
    buffer = memoryview(bytearray(1 << 20))
    with path.open("rb") as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            size += count
    return f"{size}-{digest.hexdigest()}"


def sendable(identifier: str) -> str:
    """Return the identifier as text that can be sent: for each byte of a name that is not UTF-8, U+FFFD and its digits,
    so that two names stay two."""
    if identifier.isascii():
        return identifier
    return _BYTE.sub(lambda found: f"\ufffd{ord(found[0]) & 0xFF:02x}", unescaped(identifier))


def is_slow(identify: Callable[..., str]) -> bool:
    """Return whether a worker has to make the identifier, because it reads the file."""
    return identify is content
