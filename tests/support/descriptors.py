"""What this process has open, without what others open and close meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["open_below"]


def open_below(path: Path) -> list[str]:
    """The names of what is open there, or is the file itself, once for each descriptor; also of what is deleted."""
    found = []
    for handle in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(handle))
        except FileNotFoundError:
            continue  # that with which this is read
    return sorted(name for name in found if name.startswith(str(path)))
