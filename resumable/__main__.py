"""``python -m resumable``, and what the command ``resumable`` runs."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """The exit code of the command line that this process was started with."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        # Asked by scripts and by people in a hurry: nothing of the command line is loaded for it.
        from . import __version__

        print(f"resumable {__version__}")
        return 0
    try:
        from .cli import main as command_line

        return command_line()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
