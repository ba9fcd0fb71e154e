"""``resumable`` as a program of its own, forked by one warm process that all tests of this process share."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

from .warm import Warm, begin

__all__ = ["Program", "can_fork", "run_script", "start", "warm"]


@cache
def warm() -> Warm:
    """Return the warm process, which ends with this one."""
    process = Warm()
    process.__enter__()
    atexit.register(process.__exit__)
    return process


def can_fork(environment: Mapping[str, str]) -> bool:
    """Return whether a program may be forked here: coverage measures only one that begins from nothing."""
    return sys.platform == "linux" and not any(name.startswith("COVERAGE_") for name in environment)


def start(
    *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None
) -> Program | subprocess.Popen[str]:
    """Start ``python -m resumable``. If coverage is to measure it, or this is no Linux, it is not forked."""
    cwd, env = cwd or Path.cwd(), env or dict(os.environ)
    if can_fork(env):
        return Program(*arguments, cwd=cwd, env=env)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "resumable", *arguments],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_script(path: Path, *arguments: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program of Python to its end, and return what became of it. Warnings are errors, and the log is shown."""
    with open(os.devnull, "rb") as nothing, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(100)
            streams = [nothing.fileno(), out.fileno(), err.fileno()]
            begin(connection, warm().address, ["python3", str(path), *arguments], str(cwd), env, streams)
            code = int(connection.recv(100))
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess([str(path), *arguments], code, out.read().decode(), err.read().decode())


class Program:
    """``python -m resumable``; what it has in common with ``subprocess.Popen`` is the same there.

    Its output comes as text, unless all its streams are the terminal with this descriptor.
    """

    def __init__(self, *arguments: str, cwd: Path, env: dict[str, str], terminal: int | None = None) -> None:
        self.returncode: int | None = None
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if terminal is not None:
            self.pid = self._begin(arguments, cwd, env, [terminal] * 3, terminal=True)
            return
        (out, its_out), (err, its_err) = os.pipe(), os.pipe()
        self.stdout, self.stderr = os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8")
        with open(os.devnull, "rb") as nothing, open(its_out, "wb"), open(its_err, "wb"):
            self.pid = self._begin(arguments, cwd, env, [nothing.fileno(), its_out, its_err])

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *raised: object) -> None:
        self.stdout.close()
        self.stderr.close()
        self.wait()

    def _begin(
        self, arguments: Sequence[str], cwd: Path, env: dict[str, str], streams: list[int], *, terminal: bool = False
    ) -> int:
        command = ["-m", "resumable", *arguments]
        return begin(self._connection, warm().address, command, str(cwd), env, streams, terminal=terminal)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, once it has ended."""
        if self.returncode is None:
            self._connection.settimeout(timeout)
            self.returncode = int(self._connection.recv(100))
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit code if it has ended, and None before."""
        with suppress(BlockingIOError):
            self.wait(0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return the rest of its output, once it has ended."""
        with ThreadPoolExecutor(2) as readers, self.stdout, self.stderr:
            rest = [readers.submit(stream.read) for stream in (self.stdout, self.stderr)]
            out, err = (each.result(timeout) for each in rest)
            self.wait(timeout)
        return out, err
