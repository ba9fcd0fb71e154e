"""Stops an upload half-way and goes on in a second session: python examples/resume.py URL FILE"""

from __future__ import annotations

import sys

from resumable import Resumable, ResumableChunk


def main(url: str, path: str) -> None:
    with Resumable(url) as session:
        file = session.add_file(path)

        def stop(chunk: ResumableChunk) -> None:
            if file.progress() >= 0.5:
                session.cancel()

        session.on("chunk_success", stop)
        session.join()
        print(f"stopped when {file.bytes_confirmed} of {file.size} bytes were there")

    with Resumable(url) as session:
        file = session.add_file(path)
        session.join()
        print(f"went on: {file.bytes_skipped} bytes were there, {file.size - file.bytes_skipped} were sent")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
