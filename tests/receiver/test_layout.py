"""The version that a store carries: of those before it is read, of those after it is refused."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.sample import Sample
from support.stored_uploads import KEY, a_record, begun, entries, opened

from resumable.receiver import FileStore, Receiver

FIRST = Path(__file__).parent.parent / "regressions" / "previous_store"
"""A store from before stores carried a version."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "incoming"


def version(root: Path) -> Path:
    return root / ".resumable" / "layout"


def test_a_store_carries_the_version_of_its_layout(root: Path) -> None:
    FileStore(root).prepare()
    assert version(root).read_text() == "1\n"
    assert entries(root) == []


def test_a_store_that_only_takes_uploads_carries_it_too(root: Path) -> None:
    begun(FileStore(root))
    assert version(root).read_text() == "1\n"


@pytest.mark.parametrize("text", [None, "", "1\n", "1", "\0\0", "1\0"])
def test_a_store_without_a_version_or_with_this_one_is_read(root: Path, text: str | None) -> None:
    with opened(FileStore(root)) as upload:
        upload.receive(0, iter([bytes(30)]))
    version(root).unlink()
    if text is not None:
        version(root).write_text(text)
    with opened(FileStore(root)) as upload:
        assert upload.has(0)
    assert version(root).read_text() in ("1\n", "1")


def test_a_store_from_before_versions_gets_one_with_its_next_upload(root: Path) -> None:
    shutil.copytree(FIRST, root, copy_function=shutil.copyfile)
    store = FileStore(root)
    assert len(list(store.uploads())) == 2
    assert not version(root).exists()
    begun(store)
    assert len(list(store.uploads())) == 3
    assert version(root).read_text() == "1\n"


@pytest.mark.parametrize("number", ["2", "10\n"])
def test_a_newer_store_is_refused_and_left_as_it_is(root: Path, number: str) -> None:
    begun(FileStore(root))
    version(root).write_text(number)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    store = FileStore(root)
    for use in (store.prepare, store.uploads, store.sweep, lambda: store.open(KEY), lambda: begun(store, a_record())):
        with pytest.raises(OSError, match=rf"\(layout {number.strip()}; this version reads up to 1\): upgrade"):
            use()
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_a_client_of_a_newer_store_is_told_to_come_back_and_the_log_says_why(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sample = Sample()
    FileStore(root).prepare()
    version(root).write_text("2\n")
    receiver = Receiver(root)
    with caplog.at_level(logging.ERROR):
        assert sample.test(receiver, 1).status == 500
        assert sample.send(receiver, 1) == [500]
    assert "upgrade resumable, or use another directory" in caplog.text
    version(root).write_text("1\n")
    assert sample.send(receiver, 1) == [200]


@pytest.mark.once
def test_serve_says_that_a_store_is_newer_and_ends(root: Path) -> None:
    FileStore(root).prepare()
    version(root).write_text("2\n")
    command = [sys.executable, "-m", "resumable", "serve", str(root), "--port", "0"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "a newer version of resumable wrote this store" in " ".join(ran.stderr.split())
