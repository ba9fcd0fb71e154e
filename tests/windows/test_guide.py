"""The programs of docs/how-to/windows.rst run as they stand there, and are no longer than a reader wants to copy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.scripted_server import PATIENCE

pytestmark = pytest.mark.once

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "windows.rst"
PROGRAMS = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", PAGE.read_text(encoding="utf-8"))

CHOOSING = {
    "tk": """
import tkinter
from tkinter import filedialog
filedialog.askopenfilenames = lambda: ("video.mp4",)
def mainloop(root):
    while root.title() not in ("Uploaded", "Failed"):
        root.update()
    print(root.title(), root.winfo_children()[0]["value"])
tkinter.Tk.mainloop = mainloop
""",
    "qt": """
from PySide6.QtWidgets import QApplication, QFileDialog
QFileDialog.getOpenFileNames = lambda: (["video.mp4"], "")
def run(application):
    (bar,) = application.topLevelWidgets()
    while bar.windowTitle() not in ("Uploaded", "Failed"):
        application.processEvents()
    print(bar.windowTitle(), bar.value() / 100)
QApplication.exec = run
""",
}


def test_a_program_of_the_page_uploads_what_is_chosen(
    toolkit: str, receiver_url: str, received: Path, tmp_path: Path, plain_environment: dict[str, str]
) -> None:
    """A person chooses a file in the dialog, and looks until the window says that it is uploaded."""
    kind = "tk" if toolkit == "tk" else "qt"
    (program,) = (each for each in PROGRAMS if {"tk": "import tkinter", "qt": "from PySide6"}[kind] in each)
    code = "\n".join(line.removeprefix("    ") for line in program.splitlines())
    assert len([line for line in code.splitlines() if line]) <= 15
    code = CHOOSING[kind] + code.replace("https://example.com/upload", receiver_url)
    (tmp_path / "video.mp4").write_bytes(bytes(3_000_000))
    ran = subprocess.run(
        [sys.executable, "-c", code.replace("PySide6", toolkit)],
        cwd=tmp_path,
        env=plain_environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ran.stdout == "Uploaded 1.0\n", ran.stderr
    assert "Traceback" not in ran.stderr
    assert (received / "video.mp4").read_bytes() == bytes(3_000_000)
