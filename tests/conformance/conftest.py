"""Replays each recording once, and says at the end what came of them all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .comparison import Verdict
from .suite import judge, summary
from .trace import Trace

VERDICTS: dict[Trace, Verdict] = {}


@pytest.fixture(scope="session")
def judged() -> Callable[[Trace], Verdict]:
    """The verdict on a recording of the tests, which is replayed at most once a run."""

    def judged(trace: Trace) -> Verdict:
        if trace not in VERDICTS:
            VERDICTS[trace] = judge(trace)
        return VERDICTS[trace]

    return judged


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last line of the conformance suite."""
    if VERDICTS:
        terminalreporter.section("conformance with resumable.js")
        for line in summary(VERDICTS.values()):
            terminalreporter.write_line(line)
