"""Upload with the `resumable` that this interpreter imports, this one or 0.1.1, and print the figures."""

from __future__ import annotations

import argparse
import itertools
import time
from typing import Any

from figures import measured, open_files, paths_below

import resumable
from resumable import Resumable


def main() -> None:
    """Upload every file once and fail unless every chunk was reported."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("path", help="a file, or a directory of files")
    parser.add_argument("--chunks", type=int, required=True, help="how many chunks have to be reported")
    parser.add_argument("--chunk-size", type=int, default=1024 * 1024)
    parser.add_argument("--test-chunks", action="store_true")
    parser.add_argument("--open-files", type=int)
    parser.add_argument("--congestion-control", help="what this library chooses, or none")
    parser.add_argument("--checksum", help="the hash of each chunk, if it is to have one")
    parser.add_argument("--limit-rate", type=int, help="bytes a second")
    parser.add_argument("--uploads", type=int, help="how many at once, if not as many as the library wants")
    arguments = parser.parse_args()
    if arguments.open_files:
        open_files(arguments.open_files)
    paths = paths_below(arguments.path)
    options: dict[str, Any] = {"chunk_size": arguments.chunk_size, "test_chunks": arguments.test_chunks}
    first = resumable.__version__ == "0.1.1"
    if not first:
        if arguments.congestion_control:
            control = arguments.congestion_control
            options["congestion_control"] = None if control == "none" else control
        if arguments.checksum:
            options["checksum"] = arguments.checksum
        if arguments.limit_rate:
            options["limit_rate"] = arguments.limit_rate
        if arguments.uploads:
            options["simultaneous_uploads"] = arguments.uploads
        options["trust_tests"] = True  # the server says that every chunk is there, also the one that cannot be
    reported = itertools.count()
    failed: list[float] = []

    def count(*subject: object) -> None:
        next(reported)

    def note(*subject: object, **facts: object) -> None:
        failed.append(time.perf_counter())

    with measured() as figures:
        with Resumable(arguments.target, **options) as session:
            if first:
                session.chunk_completed.register(count)
            else:
                session.on("chunk_success", count)
                session.on("chunk_retry", note)
            for path in paths:
                session.add_file(path)
        figures.update(failures=len(failed), failing=failed[-1] - failed[0] if failed else 0.0)
    if (chunks := next(reported)) != arguments.chunks:
        raise SystemExit(f"{chunks} chunks were reported, not {arguments.chunks}")


if __name__ == "__main__":
    main()
