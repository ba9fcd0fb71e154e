"""Prints every event of an upload as it happens: python examples/events.py URL FILE…"""

from __future__ import annotations

import sys
from typing import Any

from resumable import Resumable, ResumableChunk, ResumableFile


def show(event: str, *arguments: Any) -> None:
    print(event, *(readable(argument) for argument in arguments))


def readable(argument: Any) -> str:
    if isinstance(argument, ResumableFile):
        return f"{argument.relative_path} ({argument.progress():.0%})"
    if isinstance(argument, ResumableChunk):
        return f"chunk {argument.number} of {argument.size} bytes"
    if isinstance(argument, (list, tuple)):
        return "[" + ", ".join(map(readable, argument)) + "]"
    return repr(argument)


def main(url: str, *paths: str) -> None:
    with Resumable(url) as session:
        session.on("catch_all", show)
        session.add_files(paths)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
