"""What came of the checks, for programs: plain objects, and JUnit's XML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from typing import Any

from .runner import CheckOutcome, CheckResult

__all__ = ["as_object", "junit", "summary"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_object(result: CheckResult) -> dict[str, Any]:
    """Return what came of one check as an object of JSON."""
    check = result.check
    return {
        "name": check.name,
        "severity": check.severity.value,
        "sentence": check.sentence,
        "outcome": result.outcome.value,
        "reason": result.reason,
        "needs": check.needs if result.outcome is CheckOutcome.FAILED else "",
        "seconds": round(result.seconds, 3),
    }


def summary(results: Iterable[CheckResult]) -> dict[str, int]:
    """Return how many checks ended how; ``broken`` of those that failed are about what a server must do."""
    ended = list(results)
    counts = {outcome.value: sum(result.outcome is outcome for result in ended) for outcome in CheckOutcome}
    return {**counts, "broken": sum(result.broken for result in ended)}


def junit(url: str, results: Sequence[CheckResult], stopped: str = "") -> str:
    """Return the results as XML in the form of JUnit, which continuous integration reads. ``stopped`` is why there are
    no more of them, which is an error."""
    counts = summary(results)
    suite = ET.Element(
        "testsuite",
        name=f"resumable conformance {_plain(url)}",
        tests=str(len(results) + bool(stopped)),
        failures=str(counts["failed"]),
        errors=str(int(bool(stopped))),
        skipped=str(counts["skipped"]),
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        check = result.check
        case = ET.SubElement(
            suite, "testcase", classname=f"resumable.{check.severity.value}", name=check.name,
            time=f"{result.seconds:.3f}",
        )  # fmt: skip
        if result.outcome is CheckOutcome.FAILED:
            failure = ET.SubElement(case, "failure", message=_plain(result.reason), type=check.severity.value)
            failure.text = f"{check.sentence}\n{_plain(result.reason)}\nWhat the server would need: {check.needs}"
        elif result.outcome is CheckOutcome.SKIPPED:
            ET.SubElement(case, "skipped", message=_plain(result.reason))
    if stopped:
        case = ET.SubElement(suite, "testcase", classname="resumable", name="all checks are made", time="0.000")
        ET.SubElement(case, "error", message=_plain(stopped))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _plain(text: str) -> str:
    """Replace what XML cannot hold: answers of servers may contain anything."""
    return _NOT_XML.sub("�", text)
