"""The standard streams may be closed, full, or left by their reader: the upload goes on, and the exit code is true."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command import ROOT, tree
from support.program import can_fork, warm
from support.scripted_server import Request, ScriptedServer, answer

from resumable.receiver import Server

Make = Callable[..., Path]
Shell = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX"),
    pytest.mark.once,
    pytest.mark.slow,
]


@pytest.fixture
def shell(work: Path) -> Shell:
    """``shell(line)`` runs a line of bash in which ``resumable`` is the command; the exit code is that of the first in
    a pipe."""
    program = f"{shlex.quote(sys.executable)} -W error -m resumable"
    forked = work / "forked" / "resumable"

    def shell(line: str) -> subprocess.CompletedProcess[str]:
        # Only open streams can be handed to a warm process, and it has the limits of its own.
        if "&-" in line or "ulimit" in line or not can_fork(os.environ):
            used = program
        else:
            warm().write_programs(forked.parent, forked.name)
            used = shlex.quote(str(forked))
        return subprocess.run(
            ["bash", "-c", f"{line.replace('resumable', used, 1)}; exit ${{PIPESTATUS[0]}}"],
            cwd=work,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return shell


full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")


@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-", pytest.param("2>/dev/full", marks=full)])
def test_the_standard_output_of_json_has_objects_and_nothing_else(
    closed: str, shell: Shell, make: Make, server: Server, received: Path
) -> None:
    make("a.bin", 3_000_000)
    ran = shell(f"resumable upload -vv --json a.bin {server.url} {closed}")
    assert ran.returncode == 0
    assert [json.loads(line)["event"] for line in ran.stdout.splitlines()][-1] == "result"
    assert ran.stderr == ""
    assert list(tree(received)) == ["a.bin"]


def test_a_socket_never_gets_the_number_of_a_closed_stream(shell: Shell, make: Make) -> None:
    """What a library writes to the standard error would otherwise be a part of a request."""
    make("a.bin", 1000)
    bodies: list[bytes] = []

    def keep(request: Request) -> None:
        bodies.append(request.read())
        answer(read=False)(request)

    with ScriptedServer(otherwise=keep) as server:
        ran = shell(f"resumable upload --no-test-chunks a.bin {server.url} <&- >&- 2>&-")
    assert ran.returncode == 0
    assert len(bodies) == 1


@pytest.mark.parametrize("closed", [">&-", pytest.param("> /dev/full", marks=full)])
@pytest.mark.parametrize(
    "arguments",
    ["upload --json a.bin URL", "upload -n a.bin URL", "upload -n --json a.bin URL", "--help", "upload -h", "-V"],
)
def test_output_that_was_asked_for_and_cannot_be_written_is_no_success(
    arguments: str, closed: str, shell: Shell, make: Make, server: Server, received: Path
) -> None:
    make()
    ran = shell(f"resumable {arguments.replace('URL', server.url)} {closed}")
    assert ran.returncode == 9
    why = "it is closed" if closed == ">&-" else "No space left on device"
    assert ran.stderr.splitlines()[-1] == f"failed: cannot write to the standard output: {why}"
    assert "Traceback" not in ran.stderr
    assert ("a.bin" in tree(received)) is arguments.startswith("upload --json")


def test_the_exit_code_of_what_failed_is_kept_if_the_output_fails_too(shell: Shell, make: Make) -> None:
    make()
    with ScriptedServer(otherwise=answer(404)) as server:
        assert shell(f"resumable upload --json a.bin {server.url} >&-").returncode == 4


@pytest.mark.parametrize("closed", [">&-", pytest.param("> /dev/full", marks=full)])
def test_a_standard_output_that_is_not_used_does_not_matter(
    closed: str, shell: Shell, make: Make, server: Server
) -> None:
    make()
    ran = shell(f"resumable upload a.bin {server.url} {closed}")
    assert ran.returncode == 0
    assert "1 file uploaded" in ran.stderr


@pytest.mark.parametrize("redirected", ["2>&-", "2>&1 >/dev/null | true", pytest.param("2>/dev/full", marks=full)])
@pytest.mark.parametrize(("arguments", "code"), [("-vv a.bin", 0), ("none.bin", 3), ("--none", 2)])
def test_the_exit_code_is_true_if_nobody_can_read_what_is_said(
    arguments: str, code: int, redirected: str, shell: Shell, make: Make, server: Server, received: Path
) -> None:
    make("a.bin", 3_000_000)
    ran = shell(f"resumable upload {arguments} {server.url} {redirected}")
    assert (ran.returncode, ran.stdout, ran.stderr) == (code, "", "")
    assert ("a.bin" in tree(received)) is (code == 0)


@pytest.mark.parametrize("arguments", ["upload --json top URL", "upload -n top URL", "upload --help", "--version"])
def test_a_reader_that_has_seen_enough_is_no_failure(
    arguments: str, shell: Shell, make: Make, server: Server, received: Path
) -> None:
    for number in range(30):
        make(f"top/{number}.bin", 10)
    ran = shell(f"resumable {arguments.replace('URL', server.url)} | true")
    assert ran.returncode == 0
    assert "Traceback" not in ran.stderr
    assert "failed" not in ran.stderr
    assert len(tree(received)) == (30 if "--json" in arguments else 0)


def test_output_that_fails_in_the_middle_is_a_failure_too(
    shell: Shell, make: Make, server: Server, work: Path, received: Path
) -> None:
    make("a.bin", 100 * 1024)
    # Files may have 4 KiB: the first events are written.
    line = f"trap '' XFSZ; ulimit -f 4; resumable upload --json --chunk-size 1K a.bin {server.url} > events"
    ran = shell(line)
    assert ran.returncode == 9
    assert "failed: cannot write to the standard output: File too large" in ran.stderr
    assert (work / "events").read_text().startswith('{"event": ')
    assert list(tree(received)) == ["a.bin"]


def test_a_process_that_may_open_too_few_files_is_one_line(shell: Shell, make: Make) -> None:
    """Here the rest of the command cannot even be loaded."""
    make()
    ran = shell("ulimit -n 5; resumable upload a.bin http://127.0.0.1:9/")
    assert ran.returncode == 2
    assert ran.stderr == "failed: this process may open too few files: raise the limit with ulimit -n\n"
