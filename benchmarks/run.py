"""Measure this library beside resumable 0.1.1 and curl, on this machine, in one run.

Every figure is a ratio, or a difference, of runs that alternate: one of each contender a round, the ratio taken within
the round, the median of the rounds reported. So whatever else the machine does falls on both sides alike.

Needs Linux. The first run makes a virtual environment with the peer below ``build/``, for which pip needs an index.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from contest import MIB, ROOT, Contest, Row, Sample, ratios, serving, table
from long_link import crowded_link_rows, long_link_rows, small_pool_rows
from receiving import receiver_rows, storing

PEER = "resumable==0.1.1"
"""The peer, installed with the dependencies of this library, whose own code is taken from the checkout."""

GIGABIT = 10**9 // 8
"""Bytes a second of a line of 1 Gbit/s."""

MEASURES: dict[str, Callable[[Contest], list[Row]]] = {}


def measure(function: Callable[[Contest], list[Row]]) -> Callable[[Contest], list[Row]]:
    """Enter `function` in the list that the command line chooses from."""
    MEASURES[function.__name__] = function
    return function


@measure
def throughput(contest: Contest) -> list[Row]:
    """1 GiB in chunks of 1 MiB, 3 workers, no tests; also curl -T, and curl with a form for each chunk."""
    size = 1024 * MIB
    path = contest.file("large", size)
    arguments = (f"{contest.server.url}/up", path, "--chunks", size // MIB)
    contenders = contest.both(*arguments)
    if shutil.which("curl"):
        contenders["curl -T"] = contest.curl("--upload-file", path, f"{contest.server.url}/up")
        contenders["curl -F"] = contest.curl(
            "--parallel", "--parallel-max", 3, "--config", _forms(contest, size // MIB)
        )
    samples = contest.alternate(contenders, received=size)
    rows = [
        Row("throughput over 0.1.1, tests off", "≥", 3.0, "×", ratios(samples, "0.1.1", "ours", "seconds"), 5.0),
        Row("whole process over 0.1.1, wall", "≤", 0.38, "×", ratios(samples, "ours", "0.1.1", "wall"), 0.25),
    ]
    if "curl -T" in samples:
        rows += [
            Row("whole process over curl -T, wall", "≤", 1.75, "×", ratios(samples, "ours", "curl -T", "wall"), 1.15),
            Row("whole process over curl -Z -F, wall", "≤", 1.05, "×", ratios(samples, "ours", "curl -F", "wall"), 0.7),
        ]
    rows += [
        Row("processor time per chunk over 0.1.1", "≤", 0.40, "×", ratios(samples, "ours", "0.1.1", "cpu"), 0.25),
        Row("peak memory, 3 × 1 MiB", "≤", 38, "MiB", [sample.peak for sample in samples["ours"]], 35),
    ]
    return rows


def _forms(contest: Contest, chunks: int) -> Path:
    """A file that tells curl to send as many chunks, each as resumable.js does, and each from a file of its own."""
    forms = contest.material / "forms"
    with forms.open("w") as target:
        for number in range(1, chunks + 1):
            fields = {
                "resumableChunkNumber": number,
                "resumableChunkSize": MIB,
                "resumableCurrentChunkSize": MIB,
                "resumableTotalSize": chunks * MIB,
                "resumableType": "",
                "resumableIdentifier": f"{chunks * MIB}-large",
                "resumableFilename": "large",
                "resumableRelativePath": "large",
                "resumableTotalChunks": chunks,
            }
            if number > 1:
                target.write("next\nfail\n")
            target.write(f'url = "{contest.server.url}/up"\noutput = "/dev/null"\n')
            target.writelines(f'form-string = "{name}={value}"\n' for name, value in fields.items())
            target.write(f'form = "file=@{contest.file(f"chunk-{number}", MIB)}"\n')
    return forms


@measure
def tests(contest: Contest) -> list[Row]:
    """The same with a test before each chunk, answered 404."""
    size = 1024 * MIB
    arguments = (f"{contest.server.url}/up", contest.file("large", size), "--chunks", size // MIB, "--test-chunks")
    samples = contest.alternate(contest.both(*arguments), received=size)
    return [Row("throughput over 0.1.1, tests on", "≥", 2.5, "×", ratios(samples, "0.1.1", "ours", "seconds"), 4.5)]


@measure
def memory(contest: Contest) -> list[Row]:
    """Peak memory with chunks of 16 MiB."""
    size = 256 * MIB
    arguments = (f"{contest.server.url}/up", contest.file("medium", size), "--chunk-size", 16 * MIB, "--chunks", 16)
    samples = contest.alternate({"ours": contest.ours("upload.py", *arguments)}, received=size)
    return [Row("peak memory, 3 × 16 MiB", "≤", 45, "MiB", [sample.peak for sample in samples["ours"]], 36)]


@measure
def resume(contest: Contest) -> list[Row]:
    """10,240 chunks of 1 KiB that are all there: tests only."""
    path = contest.file("stored", 10 * MIB)
    arguments = (f"{contest.server.url}/have", path, "--chunk-size", 1024, "--chunks", 10 * 1024, "--test-chunks")
    before = contest.server.counters()
    samples = contest.alternate(contest.both(*arguments))
    if contest.server.counters()["post"] != before["post"]:
        raise SystemExit("a chunk was sent that is there")
    return [Row("tests a second over 0.1.1", "≥", 2.2, "×", ratios(samples, "0.1.1", "ours", "seconds"), 6)]


@measure
def files(contest: Contest) -> list[Row]:
    """10,000 files of 1 KiB, no tests; 256 open files are allowed to this library, and to 0.1.1 all that it wants."""
    count = 2000 if contest.quick else 10000
    directory = contest.material / "files"
    directory.mkdir()
    for number in range(count):
        (directory / f"{number:05}").write_bytes(os.urandom(1024))
    arguments = (f"{contest.server.url}/up", directory, "--chunks", count, "--open-files")
    samples = contest.alternate(
        {"ours": contest.ours("upload.py", *arguments, 256), "0.1.1": contest.theirs(*arguments, 65536)},
        received=count * 1024,
    )
    measure = f"{count:,} files of 1 KiB over 0.1.1, ulimit -n 256"
    return [Row(measure, "≥", 2.2, "×", ratios(samples, "0.1.1", "ours", "seconds"), 5)]


@measure
def tls(contest: Contest) -> list[Row]:
    """1 GiB in chunks of 1 MiB over TLS 1.3, the certificate verified."""
    size = 1024 * MIB
    authority, identity = contest.material / "authority.pem", contest.material / "identity.pem"
    make = (
        "import sys, trustme; ca = trustme.CA(); ca.cert_pem.write_to_path(sys.argv[1]);"
        "ca.issue_cert('127.0.0.1').private_key_and_cert_chain_pem.write_to_path(sys.argv[2])"
    )
    subprocess.run([str(contest.peer), "-c", make, str(authority), str(identity)], check=True)
    with serving("--tls", str(identity)) as server:
        path = contest.file("large", size)
        arguments = (f"{server.url}/up", path, "--chunks", size // MIB)
        trust = {"REQUESTS_CA_BUNDLE": str(authority)}
        contenders = contest.both(*arguments, **trust)
        if shutil.which("curl"):
            contenders["curl -T"] = contest.curl("--cacert", authority, "--upload-file", path, f"{server.url}/up")
        samples = contest.alternate(contenders)
    rows = [Row("TLS 1.3, throughput over 0.1.1", "≥", 1.8, "×", ratios(samples, "0.1.1", "ours", "seconds"), 2.5)]
    if "curl -T" in samples:
        rows.append(Row("TLS 1.3, wall over curl -T", "≤", 1.35, "×", ratios(samples, "ours", "curl -T", "wall"), 1.1))
    return rows


@measure
def checksums(contest: Contest) -> list[Row]:
    """256 MiB in chunks of 1 MiB, with their SHA-256 and without, to the discard server at 1 Gbit/s and without limit,
    and to ``resumable serve``.
    """
    count = 64 if contest.quick else 256
    path = contest.file(f"chunks-{count}", count * MIB)
    block = path.read_bytes()[:MIB]

    def upload(url: str, *flags: object) -> Callable[[], Sample]:
        return contest.ours("upload.py", url, path, "--chunks", count, "--uploads", 3, *flags)

    def stored(*flags: str) -> Sample:
        with storing("never", contest.material) as server:
            before = server.cpu()
            sample = upload(f"http://127.0.0.1:{server.port}/", *flags)()
            return replace(sample, performing=sample.cpu + server.cpu() - before)

    def hashed() -> Sample:
        began = time.process_time()
        for _ in range(count):
            hashlib.sha256(block).digest()
        return Sample(0.0, cpu=time.process_time() - began)

    flags = "--checksum", "sha256"
    sink = f"{contest.server.url}/up"
    thrown = contest.alternate({"none": upload(sink), "sha256": upload(sink, *flags), "hash": hashed})
    line = "--limit-rate", GIGABIT
    limited = contest.alternate({"none": upload(sink, *line), "sha256": upload(sink, *line, *flags)})
    kept = contest.alternate({"none": stored, "sha256": lambda: stored(*flags)})

    def more(samples: dict[str, list[Sample]], figure: str) -> list[float]:
        pairs = zip(samples["sha256"], samples["none"], strict=True)
        return [(getattr(one, figure) - getattr(other, figure)) * 1000 / count for one, other in pairs]

    return [
        Row("SHA-256 itself, processor", "≤", None, "ms/MiB", [sample.cpu * 1000 / count for sample in thrown["hash"]]),
        Row("checksum, processor more at the client", "≤", None, "ms/MiB", more(thrown, "cpu")),
        Row("checksum, processor more at both ends", "≤", None, "ms/MiB", more(kept, "performing")),
        Row(
            "checksum, throughput over none, 1 Gbit/s",
            "≥",
            0.85,
            "×",
            ratios(limited, "none", "sha256", "seconds"),
            0.98,
        ),
        Row(
            "checksum, throughput over none, discarded",
            "≥",
            None,
            "×",
            ratios(thrown, "none", "sha256", "seconds"),
            0.85,
        ),
        Row("checksum, throughput over none, stored", "≥", None, "×", ratios(kept, "none", "sha256", "seconds"), 0.85),
    ]


@measure
def bookkeeping(contest: Contest) -> list[Row]:
    """Processor time for a chunk when the network takes none, without that of making the request.

    What is left is leases, state, retries, progress and signals. How long that may take depends on the machine, so it
    is measured against a fixed piece of plain Python, which takes 60 µs on the machine of the first figures.
    """
    chunks = 10000
    samples = contest.alternate({"ours": contest.ours("bookkeeping.py", "chunks", "--chunks", chunks)})
    times = [(sample.cpu - sample.performing) / chunks for sample in samples["ours"]]
    shares = [time / sample.plain for time, sample in zip(times, samples["ours"], strict=True)]
    return [
        Row("own bookkeeping per chunk", "≤", None, "µs", [time * 1e6 for time in times]),
        Row("own bookkeeping over plain Python", "≤", 1.0, "×", shares, 0.42),
    ]


@measure
def growth(contest: Contest) -> list[Row]:
    """A file of 1,000,000 chunks beside files of 1,000 and of 10,000; the chunks are read, and go nowhere."""
    sizes = (1_000, 10_000, 100_000 if contest.quick else 1_000_000)
    contenders = {
        str(chunks): contest.ours("bookkeeping.py", f"{chunks}", "--chunks", chunks, "--reading") for chunks in sizes
    }
    contenders[str(sizes[0])]()
    samples = contest.alternate(contenders, rounds=min(contest.rounds, 2), warm=True)
    few, some, many = (samples[str(chunks)] for chunks in sizes)
    pairs = list(zip(few, some, many, strict=True))
    return [
        Row(
            f"memory growth, {sizes[0]:,} to {sizes[2]:,} chunks",
            "≤",
            16,
            "MiB",
            [last.peak - first.peak for first, _, last in pairs],
            2,
        ),
        Row(
            f"time per chunk, {sizes[2]:,} over {sizes[1]:,} chunks",
            "≤",
            1.10,
            "×",
            [(last.cpu / sizes[2]) / (middle.cpu / sizes[1]) for _, middle, last in pairs],
            1.05,
        ),
    ]


@measure
def start(contest: Contest) -> list[Row]:
    """Processor time of importing the library once its two dependencies are imported; the least of three a round."""
    samples = contest.alternate(
        {"ours": contest.ours("importing.py", "requests", "blinker", "resumable")}, rounds=3 * contest.rounds
    )
    times = [sample.seconds * 1000 for sample in samples["ours"]]
    return [
        Row(
            "import over requests and blinker",
            "≤",
            15,
            "ms",
            [min(times[i : i + 3]) for i in range(0, len(times), 3)],
            5,
        )
    ]


@measure
def receiver(contest: Contest) -> list[Row]:
    """What ``resumable serve`` takes, beside nginx."""
    return receiver_rows(contest)


@measure
def long_link(contest: Contest) -> list[Row]:
    """Links with a delay and a loss, in network namespaces of their own."""
    return long_link_rows(contest)


@measure
def crowded_link(contest: Contest) -> list[Row]:
    """Links, servers and neighbours that many uploads at once would be too much for."""
    return crowded_link_rows(contest)


@measure
def small_pools(contest: Contest) -> list[Row]:
    """The default beside 3 uploads at once, at servers of others with few workers behind a long link."""
    return small_pool_rows(contest)


def peer_interpreter() -> Path:
    """The interpreter of a virtual environment for both contenders; made when it is not there yet."""
    directory = ROOT / "build" / f"both-{sys.version_info.major}.{sys.version_info.minor}"
    python = directory / "bin" / "python"
    done = directory / "done"
    if not done.exists():
        same = [f"{name}=={metadata.version(name)}" for name in ("requests", "urllib3", "blinker")]
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PEER, "trustme", *same], check=True)
        done.touch()
    return python


@contextmanager
def material_directory(chosen: str | None) -> Iterator[Path]:
    """A directory for the files to send, in memory where there is room, removed afterwards."""
    shared = Path("/dev/shm")
    if chosen is None and shared.is_dir() and shutil.disk_usage(shared).free > 4096 * MIB:
        chosen = str(shared)
    with tempfile.TemporaryDirectory(prefix="resumable-", dir=chosen) as directory:
        yield Path(directory)


def main() -> int:
    """Measure, print the table, and return 1 when a figure is not what it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measures", nargs="*", metavar="measure", help=f"any of: {', '.join(MEASURES)}")
    parser.add_argument("--quick", action="store_true", help="less material: a look, not a verdict")
    parser.add_argument("--rounds", type=int, default=3, help="how many pairs (default 3)")
    parser.add_argument("--directory", help="where the files to send are made (default: memory, else the disk)")
    arguments = parser.parse_args()
    if unknown := set(arguments.measures) - set(MEASURES):
        parser.error(f"no measure {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    peer = peer_interpreter()
    rows: list[Row] = []
    with serving() as server, material_directory(arguments.directory) as material:
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        contest = Contest(arguments.rounds, arguments.quick, server, material, peer, environment)
        try:
            for name, function in MEASURES.items():
                if not arguments.measures or name in arguments.measures:
                    print(f"{name} ", end="", file=sys.stderr, flush=True)
                    rows += function(contest)
                    print(file=sys.stderr)
        finally:
            versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("requests", "urllib3", "blinker"))
            print(
                f"CPython {platform.python_version()}, {versions}, {os.cpu_count()} cores, {arguments.rounds} rounds\n"
            )
            print(table(rows))
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
