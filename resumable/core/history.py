"""What a chunk keeps of its attempts while it waits for another turn."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["NO_ATTEMPTS", "AttemptHistory"]


class AttemptHistory(NamedTuple):
    """What a released chunk keeps of its earlier attempts; ``ambiguous`` as in :class:`ActiveChunk`."""

    retries: int = 0
    tested: bool = False
    limited: int = 0
    ambiguous: bool = False

    @property
    def lacking(self) -> bool:
        """Whether the server was asked for the chunk, lacked it, and did not get it since."""
        return self.tested and not self.ambiguous

    @property
    def forgotten(self) -> AttemptHistory:
        """What is left of it if the chunk begins again."""
        return _UNCERTAIN if self.ambiguous else NO_ATTEMPTS


NO_ATTEMPTS = AttemptHistory()
_UNCERTAIN = AttemptHistory(ambiguous=True)
