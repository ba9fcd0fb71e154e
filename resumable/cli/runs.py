"""The uploads of this user that are under way, so that the same files are not sent twice at the same time.

Each upload has a file below the directory for state, locked while its process lives: the target, its process, and a
digest of each source. Nobody has to tidy up after a crash, for the system drops the lock.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..protocol.parameters import unescaped

if sys.platform == "win32":
    fcntl: Any = None
else:
    import fcntl

__all__ = ["UnderWay", "exclusive"]


class UnderWay(Exception):
    """Another upload of the same files to the same server is under way; ``process`` is the number of its process."""

    def __init__(self, process: int) -> None:
        super().__init__(f"another upload of these files to this server is under way (process {process})")
        self.process = process


@contextmanager
def exclusive(target: str, paths: Iterable[str], part: tuple[int, int] | None = None) -> Iterator[None]:
    """Let no other upload of any of these files, or of this part of them, to the target begin during this block.

    Raises UnderWay if there is one. Does nothing if the directory for state cannot be used, and on Windows, which has
    no such lock.
    """
    of = "part {}/{} of ".format(*part) if part else ""
    digests = {_digest(f"{of}{os.path.realpath(path)}") for path in paths}
    held = _claim(_digest(_normal(target)), digests) if digests and fcntl is not None else None
    try:
        yield
    finally:
        if held is not None:
            held[1].unlink(missing_ok=True)
            os.close(held[0])


def _normal(target: str) -> str:
    """Return the URL as all that mean the same write it."""
    parts = urlsplit(target)
    access, at, _ = parts.netloc.rpartition("@")
    host = (parts.hostname or "").lower()
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return urlunsplit((parts.scheme, f"{access}{at}{host}:{port}", parts.path or "/", parts.query, ""))


def _digest(text: str) -> str:
    return hashlib.blake2b(unescaped(text).encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


def _claim(target: str, digests: set[str]) -> tuple[int, Path] | None:
    """Note the upload, and return the descriptor that locks its file, and the path of that."""
    import platformdirs

    try:
        directory = platformdirs.user_state_path("resumable") / "runs"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(directory / "lock", "w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            for path in directory.glob("*.json"):
                other = _living(path)
                if other and other["target"] == target and not digests.isdisjoint(other["files"]):
                    raise UnderWay(other["process"])
            path = directory / f"{os.getpid()}-{os.urandom(4).hex()}.json"
            held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(held, fcntl.LOCK_EX)
            path.write_text(json.dumps({"target": target, "process": os.getpid(), "files": sorted(digests)}))
            return held, path
    except OSError:
        return None


def _living(path: Path) -> dict[str, Any] | None:
    """Return what the file of another upload says, or None if that has ended; then its file is removed."""
    try:
        with open(path, encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found: dict[str, Any] = json.load(file)
                return found
            path.unlink()
    except (FileNotFoundError, ValueError):
        pass
    return None
