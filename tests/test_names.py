"""What is public is listed, in order, importable and described."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import re
from pathlib import Path
from types import ModuleType
from typing import get_origin

import pytest

import resumable

ROOT = Path(__file__).parent.parent
NAMES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "resumable").rglob("*.py")
)


def order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions and values, each by the alphabet."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def is_module(package: ModuleType, name: str) -> bool:
    """Whether the name in the package is one of its modules, perhaps one that nobody has imported yet."""
    return f"{package.__name__}.{name}" in NAMES or isinstance(getattr(package, name), ModuleType)


@pytest.fixture(scope="module")
def modules() -> dict[str, ModuleType]:
    """Every module of the package by its full name, but for the one that runs the command."""
    return {name: importlib.import_module(name) for name in NAMES if name != "resumable.__main__"}


def test_a_module_has_a_docstring_and_its_list_of_names_is_sorted_and_true(modules: dict[str, ModuleType]) -> None:
    wrong = set()
    for module in modules.values():
        if not module.__doc__:
            wrong.add(f"{module.__name__} has no docstring")
        names = getattr(module, "__all__", None)
        if names is None:
            # The __init__ of a part may be a docstring and nothing else.
            if len(ast.parse(inspect.getsource(module)).body) != 1:
                wrong.add(f"{module.__name__} has no __all__")
            continue
        if list(names) != sorted(set(names), key=order):
            wrong.add(f"{module.__name__}.__all__ is not sorted")
        wrong.update(f"{module.__name__} has no {name}" for name in names if not hasattr(module, name))
    assert not wrong


def test_what_a_module_takes_from_another_is_in_the_list_of_that(modules: dict[str, ModuleType]) -> None:
    unlisted = set()
    for module in modules.values():
        package = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            source = importlib.import_module("." * node.level + (node.module or ""), package)
            listed = getattr(source, "__all__", ())
            unlisted |= {
                f"{source.__name__}.{alias.name}, taken by {module.__name__}"
                for alias in node.names
                if alias.name not in (*listed, "__version__") and not is_module(source, alias.name)
            }
    assert not unlisted


def test_every_public_class_function_and_method_says_what_it_does(modules: dict[str, ModuleType]) -> None:
    silent = set()
    for module in modules.values():
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if get_origin(value) or not (inspect.isclass(value) or inspect.isfunction(value)):
                continue  # what stands for a type, such as Callable[[], None], passes for a class on Python 3.10
            if not value.__doc__:
                silent.add(f"{module.__name__}.{name}")
            if inspect.isclass(value):
                fields = getattr(value, "__dataclass_fields__", {})  # the docstring of the class speaks of them
                silent |= {
                    f"{module.__name__}.{name}.{attribute}"
                    for attribute, member in vars(value).items()
                    if not attribute.startswith("_")
                    and attribute not in fields
                    and _is_described(member)
                    and not inspect.getdoc(getattr(value, attribute))
                }
    assert not silent


def _is_described(member: object) -> bool:
    return inspect.isfunction(member) or isinstance(member, (property, classmethod, staticmethod))


def test_the_public_names_are_those_that_the_documentation_speaks_of() -> None:
    reference = (ROOT / "docs" / "reference" / "api.rst").read_text(encoding="utf-8")
    errors = set(resumable.errors.__all__)  # the page of errors has all of them
    assert [name for name in resumable.__all__ if name not in errors and not re.search(rf"\b{name}\b", reference)] == []


def test_importing_everything_from_the_package_gives_its_public_names() -> None:
    names: dict[str, object] = {}
    exec("from resumable import *", names)
    assert set(resumable.__all__) <= set(names)


def test_the_version_is_that_of_the_change_log() -> None:
    assert f"\n{resumable.__version__}\n---" in (ROOT / "CHANGES.rst").read_text(encoding="utf-8")


def test_a_public_class_pickles_by_the_name_under_which_it_is_imported() -> None:
    for name in resumable.__all__:
        value = getattr(resumable, name)
        if inspect.isclass(value):
            assert pickle.loads(pickle.dumps(value)) is value
