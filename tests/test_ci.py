"""The steps of ``.ci/run``: each ends, with all that it started, and whatever fails is told."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FILE = ROOT / ".ci" / "steps.py"
FOUND = {"3.11": "python3", "3.10": "python3.10", "3.14t": "python3.14t"}

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the source distribution has no .ci")


@pytest.fixture(scope="module")
def ci() -> ModuleType:
    specification = importlib.util.spec_from_file_location("steps", FILE)
    assert specification is not None
    assert specification.loader is not None
    module = sys.modules["steps"] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_step_is_told_with_its_time_and_its_tests(
    ci: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = ci.Step("good", program("print('2 passed, 1 skipped in 3.21s (0:00:03)')"))
    bad = ci.Step("bad", program("import sys; print('said'); sys.exit(3)"), after=["good"])
    first, second = ci.Run([bad, good], tmp_path).go()
    assert re.fullmatch(r"ok +\d+ s +\d+ s  good  \(2 passed, 1 skipped\)", str(first))
    assert re.fullmatch(r"FAILED +\d+ s +\d+ s  bad", str(second))
    assert (second.status, second.output) == (3, "said\n")
    assert "== bad\nsaid\n" in capsys.readouterr().out


def test_a_step_gives_way_to_others_if_it_shall(ci: ModuleType, tmp_path: Path) -> None:
    waiting = ["sh", "-c", f"until [ $(nice) = {ci.ASIDE} ]; do :; done"]
    (ended,) = ci.Run([ci.Step("aside", waiting, aside=True, limit=60)], tmp_path).go()
    assert ended.passed


def test_a_step_that_hangs_is_ended_with_what_it_has_started(ci: ModuleType, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as end:
        hanging = ["sh", "-c", f"(echo started; exec sleep 1000) > {pipe} & sleep 1000"]
        (ended,) = ci.Run([ci.Step("hangs", hanging, limit=3)], tmp_path).go()
        os.set_blocking(end.fileno(), True)
        assert end.read() == b"started\n"  # up to the end, which comes when nobody has the pipe any more
    assert ended.status is None
    assert str(ended).startswith("TIMEOUT")


def test_steps_run_beside_each_other(ci: ModuleType, tmp_path: Path) -> None:
    meet = f"cd {tmp_path}; touch $0; until [ -e $1 ]; do sleep 0.01; done"
    steps = [
        ci.Step("first", ["sh", "-c", meet, "one", "other"], limit=60),
        ci.Step("second", ["sh", "-c", meet, "other", "one"], limit=60),
    ]
    assert [ended.status for ended in ci.Run(steps, tmp_path).go()] == [0, 0]


def failing_step(ci: ModuleType, tmp_path: Path, failing: dict[str, str], again: int) -> list[Any]:
    """What becomes of a step with these failing tests, whose second run ends with the status ``again``."""
    failures = tmp_path / "failures.json"
    note = f"import pathlib, sys; pathlib.Path({str(failures)!r}).write_text({json.dumps(failing)!r}); sys.exit(1)"
    second = f"import sys; print(open(sys.argv[1].partition('=@')[2]).read()); sys.exit({again})"
    step = ci.Step("tests", program(note), failures=str(failures), again=[*program(second), "ARGS="])
    fine = ci.Step("fine", program(""))
    return list(ci.run_again(ci.Run([step, fine], tmp_path).go(), tmp_path))


def test_a_test_that_fails_once_and_not_again_is_told_as_flickering(
    ci: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = {each.step.name: each for each in failing_step(ci, tmp_path, {"a.py::one[x y]": "it said so"}, again=0)}
    assert ended["tests, again"].output == "a.py::one[x y]\n"
    assert all(each.passed for each in ended.values())
    assert str(ended["tests"]).startswith("FLICKER")
    capsys.readouterr()
    ci.tell_flickers(list(ended.values()))
    assert "flickered: a.py::one[x y]" in (said := capsys.readouterr().out)
    assert "it said so" in said


def test_a_test_that_fails_again_has_failed(ci: ModuleType, tmp_path: Path) -> None:
    ended = {each.step.name: each for each in failing_step(ci, tmp_path, {"a.py::one": ""}, again=1)}
    assert [name for name in sorted(ended) if not ended[name].passed] == ["tests", "tests, again"]
    assert str(ended["tests"]).startswith("FAILED")


@pytest.mark.parametrize("failing", [{}, dict.fromkeys("abcdefghijk", "")])
def test_nothing_runs_again_if_many_tests_failed_or_something_else(
    ci: ModuleType, tmp_path: Path, failing: dict[str, str]
) -> None:
    ended = {each.step.name: each for each in failing_step(ci, tmp_path, failing, again=0)}
    assert set(ended) == {"tests", "fine"}
    assert not ended["tests"].passed


def test_a_step_waits_only_for_steps_that_there_are(ci: ModuleType) -> None:
    steps = ci.steps(FOUND)
    names = [step.name for step in steps]
    assert len(set(names)) == len(names)
    for position, step in enumerate(steps):
        assert set(step.after) <= set(names[:position])


def test_all_tests_run_on_the_first_python_and_those_that_differ_on_each_other(ci: ModuleType) -> None:
    commands = [step.command for step in ci.steps(FOUND)]
    (whole,) = (command for command in commands if "coverage" in command)
    assert "PYTHON=python3" in whole
    assert not any("tests/" in argument or "--first-and-last" in argument for argument in whole)
    for version in ("3.10", "3.14t"):
        (command,) = (command for command in commands if {"test", f"PYTHON=python{version}"} <= set(command))
        assert f"VENV=.venv-{version}" in command
        (selected,) = (argument for argument in command if argument.startswith("ARGS="))
        for folder in ("core", "protocol", "session", "transport", "receiver", "cli"):
            assert f"tests/{folder}" in selected.split()


def test_of_a_test_with_parameters_other_pythons_run_the_first_and_the_last(request: pytest.FixtureRequest) -> None:
    @dataclass(frozen=True)
    class Item:
        nodeid: str

    conftest = request.config.pluginmanager.get_plugin(str(Path(__file__).with_name("conftest.py")))
    without = [Item("tests/cli/test_a.py::test_one"), Item("tests/cli/test_b.py::test_one")]
    varied = [Item(f"tests/cli/test_a.py::test_many[{value}]") for value in ("a", "[", "]", "a::b")]
    kept = conftest.first_and_last([without[0], *varied, without[1]])
    assert kept == {*without, varied[0], varied[-1]}


def test_every_path_of_a_step_exists(ci: ModuleType) -> None:
    for step in ci.steps(FOUND):
        for path in re.findall(r"\btests/[\w./]+", " ".join(step.command)):
            assert (ROOT / path).exists(), path


def test_a_python_counts_only_if_it_runs(ci: ModuleType, tmp_path: Path) -> None:
    stub = tmp_path / "python3.12"
    stub.write_text("#!/bin/sh\necho 'not installed' >&2\nexit 127\n")
    stub.chmod(0o755)
    assert ci.version(str(stub)) == ""
    assert ci.version(str(tmp_path / "nowhere")) == ""
    assert re.fullmatch(r"3\.\d+t?", ci.version(sys.executable))
