"""What one process measures of itself while it uploads, printed as one line of JSON for ``run.py``."""

from __future__ import annotations

import json
import logging
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["measured", "open_files", "paths_below", "peak_memory"]


def peak_memory() -> float:
    """The most memory this process had resident, in MiB. Not getrusage, which remembers the process that started it."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Print the seconds that the block took, those of processor time that it used, the peak memory since start, and
    what the block adds."""
    logging.getLogger("resumable").setLevel(logging.ERROR)  # not the warning that a file has very many chunks
    cpu, wall = time.process_time(), time.perf_counter()
    figures: dict[str, float] = {}
    yield figures  # nothing is printed when the block raises
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"seconds": wall, "cpu": cpu, "peak": peak_memory(), **figures}))


def open_files(most: int) -> None:
    """Let this process have `most` files open at once."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def paths_below(path: str) -> list[str]:
    """`path`, or the files in it when it is a directory."""
    return sorted(entry.path for entry in os.scandir(path)) if os.path.isdir(path) else [path]
