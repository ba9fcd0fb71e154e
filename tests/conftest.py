"""What every test may use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from resumable.receiver import Server

# Other programs share the machine: how long one example takes says nothing.
settings.register_profile("resumable", deadline=None, print_blob=True)
settings.load_profile("resumable")

# A shell has what it runs in the background ignore Ctrl-C, and so would every program that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Handlers that raise are logged and nothing else, so the log has to be seen.
WITH_LOG = (
    "import logging, runpy, sys; logging.basicConfig(); sys.argv.pop(0); runpy.run_path(sys.argv[0], {}, '__main__')"
)


@pytest.fixture
def received(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory into which the receiver of this test puts what has arrived."""
    return tmp_path_factory.mktemp("received")


@pytest.fixture
def receiver_url(received: Path) -> Iterator[str]:
    """The URL of a real receiver on a free port of this machine, which is there for this test alone."""
    with Server(received) as server:
        yield server.url


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``run(program, *arguments, **environment)`` runs a program of Python to its end, in ``tmp_path``."""

    def run(program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", WITH_LOG, str(program), *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
            capture_output=True,
            encoding="utf-8",
            timeout=100,
        )

    return run
