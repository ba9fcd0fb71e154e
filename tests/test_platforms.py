"""What works on systems that lack a module or a function of this one.

Each program runs in an interpreter of its own, from which these are taken before the package is imported.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HIDE = """\
import os, sys

def hide(modules, functions):
    for name in functions:
        if hasattr(os, name):
            delattr(os, name)
    for name in modules:
        sys.modules.pop(name, None)
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name in modules:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    sys.meta_path.insert(0, Finder())

"""
WINDOWS_LACKS = ("fcntl", "grp", "pwd", "resource", "termios", "tty"), (
    "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "fork", "geteuid", "getuid", "killpg", "posix_fadvise",
    "posix_fallocate", "pread", "preadv", "pwrite", "pwritev", "register_at_fork", "sendfile", "statvfs",
)  # fmt: skip
"""The modules and the functions of ``os`` that Windows does not have and this package, or requests, might use."""


def run(code: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the code in another interpreter, with ``hide`` and its arguments in ``sys.argv``."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", HIDE + code, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "video.mp4"
    path.write_bytes(bytes(range(256)) * 20_000)
    return path


@pytest.mark.parametrize(
    ("modules", "functions"),
    [((), ("preadv",)), (("fcntl",), ()), WINDOWS_LACKS],
    ids=["preadv", "fcntl", "all that Windows lacks"],
)
def test_the_client_uploads_without(
    modules: tuple[str, ...], functions: tuple[str, ...], video: Path, receiver_url: str, received: Path, tmp_path: Path
) -> None:
    code = f"hide({modules!r}, {functions!r}); import resumable; resumable.upload(sys.argv[1], sys.argv[2])"
    ran = run(code, video, receiver_url, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (received / "video.mp4").read_bytes() == video.read_bytes()


@pytest.mark.parametrize("functions", [("posix_fadvise",), ("preadv", "posix_fadvise", "sendfile")], ids=" ".join)
def test_the_receiver_stores_without(functions: tuple[str, ...], video: Path, tmp_path: Path) -> None:
    code = (
        f"hide((), {functions!r})\n"
        "import resumable\n"
        "from resumable.receiver import Server\n"
        "with Server('incoming') as server:\n"
        "    resumable.upload(sys.argv[1], server.url, chunk_size=4 * 2**20)\n"
    )
    ran = run(code, video, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "incoming" / "video.mp4").read_bytes() == video.read_bytes()


def test_importing_the_receiver_without_fcntl_is_an_error_that_says_what_it_needs(tmp_path: Path) -> None:
    code = (
        "hide(('fcntl',), ())\n"
        "try:\n"
        "    import resumable.receiver\n"
        "except ImportError as error:\n"
        "    print(type(error).__name__, error.name, error.__cause__, error.__suppress_context__)\n"
        "    print(error)\n"
    )
    kind, said = run(code, cwd=tmp_path).stdout.splitlines()
    assert kind == "ImportError fcntl None True"
    assert "POSIX" in said


@pytest.mark.parametrize("command", [["serve", "incoming"], ["demo"]], ids=" ".join)
def test_a_command_that_needs_the_receiver_says_why_it_cannot_run(command: list[str], tmp_path: Path) -> None:
    code = f"hide(('fcntl',), ()); from resumable.cli import main; sys.exit(main({command!r}))"
    ran = run(code, cwd=tmp_path)
    assert ran.returncode == 2
    assert "POSIX" in ran.stderr
    assert "pip install" not in ran.stderr
    assert "Traceback" not in ran.stderr
