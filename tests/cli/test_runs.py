"""Two uploads of the same files at the same time, and what is logged and noted."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command import Run
from support.program import Program
from support.scripted_server import PATIENCE, ScriptedServer, answer, holding
from support.waiting import eventually

from resumable.cli.output.log_file import LogFile
from resumable.cli.runs import UnderWay, exclusive
from resumable.receiver import Server

Make = Callable[..., Path]


def begins(target: str, *paths: str) -> bool:
    """Whether an upload of these files may begin."""
    try:
        with exclusive(target, paths):
            return True
    except UnderWay:
        return False


def test_of_two_uploads_that_share_a_file_the_second_does_not_begin(make: Make, tmp_path: Path) -> None:
    make("a.bin")
    Path("link.bin").symlink_to("a.bin")
    runs = tmp_path / ".local" / "state" / "resumable" / "runs"
    with exclusive("http://one/", ["a.bin", "b.bin"]):
        assert not begins("http://one/", "b.bin", "c.bin")
        assert not begins("http://one/", "link.bin")
        assert begins("http://one/", "c.bin")
        assert begins("http://one/")
        assert begins("http://two/", "a.bin")
        assert "http" not in "".join(path.read_text() for path in runs.glob("*.json"))
    assert begins("http://one/", "a.bin", "b.bin")
    assert not [*runs.glob("*.json")]


def test_what_a_crash_left_is_removed(tmp_path: Path) -> None:
    assert begins("http://one/", "a.bin")
    left = tmp_path / ".local" / "state" / "resumable" / "runs" / "1-00.json"
    left.write_text("{")
    assert begins("http://one/", "a.bin")
    assert not left.exists()


def test_without_a_directory_for_state_uploads_begin(tmp_path: Path) -> None:
    (tmp_path / ".local").write_text("no directory")
    with exclusive("http://one/", ["a.bin"]):
        assert begins("http://one/", "a.bin")


@pytest.mark.programs
def test_a_second_upload_of_the_same_files_says_so_until_the_first_has_ended(
    start: Callable[..., Program], run: Run, make: Make
) -> None:
    make()
    with ScriptedServer() as server:
        server.behave = holding
        first = start("upload", "a.bin", server.url)
        server.wait(lambda: server.uploads)
        second = run("upload", "--json", "a.bin", server.url)
        assert second.code == 10
        assert f"is under way (process {first.pid})" in second.text
        assert (second.events[-1]["event"], second.events[-1]["exit_code"]) == ("result", 10)
        assert run("upload", "-n", "a.bin", server.url).code == 0
        first.kill()
        first.wait(PATIENCE)
        server.behave = lambda request: (200, "") if request.chunk is not None else (404, "")
        assert run("upload", "a.bin", server.url).code == 0


def test_a_log_file_gets_what_is_reported_and_each_request(run: Run, make: Make, server: Server) -> None:
    make()
    ran = run("upload", "--log-file", "log.txt", "a.bin", f"{server.url}?token=s3cret")
    assert ran.code == 0
    assert "request: " not in ran.err
    log = Path("log.txt").read_text(encoding="utf-8")
    assert " DEBUG POST " in log
    assert " INFO done: 1 file uploaded" in log
    assert "s3cret" not in log
    assert run("upload", "--log-file", "nowhere/log.txt", "a.bin", server.url).code == 2


def test_very_verbose_shows_requests_and_no_line_twice(run: Run, make: Make, server: Server) -> None:
    make()
    ran = run("upload", "-vv", "a.bin", server.url)
    assert "request: POST " in ran.err
    assert "note: " not in ran.err
    assert "uploading 'a.bin'" not in ran.err


@pytest.mark.once
@pytest.mark.programs
def test_a_reader_that_stops_reading_does_not_stop_the_upload(
    start: Callable[..., Program], make: Make, server: Server, received: Path
) -> None:
    # The events are far more than a pipe holds.
    content = make("a.bin", 120_000).read_bytes()
    process = start("upload", "--json", "-q", "--chunk-size", "300", "a.bin", server.url)
    assert process.stdout is not None
    process.stdout.readline()
    eventually(lambda: (received / "a.bin").exists())
    assert process.poll() is None
    lines = process.stdout.readlines()
    assert sum(map(len, lines)) > 1 << 16
    rest = [json.loads(line) for line in lines]
    assert rest[-1]["event"] == "result"
    assert sum(event["event"] == "chunk_success" for event in rest) == 400
    assert process.wait(PATIENCE) == 0
    assert (received / "a.bin").read_bytes() == content


def test_notes_for_programs_say_what_they_are_about(run: Run, make: Make) -> None:
    make()
    make("b.txt")
    sources = ("a.bin", "b.txt", "no")
    with ScriptedServer(otherwise=answer(503)) as server:
        flags = ("--json", "--retries", "1", "--retry-interval", "0", "--file-type", "bin")
        ran = run("upload", *flags, *sources, server.url)
    kinds = [event["kind"] for event in ran.events if event["event"] == "note"]
    assert sorted(kinds) == ["failed", "left_out", "waiting"]


def test_a_full_disk_of_the_log_does_not_stop_the_upload(run: Run, make: Make, server: Server, received: Path) -> None:
    make("a.bin")
    ran = run("upload", "--log-file", "/dev/full", "a.bin", server.url)
    assert ran.code == 0
    assert ran.err.count("cannot write to the log file '/dev/full': No space left on device") == 1
    assert "Traceback" not in ran.err
    assert (received / "a.bin").is_file()


def test_a_log_whose_place_is_gone_is_given_up(make: Make) -> None:
    warnings: list[str] = []
    folder = Path("logs")
    folder.mkdir()
    handler = LogFile("logs/log", warnings.append)
    handler.emit(logging.makeLogRecord({"msg": "one"}))
    assert (folder / "log").read_text() == "one\n"
    folder.rename("elsewhere")
    handler.emit(logging.makeLogRecord({"msg": "two"}))
    handler.emit(logging.makeLogRecord({"msg": "three"}))
    handler.close()
    assert len(warnings) == 1
    assert "'logs/log': No such file or directory; nothing more is logged" in warnings[0]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--log-file", "-"], "--log-file: '-' is not the name of a file"),
        (["-C", "one", "-C", "two"], "--directory: give it once"),
        (["--header", "X y: 1"], "--header: write a header as 'Name: value'"),
        (["--header", "@nowhere"], "--header: No such file or directory: 'nowhere'"),
        (["--name", "../a"], "--name: '../a' cannot be the name of a file at the server"),
        (["--name", ""], "--name: '' cannot be the name of a file at the server"),
        (["--to", "a/.."], "--to: 'a/..' cannot be a folder at the server"),
    ],
)
def test_a_flag_that_cannot_be_meant_is_refused(words: list[str], text: str, run: Run, make: Make) -> None:
    make("a.bin")
    Path("one").mkdir()
    Path("two").mkdir()
    ran = run("upload", *words, "a.bin", "http://127.0.0.1:9/")
    assert ran.code == 2
    assert text in ran.text


def test_patterns_that_leave_nothing_are_named(run: Run, make: Make) -> None:
    make("a.bin")
    ran = run("upload", "--include", "*.txt", "a.bin", "http://127.0.0.1:9/")
    assert ran.code == 3
    assert "there is nothing to upload after --include and --exclude" in ran.err


@pytest.mark.parametrize("same", ["http://ONE", "http://one:80/", "http://one/#top"])
def test_one_server_has_several_urls(same: str) -> None:
    with exclusive("http://one/", ["a.bin"]):
        assert not begins(same, "a.bin")
        assert begins("https://one/", "a.bin")
        assert begins(f"{same.partition('#')[0].rstrip('/')}/other", "a.bin")


def test_the_log_file_is_not_sent(run: Run, make: Make, server: Server, received: Path) -> None:
    make("folder/a.bin")
    assert run("upload", "--log-file", "folder/log", "folder", server.url).code == 0
    assert [path.name for path in (received / "folder").iterdir()] == ["a.bin"]
    ran = run("upload", "--log-file", "folder/a.bin", "folder/a.bin", server.url)
    assert ran.code == 2
    assert "--log-file: 'folder/a.bin' is one of the files to send" in ran.text


@pytest.mark.parametrize(
    ("directory", "text"), [("in", "it is the directory that is watched"), ("file/in", "Not a directory: 'file/in'")]
)
def test_files_are_not_moved_where_they_cannot_be(directory: str, text: str, run: Run) -> None:
    Path("in").mkdir()
    Path("file").touch()
    ran = run("watch", "--once", "--move-to", directory, "in", "http://127.0.0.1:9/")
    assert ran.code == 2
    assert f"--move-to: {text}" in ran.text
