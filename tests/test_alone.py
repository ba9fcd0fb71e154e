"""Tests run beside each other, and those that are marked ``alone`` do not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = """
import pathlib
import threading

import pytest

HERE = pathlib.Path(__file__).parent


def note(line):
    with open(HERE / "log", "a") as log:
        log.write(line + "\\n")


@pytest.mark.alone
@pytest.mark.parametrize("number", [0, 1])
def test_alone(number):
    note(f"alone {number} begins")
    threading.Event().wait(0.3)  # long enough for the other one to begin, if it may
    note(f"alone {number} ends")


@pytest.mark.parametrize("number", [0, 1])
def test_beside(number):
    note(f"beside {number} begins")
    (HERE / str(number)).touch()
    while not (HERE / str(1 - number)).exists():
        threading.Event().wait(0.01)
    note(f"beside {number} ends")
"""


@pytest.mark.once
def test_tests_marked_alone_run_last_and_beside_no_other(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = alone\naddopts = --strict-markers\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist.plugin", "-n", "2"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    lines = (tmp_path / "log").read_text().splitlines()
    assert {line.split()[0] for line in lines[:4]} == {"beside"}
    assert [line.split()[2] for line in lines[:4]] == ["begins", "begins", "ends", "ends"]
    alone = [["alone 0 begins", "alone 0 ends"], ["alone 1 begins", "alone 1 ends"]]
    assert lines[4:] in (alone[0] + alone[1], alone[1] + alone[0])
