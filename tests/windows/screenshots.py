"""Makes the pictures of the windows that stand in docs/how-to/windows.rst: make screenshots

A program, and not a test: it needs Xvfb, and PySide6, which takes the pictures of both windows.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from support.scripted_server import Request, ScriptedServer, Store

from .driver import TOOLKITS, Driver, screen

PICTURES = Path(__file__).parent.parent.parent / "docs" / "_static"
FILES = {
    "films/harbour.mp4": 60_000_000,
    "films/interview.mov": 45_000_000,
    "films/notes.txt": 2_000,
    "photos/beach.jpg": 3_400_000,
    "photos/lighthouse.jpg": 2_800_000,
    "photos/secret.exe": 1_000_000,
    "photos/summer/gulls.jpg": 4_100_000,
    "photos/summer/sea.jpg": 5_000_000,
    "talks/keynote.pdf": 9_000_000,
}


def serve(store: Store) -> Any:
    """Refuse one file, and take the others."""

    def behave(request: Request) -> Any:
        if request.fields.get("resumableFilename") == "secret.exe":
            return 403, "programs are not taken here"
        return store(request)

    return behave


def picture(driver: Driver, path: Path) -> None:
    from PySide6.QtWidgets import QApplication

    application = QApplication.instance() or QApplication([])
    application.processEvents()
    left, top, width, height = driver.place()
    shot = QApplication.primaryScreen().grabWindow(0, left, top, width, height)
    assert shot.save(str(path)), path


def show(toolkit: str, folder: Path, path: Path) -> None:
    with ScriptedServer(behave=serve(Store())) as server:
        driver = TOOLKITS[toolkit](toolkit, server.url)
        driver.window.session.limit_rate = 4_000_000
        driver.window.add([str(folder / name) for name in ("photos", "talks", "films")])
        driver.until(lambda: any("403" in words for words in driver.words.values()))
        driver.until(lambda: sum(words.endswith("uploaded") for words in driver.words.values()) >= 4)
        driver.until(lambda: driver.total.endswith("left"))
        driver.select("photos/secret.exe")
        end = time.monotonic() + 1
        driver.until(lambda: time.monotonic() > end)
        picture(driver, path)
        driver.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as name, screen():
        for file, size in FILES.items():
            path = Path(name, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(size))
        show("tk", Path(name), PICTURES / "tk-window.png")
        show("PySide6", Path(name), PICTURES / "qt-window.png")


if __name__ == "__main__":
    sys.exit(main())
