"""``python -m resumable``, and what the command ``resumable`` runs."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line that this process was started with, and return its exit code."""
    try:
        if sys.argv[1:] in (["--version"], ["-V"]):
            # Asked by scripts and by people in a hurry: nothing of the commands is loaded for it.
            from .cli.params.stdio import guard_streams

            return guard_streams(_version, own=True)
        from .cli import main as command_line

        return command_line()
    except KeyboardInterrupt:
        return 130


def _version() -> int:
    from . import __version__

    print(f"resumable {__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
