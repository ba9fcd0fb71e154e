"""What the tests upload, and how they see what has become of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from resumable import Result, Resumable

from .bench import Running
from .log_in import log_in
from .tap import Tap

__all__ = ["CHUNK", "Client"]

CHUNK = 64 * 1024


class Client:
    """Uploads from the folder ``sources`` through the ``tap`` to the ``server``."""

    def __init__(self, server: Running, tap: Tap, sources: Path) -> None:
        self.server = server
        self.tap = tap
        self.logged_in: dict[str, Any] = {}
        self._sources = sources

    def source(self, size: int, name: str = "source.bin") -> Path:
        """A new file of so many random bytes; its name begins with what no other test has."""
        path = self._sources / f"{os.urandom(4).hex()}-{name}"
        path.write_bytes(os.urandom(size))
        return path

    def folder(self, name: str) -> Path:
        """A new folder, whose name begins so too."""
        path = self._sources / f"{os.urandom(4).hex()}-{name}"
        path.mkdir()
        return path

    def session(self, **options: Any) -> Resumable:
        """A session with what the server needs, with chunks of 64 KiB if nothing else is said."""
        record = self.server.record
        if record.log_in and "session" not in options:
            self.logged_in = self.logged_in or log_in(self.tap.url)
            options = {**self.logged_in, **options}
        return Resumable(self.tap.url, **{"chunk_size": CHUNK, **record.options, **options})

    def upload(self, *paths: Path, **options: Any) -> Result:
        """What became of the files; no error is raised."""
        with self.session(**{**options, "auto_upload": False}) as session:
            for path in paths:
                session.add_file(path)
            return session.join(raise_errors=False)

    def copies(self, path: Path) -> int:
        """How many finished files at the server are the same as this one, bit by bit."""
        wanted = hashlib.sha256(path.read_bytes()).digest()
        return sum(hashlib.sha256(content).digest() == wanted for _, content in self.server.contents())

    def wrong(self, result: Result) -> list[str]:
        """The files that the result calls a success though they are not at the server, or not as they were sent."""
        return [file.file_name for file in result.succeeded if not self.copies(Path(file.path))]

    def named(self, path: Path) -> list[bytes]:
        """The finished files that have the name of this one."""
        name = self.server.record.named(path.name, path.stat().st_size)
        return [content for there, content in self.server.contents() if there.endswith(name)]
