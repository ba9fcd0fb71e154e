"""Run checks on a server, and say what came of each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

import requests

from ..transport.base import NetworkFailure
from .checks import CHECKS, Check, CheckFailed, CheckSkipped, Severity
from .checks.base import Sample
from .target import Target

__all__ = [
    "CheckOutcome",
    "CheckResult",
    "NotAdmitted",
    "Runner",
    "Unreachable",
    "is_untrusted",
    "run_checks",
    "select",
]


_BY_NAME = {check.name: check for check in CHECKS}


class CheckOutcome(Enum):
    """What came of a check."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


_MOST_UNANSWERED = 3
"""Requests without an answer after which no more checks are made: each takes a minute, or the server is gone."""


@dataclass(frozen=True)
class CheckResult:
    """What came of one check. ``reason`` says why it failed or was skipped; ``seconds`` is how long it took."""

    check: Check
    outcome: CheckOutcome
    reason: str = ""
    seconds: float = 0.0

    @property
    def broken(self) -> bool:
        """Whether the server does not do what it must."""
        return self.outcome is CheckOutcome.FAILED and self.check.severity is Severity.MUST


class NotAdmitted(Exception):
    """The server does not know who asks (401, 403, 407), so no check can say anything."""


class Unreachable(Exception):
    """No server answers, so no check can say anything. ``failure`` is the reason."""

    def __init__(self, failure: NetworkFailure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def is_untrusted(error: Exception) -> bool:
    """Return whether no check was made because nobody vouches for the certificate of the server."""
    return isinstance(error, Unreachable) and getattr(error.failure, "untrusted", False)


class Runner:
    """Runs checks on one target, and skips those that can say nothing because another has failed."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._failed: set[str] = set()

    def greet(self) -> None:
        """Ask for a chunk that cannot be there. Raises Unreachable and NotAdmitted."""
        try:
            answer = Sample.of(self.target, 1).ask(1)
        except requests.RequestException as error:
            raise Unreachable(self.target.failure(error, begun=False)) from error
        if answer.status in (401, 403, 407):
            raise NotAdmitted(str(answer))

    def run(self, check: Check) -> CheckResult:
        """Run a check."""
        began = time.monotonic()
        outcome, reason = CheckOutcome.PASSED, ""
        try:
            if self.target.unanswered >= _MOST_UNANSWERED:
                raise CheckSkipped(f"the server has left {self.target.unanswered} requests without an answer")
            for name in _needed(check):
                if name in self._failed:
                    raise CheckSkipped(f"the server fails {name}")
            check(self.target)
        except CheckFailed as error:
            self._failed.add(check.name)
            outcome, reason = CheckOutcome.FAILED, str(error)
        except CheckSkipped as error:
            outcome, reason = CheckOutcome.SKIPPED, str(error)
        return CheckResult(check, outcome, reason, time.monotonic() - began)


def _needed(check: Check) -> Iterator[str]:
    """Return the names of the checks that have to pass before this one, and before those."""
    for name in check.after:
        yield name
        yield from _needed(_BY_NAME[name])


def run_checks(target: Target, checks: Iterable[Check] | None = None) -> Iterator[CheckResult]:
    """Run the checks on the target one after the other, or all of them if None. Raises Unreachable and NotAdmitted."""
    runner = Runner(target)
    runner.greet()
    for check in CHECKS if checks is None else checks:
        yield runner.run(check)


def select(names: Iterable[str]) -> tuple[Check, ...]:
    """Return the checks of these names, or all if there is none, in their order. Raises KeyError."""
    wanted = set(names)
    if unknown := wanted - _BY_NAME.keys():
        raise KeyError(min(unknown))
    return tuple(check for check in CHECKS if not wanted or check.name in wanted)
