"""How the servers of others fare with the checks of ``resumable conformance``: a table in ``docs/how-to/testing.rst``.

``make conformance`` runs all of them and writes the table with its date; with SERVERS, only the rows of those change.
"""

from __future__ import annotations

import re
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from resumable.testing import CHECKS, CheckOutcome, CheckResult, Severity, Target, run_checks

from .bench import Running, running
from .log_in import log_in
from .registry import SERVERS

__all__ = ["main"]

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "testing.rst"
BEGIN = ".. What follows is written by make conformance, from servers that run.\n"
ROW = r"^   \* - (\S+) \(.*\n(?:     - .*\n)+"
END = ".. That was the table of make conformance.\n"
UNTOLD = ("path-stays-inside", "identifier-stays-inside")
"""What these checks find is for the people who run a server, not for a public page."""


def checked(server: Running) -> list[CheckResult]:
    """What came of the checks at one server."""
    record = server.record
    options = dict(record.options)
    if record.log_in:
        # The cookies go as a header, so that all clients of the checks have logged in.
        found = log_in(server.url)
        cookies = "; ".join(f"{name}={value}" for name, value in found["session"].cookies.get_dict().items())
        options |= {"query": found["query"], "headers": {**found["headers"], "Cookie": cookies}}
    target = Target(
        server.url, files=lambda content: any(content == there for _, there in server.contents()), **options
    )
    target.directory = server.root / record.done.split("*")[0].rstrip("/")
    try:
        return list(run_checks(target))
    finally:
        target.close()


def row(name: str, results: list[CheckResult]) -> str:
    """One server: how many checks it passes, and the names of those that it fails."""
    results = [result for result in results if result.check.name not in UNTOLD]
    passed = sum(result.outcome is CheckOutcome.PASSED for result in results)
    skipped = sum(result.outcome is CheckOutcome.SKIPPED for result in results)
    failed = {
        severity: [
            f"``{result.check.name}``"
            for result in results
            if result.outcome is CheckOutcome.FAILED and result.check.severity is severity
        ]
        for severity in Severity
    }
    cells = (
        f"{name} ({SERVERS[name].package})",
        f"{passed}, {skipped} skipped" if skipped else str(passed),
        ", ".join(failed[Severity.MUST]) or "–",
        ", ".join(failed[Severity.SHOULD]) or "–",
    )
    return "".join(f"   {'*' if number == 0 else ' '} - {cell}\n" for number, cell in enumerate(cells))


def table(rows: list[str]) -> str:
    """The table, with the day of today."""
    head = ("server", "passed", "fails what it must do", "fails what it should do")
    return (
        f"{datetime.now(timezone.utc):%d %B %Y}, {len(CHECKS) - len(UNTOLD)} checks:\n\n"
        ".. list-table::\n   :header-rows: 1\n   :widths: 25 10 35 30\n\n"
        + "".join(f"   {'*' if number == 0 else ' '} - {cell}\n" for number, cell in enumerate(head))
        + "".join(rows)
    )


def main(names: list[str]) -> None:
    """Run the servers, and renew the table."""
    above, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    old, end, below = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} has no place for the table")
    rows = {match[1]: match[0] for match in re.finditer(ROW, old, re.MULTILINE)} if names else {}
    for name in names or SERVERS:
        with tempfile.TemporaryDirectory() as root, running(SERVERS[name], Path(root) / name) as server:
            results = checked(server)
        for result in results:
            if result.outcome is not CheckOutcome.PASSED:
                print(f"{name}: {result.outcome.value} {result.check.name}: {result.reason}", flush=True)
        rows[name] = row(name, results)
    new = table([rows[name] for name in SERVERS if name in rows])
    PAGE.write_text(f"{above}{begin}\n{new}\n{END}{below}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
