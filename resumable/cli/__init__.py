"""The command line: ``resumable upload``, ``serve``, ``demo`` and ``doctor``.

A thin skin of click and rich over what the library offers to everybody. Without those two (the extra ``cli``) one
line says what to install.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

NEEDED = ("click", "rich", "pathspec")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the command that the arguments (those of the process, if None) name.

    2 where the extra is not installed, or only in part; ``commands`` says what the others mean.
    """
    try:
        from .app import run

        return run(arguments)
    except ModuleNotFoundError as error:
        # Commands are loaded when they are called, so this may come late.
        missing = (error.name or "").partition(".")[0]
        if missing not in NEEDED:
            raise
        print(
            f"the command resumable needs the package {missing!r}; install it with: pip install 'resumable[cli]'",
            file=sys.stderr,
        )
        return 2
