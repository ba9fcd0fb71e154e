"""What the documentation says is what the code has; test_pages runs what it shows."""

from __future__ import annotations

import configparser
import importlib.util
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from xml.etree import ElementTree

import docutils.core
import pytest
from interoperability.servers.registry import SERVERS
from support.pages import BLOCKS, PAGES

from resumable.events import EVENTS
from resumable.options import OPTIONS

ROOT = Path(__file__).parent.parent


COMMANDS = [
    (block, line) for block in BLOCKS if block.language == "console" for line in block.code.splitlines() if line
]


def test_make_and_pip_are_asked_for_what_there_is() -> None:
    extras = configparser.ConfigParser()
    extras.read(ROOT / "setup.cfg", encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for block, line in COMMANDS:
        if line.startswith("make "):
            assert set(line.split()[1:]) <= targets, block
        if "-m pip install" in line:
            named = re.search(r"\.(?:\[([\w,]+)\])?'?$", line)
            assert named, block
            assert set(filter(None, (named[1] or "").split(","))) <= set(extras["options.extras_require"]), block


def test_nothing_is_installed_or_found_outside_a_virtual_environment() -> None:
    active = None
    for block, line in COMMANDS:
        if line == ". .venv/bin/activate":
            active = block
        first_steps = block.page == "README.rst" or "tutorial" in block.page
        needed = (line.startswith("resumable ") and first_steps) or line.startswith(("pip ", "python3 -m pip"))
        assert active == block or not needed, block


@pytest.mark.slow
@pytest.mark.once
def test_the_commands_of_the_first_upload_work_word_by_word(tmp_path: Path) -> None:
    serving, uploading = (
        block.code
        for block in BLOCKS
        if block.page == "README.rst"
        and block.language == "console"
        and re.search("^resumable ", block.code, re.MULTILINE)
    )
    venv.create(tmp_path / ".venv", with_pip=False)
    program = tmp_path / ".venv" / "bin" / "resumable"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m resumable "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    shutil.copy(ROOT / "README.rst", tmp_path)
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
    for path in ("README.rst", "examples/demo.py"):
        assert (tmp_path / "incoming" / path).read_bytes() == (tmp_path / path).read_bytes()


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
