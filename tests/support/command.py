"""What came of a call of the command, and what has arrived at the receiver."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["ROOT", "Ran", "Run", "tree"]

ROOT = Path(__file__).parent.parent.parent
"""The directory of the project."""


class Ran(NamedTuple):
    """What one call of the command came to."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """What a person read, in one line."""
        return " ".join(self.err.split())

    @property
    def events(self) -> list[dict[str, Any]]:
        """What ``--json`` wrote."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Ran]


def tree(root: Path) -> dict[str, bytes]:
    """The files below a directory by their paths; what a receiver keeps for itself is none."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".resumable" not in path.parts
    }
