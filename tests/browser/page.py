"""The page of the receiver, open in the browser."""

from __future__ import annotations

from .chromium import Chromium
from .site import Site

__all__ = ["MIB", "Page"]

MIB = 1024 * 1024


class Page:
    """The page of one site, open in the browser."""

    def __init__(self, chromium: Chromium, site: Site, url: str) -> None:
        self.chromium = chromium
        self.site = site
        self.url = url
        chromium.console()
        chromium.open(url)
        chromium.until("document.readyState === 'complete'")

    def rows(self, selector: str) -> list[tuple[str, str]]:
        """The name and the details of every upload in a list."""
        found = self.chromium.run(
            "return [...document.querySelectorAll(`${arguments[0]} li`)]"
            ".map(row => ['.name', '.detail'].map(part => row.querySelector(part).textContent))",
            selector,
        )
        return [(name, detail) for name, detail in found]

    def done(self, *names: str) -> None:
        """Exactly these are done, as the server says, and nothing is in progress, when this returns."""
        self.chromium.until(
            f"document.querySelectorAll('#done li').length === {len(names)}"
            " && !document.querySelector('#mine-open li, #mine-done li, #open li')"
        )
        assert sorted(name for name, _ in self.rows("#done")) == sorted(names)

    def press(self, action: str) -> None:
        """Press the button of the first upload of this page."""
        self.chromium.element(f"#mine-open [data-action={action}]").click()

    def buttons(self) -> list[str]:
        """What the buttons of the first upload of this page say."""
        shown = "[...document.querySelectorAll('#mine-open li:first-child .actions button')].filter(b => !b.hidden)"
        return list(self.chromium.run(f"return {shown}.map(button => button.textContent)"))

    def detail(self, words: str) -> None:
        """The first upload of this page says so when this returns."""
        self.chromium.until(f"document.querySelector('#mine-open .detail')?.textContent.includes({words!r})")

    def news(self, sentence: str) -> None:
        """The page has said this when this returns."""
        self.chromium.until(f"document.getElementById('news').textContent === {sentence!r}")

    def trouble(self, words: str) -> None:
        """The page tells of this trouble when this returns."""
        self.chromium.until(f"document.getElementById('trouble').textContent.includes({words!r})")

    def width(self, width: int, height: int = 800) -> None:
        """The window is as wide."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.chromium.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, scheme: str) -> None:
        """Somebody prefers light or dark."""
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.chromium.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
