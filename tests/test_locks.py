"""The locks of the package are those of ``docs/explanation/architecture.rst``, and are taken in its order."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.unmeasured

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "resumable"
KINDS = ("Condition", "Lock", "RLock")


def listed() -> dict[str, set[str]]:
    """Each lock of the page, and what may be taken under it."""
    page = (ROOT / "docs" / "explanation" / "architecture.rst").read_text(encoding="utf-8")
    section = page.partition("\nLocks\n")[2].partition("\nGlossary\n")[0]
    rows = re.findall(
        r"^   \* - ``(.+?)``\n     - (?:.+\n)(?:       .+\n)*     - (.+\n(?:       .+\n)*)", section, re.MULTILINE
    )
    return {name: set(re.findall(r"``(.+?)``", under)) for name, under in rows}


def made() -> set[str]:
    """Each lock that a line of the package makes, by module, class and name."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        text = path.read_text(encoding="utf-8")
        if not any(f"{kind}(" in text for kind in KINDS):
            continue
        tree = ast.parse(text)
        owners = {
            id(inner): cls.name for cls in ast.walk(tree) if isinstance(cls, ast.ClassDef) for inner in ast.walk(cls)
        }
        for node in ast.walk(tree):
            if not isinstance(node, (ast.Assign, ast.AnnAssign)) or not isinstance(node.value, ast.Call):
                continue
            if ast.unparse(node.value.func).removeprefix("threading.") in KINDS:
                (target,) = node.targets if isinstance(node, ast.Assign) else [node.target]
                owner = owners.get(id(node))
                found.add(".".join(filter(None, (module, owner, ast.unparse(target).removeprefix("self.")))))
    return found


def test_every_lock_of_the_package_is_on_the_page_and_no_other() -> None:
    calls = sum(
        len(re.findall(rf"\bthreading\.(?:{'|'.join(KINDS)})\(", path.read_text(encoding="utf-8")))
        for path in PACKAGE.rglob("*.py")
    )
    locks = made()
    assert len(locks) == calls  # each is assigned to a name
    assert set(listed()) == locks


def test_the_order_of_the_page_has_no_circle_and_names_locks_that_there_are() -> None:
    order = listed()
    assert {name for under in order.values() for name in under} <= set(order)
    TopologicalSorter(order).prepare()


@pytest.mark.once
def test_locks_are_taken_in_the_order_of_the_page(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(Path(__file__).parent / "support" / "lock_order.py"),
        str(PACKAGE),
        str(tmp_path / "incoming"),
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stderr
    seen: dict[str, set[str]] = {}
    for line in ran.stdout.splitlines():
        held, taken = line.split()
        seen.setdefault(held, set()).add(taken)
    order = listed()
    assert all(taken <= order[held] for held, taken in seen.items()), seen
    # The program goes wherever the page says that one lock is taken under another, but for the bars and object stores.
    elsewhere = ("cli.", "receiver.s3.")
    assert all(taken <= seen.get(held, set()) for held, taken in order.items() if not held.startswith(elsewhere)), seen
