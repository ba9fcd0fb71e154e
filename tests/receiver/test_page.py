"""The parts of the page, without a browser; how it works in one is tested elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib import resources

import pytest

from resumable.receiver import page
from resumable.receiver.page import page_response

PARTS = {
    "/": "text/html; charset=utf-8",
    "/page.css": "text/css; charset=utf-8",
    "/page.js": "text/javascript; charset=utf-8",
    "/rows.js": "text/javascript; charset=utf-8",
    "/queue.js": "text/javascript; charset=utf-8",
    "/words.js": "text/javascript; charset=utf-8",
}


def text(path: str) -> str:
    response = page_response(path, "Uploads")
    assert response is not None
    return response.body.decode("utf-8")


class Tags(HTMLParser):
    """The elements of a page with their attributes, and what stands in scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem and data.strip():
            self.inline.append(data)


@pytest.fixture(scope="module")
def tags() -> Tags:
    tags = Tags()
    tags.feed(text("/"))
    tags.close()
    return tags


@pytest.mark.parametrize("path", PARTS)
def test_a_part_says_what_it_is_and_what_it_may(path: str) -> None:
    response = page_response(path, "Uploads")
    assert response is not None
    headers = dict(response.headers)
    assert response.status == 200
    assert headers["Content-Type"] == PARTS[path]
    policy = headers["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"unsafe|\*|https?:", headers["Content-Security-Policy"])


@pytest.mark.parametrize("path", ["", "/page.html", "/__init__.py", "/../page.js", "/PAGE.JS", "//", "page.js"])
def test_nothing_else_is_a_part(path: str) -> None:
    assert page_response(path, "Uploads") is None


def test_every_file_of_the_page_is_a_part() -> None:
    files = {entry.name for entry in resources.files(page).iterdir() if entry.name.endswith((".css", ".html", ".js"))}
    assert files == {"page.html", *(path[1:] for path in PARTS if path != "/")}


def test_the_page_names_its_parts_by_their_place_beside_it(tags: Tags) -> None:
    addresses = {attributes.get(name) for _, attributes in tags.found for name in ("src", "href")} - {None}
    assert {address for address in addresses if not str(address).startswith("data:")} == {"page.css", "page.js"}


def test_no_part_names_an_address_of_others() -> None:
    for path in PARTS:
        addresses = set(re.findall(r"(?:https?:)?//[\w.]+\.\w+[^\s'\"]*", text(path)))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path


def test_nothing_in_the_page_is_inline(tags: Tags) -> None:
    assert tags.inline == []
    assert not [name for _, attributes in tags.found for name in attributes if name == "style" or name.startswith("on")]


def test_no_script_makes_markup_of_text() -> None:
    scripts = "".join(text(path) for path in PARTS if path.endswith(".js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", scripts)
