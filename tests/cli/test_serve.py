"""``resumable serve``: what it says, what it takes, and how it stops."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from support.command import ROOT, Run, tree
from support.program import Program
from support.terminal import Terminal

from resumable import UploadFailed, upload
from resumable.cli.output.log_file import log_file
from resumable.cli.params.command import Option
from resumable.cli.serve import command

pytestmark = pytest.mark.once

Make = Callable[..., Path]
Start = Callable[..., Program]


def lines(process: Program, count: int) -> list[str]:
    """The next lines of what it says to a person."""
    assert process.stderr is not None
    return [process.stderr.readline().rstrip("\n") for _ in range(count)]


def url_of(process: Program) -> str:
    """The one line of its standard output."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def said(text: str) -> None:
    """This process has said it on its standard error, which pytest captures."""
    deadline = time.monotonic() + 60
    captured: Any = sys.stderr
    while text not in captured.getvalue():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_it_prints_the_url_and_a_command_that_works(start: Start, run: Run, make: Make, work: Path) -> None:
    file = make("it's.bin", 100_000)
    process = start("serve", "incoming")
    url = url_of(process)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
    told, command = lines(process, 2)
    assert told == "receiving into incoming; Ctrl-C stops it. To upload something:"
    assert command.endswith(f"-m resumable upload FILE {url}")
    typed = shlex.split(command.replace("FILE", shlex.quote(file.name)))
    assert run(*typed[typed.index("upload") :]).code == 0
    assert lines(process, 1) == ["received: it's.bin, 97.7 KiB"]
    assert tree(work / "incoming") == {file.name: file.read_bytes()}


@pytest.mark.parametrize(
    ("flags", "accepted"),
    [
        ([], {"resumablejs"}),
        (["--dialect", "flowjs"], {"flowjs"}),
        (["--dialect", "any"], {"resumablejs", "flowjs"}),
    ],
)
def test_it_accepts_the_dialect_that_it_was_told_and_prints_a_command_that_speaks_it(
    flags: list[str], accepted: set[str], start: Start, run: Run, make: Make, work: Path
) -> None:
    file = make()
    process = start("serve", *flags, "incoming")
    url = url_of(process)
    typed = shlex.split(lines(process, 2)[1].replace("FILE", file.name))
    assert run(*typed[typed.index("upload") :]).code == 0
    for dialect in ("resumablejs", "flowjs"):
        other = make(f"{dialect}.bin")
        assert (run("upload", "--dialect", dialect, other.name, url).code == 0) is (dialect in accepted)
        assert (tree(work / "incoming").get(other.name) == other.read_bytes()) is (dialect in accepted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(number: int, start: Start) -> None:
    process = start("serve", "incoming")
    url_of(process)
    lines(process, 2)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


def test_an_address_that_others_reach_gets_a_token_of_its_own(
    start: Start, run: Run, make: Make, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("a.bin")
    process = start("serve", "--host", "0.0.0.0", "incoming")
    url = url_of(process)
    _, export, command, note, others = lines(process, 5)
    found = re.fullmatch(r"  export RESUMABLE_TOKEN=(\S{32})", export)
    assert found
    assert re.fullmatch(rf"  \S*python\S* -m resumable upload --token-env RESUMABLE_TOKEN FILE {url}", command)
    assert note == "The token is for this run only; pass --token-file or --token-env to choose one."
    assert others.startswith(f"Others reach it as http://{socket.gethostname()}:")
    assert run("upload", "a.bin", url).code == 6
    monkeypatch.setenv("RESUMABLE_TOKEN", found[1])
    assert run("upload", "--token-env", "RESUMABLE_TOKEN", "a.bin", url).code == 0
    assert list(tree(work / "incoming")) == ["a.bin"]


def test_a_token_that_was_given_is_not_shown(start: Start, run: Run, make: Make, work: Path) -> None:
    make("a.bin")
    (work / "token").write_text("s3cret\n", encoding="utf-8")
    process = start("serve", "--token-file", "token", "incoming")
    url = url_of(process)
    _, command = lines(process, 2)
    assert command.endswith(f"upload --token-file token FILE {url}")
    assert run("upload", "a.bin", url).code == 6
    (refused,) = lines(process, 1)
    assert refused.startswith("refused: 401 ")
    assert run("upload", "--token-file", "token", "a.bin", url).code == 0
    other = start("serve", "--token-env", "UPLOAD_TOKEN", "incoming", UPLOAD_TOKEN="s3cret")
    url = url_of(other)
    assert lines(other, 2)[1].endswith(f"upload --token-env UPLOAD_TOKEN FILE {url}")


def test_whoever_says_insecure_gets_no_token(start: Start, run: Run, make: Make) -> None:
    make("a.bin")
    process = start("serve", "--host", "0.0.0.0", "--insecure", "-q", "incoming")
    assert run("upload", "a.bin", url_of(process)).code == 0


def test_its_limits_are_those_of_the_flags(start: Start, run: Run, make: Make) -> None:
    make("a.bin", 5000)
    process = start("serve", "--max-file-size", "4k", "incoming")
    ran = run("upload", "a.bin", url_of(process))
    assert ran.code == 4
    assert "→ 413" in ran.text
    lines(process, 2)
    (refused,) = lines(process, 1)
    assert refused.startswith("refused: 413 ")


def test_chunks_are_of_a_kibibyte_at_least(start: Start, run: Run, make: Make) -> None:
    make("a.bin", 5000)
    url = url_of(start("serve", "incoming"))
    assert run("upload", "--chunk-size", "1000", "a.bin", url).code == 4
    assert run("upload", "--chunk-size", "1024", "a.bin", url).code == 0


def test_several_processes_serve_one_directory(start: Start, run: Run, make: Make, work: Path) -> None:
    file = make("a.bin", 500_000)
    process = start("serve", "--processes", "2", "incoming")
    ran = run("upload", "--chunk-size", "10k", "--chunk-order", "free", "-j", "4", "a.bin", url_of(process))
    assert ran.code == 0, ran.err
    assert tree(work / "incoming") == {"a.bin": file.read_bytes()}
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


def test_a_taken_port_is_said_in_one_line(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        ran = run("serve", "--port", str(port), "incoming")
    assert ran.code == 1
    assert re.fullmatch(rf"failed: cannot serve incoming at 127.0.0.1 port {port}: Address already in use\n", ran.err)


@pytest.mark.parametrize("tests", [[], ["--no-test-chunks"]])
@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_a_file_that_was_deleted_is_uploaded_again(
    start: Start, run: Run, make: Make, work: Path, quiet: list[str], tests: list[str]
) -> None:
    file = make("v.bin", 100_000)
    url = url_of(start("serve", *quiet, "inc"))
    assert run("upload", *tests, "v.bin", url).code == 0
    (work / "inc" / "v.bin").unlink()
    assert run("upload", *tests, "v.bin", url).code == 0
    assert tree(work / "inc") == {"v.bin": file.read_bytes()}


def test_a_file_that_others_collected_is_not_taken_again_until_it_is_forgotten(
    start: Start, run: Run, make: Make, work: Path
) -> None:
    file = make("v.bin", 100_000)
    url = url_of(start("serve", "--collected", "inc"))
    for _ in range(2):
        assert run("upload", "v.bin", url).code == 0
        (work / "inc" / "v.bin").unlink(missing_ok=True)
    assert tree(work / "inc") == {}
    url = url_of(start("serve", "--collected", "--forget-after", "0", "inc"))
    assert run("upload", "v.bin", url).code == 0
    assert tree(work / "inc") == {"v.bin": file.read_bytes()}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--processes", "0"], "--processes must be "),
        (["--forget-after", "soon"], "'soon' is not a time"),
        (["--token-env", "NOT_SET"], "--token-env: the environment variable NOT_SET is not set"),
        (["--reserve", "much"], "'much' is not a size"),
        (["--log-file", "-"], "--log-file: '-' is not the name of a file; without this flag the log goes to"),
    ],
)
def test_a_wrong_flag_is_a_usage_error(arguments: list[str], text: str, run: Run) -> None:
    ran = run("serve", *arguments, "incoming")
    assert ran.code == 2
    assert text in ran.text


def test_on_a_terminal_the_url_stands_first(work: Path) -> None:
    with Terminal(["serve", "incoming"], work) as terminal:
        screen = terminal.until(lambda text: "upload FILE" in text)
        assert re.match(r"http://127\.0\.0\.1:\d+/\nreceiving into incoming", screen)
        terminal.press("c")
        assert terminal.end() == 0


def test_every_flag_has_its_help() -> None:
    assert all(parameter.help for parameter in command.params if isinstance(parameter, Option))


def test_a_program_that_calls_the_command_gets_its_end(
    run: Run,
    make: Make,
    work: Path,
    silent_port: int,
    signalled: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make("a.bin", 10)
    monkeypatch.setenv("UPLOAD_TOKEN", "s3cret")

    def uploaded() -> None:
        """A file was refused, and then taken, of a session of its own."""
        target = f"http://127.0.0.1:{silent_port}/"
        with pytest.raises(UploadFailed):
            upload("a.bin", target, retry_for=30, chunk_retry_interval=0.05)
        upload("a.bin", target, headers={"Authorization": "Bearer s3cret"})
        said("received: a.bin")

    signalled(signal.SIGINT, uploaded)
    flags = ["--host", "0.0.0.0", "--allowed-host", "files.example", "--token-env", "UPLOAD_TOKEN"]
    ran = run("serve", "--port", str(silent_port), *flags, "incoming")
    assert ran.code == 0
    assert ran.out == f"http://127.0.0.1:{silent_port}/\n"
    assert "refused: 401 " in ran.err
    assert "received: a.bin, 10 B\n" in ran.err
    assert list(tree(work / "incoming")) == ["a.bin"]


def test_a_program_that_calls_the_command_is_told_of_the_token(run: Run, signalled: Callable[..., None]) -> None:
    signalled(signal.SIGTERM, lambda: said("The token is for this run only"))
    ran = run("serve", "--host", "0.0.0.0", "incoming")
    assert ran.code == 0
    assert "  export RESUMABLE_TOKEN=" in ran.err
    assert "The token is for this run only" in ran.err


def test_a_token_file_that_is_not_there_is_not_blamed_on_the_address(run: Run) -> None:
    ran = run("serve", "--token-file", "nowhere", "incoming")
    assert ran.code == 2
    assert "'nowhere'" in ran.text
    assert "cannot serve" not in ran.text


def test_a_port_that_cannot_be_is_refused(run: Run) -> None:
    for typed in ("99999", "http"):
        ran = run("serve", "--port", typed, "incoming")
        assert ran.code == 2
        assert f"--port: '{typed}' is not a port; write a number from 0 (any free port) to 65535" in ran.text


def test_the_lines_that_are_printed_let_a_shell_upload_and_go_on(start: Start, make: Make, work: Path) -> None:
    make("a.bin", 5000)
    process = start("serve", "--host", "0.0.0.0", "incoming")
    url_of(process)
    _, export, command, _, _ = lines(process, 5)
    typed = command.strip().replace("FILE", "a.bin")
    ran = subprocess.run(
        ["bash", "-ec", f"{export}\n{typed}\n{typed}"], env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=work
    )
    assert ran.returncode == 0
    assert list(tree(work / "incoming")) == ["a.bin"]


@pytest.mark.parametrize("directory", ["/proc/incoming", "taken/incoming", "link"])
def test_a_directory_that_cannot_be_one_is_told_at_the_start(directory: str, run: Run, work: Path) -> None:
    (work / "taken").write_text("a file")
    (work / "link").symlink_to(work)
    ran = run("serve", directory)
    assert ran.code == 1
    assert ran.out == ""
    assert re.fullmatch(rf"failed: cannot receive into {directory}: .+\n", ran.err)


def test_the_log_is_a_file_of_json_lines_from_the_level_on_that_was_chosen(tmp_path: Path) -> None:
    handler = log_file(str(tmp_path / "log"), pytest.fail)
    logger = logging.getLogger("resumable.receiver.tried")
    logger.addHandler(handler)
    try:
        logger.error("it %s", "failed")
    finally:
        logger.removeHandler(handler)
        handler.close()
    (line,) = (tmp_path / "log").read_text().splitlines()
    facts = json.loads(line)
    assert (facts["level"], facts["logger"], facts["message"]) == ("error", "resumable.receiver.tried", "it failed")


def test_it_speaks_tls_and_shows_its_metrics_at_another_port(start: Start, work: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(work / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(work / "key.pem")
    issued.cert_chain_pems[0].write_to_path(work / "cert.pem")
    process = start("serve", "--certfile", "cert.pem", "--keyfile", "key.pem", "--metrics-port", "0", "incoming")
    url = url_of(process)
    assert url.startswith("https://127.0.0.1:")
    page = requests.get(url, verify=str(work / "ca.pem"), timeout=60)
    assert "<title>Uploads</title>" in page.text
    metrics = lines(process, 3)[-1].removeprefix("metrics: ")
    assert "resumable_requests_total" in requests.get(metrics, timeout=60).text
    assert requests.get(f"{url}metrics", verify=str(work / "ca.pem"), timeout=60).status_code == 404
