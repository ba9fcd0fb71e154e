"""The page of the receiver in its surroundings: the browser's policy, applications around it, and people."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from resumable import dialects
from resumable.receiver import (
    Request,
    Response,
    Server,
    parameter_names,
)

from .chromium import Chromium
from .material import content, digest, files_below
from .page import MIB, Page
from .site import Site

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def test_the_page_asks_nobody_else(page: Page) -> None:
    page.chromium.until("performance.getEntriesByName(new URL('uploads', location)).length")
    asked = page.chromium.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
    parts = {"page.css", "page.js", "queue.js", "rows.js", "words.js", "uploads"}
    assert {name for name in asked if not name.startswith("data:")} == {page.url + part for part in parts}


def test_a_name_is_text_and_never_markup(page: Page, sources: Path) -> None:
    name = "<img src=x onerror=document.title='caught'> <b>bold</b>.bin".replace("/", "")
    (sources / name).write_bytes(content(8 * MIB))
    page.site.hold(1)
    page.chromium.drop("#drop", sources / name)
    page.site.wait(stored=1)
    assert [shown for shown, _ in page.rows("#mine-open")] == [name]
    page.site.let_in()
    page.chromium.until("document.querySelector('#done li, #mine-done li')")
    assert page.chromium.run("return document.querySelectorAll('img, b').length") == 0
    assert page.chromium.run("return document.title") == "Uploads"


@pytest.mark.parametrize(
    "attempt",
    [
        "document.body.innerHTML = '<b>caught</b>'",
        "document.body.setAttribute('style', 'display: none')",
        "fetch('http://localhost:9/')",
        "insert('img', {src: 'http://localhost:9/'})",
        "insert('iframe', {src: 'http://localhost:9/'})",
        "insert('script', {textContent: 'document.title = `caught`'})",
        "insert('script', {src: 'data:text/javascript,document.title=`caught`'})",
    ],
)
def test_the_policy_forbids_what_the_page_does_not_need(page: Page, attempt: str) -> None:
    page.chromium.run(
        "window.forbidden = 0;"
        "document.addEventListener('securitypolicyviolation', () => { window.forbidden += 1; });"
        "const insert = (tag, facts) => document.body.append(Object.assign(document.createElement(tag), facts));"
        f"try {{ {attempt} }} catch {{ }}"
    )
    page.chromium.until("window.forbidden")
    assert page.chromium.element("#drop").is_displayed()
    assert page.chromium.run("return document.title") == "Uploads"


class Mounted(Site):
    """The same below ``/deep/inside``, as a framework would mount it."""

    def handle(self, request: Request) -> Response:
        """See :meth:`Receiver.handle`."""
        if not request.path.startswith("/deep/inside"):
            return Response(404, b"There is nothing here.\n")
        path = request.path.removeprefix("/deep/inside")
        return super().handle(replace(request, path=path, mount="/deep/inside"))


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_page_works_below_a_prefix(chromium: Chromium, tmp_path: Path, source: Path, slash: str) -> None:
    site = Mounted(tmp_path / "received")
    with Server(site) as server:
        page = Page(chromium, site, f"{server.url}deep/inside{slash}")
        assert chromium.driver.current_url == f"{server.url}deep/inside/"
        chromium.drop("#drop", source)
        page.done("source.bin")
    assert files_below(site.root) == {"source.bin": digest(source)}


FLASK = """
from flask_receiver import app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, app, threaded=True)
print(f"http://127.0.0.1:{server.port}/upload/", flush=True)
server.serve_forever()
"""


@pytest.fixture
def flask(tmp_path: Path) -> Iterator[str]:
    """The address at which the example with Flask takes uploads; it knows ada by her token."""
    settings = {
        **os.environ,
        "PYTHONPATH": str(EXAMPLES),
        "UPLOADS": str(tmp_path / "received"),
        "UPLOAD_TOKENS": "ada=open-sesame",
    }
    with subprocess.Popen(
        [sys.executable, "-c", FLASK],
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_file_is_a_link_if_the_application_gives_it_an_address(open_page: Callable[..., Page], sources: Path) -> None:
    addresses = {
        "away.bin": "https://media.example/away",
        "here.bin": "/files/here",
        "script.bin": "javascript:document.title='caught'",
        "none.bin": 7,
    }
    page = open_page(
        on_file_received=lambda record, request: {"url": addresses[record.name]}, page_title="Ada's <b>films</b>"
    )
    for name in addresses:
        (sources / name).write_bytes(b"content of " + name.encode())
    page.chromium.choose("#files", *(sources / name for name in addresses))
    page.done(*addresses)
    links = page.chromium.run("return [...document.querySelectorAll('#done a')].map(a => [a.textContent, a.href])")
    assert dict(links) == {"away.bin": "https://media.example/away", "here.bin": page.url + "files/here"}
    assert page.chromium.run("return document.title") == "Ada's <b>films</b>"
    assert page.chromium.element("h1").text == "Ada's <b>films</b>"


def test_the_page_works_inside_a_framework(chromium: Chromium, flask: str, tmp_path: Path, source: Path) -> None:
    chromium.open(flask)
    chromium.until("!document.getElementById('access').hidden")
    chromium.drop("#drop", source)
    chromium.element("#token").send_keys("open-sesame" + Keys.ENTER)
    chromium.until("document.querySelector('#done li')")
    assert files_below(tmp_path / "received") == {"ada/source.bin": digest(source)}
    link = chromium.run("return document.querySelector('#done a').pathname")
    assert link == "/files/ada/source.bin"


def test_the_page_uses_the_names_of_the_parameters_that_its_receiver_has(
    open_page: Callable[..., Page], source: Path
) -> None:
    page = open_page(names=parameter_names(dialects.FLOWJS)._replace(namespace="upload-"))
    page.chromium.drop("#drop", source)
    page.done("source.bin")
    assert files_below(page.site.root) == {"source.bin": digest(source)}


def test_everything_is_done_with_the_keyboard(page: Page, sources: Path) -> None:
    for name in ("one.bin", "two.bin"):
        (sources / name).write_bytes(content(2 * MIB))
    page.site.hold(0)
    page.chromium.choose("#files", sources / "one.bin", sources / "two.bin")
    page.site.wait(stored=0, waiting=3)
    page.chromium.until("document.querySelectorAll('#mine-open li').length === 2")
    page.chromium.run("document.activeElement.blur()")
    visited = []
    for _ in range(7):
        page.chromium.tab()
        visited.append(page.chromium.run("return document.activeElement.ariaLabel || document.activeElement.id"))
    assert visited == [
        "files", "folder", "cancel-all", "Pause one.bin", "Cancel one.bin", "Pause two.bin", "Cancel two.bin",
    ]  # fmt: skip
    page.chromium.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.chromium.until("document.querySelectorAll('#mine-open li').length === 1")
    assert page.chromium.run("return document.activeElement.id") == "files"


@pytest.mark.parametrize("width", [320, 1000])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(
    open_page: Callable[..., Page], sources: Path, axe: Path, scheme: str, width: int
) -> None:
    page = open_page(max_total_size=20 * MIB)
    page.width(width)
    page.scheme(scheme)
    long = "a-very-long-name-without-any-place-to-break-it-" * 4
    (sources / "folder").mkdir()
    for name, size in (
        (long, 3 * MIB), ("done.bin", 1), ("large.bin", 21 * MIB), ("folder/one.bin", MIB), ("folder/two.bin", MIB + 1)
    ):  # fmt: skip
        (sources / name).write_bytes(content(size))
    page.chromium.choose("#files", sources / "done.bin")
    page.done("done.bin")
    page.site.hold(0)
    page.chromium.choose("#files", sources / "large.bin", sources / long)
    page.chromium.drop("#drop", sources / "folder")
    page.detail("and this server takes at most")
    page.chromium.until("document.querySelectorAll('#mine-open li').length === 3")
    page.chromium.element("#mine-open summary").click()
    page.chromium.until("document.querySelectorAll('#mine-open li').length === 5")
    page.site.wait(stored=1)
    page.site.turn_away()
    page.trouble("Trying again")
    assert page.chromium.run("return document.documentElement.scrollWidth") <= width
    page.chromium.run(axe.read_text(encoding="utf-8"))
    found = page.chromium.settled(f"axe.run(document, {{runOnly: {[*WCAG, 'best-practice']}}})")
    assert {"button-name", "color-contrast", "label", "target-size"} <= {rule["id"] for rule in found["passes"]}
    assert {rule["id"]: [node["html"] for node in rule["nodes"]] for rule in found["violations"]} == {}
