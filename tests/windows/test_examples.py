"""The windows of the examples do what a person expects who chooses files, watches, pauses, cancels and tries again."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import Request, ScriptedServer, Store, holding
from support.sizes import sized
from support.waiting import eventually

from .driver import Driver

pytestmark = pytest.mark.once

Open = Callable[[str], Driver]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A directory of three files, one of them empty."""
    folder = tmp_path / "photos"
    (folder / "summer").mkdir(parents=True)
    (folder / "beach.jpg").write_bytes(os.urandom(3_000_000))
    (folder / "summer" / "sea.jpg").write_bytes(os.urandom(100))
    (folder / "empty.jpg").write_bytes(b"")
    return folder


def test_what_is_chosen_arrives_and_every_bar_is_full(
    window: Open, photos: Path, tmp_path: Path, receiver_url: str, received: Path, monkeypatch: Any
) -> None:
    (tmp_path / "one.bin").write_bytes(b"one")
    driver = window(receiver_url)
    driver.choose(monkeypatch, files=[tmp_path / "one.bin"], folder=photos)
    driver.click("Add files…")
    driver.click("Add folder…")
    driver.until(lambda: driver.total.startswith("4 of 4 files uploaded"))
    driver.until(lambda: driver.bar == 1)
    assert sorted(driver.words) == ["one.bin", "photos/beach.jpg", "photos/empty.jpg", "photos/summer/sea.jpg"]
    driver.until(lambda: {row.bar for row in driver.rows} == {1})
    assert driver.words["photos/beach.jpg"] == "2.86 MiB, uploaded"
    for path in photos.rglob("*.jpg"):
        assert (received / path.relative_to(tmp_path)).read_bytes() == path.read_bytes()
    driver.choose(monkeypatch, files=[])
    driver.click("Add files…")
    driver.click("Add folder…")
    driver.turn()
    assert driver.error == ""
    assert len(driver.rows) == 4


def test_pause_resume_and_cancel_do_so_to_the_chosen_row_or_to_all(window: Open, photos: Path) -> None:
    with ScriptedServer(behave=holding) as server:
        driver = window(server.url)
        driver.window.add([str(photos)])
        server.wait_held(3)
        driver.until(lambda: len(driver.rows) == 3)

        driver.select("photos/beach.jpg")
        driver.click("Pause")
        driver.until(lambda: driver.words["photos/beach.jpg"] == "paused")
        assert "paused" not in driver.words["photos/summer/sea.jpg"]
        driver.click("Resume")
        driver.until(lambda: driver.words["photos/beach.jpg"] != "paused")

        driver.click("Cancel")
        driver.until(lambda: sorted(driver.words) == ["photos/empty.jpg", "photos/summer/sea.jpg"])

        driver.select()
        driver.click("Pause")
        driver.until(lambda: driver.total.endswith(", paused"))
        driver.until(lambda: set(driver.words.values()) == {"paused"})
        server.behave = Store()
        server.release()
        driver.click("Resume")
        driver.until(lambda: driver.total.startswith("2 of 2 files uploaded"))

        server.behave = holding
        driver.window.add([str(photos / "beach.jpg")])
        driver.until(lambda: "beach.jpg" in driver.words)
        driver.click("Cancel")
        driver.until(lambda: driver.rows == [])
        driver.until(lambda: driver.total.startswith("0 of 0 files uploaded"))
        server.release()


def test_what_had_been_uploaded_when_everything_was_cancelled_is_gone_as_well(window: Open, photos: Path) -> None:
    with ScriptedServer(behave=Store()) as server:
        driver = window(server.url)
        session, told = driver.window.session, []
        session.on("cancel", lambda: told.append("cancel"))
        driver.window.add([str(photos)])
        # The window has heard nothing yet.
        eventually(lambda: [file.is_complete() for file in session.files] == [True] * 3)
        driver.window.cancel()
        driver.until(lambda: told)
        driver.until(lambda: driver.total.startswith("0 of 0 files uploaded"))
        assert driver.rows == []
        server.behave = lambda request: (403, "no")
        driver.window.add([str(photos / "beach.jpg")])
        driver.until(lambda: "1 failed" in driver.total)
        driver.window.cancel()
        driver.until(lambda: "failed" not in driver.total)


def test_speed_and_time_left_stand_there_in_words(window: Open, photos: Path, receiver_url: str) -> None:
    driver = window(receiver_url)
    driver.window.session.limit_rate = 200_000
    driver.window.add([str(photos)])
    driver.until(lambda: re.search(r"MiB, [\d.]+ KiB/s, [\d.]+ s left$", driver.total))
    driver.until(lambda: re.fullmatch(r"[\d.]+ [KM]iB of 2\.86 MiB, .*/s, .* left", driver.words["photos/beach.jpg"]))
    assert 0 < driver.bar < 1
    assert 0 < {row.name: row.bar for row in driver.rows}["photos/beach.jpg"] < 1


def test_an_error_is_shown_and_the_file_tried_again(window: Open, photos: Path, tmp_path: Path) -> None:
    refused: list[str] = []

    def refuse(request: Request) -> Any:
        request.read()
        refused.append(request.identifier)
        return 403, "the disk is for photos of the sea"

    with ScriptedServer(behave=refuse) as server:
        driver = window(server.url)
        driver.window.add([str(photos / "beach.jpg"), str(photos / "summer" / "sea.jpg"), str(tmp_path / "gone")])
        driver.until(lambda: "gone" in driver.error)
        driver.until(lambda: all("403" in words for words in driver.words.values()) and len(driver.rows) == 2)
        driver.until(lambda: "2 failed" in driver.total)
        driver.select("sea.jpg")
        driver.until(lambda: "the disk is for photos of the sea" in driver.error)
        server.behave = Store()
        driver.click("Retry")
        driver.until(lambda: driver.words["sea.jpg"] == "100 B, uploaded")
        assert "403" in driver.words["beach.jpg"], "only the chosen row is tried again"
        driver.select()
        driver.click("Retry")
        driver.until(lambda: driver.total.startswith("2 of 2 files uploaded"))
        assert driver.error == ""


@pytest.mark.timed
def test_a_window_is_alive_while_twenty_thousand_files_are_added(
    window: Open, toolkit: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    # The rows of Tk take long to make, and PyQt6 has the window of PySide6.
    many = {"tk": sized(3_000, 20_000), "PySide6": 20_000, "PyQt6": sized(2_000, 20_000)}[toolkit]
    for number in range(many):
        if number % 500 == 0:
            folder = tmp_path / "many" / str(number)
            folder.mkdir(parents=True)
        (folder / f"{number}.bin").touch()
    with ScriptedServer(behave=lambda request: None) as server:
        driver = window(server.url)
        turns: list[float] = []
        driver.every_millisecond(lambda: turns.append(time.monotonic()))

        def work(done: Callable[[], bool]) -> tuple[float, float, int]:
            """Run the loop until this is so. Return how long it took, the longest time between two turns of it, and how
            many there were."""

            def look() -> None:
                if done():
                    driver.quit()

            driver.looking = look
            turns.clear()
            driver.run()
            gaps = [later - earlier for earlier, later in pairwise(turns)]
            return turns[-1] - turns[0], max(gaps), len(turns)

        driver.every_millisecond(lambda: driver.looking())
        _, bare, _ = work(lambda: len(turns) > 200)
        driver.window.add([str(tmp_path / "many")])
        took, longest, turned = work(lambda: driver.total.startswith(f"0 of {many:,} files"))
        assert len(driver.rows) == many
        driver.click("Cancel")
        cleared, longest_clearing, _ = work(lambda: driver.total.startswith("0 of 0 files"))
        record_property(
            f"{many:,} files in a window of {toolkit}",
            f"added in {took:.1f} s, longest gap {1000 * longest:.0f} ms; removed in {cleared:.1f} s, "
            f"longest gap {1000 * longest_clearing:.0f} ms; bare loop {1000 * bare:.0f} ms",
        )
        # Frozen while it adds, the window would take no turn until the last file is there.
        assert turned > many / 100
        server.release()
