"""What ``resumable doctor`` says, and somebody who types what it advises, letter by letter."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Protocol, TypeVar

__all__ = ["advised", "findings", "follow"]

_COMMAND = re.compile(r"[Tt]ype: (?:\S+ -m )?\S*resumable (.+?)(?=   \(|; if |$)", re.MULTILINE)


class Ran(Protocol):
    """What one call of the command came to."""

    @property
    def err(self) -> str: ...


R = TypeVar("R", bound=Ran)


def findings(said: str) -> dict[str, str]:
    """What was found, by what was looked at, each with its mark before it."""
    rows = re.findall(r"^(ok|note|bad) +(.{12})(.*)$", said, re.MULTILINE)
    return {what.strip(): f"{mark}: {text}" for mark, what, text in rows}


def advised(said: str) -> list[str]:
    """The words of the command that is to be typed next; none if there is no such command."""
    found = _COMMAND.findall(said)
    return shlex.split(found[-1]) if found else []


def follow(run: Callable[..., R], source: str, *arguments: str) -> tuple[list[str], R]:
    """Run doctor with these arguments, and type what it says until something is uploaded, ``source`` in place of FILE.

    Return what was typed last and what came of it.
    """
    typed = ["doctor", *arguments]
    for _ in range(3):
        ran = run(*typed, "--yes")
        following = advised(ran.err)
        if not following:
            break
        typed = following
        if typed[0] == "upload":
            assert typed[-2] == "FILE"
            return typed, run(*typed[:-2], source, typed[-1])
    return typed, ran
