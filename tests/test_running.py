"""How tests run: beside each other or not, with what failed written down, and with coverage, which has a gate."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent

SAMPLE = """
import pathlib
import threading

import pytest

HERE = pathlib.Path(__file__).parent


def note(line):
    with open(HERE / "log", "a") as log:
        log.write(line + "\\n")


@pytest.mark.timed
@pytest.mark.parametrize("number", range(5))
def test_timed(number):
    note(f"timed {number} begins")
    threading.Event().wait(0.2)  # long enough for others to begin, if they may
    note(f"timed {number} ends")


@pytest.mark.parametrize("number", range(3))
def test_beside(number):
    note(f"beside {number} begins")
    while (HERE / "log").read_text().count("beside") < 3:
        threading.Event().wait(0.01)
    note(f"beside {number} ends")
"""
FAILING = """
import pytest


@pytest.mark.parametrize("it", ["a b", "c"])
def test_failing(it):
    assert it == "c"
"""
SLOW = """
import pytest


@pytest.mark.slow
def test_slow():
    assert False


def test_quick():
    pass
"""
WITHOUT_HYPOTHESIS = "class settings:\n    register_profile = load_profile = staticmethod(lambda *_, **__: None)\n"
"""Loading it would take most of the time."""


def environment() -> dict[str, str]:
    """The environment for a run within this one, without the plugins that are installed here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "PYTEST_"))}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def run(folder: Path, *arguments: str) -> int:
    """Run the tests of a folder with the settings of these tests, and return the exit code."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "hypothesis.py").write_text(WITHOUT_HYPOTHESIS)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = timed\n  slow\n  unmeasured\naddopts = --strict-markers\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist.plugin", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL).returncode


@pytest.mark.slow
def test_timed_tests_run_last_and_beside_one_of_their_kind_and_what_failed_is_written_down(tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    (tmp_path / "test_failing.py").write_text(FAILING)
    written = tmp_path / "build" / "failures.json"
    assert run(tmp_path, "-n", "3", f"--failures={written}") == pytest.ExitCode.TESTS_FAILED
    lines = (tmp_path / "log").read_text().splitlines()
    assert {line.split()[0] for line in lines[:6]} == {"beside"}
    assert [line.split()[2] for line in lines[:6]] == ["begins"] * 3 + ["ends"] * 3
    running = 0
    for line in lines[6:]:
        kind, _, what = line.split()
        running += 1 if what == "begins" else -1
        assert kind == "timed"
        assert running <= 2
    assert len(lines) == 16
    assert list(json.loads(written.read_text())) == ["test_failing.py::test_failing[a b]"]


def test_nothing_is_written_down_of_a_run_that_was_broken_off(tmp_path: Path) -> None:
    (tmp_path / "test_failing.py").write_text(FAILING)
    written = tmp_path / "failures.json"
    assert run(tmp_path, "-n", "0", "-x", f"--failures={written}") == pytest.ExitCode.TESTS_FAILED
    assert not written.exists()


@pytest.mark.slow
def test_slow_tests_run_if_they_are_asked_for_or_named(tmp_path: Path) -> None:
    (tmp_path / "test_slow.py").write_text(SLOW)
    assert run(tmp_path, "-n", "0") == pytest.ExitCode.OK
    assert run(tmp_path, "-n", "0", "--slow") == pytest.ExitCode.TESTS_FAILED
    assert run(tmp_path, "-n", "1", "test_slow.py") == pytest.ExitCode.TESTS_FAILED  # a worker has to be told


CORE = """
def half(number):
    if number % 2:
        raise ValueError("it is odd")
    return number // 2
"""
THIRD = """

def third(number):
    return number // 3
"""
TESTS = """
import subprocess
import sys

import pytest

from resumable.core import half, third


@pytest.mark.slow
def test_half():
    assert half(4) == 2


@pytest.mark.unmeasured
def test_third():
    assert third(9) == 3


@pytest.mark.programs
def test_odd():
    program = "from resumable.core import half; half(3)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 1
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_gate_counts_what_programs_run_and_fails_for_a_line_of_the_core_that_nothing_runs(tmp_path: Path) -> None:
    """A test that coverage leaves alone counts as nothing, a slow one as every other."""
    for path in ("Makefile", "setup.cfg", "tests/conftest.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    core = tmp_path / "resumable" / "core" / "__init__.py"
    for name, content in {
        "hypothesis": WITHOUT_HYPOTHESIS,
        "resumable/__init__": "HookError = Resumable = None\n",
        "resumable/core/__init__": CORE + THIRD,
        "resumable/protocol/__init__": "",
    }.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(content)
    (tmp_path / "tests" / "test_core.py").write_text(TESTS)

    def make(*targets: str) -> subprocess.CompletedProcess[str]:
        arguments = "-p xdist.plugin -p pytest_timeout"
        command = ["make", *targets, "-o", f"{sys.prefix}/test", f"VENV={sys.prefix}", "WORKERS=1", f"ARGS={arguments}"]
        return subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)

    untested = make("erased", "measured", "gates")
    assert untested.returncode != 0
    assert re.search(r"^resumable/core/__init__\.py .* 9$", untested.stdout, re.MULTILINE), untested.stdout
    # What was measured, once more, of a core without that line.
    (tmp_path / ".coverage").rename(tmp_path / ".coverage.again")
    core.write_text(CORE)
    tested = make("gates")
    assert tested.returncode == 0, tested.stdout
