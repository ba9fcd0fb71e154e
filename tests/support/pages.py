"""The pages of the documentation, and the blocks of code on them.

A block that a page needs and does not show is a comment: ``.. hidden python`` or ``.. hidden console``, with the code
indented below it. It comes in front of the next block of its kind.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .command import ROOT

__all__ = ["BLOCKS", "PAGES", "Block", "blocks"]

_OPENING = re.compile(r"( *)(?:\.\. (code-block::|hidden) *(\S*)|(?! *\.\. ).*::)")


class Block(NamedTuple):
    """One block of code of a page, its first line counted from 1."""

    page: str
    line: int
    language: str
    code: str
    hidden: bool = False

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """Every block of code of a page, also those that have no language."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    found = []
    for number, line in enumerate(lines):
        opening = _OPENING.fullmatch(line)
        if opening is None:
            continue
        body = []
        for following in lines[number + 1 :]:
            if following.strip() and not following.startswith(opening[1] + "    "):
                break
            body.append(following[len(opening[1]) + 4 :])
        code = "\n".join(body).strip() + "\n"
        found.append(Block(page, number + 1, opening[3] or "", code, opening[2] == "hidden"))
    return found


PAGES = [
    "README.rst",
    "CONTRIBUTING.rst",
    "SECURITY.rst",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.rst")) if "_build" not in path.parts),
]
BLOCKS = [block for page in PAGES for block in blocks(page)]
