"""What the tests of the command line share: the command in this process, in one of its own, and servers to call."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import program
from support.command import ROOT, Ran, Run
from support.program import Program

from resumable.cli import main
from resumable.receiver import FileStore, Receiver, Server


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the test, where nothing of this machine's settings is seen."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in list(os.environ):
        ours = name.startswith("RESUMABLE_") or name.lower().endswith("_proxy")
        if ours or name.startswith("XDG_") or name in ("NETRC", "NO_COLOR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name)
    return work


@pytest.fixture
def work(alone: Path) -> Path:
    return alone


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run(*arguments)`` runs the command in this process; ``stdin`` are the bytes that are piped in."""

    def run(*arguments: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        code = main(arguments)
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def start(work: Path) -> Iterator[Callable[..., Program | subprocess.Popen[str]]]:
    """``start(*arguments)`` starts the command in a process of its own, which does not outlive the test."""
    with ExitStack() as started:

        def begin(*arguments: str, **environment: str) -> Program | subprocess.Popen[str]:
            process = program.start(*arguments, cwd=work, env={**os.environ, "PYTHONPATH": str(ROOT), **environment})
            started.enter_context(process)
            started.callback(process.kill)
            return process

        yield begin


@pytest.fixture
def signalled() -> Iterator[Callable[[int, Callable[[], object]], None]]:
    """``signalled(number, happened)`` sends this process the signal once ``happened()`` has returned, meanwhile."""
    threads: list[threading.Thread] = []

    def signalled(number: int, happened: Callable[[], object]) -> None:
        def wait_and_send() -> None:
            happened()
            os.kill(os.getpid(), number)

        threads.append(threading.Thread(target=wait_and_send))
        threads[-1].start()

    yield signalled
    for thread in threads:
        thread.join()


@pytest.fixture
def server(received: Path) -> Iterator[Server]:
    """A receiver of this test alone."""
    with Server(Receiver(FileStore(received, fsync="never"))) as server:
        yield server


@pytest.fixture
def make(work: Path) -> Callable[..., Path]:
    """``make(name, size)`` makes a file with bytes that nobody guesses."""

    def make(name: str = "a.bin", size: int = 1000) -> Path:
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        return path

    return make
