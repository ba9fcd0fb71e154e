"""What a person does with the windows of the examples, and what is read there: the same for every toolkit."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from support.scripted_server import PATIENCE

__all__ = ["TOOLKITS", "Driver", "Row", "example", "screen"]

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@contextmanager
def screen() -> Iterator[None]:
    """A display of X that is in memory only, which programs find by the environment."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1024x768x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as xvfb:
        os.close(writing)
        with os.fdopen(reading) as number:
            os.environ["DISPLAY"] = f":{number.readline().strip()}"
        os.environ["QT_QPA_PLATFORM"] = "xcb"
        try:
            yield
        finally:
            xvfb.terminate()


class Row(NamedTuple):
    """A row of the table: the name of the file, the filled part of its bar, and the words beside."""

    name: str
    bar: float
    words: str


class Driver:
    """The window of an example. The base of those of the toolkits."""

    def turn(self) -> None:
        """Let the toolkit do what waits."""
        raise NotImplementedError

    def until(self, condition: Callable[[], Any]) -> None:
        """Let the toolkit work until the condition holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, (self.total, self.error, self.rows[:5])
            self.turn()
            time.sleep(0.001)

    @property
    def words(self) -> dict[str, str]:
        """The words beside each file."""
        return {row.name: row.words for row in self.rows}


class TkDriver(Driver):
    """The window of Tk."""

    def __init__(self, toolkit: str, url: str) -> None:
        self.module = example(toolkit)
        self.window = self.module.Window(url)

    def turn(self) -> None:
        self.window.update()

    @property
    def rows(self) -> list[Row]:
        table = self.window.table
        shown = [table.item(row, "values") for row in table.get_children()]
        return [Row(name, bar.count("█") / len(bar), words) for name, bar, words in shown]

    @property
    def total(self) -> str:
        return str(self.window.total.get())

    @property
    def bar(self) -> float:
        return float(self.window.bar["value"])

    @property
    def error(self) -> str:
        return str(self.window.error.get())

    def click(self, name: str) -> None:
        self.window.buttons[name].invoke()

    def select(self, *names: str) -> None:
        table = self.window.table
        table.selection_set([row for row in table.get_children() if table.item(row, "values")[0] in names])
        self.window.update()

    def choose(self, monkeypatch: Any, *, files: list[Path], folder: Path | None = None) -> None:
        """Choose these in the dialogs, which a person would do."""
        dialogs = self.module.filedialog
        monkeypatch.setattr(dialogs, "askopenfilenames", lambda: tuple(map(str, files)) or "")
        monkeypatch.setattr(dialogs, "askdirectory", lambda: str(folder) if folder else ())

    def every_millisecond(self, call: Callable[[], None]) -> None:
        def tick() -> None:
            self.window.after(1, tick)
            call()

        self.window.after(1, tick)

    def run(self) -> None:
        self.window.mainloop()

    def quit(self) -> None:
        self.window.quit()

    def place(self) -> tuple[int, int, int, int]:
        window = self.window
        return window.winfo_rootx(), window.winfo_rooty(), window.winfo_width(), window.winfo_height()

    def loop(self) -> Any:
        from resumable.adapters.tk import TkLoop

        return TkLoop(self.window)

    def close(self) -> None:
        if self.window.session.state.value != "closed":
            self.window.close()


class QtDriver(Driver):
    """The window of Qt, of either package."""

    def __init__(self, toolkit: str, url: str) -> None:
        self.module = example(toolkit)
        widgets = self.module.QApplication
        self.application = widgets.instance() or widgets([])
        self.window = self.module.Window(url)
        self.window.show()

    def turn(self) -> None:
        self.application.processEvents()

    @property
    def rows(self) -> list[Row]:
        model = self.window.model
        return [
            Row(*(model.data(model.index(row, column)) for column in range(model.columnCount())))
            for row in range(model.rowCount())
        ]

    @property
    def total(self) -> str:
        return str(self.window.total.text())

    @property
    def bar(self) -> float:
        return float(self.window.bar.value() / self.window.bar.maximum())

    @property
    def error(self) -> str:
        return str(self.window.error.text())

    def click(self, name: str) -> None:
        from importlib import import_module

        test = import_module(self.module.QTimer.__module__.replace("QtCore", "QtTest")).QTest
        test.mouseClick(self.window.buttons[name], self.module.Qt.MouseButton.LeftButton)

    def select(self, *names: str) -> None:
        self.window.table.clearSelection()
        for row, shown in enumerate(self.rows):
            if shown.name in names:
                self.window.table.selectRow(row)

    def choose(self, monkeypatch: Any, *, files: list[Path], folder: Path | None = None) -> None:
        chosen = {
            "getOpenFileNames": lambda parent: (list(map(str, files)), ""),
            "getExistingDirectory": lambda parent: str(folder) if folder else "",
        }
        monkeypatch.setattr(self.module, "QFileDialog", SimpleNamespace(**chosen))

    def every_millisecond(self, call: Callable[[], None]) -> None:
        self.ticks = self.module.QTimer(self.window, interval=1)
        self.ticks.timeout.connect(call)
        self.ticks.start()

    def run(self) -> None:
        self.application.exec()

    def quit(self) -> None:
        self.application.exit()

    def place(self) -> tuple[int, int, int, int]:
        return tuple(self.window.geometry().getRect())

    def loop(self) -> Any:
        from resumable.adapters.qt import QtLoop

        return QtLoop()

    def close(self) -> None:
        self.window.close()


def example(toolkit: str) -> ModuleType:
    """The module of the example; for PyQt6 with other imports, as it says itself."""
    path = EXAMPLES / ("tk_window.py" if toolkit == "tk" else "qt_window.py")
    code = re.sub("^from PySide6", f"from {toolkit}", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    module = ModuleType(path.stem)
    exec(compile(code, str(path), "exec"), vars(module))
    return module


TOOLKITS = {"tk": TkDriver, "PySide6": QtDriver, "PyQt6": QtDriver}
