"""The map of the tests is complete, and what tests share is where it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unmeasured

TESTS = Path(__file__).parent
MAP = (TESTS / "README.rst").read_text(encoding="utf-8")
FOLDERS = sorted(path.name for path in TESTS.iterdir() if any(path.glob("**/*.py")) and path.name != "support")


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_map_says_what_a_folder_claims(folder: str) -> None:
    assert f"   * - ``{folder}``\n     - " in MAP


@pytest.mark.parametrize("module", sorted(path.stem for path in (TESTS / "support").glob("[!_]*.py")))
def test_the_map_says_what_a_shared_module_is_for(module: str) -> None:
    assert f"   * - ``{module}``\n     - " in MAP


def test_no_test_takes_from_another_what_both_could_share() -> None:
    taken = [
        (path.relative_to(TESTS).as_posix(), imported)
        for path in TESTS.rglob("test_*.py")
        for imported in re.findall(
            r"^ *from +([\w.]*\b(?:test_|conftest)\w*) +import\b", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    ]
    assert not taken
