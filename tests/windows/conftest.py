"""A screen that nobody sees, and the windows of the examples on it.

Nothing here is part of a run of all tests: what is asked for by its path runs, with the toolkit of ``--toolkit``, and
what it lacks fails. PySide6 and PyQt6 bring libraries of the same name, so that each needs a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .driver import TOOLKITS, Driver, screen

HERE = Path(__file__).parent

OPENED: list[Driver] = []
"""Kept to the end of the process: Tk aborts if a window is collected on another thread, as it may be by chance."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--toolkit", default="tk", choices=sorted(TOOLKITS), help="what makes the windows")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(HERE in (path, *path.parents) for path in asked) else True


@pytest.fixture(scope="session", autouse=True)
def display() -> Iterator[None]:
    with screen():
        yield


@pytest.fixture(scope="session")
def toolkit(request: pytest.FixtureRequest) -> str:
    """The name of the toolkit."""
    name: str = request.config.getoption("--toolkit")
    return name


@pytest.fixture
def window(toolkit: str) -> Iterator[Callable[[str], Driver]]:
    """``window(url)`` opens the window of the example, and closes it after the test."""
    opened = len(OPENED)

    def window(url: str) -> Driver:
        OPENED.append(TOOLKITS[toolkit](toolkit, url))
        return OPENED[-1]

    yield window
    for driver in OPENED[opened:]:
        driver.close()
