"""``resumable serve`` beside nginx with its DAV module, and a Flask sample, in one run: a measure of ``run.py``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contest import MIB, ROOT, Contest, Row
from servers import OURS, Running, running

__all__ = ["flask_environment", "receiver_rows", "storing"]

NGINX_PLACES = f"/usr/sbin:{os.environ.get('PATH', '')}"
NGINX_SETTINGS = """
user root; worker_processes 1; daemon off; pid {directory}/pid; error_log /dev/null;
events {{}}
http {{
    access_log off; client_max_body_size 0; client_body_temp_path {directory}/temporary;
    server {{ listen 127.0.0.1:{port}; root {uploads}; location / {{ dav_methods PUT; create_full_put_path on; }} }}
}}
"""
FLASK = ("flask==3.1.3", "gunicorn==27.0.1", "python-resumable==0.1.2")
FLASK_SAMPLE = """
import os
import threading

import flask
from python_resumable.uploader import UploaderFlask

application = flask.Flask(__name__)
parts, whole = os.environ["UPLOADS"] + "/parts", os.environ["UPLOADS"]
lock = threading.Lock()  # two requests at once make the same directory, or put the same file together, and one fails


@application.get("/")
def test():
    return "", 404


@application.post("/")
def upload():
    os.makedirs(parts, exist_ok=True)
    with lock:
        uploader = UploaderFlask(flask.request.form, whole, parts, flask.request.files["file"])
    uploader.upload_chunk()
    with lock:
        if os.path.isdir(uploader.chunk.chunk_path) and uploader.check_status():
            uploader.assemble_chunks()
            uploader.cleanup()
    return "stored"
"""
GUNICORN = (
    *("-m", "gunicorn", "--worker-class", "gthread", "--threads", "32", "--workers", "1"),
    *("--bind", "127.0.0.1:{port}", "--log-level", "error", "flask_sample:application"),
)


@dataclass(frozen=True)
class Load:
    """What one run takes: CPU milliseconds of the server per MiB and per request, and requests a second."""

    per_mib: float
    per_request: float
    rate: float


def receiver_rows(contest: Contest) -> list[Row]:
    """Chunks of 1 MiB over 3 connections, files of 1 KiB, and 64 slow clients; nginx stores what it is sent."""
    nginx = shutil.which("nginx", path=NGINX_PLACES)
    count, files, slow = (256, 1000, 64) if contest.quick else (1024, 10_000, 128)
    runs: dict[str, Callable[[], Load]] = {
        "forms": lambda: _load("never", contest.material, "forms", 3, count, MIB),
        "octets": lambda: _load("never", contest.material, "chunks", 3, count, MIB),
        "finish": lambda: _load("finish", _disk(), "forms", 3, count, MIB),
        "files": lambda: _load("never", contest.material, "files", 3, files, 1024),
        "slow": lambda: _load("never", contest.material, "slow", 64, slow, MIB),
        "flask": lambda: _load("flask", contest.material, "forms", 3, count, MIB),
    }
    if nginx:
        runs |= {
            "nginx": lambda: _load(nginx, contest.material, "puts", 3, count, MIB),
            "nginx and fsync": lambda: _load(nginx, _disk(), "puts", 3, count, MIB, synced=True),
            "nginx files": lambda: _load(nginx, contest.material, "puts", 3, files, 1024),
        }
    loads: dict[str, list[Load]] = {name: [] for name in runs}
    for number in range(contest.rounds):
        names = list(runs)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            loads[name].append(runs[name]())
        print(".", end="", file=sys.stderr, flush=True)

    def ratio(first: str, second: str) -> list[float]:
        return [one.rate / other.rate for one, other in zip(loads[first], loads[second], strict=True)]

    def each(name: str, figure: str) -> list[float]:
        return [getattr(load, figure) for load in loads[name]]

    rows = [
        Row("receiver, forms of 1 MiB, processor", "≤", 1.5, "ms/MiB", each("forms", "per_mib")),
        Row("receiver, bodies of 1 MiB, processor", "≤", 1.5, "ms/MiB", each("octets", "per_mib")),
        Row("receiver, files of 1 KiB, processor", "≤", None, "ms", each("files", "per_request")),
        Row("receiver, 64 slow clients, processor", "≤", None, "ms/MiB", each("slow", "per_mib")),
        Row("Flask sample, forms of 1 MiB, processor", "≤", None, "ms/MiB", each("flask", "per_mib")),
        Row("receiver over Flask sample, forms of 1 MiB", "≥", None, "×", ratio("forms", "flask")),
    ]
    if nginx:
        rows += [
            Row("nginx, PUT of 1 MiB, processor", "≤", None, "ms/MiB", each("nginx", "per_mib")),
            Row("receiver over nginx, forms of 1 MiB", "≥", 0.9, "×", ratio("forms", "nginx")),
            Row("receiver over nginx, fsync at the end", "≥", 0.9, "×", ratio("finish", "nginx and fsync")),
            Row("receiver over nginx, files of 1 KiB", "≥", None, "×", ratio("files", "nginx files")),
        ]
    return rows


def _load(
    how: str, directory: Path, kind: str, connections: int, count: int, size: int, *, synced: bool = False
) -> Load:
    """One run against ``resumable serve`` with `how` it calls fsync, the nginx at that path, or the sample in Flask.

    `synced` counts what it takes to put the stored files on the disk, too.
    """
    with storing(how, directory) as server:
        began, before = time.perf_counter(), server.cpu()
        seconds = server.load(kind, connections, count, size, keep=True)["seconds"]
        if synced:
            left = time.perf_counter()
            for path in server.uploads.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            seconds += time.perf_counter() - left
        cpu = (server.cpu() - before) * 1000
        assert time.perf_counter() - began >= seconds
        return Load(cpu / count / size * MIB, cpu / count, count / seconds)


@contextmanager
def storing(how: str, directory: Path) -> Iterator[Running]:
    """A server that keeps what it is sent, below this directory; `how` as above."""
    with tempfile.TemporaryDirectory(dir=directory) as below:
        material = Path(below)
        if os.path.isabs(how):
            settings = material / "settings"
            commands: dict[str, tuple[str, ...]] = {"nginx": (how, "-c", str(settings))}

            def prepare(port: int, uploads: Path) -> None:
                settings.write_text(NGINX_SETTINGS.format(directory=material, port=port, uploads=uploads))

            with running("nginx", Path(how), material, commands, prepare) as server:
                yield server
        elif how == "flask":
            (material / "flask_sample.py").write_text(FLASK_SAMPLE)
            with running("flask", flask_environment(), material, {"flask": GUNICORN}) as server:
                yield server
        else:
            commands = {"Server": (*OURS[:-1], how)}
            with running("Server", Path(sys.executable), material, commands) as server:
                yield server


def flask_environment() -> Path:
    """The interpreter of a virtual environment with gunicorn and python-resumable; made when it is not there yet."""
    directory = _disk() / f"flask-{sys.version_info.major}.{sys.version_info.minor}"
    python, done = directory / "bin" / "python", directory / "done"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *FLASK], check=True)
        done.touch()
    return python


def _disk() -> Path:
    """A directory that is not in memory."""
    directory = ROOT / "build"
    directory.mkdir(exist_ok=True)
    return directory
