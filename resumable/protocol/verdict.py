"""Decide what an answer means. This is the only place where a status becomes a decision.

Client and receiver use it, for tests and for uploads. The rules are resumable.js 1.1.2's (200 and 201 are success,
a listed status is permanent, anything else is worth another attempt; any other answer to a test means "send it"),
with the differences that ``docs/explanation/differences.rst`` lists: redirects are refused. The body of an answer with
a success status has the last word: see :mod:`.acceptance`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from ..statuses import PERMANENT_ERRORS

__all__ = [
    "STORED_CHUNKS_HEADER",
    "Rules",
    "Verdict",
    "format_ranges",
    "parse_ranges",
]

STORED_CHUNKS_HEADER = "Resumable-Stored-Chunks"
"""An answer to a test may list in this header which chunks the server has, as ``1-61,64``: the bulk probe."""

_RANGE = re.compile(r"\s*([0-9]{1,19})\s*(?:-\s*([0-9]{1,19})\s*)?")


class Verdict(Enum):
    """What an answer to a test or an upload means."""

    STORED = "stored"
    """The server has the chunk."""
    MISSING = "missing"
    """The answer to a test: the chunk has to be sent."""
    RETRY = "retry"
    """The chunk was not taken, and another attempt may succeed."""
    FATAL = "fatal"
    """The chunk was refused for good: the file has failed."""


class Rules(NamedTuple):
    """Which status means what. By default resumable.js's list of permanent errors is longer: see ``statuses``.

    ``test_errors_are_permanent`` is flow.js's way: a permanent status in answer to a test fails the file.
    """

    success: frozenset[int] = frozenset({200, 201})
    permanent: frozenset[int] = frozenset(PERMANENT_ERRORS)
    test_errors_are_permanent: bool = False

    def test(self, status: int) -> Verdict:
        """Return what a test means that is answered with this status."""
        if status in self.success:
            return Verdict.STORED
        if self.test_errors_are_permanent and status in self.permanent:
            return Verdict.FATAL
        return Verdict.MISSING

    def upload(self, status: int) -> Verdict:
        """Return what an upload means that is answered with this status.

        Redirects are final: see ``docs/explanation/differences.rst``, 6.
        """
        if status in self.success:
            return Verdict.STORED
        if status in self.permanent or 300 <= status < 400:
            return Verdict.FATAL
        return Verdict.RETRY


def format_ranges(ranges: Iterator[tuple[int, int]]) -> str:
    """Return the header value for ranges ``[start, stop)`` of chunk indexes: numbers from 1, ends included."""
    return ",".join(f"{start + 1}" if stop == start + 1 else f"{start + 1}-{stop}" for start, stop in ranges)


def parse_ranges(value: str, count: int) -> tuple[tuple[int, int], ...]:
    """Return the ranges ``[start, stop)`` of chunk indexes that a header value lists, cut to ``range(count)``.

    A value that is not well formed, or longer than 64 Ki characters, lists nothing: the chunks are then tested one
    by one, which is slower and never wrong.
    """
    if len(value) > 65536:
        return ()
    ranges = []
    for part in value.split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            return ()
        first = int(found[1])
        last = int(found[2] or first)
        if not 1 <= first <= last:
            return ()
        start, stop = first - 1, min(last, count)
        if start < stop:
            ranges.append((start, stop))
    return tuple(ranges)
