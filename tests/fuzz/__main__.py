"""Look for requests that the receiver cannot cope with, guided by what of its code they reach.

In ``tests``: ``python -m fuzz [SECONDS] [OPTION OF LIBFUZZER ...]``, with the package ``atheris`` installed. New inputs
that reach new code are kept in a temporary directory, and said at the end; an input that makes the receiver fail is
written to the working directory as ``crash-…``. Those worth keeping go into ``fuzz/corpus``, where the tests find them.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["resumable.receiver", "resumable.protocol", "multipart"]):
    from fuzz.target import Target

CORPUS = Path(__file__).parent / "corpus"
WORDS = Path(__file__).parent / "words.txt"


def main(arguments: list[str]) -> None:
    """Never returns: libFuzzer ends the process."""
    seconds = arguments.pop(0) if arguments and arguments[0].isdigit() else "60"
    logging.disable()
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    target = Target(Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory)))
    found = tempfile.mkdtemp(prefix="fuzz-corpus-")
    print(f"new inputs go to {found}", flush=True)
    options = [f"-max_total_time={seconds}", f"-dict={WORDS}", "-max_len=8192", "-timeout=10", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, *arguments, found, str(CORPUS)], target.run)
    atheris.Fuzz()


main(sys.argv[1:])
