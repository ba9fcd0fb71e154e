"""For people who write servers or clients of the protocol: checks of a server, and a receiver with faults for tests.

Importing it loads next to nothing, because pytest does so in every project of a machine that has this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checks import CHECKS, Check, CheckFailed, CheckSkipped, Severity
    from .receiver import LiveReceiver, ReceivedRequest
    from .runner import CheckOutcome, CheckResult, NotAdmitted, Unreachable, run_checks
    from .target import Target

__all__ = [
    "CHECKS",
    "Check",
    "CheckFailed",
    "CheckOutcome",
    "CheckResult",
    "CheckSkipped",
    "LiveReceiver",
    "NotAdmitted",
    "ReceivedRequest",
    "Severity",
    "Target",
    "Unreachable",
    "run_checks",
]

_HOMES = {
    **dict.fromkeys(("CHECKS", "Check", "CheckFailed", "CheckSkipped", "Severity"), ".checks"),
    **dict.fromkeys(("NotAdmitted", "CheckOutcome", "CheckResult", "Unreachable", "run_checks"), ".runner"),
    **dict.fromkeys(("LiveReceiver", "ReceivedRequest"), ".receiver"),
    "Target": ".target",
}

if not TYPE_CHECKING:  # else every misspelt name would be Any

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_HOMES[name], __name__), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
