"""A plugin that keeps a journal and labels what it uploads: python examples/plugin.py URL FILE…

A plugin observes with signals, which it connects in ``attach``, and decides with hooks, which are methods named like
options. An installed package offers one in the entry-point group ``resumable.plugins``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import TextIO

from resumable import Resumable, ResumableChunk, ResumableFile


class Journal:
    """Writes a line of JSON for each file that was uploaded, failed or was given up, and labels every chunk."""

    name = "journal"

    def __init__(self, out: TextIO = sys.stderr, label: str = "journal") -> None:
        self.out = out
        self.label = label

    def attach(self, session: Resumable) -> None:
        session.on("file_success", lambda file: self.write("uploaded", file))
        session.on("file_error", lambda file: self.write("failed", file))

    def query(self, file: ResumableFile, chunk: ResumableChunk) -> Mapping[str, str]:
        return {"label": self.label}

    def on_abort(self, file: ResumableFile) -> None:
        self.write("given up", file)

    def write(self, what: str, file: ResumableFile) -> None:
        entry = {"at": time.time(), "what": what, "file": file.relative_path, "bytes": file.bytes_confirmed}
        print(json.dumps(entry), file=self.out, flush=True)


def main(url: str, *paths: str) -> None:
    with Resumable(url, plugins=[Journal(sys.stdout, "example")]) as session:
        session.add_files(paths)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
