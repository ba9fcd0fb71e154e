"""Files that are added in the background: the caller goes on, they come in batches, and who waits gets all of them."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, ScriptedServer

from resumable import OptionError, Resumable, StateError, WaitTimeout
from resumable.background import BATCH


def tree(root: Path, count: int) -> Path:
    for number in range(count):
        path = root / f"{number % 7}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


@pytest.mark.once
def test_files_and_directories_come_in_batches_while_the_caller_goes_on(wire: ScriptedServer, tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos", 600)
    (tmp_path / "one.bin").write_bytes(b"one")
    looked, go = threading.Event(), threading.Event()

    def select(path: str, is_directory: bool) -> bool:
        looked.set()
        return go.wait(PATIENCE) and path != "3/3.bin"

    batches: list[int] = []
    with Resumable(wire.url, test_chunks=False) as session:
        session.on("files_added", lambda files, skipped: batches.append(len(files)))
        session.add_in_background([tmp_path / "one.bin", str(photos)], exclude=["5"], select=select)
        assert looked.wait(PATIENCE), "the caller goes on while the directory is walked"
        assert not session.files
        with pytest.raises(WaitTimeout, match="looked for"):
            session.join(0.01)
        go.set()
        result = session.join(PATIENCE)
    names = {file.relative_path for file in result.succeeded}
    assert "one.bin" in names
    assert "photos/0/0.bin" in names
    assert not names & {"photos/3/3.bin", "photos/5/5.bin"}
    assert sum(batches) == len(names) == 600 + 1 - 1 - len([n for n in range(600) if n % 7 == 5])
    assert max(batches) <= BATCH < sum(batches)


def test_what_cannot_be_read_is_told_and_the_rest_is_added(wire: ScriptedServer, tmp_path: Path, failures: Any) -> None:
    photos = tree(tmp_path / "photos", 5)
    (photos / "dead.bin").symlink_to(tmp_path / "nowhere")
    told: list[tuple[str, Any]] = []
    with Resumable(wire.url) as session:
        session.on("error", lambda message, file: told.append((message, file)))
        session.add_in_background([tmp_path / "missing.bin", photos, tmp_path / "gone"])
        result = session.join(PATIENCE)
    assert len(result.succeeded) == 5
    assert [os.path.basename(skipped.source) for skipped in result.skipped] == ["dead.bin"]
    assert sorted(Path(message.split("'")[1]).name for message, _ in told) == ["gone", "missing.bin"]
    assert [file for _, file in told] == [None, None]


def test_an_error_of_the_program_ends_its_directory_alone(wire: ScriptedServer, tmp_path: Path) -> None:
    told: list[str] = []

    def select(path: str, is_directory: bool) -> bool:
        if path == "0":
            raise ValueError("no zeros")
        return True

    (tmp_path / "one.bin").write_bytes(b"one")
    with Resumable(wire.url) as session:
        session.on("error", told.append)
        session.add_in_background([tree(tmp_path / "photos", 5), tmp_path / "one.bin"], select=select)
        result = session.join(PATIENCE)
    assert [file.relative_path for file in result.succeeded] == ["one.bin"]
    assert told == ["ValueError: no zeros"]


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_cancelling_and_closing_end_the_adding(end: str, wire: ScriptedServer, tmp_path: Path) -> None:
    looked, go = threading.Event(), threading.Event()

    def select(path: str, is_directory: bool) -> bool:
        if path == "6":
            looked.set()
            go.wait(PATIENCE)
        return True

    with Resumable(wire.url, auto_upload=False) as session:
        session.add_in_background(tree(tmp_path / "photos", 600), select=select)
        assert looked.wait(PATIENCE)
        getattr(session, end)()
        go.set()
        for thread in threading.enumerate():
            if thread.name == "resumable-add":
                thread.join(PATIENCE)
        assert not session.files
    with pytest.raises(StateError):
        session.add_in_background(tmp_path)


def test_a_walk_that_makes_no_sense_is_refused_at_once(wire: ScriptedServer, tmp_path: Path) -> None:
    with Resumable(wire.url) as session, pytest.raises(OptionError):
        session.add_in_background(tmp_path, links="both")  # type: ignore[arg-type]


def test_who_awaits_the_session_gets_what_is_added_in_the_background(wire: ScriptedServer, tmp_path: Path) -> None:
    async def main() -> int:
        async with Resumable(wire.url) as session:
            session.add_in_background(tree(tmp_path / "photos", 20))
            return len((await session.wait()).succeeded)

    assert asyncio.run(main()) == 20


def test_what_is_no_path_is_refused_at_once(wire: ScriptedServer) -> None:
    with Resumable(wire.url) as session, pytest.raises(TypeError, match="add_file"):
        session.add_in_background(b"bytes")
