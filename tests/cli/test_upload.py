"""``resumable upload`` against a real receiver: what arrives, what is said, and what a second run finds."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.breaking_proxy import Fault, Proxy, Scenario
from support.command import ROOT, Run, tree
from support.program import Program
from support.scripted_server import ScriptedServer, answer

import resumable
from resumable import Resumable, dialects
from resumable.cli.output.display import Plain
from resumable.cli.output.json_events import (
    FIELDS,
    NAMES,
    PARTS,
    JsonEvents,
    fields_of,
)
from resumable.receiver import (
    FileStore,
    Receiver,
    Server,
    parameter_names,
)

Make = Callable[..., Path]
MIB = 1024 * 1024


def test_a_file_arrives_and_a_second_run_finds_it_there(run: Run, make: Make, server: Server, received: Path) -> None:
    file = make("video.mp4", 3 * MIB + 5)
    first = run("upload", "video.mp4", server.url)
    assert first.code == 0
    assert re.fullmatch(r"done: 1 file uploaded in [\d.]+ s, 3.00 MiB sent \(.+/s\)\n", first.err)
    assert first.out == ""
    assert tree(received) == {"video.mp4": file.read_bytes()}
    second = run("upload", "video.mp4", server.url)
    assert second.code == 0
    assert re.fullmatch(r"done: 1 file at the server in [\d.]+ s, 3 of 3 chunks already there\n", second.err)


@pytest.mark.once
def test_what_was_begun_goes_on_and_the_command_says_how_much_was_there(
    run: Run, make: Make, server: Server, received: Path, begin: Callable[..., None]
) -> None:
    file = make("video.mp4", 100 * 4096)
    begin(server.url, file, 61, chunk_size=4096)
    assert tree(received) == {}
    ran = run("upload", "--chunk-size", "4096", "video.mp4", server.url)
    assert ran.code == 0
    assert "61 of 100 chunks already there" in ran.err
    assert tree(received) == {"video.mp4": file.read_bytes()}


def test_several_sources_arrive_under_their_names(run: Run, make: Make, server: Server, received: Path) -> None:
    files = {name: make(name, 5000).read_bytes() for name in ("one.txt", "photos/a.jpg", "photos/summer/b.jpg")}
    ran = run("upload", "one.txt", "photos", server.url)
    assert ran.code == 0
    assert tree(received) == files
    assert "3 files uploaded" in ran.err


def test_the_standard_input_is_sent_under_the_name_that_was_given(run: Run, server: Server, received: Path) -> None:
    data = os.urandom(2 * MIB)
    ran = run("upload", "--name", "dump.sql", "-", server.url, stdin=data)
    assert ran.code == 0, ran.err
    assert tree(received) == {"dump.sql": data}
    again = run("upload", "--name", "dump.sql", "-", server.url, stdin=data)
    assert "2 of 2 chunks already there" in again.err


def test_dry_run_lists_and_asks_nobody(run: Run, make: Make) -> None:
    make("top/a.bin", 3 * MIB)
    make("top/b.tmp", 10)
    ran = run("upload", "-n", "top", "-", "--exclude", "*.tmp", "http://127.0.0.1:9/")
    assert ran.code == 0
    assert ran.out.splitlines() == ["top/a.bin  3.00 MiB, 3 chunks", "stdin  size unknown"]
    assert ran.err == "would send 2 files, 3.00 MiB; nothing was sent\n"
    quiet = run("upload", "-nq", "top", "-", "--exclude", "*.tmp", "http://127.0.0.1:9/")
    assert (quiet.out, quiet.err) == (ran.out, "")


def test_dry_run_lists_what_the_flags_let_through(run: Run, make: Make) -> None:
    make("top/a.txt", 10)
    make("top/b.txt", 5000)
    make("top/c.bin", 10)
    ran = run("upload", "-n", "--max-file-size", "1k", "--file-type", "txt", "top", "top/a.txt", "http://127.0.0.1:9/")
    assert ran.code == 0
    assert ran.out == "top/a.txt  10 B, 1 chunk\na.txt  10 B, 1 chunk\n"
    assert ran.err.count("left out: ") == 2
    nothing = run("upload", "-n", "--file-type", "jpg", "top", "http://127.0.0.1:9/")
    assert (nothing.code, nothing.out) == (3, "")


def test_dry_run_counts_the_chunks_as_they_would_be_cut(run: Run, make: Make) -> None:
    make("a.bin", 100 * 1024)
    flags = ("--chunk-size", "64K", "a.bin", "http://127.0.0.1:9/")
    assert run("upload", "-n", *flags).out == "a.bin  100 KiB, 1 chunk\n"
    assert run("upload", "-n", "--force-chunk-size", *flags).out == "a.bin  100 KiB, 2 chunks\n"


@pytest.mark.once
def test_dry_run_lists_in_any_encoding(make: Make) -> None:
    make("süß…\n.bin", 10)
    typed = [sys.executable, "-m", "resumable", "upload", "-n", ".", "http://127.0.0.1:9/"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(typed, env=environment, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == b"work/s\\xfc\\xdf\\u2026\\ufffd.bin  10 B, 1 chunk\n"


@pytest.mark.once
def test_a_locale_without_letters_changes_no_name(
    server: Server, make: Make, work: Path, received: Path, begin: Callable[..., None]
) -> None:
    make("ü/süß…\u00a0.bin", 3000)
    make("ü/ä.log")
    (work / "rules").write_text("ä*\n", encoding="utf-8")
    begin(server.url, work / "ü" / "süß…\u00a0.bin", 1, chunk_size=1000, relative_path="ö/ü/süß…\u00a0.bin")
    typed = ["ü", "--to", "ö", "--exclude-from", "rules", "--chunk-size", "1000", f"{server.url}?ä=ö"]
    plain = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "POSIX", "PYTHONUTF8": "0"}
    sent, asked = (
        subprocess.run([sys.executable, "-m", "resumable", *command, *typed], env=plain, capture_output=True)
        for command in (["upload", "--json"], ["status"])
    )
    result = json.loads(sent.stdout.splitlines()[-1])
    assert (result["succeeded"], result["chunks"], result["chunks_already_there"]) == (1, 3, 1), sent.stderr
    assert set(tree(received)) == {"ö/ü/süß…\u00a0.bin"}
    assert (asked.returncode, asked.stdout) == (0, b"complete  \\xf6/\\xfc/s\\xfc\\xdf\\u2026\\ufffd.bin  (2.93 KiB)\n")


def test_dry_run_lists_as_json(run: Run, make: Make) -> None:
    make("a.bin", 10)
    ran = run("upload", "-n", "-q", "--json", "a.bin", "http://127.0.0.1:9/")
    assert ran.err == ""
    planned, _ = ran.events
    assert (planned["event"], planned["relative_path"], planned["size"]) == ("planned", "a.bin", 10)


def test_exclude_from_reads_the_rules_of_a_file(
    run: Run, make: Make, work: Path, server: Server, received: Path
) -> None:
    make("top/a.txt")
    make("top/b.log")
    make("top/cache/c.txt")
    (work / "rules").write_text("*.log\ncache/\n", encoding="utf-8")
    assert run("upload", "top", "--exclude-from", "rules", server.url).code == 0
    assert set(tree(received)) == {"top/a.txt"}


def test_json_is_an_object_for_each_event_and_one_for_the_result(run: Run, make: Make, server: Server) -> None:
    make("a.bin", 3 * MIB)
    ran = run("upload", "--json", "a.bin", server.url)
    names = [event["event"] for event in ran.events]
    assert names[:4] == ["chunking_start", "chunking_progress", "chunking_complete", "file_added"]
    assert names.count("chunk_success") == 3
    assert names[-2:] == ["complete", "result"]
    added = next(event for event in ran.events if event["event"] == "file_added")
    assert added["file"]["relative_path"] == "a.bin"
    assert added["file"]["size"] == 3 * MIB
    assert {"number", "start", "end"} <= set(next(e for e in ran.events if e["event"] == "chunk_success")["chunk"])
    success = next(event for event in ran.events if event["event"] == "file_success")
    assert (success["bytes_confirmed"], success["file"]["chunks"]) == (3 * MIB, 3)
    result = ran.events[-1]
    assert result["exit_code"] == 0
    assert (result["succeeded"], result["failed"], result["chunks"], result["chunks_already_there"]) == (1, 0, 3, 0)
    again = run("upload", "--json", "a.bin", server.url).events[-1]
    assert (again["chunks_already_there"], again["bytes_skipped"]) == (3, 3 * MIB)


def test_json_says_what_failed(run: Run, make: Make, received: Path) -> None:
    make("a.bin", 10)
    with Server(Receiver(received, token="right")) as server:
        ran = run("upload", "--json", "a.bin", server.url)
    failed = next(event for event in ran.events if event["event"] == "file_error")
    assert (failed["error"], failed["status"], failed["exit_code"]) == ("AuthenticationRefused", 401, 6)
    assert ran.events[-1]["exit_code"] == ran.code == 6


@pytest.mark.once
def test_nobody_reading_the_json_stops_no_upload(start: Callable[..., Program], make: Make, server: Server) -> None:
    make("a.bin", 20 * MIB)
    process = start("upload", "--json", "--progress", "none", "--chunk-size", "64K", "a.bin", server.url)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read().startswith("done: 1 file uploaded")
    assert process.wait(60) == 0


def test_quiet_says_nothing_but_what_failed(run: Run, make: Make, server: Server, work: Path) -> None:
    make("top/a.bin")
    assert run("upload", "-q", "top", server.url).err == ""
    (work / "top" / "lost").symlink_to("nowhere")
    ran = run("upload", "-q", "top", server.url)
    assert ran.err == "failed: cannot read 'top/lost': No such file or directory\n"


def test_verbose_tells_of_each_file_and_twice_of_each_chunk(run: Run, make: Make, server: Server) -> None:
    make("a.bin", 2 * MIB)
    make("b.bin", 10)
    once = run("upload", "-v", "a.bin", "b.bin", server.url)
    assert "done: a.bin, 2.00 MiB\n" in once.err
    assert "done: b.bin, 10 B\n" in once.err
    assert "chunk 1" not in once.err
    twice = run("upload", "-vv", "a.bin", server.url)
    assert "chunk 1 of 2 of 'a.bin' is there\n" in twice.err
    assert "done: a.bin, 2.00 MiB; 2 of 2 chunks already there\n" in twice.err


def test_verbose_tells_of_retries(run: Run, make: Make, server: Server) -> None:
    make("a.bin", 100_000)
    with Proxy(server.url, Scenario(faults=(Fault("reset", at=50_000),))) as proxy:
        ran = run("upload", "-v", "--retry-interval", "0", "--no-test-chunks", "a.bin", proxy.url)
    assert ran.code == 0
    assert "again: chunk 1 of 'a.bin' (" in ran.err


def test_the_same_file_twice_is_sent_once(run: Run, make: Make, server: Server, received: Path) -> None:
    make("a.bin")
    ran = run("upload", "a.bin", "./a.bin", server.url)
    assert ran.code == 0
    assert "left out: 'a.bin' was not added" in ran.err
    assert list(tree(received)) == ["a.bin"]


def test_files_that_the_flags_refuse_are_left_out(run: Run, make: Make, server: Server, received: Path) -> None:
    make("top/a.txt", 10)
    make("top/b.txt", 5000)
    make("top/c.bin", 10)
    ran = run("upload", "--max-file-size", "1k", "--file-type", "txt", "top", server.url)
    assert ran.code == 0
    assert list(tree(received)) == ["top/a.txt"]
    assert "it has 5000 bytes, and --max-file-size is 1024" in ran.err


@pytest.mark.parametrize("flags", [("--file-type", "txt"), ("--max-file-size", "10"), ("--max-files", "2")])
def test_json_says_how_many_files_the_flags_refused(
    run: Run, make: Make, server: Server, flags: tuple[str, ...]
) -> None:
    for name, size in [("a.txt", 10), ("b.txt", 10), ("c.bin", 20)]:
        make(f"top/{name}", size)
    *_, complete, result = run("upload", "--json", *flags, "top", "top/a.txt", server.url).events
    assert complete["result"]["skipped"] == result["skipped"] == (2 if "--max-files" in flags else 1)


def test_json_says_how_many_files_were_left_out_if_none_is_sent(run: Run, make: Make, server: Server) -> None:
    make("top/a.bin")
    make("top/b.bin")
    ran = run("upload", "--json", "--file-type", "txt", "top", server.url)
    assert (ran.events[-1]["event"], ran.events[-1]["skipped"]) == ("result", 2)
    planned = run("upload", "-n", "--json", "--file-type", "txt", "top", "http://127.0.0.1:9/")
    assert planned.events[-1]["skipped"] == 2


def test_nothing_to_send_is_no_success(run: Run, make: Make, server: Server) -> None:
    make("top/a.txt")
    for flags, after in ((["--exclude", "*"], " after --include and --exclude"), (["--file-type", "jpg"], "")):
        for dry in ([], ["--dry-run"]):
            ran = run("upload", *flags, *dry, "top", server.url)
            assert ran.code == 3
            assert ran.err.endswith(f"failed: there is nothing to upload{after}\n")


def test_an_empty_file_arrives(run: Run, make: Make, server: Server, received: Path) -> None:
    make("empty", 0)
    assert run("upload", "empty", server.url).code == 0
    assert tree(received) == {"empty": b""}


def test_empty_files_are_not_missing_from_what_was_there_already(run: Run, make: Make, server: Server) -> None:
    make("top/empty", 0)
    make("top/a.bin", 10)
    run("upload", "top", server.url)
    ran = run("upload", "top", server.url)
    assert ran.err.endswith(" s, 1 of 1 chunk already there\n")


@pytest.mark.parametrize("kind", ["safe", "resumablejs", "content"])
def test_the_identifier_is_made_as_asked(kind: str, run: Run, make: Make, server: Server) -> None:
    make("a b.txt", 100)
    ran = run("upload", "--identifier", kind, "--json", "a b.txt", server.url)
    success = next(event for event in ran.events if event["event"] == "file_success")
    identifier = success["file"]["unique_identifier"]
    patterns = {"safe": r"100-abtxt-[0-9a-f]{12}", "resumablejs": "100-abtxt", "content": "100-[0-9a-f]{64}"}
    assert re.fullmatch(patterns[kind], identifier)


def test_names_that_no_terminal_should_see_are_shown_harmless(run: Run, make: Make, server: Server) -> None:
    make("evil\x1b[2J\n.txt")
    ran = run("upload", "-v", "evil\x1b[2J\n.txt", server.url)
    assert "\x1b" not in ran.err
    assert "done: evil�[2J�.txt, 1000 B\n" in ran.err


def test_a_progress_line_comes_every_five_seconds_without_a_terminal(
    start: Callable[..., Program], make: Make, server: Server
) -> None:
    make("a.bin", 3 * MIB)
    with Proxy(server.url, Scenario(bandwidth=100_000)) as proxy:
        process = start("upload", "a.bin", proxy.url)
        assert process.stderr is not None
        line = process.stderr.readline()
        process.kill()
    assert re.fullmatch(r"\d+ %, .+ of 3.00 MiB, .+/s, .+ left, 0 of 1 file\n", line)


@pytest.mark.once
def test_the_lines_say_where_the_run_is(
    run: Run, make: Make, server: Server, begin: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plain, "EVERY", 0.0)
    monkeypatch.setattr(Plain, "interval", 0.05)
    begin(server.url, make("a.bin", 64 * 4096), 20, chunk_size=4096)
    with Proxy(server.url, Scenario(bandwidth=100_000)) as proxy:
        moving = run("upload", "--chunk-size", "4096", "a.bin", proxy.url)
    assert re.search(
        r"^\d+ %, .+ of 256 KiB, .+/s, .+ left, 0 of 1 file, 20 of 64 chunks already there$", moving.err, re.MULTILINE
    )
    stuck = run("upload", "--retry-for", "1500ms", "--retry-interval", "0.2", "a.bin", "http://127.0.0.1:9/")
    assert re.search(
        r"^0 %, 0 B of 256 KiB, 0 B/s, -:-- left, 0 of 1 file, "
        r"(?:waiting for the server, next try in \S+ s, )?nothing has got through for \S+ s: Connection refused$",
        stuck.err,
        re.MULTILINE,
    )


def test_nobody_reading_the_json_is_no_error_of_the_upload(
    run: Run, make: Make, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()
    reading, writing = os.pipe()
    os.close(reading)
    with monkeypatch.context() as patched, open(writing, "w", encoding="utf-8", closefd=True) as closed:
        patched.setattr(sys, "stdout", closed)
        assert run("upload", "--json", "a.bin", server.url).code == 0
        # What was not written is not to be written now.
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)


def test_the_library_warns_where_the_command_does(run: Run, make: Make) -> None:
    make("a.bin", 10_000)
    ran = run("upload", "--chunk-size", "1", "--retries", "0", "a.bin", "http://127.0.0.1:9/")
    assert "note: 'a.bin' has 10000 chunks" in ran.err


def test_flow_js_is_spoken(run: Run, make: Make, received: Path) -> None:
    file = make("a.bin", 3 * MIB)
    with Server(Receiver(FileStore(received), names=parameter_names(dialects.FLOWJS))) as server:
        assert run("upload", "a.bin", server.url).code != 0
        assert run("upload", "--dialect", "flowjs", "a.bin", server.url).code == 0
    assert tree(received) == {"a.bin": file.read_bytes()}


def test_the_library_uploads_with_one_call_what_the_command_does(make: Make, server: Server, received: Path) -> None:
    file = make("a.bin", 10)
    assert resumable.upload(str(file), server.url)
    assert json.dumps(sorted(tree(received))) == '["a.bin"]'


def test_the_last_object_is_the_result_also_where_nothing_is_sent(run: Run, make: Make) -> None:
    make()
    ran = run("upload", "--json", "--dry-run", "a.bin", "http://example.com/")
    assert [event["event"] for event in ran.events] == ["planned", "result"]
    assert ran.events[-1]["exit_code"] == 0


def test_the_result_has_the_errors_of_all_files_that_failed(run: Run, make: Make) -> None:
    make()
    with ScriptedServer(otherwise=answer(404)) as server:
        result = run("upload", "--json", "a.bin", server.url).events[-1]
    assert (result["failed"], len(result["errors"])) == (1, 1)


def test_a_standard_input_that_is_closed_is_a_source_that_cannot_be_read(work: Path) -> None:
    typed = f"{sys.executable} -m resumable upload - http://127.0.0.1:9/ <&-"
    ended = subprocess.run(["bash", "-c", typed], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert ended.returncode == 3
    assert b"the standard input is closed" in ended.stderr


@pytest.mark.once
def test_lines_that_cannot_be_written_do_not_touch_the_upload(make: Make, server: Server, received: Path) -> None:
    make()
    typed = f"{sys.executable} -m resumable upload --json a.bin {server.url} > /dev/full"
    ended = subprocess.run(["bash", "-c", typed], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert b"Traceback" not in ended.stderr
    assert "a.bin" in tree(received)


def test_a_file_that_the_server_could_not_tell_from_another_is_no_success(
    run: Run, work: Path, server: Server, received: Path
) -> None:
    for name in ("a", "b"):
        (work / name).mkdir()
        (work / name / "config.txt").write_text(name)
        os.utime(work / name / "config.txt", (1, 1))
    ran = run("upload", "-q", "a/config.txt", "b/config.txt", server.url)
    assert ran.code == 1
    assert "'b/config.txt'" in ran.text
    assert "--identifier content tells them apart" in ran.text
    assert run("upload", "--identifier", "content", "b/config.txt", server.url).code == 0
    assert sorted(tree(received).values()) == [b"a", b"b"]
    assert run("upload", "a/config.txt", "./a/config.txt", server.url).code == 0


def test_the_fields_of_the_objects_are_the_documented_ones(run: Run, make: Make, server: Server) -> None:
    make("top/a.bin", 100_000)
    make("top/b.bin", 10)
    with Proxy(server.url, Scenario(faults=(Fault("reset", at=50_000),))) as proxy:
        flags = ("--retry-interval", "0", "--no-test-chunks", "-j", "1")
        written = run("upload", "--json", *flags, "top", proxy.url).events
    written += run("upload", "--json", "-n", "top", server.url).events
    with ScriptedServer(otherwise=answer(404)) as refusing:
        written += run("upload", "--json", "top/a.bin", refusing.url).events
    seen = {record["event"] for record in written}
    assert {"chunk_retry", "chunk_success", "file_error", "file_success", "planned", "progress", "result"} <= seen
    assert seen <= set(NAMES)
    for record in written:
        assert set(record) == {"event", "time", *fields_of(record["event"])}, record
        for name, parts in PARTS.items():
            assert name not in record or set(record[name]) == set(parts)
    for name in NAMES:
        assert set(fields_of(name)) <= set(FIELDS)
    assert set(FIELDS) == {"event", "time"}.union(*map(fields_of, NAMES))


def test_an_object_about_a_handler_that_raised_keeps_its_own_name(capsys: pytest.CaptureFixture[str]) -> None:
    with Resumable("http://127.0.0.1:9/", auto_upload=False) as session:
        records = JsonEvents()
        records.event(session, "handler_error", ("file_added", print, ValueError("no")))
        records.finish({})
    line, _ = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert (record["event"], record["about"], record["handler"]) == ("handler_error", "file_added", "print")
