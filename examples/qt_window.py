"""A window of Qt that uploads files and directories: python examples/qt_window.py URL

It is written for PySide6. With PyQt6 the imports change, and nothing else.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, Qt, QTimer
from PySide6.QtGui import QCloseEvent, QPainter
from PySide6.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionProgressBar,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from resumable import Resumable, ResumableFile
from resumable.adapters.qt import QtLoop
from resumable.units import count, duration, rate, size

HEADINGS = ("File", "", "Progress")
BAR = 1
REFRESHED = 200  # milliseconds


class Files(QAbstractTableModel):
    """The files of a session. Only the rows that can be seen are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[ResumableFile] = []

    def insert(self, files: list[ResumableFile]) -> None:
        self.beginInsertRows(QModelIndex(), len(self.files), len(self.files) + len(files) - 1)
        self.files += files
        self.endInsertRows()

    def replace(self, files: list[ResumableFile]) -> None:
        self.beginResetModel()
        self.files = files
        self.endResetModel()

    def rowCount(self, parent: Any = None) -> int:
        return len(self.files)

    def columnCount(self, parent: Any = None) -> int:
        return len(HEADINGS)

    def headerData(self, section: int, orientation: Any, role: int = 0) -> Any:
        shown = orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole
        return HEADINGS[section] if shown else None

    def data(self, index: Any, role: int = 0) -> Any:
        file = self.files[index.row()]
        if role == Qt.ItemDataRole.ToolTipRole and file.error is not None:
            return str(file.error)
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return (file.relative_path, part(file), facts(file))[index.column()]


class BarDelegate(QStyledItemDelegate):
    """Draws a number from 0 to 1 as a bar."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Any) -> None:
        bar = QStyleOptionProgressBar()
        bar.rect = option.rect.adjusted(2, 4, -2, -4)
        bar.state = option.state | QStyle.StateFlag.State_Horizontal
        bar.maximum, bar.progress = 1000, int(1000 * index.data())
        QApplication.style().drawControl(QStyle.ControlElement.CE_ProgressBar, bar, painter)


class Window(QWidget):
    """A row and a bar for each file, a bar for all, and buttons for the chosen rows, or for everything."""

    def __init__(self, url: str) -> None:
        super().__init__(windowTitle="Upload")
        self.added: list[ResumableFile] = []
        self.uploaded: set[ResumableFile] = set()
        self.failed: set[ResumableFile] = set()
        self._build()
        # Handlers run on the thread of the window, a few milliseconds in a row.
        self.session = Resumable(url, deliver=QtLoop())
        self.session.on("files_added", self.added.extend)
        self.session.on("file_success", lambda file: self.uploaded.add(file) if self.is_there(file) else None)
        self.session.on("file_error", lambda file: self.failed.add(file))
        self.session.on("error", self.show_error)
        self.timer = QTimer(self, interval=REFRESHED)
        self.timer.timeout.connect(self.refresh)
        self.timer.start()

    def _build(self) -> None:
        buttons = QHBoxLayout()
        self.buttons = {}
        for name, command in {
            "Add files…": lambda: self.add(QFileDialog.getOpenFileNames(self)[0]),
            "Add folder…": lambda: self.add([QFileDialog.getExistingDirectory(self)]),
            "Pause": lambda: [each.pause() for each in self.chosen()],
            "Resume": lambda: [each.resume() for each in self.chosen()],
            "Retry": self.retry,
            "Cancel": self.cancel,
        }.items():
            self.buttons[name] = QPushButton(name)
            self.buttons[name].clicked.connect(command)
            buttons.addWidget(self.buttons[name])
        buttons.addStretch()

        self.model, self.table = Files(), QTableView()
        self.table.setModel(self.model)
        self.table.setItemDelegateForColumn(BAR, BarDelegate(self.table))
        self.table.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
        self.table.selectionModel().selectionChanged.connect(self.explain)
        self.table.verticalHeader().hide()
        self.table.setColumnWidth(0, 260)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.bar, self.total, self.error = QProgressBar(maximum=1000), QLabel(), QLabel(wordWrap=True)
        self.error.setStyleSheet("color: #b00020")
        layout = QVBoxLayout(self)
        layout.addLayout(buttons)
        for widget in (self.table, self.bar, self.total, self.error):
            layout.addWidget(widget)
        self.resize(820, 460)

    def add(self, paths: list[str]) -> None:
        """Add what was chosen, which is looked for on another thread. Nothing was if the dialog was cancelled."""
        self.error.clear()
        self.session.add_in_background([path for path in paths if path])

    def chosen(self) -> list[ResumableFile] | list[Resumable]:
        """Return the files of the chosen rows, or else the session, which has the same methods."""
        return [self.model.files[row.row()] for row in self.table.selectionModel().selectedRows()] or [self.session]

    def retry(self) -> None:
        self.error.clear()
        if not self.table.selectionModel().hasSelection():
            self.session.retry_failed()
        for file in self.chosen():
            if isinstance(file, ResumableFile) and file.error is not None:
                file.retry()

    def cancel(self) -> None:
        for each in self.chosen():
            each.cancel()
        gc.unfreeze()
        there = set(self.session.files)
        self.model.replace([file for file in self.model.files if file in there])
        self.uploaded.intersection_update(self.model.files)

    def is_there(self, file: ResumableFile) -> bool:
        """Return whether the session has the file. It may have been removed since something happened to it."""
        return self.session.get_from_unique_identifier(file.unique_identifier or "") is file

    def explain(self) -> None:
        """Show the whole error of a chosen file."""
        errors = [file.error for file in self.chosen() if isinstance(file, ResumableFile)]
        self.error.setText(next((str(error) for error in errors if error is not None), ""))

    def show_error(self, message: str, file: ResumableFile | None) -> None:
        """Show what could not be added. The error of a file stands in its row."""
        if file is None:
            self.error.setText(message)

    def refresh(self) -> None:
        """Show what moves, and the whole."""
        session = self.session
        if self.added:
            # Together, because a table of Qt looks at all its rows whenever it gets more.
            self.model.insert([file for file in self.added if self.is_there(file)])
            self.added.clear()
            # Python looks for objects that nothing needs now and then, which takes half a second with 20,000 files. It
            # need not look at those.
            gc.freeze()
        self.table.viewport().update()
        whole, left = session.get_size(), session.time_remaining
        self.bar.setValue(int(1000 * session.bytes_transferred / whole) if whole else 0)
        words = [
            f"{count(len(self.uploaded))} of {count(len(self.model.files), 'file')} uploaded",
            f"{size(session.bytes_transferred)} of {size(whole)}",
        ]
        self.failed = {file for file in self.failed if file.state.value == "error" and self.is_there(file)}
        if self.failed:
            words.append(f"{count(len(self.failed))} failed")
        if session.retry_in is not None:
            words.append(f"next try in {duration(session.retry_in)}")
        elif session.state.value == "paused":
            words.append("paused")
        elif session.is_uploading():
            words += [rate(session.speed), *([f"{duration(left)} left"] if left is not None else [])]
        self.total.setText(", ".join(words))

    def closeEvent(self, event: QCloseEvent) -> None:
        """End the requests, within two seconds. The next upload of these files sends what is missing."""
        self.hide()
        self.timer.stop()
        self.session.close()


def part(file: ResumableFile) -> float:
    return file.bytes_transferred / file.size if file.size else float(file.is_complete())


def facts(file: ResumableFile) -> str:
    """Say in words what there is to say about a file."""
    state, left = file.state.value, file.time_remaining
    if state == "success":
        return f"{size(file.size)}, uploaded"
    if state == "error":
        return str(file.error)
    if file.retry_in is not None:
        return f"next try in {duration(file.retry_in)}"
    if file.is_uploading():
        words = [f"{size(file.bytes_transferred)} of {size(file.size)}", rate(file.speed)]
        return ", ".join(words + ([f"{duration(left)} left"] if left is not None else []))
    return "paused" if "paused" in (state, file.resumable_obj.state.value) else "waiting"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    application = QApplication(sys.argv)
    window = Window(sys.argv[1])
    window.show()
    sys.exit(application.exec())
