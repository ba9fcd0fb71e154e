"""``resumable watch``: files are sent when they are at rest, once, whatever happens to it meanwhile."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from support.command import Run, tree
from support.program import Program
from support.scripted_server import PATIENCE, Answer, Request, ScriptedServer, Store

from resumable import Resumable
from resumable.cli.disposal import Keep, Mark, Move
from resumable.cli.inbox import Arrival, Inbox, version_of
from resumable.cli.output.notes import OutputOptions
from resumable.cli.params.destination import Destination
from resumable.cli.params.sources import Selection
from resumable.cli.watcher import Watcher
from resumable.receiver import FileStore, Receiver, Server

Make = Callable[..., Path]
AT_ONCE = ("watch", "--once", "--rest", "0")


@pytest.fixture
def inbox(work: Path) -> Inbox:
    """The files below ``top`` that have not changed for ten seconds; at the start they are as old as they are."""
    (work / "top").mkdir()
    return Inbox(Selection(("top",)), 10, skip=Keep().skips, age=lambda version: version.mtime_ns / 1e9)


def names(arrivals: list[Arrival]) -> list[str]:
    return [arrival.found.relative_path for arrival in arrivals]


def test_a_file_is_at_rest_when_it_has_not_changed_for_a_while(inbox: Inbox, make: Make) -> None:
    assert inbox.look(0) == []
    assert inbox.next_look(0) is None
    path = make("top/a.bin")
    assert inbox.look(100) == []
    assert inbox.next_look(104) == 6
    assert inbox.look(109) == []
    path.write_bytes(b"longer" * 1000)
    assert inbox.look(115) == []
    assert names(inbox.look(125)) == ["top/a.bin"]
    assert inbox.look(200) == []
    assert inbox.next_look(200) is None


def test_at_the_start_the_time_of_a_file_counts(inbox: Inbox, make: Make) -> None:
    os.utime(make("top/old.bin"), (11, 11))
    os.utime(make("top/young.bin"), (4, 4))
    os.utime(make("top/from-tomorrow.bin"), (-5, -5))
    assert names(inbox.look(100)) == ["top/old.bin"]
    assert names(inbox.look(106)) == ["top/young.bin"]
    assert names(inbox.look(110)) == ["top/from-tomorrow.bin"]


def test_a_file_that_was_renamed_is_a_new_one(inbox: Inbox, make: Make, work: Path) -> None:
    inbox.look(0)
    make("top/a.tmp")
    inbox.look(0)
    (work / "top" / "a.tmp").rename(work / "top" / "a.bin")
    assert inbox.look(50) == []
    assert names(inbox.look(60)) == ["top/a.bin"]


def test_a_failure_is_tried_again_later_and_later_unless_the_file_changes(inbox: Inbox, make: Make) -> None:
    inbox.look(0)
    path = make("top/a.bin")
    inbox.look(0)
    now, waits = 10.0, []
    for _ in range(9):
        (arrival,) = inbox.look(now)
        waits.append(inbox.failed(arrival, now))
        assert inbox.look(now + waits[-1] - 1) == []
        assert inbox.next_look(now) == waits[-1]
        assert inbox.next_look(now, retries=False) is None
        now += waits[-1]
    assert waits == [10, 20, 40, 80, 160, 320, 600, 600, 600]
    path.write_bytes(b"other")
    inbox.look(now)
    (arrival,) = inbox.look(now + 10)
    assert inbox.failed(arrival, now + 10) == 10


def test_what_cannot_be_read_is_told_beside_the_others(inbox: Inbox, make: Make, work: Path) -> None:
    inbox.look(0)
    make("top/a.bin")
    (work / "top" / "lost").symlink_to("nowhere")
    inbox.look(0)
    assert names(inbox.look(10)) == ["top/a.bin"]
    assert [error.source for error in inbox.errors] == ["top/lost"]


def test_a_marker_is_about_one_version(make: Make) -> None:
    path = make("top/a.bin")
    before = version_of(str(path))
    assert before is not None
    mark = Mark()
    assert not mark.skips(str(path), before)
    mark.settle(str(path), before)
    assert mark.skips(str(path), before)
    assert mark.skips(f"{path}.uploaded", before)
    path.write_bytes(b"other")
    after = version_of(str(path))
    assert after is not None
    assert not mark.skips(str(path), after)
    path.unlink()
    for disposal in (Keep(), mark, Move("top", "sent")):
        assert disposal.skips(f"{path}.uploaded", before), "a marker is not sent, even if its file is gone"
        assert disposal.skips(f"{path}.uploaded.tmp", before)
        assert not disposal.skips(str(make("top/report.uploaded")), before), "it only has the name of a marker"


def test_a_link_in_the_place_of_a_marker_is_not_followed(make: Make, work: Path) -> None:
    path, elsewhere = make("top/a.bin"), make("precious.txt")
    content, version = elsewhere.read_bytes(), version_of(str(path))
    assert version is not None
    Path(f"{path}.uploaded.tmp").symlink_to(elsewhere)
    Mark().settle(str(path), version)
    assert elsewhere.read_bytes() == content
    assert Mark().skips(str(path), version)


def test_moving_overwrites_nothing(make: Make, work: Path) -> None:
    move = Move("top", "top/sent")
    version = version_of(__file__)
    assert version is not None
    for content in (b"first", b"second"):
        path = make("top/below/a.tar.gz")
        path.write_bytes(content)
        move.settle(os.path.relpath(path), version)
    assert tree(work) == {"top/sent/below/a.tar.gz": b"first", "top/sent/below/a.tar (1).gz": b"second"}
    assert move.skips("top/sent/below/a.tar.gz", version)
    assert not move.skips("top/sent.gz", version)


def test_a_file_moves_to_another_file_system_in_one_step(
    make: Make, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == work.stat().st_dev:
        pytest.skip("there is no other file system")
    path = make("top/a.bin")
    content, version = path.read_bytes(), version_of(str(path))
    assert version is not None
    goal = other / f"resumable-{os.getpid()}-{threading.get_ident()}"
    move = Move(str(work / "top"), str(goal))
    try:
        assert not move.settle(str(path), version._replace(mtime_ns=1)), "it was replaced while it was copied"
        assert tree(goal) == {}
        assert path.read_bytes() == content
        (goal / "a.bin.part").write_bytes(b"uploaded before")
        move.settle(str(path), version)
        assert tree(goal) == {"a.bin": content, "a.bin.part": b"uploaded before"}
        assert not path.exists()
        path.write_bytes(content)
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) - 1, limit[1]))
        try:
            with pytest.raises(OSError, match="too large"):
                move.settle(str(path), version_of(str(path)) or version)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert tree(goal).keys() == {"a.bin", "a.bin.part"}, "a full disk is not filled with beginnings"
        assert path.read_bytes() == content
    finally:
        shutil.rmtree(goal, ignore_errors=True)


@pytest.mark.parametrize("flag", [["--move-to", "sent"], ["--mark"], []])
def test_what_is_there_is_sent_once(flag: list[str], run: Run, make: Make, server: Server, received: Path) -> None:
    content = make("top/a.bin").read_bytes()
    ran = run(*AT_ONCE, "--json", *flag, "--to", "in", "top", server.url)
    assert ran.code == 0, ran.err
    assert (ran.events[-1]["event"], ran.events[-1]["succeeded"]) == ("result", 1)
    assert [ran.events[-1][name] for name in ("chunks", "bytes_confirmed", "bytes_skipped")] == [1, len(content), 0]
    assert tree(received) == {"in/top/a.bin": content}
    assert Path("sent/a.bin").exists() == bool(flag and flag[0] == "--move-to")
    assert Path("top/a.bin.uploaded").exists() == (flag == ["--mark"])
    again = run(*AT_ONCE, "--json", *flag, "--to", "in", "top", server.url)
    assert (again.code, again.events[-1]["succeeded"]) == (0, 0 if flag else 1)
    assert not [event for event in again.events if event.get("bytes_sent")]


def test_a_file_that_is_refused_does_not_keep_the_others(run: Run, make: Make, received: Path) -> None:
    make("top/large.bin", 5000)
    make("top/small.bin", 10)
    with Server(Receiver(FileStore(received), max_total_size=100)) as server:
        ran = run(*AT_ONCE, "--mark", "top", server.url)
    assert ran.code == 1
    assert "trying again in 10 s" in ran.text
    assert [*tree(received)] == ["top/small.bin"]
    assert not Path("top/large.bin.uploaded").exists()


def test_what_failed_keeps_no_session_in_memory(make: Make, received: Path, caplog: pytest.LogCaptureFixture) -> None:
    sessions = [id(each) for each in gc.get_objects() if issubclass(type(each), Resumable)]
    make("top/large.bin", 5000)
    inbox = Inbox(Selection(("top",)), 0, skip=Keep().skips, age=lambda version: 0.0)
    output = OutputOptions(quiet=True, verbose=0, json=False, log_file=None)
    with Server(Receiver(FileStore(received), max_total_size=100)) as server:
        destination = Destination(server.url, {"auto_upload": False})
        watcher = Watcher(destination, inbox, Keep(), output, typed=(), changes=lambda wake: nullcontext())
        assert watcher.run("top", once=True) == 4
    caplog.clear()
    gc.collect()
    assert not [each for each in gc.get_objects() if issubclass(type(each), Resumable) and id(each) not in sessions], (
        "one of each outage of a year"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["http://h/"], "pass one directory to watch"),
        (["top", "top", "http://h/"], "pass one directory to watch"),
        (["nowhere", "http://h/"], "DIRECTORY: 'nowhere' does not exist"),
        (["--mark", "--move-to", "x", "top", "http://h/"], "pass either --move-to or --mark"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], said: str, run: Run, work: Path) -> None:
    (work / "top").mkdir()
    ran = run("watch", "--json", *arguments)
    assert (ran.code, ran.events[-1]["event"]) == (2, "result")
    assert said in ran.events[-1]["errors"][0]


def test_a_signal_ends_it_with_the_command_that_goes_on(
    run: Run, make: Make, signalled: Callable[[int, Callable[[], object]], None]
) -> None:
    make("top/a.bin")
    with ScriptedServer() as server:
        server.behave = Store()
        signalled(signal.SIGTERM, lambda: server.wait(lambda: server.uploads))
        ran = run("watch", "--rest", "0", "--json", "top", server.url)
    assert (ran.code, ran.events[-1]["exit_code"]) == (143, 143)
    assert f"resumable watch --rest 0 --json top {server.url}" in ran.text


@pytest.mark.programs
def test_killed_and_started_again_it_sends_the_rest_and_nothing_twice(
    start: Callable[..., Program], run: Run, make: Make, work: Path
) -> None:
    contents = {name: make(f"top/{name}", 8000).read_bytes() for name in ("a.bin", "b.bin")}
    store, stored = Store(), threading.Event()

    def step(request: Request) -> Answer | None:
        if request.chunk is not None and len(store.chunks) == 5:
            stored.set()
            return None
        return store(request)

    arguments = ("--rest", "0", "--chunk-size", "1000", "-j", "1", "--move-to", "sent", "top")
    with ScriptedServer() as server:
        server.behave = step
        process = start("watch", *arguments, server.url)
        assert stored.wait(PATIENCE), process
        process.kill()
        process.wait()
        before = set(store.chunks)
        (work / "top" / "b.bin").rename(work / "top" / "c.bin")
        server.behave = store
        count = len(server.requests)
        assert run("watch", "--once", *arguments, server.url).code == 0
        sent = [(each.identifier, each.number) for each in server.requests[count:] if each.chunk is not None]
    assert len(sent) == len(set(sent)) == 11
    assert not before & set(sent)
    assert tree(work) == {"sent/a.bin": contents["a.bin"], "sent/c.bin": contents["b.bin"]}


@pytest.mark.programs
def test_a_server_that_is_away_is_waited_for_and_files_keep_coming(
    start: Callable[..., Program], make: Make, received: Path, silent_port: int
) -> None:
    contents = {"top/a.bin": make("top/a.bin").read_bytes()}
    url = f"http://127.0.0.1:{silent_port}/"
    process = start("watch", "--rest", "0", "--retry-interval", "0.1", "--json", "top", url)
    assert process.stderr is not None
    assert process.stdout is not None
    assert "cannot reach" in process.stderr.readline()
    contents["top/b.bin"] = make("top/b.bin").read_bytes()
    with Server(Receiver(FileStore(received, fsync="never")), port=silent_port):
        done = 0
        for line in process.stdout:
            done += '"event": "file_success"' in line
            if done == 2:
                break
        process.send_signal(signal.SIGTERM)
        rest: Any = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, rest
    assert tree(received) == contents
