"""One comparison, and what can be read out of a recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .page import rounded
from .replay import Account
from .trace import STEPS_WITH_A_LINE, Trace

__all__ = ["ADDING", "Case", "Line", "file_of", "is_event"]

Line = dict[str, Any]

ADDING = frozenset({"chunkingStart", "chunkingProgress", "chunkingComplete", "fileAdded"})
"""What is told of each file that is added."""


def is_event(line: Line, *names: str) -> bool:
    """Whether the line is one of these events."""
    return line.get("event") in names


def file_of(line: Line) -> str:
    """The identifier of the file that an event is about, or nothing."""
    first = next(iter(line.get("args", ())), None)
    return str(first.get("$file", "")) if isinstance(first, dict) else ""


@dataclass
class Case:
    """One comparison. ``recorded`` may be rewritten into what our client has to do; ``trace`` stays as it was."""

    trace: Trace
    recorded: Account
    ours: Account

    @property
    def lines(self) -> list[Line]:
        """The recorded timeline, to be changed in place."""
        return self.recorded.timeline

    @property
    def is_flow(self) -> bool:
        """Whether the recording is of flow.js, of which no events are compared."""
        return self.trace.kind == "flow"

    def segments(self) -> Iterator[tuple[int, int]]:
        """The places ``[start, end)`` between one step and the next, from the last to the first."""
        marks = [place for place, line in enumerate(self.lines) if "step" in line]
        for start, end in reversed(list(zip(marks, [*marks[1:], len(self.lines)], strict=True))):
            yield start + 1, end

    def step(self, start: int) -> dict[str, Any]:
        """The recorded step whose segment begins here."""
        return self.steps[self.lines[start - 1]["step"]]

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The steps that have a line in the timeline."""
        return [step for step in self.trace.data["steps"] if STEPS_WITH_A_LINE & step.keys()]

    def added_names(self, start: int) -> list[str]:
        """The names of the files that the step of this segment adds."""
        value = next(iter(self.step(start).values()))
        files = self.trace.data["files"]
        return [files[index]["name"] for index in value] if isinstance(value, list) else []

    # -- files and chunks ----------------------------------------------------------------------------------------

    @property
    def cuts(self) -> dict[str, list[list[int]]]:
        """The chunks [number, start, end) of each file that was cut, by its identifier."""
        return {file_of(line): line["chunks"] for line in self.trace.timeline if line.get("chunks")}

    @property
    def sizes(self) -> dict[str, int]:
        """The size of each file that was cut, by its identifier."""
        return {identifier: chunks[-1][2] for identifier, chunks in self.cuts.items()}

    @property
    def failed(self) -> set[str]:
        """The identifiers of the files that failed."""
        return {file_of(line) for line in self.trace.timeline if is_event(line, "fileError")}

    def is_stored(self, number: int) -> bool:
        """Whether the recorded server answered this request with: the chunk is there."""
        response = self.trace.requests[number]["response"]
        return bool(response) and response["status"] in ((200, 201, 202) if self.is_flow else (200, 201))

    def is_lost(self, line: Line) -> bool:
        """Whether the line is the sending of a request that never got an answer."""
        return "send" in line and self.trace.requests[int(line["send"])]["outcome"] in ("abort", "timeout")

    def stored(self, identifier: str, lines: list[Line] | None = None) -> set[int]:
        """The numbers of the file's chunks that are known to be stored, at the end or after these lines."""
        ends = [int(line["end"]) for line in (self.trace.timeline if lines is None else lines) if "end" in line]
        keys = [self.trace.key(self.trace.requests[number]) for number in ends if self.is_stored(number)]
        return {int(key[3]) for key in keys if key[2] == identifier and (key[3] or "").isdigit()}

    def bytes_stored(self, identifier: str, lines: list[Line] | None = None) -> int:
        """The bytes of these chunks."""
        stored = self.stored(identifier, lines)
        return sum(end - start for number, start, end in self.cuts[identifier] if number in stored)

    def failures(self, identifier: str, number: int) -> int:
        """How often the chunk was sent and not stored, not counted what the recorded client itself gave up."""
        return sum(
            self.trace.key(request)[1:] == (True, identifier, str(number))
            and request["outcome"] != "abort"
            and not self.is_stored(at)
            for at, request in enumerate(self.trace.requests)
        )

    def total(self, lines: list[Line], *, failed_as_whole: bool = False) -> Any:
        """The overall progress after these lines, if nothing was removed or marked.

        ``failed_as_whole``: as resumable.js counts it.
        """
        added = {file_of(line) for line in lines if is_event(line, "fileAdded")}
        failed = {file_of(line) for line in lines if is_event(line, "fileError")} if failed_as_whole else set()
        if not added <= self.sizes.keys():
            return None
        size = sum(self.sizes[identifier] for identifier in added)
        done = sum(
            self.sizes[identifier] if identifier in failed else self.bytes_stored(identifier, lines)
            for identifier in added
        )
        return rounded(done / size) if size else 0
