"""What type checkers and editors know of the options and the events."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from resumable import Resumable, static_types
from resumable.events import (
    EVENTS,
    EventName,
    FileEventName,
    canonical,
    file_event,
)
from resumable.options import OPTIONS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PYRIGHT = "pyright@1.1.414"

GOOD = """\
import asyncio

import requests

import resumable
from resumable import Resumable, ResumableChunk, ResumableFile, Result


def headers(file: ResumableFile, chunk: ResumableChunk) -> dict[str, str]:
    return {"Authorization": "Bearer token"}


def main(url: str, account: requests.Session) -> Result:
    def done(file: ResumableFile, message: str | None) -> None:
        print(file.file_name, message)

    def moved(file: ResumableFile) -> None:
        print(file.progress())

    with Resumable(
        url,
        chunk_size=2**20,
        headers=headers,
        session=account,
        chunk_order="bookends",
        retry_for=60,
        timeout=(5, 30),
        deliver="manual",
        accept_response=lambda response: None if response.status == 200 else False,
        chunk_retry_interval=lambda attempt: 0.5 * attempt,
        completion_delay=1,
        cancel_deletes=True,
    ) as session:
        session.on("file_success", done)
        session.on("fileSuccess", done)
        file = session.add_file("a.bin", on={"progress": moved})
        file.on("success", done)
        session.join()
    return resumable.upload(["a.bin", "b.bin"], url, simultaneous_uploads=2, file_type="bin", query={"a": 1})


class Labels:
    name = "labels"

    def attach(self, session: Resumable) -> None: ...

    def query(self, file: ResumableFile, chunk: resumable.ResumableChunk) -> dict[str, str]:
        return {}


def plug(url: str) -> None:
    plugin: resumable.Plugin = Labels()
    hook: resumable.static_types.MakeExtra = Labels().query
    Resumable(url, plugins=[plugin, "sha256"], query=hook)


async def window(url: str, loop: asyncio.AbstractEventLoop) -> None:
    session = Resumable(url, deliver=loop.call_soon_threadsafe, loop=loop)
    session.add_file("a.bin")
"""

BAD = {
    'Resumable("http://h/", chunk_sizee=5)': "chunk_sizee",
    'Resumable("http://h/", limit_rate="fast")': "limit_rate",
    'Resumable("http://h/", chunk_order="randomly")': "chunk_order",
    'Resumable("http://h/", retry_for="long")': "retry_for",
    'Resumable("http://h/", accept_response=True)': "accept_response",
    'Resumable("http://h/", 2**20, 3, {}, True, 5, (400,), 7)': "Too many positional",
    'resumable.upload("a", "http://h/", chunk_sizee=5)': "chunk_sizee",
    'resumable.upload("a", "http://h/", chunk_size="1M")': "chunk_size",
    "resumable.uplaod": "uplaod",
    'Resumable("http://h/", plugins=[object()])': "Plugin",
}


def test_the_keywords_are_the_options() -> None:
    first = set(inspect.signature(Resumable.__init__).parameters) - {"self", "options"}
    given = set(static_types.SessionOptions.__annotations__)
    assert given.isdisjoint(first)
    assert given | first == set(OPTIONS)
    assert set(static_types.UploadOptions.__annotations__) == set(OPTIONS) - {"target"}


def test_the_event_names_are_those_of_the_events() -> None:
    names = get_args(EventName)
    assert {canonical(name) for name in names} == set(EVENTS)
    assert set(names) == set(EVENTS) | {event.js_name for event in EVENTS.values() if event.js_name}
    of_files = {name for name, event in EVENTS.items() if event.subject in ("file", "chunk")} | {"catch_all"}
    assert {file_event(name) for name in get_args(FileEventName)} == of_files


def check(program: str, folder: Path) -> list[str]:
    """What ``mypy --strict`` says of a user's program."""
    path = folder / "program.py"
    path.write_text(program, encoding="utf-8")
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-error-summary",
            "--cache-dir",
            str(folder / "cache"),
            str(path),
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        timeout=110,
    )
    assert ran.stderr == ""
    return ran.stdout.splitlines()


@pytest.mark.once
@pytest.mark.skipif(not os.environ.get("RESUMABLE_PYRIGHT"), reason="RESUMABLE_PYRIGHT=1 installs pyright by npm")
def test_pyright_in_strict_mode_takes_a_right_program_and_finds_each_wrong_line(tmp_path: Path) -> None:
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(tmp_path), PYRIGHT]
    subprocess.run(install, check=True, stdout=subprocess.DEVNULL, timeout=200)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "good.py").write_text(GOOD, encoding="utf-8")
    (programs / "bad.py").write_text("\n".join(["import resumable", "from resumable import Resumable", *BAD]), "utf-8")
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)], "reportUnusedExpression": "none"}
    (programs / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    checker = str(tmp_path / "node_modules" / "pyright" / "index.js")
    ran = subprocess.run(
        ["node", checker, "--outputjson", "--pythonpath", sys.executable],
        cwd=programs,
        stdout=subprocess.PIPE,
        text=True,
        timeout=200,
    )
    found: dict[int, str] = {}
    for each in json.loads(ran.stdout)["generalDiagnostics"]:
        assert Path(each["file"]).name == "bad.py", each
        number = each["range"]["start"]["line"] - 2
        found[number] = found.get(number, "") + each["message"].replace("Expected 7", "Too many")
    assert set(found) == set(range(len(BAD)))
    for number, words in enumerate(BAD.values()):
        assert words in found[number]


@pytest.mark.once
def test_a_type_checker_takes_a_right_program_and_finds_each_wrong_line(tmp_path: Path) -> None:
    lines = ["import resumable", "from resumable import Resumable", *BAD]
    program = GOOD + "\n\n" + "\n".join(lines) + "\n"
    first = len(GOOD.splitlines()) + 2 + 2
    found: dict[int, str] = {}
    for line in check(program, tmp_path):
        said = re.match(r"program\.py:(\d+): error: (.*)", line)
        if said:
            found[int(said[1])] = found.get(int(said[1]), "") + said[2]
    assert {number - first - 1 for number in found} == set(range(len(BAD))), found
    for number, words in enumerate(BAD.values(), first + 1):
        assert words in found[number]
