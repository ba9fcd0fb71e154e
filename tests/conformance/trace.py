"""One recording of the real library in a real browser, as data: schema ``resumable-trace/1``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["STEPS_WITH_A_LINE", "Key", "Trace", "content", "line_key", "recorded", "request_key", "sha256"]

SCHEMA = "resumable-trace/1"

STEPS_WITH_A_LINE = frozenset({"add", "addApi", "addApiUpload", "addDir", "call", "new"})
"""The kinds of step that leave a line of their own in the timeline; the others only wait or let answers go."""

Key = tuple[str, bool, str | None, str | None]
"""What tells requests apart before they are numbered: method, whether there is a body, identifier, chunk number."""

_IDENTIFIERS = {"resumable": "resumableIdentifier", "flow": "flowIdentifier"}
_NUMBERS = {"resumable": "resumableChunkNumber", "flow": "flowChunkNumber"}


def content(size: int, seed: int) -> bytes:
    """The bytes of a file of the recordings: byte i is ``(i*7 + (i>>8)*13 + seed) mod 256``."""
    line = bytes((i * 7) & 255 for i in range(256))
    shifted = [bytes((value + shift) & 255 for value in line) for shift in range(256)]
    whole = b"".join(shifted[(block * 13 + seed) & 255] for block in range((size + 255) // 256))
    return whole[:size]


def sha256(data: bytes) -> str:
    """The digest as the recordings write it."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, eq=False)
class Trace:
    """A recording. Nothing outside of this class and of the comparison knows what its keys are called."""

    path: Path
    data: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.path.parent.name}/{self.path.stem}"

    @property
    def kind(self) -> str:
        """Which library: ``resumable`` or ``flow``."""
        return str(self.data["library"]["kind"])

    @property
    def options(self) -> dict[str, Any]:
        """What the recorded constructor was given."""
        return dict(self.data["options"])

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests in the order in which they were sent."""
        return list(self.data["requests"])

    @property
    def timeline(self) -> list[dict[str, Any]]:
        """Everything that was seen in the page, in order."""
        return list(self.data["timeline"])

    @property
    def slots(self) -> int:
        """How many requests may be on the wire at once."""
        return int(self.options.get("simultaneousUploads", 3))

    def parameter(self, option: str, standard: str) -> str:
        """The name of a parameter on the wire, with the namespace, as the options of the recording make it."""
        return str(self.options.get("parameterNamespace") or "") + str(self.options.get(option) or standard)

    def key(self, request: dict[str, Any]) -> Key:
        """What tells this request, recorded or ours, from others."""
        identifier = self.parameter("identifierParameterName", _IDENTIFIERS.get(self.kind, ""))
        number = self.parameter("chunkNumberParameterName", _NUMBERS.get(self.kind, ""))
        return request_key(request, identifier, number)

    def expected_contents(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Each file of the recording and its bytes. Raises ValueError where they are not those that were recorded."""
        for facts in self.data["files"]:
            data = content(facts["size"], facts["seed"])
            if sha256(data) != facts["sha256"]:
                raise ValueError(f"{self}: the bytes of {facts['name']!r} are not those that were recorded")
            yield facts, data


def request_key(request: dict[str, Any], identifier: str, number: str) -> Key:
    """What tells a request from others, read from its query and its form under these names."""
    body = request["body"] or {}
    pairs = [*request["query"], *((part["name"], part.get("value")) for part in body.get("parts", ()))]
    values = dict(reversed([(name, value) for name, value in pairs]))
    return request["method"], bool(body), values.get(identifier), values.get(number)


def line_key(line: dict[str, Any]) -> str:
    """A line of a timeline as text, equal for equal lines."""
    return json.dumps(line, ensure_ascii=False, sort_keys=True)


def recorded(folder: Path) -> list[Trace]:
    """Every recording in the folder and below it, in the order of the paths; other JSON files are left alone."""
    found = []
    for path in sorted(folder.rglob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(data, dict) and data.get("schema") == SCHEMA:
            found.append(Trace(path, data))
    return found
