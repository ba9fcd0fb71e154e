"""The files of a directory that is watched: which are at rest, and which are done."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from ..errors import SourceError
from .params.sources import Found, Selection, find

__all__ = ["Arrival", "Inbox", "Version", "version_of"]

_FIRST_WAIT = 10.0
_LONGEST_WAIT = 600.0


class Version(NamedTuple):
    """What tells a file from an older one of its name."""

    size: int
    mtime_ns: int
    inode: int


class Arrival(NamedTuple):
    """A file at rest, which is to be sent."""

    found: Found
    version: Version


class _Seen(NamedTuple):
    """A file as it was found last, and since when it is so."""

    version: Version
    since: float


class _Failure(NamedTuple):
    """An upload that failed: how often, and when it is tried again."""

    version: Version
    attempts: int
    again: float


class Inbox:
    """Tells which files of a selection are at rest: they have not changed for ``rest`` seconds.

    ``skip(path, version)`` says whether a file is not to be sent. Times are those of one clock, whatever its zero is;
    ``age`` returns how long ago a file changed, by the clock of the system.
    """

    def __init__(
        self,
        selection: Selection,
        rest: float,
        *,
        skip: Callable[[str, Version], bool],
        age: Callable[[Version], float],
    ) -> None:
        self._selection = selection
        self._rest = rest
        self._skip = skip
        self._age = age
        self._first = True
        self._seen: dict[str, _Seen] = {}
        self._taken: dict[str, Version] = {}
        self._failures: dict[str, _Failure] = {}
        self.errors: list[SourceError] = []

    def look(self, now: float) -> list[Arrival]:
        """Return the files that are at rest now and were not taken before. What cannot be read is in ``errors``."""
        seen: dict[str, _Seen] = {}
        arrivals = []
        self.errors = []
        for item in find(self._selection):
            if isinstance(item, SourceError):
                self.errors.append(item)
                continue
            version = version_of(item.path)
            if version is None or self._skip(item.path, version):
                continue
            before = self._seen.get(item.path)
            since = before.since if before is not None and before.version == version else now
            if self._first:
                # Nothing is known of it, so its time has to do: after a restart nobody wants to wait for all of it.
                since -= max(self._age(version), 0)
            seen[item.path] = _Seen(version, since)
            if now - since >= self._rest and self._is_due(item.path, version, now):
                self._taken[item.path] = version
                arrivals.append(Arrival(item._replace(size=version.size), version))
        self._seen, self._first = seen, False
        self._taken = {path: version for path, version in self._taken.items() if path in seen}
        self._failures = {path: failure for path, failure in self._failures.items() if path in seen}
        return arrivals

    def failed(self, arrival: Arrival, now: float) -> float:
        """Note that the upload failed, and return the seconds until it is tried again, unless the file changes."""
        path = arrival.found.path
        before = self._failures.get(path)
        attempts = before.attempts + 1 if before is not None and before.version == arrival.version else 1
        wait = min(_FIRST_WAIT * 2.0 ** min(attempts - 1, 16), _LONGEST_WAIT)
        self._failures[path] = _Failure(arrival.version, attempts, now + wait)
        self._taken.pop(path, None)
        return wait

    def forget(self, arrival: Arrival) -> None:
        """Take the file for a new one if it is found again: it is gone, or has changed."""
        self._taken.pop(arrival.found.path, None)

    def next_look(self, now: float, *, retries: bool = True) -> float | None:
        """Return the seconds until a file may be at rest, or is tried again; None if there is none to wait for.

        Without ``retries`` files that have failed do not count, until they change.
        """
        times = []
        for path, (version, since) in self._seen.items():
            failure = self._failures.get(path)
            failed = failure is not None and failure.version == version
            if self._taken.get(path) != version and (retries or not failed):
                times.append(max(since + self._rest, failure.again if failure is not None and failed else since))
        return max(min(times) - now, 0) if times else None

    def _is_due(self, path: str, version: Version, now: float) -> bool:
        failure = self._failures.get(path)
        waits = failure is not None and failure.version == version and now < failure.again
        return self._taken.get(path) != version and not waits


def version_of(path: str) -> Version | None:
    """Return the version of the file, or None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return Version(status.st_size, status.st_mtime_ns, status.st_ino)
