"""Which files are sent, and under which names."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.command import Run

from resumable import SourceError
from resumable.cli.params.sources import FilterRules, Found, Selection, find, is_missing
from resumable.sources.directory import LinkedAgain
from resumable.sources.shard import Shard

Make = Callable[..., Path]

TARGET = "http://127.0.0.1:9/"


def names(
    sources: Sequence[str] = (),
    exclude: Sequence[str] = (),
    links: str = "follow",
    include: Sequence[str] = (),
    **selected: Any,
) -> list[str]:
    """The names under which the sources are sent; none of them may fail. A link to what is sent already does not."""
    selection = Selection(tuple(sources), rules=FilterRules(exclude, links, include), **selected)
    found = [item for item in find(selection) if not isinstance(item, LinkedAgain)]
    assert all(isinstance(item, Found) for item in found), found
    return [item.relative_path for item in found if isinstance(item, Found)]


@pytest.fixture
def photos(make: Make) -> None:
    for name in ("photos/a.jpg", "photos/b.png", "photos/summer/c.jpg", "photos/summer/d.tmp", "photos/.hidden"):
        make(name, 10)


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("photos/a.jpg", ["a.jpg"]),
        ("./photos/summer/../a.jpg", ["a.jpg"]),
        ("photos", ["photos/.hidden", "photos/a.jpg", "photos/b.png", "photos/summer/c.jpg", "photos/summer/d.tmp"]),
        ("photos/", ["photos/.hidden", "photos/a.jpg", "photos/b.png", "photos/summer/c.jpg", "photos/summer/d.tmp"]),
        ("photos/summer/.", ["summer/c.jpg", "summer/d.tmp"]),
        ("photos/*.jpg", ["a.jpg"]),
        ("photos/**/*.jpg", ["a.jpg", "summer/c.jpg"]),
        ("photos/s*", ["summer/c.jpg", "summer/d.tmp"]),
        ("photos/**", ["a.jpg", "b.png", "summer/c.jpg", "summer/d.tmp"]),
        ("ph?tos/a.jpg", ["photos/a.jpg"]),
    ],
)
def test_a_source_means_these_files(source: str, expected: list[str]) -> None:
    assert names([source]) == expected


@pytest.mark.usefixtures("photos")
def test_the_working_directory_is_sent_under_its_name(work: Path) -> None:
    assert names(["."], ["photos/*", "!photos/a.jpg"]) == [f"{work.name}/photos/a.jpg"]


def test_a_file_with_a_star_in_its_name_is_that_file(make: Make) -> None:
    make("a*b")
    make("axb")
    assert names(["a*b"]) == ["a*b"]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        (["*.tmp", ".*"], ["photos/a.jpg", "photos/b.png", "photos/summer/c.jpg"]),
        (["summer/"], ["photos/.hidden", "photos/a.jpg", "photos/b.png"]),
        (["/a.jpg", "# a comment", ".hidden", "summer"], ["photos/b.png"]),
        (["*", "!*/", "!*.jpg"], ["photos/a.jpg", "photos/summer/c.jpg"]),
        (["**"], []),
    ],
)
def test_exclude_has_the_rules_of_gitignore(exclude: list[str], expected: list[str]) -> None:
    assert names(["photos"], exclude) == expected


@pytest.mark.usefixtures("photos")
def test_exclude_leaves_out_named_files_too() -> None:
    assert names(["photos/a.jpg", "photos/b.png"], ["*.png"]) == ["a.jpg"]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*.jpg"], [], ["photos/a.jpg", "photos/summer/c.jpg"]),
        (["summer/", "*.png"], ["*.tmp"], ["photos/b.png", "photos/summer/c.jpg"]),
        (["/*.jpg"], [], ["photos/a.jpg"]),
        (["*.jpg", "!c.jpg"], [], ["photos/a.jpg"]),
        (["*.jpg"], ["*"], []),
    ],
)
def test_include_leaves_out_what_it_does_not_match(include: list[str], exclude: list[str], expected: list[str]) -> None:
    assert names(["photos"], exclude, include=include) == expected


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (".", ["photos/a.jpg", "photos/b.png", "photos/summer/c.jpg"]),
        ("photos/summer", ["photos/summer/c.jpg"]),
        ("./photos/../photos/a.jpg", ["photos/a.jpg"]),
        ("photos/*/*.jpg", ["photos/summer/c.jpg"]),
        ("{work}/photos/summer", ["photos/summer/c.jpg"]),
        ("../{name}/photos/a.jpg", ["{name}/photos/a.jpg"]),
    ],
)
def test_with_a_directory_to_look_in_names_are_relative_to_it(source: str, expected: list[str], work: Path) -> None:
    source = source.format(work=work, name=work.name)
    elsewhere = work.parent / "elsewhere"
    elsewhere.mkdir()
    os.chdir(elsewhere)
    expected = [name.format(name=work.name) for name in expected]
    assert names([source], [".*", "*.tmp"], base=str(work)) == expected


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (["photos/a.jpg", "./photos/summer/c.jpg"], ["photos/a.jpg", "photos/summer/c.jpg"]),
        ([".", "./photos", "./photos/a.jpg"], ["photos/a.jpg", "photos/b.png", "photos/summer/c.jpg"]),
        (["photos/summer", "photos/summer/d.tmp", "photos/.hidden"], ["photos/summer/c.jpg"]),
    ],
)
def test_what_is_listed_keeps_its_path_and_is_sent_once(listed: list[str], expected: list[str]) -> None:
    assert names(listed=listed, exclude=[".*", "*.tmp"]) == expected


def test_a_listed_directory_may_be_left_out(make: Make) -> None:
    make("top/.git/HEAD")
    make("top/a.bin")
    assert names(listed=["top", "top/.git", "top/.git/HEAD"], exclude=[".git"]) == ["top/a.bin"]


def test_a_listed_name_is_no_pattern_and_no_stream(make: Make, work: Path) -> None:
    make("-")
    make("a*b")
    found = list(find(Selection(listed=["-", "a*b", "*.bin"])))
    assert [item.relative_path for item in found if isinstance(item, Found)] == ["-", "a*b"]
    assert found[0][0] != "-"  # type: ignore[index]
    assert isinstance(found[2], SourceError)


def test_what_is_listed_elsewhere_loses_its_root(make: Make, work: Path) -> None:
    path = make("a.bin")
    inside = work / "inside"
    inside.mkdir()
    os.chdir(inside)
    assert names(listed=[str(path)]) == [str(path)[1:]]
    assert names(listed=["../a.bin"]) == ["a.bin"]


def test_everything_may_go_into_a_folder(make: Make) -> None:
    make("top/a.bin")
    make("b.bin")
    assert names(["top", "-"], listed=["b.bin"], prefix="x/y") == ["x/y/top/a.bin", "x/y/stdin", "x/y/b.bin"]


@pytest.mark.parametrize(
    ("flags", "content", "expected"),
    [
        ([], "a.bin\nsub/b.bin\n\n", ["a.bin", "sub/b.bin"]),
        ([], "\ufeffa.bin\r\nsub/b.bin", ["a.bin", "sub/b.bin"]),
        (["-0"], "a.bin\0line\nbreak\0", ["a.bin", "line\nbreak"]),
        (["--to", "/2024//", "-C", "sub"], "b.bin", ["2024/b.bin"]),
    ],
)
@pytest.mark.parametrize("piped", [True, False])
def test_names_are_read_from_a_file_or_the_standard_input(
    flags: list[str], content: str, expected: list[str], piped: bool, run: Run, make: Make, work: Path
) -> None:
    for name in ("a.bin", "sub/b.bin", "line\nbreak"):
        make(name)
    (work / "list").write_bytes(content.encode())
    file, stdin = ("-", content.encode()) if piped else ("list", b"")
    ran = run("upload", "--json", "-n", "--files-from", file, *flags, TARGET, stdin=stdin)
    assert ran.code == 0
    assert [event["relative_path"] for event in ran.events[:-1]] == expected


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--files-from", "-", "-"], 2),
        (["-0", "a.bin"], 2),
        (["--to", "../up", "a.bin"], 2),
        (["-C", "nowhere", "a.bin"], 2),
        (["--files-from", "nowhere"], 2),
        (["--files-from", "list-0"], 3),
        (["--files-from", "empty"], 3),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused(arguments: list[str], code: int, run: Run, make: Make) -> None:
    make("a.bin")
    make("empty", 0)
    make("list-0", 0).write_bytes(b"a.bin\0empty")
    assert run("upload", "-n", *arguments, TARGET).code == code


def test_missing_sources_may_be_left_out(run: Run, make: Make, work: Path) -> None:
    make("top/a.bin")
    (work / "top" / "lost").symlink_to("nowhere")
    ran = run("upload", "--json", "-n", "--ignore-missing", "top", "nowhere", "*.none", "top/a.bin/b", TARGET)
    assert ran.code == 0
    assert (ran.events[-1]["failed"], ran.events[-1]["skipped"]) == (0, 4)
    assert run("upload", "--ignore-missing", "nowhere", TARGET).code == 0


def test_a_directory_that_is_left_out_is_not_looked_into(make: Make) -> None:
    make("top/keep.txt")
    closed = make("top/closed/file.txt").parent
    closed.chmod(0)
    try:
        assert names(["top"], ["closed/"]) == ["top/keep.txt"]
    finally:
        closed.chmod(0o700)


@pytest.fixture
def linked(make: Make, work: Path) -> None:
    make("top/file.txt")
    make("elsewhere/inner.txt")
    (work / "top" / "to-file").symlink_to("file.txt")
    (work / "top" / "to-directory").symlink_to(work / "elsewhere")
    (work / "top" / "to-itself").symlink_to(work / "top")
    (work / "elsewhere" / "back").symlink_to(work / "top")


@pytest.mark.usefixtures("linked")
def test_links_are_followed_and_never_in_a_circle() -> None:
    assert names(["top"]) == ["top/file.txt", "top/to-directory/inner.txt", "top/to-file"]


@pytest.mark.usefixtures("linked")
def test_links_are_skipped() -> None:
    assert names(["top", "top/to-file"], links="skip") == ["top/file.txt"]


@pytest.mark.usefixtures("linked")
def test_links_are_errors() -> None:
    found = list(find(Selection(("top",), rules=FilterRules(links="error"))))
    assert [str(item) for item in found if isinstance(item, SourceError)] == [
        f"cannot read 'top/to-{name}': it is a link, and --links is error" for name in ("directory", "file", "itself")
    ]
    (refused,) = find(Selection(("top/to-file",), rules=FilterRules(links="error")))
    assert isinstance(refused, SourceError)


@pytest.mark.parametrize("source", ["nowhere", "nowhere/*.jpg", "*.nothing", ""])
def test_what_is_not_there_is_an_error_beside_the_others(source: str, make: Make) -> None:
    make("a.bin")
    missing, file = find(Selection((source, "a.bin")))
    assert isinstance(missing, SourceError)
    assert is_missing(missing)
    assert isinstance(file, Found)


def test_a_link_to_nowhere_in_a_directory_is_an_error_beside_the_others(make: Make, work: Path) -> None:
    make("top/file.txt")
    (work / "top" / "lost").symlink_to("nowhere")
    file, lost = find(Selection(("top",)))
    assert isinstance(lost, SourceError)
    assert isinstance(file, Found)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_that_cannot_be_read_is_an_error_beside_the_others(make: Make) -> None:
    make("top/file.txt")
    closed = make("top/closed/file.txt").parent
    closed.chmod(0)
    try:
        refused, file = find(Selection(("top",)))
    finally:
        closed.chmod(0o700)
    assert isinstance(refused, SourceError)
    assert isinstance(file, Found)


def test_a_directory_that_vanishes_is_an_error_beside_the_others(make: Make, work: Path) -> None:
    for name in ("a/file.txt", "b/file.txt", "c/file.txt"):
        make(f"top/{name}")
    found = find(Selection(("top",)))
    first = next(found)
    (work / "top" / "b" / "file.txt").unlink()
    (work / "top" / "b").rmdir()
    rest = list(found)
    assert isinstance(first, Found)
    assert [type(item).__name__ for item in rest] == ["SourceError", "Found"]


def test_what_is_no_file_is_left_out_of_a_directory_and_refused_by_name(make: Make, work: Path) -> None:
    make("top/file.txt")
    os.mkfifo(work / "top" / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("top/socket")
        assert names(["top"]) == ["top/file.txt"]
        (refused,) = find(Selection(("top/pipe",)))
        assert "not a regular file; pipe its content to - instead" in str(refused)
        assert not is_missing(refused)


@pytest.mark.parametrize(
    "arguments",
    [
        ("upload", "a.bin", TARGET),
        ("upload", ".", TARGET),
        ("upload", "-C", ".", "a.bin", TARGET),
        ("status", "a.bin", TARGET),
        ("watch", ".", TARGET),
    ],
)
def test_a_working_directory_that_was_deleted_is_one_line(
    run: Run, work: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    (work / "gone").mkdir()
    monkeypatch.chdir("gone")
    (work / "gone").rmdir()
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.err == "failed: the working directory does not exist any more: change to another one with cd\n"


def test_the_standard_input_has_a_name() -> None:
    assert list(find(Selection(("-",), stream_name="log.txt"))) == [Found("-", "log.txt", None)]


def test_a_second_link_to_a_directory_is_named_and_is_no_failure(run: Run, make: Make, work: Path) -> None:
    make("elsewhere/inner.txt")
    (work / "top").mkdir()
    (work / "top" / "first").symlink_to(work / "elsewhere")
    (work / "top" / "second").symlink_to(work / "elsewhere")
    ran = run("upload", "--json", "-n", "top", "http://127.0.0.1:9/")
    assert ran.code == 0
    assert [event["relative_path"] for event in ran.events if "relative_path" in event] == ["top/first/inner.txt"]
    assert ran.events[-1]["skipped"] == 1
    assert "left out: 'top/second' is a link to a directory whose files are sent already" in ran.text


def test_a_tree_may_be_deeper_than_the_stack_of_the_interpreter() -> None:
    below = "top"
    for _ in range(1200):
        os.mkdir(below)
        below += "/d"
    Path(below).touch()
    try:
        assert names(["top"]) == [f"top/{'d/' * 1199}d"]
    finally:
        subprocess.run(["rm", "-r", "top"], check=True)


@pytest.mark.usefixtures("photos")
def test_a_shard_takes_its_files_by_the_names_at_the_server() -> None:
    shards = [names(["photos"], prefix="2024", shard=Shard(number, 3)) for number in (1, 2, 3)]
    assert sorted(name for shard in shards for name in shard) == names(["photos"], prefix="2024")
    assert all(Shard(number, 3).takes(name) for number in (1, 2, 3) for name in shards[number - 1])


@pytest.mark.usefixtures("photos")
def test_a_shard_without_files_is_done(run: Run) -> None:
    empty = next(number for number in range(1, 100) if not names(["photos"], shard=Shard(number, 99)))
    assert run("upload", "--shard", f"{empty}/99", "photos", TARGET).code == 0


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "/", "-1/3", "1/3/5"])
def test_anything_else_is_no_shard(run: Run, text: str) -> None:
    ran = run("upload", "--shard", text, "a.bin", TARGET)
    assert ran.code == 2
    assert "--shard" in ran.err
