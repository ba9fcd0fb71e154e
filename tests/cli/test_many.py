"""Thousands of small files, and a large one: memory stays where it is, and everything arrives."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.command import ROOT, tree
from support.sizes import FULL_SIZE, sized
from support.terminal import Terminal

from resumable.receiver import Server

pytestmark = [pytest.mark.timeout(600), pytest.mark.once, pytest.mark.unmeasured, pytest.mark.slow]
Memory = Callable[..., tuple[int, str]]
MIB = 1 << 20
GIB = 1 << 30
MEASURED = (
    "import resource, sys\n"
    "from resumable.cli import main\n"
    "code = main(sys.argv[1:])\n"
    "print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024))\n"
)


@pytest.fixture
def sink() -> Iterator[str]:
    """The URL of a server that takes everything and keeps nothing."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent.parent / "support" / "sink.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        process.communicate()


@pytest.fixture
def memory(work: Path, plain_environment: dict[str, str]) -> Memory:
    """``memory(*arguments)`` is the most bytes of memory that the command used, and what it said. It has to succeed."""

    def memory(*arguments: str) -> tuple[int, str]:
        ran = subprocess.run(
            [sys.executable, "-c", MEASURED, *arguments],
            cwd=work,
            env={**plain_environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=500,
        )
        code, most = ran.stdout.split()
        assert code == "0", ran.stderr
        return int(most), ran.stderr

    return memory


def sparse(path: Path, size: int) -> None:
    """A file of so many bytes of which the disk holds none."""
    with path.open("wb") as file:
        file.truncate(size)


def test_memory_does_not_grow_with_the_file(work: Path, sink: str, memory: Memory) -> None:
    size, shown = (4 * GIB, "4.00 GiB") if FULL_SIZE else (256 * MIB, "256 MiB")
    sparse(work / "small.bin", 16 * MIB)
    sparse(work / "large.bin", size)
    less, _ = memory("upload", "--no-test-chunks", "small.bin", sink)
    more, said = memory("upload", "--no-test-chunks", "large.bin", sink)
    assert "done: 1 file uploaded in" in said
    assert f"{shown} sent" in said
    assert more - less < 8 * MIB


def test_memory_for_thousands_of_files_is_that_of_their_names(work: Path, sink: str, memory: Memory) -> None:
    files = sized(1000, 10_000)
    for folder, count in (("few", 100), ("many", files)):
        (work / folder).mkdir()
        for number in range(count):
            (work / folder / f"{number:05}.txt").write_bytes(b"%d" % number)
    less, _ = memory("upload", "--no-test-chunks", "few", sink)
    more, said = memory("upload", "--no-test-chunks", "many", sink)
    assert f"done: {files:,} files uploaded in" in said
    assert (more - less) / files < 8192


def test_the_screen_keeps_moving_while_thousands_of_files_arrive(work: Path, server: Server, received: Path) -> None:
    count = sized(300, 10_000)
    files = {f"many/{number:05}.txt": b"%d" % number for number in range(count)}
    (work / "many").mkdir()
    for name, content in files.items():
        (work / name).write_bytes(content)
    with Terminal(["upload", "many", server.url], work) as terminal:
        assert terminal.end() == 0
        seen = {
            int(found.replace(",", ""))
            for shot in terminal.shots
            for found in re.findall(rf"^([\d,]+) of {count:,} files", shot, re.MULTILINE)
        }
        assert len(seen) >= 5
        # No row of a file stays for each of thousands.
        assert all(len(shot.splitlines()) <= 10 for shot in terminal.shots)
        assert terminal.text.splitlines()[-1].startswith(f"done: {count:,} files uploaded in")
    assert tree(received) == files
