"""What a store keeps of its uploads, from a list of all its objects, without reading one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from .bucket import Bucket, ObjectFacts
from .layout import STATE, home_of

__all__ = ["Kept", "inventory"]

_KEY = re.compile("[0-9a-f]{40}")


@dataclass
class Kept:
    """What there is of one key. ``stored`` are the number and the bytes of the chunks of each generation."""

    key: str
    record: ObjectFacts | None = None
    past: ObjectFacts | None = None
    touched: float = 0.0
    stored: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, facts: ObjectFacts) -> None:
        """Count an object."""
        kind, *rest = facts.key[len(STATE) + len(self.key) + 1 :].split("/")
        if kind == "past":
            self.past = facts
            return
        self.touched = max(self.touched, facts.modified)
        if kind == "record":
            self.record = facts
        elif kind == "c":
            number, size = self.stored.get(rest[0], (0, 0))
            self.stored[rest[0]] = (number + 1, size + facts.size)


def inventory(bucket: Bucket, key: str = "") -> Iterator[Kept]:
    """Yield what there is of each key, in the order of the keys; only of this one if it is given."""
    listed = bucket.listed(home_of(key) if key else STATE)
    for key, objects in groupby(listed, lambda facts: facts.key[len(STATE) :].partition("/")[0]):
        if _KEY.fullmatch(key):
            kept = Kept(key)
            for facts in objects:
                kept.add(facts)
            yield kept
