"""Identifiers, against those that browsers made."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.texts import texts

from resumable.protocol import identifiers

TABLES = Path(__file__).parent.parent / "vectors" / "tables"
ROWS = json.loads((TABLES / "identifiers.json").read_text(encoding="utf-8"))["rows"]


def test_the_table_has_all_its_rows() -> None:
    assert len(ROWS) == 24


@pytest.mark.parametrize("row", ROWS, ids=lambda row: repr(row["relativePath"]))
def test_resumablejs_identifies_as_a_browser_does(row: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(row["size"]))
    assert identifiers.resumablejs(file, row["relativePath"]) == row["identifier"]
    assert identifiers.from_size(row["size"], row["relativePath"]) == row["identifier"]


def test_the_default_tells_apart_what_resumable_js_mixes() -> None:
    files = [
        (5, "a/b.txt", 1),
        (5, "ab.txt", 1),
        (5, "文件.txt", 1),
        (5, "文書.txt", 1),
        (6, "ab.txt", 1),
        (5, "ab.txt", 2),
        (5, "caf\udce9", 1),
    ]
    assert len({identifiers.default(*file) for file in files}) == len(files)


def test_the_default_is_the_same_on_every_run() -> None:
    digest = hashlib.sha256(b"top/a.txt\x001234\x0056").hexdigest()[:12]
    assert identifiers.default(1234, "top/a.txt", 56) == f"1234-topatxt-{digest}"


@given(st.integers(0, 2**53), texts(), st.integers(0))
def test_the_default_can_be_a_file_name_everywhere(size: int, relative_path: str, mtime_ns: int) -> None:
    identifier = identifiers.default(size, relative_path, mtime_ns)
    assert re.fullmatch(r"[0-9]+-[0-9A-Za-z_-]{0,64}-[0-9a-f]{12}", identifier)


def test_content_is_one_for_equal_bytes_under_any_name(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5_000
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(content)
    identified = {identifiers.content(tmp_path / name, name) for name in ("a", "b")}
    assert identified == {f"{len(content)}-{hashlib.sha256(content).hexdigest()}"}


def test_what_has_no_time_of_change_is_identified_by_what_is_in_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"same")
    second.write_bytes(b"same")
    found = identifiers.without_time(first, "name")
    assert found == identifiers.without_time(second, "name")
    assert found == identifiers.default(4, "name", identifiers.content(first, "name"))


def test_an_identifier_of_what_is_missing_is_an_error(tmp_path: Path) -> None:
    for identify in (identifiers.resumablejs, identifiers.content):
        with pytest.raises(OSError, match="No such file"):
            identify(tmp_path / "none", "none")


def test_names_of_different_bytes_are_sent_as_different_identifiers() -> None:
    sent = [identifiers.sendable(os.fsdecode(name)) for name in (b"caf\xe9", b"caf\xe8", "café".encode(), b"plain-1")]
    assert sent == ["caf\ufffde9", "caf\ufffde8", "café", "plain-1"]
    assert identifiers.sendable("\ud800") == "\ufffd00"


def test_only_content_is_slow() -> None:
    assert identifiers.is_slow(identifiers.content)
    assert not identifiers.is_slow(identifiers.resumablejs)
