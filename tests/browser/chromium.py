"""Debian's Chromium without a screen, driven over WebDriver."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

__all__ = ["Chromium", "lacking"]

PACKAGES = {"chromium": "chromium", "chromedriver": "chromium-driver"}
"""The programs that are needed, and Debian's package with each."""

ARGUMENTS = (
    "--headless",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1000,800",
)


def lacking() -> str:
    """What has to be installed before there is a Chromium to drive; empty where nothing is."""
    packages = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    return f"a browser is needed: apt-get install {' '.join(packages)}" if packages else ""


class Chromium:
    """A running Chromium with its profile in a new directory. ``driver`` is selenium's."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # root cannot have one
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.driver.set_script_timeout(120)
        self._first = self.driver.current_window_handle

    def quit(self) -> None:
        """The browser and its driver have ended."""
        self.driver.quit()

    def new_tab(self) -> None:
        """There is a new tab, and everything goes to it."""
        self.driver.switch_to.new_window("tab")

    def close_tab(self) -> None:
        """The tab is closed, with all that it was doing."""
        self.driver.close()
        self.driver.switch_to.window(self._first)

    def open(self, url: str) -> None:
        """The page is loaded."""
        self.driver.get(url)

    def element(self, selector: str) -> WebElement:
        """The first element of this CSS selector. Raises selenium's NoSuchElementException."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def run(self, script: str, *arguments: Any) -> Any:
        """What the function body in JavaScript returns; the arguments are ``arguments``."""
        return self.driver.execute_script(script, *arguments)

    def settled(self, promise: str) -> Any:
        """What the promise that a JavaScript expression makes is fulfilled with, within 120 s."""
        script = f"const told = arguments[0]; ({promise}).then(value => told([value]), error => told(String(error)))"
        try:
            found = self.driver.execute_async_script(script)
        except TimeoutException:
            pytest.fail(f"{promise} came to no end; the page says: {self.element('body').text!r}")
        assert isinstance(found, list), found
        return found[0]

    def until(self, expression: str) -> Any:
        """The value of a JavaScript expression as soon as it is true. It is looked at every 20 ms, for 120 s."""
        look = f"const value = {expression}; if (value) resolve(value); else setTimeout(look, 20);"
        return self.settled(f"new Promise(resolve => {{ const look = () => {{ {look} }}; look(); }})")

    def choose(self, selector: str, *paths: Path) -> None:
        """The files, or the one directory, are chosen in a file field."""
        self.element(selector).send_keys("\n".join(map(str, paths)))

    def drop(self, selector: str, *paths: Path) -> None:
        """The files and directories are dragged in from outside and dropped on the element."""
        box = self.element(selector).rect
        event = {
            "x": box["x"] + box["width"] / 2,
            "y": box["y"] + box["height"] / 2,
            "data": {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1},
        }
        for kind in ("dragEnter", "dragOver", "drop"):
            self.driver.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, **event})

    def tab(self) -> None:
        """The tabulator key is pressed."""
        ActionChains(self.driver).send_keys(Keys.TAB).perform()

    def console(self) -> list[str]:
        """What the console has said since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]
