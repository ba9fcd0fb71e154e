"""Replays each recording once."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from .comparison import Verdict
from .suite import judge
from .trace import Trace


@pytest.fixture(scope="session")
def judged() -> Callable[[Trace], Verdict]:
    """The verdict on a recording of the tests, which is replayed at most once a run."""
    return functools.cache(judge)
