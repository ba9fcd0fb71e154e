"""A progress bar for the terminal: python examples/progress_bar.py URL FILE"""

from __future__ import annotations

import sys

from resumable import Resumable, ResumableFile


def bar(file: ResumableFile) -> str:
    """One line of text: how much of the file is there, how fast it goes, and how long it still takes."""
    done = file.progress()
    left = file.time_remaining
    rest = "" if left is None else f"{left:.0f} s left"
    return f"{file.file_name} {'#' * int(30 * done):-<30} {done:4.0%} {file.speed / 1e6:7.1f} MB/s {rest:>12}"


def main(url: str, path: str) -> None:
    with Resumable(url, throttle_progress_callbacks=0.1) as session:
        session.on("file_progress", lambda file: print(f"\r{bar(file)}", end="", flush=True))
        session.on("file_success", lambda file: print(f"\r{bar(file)}"))
        session.on("file_retry", lambda file: print(f"\n{file.file_name}: trying again"))
        session.add_file(path)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
