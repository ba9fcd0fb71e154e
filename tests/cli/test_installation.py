"""Installed from what is built, into fresh virtual environments of this Python: with the extras, and without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from support.command import ROOT, tree
from support.sizes import FULL_SIZE

from resumable.receiver import Server

pytestmark = [pytest.mark.timeout(600), pytest.mark.once, pytest.mark.slow]

KINDS = ("wheel", "sdist") if FULL_SIZE else ("wheel",)
"""What is installed. The source distribution is built into the same wheel, see test_packaging.py."""


def call(*arguments: str | Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """What a program says, away from the project's own folder."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run([*map(str, arguments)], cwd=cwd, env=inherited, capture_output=True, text=True, timeout=500)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What is installed of KINDS, built of a copy so that the project's folder stays clean."""
    out = tmp_path_factory.mktemp("built")
    ignored = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "_build")
    tree = shutil.copytree(ROOT, out / "tree", ignore=ignored)
    for kind in KINDS:
        (out / kind).mkdir()
        code = f"from setuptools import build_meta; build_meta.build_{kind}({str(out / kind)!r})"
        call(sys.executable, "-c", code, cwd=tree)
    return {path.parent.name: path for path in out.glob("*/resumable-*")}


def environment(where: Path, *requirements: str) -> Path:
    """The programs of a fresh virtual environment into which this is installed."""
    venv.create(where, with_pip=False)
    programs = where / ("Scripts" if sys.platform == "win32" else "bin")
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        programs / "python",
    ]
    call(*pip, "install", "--quiet", "--no-compile", *requirements, cwd=where)
    return programs


def test_the_library_alone_works_and_the_command_says_what_to_install(built: dict[str, Path], tmp_path: Path) -> None:
    programs = environment(tmp_path / "alone", str(built["wheel"]))
    absent = "import importlib.util as u; print([n for n in ('click', 'rich', 'cheroot') if u.find_spec(n)])"
    assert call(programs / "python", "-c", absent, cwd=tmp_path).stdout == "[]\n"
    used = "import resumable; resumable.Resumable('http://127.0.0.1:9/').close()"
    call(programs / "python", "-c", used, cwd=tmp_path)
    assert call(programs / "resumable", "--version", cwd=tmp_path).stdout.startswith("resumable ")
    for command in ([programs / "resumable"], [programs / "python", "-m", "resumable", "upload", "a.bin"]):
        ran = call(*command, cwd=tmp_path, code=2)
        assert ran.stdout == ""
        assert ran.stderr == (
            "the command resumable needs the package 'click'; install it with: pip install 'resumable[cli]'\n"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_with_its_extra_the_command_uploads(
    kind: str, built: dict[str, Path], tmp_path: Path, server: Server, received: Path
) -> None:
    programs = environment(tmp_path / kind, f"resumable[cli] @ {built[kind].as_uri()}")
    (tmp_path / "a.bin").write_bytes(b"a" * 5000)
    ran = call(programs / "resumable", "upload", "a.bin", server.url, cwd=tmp_path)
    assert ran.stderr.startswith("done: 1 file uploaded in")
    assert tree(received) == {"a.bin": b"a" * 5000}
    missing = call(programs / "resumable", "serve", "incoming", cwd=tmp_path, code=2)
    assert "install it with: pip install 'resumable[server]'" in missing.stderr
