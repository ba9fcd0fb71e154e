"""Recordings replayed and compared, and what is said about them all."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from .comparison import Difference, Verdict, compare
from .replay import replay
from .trace import Trace, recorded

__all__ = ["VECTORS", "judge", "main", "summary"]

VECTORS = Path(__file__).parent.parent / "vectors"
"""The recordings that belong to the tests."""


def judge(trace: Trace) -> Verdict:
    """What differs when the recording is replayed with our client."""
    try:
        return compare(trace, replay(trace))
    except Exception:
        return Verdict(trace, (), (Difference("the replay failed", "", traceback.format_exc()),))


def summary(verdicts: Iterable[Verdict]) -> list[str]:
    """How often each deviation was needed, and the last line."""
    verdicts = list(verdicts)
    used = Counter(id for verdict in verdicts for id in verdict.deviations)
    failed = sum(bool(verdict.unexplained) for verdict in verdicts)
    identical = sum(verdict.identical for verdict in verdicts)
    explained = len(verdicts) - identical - failed
    return [
        *(f"  {count:4} {id}" for id, count in used.most_common()),
        f"{len(verdicts)} traces: {identical} identical, {explained} with listed deviations, {failed} unexplained",
    ]


def main(folders: Sequence[str]) -> int:
    """Judge the recordings in these folders, or those of the tests; 1 where something is left unexplained."""
    verdicts = []
    for folder in map(Path, folders or [VECTORS]):
        for trace in recorded(folder):
            verdicts.append(judge(trace))
            if verdicts[-1].unexplained:
                print(verdicts[-1])
    print(*summary(verdicts), sep="\n")
    return int(any(verdict.unexplained for verdict in verdicts))
