"""The checks, in the order in which they run: one that needs another comes behind it."""

from __future__ import annotations

from . import arrival, names, order, presence, refusals, repeats
from .base import Check, CheckFailed, CheckSkipped, Severity

__all__ = ["CHECKS", "Check", "CheckFailed", "CheckSkipped", "Severity"]

CHECKS: tuple[Check, ...] = (
    *arrival.CHECKS,
    *presence.CHECKS,
    *repeats.CHECKS,
    *order.CHECKS,
    *names.CHECKS,
    *refusals.CHECKS,
)
"""All checks."""
