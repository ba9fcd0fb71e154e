"""Files that are left out of a batch: the result says so, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, ScriptedServer

from resumable import (
    FileRejected,
    Result,
    Resumable,
    ResumableFile,
    identifiers,
    upload,
)

Make = Callable[..., Path]


def reasons(result: Result) -> list[tuple[str, str]]:
    """What was left out, and the option that refused it."""
    assert all(isinstance(reason, FileRejected) for reason in result.skipped)
    return [(reason.source, reason.option) for reason in result.skipped]


def test_two_names_that_make_one_identifier_are_not_both_uploaded(wire: ScriptedServer, make: Make) -> None:
    make("tree/a b.txt")
    make("tree/ab.txt")
    told: list[Any] = []
    with Resumable(wire.url, generate_unique_identifier=identifiers.resumablejs) as session:
        session.on("files_added", lambda files, skipped: told.extend(skipped))
        session.on("complete", lambda result: told.append(result))
        (file,) = session.add_directory(make("tree/ab.txt").parent)
        result = session.join(PATIENCE)
    assert result.succeeded == (file,)
    assert reasons(result) == [("tree/ab.txt", "unique_identifier")]
    assert not result
    assert told == [make("tree/ab.txt"), result]


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"max_file_size": 10}, "max_file_size"),
        ({"min_file_size": 10}, "min_file_size"),
        ({"file_type": ["txt"]}, "file_type"),
        ({"max_files": 2}, "max_files"),
    ],
)
def test_what_an_option_refuses_is_in_the_result(wire: ScriptedServer, make: Make, options: Any, option: str) -> None:
    files = [make("a.txt", 10), make("b.txt", 10), make("c.bin", 20 if option == "max_file_size" else 5)]
    with Resumable(wire.url, **options) as session:
        session.add_files(files)
        result = session.join(PATIENCE)
    assert not result
    left = files if option == "max_files" else files[2:]
    assert reasons(result) == [(str(path) if option == "max_files" else path.name, option) for path in left]


@pytest.mark.parametrize("auto_upload", [True, False])
def test_a_batch_of_which_nothing_is_taken_is_no_success(wire: ScriptedServer, make: Make, auto_upload: bool) -> None:
    with Resumable(wire.url, file_type=["txt"], auto_upload=auto_upload) as session:
        assert session.add_files([make("a.bin")]) == []
        assert reasons(session.join(PATIENCE)) == [("a.bin", "file_type")]


def test_a_source_that_is_there_already_is_no_loss(
    wire: ScriptedServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make("tree/a")
    monkeypatch.chdir(path.parent)
    skipped: list[Any] = []
    with Resumable(wire.url) as session:
        session.on("files_added", lambda files, left: skipped.extend(left))
        session.add_files([path, path])
        session.add_files([str(path), ("a", "a"), path])
        result = session.join(PATIENCE)
    assert len(result.succeeded) == 1
    assert result
    assert result.skipped == ()
    assert len(skipped) == 4


def test_a_file_that_took_the_place_of_one_that_is_there_is_a_loss(wire: ScriptedServer, make: Make) -> None:
    path, other = make("a"), make("b")
    with Resumable(wire.url, generate_unique_identifier=lambda path, relative_path: "one") as session:
        session.add_files([path])
        session.add_files([other, (b"bytes", "c")])
        assert reasons(session.join(PATIENCE)) == [("b", "unique_identifier"), ("c", "unique_identifier")]


def test_what_add_file_raises_is_not_told_twice(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, file_type=["txt"]) as session:
        with pytest.raises(FileRejected):
            session.add_file(make("a.bin"))
        assert session.join(PATIENCE) == Result()


def test_each_run_has_what_was_left_out_of_it(wire: ScriptedServer, make: Make) -> None:
    heard: list[Result] = []
    added: list[ResumableFile] = []
    with Resumable(wire.url, file_type=["txt"], auto_upload=False) as session:
        session.on("complete", heard.append)
        for number in range(3):
            added += session.add_files([make(f"{number}.txt"), make(f"{number}.bin")])
            session.join(PATIENCE)
            assert session.join(PATIENCE) == heard[-1], "asked again, it is the same"
    assert [result.succeeded for result in heard] == [(file,) for file in added]
    assert [reasons(result) for result in heard] == [[(f"{number}.bin", "file_type")] for number in range(3)]


def test_what_was_left_out_of_a_run_that_nobody_joined_is_told_later(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, file_type=["txt"], auto_upload=False) as session:
        for number in range(2):
            (file,) = session.add_files([make(f"{number}.txt"), make(f"{number}.bin")])
            session.upload()
            file.wait(PATIENCE)
        assert reasons(session.join(PATIENCE)) == [("0.bin", "file_type"), ("1.bin", "file_type")]


def test_nothing_of_a_batch_that_raised_was_left_out(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, file_type=["txt"]) as session:
        with pytest.raises(OSError, match="missing"):
            session.add_files([make("a.bin"), "missing.txt"])
        assert session.join(PATIENCE) == Result()


def test_a_directory_that_the_function_uploads_says_what_is_missing(wire: ScriptedServer, make: Make) -> None:
    make("tree/a b.txt")
    directory = make("tree/ab.txt").parent
    result = upload(directory, wire.url, generate_unique_identifier=identifiers.resumablejs)
    assert reasons(result) == [("tree/ab.txt", "unique_identifier")]
    assert not result
