"""The rules of a session, from its options."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from .core.concurrency import FEW, MOST
from .core.retry import SessionPolicy
from .hooks import Hooks
from .options import Options

__all__ = ["make_policy"]

_HELD_BYTES = 16 * 1024 * 1024
"""The most bytes of chunks whose ends are held together."""

_KEPT_BY_REQUESTS = 10
"""Connections to one server that a requests.Session keeps, unless its adapter was made for another number."""


def make_policy(options: Options, hooks: Hooks) -> SessionPolicy:
    """Return the rules of a session with these options and hooks."""
    slots, most = _slots(options)
    return SessionPolicy(
        slots=slots,
        most_slots=most,
        test_chunks=options.test_chunks,
        test_every_chunk=options.test_every_chunk,
        connections=_connections(options, hooks),
        max_chunk_retries=options.max_chunk_retries,
        retry_for=options.retry_for,
        fail_fast=options.fail_fast,
        first_and_last=options.prioritize_first_and_last_chunk,
        held_bytes=_HELD_BYTES if options.limit_rate is None and options.transport is None else 0,
        after_file=hooks.has("after_file"),
        on_abort=hooks.has("on_abort"),
        delay=_delay(options.chunk_retry_interval),
    )


def _slots(options: Options) -> tuple[int, int | None]:
    """Return with how many uploads a session begins, and how many there may be if it finds that out itself."""
    if isinstance(options.simultaneous_uploads, int):
        return options.simultaneous_uploads, None
    few = min(FEW, options.max_connections)
    if options.limit_rate is not None:
        # How fast more would be cannot be seen.
        return few, few
    if options.session is not None and not callable(options.session):
        return few, min(_KEPT_BY_REQUESTS, options.max_connections)
    return few, min(MOST, options.max_connections)


def _connections(options: Options, hooks: Hooks) -> int:
    """Return how many connections there may be if chunks are tested ahead, or 0 if they are not."""
    alone = options.simultaneous_uploads == 1 or options.transport is not None
    if alone or hooks.has("preprocess") or (options.session is not None and callable(options.session)):
        # The user wants one request at a time, or has something for each of them that is made for so many uploads.
        return 0
    return options.max_connections if options.session is None else min(options.max_connections, _KEPT_BY_REQUESTS)


def _delay(interval: Any) -> Callable[[int, int], float]:
    """Return the function of the seconds before a retry, from how often the chunk was retried, and how often since
    anything got through. A callable of the user is called elsewhere: here a lock is held."""
    if interval is not None and not callable(interval):
        return lambda retries, failures: float(interval)
    # Full jitter: clients that failed together do not come back together.
    return lambda retries, failures: random.uniform(0, min(60.0, 0.5 * 2 ** min(failures, 10)))
