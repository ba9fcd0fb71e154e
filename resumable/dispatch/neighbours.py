"""Other sessions of this process that upload to the same place.

Each that finds out by itself how many uploads it needs would need as many as the place and the line bear. So each
shows up when it looks at how fast its bytes flow, and they share the number.
"""

from __future__ import annotations

from itertools import count

__all__ = ["Neighbours"]

SEEN_WITHIN = 15.0
"""Seconds for which a session counts that has shown up: longer than any window in which it looks once."""

_numbers = count()
_seen: dict[str, dict[int, float]] = {}
"""By place, when each session showed up last. There is no lock: each of these calls on a dict is one step."""


class Neighbours:
    """What one session knows of the others. ``place`` is the origin of its target, empty if that is not known."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._number = next(_numbers)

    def sharing(self, now: float) -> int:
        """Show up, and return how many sessions upload to the place, this one included. ``now`` is a time of the
        monotonic clock."""
        if not self._place:
            return 1
        seen = _seen.setdefault(self._place, {})
        seen[self._number] = now
        for number, then in list(seen.items()):
            if now - then > SEEN_WITHIN:
                seen.pop(number, None)
        return max(len(seen), 1)
