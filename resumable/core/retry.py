"""Whether a failed attempt gets another one, and when."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from .active_chunk import ActiveChunk
from .records import Outcome

__all__ = ["RETRY_AFTER_CAP", "TWICE_WITHIN", "RetryController", "SessionPolicy"]

RETRY_AFTER_CAP = 120.0
"""Seconds: the longest that a server's Retry-After holds us back."""

TWICE_WITHIN = 10.0
"""Seconds: a server that turns new files away twice within them is left alone altogether."""


class SessionPolicy(NamedTuple):
    """The rules of a session. ``delay(retries, failures)`` is the seconds before a retry: ``retries`` counts the
    chunk's failed attempts, ``failures`` those since anything got through, and those since when other chunks did.
    ``slots`` is how many chunks may be on their way, or, if there is a number of ``most_slots``, with how many a
    session begins that finds out by itself how many it needs. ``test_every_chunk``: a server is also asked for chunks
    that it very probably lacks; with more ``connections`` than slots, chunks are tested ahead of their turn, too.
    ``retry_for`` is seconds without progress. ``held_bytes`` is the most that early chunks have together, 0 if there
    are none; each has at least ``smallest_held`` bytes. ``after_file`` and ``on_abort``: there is
    such a hook."""

    slots: int = 3
    most_slots: int | None = None
    test_chunks: bool = True
    test_every_chunk: bool = False
    connections: int = 0
    max_chunk_retries: int | None = 100
    retry_for: float | None = None
    fail_fast: bool = False
    first_and_last: bool = False
    held_bytes: int = 0
    smallest_held: int = 65536
    after_file: bool = False
    on_abort: bool = False
    delay: Callable[[int, int], float] = lambda retries, failures: 0.0


class RetryController:
    """Decides whether and when to retry, from what is known of the server's health. No wait ends after the last chance:
    ``retry_for`` seconds after anything got through.

    A server that is busy (429, 503) and turns away a file of which it has nothing yet may have too many files open.
    Then new files are held back, and each file that ends makes room for one. A server that says so about a file that it
    has begun to take, or about a new one soon after the time that it said, wants no requests: nothing is sent
    before the time that it says.

    Attempts are numbered as they begin, so that one that began after another had failed is known to.
    """

    def __init__(self, policy: SessionPolicy) -> None:
        self._policy = policy
        self._reached = False
        self._successes = 0
        self._limit = math.inf if policy.retry_for is None else policy.retry_for
        self._last_chance = math.inf
        self._attempts = 0
        self._not_before = 0.0
        self._not_before_told = 0
        self._new_not_before = 0.0
        self._room = 0
        self._room_told = 0
        self._turned_away_at = -math.inf
        self._turned_away_told = 0

    # -- the no-progress clock -----------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Count the time without progress from now on."""
        self._last_chance = now + self._limit

    def resume_clock(self, now: float) -> None:
        """Count the time without progress again, if the clock is paused: there may be something to try."""
        if self._last_chance == math.inf:
            self._last_chance = now + self._limit

    def pause_clock(self) -> None:
        """Pause the no-progress clock: there is nothing to try."""
        self._last_chance = math.inf

    @property
    def attempts(self) -> int:
        """The number of the attempt that began last."""
        return self._attempts

    # -- when ----------------------------------------------------------------------------------------------------

    def may_ask(self, due: float) -> float:
        """Return when what is due then may be tried."""
        return min(max(due, self._not_before), self._last_chance)

    def may_begin(self, now: float) -> float:
        """Return when a new file may begin."""
        return self.may_ask(now if self._room else max(now, self._new_not_before))

    def times(self, now: float) -> tuple[float, float, bool]:
        """Return when a request may begin, when one for a new file may, and whether new files are held back, though
        there may be room for some."""
        asks, held = self.may_ask(now), now < self._new_not_before
        return asks, self.may_begin(now) if held else asks, held

    def attempt(self, record: ActiveChunk, now: float) -> None:
        """Note that an attempt begins. A new file takes the room that another has left."""
        self._attempts += 1
        if not record.attempt:
            record.successes_seen = self._successes
        record.attempt = self._attempts
        record.new = not record.file.stored
        record.speculative = now < self._new_not_before
        if self._room and record.new:
            self._room -= 1

    def make_room(self) -> None:
        """Note that a file which the server had taken has ended."""
        self._room += 1
        self._room_told = self._attempts

    # -- what came of an attempt ---------------------------------------------------------------------------------

    def response_received(self, record: ActiveChunk, outcome: Outcome, now: float) -> None:
        """Note what an answer says of the server."""
        if outcome.answered:
            self._reached = True
        if not outcome.busy:
            return
        wait = min(outcome.retry_after or 0.0, RETRY_AFTER_CAP)
        again = False
        if record.new:
            if outcome.delay is None:
                wait = max(wait, self._policy.delay(record.retries + 1, record.file.turned_away + 1))
            else:
                wait = max(wait, outcome.delay)
            # If one was let in because another had ended, there may not have been room after all.
            again = (
                record.attempt > self._turned_away_told
                and not record.speculative
                and now - self._turned_away_at <= TWICE_WITHIN
            )
            self._turned_away_told, self._turned_away_at = self._attempts, now
            self._new_not_before = max(self._new_not_before, now + wait)
            if record.attempt > self._room_told:
                # Otherwise it may have been turned away before another had ended.
                self._room = 0
        if again or not record.new:
            self._not_before = max(self._not_before, now + wait)
            self._not_before_told = self._attempts

    def leave_alone(self, outcome: Outcome, failures: int, now: float) -> None:
        """Send nothing for a while: the server had no time for a question, so many times in a row."""
        wait = min(outcome.retry_after or 0.0, RETRY_AFTER_CAP)
        self._reached = True
        self._not_before = max(self._not_before, now + max(wait, self._policy.delay(failures, failures)))
        self._not_before_told = self._attempts

    def progressed(self, record: ActiveChunk, now: float) -> None:
        """Note that a chunk is stored."""
        self._successes += 1
        self._last_chance = now + self._limit
        if record.attempt > self._not_before_told:
            # It was a last chance, and the server is well again before it wanted to be asked.
            self._not_before = 0.0

    def exhausted(self, record: ActiveChunk, outcome: Outcome, now: float) -> str | None:
        """Return why the failed attempt was the last, in words, or None if another one follows."""
        attempt, limit = record.retries + 1, self._policy.max_chunk_retries
        if (limit is not None and record.retries >= limit and self._counts(record, outcome)) or (
            outcome.limit is not None and record.limited + 1 >= outcome.limit
        ):
            return f"attempt {attempt} of {attempt}" if limit else "not retried"
        if outcome.unreachable and not self._reached:
            return "not retried" if attempt == 1 else f"attempt {attempt}, not retried"
        if now >= self._last_chance:
            return f"attempt {attempt}, nothing got through for {self._policy.retry_for:g} s, the limit of retry_for"
        return None

    def turn_away(self, record: ActiveChunk, outcome: Outcome) -> None:
        """Count a failed attempt to begin a file, which waits until :meth:`may_begin`."""
        file = record.file
        record.retries += self._counts(record, outcome)
        file.turned_away += 1
        file.successes_seen = self._successes

    def _counts(self, record: ActiveChunk, outcome: Outcome) -> bool:
        # While other files get through, one that waits for them does not use up its retries.
        file = record.file
        return not (outcome.busy and not file.stored and file.turned_away and file.successes_seen != self._successes)

    def schedule_retry(self, record: ActiveChunk, outcome: Outcome, now: float) -> None:
        """Count a failed attempt. The record is due after the outcome's delay, or else the policy's; if others get
        through meanwhile, as soon as its own failures allow.

        A server that is not too busy and says when to come back means only this request.

        Its own failures are those between which others got through. They keep a chunk that the server never takes from
        being tried at each success of another.
        """
        if record.successes_seen != self._successes:
            record.successes_seen = self._successes
            record.own_failures += record.consecutive_failures > 0
            record.consecutive_failures = 0
        record.retries += 1
        record.consecutive_failures += 1
        record.limited += outcome.limit is not None
        record.failed = self._attempts
        asked = 0.0 if outcome.busy else min(outcome.retry_after or 0.0, RETRY_AFTER_CAP)
        delay, retries = self._policy.delay, record.retries
        if outcome.delay is not None:
            wait = least = outcome.delay
        else:
            wait = least = delay(retries, record.own_failures + record.consecutive_failures)
            if record.consecutive_failures > 1:
                least = min(wait, delay(retries, record.own_failures + 1))
        record.due, record.earliest = now + max(wait, asked), now + max(least, asked)
