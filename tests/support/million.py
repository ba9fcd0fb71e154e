"""Sends a file of so many one-byte chunks through a whole session and says what that cost: million.py COUNT

The network is replaced by a transport that answers at once; everything else is what always runs. Prints JSON: the
processor time of each tenth in seconds, and the peak of the memory above that of the idle interpreter in KiB.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from resumable import Resumable, ResumableChunk
from resumable.transport.base import Reply, Request, Stopped
from resumable.transport.control import RequestControl

STORED = Reply(200, {}, "")


class Instant:
    """A server in the next room."""

    def send(self, request: Request, control: RequestControl) -> Reply:
        if control.stopped:
            raise Stopped
        assert request.body is not None
        for _ in request.body:
            pass
        return STORED

    def close(self) -> None:
        pass


def peak() -> int:
    """The most memory that was used so far, in KiB."""
    try:
        # Of this program alone: what getrusage says begins, on Linux, with the peak of the one that started it.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most // 1024 if sys.platform == "darwin" else most


def main(count: int) -> dict[str, Any]:
    marks = []
    heard = 0

    def hear(chunk: ResumableChunk) -> None:
        nonlocal heard
        heard += 1
        if heard * 10 % count == 0:
            marks.append(time.process_time())

    with tempfile.NamedTemporaryFile() as file:
        file.truncate(count)
        idle = peak()
        session = Resumable("http://127.0.0.1:1/", chunk_size=1, test_chunks=False, transport=Instant())
        session.on("chunk_success", hear)
        session.on("file_progress", lambda file: file.progress())
        marks.append(time.process_time())
        with session:
            session.add_file(file.name)
    assert heard == count
    return {"tenths": [later - earlier for earlier, later in itertools.pairwise(marks)], "memory": peak() - idle}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
