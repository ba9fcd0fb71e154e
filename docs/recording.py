"""Record what the README shows: an upload in a real terminal that is interrupted, and then resumed.

``make pictures`` runs this and writes ``_static/terminal.svg``, an animation that every browser plays without a script.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

from pyte.screens import Char
from support.terminal import COLUMNS, Terminal

from resumable.receiver import Receiver, Server

OUTPUT = Path(__file__).parent / "_static" / "terminal.svg"
ROWS = 9
CELL, LINE, MARGIN = 8.4, 19, 16
FRAME = 0.1
"""Minimum seconds between two frames."""

LONGEST = 0.8
"""Maximum seconds between two frames."""

PAUSE = 4.0
"""Seconds that the last frame stays."""

COLORS = {
    "default": "#e6edf3",
    "black": "#484f58",
    "red": "#ff7b72",
    "green": "#56d364",
    "brown": "#e3b341",
    "blue": "#79c0ff",
    "magenta": "#d2a8ff",
    "cyan": "#76e3ea",
    "white": "#b1bac4",
}
"""The names that pyte gives to the colours of a terminal."""

Row = tuple[tuple[str, str, bool], ...]


class Recorder:
    """What stood in each row of the screen, and for how long."""

    def __init__(self) -> None:
        self._looked = time.monotonic()
        self.frames: list[tuple[float, tuple[Row, ...]]] = []

    def look(self, terminal: Terminal) -> None:
        """Take a picture of the screen; it replaces the last one if that is too recent. Long waits are shortened."""
        screen = tuple(_row(terminal, row) for row in range(ROWS))
        passed = time.monotonic() - self._looked
        if self.frames and passed < FRAME:
            self.frames[-1] = (self.frames[-1][0], screen)
            return
        self._looked += passed
        self.frames.append((self.frames[-1][0] + min(passed, LONGEST) if self.frames else 0.0, screen))

    def lines(self) -> Iterator[tuple[int, Row, float, float]]:
        """Each row's content with the times at which it appears and disappears."""
        end = self.frames[-1][0] + PAUSE
        for row in range(ROWS):
            for content, group in groupby(
                zip(self.frames, [*self.frames[1:], (end, ())], strict=True), key=lambda pair: pair[0][1][row]
            ):
                shown = list(group)
                if content:
                    yield row, content, shown[0][0][0], shown[-1][1][0]


def _row(terminal: Terminal, row: int) -> Row:
    """The text of one row in pieces of one colour each."""

    def style(cell: Char) -> tuple[str, bool]:
        return COLORS.get(cell.fg, f"#{cell.fg}" if len(cell.fg) == 6 else COLORS["default"]), cell.bold

    cells = [terminal.screen.buffer[row][column] for column in range(COLUMNS)]
    pieces = [("".join(cell.data for cell in group), *key) for key, group in groupby(cells, key=style)]
    return tuple(pieces) if any(text.strip() for text, *_ in pieces) else ()


def svg(recorder: Recorder) -> str:
    """The animation. Without animations, the last frame is what is seen."""
    end = recorder.frames[-1][0] + PAUSE
    width, height = round(COLUMNS * CELL + 2 * MARGIN), ROWS * LINE + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
        '<g font-family="ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="14">',
    ]
    for row, content, begin, until in recorder.lines():
        pieces, column = [], 0
        for text, color, bold in content:
            weight = ' font-weight="bold"' if bold else ""
            # Renderers shorten spaces, so what stands between two wide gaps has a place of its own.
            for words in re.finditer(r"\S+(?: \S+)*", text):
                place = f'x="{MARGIN + (column + words.start()) * CELL:.1f}" textLength="{len(words[0]) * CELL:.1f}"'
                pieces.append(f'<tspan {place} fill="{color}"{weight}>{escape(words[0])}</tspan>')
            column += len(text)
        shown = "visible" if until == end else "hidden"
        times = [(0.0, "hidden"), (begin, "visible"), (until, "hidden")][0 if begin else 1 :]
        kept = [(at, value) for at, value in times if at < end]
        keys, values = ";".join(f"{at / end:.4f}" for at, _ in kept), ";".join(value for _, value in kept)
        parts.append(
            f'<text y="{MARGIN + (row + 0.75) * LINE:.0f}" visibility="{shown}">{"".join(pieces)}'
            f'<animate attributeName="visibility" calcMode="discrete" dur="{end:.1f}s" repeatCount="indefinite" '
            f'keyTimes="{keys}" values="{values}"/></text>'
        )
    return "\n".join([*parts, "</g>", "</svg>"]) + "\n"


def record(folder: Path) -> Recorder:
    """Upload a file, press Ctrl-C half way, and run the command again."""
    (folder / "video.mp4").write_bytes(os.urandom(1024) * 100 * 1024)
    environment = {"PS1": "$ ", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)}
    with (
        Server(Receiver(folder / "incoming"), port=8000) as server,
        Terminal([], folder, program=["/bin/sh", "-i"], **environment) as terminal,
    ):
        command = f"resumable upload --limit-rate 20M video.mp4 {server.url}"
        terminal.until(lambda text: text.endswith("$"))
        recorder = Recorder()

        def watch(seen: Callable[[str], object]) -> None:
            while not seen(terminal.text):
                assert terminal.read(), terminal.text
                recorder.look(terminal)

        recorder.look(terminal)
        terminal.type(command)
        watch(lambda text: re.search(r"\b4\d%", text))
        terminal.press("c")
        watch(lambda text: text.endswith("$"))
        terminal.type(command)
        watch(lambda text: "already there" in text and text.endswith("$"))
        return recorder


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        OUTPUT.write_text(svg(record(Path(folder))), encoding="utf-8")
