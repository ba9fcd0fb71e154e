"""How many, how large and how often: little for every change, and all of it with ``RESUMABLE_FULL_SIZE=1``."""

from __future__ import annotations

import os

__all__ = ["FULL_SIZE", "sized"]

FULL_SIZE = bool(os.environ.get("RESUMABLE_FULL_SIZE"))


def sized(usual: int, full: int) -> int:
    """The number that a test goes up to: enough of it to show the claim, or ``full`` if all is to be tried."""
    return full if FULL_SIZE else usual
