"""Take the picture of the receiver's page: a folder that is being uploaded, a file that waits, and one that is refused.

``make pictures`` runs this and writes ``_static/page.png``. It wants Chromium and its driver.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from browser.chromium import Chromium

from resumable.receiver import Receiver, Server

OUTPUT = Path(__file__).parent / "_static" / "page.png"
MIB = 1024 * 1024
WIDTH, HEIGHT = 760, 870
SPEED = 1_000_000
"""Bytes a second, so that there is time to look."""


def sources(folder: Path) -> list[Path]:
    """The folder and files that are dropped on the page."""
    photos = folder / "photos"
    photos.mkdir()
    for number in range(40):
        (photos / f"{number:02}.jpg").write_bytes(os.urandom(2 * MIB // 3))
    holiday = folder / "holiday.mp4"
    holiday.write_bytes(os.urandom(8 * MIB))
    huge = folder / "huge.iso"
    with huge.open("wb") as file:
        file.truncate(201 * MIB)
    return [photos, holiday, huge]


def picture(folder: Path) -> bytes:
    """The page as PNG, when the first files of the folder have arrived."""
    with Server(Receiver(folder / "incoming", max_total_size=200 * MIB)) as server:
        chromium = Chromium(folder / "profile")
        try:
            size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            chromium.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            chromium.driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
            chromium.driver.execute_cdp_cmd("Network.enable", {})
            line = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": SPEED}
            chromium.driver.execute_cdp_cmd("Network.emulateNetworkConditions", line)
            chromium.open(server.url)
            chromium.until("document.readyState === 'complete'")
            chromium.drop("#drop", *sources(folder))
            chromium.until("document.querySelector('#mine-open .detail')?.textContent.startsWith('9 of 40')")
            return bytes(chromium.driver.get_screenshot_as_png())
        finally:
            chromium.quit()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        OUTPUT.write_bytes(picture(Path(folder)))
