"""One share of many files, so that several machines upload them together without a coordinator.

Each file belongs to one shard, by a hash of its relative path. So every machine comes to the same shards by itself, and
no file changes its shard because others are added or removed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError

__all__ = ["Shard"]


@dataclass(frozen=True)
class Shard:
    """Shard ``number`` of ``count``, counted from 1."""

    number: int
    count: int

    @classmethod
    def of(cls, value: Any) -> Shard:
        """Return the shard that a pair ``(number, count)`` means. Raises OptionError if it means none."""
        try:
            number, count = value
            if type(number) is type(count) is int and 1 <= number <= count:
                return cls(number, count)
        except (TypeError, ValueError):
            pass
        raise OptionError("shard", value, "a pair of integers (number, count), with 1 <= number <= count")

    def takes(self, relative_path: str) -> bool:
        """Return whether the file with this relative path, with ``/`` between its parts, belongs to the shard."""
        digest = hashlib.blake2b(relative_path.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.number - 1
