"""A window of Tk that uploads files and directories: python examples/tk_window.py URL"""

from __future__ import annotations

import gc
import sys
import tkinter
from collections import Counter
from tkinter import filedialog, ttk

from resumable import Resumable, ResumableFile
from resumable.adapters.callback import follow
from resumable.adapters.tk import TkLoop
from resumable.units import count, duration, rate, size

COLUMNS = {"name": ("File", 260), "bar": ("", 150), "facts": ("Progress", 390)}
REFRESHED = 200  # milliseconds


class Window(tkinter.Tk):
    """A row and a bar for each file, a bar for all, and buttons for the chosen rows, or for everything."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.title("Upload")
        self.rows: dict[ResumableFile, str] = {}
        self.states: dict[ResumableFile, str] = {}
        self._build()
        # Handlers run on the thread of the window, a few milliseconds in a row.
        self.session = Resumable(url, deliver=TkLoop(self))
        self.session.on("file_added", self.insert)
        # Python looks for objects that nothing needs now and then, which takes half a second with 20,000 files. It need
        # not look at those.
        self.session.on("files_added", lambda: gc.freeze())
        follow(self.session, self.show)
        self.session.on("error", self.show_error)
        self.protocol("WM_DELETE_WINDOW", self.close)
        self.refresh()

    def _build(self) -> None:
        buttons = ttk.Frame(self, padding=6)
        buttons.pack(fill="x")
        self.buttons = {}
        for name, command in {
            "Add files…": lambda: self.add(filedialog.askopenfilenames()),
            "Add folder…": lambda: self.add([filedialog.askdirectory()]),
            "Pause": lambda: [each.pause() for each in self.chosen()],
            "Resume": lambda: [each.resume() for each in self.chosen()],
            "Retry": self.retry,
            "Cancel": self.cancel,
        }.items():
            self.buttons[name] = ttk.Button(buttons, text=name, command=command)
            self.buttons[name].pack(side="left", padx=2)

        self.error = tkinter.StringVar(self)
        ttk.Label(self, textvariable=self.error, foreground="#b00020", wraplength=780, padding=6).pack(
            side="bottom", fill="x"
        )
        self.total = tkinter.StringVar(self)
        ttk.Label(self, textvariable=self.total, padding=6).pack(side="bottom", fill="x")
        self.bar = ttk.Progressbar(self, maximum=1.0)
        self.bar.pack(side="bottom", fill="x", padx=6)

        self.table = ttk.Treeview(self, columns=list(COLUMNS), show="headings", height=14)
        for column, (heading, width) in COLUMNS.items():
            self.table.heading(column, text=heading, anchor="w")
            self.table.column(column, width=width, stretch=column != "bar")
        scrollbar = ttk.Scrollbar(self, command=self.table.yview)
        self.table.configure(yscrollcommand=scrollbar.set)
        scrollbar.pack(side="right", fill="y")
        self.table.pack(fill="both", expand=True)
        self.table.bind("<<TreeviewSelect>>", lambda event: self.explain())

    def add(self, paths: list[str] | tuple[str, ...] | str) -> None:
        """Add what was chosen, which is looked for on another thread. Nothing was if the dialog was cancelled."""
        self.error.set("")
        self.session.add_in_background([path for path in paths if path])

    def chosen(self) -> list[ResumableFile] | list[Resumable]:
        """Return the files of the chosen rows, or else the session, which has the same methods."""
        rows = set(self.table.selection())
        return [file for file, row in self.rows.items() if row in rows] or [self.session]

    def retry(self) -> None:
        self.error.set("")
        if self.table.selection():
            for file in self.chosen():
                if isinstance(file, ResumableFile) and file.error is not None:
                    file.retry()
        else:
            self.session.retry_failed()

    def cancel(self) -> None:
        for each in self.chosen():
            each.cancel()
        gc.unfreeze()
        gone = set(self.rows).difference(self.session.files)
        self.table.delete(*[self.rows.pop(file) for file in gone])
        for file in gone:
            del self.states[file]

    def explain(self) -> None:
        """Show the whole error of a chosen file."""
        errors = [file.error for file in self.chosen() if isinstance(file, ResumableFile)]
        self.error.set(next((str(error) for error in errors if error is not None), ""))

    def insert(self, file: ResumableFile) -> None:
        # It may have been removed since.
        if self.session.get_from_unique_identifier(file.unique_identifier or "") is file:
            self.rows[file] = self.table.insert("", "end")

    def show(self, file: ResumableFile) -> None:
        """Show a file that was added, has moved, or has ended, unless it was removed."""
        if file in self.rows:
            state = self.states[file] = file.state.value
            part = file.bytes_transferred / file.size if file.size else float(state == "success")
            bar = "█" * int(15 * part)
            self.table.item(
                self.rows[file], values=(file.relative_path, f"{bar:░<15}", facts(file, paused=self.paused))
            )

    def show_error(self, message: str, file: ResumableFile | None) -> None:
        """Show what could not be added. The error of a file stands in its row."""
        if file is None:
            self.error.set(message)

    @property
    def paused(self) -> bool:
        return self.session.state.value == "paused"

    def refresh(self) -> None:
        """Show what moves, and the whole."""
        for file in [file for file, state in self.states.items() if state in ("paused", "uploading")]:
            self.show(file)
        session, states = self.session, Counter(self.states.values())
        whole, left = session.get_size(), session.time_remaining
        self.bar["value"] = session.bytes_transferred / whole if whole else 0.0
        words = [
            f"{count(states['success'])} of {count(len(self.states), 'file')} uploaded",
            f"{size(session.bytes_transferred)} of {size(whole)}",
        ]
        if states["error"]:
            words.append(f"{count(states['error'])} failed")
        if session.retry_in is not None:
            words.append(f"next try in {duration(session.retry_in)}")
        elif self.paused:
            words.append("paused")
        elif session.is_uploading():
            words += [rate(session.speed), *([f"{duration(left)} left"] if left is not None else [])]
        self.total.set(", ".join(words))
        self.timer = self.after(REFRESHED, self.refresh)

    def close(self) -> None:
        """End the requests, within two seconds. The next upload of these files sends what is missing."""
        self.withdraw()
        self.after_cancel(self.timer)
        self.session.close()
        self.destroy()


def facts(file: ResumableFile, *, paused: bool) -> str:
    """Say in words what there is to say about a file."""
    state, left = file.state.value, file.time_remaining
    if state == "success":
        return f"{size(file.size)}, uploaded"
    if state == "error":
        return str(file.error)
    if file.retry_in is not None:
        return f"next try in {duration(file.retry_in)}"
    if state == "uploading" and not paused:
        words = [f"{size(file.bytes_transferred)} of {size(file.size)}", rate(file.speed)]
        return ", ".join(words + ([f"{duration(left)} left"] if left is not None else []))
    return "paused" if paused or state == "paused" else "waiting"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    Window(sys.argv[1]).mainloop()
