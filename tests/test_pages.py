"""Every block of code of the documentation runs: programs, commands with the output that is shown, configurations."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from support.mutants import MUTATIONS
from support.pages import BLOCKS, Block
from support.scripted_server import ScriptedServer
from support.sizes import FULL_SIZE
from support.warm import Warm

from resumable.cli.params.config import read_endpoint
from resumable.receiver import Receiver, Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="programs run in forks, with abstract sockets"),
]

NOT_RUN = {
    r"python3? -m venv": "test_readme runs the first commands word by word, and .ci/run installs",
    r"\S*python3? -m pip install": "the same",
    r"\S*python3? -m pytest$": "it would run itself",
    r"\S*python examples/\w+\.py": "test_examples and the tests of windows run the examples",
    r"make ": "test_readme compares the names with the Makefile",
    r"sysctl ": "it is about the machine, and wants root to change that",
    r"pytest ": "tests/testing runs pytest with these flags",
    r"gunicorn ": "test_mounting runs applications under gunicorn",
    r"resumable (serve|upload) s3:": "it wants a bucket; the tests of receiver/s3 and of sources have one in memory",
    r"resumable\.upload\(\"s3:": "the same",
    r"from dask": "test_examples runs examples/dask_cluster.py, which is more of the same",
    r"from (tkinter|PySide6)|import wx|from gi\.": "the tests of windows run them on a screen in memory",
}
"""What begins a command, or is in a program, that is not run here, and why not."""

AT_NIGHT = (r"resumable conformance ", r"import pytest", r"from fastapi")
"""What takes more than a second, and what other tests do by day, too."""

NOT_CODE = {
    "README.rst": "a message: test_troubleshooting",
    "docs/explanation/architecture.rst": "pictures",
    "docs/explanation/states.rst": "written by docs/tables.py",
    "docs/how-to/object-store.rst": "a picture",
    "docs/how-to/scheduled.rst": "a line for cron, run below",
    "docs/how-to/serving.rst": "a configuration for Caddy",
    "docs/how-to/testing.rst": "what resumable conformance says, below",
    "docs/reference/command-line.rst": "written by docs/commands.py",
    "docs/reference/wire.rst": "a request in HTTP; the tests of the receiver send such requests",
    "docs/troubleshooting.rst": "messages: test_troubleshooting",
}
"""Pages that have blocks of ``text``, and what these are."""


class Desk(NamedTuple):
    """A directory with the files that the pages name, a receiver, and the commands on the path."""

    directory: Path
    url: str
    received: Path
    warm: Warm

    def adapted(self, text: str) -> str:
        """The text with the addresses and directories of this desk."""
        text = re.sub(r"https://example\.com/upload/?|http://127\.0\.0\.1:8000/(upload)?", self.url, text)
        text = re.sub(r"(?<![\w.~])/(?=(data|etc|scratch|shared|srv)/)", f"{self.directory}/", text)
        text = text.replace("/opt/resumable/bin/", "").replace("--files incoming", f"--files {self.received}")
        text = re.sub(r"(?<=-files )incoming\b", str(self.received), text)
        return re.sub(r"port(=| )80[08]0", r"port\g<1>0", text)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of programs and commands."""
        return {
            "PATH": f"{self.directory / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.directory / "home"),
            "LANG": "C.UTF-8",
            "UPLOAD_TOKEN": "token",
            "TOKEN": "token",
            "SLURM_ARRAY_TASK_ID": "2",
            "SLURM_ARRAY_TASK_COUNT": "8",
            "COLUMNS": "200",
        }

    def arrived(self) -> list[Path]:
        """The copies of video.mp4 that receivers have put somewhere."""
        return [*self.received.glob("video*.mp4"), *self.directory.glob("[imu]*/video*.mp4")]

    def clear(self) -> None:
        """Take away what has arrived."""
        for path in self.arrived():
            path.unlink()
        for name in ("incoming", "media", "uploads"):
            shutil.rmtree(self.directory / name, ignore_errors=True)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program, and keep what it says, in the order in which it says it."""
        return subprocess.run(
            command,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=100,
            env=self.environment,
        )


VIDEO = bytes(range(256)) * 4096 * 3
FILES = {
    "video.mp4": VIDEO,
    "README.rst": b"resumable",
    "examples/demo.py": b"print()",
    "photos/a.jpg": bytes(range(200)) * 30,
    "photos/b.jpg": bytes(range(200)) * 29,
    "photos/summer/beach.jpg": b"sand" * 1000,
    "photos/drafts/c.jpg": b"draft",
    "stamp": b"",
    "scan.tif": b"scan" * 1000,
    "headers.txt": b"X-Instrument: microscope 3\n",
    "token": b"token\n",
    "home/.upload-token": b"token\n",
    "home/.lab-token": b"token\n",
    "data/2024/spring/a.csv": b"1,2\n",
    "data/2024/summer/b.csv": b"3,4\n",
    "data/results/run.csv": b"5,6\n",
    "data/inbox/scan.tif": b"scanned" * 1000,
    "data/video.mp4": VIDEO,
    "scratch/run7/a.h5": b"a" * 1000,
    "scratch/run7/b.h5": b"b" * 1000,
    "shared/huge.h5": VIDEO,
    "srv/incoming/README": b"",
    "huge.h5": VIDEO,
    "run-1.h5": b"1" * 1000,
    "run-2.h5": b"2" * 1000,
}


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with Warm() as process:
        yield process


@pytest.fixture
def desk(warm: Warm, tmp_path: Path, received: Path) -> Iterator[Desk]:
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if "token" in name:
            path.chmod(0o600)
    os.utime(tmp_path / "stamp", (0, 0))
    warm.write_programs(tmp_path / ".venv" / "bin", "resumable", "python3")
    (tmp_path / ".venv" / "bin" / "activate").touch()
    with Server(Receiver(received, dialect="any", allow_delete=True, tenant=lambda asked: "anybody")) as server:
        yield Desk(tmp_path, server.url, received, warm)


def kind(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def pages(*languages: str) -> list[str]:
    return list(dict.fromkeys(block.page for block in kind(*languages)))


def is_run(code: str) -> bool:
    left_out = (*NOT_RUN, *(() if FULL_SIZE else AT_NIGHT))
    return not any(re.search(f"^{pattern}", code, re.MULTILINE) for pattern in left_out)


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert all(block.code.strip() for block in BLOCKS), "a block is indented by four spaces"
    tested = {"bash", "console", "docker", "html", "ini", "json", "nginx", "python", "text", "toml"}
    assert {block.language for block in BLOCKS} <= tested
    assert set(pages("text")) == set(NOT_CODE)


def test_what_is_not_run_is_still_there() -> None:
    code = [line for block in kind("python", "console") for line in block.code.splitlines()]
    assert [pattern for pattern in NOT_RUN if not any(re.match(pattern, line) for line in code)] == []


PROGRAMS = list({block.code: block for block in kind("python")}.values())
"""Blocks that are the same run once."""


@pytest.mark.parametrize("page", list(dict.fromkeys(block.page for block in PROGRAMS)))
def test_programs_run(page: str, desk: Desk) -> None:
    hidden = ""
    for block in PROGRAMS:
        if block.page != page:
            continue
        if block.hidden:
            hidden = block.code
        elif is_run(block.code):
            desk.clear()
            program = desk.directory / "program.py"
            program.write_text(desk.adapted(hidden + block.code), encoding="utf-8")
            code, said = desk.warm.run(program, desk.directory, desk.environment)
            assert code == 0, f"{block.code}\n{said}"
            assert "Traceback" not in said, f"{block.code}\n{said}"
            hidden = ""
            if '"video.mp4"' in block.code:
                arrived = desk.arrived()
                assert arrived, block.code
                assert all(path.read_bytes() == VIDEO for path in arrived)


def commands(block: Block) -> Iterator[tuple[str, str | None]]:
    """The commands of a block, each with the output that is shown, if the block shows some."""
    code = block.code.replace("\\\n", " ")
    if not code.startswith("$ "):
        yield from ((line, None) for line in code.splitlines() if not line.startswith("#"))
        return
    for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def matches(shown: str, output: str) -> bool:
    """Whether the output is what is shown, in which ``…`` stands for anything. Numbers may be others."""
    shown, output = (re.sub(r"\d[\d.]*( ([KMGT]i)?B)?", "0", " ".join(text.split())) for text in (shown, output))
    return re.fullmatch(".*".join(re.escape(part) for part in shown.split("…")), output) is not None


@pytest.mark.parametrize("page", pages("console"))
def test_commands_do_what_is_shown(page: str, desk: Desk) -> None:
    for configuration in kind("toml"):
        path = desk.directory / "home" / ".config" / "resumable" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(desk.adapted(configuration.code.replace("lab.example", "example")), encoding="utf-8")
        path.chmod(0o600)
    for block in kind("console"):
        for command, shown in commands(block) if block.page == page else ():
            if not is_run(command) or (command.startswith("curl ") and not shutil.which("curl")):
                continue
            if re.match("resumable serve ", command):
                serve(desk, command)
                continue
            ran = desk.run("bash", "-ec", ending(desk.adapted(command)))
            if shown is None:
                assert ran.returncode == 0, f"{block}: {command}\n{ran.stdout}"
            else:
                said = ran.stdout.replace(desk.url, "https://example.com/upload").replace(f"{desk.directory}/", "/")
                assert matches(shown, said), f"{block}: {command}\n{said}"


def ending(command: str) -> str:
    """The command with the flags that let it end without anybody at a terminal."""
    command = command.replace("resumable watch ", "resumable watch --once --rest 0 ")
    return re.sub(r"resumable doctor (?!--yes)", "resumable doctor --yes ", command)


def serve(desk: Desk, command: str) -> None:
    """Start a receiver, and have it end once it says where it listens."""
    script = f"{desk.adapted(command)} > served & trap 'kill $!' EXIT; until grep -q http served; do sleep 0.01; done"
    ran = desk.run("bash", "-ec", script)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}"


def test_the_matching_of_output_finds_a_difference() -> None:
    assert matches("done: … files\n", "done: 3 files")
    assert matches("done: 400 MiB in 8 s", "done: 3 B in 0.2 s")
    assert not matches("done: … files\n", "done: 3 file")
    assert not matches("one\ntwo\n", "one")


def test_the_command_says_of_a_server_what_is_shown(desk: Desk, received: Path) -> None:
    (shown,) = (block.code for block in kind("text") if block.page == "docs/how-to/testing.rst")
    server = MUTATIONS["long-last-chunk"](received)
    checks = [f"--only={line.split()[1]}" for line in shown.splitlines() if not line.startswith(" ")]
    with ScriptedServer(otherwise=server) as server.server:
        ran = desk.run("resumable", "conformance", *checks, server.server.url)
    assert matches(f"{shown}…", ran.stdout), ran.stdout


@pytest.mark.parametrize("block", kind("bash"), ids=str)
def test_scripts_run(block: Block, desk: Desk) -> None:
    script = desk.directory / "script"
    script.write_text(desk.adapted(block.code), encoding="utf-8")
    ran = desk.run("bash", "-e", str(script))
    assert ran.returncode == 0, ran.stdout


def test_the_line_for_cron_uploads(desk: Desk) -> None:
    (line,) = (block.code for block in kind("text") if block.page == "docs/how-to/scheduled.rst")
    command = re.fullmatch(r"(?:[*\d/,-]+ +){5}(.*)\n", line)
    assert command is not None
    ran = desk.run("sh", "-ec", desk.adapted(command[1]))
    assert (ran.returncode, ran.stdout) == (0, "")
    assert (desk.received / "results" / "run.csv").is_file()


@pytest.mark.parametrize("block", kind("toml"), ids=str)
def test_a_configuration_names_an_endpoint_that_can_be_read(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(block.code, encoding="utf-8")
    path.chmod(0o600)
    assert read_endpoint(path, "lab").url.startswith("https://")


@pytest.mark.parametrize("block", kind("json"), ids=str)
def test_json_is_well_formed(block: Block) -> None:
    assert json.loads(block.code)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd")
@pytest.mark.parametrize("page", pages("ini"))
def test_units_are_valid(page: str, desk: Desk) -> None:
    units = []
    for number, block in enumerate(block for block in kind("ini") if block.page == page):
        unit = desk.directory / ("upload.timer" if "[Timer]" in block.code else f"{['upload', 'more'][number]}.service")
        program = re.search(r"^ExecStart=(\S+)", block.code, re.MULTILINE)
        text = block.code
        if program is not None:
            assert Path(program[1]).name == "resumable"
            text = text.replace(program[1], str(desk.directory / ".venv" / "bin" / "resumable"))
        unit.write_text(text, encoding="utf-8")
        units.append(str(unit))
    ran = desk.run("systemd-analyze", "verify", "--man=no", *units)
    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.mark.parametrize("block", kind("ini"), ids=str)
def test_a_unit_starts_a_command_that_has_these_flags(block: Block, desk: Desk) -> None:
    command = re.search(r"^ExecStart=(.*)$", block.code, re.MULTILINE)
    if command is None:
        return
    text = desk.adapted(command[1].replace("%d/", "").replace("/var/log/resumable/log", "log"))
    if "serve" in text:
        serve(desk, text)
    else:
        ran = desk.run("bash", "-ec", ending(text))
        assert ran.returncode == 0, ran.stdout


@pytest.mark.skipif(not shutil.which("nginx"), reason="there is no nginx")
@pytest.mark.parametrize("block", kind("nginx"), ids=str)
def test_nginx_takes_its_configuration(block: Block, tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("uploads.example.com")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "certificate.pem")
    text = re.sub(r"/etc/\S+\.pem", str(tmp_path / "certificate.pem"), block.code)
    text = text.replace("listen 443", f"listen unix:{tmp_path / 'nginx'}")
    if not re.search(r"^server ", text, re.MULTILINE):
        text = f"server {{ listen unix:{tmp_path / 'nginx'};\n{text} }}"
    places = "".join(f"{name}_temp_path {tmp_path};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {places}\n{text} }}",
        encoding="utf-8",
    )
    ran = subprocess.run(["nginx", "-t", "-c", configuration, "-p", tmp_path], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("block", kind("docker"), ids=str)
def test_the_container_starts_a_command_that_serves(block: Block, desk: Desk) -> None:
    command = json.loads(block.code.rpartition("CMD ")[2])
    command = ["incoming" if part == "/incoming" else {"8080": "0"}.get(part, part) for part in command]
    environment = "RESUMABLE_TOKEN=0123456789abcdef"
    serve(desk, f"{environment} {' '.join(command)}")
