"""Where what our client did differs from a recording, after the listed deviations have been taken into account.

What is compared: each request (method, path, query as sent and as pairs, headers of the user's, form fields in order,
part name, file name, part headers, size and hash of the bytes, how it ended), the order of requests, answers, events,
callbacks and hooks, the arguments of each, and the state at the end. What two programs cannot be compared in is brought
into one form first, on both sides alike; see :func:`determined`.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .case import Case
from .deviations import DEVIATIONS
from .replay import Account
from .trace import Trace, line_key, sha256

__all__ = ["Difference", "Verdict", "compare", "expected"]

_ABSENT = "<nothing>"


@dataclass(frozen=True)
class Difference:
    """One place where the two are not the same."""

    place: str
    recorded: Any
    ours: Any

    def __str__(self) -> str:
        return f"{self.place}\n    recorded: {self.recorded}\n    ours:     {self.ours}"


@dataclass(frozen=True)
class Verdict:
    """What the comparison of one recording found: differences, and the ids of the deviations that it needed."""

    trace: Trace
    deviations: tuple[str, ...]
    unexplained: tuple[Difference, ...]

    @property
    def identical(self) -> bool:
        """Whether there was nothing to explain."""
        return not self.deviations and not self.unexplained

    def __str__(self) -> str:
        needed = ", ".join(self.deviations) or "none"
        head = f"{self.trace}: {len(self.unexplained)} unexplained, deviations: {needed}"
        return "\n  ".join([head, *map(str, self.unexplained)])


def expected(trace: Trace) -> Account:
    """The recording in the form in which a replay takes down what it sees."""
    requests = {}
    for number, request in enumerate(trace.requests):
        kept = ("method", "path", "raw_query", "query", "body", "outcome")
        requests[str(number)] = {name: copy.deepcopy(request[name]) for name in kept} | {
            "headers": sorted([name.lower(), value] for name, value in request["headers"]),
            "key": trace.key(request),
        }
        if request.get("received") is False:
            requests[str(number)]["received"] = False
    timeline = []
    steps = 0
    for line in copy.deepcopy(trace.timeline):
        if "step" in line:
            line = {"step": steps}
            steps += 1
        for name in ("send", "end"):
            if name in line:
                line[name] = str(line[name])
        if line.get("outcome") == "error":
            del line["status"]
        timeline.append(line)
    return Account(
        requests=requests,
        timeline=timeline,
        final=copy.deepcopy(trace.data["final"]),
        assembled=[bool(row["complete"]) for row in trace.data["assembled"]],
    )


def compare(trace: Trace, ours: Account) -> Verdict:
    """What is left unexplained when each listed deviation that applies has been applied to the recording."""
    recorded, ours = determined(trace, expected(trace)), determined(trace, copy.deepcopy(ours))
    used = []
    for deviation in DEVIATIONS:
        case = Case(trace, recorded, ours)
        before = copy.deepcopy(recorded)
        deviation.apply(case)
        if before != recorded:
            used.append(deviation.id)
    return Verdict(trace, tuple(used), tuple(differences(recorded, ours)))


def determined(trace: Trace, account: Account) -> Account:
    """The account without what is not determined.

    * When a client gave up a request cannot be seen by a server at a certain place among the events: that it did is
      compared with the request.
    * A handler cannot tell an argument that is missing from one that is undefined, so trailing ones go.
    * With several requests on the wire, those that may go together arrive in any order: between two answers the events
      come first, then the requests by number.
    * Of flow.js there are the requests, the answers, and what became of each file; its events are others.
    """
    lines = [line for line in account.timeline if line.get("outcome") not in ("abort", "timeout")]
    for line in lines:
        while line.get("args") and line["args"][-1] == {"$undefined": True}:
            line["args"].pop()
    if trace.kind == "flow":
        lines = [line for line in lines if not {"event", "callback", "alert"} & line.keys()]
    if trace.slots > 1:
        lines = list(_parallel(lines))
    account.timeline = lines
    return account


def _parallel(lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    others: list[dict[str, Any]] = []
    sends: list[dict[str, Any]] = []
    for line in [*lines, None]:
        if line is not None and "send" in line:
            sends.append(line)
        elif line is not None and not {"step", "end"} & line.keys():
            others.append(line)
        else:
            yield from others
            yield from sorted(sends, key=lambda send: (len(send["send"]), send["send"]))
            others, sends = [], []
            if line is not None:
                yield line


def differences(recorded: Account, ours: Account) -> Iterator[Difference]:
    """Every place where the two differ."""
    if ours.stalled is not None:
        yield Difference("the replay stood still", "", ours.stalled)
    yield from _requests(recorded, ours)
    yield from _timelines(recorded.timeline, ours.timeline)
    yield from _values("final", recorded.final, ours.final)
    yield from _values("assembled", recorded.assembled, ours.assembled)


def _requests(recorded: Account, ours: Account) -> Iterator[Difference]:
    for label in sorted({*recorded.requests, *ours.requests}, key=lambda text: (len(text), text)):
        theirs, mine = recorded.requests.get(label), ours.requests.get(label)
        if theirs is None or mine is None:
            if theirs is None or theirs.get("received") is not False:
                yield Difference(f"request {label}", _named(theirs), _named(mine))
            continue
        if theirs.get("received") is False:
            continue
        for name in ("method", "path", "raw_query", "query", "headers", "outcome"):
            yield from _values(f"request {label} {name}", theirs[name], mine[name])
        yield from _values(f"request {label} body", theirs["body"], _like(theirs["body"], mine["body"]))


def _named(request: dict[str, Any] | None) -> Any:
    return _ABSENT if request is None else [*request["key"], request["outcome"]]


def _like(recorded: Any, ours: Any) -> Any:
    """Our body, with a long field value in the short form that the recording has of it."""
    if not recorded or not ours or "parts" not in recorded or "parts" not in ours:
        return ours
    parts = list(ours["parts"])
    for index, (theirs, mine) in enumerate(zip(recorded["parts"], parts, strict=False)):
        if "value_prefix" in theirs and "value" in mine:
            value = mine["value"]
            short = {"value_prefix": value[: len(theirs["value_prefix"])], "size": len(value)}
            short["sha256"] = sha256(value.encode("utf-8"))
            parts[index] = {name: item for name, item in mine.items() if name != "value"} | short
    return ours | {"parts": parts}


def _timelines(recorded: list[dict[str, Any]], ours: list[dict[str, Any]]) -> Iterator[Difference]:
    left, right = [line_key(line) for line in recorded], [line_key(line) for line in ours]
    for kind, a, b, c, d in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if kind != "equal":
            after = f" after {left[a - 1]}" if a else " at the beginning"
            place = f"timeline line {a}{after}"
            yield Difference(place, " ; ".join(left[a:b]) or _ABSENT, " ; ".join(right[c:d]) or _ABSENT)


def _values(place: str, recorded: Any, ours: Any) -> Iterator[Difference]:
    if isinstance(recorded, dict) and isinstance(ours, dict):
        for name in sorted({*recorded, *ours}):
            yield from _values(f"{place}.{name}", recorded.get(name, _ABSENT), ours.get(name, _ABSENT))
    elif isinstance(recorded, list) and isinstance(ours, list) and len(recorded) == len(ours):
        for index, (theirs, mine) in enumerate(zip(recorded, ours, strict=True)):
            yield from _values(f"{place}[{index}]", theirs, mine)
    elif recorded != ours or isinstance(recorded, bool) != isinstance(ours, bool):
        yield Difference(place, recorded, ours)
