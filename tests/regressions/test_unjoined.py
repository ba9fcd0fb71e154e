"""Programs and sessions that end before their files are uploaded: somebody is told, and says which."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.scripted_server import PATIENCE, ScriptedServer, holding
from support.threads import wait_until_threads_are_gone

from resumable import Resumable, UnfinishedUpload

pytestmark = pytest.mark.slow

Make = Callable[..., Path]
Program = Callable[..., subprocess.CompletedProcess[str]]

START = """
import atexit, os, sys, threading
from resumable import Resumable
url, path = sys.argv[1:3]
"""


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    wait_until_threads_are_gone()


@pytest.fixture
def program(wire: ScriptedServer, make: Make, tmp_path: Path) -> Program:
    """Runs a program, as users run theirs, against a server that never answers."""
    wire.behave = holding
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)

    def run(text: str, *flags: str, start: str = START) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "script.py"
        script.write_text(start + text)
        return subprocess.run(
            [sys.executable, *flags, str(script), wire.url, str(make("video.mp4"))],
            env=environment, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip

    return run


# -- the program ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("raise ZeroDivisionError", 1),
        ("session.pause()", 0),
        ("threading.Thread(target=session.join, daemon=True).start()", 0),
        ("del session", 0),
        ("try:\n    session.join(0.01)\nexcept TimeoutError:\n    pass", 0),
    ],
)
def test_a_program_that_ends_too_early_says_which_files_are_missing(program: Program, end: str, code: int) -> None:
    ran = program(f"session = Resumable(url)\nsession.add_file(path)\n{end}\n")
    assert ran.returncode == code
    assert ran.stderr.count("UnfinishedUpload: 1 file was not uploaded") == 1
    assert "'video.mp4'" in ran.stderr
    assert "script.py:5: UnfinishedUpload" in ran.stderr, "it points to where the session was made"


ENDS_LATE = """
import builtins

class Owner:
    def __init__(self, session):
        self.session = session

    def __del__(self):
        self.session.close()
        print("closed")

def within():
    with Resumable(url) as session:
        session.add_file(path)
        yield

builtins.owner = Owner(Resumable(url))
builtins.owner.session.add_file(path)
builtins.upload = within()
next(builtins.upload)
"""


def test_a_session_that_is_closed_when_the_interpreter_ends_keeps_nobody_waiting(program: Program) -> None:
    ran = program(ENDS_LATE)
    assert (ran.returncode, ran.stdout) == (0, "closed\n")
    assert ran.stderr.count("UnfinishedUpload: 1 file was not uploaded") == 2


def test_one_line_without_a_name_is_enough(program: Program) -> None:
    assert "'video.mp4'" in program("Resumable(url).add_file(path)").stderr


def test_files_that_wait_for_upload_are_missing_too(program: Program) -> None:
    ran = program("session = Resumable(url, auto_upload=False)\nsession.add_file(path)")
    assert "'video.mp4'" in ran.stderr


def test_the_code_of_the_command_line_is_warned_as_well(program: Program, wire: ScriptedServer, make: Make) -> None:
    text = f"from resumable import Resumable\nResumable({wire.url!r}).add_file({str(make('a'))!r})"
    command = [sys.executable, "-c", text]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert "UnfinishedUpload: 1 file was not uploaded" in ran.stderr


def test_a_session_at_a_prompt_is_warned_of_when_the_prompt_is_left(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    typed = (
        f"from resumable import Resumable\nsession = Resumable({wire.url!r})\nsession.add_file({str(make('a'))!r})\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-i", "-q"], input=typed, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert "UnfinishedUpload: 1 file was not uploaded" in ran.stderr


def test_where_warnings_are_errors_it_is_seen_too(program: Program) -> None:
    ran = program("for _ in range(2):\n    Resumable(url).add_file(path)", "-W", "error")
    assert "UnfinishedUpload: 1 file was not uploaded" in ran.stderr


def test_the_log_has_it_too(program: Program) -> None:
    ran = program("import logging\nlogging.basicConfig()\nResumable(url).add_file(path)", "-W", "ignore")
    assert "WARNING:resumable:1 file was not uploaded" in ran.stderr
    assert "UnfinishedUpload" not in ran.stderr


def test_many_files_are_counted_and_a_few_are_named(program: Program) -> None:
    ran = program(
        "session = Resumable(url)\n"
        "for number in range(100):\n"
        "    session.add_file(path, relative_path=f'{number}' + 'x' * 500)"
    )
    assert "100 files were not uploaded" in ran.stderr
    assert "and 95 more" in ran.stderr
    assert len(ran.stderr) < 2000


@pytest.mark.parametrize(
    "end",
    [
        "session.cancel()",
        "session.close()",
        "session.remove_file(file)",
        "file.cancel()",
        "atexit.register(session.close)",
        "with session:\n    session.cancel()",
        "if os.fork() == 0:\n    sys.exit()\nos.wait()\nsession.close()",
        "os._exit(0)",
    ],
)
def test_a_program_that_has_ended_its_session_hears_nothing(program: Program, end: str) -> None:
    text = f"session = Resumable(url)\nfile = session.add_file(path)\n{end}\n"
    ran = program(text, "-W", "ignore::DeprecationWarning")  # of forks beside threads
    assert (ran.returncode, ran.stderr) == (0, "")


def test_what_a_program_does_at_its_end_comes_first(program: Program) -> None:
    start = """
import atexit, sys
import resumable
made = []
atexit.register(lambda: made[0].close())
url, path = sys.argv[1:3]
"""
    ran = program("made.append(resumable.Resumable(url))\nmade[0].add_file(path)", start=start)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_program_that_never_used_the_library_hears_nothing(program: Program) -> None:
    assert program("", start="import resumable").stderr == ""


@pytest.mark.parametrize(
    ("status", "line", "warned"),
    [
        (200, "pass", False),
        (415, "pass", True),
        (415, "session.on('file_error', lambda file: None)", False),
        (415, "session.on('complete', lambda: None)", False),
        (415, "session.on('catch_all', lambda event: None)", False),
        (415, "atexit.register(lambda: file.error)", False),
        (415, "atexit.register(lambda: session.join(raise_errors=False))", False),
    ],
)
def test_a_failure_that_nobody_heard_of_is_no_upload_either(
    program: Program, wire: ScriptedServer, status: int, line: str, warned: bool
) -> None:
    wire.behave = lambda request: (404,) if request.chunk is None else (status,)
    ran = program(
        "session = Resumable(url, completion_delay=0)\n"
        f"{line}\n"
        "file = session.add_file(path)\n"
        "while session.state.value != 'idle':\n"
        "    threading.Event().wait(0.01)\n"
    )
    assert ran.returncode == 0
    assert ("'video.mp4'" in ran.stderr) is warned


# -- the session ends ----------------------------------------------------------------------------------------------


def collected(session: list[Resumable]) -> list[warnings.WarningMessage]:
    """The warnings when the session, which nobody else holds, is collected."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session.clear()
        gc.collect()
    return [warning for warning in caught if warning.category is UnfinishedUpload]


def test_a_session_that_is_collected_says_which_files_are_missing(
    wire: ScriptedServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    session = [Resumable(wire.url, auto_upload=False)]
    session[0].add_files([make("a"), make("b")])
    with caplog.at_level(logging.WARNING, "resumable"):
        (warning,) = collected(session)
    assert isinstance(warning.message, UnfinishedUpload)
    assert warning.message.files == ("a", "b")
    assert warning.filename == __file__
    assert "2 files were not uploaded" in caplog.text


def test_a_session_that_is_collected_when_all_is_done_says_nothing(wire: ScriptedServer, make: Make) -> None:
    session = [Resumable(wire.url)]
    session[0].add_file(make("a"))
    session[0].join(PATIENCE)
    wait_until_threads_are_gone()
    assert collected(session) == []
    session = [Resumable(wire.url, auto_upload=False)]
    session[0].add_file(make("a"))
    session[0].close()
    assert collected(session) == []
    session = [Resumable(wire.url)]
    assert collected(session) == []


def test_a_failed_file_that_was_removed_is_not_missed(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (404,) if request.chunk is None else (415,)
    session = [Resumable(wire.url)]
    session[0].add_file(make("a"))
    session[0].join(PATIENCE, raise_errors=False)
    session[0].files[0].retry()
    session[0].upload()
    while session[0].state.value != "idle":
        pass
    session[0].remove_file(session[0].files[0])
    wait_until_threads_are_gone()
    assert collected(session) == []
