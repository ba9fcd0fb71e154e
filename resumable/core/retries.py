"""Whether a failed attempt gets another one, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .file import Live
from .records import Outcome

__all__ = ["RETRY_AFTER_CAP", "Policy", "Retries"]

RETRY_AFTER_CAP = 120.0
"""Seconds: the longest that a server's Retry-After holds us back."""


class Policy(NamedTuple):
    """The rules of a session. ``delay(retries, streak)`` is the seconds before a retry: ``retries`` counts the
    chunk's failed attempts, ``streak`` those since anything got through. ``retry_for`` is seconds without any gain."""

    slots: int = 3
    test_chunks: bool = True
    max_chunk_retries: int | None = 100
    retry_for: float | None = None
    fail_fast: bool = False
    first_and_last: bool = False
    delay: Callable[[int, int], float] = lambda retries, streak: 0.0


class Retries:
    """What a session knows of its server's health. ``not_before``: the time until which it wants to be left alone."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.not_before = 0.0
        self._reached = False
        self._gains = 0
        self._since: float | None = None

    def start(self, now: float) -> None:
        """The time without a gain counts from now on."""
        self._since = now

    def rest(self) -> None:
        """There is nothing to try, so the time without a gain counts from the next :meth:`attempt` on."""
        self._since = None

    def attempt(self, record: Live, now: float) -> None:
        """The chunk has its turn."""
        record.gains = self._gains
        if self._since is None:
            self._since = now

    def hear(self, outcome: Outcome, now: float) -> None:
        """An answer came, or none did."""
        if outcome.answered:
            self._reached = True
        if outcome.retry_after is not None:
            self.not_before = max(self.not_before, now + min(outcome.retry_after, RETRY_AFTER_CAP))

    def gain(self, now: float) -> None:
        """A chunk is stored."""
        self._gains += 1
        self._since = now

    def exhausted(self, record: Live, outcome: Outcome, now: float) -> bool:
        """Whether the failed attempt was the last."""
        limit, patience = self._policy.max_chunk_retries, self._policy.retry_for
        return (
            (limit is not None and record.retries >= limit)
            or (outcome.hopeless and not self._reached)
            or (patience is not None and self._since is not None and now - self._since >= patience)
        )

    def postpone(self, record: Live, outcome: Outcome, now: float) -> None:
        """The record is due again after the outcome's delay, or else the policy's, no later than its last chance, and
        not before the server wants."""
        if record.gains != self._gains:
            record.gains = self._gains
            record.streak = 0
        record.retries += 1
        record.streak += 1
        delay = outcome.delay
        due = now + (self._policy.delay(record.retries, record.streak) if delay is None else delay)
        if self._policy.retry_for is not None and self._since is not None:
            due = min(due, self._since + self._policy.retry_for)
        record.due = max(due, self.not_before)
