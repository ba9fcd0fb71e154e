"""Files to upload, and what has arrived."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["content", "digest", "files_below"]


def content(size: int) -> bytes:
    """Bytes of which no two stretches are alike, the same for the same size."""
    return hashlib.shake_128(str(size).encode()).digest(size)


def digest(path: Path) -> str:
    """The SHA-256 of the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files_below(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file, by its path below the folder; what the receiver keeps for itself does not count."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {name.as_posix(): digest(path) for name, path in found.items() if name.parts[0] != ".resumable"}
