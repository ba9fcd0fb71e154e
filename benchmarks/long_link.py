"""Long links: this library with its defaults, resumable 0.1.1 and ``curl -T`` on the same link, one after the other.

Rates are MB/s (10⁶ bytes) from the constructor to the end of the ``with`` block, for curl those of the whole transfer.
A measure of ``run.py``; ``plot.py`` draws them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import link
import pools
from contest import HERE, MIB, QUIETLY, ROOT, Contest, Row
from receiving import flask_environment

__all__ = ["CLIENTS", "Link", "crowded_link_rows", "long_link_rows", "rate", "small_pool_rows"]

CLIENTS = ("ours", "ours, bbr", "0.1.1", "curl -T")
BEFORE = "before"
FIRST = "5ea0067"
LIMIT = 300


@dataclass(frozen=True)
class Link:
    """Milliseconds of a round trip, percent of packets lost, Mbit/s."""

    round_trip: float
    loss: float
    rate: float

    @property
    def most(self) -> float:
        """What the link carries, in MB/s."""
        return self.rate / 8


def rate(contest: Contest, where: Link, client: str, size: int, *, tests: bool = True, path: str = "up") -> float:
    """How many MB/s the client sends there, with cubic unless it is to choose bbr."""
    return size / _figures(contest, where, client, size, tests=tests, path=path)["seconds"] / 1e6


def _figures(
    contest: Contest,
    where: Link,
    client: str,
    size: int,
    *,
    chunk_size: int = MIB,
    path: str = "up",
    tests: bool = True,
    beside: bool = False,
    server: str = "",
) -> dict[str, float]:
    """What the client says of itself, or of others ``beside`` it. ``server`` as in ``link.py``."""
    file = contest.file(f"long-{size}", size)
    url = f"{link.URL}/{path}"
    if client == "curl -T":
        words = ["curl", *QUIETLY, "--write-out", '{"seconds": %{time_total}}', "--upload-file", str(file), url]
    else:
        script, chunks = HERE / "upload.py", size // chunk_size
        words = [str(contest.peer), script, url, file, "--chunk-size", chunk_size, "--chunks", chunks]
        words += ["--test-chunks"] if tests else []
        words = [str(contest.peer), HERE / "beside.py", *words] if beside else words
        if client == BEFORE:
            words = ["env", f"PYTHONPATH={_before()}", *words]
        elif client != "0.1.1":
            words = ["env", f"PYTHONPATH={ROOT}", *words]
            words += ["--congestion-control", "bbr" if client == "ours, bbr" else "none"]
            words += ["--uploads", 3] if client == "ours, 3" else []
    control = "" if client == "ours, bbr" else "cubic"
    command = link.command(where.round_trip, where.loss, where.rate, control, *map(str, words), server=server)
    done = subprocess.run(
        command, env=contest.environment, stdout=subprocess.PIPE, cwd=contest.material, timeout=LIMIT, check=False
    )
    if done.returncode:
        raise SystemExit(f"exit status {done.returncode} of: {' '.join(command)}")
    return dict(json.loads(done.stdout))


def _before() -> Path:
    """The library as it was first published in this repository, without what it learnt of long links since."""
    directory = ROOT / "build" / f"before-{FIRST}"
    if not directory.is_dir():
        directory.mkdir(parents=True)
        words = ["git", "-C", str(ROOT), "archive", FIRST, "resumable"]
        archive = subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["tar", "-x", "-C", str(directory)], input=archive, check=True)
    return directory


def long_link_rows(contest: Contest) -> list[Row]:
    """What the default options make of long links, and what a choice of bbr adds."""
    if not _possible():
        return []
    clean, lossy, little = Link(50, 0, 200), Link(50, 0.5, 200), Link(50, 0.1, 200)
    fast, satellite = Link(50, 0, 1000), Link(300, 0, 20)
    large = 64 * MIB if contest.quick else 256 * MIB
    medium, small = 64 * MIB, 32 * MIB

    on_clean = _rates(contest, clean, ("ours", medium), ("ours, bbr", medium), ("0.1.1", medium), ("curl -T", medium))
    untested = [rate(contest, clean, "ours", medium, tests=False) for _ in range(contest.rounds)]
    stored = [
        10240 / _figures(contest, clean, "ours", 10 * MIB, chunk_size=1024, path="have")["seconds"]
        for _ in range(contest.rounds)
    ]
    on_large = _rates(contest, clean, ("ours", large), ("ours, bbr", large))
    # What loses packets is slow from the beginning, so the slow ones need not send as much.
    slow = ((BEFORE, small), ("0.1.1", 8 * MIB), ("curl -T", 4 * MIB))
    on_lossy = _rates(contest, lossy, ("ours", medium), ("ours, bbr", medium), *slow)
    on_little = _rates(contest, little, ("ours", medium), ("ours, bbr", medium))
    on_fast = _rates(contest, fast, ("ours", large), ("ours, bbr", large), ("curl -T", large))
    on_told = [rate(contest, fast, "ours", large, path="many") for _ in range(contest.rounds)]
    on_satellite = _rates(contest, satellite, ("ours", small), ("ours, bbr", small))
    return [
        Row("50 ms, 200 Mbit/s, over 0.1.1", "≥", 1.5, "×", _over(on_clean, "0.1.1")),
        Row("the same, over curl -T", "≥", 0.9, "×", _over(on_clean, "curl -T")),
        Row("the same, bbr, over curl -T", "≥", None, "×", _over(on_clean, "curl -T", "ours, bbr")),
        Row("the same, large file", "≥", 0.85, "of the link", _part(on_large, clean)),
        Row("the same, large file, bbr", "≥", None, "of the link", _part(on_large, clean, "ours, bbr")),
        Row("the same with tests over without", "≥", 0.9, "×", _ratios(on_clean["ours"], untested), 0.97),
        Row("the same, chunks that are stored", "≥", 300, "a second", stored, 550),
        Row("the same, 0.1 % loss", "≥", 0.5, "of the link", _part(on_little, little), 0.7),
        Row("the same, 0.1 % loss, bbr", "≥", None, "of the link", _part(on_little, little, "ours, bbr")),
        Row("the same, 0.5 % loss, over the first version", "≥", 4, "×", _over(on_lossy, BEFORE)),
        Row("the same, 0.5 % loss, over 0.1.1", "≥", None, "×", _over(on_lossy, "0.1.1")),
        Row("the same, 0.5 % loss, over curl -T", "≥", 10, "×", _over(on_lossy, "curl -T")),
        Row("the same, 0.5 % loss, bbr over cubic", "≥", None, "×", _over(on_lossy, "ours", "ours, bbr")),
        Row("50 ms, 1 Gbit/s, over curl -T", "≥", 1.2, "×", _over(on_fast, "curl -T")),
        Row("the same, bbr, over curl -T", "≥", None, "×", _over(on_fast, "curl -T", "ours, bbr")),
        Row("the same, 16 at once, over curl -T", "≥", 1.7, "×", _ratios(on_told, on_fast["curl -T"])),
        Row("300 ms, 20 Mbit/s", "≥", 0.8, "of the link", _part(on_satellite, satellite)),
        Row("300 ms, 20 Mbit/s, bbr", "≥", None, "of the link", _part(on_satellite, satellite, "ours, bbr")),
    ]


def crowded_link_rows(contest: Contest) -> list[Row]:
    """How many uploads at once are too many: for a slow line, for the server, and for others on the line."""
    if not _possible():
        return []
    clean, little, slow = Link(50, 0, 200), Link(50, 0.1, 200), Link(80, 0, 2)
    large = 64 * MIB if contest.quick else 256 * MIB
    few = 4 * MIB if contest.quick else 8 * MIB
    shared = [_figures(contest, clean, "ours", 1024 * MIB, beside=True) for _ in range(contest.rounds)]
    runs = {
        name: [_figures(contest, where, client, size, path=path) for _ in range(contest.rounds)]
        for name, where, client, size, path in (
            ("slow", slow, "ours", few, "up"),
            ("slow, 3", slow, "ours, 3", few, "up"),
            ("four", clean, "ours", large, "four"),
            ("six", little, "ours", large, "six"),
        )
    }

    def figures(name: str, figure: str) -> list[float]:
        return [run[figure] for run in runs[name]]

    return [
        Row(
            "80 ms, 2 Mbit/s, time over 3 at once",
            "≤",
            1.05,
            "×",
            _ratios(figures("slow", "seconds"), figures("slow, 3", "seconds")),
        ),
        Row("the same, chunks that failed", "≤", 0, "", figures("slow", "failures")),
        Row("429 above 4 at once, first to last", "≤", 5, "s", figures("four", "failing")),
        Row("the same, chunks that failed", "≤", 16, "", figures("four", "failures")),
        Row("cut off above 6 at once, first to last", "≤", None, "s", figures("six", "failing")),
        Row("the same, chunks that failed", "≤", 16, "", figures("six", "failures")),
        Row("one connection keeps beside an upload", "≥", 0.25, "of the link", [run["kept"] for run in shared]),
        Row("one that comes later gets at first", "≥", None, "of the link", [run["share"] for run in shared]),
        Row("an answer beside an upload", "≤", 2, "× as late", [run["delay"] for run in shared]),
    ]


def small_pool_rows(contest: Contest) -> list[Row]:
    """Servers of others with few workers: the default takes no longer than 3 at once, and nothing fails."""
    if not _possible():
        return []
    rows = []
    for name, workers in pools.WORKERS.items():
        if lacks := pools.missing(name):
            print(f"left out: {name} needs {lacks} ", end="", file=sys.stderr)
            continue
        server = f"{flask_environment()} {HERE / 'pools.py'} {name}"
        runs: dict[str, list[dict[str, float]]] = {"ours": [], "ours, 3": []}
        for number in range(contest.rounds):
            for client in sorted(runs, reverse=number % 2 == 1):
                runs[client].append(_figures(contest, Link(50, 0, 200), client, 64 * MIB, server=server))
        ours, three = ([run["seconds"] for run in found] for found in runs.values())
        rows += [
            Row(f"{name}, {workers} workers, time over 3 at once", "≤", 1.05, "×", _ratios(ours, three)),
            Row("the same, chunks that failed", "≤", 0, "", [run["failures"] for run in runs["ours"]]),
        ]
    return rows


def _possible() -> bool:
    """Whether there can be a long link here; if not, the reason is said."""
    reason = link.missing() or ("" if shutil.which("curl") else "the long link needs curl")
    if reason:
        print(f"left out: {reason} ", end="", file=sys.stderr)
    return not reason


def _rates(contest: Contest, where: Link, *runs: tuple[str, int]) -> dict[str, list[float]]:
    """The rates of clients that take turns, each with so many bytes."""
    found: dict[str, list[float]] = {client: [] for client, _ in runs}
    for number in range(contest.rounds):
        for client, size in _turned(runs, number):
            found[client].append(rate(contest, where, client, size))
        print(".", end="", file=sys.stderr, flush=True)
    return found


def _over(found: dict[str, list[float]], second: str, first: str = "ours") -> list[float]:
    return _ratios(found[first], found[second])


def _part(found: dict[str, list[float]], where: Link, client: str = "ours") -> list[float]:
    return [figure / where.most for figure in found[client]]


def _ratios(first: list[float], second: list[float]) -> list[float]:
    return [one / other for one, other in zip(first, second, strict=True)]


def _turned(runs: tuple[tuple[str, int], ...], number: int) -> Iterable[tuple[str, int]]:
    return (*runs[number % len(runs) :], *runs[: number % len(runs)])
