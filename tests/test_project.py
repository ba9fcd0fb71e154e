"""The files around the project: what hosted checks run exists, and runs the same as everybody does at home."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(not (ROOT / ".github").exists(), reason="the source distribution has no .github")


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_hosted_checks_run_everything_on_linux_and_tests_on_the_other_systems() -> None:
    jobs = read(".github/workflows/ci.yml")["jobs"]
    assert {job["runs-on"].partition("-")[0] for job in jobs.values()} == {"ubuntu", "macos", "windows"}
    assert commands(jobs["linux"]) == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100
    assert commands(jobs["macos"]) == ["make quick"]
    assert "pytest" in commands(jobs["windows"])[-1]


def test_every_path_of_a_hosted_check_exists() -> None:
    for job in read(".github/workflows/ci.yml")["jobs"].values():
        for path in re.findall(r"\btests/[\w./]+", " ".join(commands(job))):
            assert (ROOT / path).exists(), path


def test_hosted_checks_may_only_read() -> None:
    assert read(".github/workflows/ci.yml")["permissions"] == {"contents": "read"}


def test_hooks_before_a_commit_are_the_tools_of_make_lint_and_come_from_nowhere_else() -> None:
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for hook in repository["hooks"]:
        tool = hook["entry"].split()[0]
        assert tool.startswith(".venv/bin/")
        assert tool.replace(".venv/bin", "$(BIN)") in makefile


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_an_issue_form_asks_for_something_and_each_question_has_a_label(name: str) -> None:
    form = read(f".github/ISSUE_TEMPLATE/{name}.yml")
    assert form["name"]
    assert form["description"]
    assert form["body"]
    assert all(question["attributes"]["label"] for question in form["body"])


def test_every_command_that_the_pages_for_contributors_name_is_one_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in ("CONTRIBUTING.rst", ".github/pull_request_template.md", "README.rst"):
        for target in re.findall(r"(?:`|^ +)make ([a-z-]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page} names make {target}"


@pytest.mark.parametrize("name", ["oldest", "windows", "stores"])
def test_an_environment_of_its_own_gets_what_is_installed_for_it(name: str) -> None:
    """Also if make is asked for the environment and not for the tests that run in it."""
    if (make := shutil.which("make")) is None:
        pytest.skip("there is no make")
    told = subprocess.run(
        [make, "-nB", f".venv-{name}/{name}"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert f"Installing into .venv-{name}." in told.stdout
    assert ".venv/" not in told.stdout
