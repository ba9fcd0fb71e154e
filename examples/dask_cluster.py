"""Files over a cluster of Dask, large ones in parts: python examples/dask_cluster.py URL FILE…

The cluster is that of DASK_SCHEDULER_ADDRESS, or two processes of this machine. All workers have to see the files.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import resumable

LARGE = 8 * 1024 * 1024
"""Bytes from which on a file is worth several workers."""


def send(path: str, url: str, part: tuple[int, int]) -> bool:
    """Send a part of the file. Return whether the server has all of it by now, as it has of one when it ends last.

    If the worker is lost, another one is given the part, and sends what is missing.
    """
    (file,) = resumable.upload(os.path.abspath(path), url, part=part).succeeded
    return file.whole is True


def main(url: str, *paths: str) -> None:
    from distributed import Client  # type: ignore[import-not-found, import-untyped, unused-ignore]

    cluster: Any = Client
    with cluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        workers = len(client.nthreads())
        calls: dict[str, list[Any]] = {}
        for path in paths:
            parts = workers if os.path.getsize(path) >= LARGE else 1
            numbers = range(1, parts + 1)
            calls[path] = [client.submit(send, path, url, (number, parts), retries=3) for number in numbers]
        for path, futures in calls.items():
            whole = any(client.gather(futures))
            print(f"{path}: {len(futures)} of its parts sent, {'whole' if whole else 'not whole'} at the server")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
