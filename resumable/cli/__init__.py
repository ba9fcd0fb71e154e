"""The command line: ``resumable upload``, ``serve``, ``demo``, ``doctor`` and ``conformance``.

It adds click and rich (the extra ``cli``) to what the library offers. Without them one line says what to install.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .params.stdio import guard_streams

__all__ = ["main"]

NEEDED = ("click", "rich", "pathspec", "platformdirs", "tomli")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments (those of the process, if None) name, and return its exit code.

    2 if the extra is not installed, or only in part; the documentation says what the others mean.
    """
    return guard_streams(lambda: _run(arguments), own=arguments is None)


def _run(arguments: Sequence[str] | None) -> int:
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
