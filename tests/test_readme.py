"""What the documentation shows runs, and what its tables say is what the code has."""

from __future__ import annotations

import configparser
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import click
import docutils.core
import pytest
from interoperability.servers.registry import SERVERS

from resumable.cli.app import COMMANDS, group
from resumable.cli.params.config import read_endpoint
from resumable.events import EVENTS
from resumable.options import OPTIONS
from resumable.receiver import Receiver, Server

ROOT = Path(__file__).parent.parent
Run = Callable[..., subprocess.CompletedProcess[str]]
TARGET = "https://example.com/upload"


class Block(NamedTuple):
    """One block of code of a page, its first line counted from 1."""

    page: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """Every block of code of a page, also those that have no language."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    found = []
    for number, line in enumerate(lines):
        opening = re.fullmatch(r"( *)(?:\.\. code-block::\s*(\S*)|.*(?<!^\.\.)::)", line)
        if opening is None or (line.lstrip().startswith("..") and "code-block" not in line):
            continue
        body = []
        for following in lines[number + 1 :]:
            if following.strip() and not following.startswith(opening[1] + "    "):
                break
            body.append(following[len(opening[1]) + 4 :])
        found.append(Block(page, number + 1, opening[2] or "", "\n".join(body).strip() + "\n"))
    return found


PAGES = [
    "README.rst",
    "CONTRIBUTING.rst",
    "SECURITY.rst",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.rst")) if "_build" not in path.parts),
]
BLOCKS = [block for page in PAGES for block in blocks(page)]
WITH_WINDOWS = {"docs/how-to/windows.rst"}
"""Pages whose programs open windows: the tests of windows run them."""
PROGRAMS = list(
    {block.code: block for block in BLOCKS if block.language == "python" and block.page not in WITH_WINDOWS}.values()
)
"""Blocks that are the same run once."""


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert all(block.code.strip() for block in BLOCKS), "a block is indented by four spaces"
    assert {block.language for block in BLOCKS} <= {"console", "html", "ini", "python", "text", "toml"}


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "toml"], ids=str)
def test_a_configuration_names_an_endpoint_that_can_be_read(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(block.code, encoding="utf-8")
    path.chmod(0o600)
    assert read_endpoint(path, "lab").url.startswith("https://")


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "ini"], ids=str)
def test_a_unit_starts_a_command_that_there_is(block: Block) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(block.code)
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "resumable"
    context = click.Context(group)
    command = group.get_command(context, arguments[0])
    assert command is not None
    values, _, _ = command.make_parser(context).parse_args(arguments[1:])
    assert values["words"]


@pytest.fixture
def any_dialect(received: Path) -> Iterator[str]:
    """The URL of a receiver for resumable.js and flow.js."""
    with Server(Receiver(received, dialect="any")) as server:
        yield server.url


@pytest.mark.once
@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_python_runs_against_a_real_receiver(
    block: Block, any_dialect: str, received: Path, run: Run, tmp_path: Path
) -> None:
    video = bytes(range(256)) * 4096 * 3
    (tmp_path / "video.mp4").write_bytes(video)
    (tmp_path / "photos" / "summer").mkdir(parents=True)
    (tmp_path / "photos" / "summer" / "beach.jpg").write_bytes(b"sand" * 1000)
    program = tmp_path / "program.py"
    program.write_text(block.code.replace(TARGET, any_dialect).replace("port=8080", "port=0"), encoding="utf-8")
    ran = run(program)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    if "video.mp4" not in block.code:
        return
    arrived = [*received.glob("video*.mp4"), *tmp_path.glob("*/video.mp4")]
    assert arrived
    assert all(path.read_bytes() == video for path in arrived)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "console"], ids=str)
def test_a_command_names_what_there_is(block: Block) -> None:
    extras = configparser.ConfigParser()
    extras.read(ROOT / "setup.cfg", encoding="utf-8")
    for line in block.code.splitlines():
        program, *arguments = shlex.split(line)
        if program == "make":
            assert set(arguments) <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)), line
        elif program == ".":
            assert arguments == [".venv/bin/activate"], line
        elif program == "resumable":
            assert arguments[0] in COMMANDS, line
        elif arguments[0] == "-m":
            assert importlib.util.find_spec(arguments[1]), line
            if arguments[1] == "pip":
                named = re.fullmatch(r"\.(?:\[([\w,]+)\])?", arguments[-1])
                assert named, line
                assert set(filter(None, (named[1] or "").split(","))) <= set(extras["options.extras_require"]), line
        else:
            assert Path(program).name.startswith("python"), line
            assert (ROOT / arguments[0]).is_file(), line


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "console"], ids=str)
def test_nothing_is_installed_or_found_outside_a_virtual_environment(block: Block) -> None:
    active = False
    for line in block.code.splitlines():
        active = active or line == ". .venv/bin/activate"
        needed = line.startswith("resumable ") or (" pip " in line and not line.startswith(".venv/"))
        assert active or not needed, line


@pytest.mark.once
@pytest.mark.parametrize("page", ["README.rst", "docs/tutorial/first-upload.rst"])
def test_the_commands_of_the_first_upload_work_word_by_word(page: str, tmp_path: Path) -> None:
    serving, uploading = (
        block.code
        for block in BLOCKS
        if block.page == page and block.language == "console" and re.search("^resumable ", block.code, re.MULTILINE)
    )
    venv.create(tmp_path / ".venv", with_pip=False)
    program = tmp_path / ".venv" / "bin" / "resumable"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m resumable "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    shutil.copy(ROOT / "README.rst", tmp_path)
    (tmp_path / "video.mp4").write_bytes(bytes(1024 * 1024))
    assert "--port 8000" in serving
    # Somebody else may have the port.
    script = serving.replace("--port 8000", "--port 0").replace("resumable serve", "exec resumable serve")
    with subprocess.Popen(["sh", "-ec", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            there = uploading.replace("http://127.0.0.1:8000/", url)
            subprocess.run(["sh", "-ec", there], cwd=tmp_path, stdin=subprocess.DEVNULL, check=True, timeout=100)
        finally:
            server.terminate()
    sources = {"README.rst": ["README.rst", "examples/demo.py"]}.get(page, ["video.mp4"])
    assert all((tmp_path / "incoming" / path).read_bytes() == (tmp_path / path).read_bytes() for path in sources)


def test_the_readme_and_the_change_log_are_well_formed() -> None:
    for page in ("README.rst", "CHANGES.rst"):
        text = (ROOT / page).read_text(encoding="utf-8")
        quiet = {"report_level": 2, "halt_level": 2, "syntax_highlight": "none", "file_insertion_enabled": False}
        docutils.core.publish_doctree(text, source_path=page, settings_overrides=quiet)


def test_the_tables_are_those_of_the_rows() -> None:
    specification = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert specification is not None
    assert specification.loader is not None
    tables = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tables)
    for page in tables.TABLES:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert text == tables.renewed(page), "make tables writes them anew"
    for page, rows in (("reference/options.rst", OPTIONS), ("reference/events.rst", EVENTS)):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert sorted(re.findall(r"^   \* - ``(\w+)``$", text, re.MULTILINE)) == sorted(rows)


def test_the_recording_shows_an_upload_that_is_interrupted_and_resumed() -> None:
    picture = ElementTree.parse(ROOT / "docs" / "_static" / "terminal.svg").getroot()
    shown = [text for text in picture.itertext() if text.strip()]
    assert any("Ctrl-C" in text for text in shown)
    assert any("of 100 chunks" in text for text in shown)
    assert shown.count("$ resumable upload --limit-rate 20M video.mp4 http://127.0.0.1:8000/") >= 2


def test_every_argument_of_an_event_is_explained() -> None:
    text = (ROOT / "docs" / "reference" / "events.rst").read_text(encoding="utf-8")
    terms = re.findall(r"^(``.*)\n    ", text, re.MULTILINE)
    explained = [name for term in terms for name in re.findall(r"``(\w+)``", term)]
    arguments = {name for row in EVENTS.values() for name in row.arguments if name.isidentifier()}
    assert sorted(explained) == sorted(arguments)


def test_every_page_is_in_one_part_of_the_documentation() -> None:
    docs = ROOT / "docs"
    listed = []
    for index in [docs / "index.rst", *docs.glob("*/index.rst")]:
        for entry in re.findall(r"^   ([\w/*-]+)$", index.read_text(encoding="utf-8"), re.MULTILINE):
            named = sorted(index.parent.glob(f"{entry}.rst"))
            assert named, f"{index} names {entry}"
            listed += [path for path in named if path != index and path not in listed]
    pages = {ROOT / page for page in PAGES if page.startswith("docs/")} - {docs / "index.rst"}
    assert set(listed) == pages


def test_every_server_that_is_tested_has_its_page_in_the_cookbook() -> None:
    pages = {path: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "cookbook").glob("*.rst")}
    tested = {path: re.findall(r"^:Tested with: (.*)$", text, re.MULTILINE) for path, text in pages.items()}
    for record in SERVERS.values():
        if record.name != "nginx":
            having = [path for path, lines in tested.items() if any(record.package in line for line in lines)]
            assert having, record.package
            assert all(("dialects." in pages[path]) == bool(record.options) for path in having if path.stem != "node")
    assert all(len(lines) == 1 for path, lines in tested.items() if path.stem != "index")


def test_the_files_that_the_pages_name_exist() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for name in re.findall(r"``((?:docs|examples|resumable|tests|benchmarks)/[\w/.]*)``", text):
            assert name == "docs/_build" or (ROOT / name).exists(), f"{page} names {name}"


def test_every_difference_of_the_documentation_has_its_number() -> None:
    text = (ROOT / "docs" / "explanation" / "differences.rst").read_text(encoding="utf-8")
    assert [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)] == list(range(1, 14))


def test_the_readme_counts_the_differences_as_their_page_does() -> None:
    numbers = ["eleventh", "twelfth", "thirteenth", "fourteenth"]
    text = (ROOT / "docs" / "explanation" / "differences.rst").read_text(encoding="utf-8")
    assert f"is a {numbers[len(re.findall(r'^[0-9]+[.] ', text, re.MULTILINE)) - 10]}," in text
    readme = " ".join((ROOT / "README.rst").read_text(encoding="utf-8").split())
    assert "thirteen deliberate differences" in readme
    assert "smaller ones" in readme
