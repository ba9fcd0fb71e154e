"""A client that does what it is told, line by line, and tells everything that happens: one that can be killed.

``python -m support.remote_client URL`` reads commands from its standard input, as JSON lists of a name and arguments.
It writes JSON objects: an event, the answer to a command, or that a file begins anew. A file is named by its path.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from resumable import (
    FileState,
    Resumable,
    ResumableFile,
    StateError,
)

CHUNK = 1 << 12
WORKERS = 3

_speaking = threading.Lock()


def say(**facts: Any) -> None:
    with _speaking:
        print(json.dumps(facts), flush=True)


class Puppet:
    def __init__(self, url: str) -> None:
        self.session = Resumable(
            url,
            CHUNK,
            WORKERS,
            chunk_retry_interval=0.01,
            max_chunk_retries=1000,
            timeout=(1, 1),
            final_chunk_timeout=1,
        )
        self.failed: list[ResumableFile] = []
        self.happened = threading.Event()
        self.session.on("catch_all", self.tell)

    def tell(self, event: str, *arguments: Any) -> None:
        file = next((argument for argument in arguments if isinstance(argument, ResumableFile)), None)
        if event.startswith("chunk_"):
            file = arguments[0].file
        if event not in ("progress", "file_progress"):
            say(event=event, path=None if file is None else file.relative_path)
        if event == "file_error" and file is not None:
            self.failed.append(file)
        self.happened.set()

    def add(self, path: str, name: str) -> None:
        say(begins=name)
        self.session.add_file(path, relative_path=name)

    def file(self, name: str, command: str) -> None:
        """The command is carried out where the file is still there and in a state for it."""
        for file in self.session.files:
            if file.relative_path == name:
                try:
                    getattr(file, command)()
                except StateError:
                    pass

    def retry(self) -> None:
        """Every file of whose failure has been told begins anew."""
        failed, self.failed = self.failed, []
        for file in failed:
            if file in self.session.files and file.state is FileState.ERROR:
                say(begins=file.relative_path)
                file.retry()

    def states(self) -> dict[str, str]:
        return {file.relative_path: file.state.value for file in self.session.files}

    def watch(self) -> None:
        """Something has happened since this was called, or nothing does for a moment."""
        self.happened.clear()
        self.happened.wait(0.05)

    def finish(self) -> dict[str, str]:
        self.session.upload()
        self.session.join(60, raise_errors=False)
        return self.states()

    def do(self, name: str, *arguments: str) -> Any:
        return getattr(self if hasattr(self, name) else self.session, name)(*arguments)


def main() -> None:
    puppet = Puppet(sys.argv[1])
    for line in sys.stdin:
        say(answer=puppet.do(*json.loads(line)))


if __name__ == "__main__":
    main()
