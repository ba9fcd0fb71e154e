"""The receiver under several WSGI servers, side by side: `python benchmarks/servers.py`.

Every server but *2 processes* is one process, with a supervisor where it has one, and has 32 threads where it has such
a number. All run the same application on a directory in memory, and the rounds alternate. *Server* is the one of
``resumable.receiver``, *cheroot* is cheroot without it. Linux, 4 GiB of memory and pip with an index are needed. The
first run makes a virtual environment with the servers below ``build/``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from load import head, read_answer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MIB = 1024 * 1024
THREADS = "32"
TICKS = os.sysconf("SC_CLK_TCK")
NEEDED = ("cheroot", "multipart", "requests", "blinker", "click", "rich")
PEERS = ("cheroot", "waitress", "granian", "gunicorn")
LONGEST = 45.0
"""Seconds for which a slow client is watched."""

APPLICATION = """
import os
from resumable.receiver import Application, FileStore, Receiver
application = Application(Receiver(FileStore(os.environ["UPLOADS"], fsync="never")))
"""
CHEROOT = """
import sys
from application import application
from cheroot.wsgi import Server
server = Server(("127.0.0.1", int(sys.argv[1])), application, numthreads=int(sys.argv[2]))
server.keep_alive_conn_limit, server.request_queue_size = None, 128
server.start()
"""
OURS = ("-m", "resumable", "serve", "--quiet", "{uploads}", "--port", "{port}", "--fsync", "never")
COMMANDS: dict[str, tuple[str, ...]] = {
    "Server": OURS,
    "2 processes": (*OURS, "--processes", "2"),
    "cheroot": ("-c", CHEROOT, "{port}", THREADS),
    "waitress": ("-m", "waitress", f"--threads={THREADS}", "--listen=127.0.0.1:{port}", "application:application"),
    "granian": (
        *("-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
        *("--blocking-threads", THREADS, "--no-ws", "--log-level", "error", "application:application"),
    ),
    "gunicorn": (
        *("-m", "gunicorn", "--worker-class", "gthread", "--threads", THREADS, "--workers", "1"),
        *("--bind", "127.0.0.1:{port}", "--log-level", "error", "application:application"),
    ),
}


@dataclass
class Running:
    """A server that answers, and where it keeps uploads."""

    name: str
    pid: int
    port: int
    uploads: Path

    def family(self) -> list[int]:
        """The process and all below it."""
        pids = [self.pid]
        for pid in pids:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                pids += map(int, children.read_text().split())
        return pids

    def cpu(self) -> float:
        """Seconds of processor time that all of it has used."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.family()]
        return sum(int(stat[11]) + int(stat[12]) for stat in stats) / TICKS

    def peak(self) -> float:
        """The most memory, in MiB, that the largest process of it had resident."""
        lines = [line for pid in self.family() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
        return max(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=LONGEST)

    def load(self, kind: str, connections: int, count: int, size: int, *, keep: bool = False) -> dict[str, float]:
        """What ``load.py`` says, and `cpu`, the seconds of processor time that the server used.

        What was stored is removed afterwards, unless it is to `keep` it."""
        identifier = f"{kind}-{time.monotonic_ns()}"
        command = [sys.executable, str(HERE / "load.py"), str(self.port), kind, str(connections), str(count), str(size)]
        before = self.cpu()
        done = subprocess.run([*command, identifier], stdout=subprocess.PIPE, check=False)
        if done.returncode:
            raise SystemExit(f"exit status {done.returncode} of {' '.join(command)} against {self.name}")
        cpu = self.cpu() - before
        if not keep:
            shutil.rmtree(self.uploads)
            self.uploads.mkdir()
        return {**json.loads(done.stdout), "cpu": cpu}


@contextmanager
def running(
    name: str,
    python: Path,
    material: Path,
    commands: Mapping[str, tuple[str, ...]] = COMMANDS,
    prepare: Callable[[int, Path], None] | None = None,
) -> Iterator[Running]:
    """Start a server, after `prepare` with its port and its directory; it ends with the block."""
    uploads = Path(tempfile.mkdtemp(dir=material))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    if prepare is not None:
        prepare(port, uploads)
    words = [part.format(port=port, uploads=uploads) for part in commands[name]]
    command = words if os.path.isabs(words[0]) else [str(python), *words]
    environment = {**os.environ, "UPLOADS": str(uploads), "PYTHONPATH": f"{ROOT}:{material}", "TMPDIR": str(material)}
    with subprocess.Popen(
        command, env=environment, cwd=material, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        server = Running(name, process.pid, port, uploads)
        deadline = time.monotonic() + 30
        while True:
            try:
                with server.connect() as sock:
                    sock.sendall(head("GET", 1, 1, 1, "started"))
                    read_answer(sock)
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        try:
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            shutil.rmtree(uploads)


@dataclass
class Figures:
    """What is measured of one server, one number a round."""

    rates: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    requests: int = 0
    reconnects: float = 0
    peak: float = 0.0
    large: float = 0.0
    streams: str = ""
    cuts: dict[str, str] = field(default_factory=dict)


def measure_rates(names: list[str], python: Path, material: Path, rounds: int, figures: dict[str, Figures]) -> None:
    """Chunks of 1 MiB and tests, over 3 and 16 connections. A round before the first warms everything."""
    measures = [("chunks", 3, 384), ("chunks", 16, 384), ("tests", 3, 3000), ("tests", 16, 3000)]
    for number in range(-1, rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            with running(name, python, material) as server:
                for kind, connections, count in measures if number >= 0 else measures[::2]:
                    said = server.load(kind, connections, count, MIB)
                    if number >= 0:
                        key = f"{kind} {connections}"
                        figures[name].rates.setdefault(key, []).append(count / said["seconds"])
                        figures[name].cpu.setdefault(key, []).append(said["cpu"] / count * 1e6)
                        figures[name].requests += count
                        figures[name].reconnects += said["reconnects"]
                        figures[name].peak = max(figures[name].peak, server.peak())
        print(".", end="", file=sys.stderr, flush=True)


def measure_large(name: str, python: Path, material: Path) -> tuple[float, str]:
    """The peak memory with 16 bodies of 64 MiB at once, and whether half a body reaches the store."""
    with running(name, python, material) as server:
        with server.connect() as sock:
            sock.sendall(head("POST", 1, 1, 64 * MIB, "half", 64 * MIB))
            sock.sendall(bytes(32 * MIB))
            deadline = time.monotonic() + 3
            while stored_bytes(server.uploads) < MIB and time.monotonic() < deadline:
                time.sleep(0.05)
            spooled = "to a file" if spools(server) else "in memory"
            streams = "yes" if stored_bytes(server.uploads) >= MIB else f"no, {spooled}"
        server.load("chunks", 16, 16, 64 * MIB)
        return server.peak(), streams


def lost(figures: Figures) -> float:
    """How many connections a server closed in 1,000 requests."""
    return figures.reconnects / figures.requests * 1000


def stored_bytes(directory: Path) -> int:
    """Bytes in all files below, without the holes in them."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def spools(server: Running) -> bool:
    """Whether it has a file open that is deleted and large."""
    for pid in server.family():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if os.readlink(link).endswith("(deleted)") and link.stat().st_size > MIB:
                    return True
            except OSError:
                continue
    return False


def measure_cuts(name: str, python: Path, material: Path) -> dict[str, str]:
    """After how many seconds slow clients are cut, and what is said to requests that are wrong."""
    half = head("GET", 1, 1, MIB, "slow").removesuffix(b"\r\n\r\n")
    short = head("POST", 1, 1, 5, "lengths", 5)
    cuts: dict[str, str] = {}

    def control(what: str, first: bytes, drip: bool, server: Running) -> None:
        began = time.monotonic()
        with server.connect() as sock:
            sock.sendall(first)
            if what == "idle":
                read_answer(sock)
            sock.settimeout(1)
            while time.monotonic() - began < LONGEST:
                try:
                    sock.recv(4096)
                    break
                except TimeoutError:
                    if drip:
                        sock.sendall(b"x")
                except OSError:
                    break
            seconds = time.monotonic() - began
            cuts[what] = f"{seconds:.0f} s" if seconds < LONGEST else "no"

    def say(what: str, request: bytes, server: Running) -> None:
        with server.connect() as sock:
            try:
                sock.sendall(request)
                cuts[what] = str(read_answer(sock)[0])
            except OSError:
                cuts[what] = "closed"

    with running(name, python, material) as server:
        say("header of 300 KB", half + b"\r\nX: " + bytes(300_000).replace(b"\0", b"x") + b"\r\n\r\n", server)
        say("1,000 fields", half + b"".join(b"\r\nX-%d: 1" % number for number in range(1000)) + b"\r\n\r\n", server)
        say("two lengths", short.replace(b"Content-Length", b"Content-Length: 4\r\nContent-Length") + b"hello", server)
        cases = [
            ("half a header", half, False),
            ("header, 1 B/s", half, True),
            ("half a body", head("POST", 1, 1, MIB, "half", MIB), False),
            ("body, 1 B/s", head("POST", 1, 1, MIB, "drip", MIB), True),
            ("idle", head("GET", 1, 1, MIB, "idle"), False),
        ]
        threads = [threading.Thread(target=control, args=(*case, server)) for case in cases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return cuts


def interpreter() -> Path:
    """The interpreter of a virtual environment with all servers; made when it is not there yet."""
    directory = ROOT / "build" / f"servers-{sys.version_info.major}.{sys.version_info.minor}"
    python = directory / "bin" / "python"
    done = directory / "done"
    if not done.exists():
        same = [f"{name}=={metadata.version(name)}" for name in NEEDED]
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *same, *PEERS[1:]], check=True)
        done.touch()
    return python


def table(names: list[str], lines: list[tuple[str, Callable[[str], str]]]) -> str:
    """One column a server, in reStructuredText."""
    cells = [("", *names), *((title, *(text(name) for name in names)) for title, text in lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names) + 1)]
    rule = "  ".join("=" * width for width in widths)
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([rule, "\\" + texts[0][1:], rule, *texts[1:], rule])


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", help=f"any of: {', '.join(COMMANDS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-cuts", action="store_true", help="leave out the slow clients, which take a minute")
    arguments = parser.parse_args()
    names = arguments.servers or list(COMMANDS)
    python = interpreter()
    figures = {name: Figures() for name in names}
    with tempfile.TemporaryDirectory(prefix="resumable-", dir="/dev/shm") as directory:
        material = Path(directory)
        (material / "application.py").write_text(APPLICATION)
        measure_rates(names, python, material, arguments.rounds, figures)
        for name in names:
            figures[name].large, figures[name].streams = measure_large(name, python, material)

        def cuts(name: str) -> None:
            figures[name].cuts = measure_cuts(name, python, material)

        if not arguments.no_cuts:
            threads = [threading.Thread(target=cuts, args=(name,)) for name in names]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    print(file=sys.stderr)
    query = "import sys, importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    command = [str(python), "-c", query, *PEERS]
    versions = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    print(f"{versions}, CPython {sys.version.split()[0]}, {os.cpu_count()} cores, {arguments.rounds} rounds\n")

    def median(kind: str, key: str) -> Callable[[str], str]:
        return lambda name: f"{statistics.median(getattr(figures[name], kind)[key]):,.0f}"

    lines: list[tuple[str, Callable[[str], str]]] = []
    for key, title in (("chunks", "MiB/s, 1 MiB chunks"), ("tests", "tests a second")):
        lines += [(f"{title}, {number} connections", median("rates", f"{key} {number}")) for number in (3, 16)]
    for key, title in (("chunks", "µs of processor for a chunk"), ("tests", "µs of processor for a test")):
        lines += [(f"{title}, {number}", median("cpu", f"{key} {number}")) for number in (3, 16)]
    lines += [
        ("connections lost, of 1,000 requests", lambda name: f"{lost(figures[name]):.0f}"),
        ("peak memory of that, MiB", lambda name: f"{figures[name].peak:.0f}"),
        ("peak memory, 16 bodies of 64 MiB", lambda name: f"{figures[name].large:.0f}"),
        ("bodies reach the store while they come", lambda name: figures[name].streams),
    ]
    for what in figures[names[0]].cuts:
        lines.append((what, lambda name, what=what: figures[name].cuts[what]))  # type: ignore[misc]
    print(table(names, lines))


if __name__ == "__main__":
    main()
