"""The page of the receiver: what is seen on it, and what is sent from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from resumable import Resumable

from .material import content, digest, files_below
from .page import MIB, Page


def test_the_page_says_where_nothing_is_and_has_nothing_to_complain_of(page: Page) -> None:
    page.chromium.until("!document.getElementById('open-empty').hidden")
    assert page.chromium.element("#open-empty").text == "No uploads in progress."
    assert page.chromium.element("#done-empty").text == "No files yet."
    assert page.chromium.console() == []


@pytest.mark.parametrize("size", [0, 1, MIB, 3 * MIB + 5])
def test_a_dropped_file_arrives(page: Page, sources: Path, size: int) -> None:
    source = sources / "übung 日本語 & 50%.txt"
    source.write_bytes(content(size))
    page.chromium.drop("#drop", source)
    page.done(source.name)
    assert files_below(page.site.root) == {source.name: digest(source)}
    assert page.site.tests == 1
    assert page.chromium.console() == []


def test_chosen_files_arrive(page: Page, sources: Path) -> None:
    names = [f"file {number}.bin" for number in range(20)]
    for number, name in enumerate(names):
        (sources / name).write_bytes(content(1000 * number))
    page.chromium.choose("#files", *(sources / name for name in names))
    page.done(*names)
    assert files_below(page.site.root) == files_below(sources)


@pytest.mark.parametrize("how", ["chosen", "dropped"])
def test_a_directory_arrives_with_all_its_files(page: Page, sources: Path, how: str) -> None:
    folder = sources / "folder"
    for number in range(120):  # browsers list a directory 100 at a time
        path = folder / f"part {number % 3}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(number + 1))
    page.site.hold(20)
    if how == "chosen":
        page.chromium.choose("#folder", folder)
    else:
        page.chromium.drop("#drop", folder)
    page.news("120 files added (7.1 KiB).")
    page.detail("20 of 120 files · ")
    page.chromium.until("document.getElementById('total-detail').textContent.startsWith('20 of 120 files · ')")
    assert [name for name, _ in page.rows("#mine-open")] == ["folder/"]
    page.site.let_in()
    page.news("120 files uploaded.")
    page.chromium.until("document.querySelectorAll('#done li').length === 1")
    assert page.rows("#done") == [("folder/", "120 files · 7.1 KiB")]
    assert files_below(page.site.root) == files_below(sources)


def test_the_files_of_a_folder_are_paused_and_cancelled_together_and_seen_one_by_one(page: Page, sources: Path) -> None:
    for number in range(5):
        (sources / "folder").mkdir(exist_ok=True)
        (sources / "folder" / f"{number}.bin").write_bytes(content(MIB))
    page.site.hold(0)
    page.chromium.drop("#drop", sources / "folder")
    page.site.wait(stored=0, waiting=3)
    page.press("pause")
    page.chromium.element("#mine-open summary").click()
    page.chromium.until("document.querySelectorAll('#mine-open .files li').length === 5")
    assert {detail for _, detail in page.rows("#mine-open .files")} == {"Paused · 0 bytes of 1.0 MiB"}
    page.chromium.element("#mine-open .files [data-action=cancel]").click()
    page.chromium.until("document.querySelectorAll('#mine-open .files li').length === 4")
    page.site.turn_away()
    page.site.let_in()
    page.press("resume")
    page.news("4 files uploaded.")
    page.chromium.until("document.querySelector('#done .detail')?.textContent === '4 files · 4.0 MiB'")


def test_a_file_is_dropped_anywhere_on_the_page(page: Page, source: Path) -> None:
    page.chromium.drop("h1", source)
    page.done("source.bin")


def test_uploads_of_others_are_seen_live(page: Page, source: Path) -> None:
    page.site.hold(3)
    with Resumable(page.url, chunk_size=MIB) as session:
        session.add_file(source)
        page.chromium.until("document.querySelector('#open progress')?.value === 0.375")
        ((name, detail),) = page.rows("#open")
        assert name == "source.bin"
        assert detail.startswith("37 % · 3.0 MiB of 8.0 MiB · ")
        page.site.let_in()
    page.done("source.bin")
    assert page.rows("#done")[0][1].startswith("8.0 MiB · ")


def test_a_file_is_listed_once_while_it_is_sent_from_here(page: Page, source: Path) -> None:
    page.site.hold(3)
    page.chromium.drop("#drop", source)
    page.site.wait(stored=3)
    before = page.site.listings
    page.site.wait_for(lambda: page.site.listings >= before + 2)
    assert page.rows("#open") == []
    assert [name for name, _ in page.rows("#mine-open")] == ["source.bin"]


def test_after_a_reload_the_same_file_goes_on(page: Page, source: Path) -> None:
    page.site.hold(5)
    page.chromium.drop("#drop", source)
    page.site.wait(stored=5, waiting=3)
    page.chromium.driver.refresh()
    page.site.turn_away()
    page.site.hold(1)
    page.chromium.drop("#drop", source)
    page.detail("already on the server")
    page.site.let_in()
    page.done("source.bin")
    assert page.site.uploads == 8
    assert files_below(page.site.root) == {"source.bin": digest(source)}


def test_a_file_that_is_there_is_not_sent_again(page: Page, source: Path) -> None:
    page.chromium.drop("#drop", source)
    page.done("source.bin")
    page.chromium.driver.refresh()
    page.chromium.drop("#drop", source)
    page.news("source.bin was already there, whole.")
    page.done("source.bin")
    assert page.site.tests == 2
    assert page.site.uploads == 8


def test_an_upload_stands_still_while_it_is_paused_and_goes_on_then(page: Page, source: Path) -> None:
    page.site.hold(2)
    page.chromium.drop("#drop", source)
    page.site.wait(stored=2, waiting=3)
    page.detail("MiB of 8.0 MiB")
    page.press("pause")
    page.detail("Paused")
    page.site.turn_away()
    page.site.let_in()
    before = page.site.listings
    page.site.wait_for(lambda: page.site.listings >= before + 1)
    assert page.site.uploads == 2
    page.press("resume")
    page.done("source.bin")
    assert page.site.uploads == 8
    assert files_below(page.site.root) == {"source.bin": digest(source)}


def test_a_cancelled_upload_is_gone_and_goes_on_when_it_is_dropped_again(page: Page, source: Path) -> None:
    page.site.hold(2)
    page.chromium.drop("#drop", source)
    page.site.wait(stored=2, waiting=3)
    page.press("cancel")
    page.chromium.until("document.querySelector('#open li')")
    assert page.rows("#mine-open") == []
    page.site.turn_away()
    page.site.let_in()
    page.chromium.drop("#drop", source)
    page.done("source.bin")
    assert page.site.uploads == 8


def test_all_are_cancelled_at_once(page: Page, sources: Path) -> None:
    paths = [sources / f"{number}.bin" for number in range(150)]
    for path in paths:
        path.write_bytes(b"content")
    page.site.hold(0)
    page.chromium.choose("#files", *paths)
    page.site.wait(stored=0, waiting=3)
    page.chromium.until("document.querySelectorAll('#mine-open li').length === 100")
    assert page.chromium.element("#more").text == "and 50 more files from this page"
    page.chromium.element("#cancel-all").click()
    assert page.rows("#mine-open") == []
    page.site.turn_away()
    page.site.let_in()
    before = page.site.listings
    page.site.wait_for(lambda: page.site.listings >= before + 1)
    assert page.site.uploads == 0
