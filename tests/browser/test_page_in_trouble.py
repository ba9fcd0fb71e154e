"""The page of the receiver where the server, the file or the person is not as hoped for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from resumable.protocol.verdict import STORED_CHUNKS_HEADER
from resumable.receiver import (
    Request,
    Response,
    Server,
    UploadRecord,
)

from .chromium import Chromium
from .material import content, digest, files_below
from .page import MIB, Page
from .site import Site


class Taciturn(Site):
    """Answers tests without the list of the stored chunks, as where they are in too many pieces."""

    def handle(self, request: Request) -> Response:
        """See :meth:`Receiver.handle`."""
        response = super().handle(request)
        headers = (pair for pair in response.headers if pair[0] != STORED_CHUNKS_HEADER)
        return replace(response, headers=tuple(headers))


@pytest.fixture
def taciturn(tmp_path: Path) -> Iterator[tuple[Taciturn, str]]:
    site = Taciturn(tmp_path / "received")
    with Server(site) as server:
        yield site, server.url
        site.let_in()


def test_without_a_list_every_chunk_is_tested(chromium: Chromium, taciturn: tuple[Taciturn, str], source: Path) -> None:
    page = Page(chromium, *taciturn)
    page.site.hold(5)
    chromium.drop("#drop", source)
    page.site.wait(stored=5, waiting=3)
    chromium.driver.refresh()
    page.site.turn_away()
    page.site.let_in()
    page.site.log.clear()
    chromium.drop("#drop", source)
    page.done("source.bin")
    tested = {line.split()[1] for line in page.site.log if line.startswith("GET resumableChunkNumber=")}
    assert tested == {f"resumableChunkNumber={number}" for number in range(1, 9)}
    assert page.site.uploads == 8, page.site.log
    assert files_below(page.site.root) == {"source.bin": digest(source)}


def test_what_the_server_has_lost_meanwhile_is_sent_again(page: Page, source: Path) -> None:
    page.site.hold(3)
    page.chromium.drop("#drop", source)
    page.site.wait(stored=3, waiting=3)
    page.site.expire()
    page.site.let_in()
    page.done("source.bin")
    assert page.site.uploads == 3 + 5 + 3
    assert files_below(page.site.root) == {"source.bin": digest(source)}


def test_a_server_in_trouble_is_asked_again_until_it_answers(page: Page, source: Path) -> None:
    page.site.hold(2)
    page.chromium.drop("#drop", source)
    for _ in range(2):
        page.site.wait(stored=2, waiting=1)
        page.site.turn_away()
        page.trouble("The server stands still. Trying again in ")
    page.site.let_in()
    page.done("source.bin")
    page.chromium.until("document.getElementById('trouble').hidden")
    assert files_below(page.site.root) == {"source.bin": digest(source)}


def test_a_server_that_goes_away_and_comes_back_is_found_again(
    chromium: Chromium, tmp_path: Path, source: Path
) -> None:
    site = Site(tmp_path / "received")
    site.hold(3)
    with Server(site) as server:
        page, port = Page(chromium, site, server.url), server.port
        chromium.drop("#drop", source)
        site.wait(stored=3, waiting=3)
        site.turn_away()
        site.hold(0)
    page.trouble("The server cannot be reached.")
    # What was measured before says nothing now.
    page.chromium.until("document.querySelector('#mine-open .detail').textContent === '37 % · 3.0 MiB of 8.0 MiB'")
    site.let_in()
    with Server(site, port=port):
        page.done("source.bin")
    assert site.uploads == 8
    assert files_below(site.root) == {"source.bin": digest(source)}


def test_a_refused_file_says_why_and_does_not_stop_the_others(open_page: Callable[..., Page], sources: Path) -> None:
    page = open_page(max_total_size=2 * MIB)
    page.chromium.until("document.getElementById('limits').textContent")
    assert page.chromium.element("#limits").text == "A file may have 2.0 MiB at most."
    for name, size in (("large.bin", 2 * MIB + 1), ("small.bin", 2 * MIB)):
        (sources / name).write_bytes(content(size))
    page.chromium.drop("#drop", sources / "large.bin", sources / "small.bin")
    page.detail("The file has 2097153 bytes, and this server takes at most 2097152 bytes.")
    page.chromium.until("document.querySelector('#done li')")
    assert files_below(page.site.root) == {"small.bin": digest(sources / "small.bin")}
    assert page.site.tests == 1
    assert page.buttons() == ["Remove"]


class Strict(Site):
    """Refuses the first file with this status until it is told otherwise."""

    status = 403

    def handle(self, request: Request) -> Response:
        """See :meth:`Receiver.handle`."""
        if request.query and self.status:
            return Response(self.status, b"Not now.\n", (("Content-Type", "text/plain"),))
        return super().handle(request)


@pytest.mark.parametrize("status", [403, 422])
def test_a_refused_file_can_be_tried_again_if_that_can_help(
    chromium: Chromium, tmp_path: Path, source: Path, status: int
) -> None:
    site = Strict(tmp_path / "received")
    site.status = status
    with Server(site) as server:
        page = Page(chromium, site, server.url)
        chromium.drop("#drop", source)
        page.detail("Not now.")
        site.status = 0
        if status == 422:
            assert page.buttons() == ["Remove"]
            page.press("cancel")
            assert page.rows("#mine-open") == []
        else:
            assert page.buttons() == ["Try again", "Cancel"]
            page.press("retry")
            page.done("source.bin")


def test_a_file_for_which_there_is_no_room_does_not_keep_the_others_waiting(
    open_page: Callable[..., Page], sources: Path
) -> None:
    page = open_page(max_bytes=20 * MIB)
    # Another client has begun something, and there is room for 4 MiB.
    page.site.store.create("0" * 40, UploadRecord("other", "other", "other", "", 16 * MIB, MIB, 16, "other"))
    large, *small = [sources / name for name in ("large", "small-1", "small-2", "small-3", "small-4")]
    large.write_bytes(content(12 * MIB))
    for number, path in enumerate(small):
        path.write_bytes(content(MIB + number))
    page.chromium.drop("#drop", large, *small)
    page.chromium.until("document.querySelectorAll('#done li').length === 4")
    assert files_below(page.site.root) == {path.name: digest(path) for path in small}
    page.trouble("(max_bytes), which leaves no room")
    assert [name for name, _ in page.rows("#mine-open")] == ["large"]
    # The other gives up, and the large one goes on by itself.
    other = page.site.store.open("0" * 40)
    assert other is not None
    with other:
        other.discard()
    page.done("large", *(path.name for path in small))
    assert files_below(page.site.root) == {path.name: digest(path) for path in (large, *small)}


def test_a_file_that_changes_meanwhile_fails(page: Page, source: Path) -> None:
    page.site.hold(2)
    page.chromium.drop("#drop", source)
    page.site.wait(stored=2, waiting=3)
    source.write_bytes(b"something else")
    page.site.let_in()
    page.detail("The file has changed or cannot be read: add it again.")
    assert files_below(page.site.root) == {}


def test_the_token_is_asked_for_and_sent_with_everything(open_page: Callable[..., Page], source: Path) -> None:
    page = open_page(token="open-sesame")
    page.chromium.until("!document.getElementById('access').hidden")
    page.chromium.drop("#drop", source)
    assert page.site.tests == 0
    for token, words in (("wrong", "token is wrong"), ("open-sesame", "")):
        page.chromium.element("#token").clear()
        page.chromium.element("#token").send_keys(token + Keys.ENTER)
        if words:
            page.chromium.until(f"document.getElementById('access-reason').textContent.includes({words!r})")
            page.chromium.until("!document.getElementById('access').hidden")
    page.done("source.bin")
    assert not page.chromium.element("#access").is_displayed()
    assert files_below(page.site.root) == {"source.bin": digest(source)}
    page.chromium.driver.refresh()
    page.chromium.until("document.querySelector('#done li')")
    assert not page.chromium.element("#access").is_displayed()
    page.chromium.element("#forget").click()
    page.chromium.until("document.getElementById('access')?.hidden === false")
    assert page.chromium.run("return sessionStorage.length") == 0
