"""Contenders that take turns, and the rows that come of it."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["HERE", "MIB", "QUIETLY", "ROOT", "Contest", "Row", "Sample", "Server", "ratios", "serving", "table"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MIB = 1024 * 1024

QUIETLY = ("--silent", "--show-error", "--no-progress-meter", "--fail", "--output", "/dev/null")
"""How curl is called."""


@dataclass(frozen=True)
class Sample:
    """One run of one contender: seconds of the whole process, and what the process said of itself."""

    wall: float
    seconds: float = 0.0
    cpu: float = 0.0
    peak: float = 0.0
    performing: float = 0.0
    plain: float = 0.0


@dataclass(frozen=True)
class Row:
    """One line of the table: `figures` holds one number a round, whose median has to be what it `must` be, if anything,
    and is to become what is `aimed` at."""

    measure: str
    sense: str
    must: float | None
    unit: str
    figures: Sequence[float]
    aimed: float | None = None

    @property
    def figure(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.figures)

    @property
    def passed(self) -> bool:
        """Whether the figure is what it must be."""
        return self.must is None or self._reaches(self.must)

    def _reaches(self, bound: float) -> bool:
        return self.figure >= bound if self.sense == "≥" else self.figure <= bound

    def cells(self) -> tuple[str, ...]:
        """The texts of the line."""
        low, high = min(self.figures), max(self.figures)
        must, aimed = (f"{self.sense} {bound:g} {self.unit}" if bound else "–" for bound in (self.must, self.aimed))
        verdict = "pass" if self.passed else "FAIL"
        if self.aimed is not None and self._reaches(self.aimed):
            verdict = "aim"
        return (self.measure, must, aimed, f"{self.figure:.3g} {self.unit}", f"{low:.3g} to {high:.3g}", verdict)


class Server:
    """A discard server that runs in a process of its own; `url` is where it listens."""

    def __init__(self, url: str) -> None:
        self.url = url

    def counters(self) -> dict[str, int]:
        """What it has received so far."""
        with urllib.request.urlopen(f"{self.url}/__stats") as response:
            return dict(json.load(response))


@contextmanager
def serving(*arguments: str) -> Iterator[Server]:
    """Start ``server.py``; it ends with the block."""
    command = [sys.executable, "-I", str(HERE / "server.py"), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        scheme = "https" if "--tls" in arguments else "http"
        yield Server(f"{scheme}://127.0.0.1:{process.stdout.readline().strip()}")
        process.stdin.close()


@dataclass
class Contest:
    """What the measures share: how often and how much, the server, and where the material lies."""

    rounds: int
    quick: bool
    server: Server
    material: Path
    peer: Path
    environment: dict[str, str] = field(default_factory=dict)

    def ours(self, script: str, *arguments: object, **settings: str) -> Callable[[], Sample]:
        """A contender: one of the scripts here with this library, in the peer's environment: that of whoever runs the
        benchmarks has development tools in it, which take their time at every start."""
        command = [str(self.peer), str(HERE / script), *map(str, arguments)]
        return lambda: self._run(command, {"PYTHONPATH": str(ROOT), **settings})

    def theirs(self, *arguments: object, **settings: str) -> Callable[[], Sample]:
        """A contender: ``upload.py`` with resumable 0.1.1."""
        command = [str(self.peer), str(HERE / "upload.py"), *map(str, arguments)]
        return lambda: self._run(command, settings)

    def both(self, *arguments: object, **settings: str) -> dict[str, Callable[[], Sample]]:
        """Two contenders: ``upload.py`` with this library and with resumable 0.1.1."""
        return {"ours": self.ours("upload.py", *arguments, **settings), "0.1.1": self.theirs(*arguments, **settings)}

    def curl(self, *arguments: object) -> Callable[[], Sample]:
        """A contender: curl, whose figures are those of its whole process."""
        return lambda: self._run(["curl", *QUIETLY, *map(str, arguments)], {})

    def _run(self, command: Sequence[str], settings: dict[str, str]) -> Sample:
        began = time.perf_counter()
        done = subprocess.run(
            command, env={**self.environment, **settings}, stdout=subprocess.PIPE, cwd=self.material, check=False
        )
        wall = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"exit status {done.returncode} of: {' '.join(command)}")
        said = json.loads(done.stdout) if done.stdout.startswith(b"{") else {}
        return Sample(wall, *(said.get(name, 0.0) for name in ("seconds", "cpu", "peak", "performing", "plain")))

    def alternate(
        self, contenders: dict[str, Callable[[], Sample]], *, received: int = 0, rounds: int = 0, warm: bool = False
    ) -> dict[str, list[Sample]]:
        """Run every contender once a round, in an order that turns; fail unless each sends `received` bytes or more.

        A round before the first warms caches and compiled modules, unless they are `warm`."""
        samples: dict[str, list[Sample]] = {name: [] for name in contenders}
        names = list(contenders)
        for number in range(0 if warm else -1, rounds or self.rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                before = self.server.counters()["body"] if received else 0
                sample = contenders[name]()
                if received and self.server.counters()["body"] - before < received:
                    raise SystemExit(f"{name} sent less than {received} bytes")
                if number >= 0:
                    samples[name].append(sample)
            print(".", end="", file=sys.stderr, flush=True)
        return samples

    def file(self, name: str, size: int) -> Path:
        """A file of `size` bytes that are not zero, made once."""
        path = self.material / name
        if not path.exists():
            block = os.urandom(MIB)
            with path.open("wb") as target:
                for start in range(0, size, MIB):
                    target.write(block[: min(MIB, size - start)])
        return path


def ratios(samples: dict[str, list[Sample]], first: str, second: str, figure: str) -> list[float]:
    """`figure` of `first` over that of `second`, round by round."""
    pairs = zip(samples[first], samples[second], strict=True)
    return [getattr(one, figure) / getattr(other, figure) for one, other in pairs]


def table(rows: Sequence[Row]) -> str:
    """The rows as a table in reStructuredText."""
    lines = [("measure", "must", "aim", "measured", "range", ""), *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    rule = "  ".join("=" * max(width, 4) for width in widths)
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([rule, texts[0], rule, *texts[1:], rule])
