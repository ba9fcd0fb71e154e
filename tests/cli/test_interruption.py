"""Ctrl-C and SIGTERM: the first stops within two seconds and says how to go on, the second at once."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.breaking_proxy import Proxy, Scenario
from support.command import ROOT, Run, tree
from support.program import Program
from support.scripted_server import Request, ScriptedServer, answer, hold

from resumable.cli.interruption import Interrupted, InterruptGuard
from resumable.cli.output.resume_command import command_again
from resumable.cli.params.stdio import Piped, standard_input
from resumable.receiver import Server

Make = Callable[..., Path]
Start = Callable[..., Program]
MIB = 1024 * 1024
LIMIT = 2.0


def never_reads(request: Request) -> None:
    request.hold()


@pytest.fixture(params=["never answers", "never reads"])
def hung(request: pytest.FixtureRequest) -> Iterator[ScriptedServer]:
    """A server that takes requests and does not finish one."""
    step = hold if request.param == "never answers" else never_reads
    with ScriptedServer(otherwise=step, receive_buffer=4096) as server:
        yield server


def interrupted(process: Program, number: int, *, leave: float = 3.0) -> tuple[int, str]:
    """The exit code, and what was said, of a process that is sent a signal. Other programs share the machine."""
    began = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - began < LIMIT + leave
    return process.returncode, said


@pytest.mark.timed
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_within_two_seconds_on_a_hung_server(
    number: int, code: int, start: Start, make: Make, hung: ScriptedServer
) -> None:
    make("a.bin", 10 * MIB)
    process = start("upload", "--no-test-chunks", "-j", "4", "--chunk-order", "free", "a.bin", hung.url)
    hung.wait(lambda: len(hung.requests) >= 4)
    ended, said = interrupted(process, number)
    assert ended == code
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert f"stopped: {name}; 0 B of 10.0 MiB are at the server. To go on:\n  " in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_program_that_calls_the_command_gets_the_code(
    number: int, code: int, run: Run, make: Make, signalled: Callable[..., None]
) -> None:
    make()
    with ScriptedServer(otherwise=hold) as server:

        def sent() -> None:
            server.wait(lambda: server.requests)

        signalled(number, sent)
        ran = run("upload", "--no-test-chunks", "-H", "X-Token: s3cr3t", "a.bin", server.url)
    assert ran.code == code
    assert f"upload --no-test-chunks -H 'X-Token: ***' a.bin {server.url}\n" in ran.err
    assert "Secrets are not shown: replace each *** with the real value." in ran.err


@pytest.mark.timed
def test_the_command_that_is_printed_goes_on_with_the_rest(
    start: Start, make: Make, work: Path, server: Server, received: Path
) -> None:
    file = make("it's a file.bin", 40 * 64 * 1024)
    with Proxy(server.url, Scenario(bandwidth=400_000)) as proxy:
        process = start("upload", "--json", "--chunk-size", "64K", "it's a file.bin", proxy.url)
        assert process.stdout is not None
        seen = 0
        while seen < 5:
            seen += '"chunk_success"' in process.stdout.readline()
        code, said = interrupted(process, signal.SIGINT)
        assert code == 130
        (command,) = re.findall(r"^  (.*)$", said, re.MULTILINE)
        words = shlex.split(command)
        assert words[:3] == [sys.executable, "-m", "resumable"]
        assert words[-2:] == ["it's a file.bin", proxy.url]
        proxy.scenario = Scenario()
        ran = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=work,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ran.returncode == 0
    there = re.search(r"(\d+) of 40 chunks already there", ran.stderr)
    assert there
    assert int(there[1]) >= 5
    assert tree(received) == {file.name: file.read_bytes()}


def test_json_ends_with_the_result_of_what_was_interrupted(start: Start, make: Make) -> None:
    make()
    with ScriptedServer(otherwise=hold) as server:
        process = start("upload", "--json", "--no-test-chunks", "a.bin", server.url)
        server.wait(lambda: server.requests)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    result = json.loads(said.splitlines()[-1])
    assert (result["event"], result["exit_code"], result["cancelled"]) == ("result", 130, 1)


def test_json_says_what_had_become_of_the_files_before_the_interruption(start: Start, make: Make) -> None:
    make("a.bin", 10)
    make("b.bin", 10)
    make("c.bin", 3 * MIB)
    refused, taken = answer(413), answer(200)

    def behave(request: Request) -> None:
        name, number = request.parameters["resumableFilename"], request.number
        (refused if name == "a.bin" else hold if (name, number) == ("c.bin", 2) else taken)(request)

    with ScriptedServer(otherwise=behave) as server:
        process = start("upload", "--json", "--no-test-chunks", "a.bin", "b.bin", "c.bin", server.url)
        assert process.stdout is not None
        seen: list[str] = []
        while sum("file_error" in line or "file_success" in line or "chunk_success" in line for line in seen) < 4:
            seen.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    result = json.loads(said.splitlines()[-1])
    assert (result["succeeded"], result["failed"], result["cancelled"], len(result["errors"])) == (1, 1, 1, 1)
    assert result["bytes_confirmed"] == MIB + 10


def test_the_standard_input_can_be_interrupted(work: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "resumable", "upload", "-v", "-", "http://127.0.0.1:9/"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    with process:
        # Once it has read this it is in the middle of the stream.
        process.stdin.write("x" * 100_000)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_a_second_signal_ends_it_at_once(work: Path, tmp_path: Path) -> None:
    # The first is held up in the code that it interrupts, as it would be by a disk that does not answer.
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, threading\n"
        "from resumable.cli.interruption import InterruptGuard\n"
        "with InterruptGuard():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        while True: threading.Event().wait(0.2)\n"
        "    finally:\n"
        "        print('stopping', flush=True)\n"
        # Not for ever: a signal that comes just before a thread blocks in the system is noticed when that is over.
        "        while True: threading.Event().wait(0.2)\n",
        encoding="utf-8",
    )
    process = subprocess.Popen(
        [sys.executable, str(program)], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143


def test_a_signal_that_was_ignored_stays_so(run: Run, make: Make, server: Server) -> None:
    make()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run("upload", "a.bin", server.url).code == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.timed
def test_a_host_that_never_connects_is_given_up(start: Start, make: Make) -> None:
    make()
    # A listener whose queue is full does not take a connection, and does not refuse it.
    with socket.socket() as listening, ExitStack() as opened:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            filler = opened.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        process = start("upload", "-vv", "--json", "a.bin", f"http://127.0.0.1:{listening.getsockname()[1]}/")
        assert process.stdout is not None
        while '"upload_start"' not in process.stdout.readline():
            pass
        # Nobody can cut off what is not connected yet: all of the two seconds are used.
        code, _ = interrupted(process, signal.SIGINT, leave=5.0)
    assert code == 130


def test_what_is_not_to_be_left_half_done_is_done() -> None:
    done = []

    def work(signals: InterruptGuard) -> None:
        with signals.held():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("all of it")
        done.append("too much")

    with InterruptGuard() as signals, pytest.raises(Interrupted, match="SIGTERM"):
        work(signals)
    assert done == ["all of it"]


def test_waiting_ends_when_there_is_something_to_read_and_not_for_other_signals(
    signalled: Callable[..., None],
) -> None:
    reading, writing = os.pipe()
    heard = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.set())
    try:
        with InterruptGuard() as signals:

            def write() -> None:
                assert heard.wait(60)
                os.write(writing, b"something")
                os.close(writing)

            signalled(signal.SIGUSR1, lambda: None)
            writer = threading.Thread(target=write)
            writer.start()
            stream = Piped(reading, signals.wait)
            assert stream.readable()
            assert stream.read(1 << 20) == b"something"
            assert stream.read() == b""
            writer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
        os.close(reading)


def test_a_file_as_standard_input_is_read_as_the_file_that_it_is(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with make("a.bin", 10).open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert standard_input(lambda descriptor: None) is file.buffer
    reading, writing = os.pipe()
    with open(reading) as piped, open(writing, "wb"):
        monkeypatch.setattr(sys, "stdin", piped)
        assert isinstance(standard_input(lambda descriptor: None), Piped)


@pytest.mark.parametrize("name", ["new\nline", "a\tb", "it's", "back\\slash\n1", "zero\u200dwidth", "latin-\udce9"])
def test_what_a_shell_makes_of_the_printed_command_is_what_was_typed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["printf"])
    again = command_again(["%s", "upload", name])
    assert again.isprintable()
    said = subprocess.run(["bash", "-c", again], capture_output=True, check=True).stdout
    assert said == b"upload" + os.fsencode(name)


def test_a_program_that_is_not_on_the_path_is_named_by_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "resumable"
    path.write_text("")
    path.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(path)])
    monkeypatch.setenv("PATH", "/nowhere")
    assert command_again(["upload"]) == f"{path} upload"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command_again(["upload"]) == "resumable upload"


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_ctrl_c_before_anything_is_sent_ends_in_a_result_too(
    flags: list[str], run: Run, work: Path, monkeypatch: pytest.MonkeyPatch, signalled: Callable[..., None]
) -> None:
    looking = threading.Event()
    (work / "top").mkdir()
    real = os.scandir

    def scandir(path: str) -> Any:
        looking.set()
        # In slices, because a signal that comes just before a wait is noticed after it.
        for _ in range(300):
            threading.Event().wait(0.2)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    signalled(signal.SIGINT, lambda: looking.wait(60))
    ran = run("upload", "--json", *flags, "top", "http://127.0.0.1:9/")
    assert ran.code == 130
    assert [event["event"] for event in ran.events] == ["result"]
    assert ran.events[0]["exit_code"] == 130
    assert "stopped: Ctrl-C; nothing was sent. To start again:" in ran.err


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there are no terminals that hang up")
def test_a_terminal_that_is_closed_stops_it_in_order(start: Start, make: Make) -> None:
    make()
    with ScriptedServer(otherwise=hold) as server:
        # Whoever runs the tests with nohup has it ignored, and programs inherit that.
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        try:
            process = start("upload", "--json", "--no-test-chunks", "a.bin", server.url)
        finally:
            signal.signal(signal.SIGHUP, before)
        server.wait(lambda: server.requests)
        process.send_signal(signal.SIGHUP)
        said, told = process.communicate(timeout=60)
    assert process.returncode == 129
    assert json.loads(said.splitlines()[-1])["exit_code"] == 129
    assert "stopped: SIGHUP" in told


@pytest.mark.once
def test_a_signal_that_is_ignored_from_the_start_stays_ignored(make: Make, work: Path, server: Server) -> None:
    make("a.bin", 3 * MIB)
    line = f"trap '' HUP; exec {sys.executable} -m resumable upload --json a.bin {server.url}"
    process = subprocess.Popen(
        ["bash", "-c", line],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_the_result_of_what_was_interrupted_counts_the_bytes_of_all_files(start: Start, make: Make) -> None:
    """Those of which part is at the server, those that are done, and those that failed."""
    for name in ("a.bin", "b.bin"):
        make(name, 8 * MIB)

    def behave(request: Request) -> None:
        number = int(request.parameters["resumableChunkNumber"])
        (answer(200) if number <= 2 else hold)(request)

    with ScriptedServer(otherwise=behave) as server:
        process = start("upload", "--json", "--no-test-chunks", "-j", "8", "a.bin", "b.bin", server.url)
        assert process.stdout is not None
        seen: list[str] = []
        while sum('"chunk_success"' in line for line in seen) < 4:
            seen.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        said, told = process.communicate(timeout=60)
    result = json.loads(said.splitlines()[-1])
    assert "4.00 MiB of 16.0 MiB are at the server" in told
    assert (result["bytes_confirmed"], result["cancelled"], result["succeeded"]) == (4 * MIB, 2, 0)


@pytest.mark.parametrize("called", ["", "-", "-c", "/somewhere/resumable/__main__.py"])
def test_a_program_without_a_name_is_named_as_a_module(called: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [called])
    assert command_again(["upload"]).endswith(" -m resumable upload")
    assert command_again(["upload"]).split()[0].rpartition("/")[2].startswith("python")
