"""One Chromium for all tests, the libraries from the npm registry, and sites to upload to."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import pytest

from resumable.receiver import Server

from .chromium import Chromium, lacking
from .material import content
from .page import MIB, Page
from .site import Site

HERE = Path(__file__).parent


def pytest_itemcollected(item: pytest.Item) -> None:
    # The first has to wait for npm and for the start of Chromium.
    item.add_marker(pytest.mark.timeout(300))
    item.add_marker(pytest.mark.slow)


def cannot(reason: str) -> NoReturn:
    """Skip what needs this, and say why; where CI is set, as it is on build machines, nothing is skipped."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """The running Chromium, with a profile of its own."""
    if reason := lacking():
        cannot(reason)
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()


@pytest.fixture
def chromium(browser: Chromium) -> Iterator[Chromium]:
    """The running Chromium with one new tab; what the test before did to its own is gone with it."""
    browser.new_tab()
    yield browser
    browser.close_tab()


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What npm has installed, in the versions of ``package-lock.json``."""
    if shutil.which("npm") is None:
        cannot("what is tested in the browser comes with npm: apt-get install npm")
    folder = tmp_path_factory.mktemp("npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", timeout=100)
    if done.returncode:
        cannot(f"npm could not install what is tested in the browser: {done.stderr}")
    return folder / "node_modules"


@pytest.fixture(scope="session")
def libraries(modules: Path) -> Mapping[str, Path]:
    """resumable.js and flow.js by the names of their classes."""
    return {"Resumable": modules / "resumablejs/resumable.js", "Flow": modules / "@flowjs/flow.js/dist/flow.js"}


@pytest.fixture(scope="session")
def axe(modules: Path) -> Path:
    """The script that finds what keeps people out of a page."""
    return modules / "axe-core/axe.min.js"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """An empty directory for the files to upload."""
    path = tmp_path / "sources"
    path.mkdir()
    return path


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[Site, str]]]:
    """``serve(files, **options)`` gives a running site, and its URL."""
    with ExitStack() as running:

        def serve(files: Mapping[str, Path] | None = None, **options: Any) -> tuple[Site, str]:
            site = Site(tmp_path / "received", files, **options)
            url = running.enter_context(Server(site)).url
            running.callback(site.let_in)  # before the server ends, which waits for its requests
            return site, url

        yield serve


@pytest.fixture
def open_page(chromium: Chromium, serve: Callable[..., tuple[Site, str]]) -> Callable[..., Page]:
    """``open_page(**options)`` starts a site with these options of a receiver, and opens its page."""

    def open_page(**options: Any) -> Page:
        site, url = serve(**options)
        return Page(chromium, site, url)

    return open_page


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


@pytest.fixture
def source(sources: Path) -> Path:
    """A file of eight chunks."""
    path = sources / "source.bin"
    path.write_bytes(content(8 * MIB))
    return path
