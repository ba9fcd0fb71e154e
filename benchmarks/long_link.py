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

import link
from contest import HERE, MIB, QUIETLY, ROOT, Contest, Row

__all__ = ["CLIENTS", "Link", "long_link_rows", "rate"]

CLIENTS = ("ours", "ours, bbr", "0.1.1", "curl -T")
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


def rate(contest: Contest, where: Link, client: str, size: int, *, tests: bool = True) -> float:
    """How many MB/s the client sends there, with cubic unless it is to choose bbr."""
    return size / _seconds(contest, where, client, size, MIB, "up", tests=tests) / 1e6


def _seconds(
    contest: Contest, where: Link, client: str, size: int, chunk_size: int, path: str, *, tests: bool
) -> float:
    file = contest.file(f"long-{size}", size)
    url = f"{link.URL}/{path}"
    if client == "curl -T":
        words = ["curl", *QUIETLY, "--write-out", '{"seconds": %{time_total}}', "--upload-file", str(file), url]
    else:
        words = [
            str(contest.peer),
            str(HERE / "upload.py"),
            url,
            str(file),
            "--chunk-size",
            str(chunk_size),
            "--chunks",
            str(size // chunk_size),
        ]
        words += ["--test-chunks"] if tests else []
        if client != "0.1.1":
            words = ["env", f"PYTHONPATH={ROOT}", *words, "--congestion-control", "none" if client == "ours" else "bbr"]
    control = "" if client == "ours, bbr" else "cubic"
    command = link.command(where.round_trip, where.loss, where.rate, control, *words)
    done = subprocess.run(
        command, env=contest.environment, stdout=subprocess.PIPE, cwd=contest.material, timeout=LIMIT, check=False
    )
    if done.returncode:
        raise SystemExit(f"exit status {done.returncode} of: {' '.join(command)}")
    return float(json.loads(done.stdout)["seconds"])


def long_link_rows(contest: Contest) -> list[Row]:
    """What the default options make of long links, and what a choice of bbr adds."""
    reason = link.missing() or ("" if shutil.which("curl") else "the long link needs curl")
    if reason:
        print(f"left out: {reason} ", end="", file=sys.stderr)
        return []
    clean, lossy, little = Link(50, 0, 200), Link(50, 0.5, 200), Link(50, 0.1, 200)
    fast, satellite = Link(50, 0, 1000), Link(300, 0, 20)
    large = 64 * MIB if contest.quick else 256 * MIB

    def rates(where: Link, *runs: tuple[str, int]) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {client: [] for client, _ in runs}
        for number in range(contest.rounds):
            for client, size in _turned(runs, number):
                found[client].append(rate(contest, where, client, size))
            print(".", end="", file=sys.stderr, flush=True)
        return found

    def over(found: dict[str, list[float]], first: str, second: str) -> list[float]:
        return _ratios(found[first], found[second])

    def part(found: dict[str, list[float]], where: Link) -> list[float]:
        return [figure / where.most for figure in found["ours"]]

    on_clean = rates(clean, ("ours", 64 * MIB), ("0.1.1", 64 * MIB), ("curl -T", 64 * MIB))
    untested = [rate(contest, clean, "ours", 64 * MIB, tests=False) for _ in range(contest.rounds)]
    tested = [
        10240 / _seconds(contest, clean, "ours", 10 * MIB, 1024, "have", tests=True) for _ in range(contest.rounds)
    ]
    on_large = rates(clean, ("ours", large))
    # What loses packets is slow from the beginning, so the slow ones need not send as much.
    on_lossy = rates(lossy, ("ours", 64 * MIB), ("ours, bbr", 64 * MIB), ("0.1.1", 8 * MIB), ("curl -T", 4 * MIB))
    on_little = rates(little, ("ours", 64 * MIB))
    on_fast = rates(fast, ("ours", large), ("curl -T", large))
    on_satellite = rates(satellite, ("ours", 32 * MIB))
    return [
        Row("50 ms, 200 Mbit/s, over 0.1.1", "≥", 1.5, "×", over(on_clean, "ours", "0.1.1")),
        Row("50 ms, 200 Mbit/s, over curl -T", "≥", 0.9, "×", over(on_clean, "ours", "curl -T")),
        Row("50 ms, 200 Mbit/s, large file", "≥", 0.85, "of the link", part(on_large, clean)),
        Row("the same with tests over without", "≥", 0.9, "×", _ratios(on_clean["ours"], untested), 0.97),
        Row("the same, chunks that are stored", "≥", 300, "a second", tested, 550),
        Row("the same, 0.1 % loss, cubic", "≥", 0.5, "of the link", part(on_little, little), 0.7),
        Row("the same, 0.5 % loss, cubic, over 0.1.1", "≥", 4, "×", over(on_lossy, "ours", "0.1.1")),
        Row("the same, 0.5 % loss, cubic, over curl -T", "≥", 10, "×", over(on_lossy, "ours", "curl -T")),
        Row("the same, 0.5 % loss, bbr over cubic", "≥", None, "×", over(on_lossy, "ours, bbr", "ours")),
        Row("50 ms, 1 Gbit/s, over curl -T", "≥", 1.2, "×", over(on_fast, "ours", "curl -T")),
        Row("300 ms, 20 Mbit/s", "≥", 0.8, "of the link", part(on_satellite, satellite)),
    ]


def _ratios(first: list[float], second: list[float]) -> list[float]:
    return [one / other for one, other in zip(first, second, strict=True)]


def _turned(runs: tuple[tuple[str, int], ...], number: int) -> Iterable[tuple[str, int]]:
    return (*runs[number % len(runs) :], *runs[: number % len(runs)])
