"""A URL as a source: an object in a store, or whatever else fsspec reads. Ranges are read as they are sent.

Nothing of it is kept on disk, and each worker has no more than one piece in memory. The version is what the store says
of the object: size, entity tag, time. It is asked for after each piece, so that no piece is of another version.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

from ..errors import SourceChanged, SourceError, redact_url
from .base import Reader, Source, as_source_errors, refuse_unless_countable

__all__ = ["UrlSource", "find_urls", "is_url", "url_source"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?:::|://)")
_MAGIC = re.compile(r"[*?\[]")

_TAGS = ("ETag", "etag", "content_md5", "md5Hash", "Content-MD5", "checksum", "version_id", "generation")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "Last-Modified", "created")


class UrlPath:
    """What ``generate_unique_identifier`` gets of a URL: text that hides a password, with ``stat`` and ``open``."""

    def __init__(self, url: str, files: Any, location: str, status: SimpleNamespace) -> None:
        self._url = url
        self._files = files
        self._location = location
        self._status = status

    def stat(self) -> SimpleNamespace:
        """Return the size and the time of the last change that the object had when it was added."""
        return self._status

    def open(self, mode: str = "rb") -> Any:
        """Open the object."""
        return self._files.open(self._location, mode)

    def __str__(self) -> str:
        return redact_url(self._url)


class UrlSource(Source):
    """An object behind a URL. Readers have nothing in common, so any number of them read at the same time."""

    def __init__(self, name: str, url: str, files: Any, location: str) -> None:
        self._shown = redact_url(url)
        self._files = files
        self._location = location
        try:
            facts = self._facts()
        except FileNotFoundError as error:
            raise SourceError(self._shown, "there is nothing at this URL", errno=errno.ENOENT) from error
        self._known = _version(facts)
        self.name = name
        self.size = facts.get("size")  # type: ignore[assignment]  # whatever the file system says
        refuse_unless_countable(self._shown, self.size)
        self.mtime_ns = _time_of(facts)
        self.path = UrlPath(url, files, location, SimpleNamespace(st_size=self.size, st_mtime_ns=self.mtime_ns))

    @property
    def version(self) -> int | str:
        """What tells this version from others: the tag that the store gave it, or else its time."""
        return next((str(value) for tag, value in self._known if tag in _TAGS), self.mtime_ns)

    def open(self) -> Reader:
        return Reader(self._shown, self._read, verify=self._verify, later=self.size > 0)

    def _read(self, buffer: memoryview, offset: int) -> int:
        # Those that open a file for it would read on into a cache that nobody uses.
        options = {} if self._files.async_impl else {"cache_type": "none"}
        end = min(offset + len(buffer), self.size)
        data = self._files.cat_file(self._location, start=offset, end=end, **options)
        buffer[: len(data)] = data
        return len(data)

    def _verify(self) -> None:
        try:
            now = _version(self._facts())
        except FileNotFoundError as error:
            raise SourceError(self._shown, "it was deleted after it had been added", errno=errno.ENOENT) from error
        if now != self._known:
            before, after = dict(self._known), dict(now)
            changes = [f"{key} {before.get(key)} → {value}" for key, value in after.items() if before.get(key) != value]
            raise SourceChanged(self._shown, ", ".join(changes) or "it says less of itself")

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = self._files.info(self._location)
        if facts.get("type") == "directory":
            raise SourceError(self._shown, "it is a directory; upload() and the command send the files in it")
        return facts


def is_url(value: Any) -> bool:
    """Return whether this is text that fsspec reads: ``s3://bucket/key``, ``memory://…``, or a chain of such."""
    return isinstance(value, str) and _URL.match(value) is not None and not os.path.lexists(value)


def url_source(url: str, name: str | None) -> Source:
    """Make the source for a URL. Raises SourceError if there is nothing, or a package is missing that reads it."""
    with as_source_errors(redact_url(url)):
        files, location = _file_system(url)
        return UrlSource(name or _last(location), url, files, location)


def find_urls(url: str) -> Iterator[tuple[str, str, int | None]]:
    """Yield the URL, the relative path and the size of each file that a URL stands for, sorted.

    That is a single file, the files below a directory, whose name their relative paths begin with, or those that match
    a pattern, named by what is below the part of it without ``*``. Raises SourceError.
    """
    with as_source_errors(redact_url(url)):
        files, location = _file_system(url)
        pattern = _MAGIC.search(location)
        if pattern is None and not files.isdir(location):
            yield url, _last(location), None
            return
        if pattern is None:
            root = location.rstrip("/")
            found = files.find(root, detail=True)
        else:
            root = location[: pattern.start()].rpartition("/")[0]
            matches = files.glob(location, detail=True)
            found = {path: facts for path, facts in matches.items() if facts["type"] == "file"}
            if not found:
                raise SourceError(redact_url(url), "the pattern matches nothing", errno=errno.ENOENT)
        above = len(root) + 1 if pattern is not None else len(root) - len(_last(root))
        for path in sorted(found):
            yield files.unstrip_protocol(path), path[above:].strip("/"), found[path].get("size")


def _file_system(url: str) -> tuple[Any, str]:
    """Return the file system that reads the URL, and what it calls the object."""
    scheme = url.partition(":")[0]
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        advice = f"to read {scheme}:// the package fsspec is needed: python -m pip install fsspec"
        raise SourceError(redact_url(url), advice) from None
    try:
        # What others change while it is sent must not be hidden by a list of yesterday.
        files, location = url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise SourceError(redact_url(url), f"fsspec does not read {scheme}:// here: {error}") from None
    return files, location


def _version(facts: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((key, facts[key]) for key in ("size", *_TAGS, *_TIMES) if facts.get(key) is not None)


def _time_of(facts: dict[str, Any]) -> int:
    """Return the time of the last change in nanoseconds since 1970, or 0 if it is not known."""
    time = next((facts[key] for key in _TIMES if facts.get(key) is not None), None)
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time.replace("Z", "+00:00"))
        except ValueError:
            return 0
    if isinstance(time, datetime):
        time = (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
    return int(time * 1_000_000_000) if isinstance(time, (int, float)) else 0


def _last(location: str) -> str:
    return location.rstrip("/").rpartition("/")[2]
