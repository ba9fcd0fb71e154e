from __future__ import annotations

import threading
import time

import pytest

from resumable.transport.base import Stopped
from resumable.transport.rate_limit import RateLimiter


def go_on() -> bool:
    return False


def test_time_in_which_nobody_sent_is_not_made_up_for() -> None:
    rate_limiter = RateLimiter(1_000_000)
    rate_limiter.take(1, go_on)
    threading.Event().wait(0.3)
    began = time.monotonic()
    for _ in range(3):
        rate_limiter.take(100_000, go_on)
    assert time.monotonic() - began >= 0.2


def test_whoever_waits_for_a_turn_can_be_stopped() -> None:
    rate_limiter = RateLimiter(1)
    rate_limiter.take(1000, go_on)
    with pytest.raises(Stopped):
        rate_limiter.take(1, lambda: True)
