"""What stands on a real terminal of 80 columns while files are uploaded to the real receiver."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.breaking_proxy import Proxy, Scenario
from support.command import Run, tree
from support.scripted_server import Request, ScriptedServer, answer, hold
from support.terminal import COLUMNS, Terminal

from resumable.receiver import Server

pytestmark = [pytest.mark.once, pytest.mark.slow]

Make = Callable[..., Path]
MIB = 1024 * 1024
ROW = re.compile(r"^(?P<name>.{20,30}?) +(?P<bar>[━╸╺ ]*) +(?P<percent>\d+)% +[\d.]+ (?:B|KiB|MiB) +")
LONG = "a name that is far too long for a line and has to be cut somewhere in the middle of it.jpg"


@pytest.fixture
def photos(make: Make) -> dict[str, bytes]:
    """Four files, two of whose names are hard to show."""
    sizes = {"photos/beach.jpg": 2, "photos/海辺の写真.jpg": 3, f"photos/{LONG}": 4, "video.mp4": 6}
    return {name: make(name, size * MIB // 2).read_bytes() for name, size in sizes.items()}


def rows(screen: str) -> dict[str, int]:
    """The percents on the screen by the beginning of the name beside them."""
    return {found["name"]: int(found["percent"]) for line in screen.splitlines() if (found := ROW.match(line))}


def test_bars_while_several_files_are_sent(
    work: Path, photos: dict[str, bytes], server: Server, received: Path
) -> None:
    with (
        Proxy(server.url, Scenario(bandwidth=1_000_000)) as proxy,
        Terminal(["upload", "--chunk-size", "64K", "photos", "video.mp4", proxy.url], work) as terminal,
    ):
        assert terminal.end() == 0
    last, shots, output = terminal.text, terminal.shots, terminal.output
    assert tree(received) == photos

    # At the end: a row for each file at 100 %, and one line that sums up.
    lines = last.splitlines()
    assert len(lines) == 5
    assert list(rows(last).values()) == [100] * 4
    assert re.fullmatch(r"done: 4 files uploaded in [\d.]+ s, 7.50 MiB sent \(.+/s\)", lines[-1])
    assert any(line.startswith("photos/a name that") and "…" in line for line in lines)
    assert any("海辺の写真" in line.replace(" ", "") for line in lines)

    # Meanwhile: bars that grow and never fall, one total, nothing wrapped, no line in two places.
    moving = [shot for shot in shots if re.search(r"^\d of 4 files", shot, re.MULTILINE)]
    assert len(moving) > 5
    totals = [rows(shot)[name] for shot in moving for name in rows(shot) if re.match(r"\d of 4", name)]
    assert totals == sorted(totals)
    assert any(0 < percent < 100 for percent in totals)
    for shot in shots:
        for line in shot.splitlines():
            assert ROW.match(line) or line.startswith("done: "), shot
        names = [found["name"] for line in shot.splitlines() if (found := ROW.match(line))]
        assert len(names) == len(set(names)), shot

    # No flicker: the screen is never cleared, and nothing is drawn more often than ten times a second.
    assert b"\x1b[2J" not in output
    assert b"\x1b[H" not in output
    seconds = float(re.findall(r"in ([\d.]+) s", lines[-1])[0])
    drawn = len(re.findall(rb"of 4 files", output))
    assert 5 < drawn <= 10 * (seconds + 1) + 2 * len(photos)
    assert output.count(b"\x1b[?25l") == output.count(b"\x1b[?25h") == 1


def test_a_bar_is_full_only_after_the_answer(work: Path, make: Make) -> None:
    make("a.bin", 2 * MIB)
    received, looked_at = threading.Event(), threading.Event()

    def late(request: Request) -> None:
        request.read()
        received.set()
        looked_at.wait(60)
        answer(read=False)(request)

    arguments = ["upload", "--no-test-chunks", "--chunk-size", "2M", "a.bin"]
    with ScriptedServer(late) as server, Terminal([*arguments, server.url], work) as terminal:
        terminal.until(lambda text: "99%" in text)
        assert received.wait(60)
        assert not any("100%" in shot for shot in terminal.shots)
        looked_at.set()
        assert terminal.end() == 0
        assert "100%" in terminal.text


def test_what_is_there_already_is_said_while_the_rest_is_sent(
    work: Path, make: Make, server: Server, received: Path, begin: Callable[..., None]
) -> None:
    file = make("video.mp4", 100 * 65536)
    begin(server.url, file, 40, chunk_size=65536)
    with (
        Proxy(server.url, Scenario(bandwidth=1_000_000)) as proxy,
        Terminal(["upload", "--chunk-size", "64K", "video.mp4", proxy.url], work) as terminal,
    ):
        screen = terminal.until(lambda text: "40 of 100 chunks already there" in text)
        assert rows(screen)["video.mp4           "[: len(next(iter(rows(screen))))]] >= 40
        assert terminal.end() == 0
        assert " ".join(terminal.text.split()).endswith("40 of 100 chunks already there")
    assert tree(received) == {"video.mp4": file.read_bytes()}


def test_ctrl_c_leaves_a_clean_screen_and_the_command_to_type(work: Path, make: Make) -> None:
    make("a.bin", 2 * MIB)
    with ScriptedServer(otherwise=hold) as server:
        arguments = ["upload", "--no-test-chunks", "--chunk-order", "free", "a.bin", server.url]
        with Terminal(arguments, work) as terminal:
            terminal.until(lambda text: "a.bin" in text)
            server.wait(lambda: server.requests)
            terminal.press("c")
            assert terminal.end() == 130
            assert terminal.output.count(b"\x1b[?25l") == terminal.output.count(b"\x1b[?25h") == 1
            first, *command = terminal.text.splitlines()
            assert first == "stopped: Ctrl-C; 0 B of 2.00 MiB are at the server. To go on:"
            # Nothing else is on the screen, and what the terminal breaks into lines is copied as one.
            copied = "".join(line.ljust(COLUMNS) for line in command).rstrip()
            assert re.fullmatch(rf"  \S*python\S* -m resumable {re.escape(' '.join(arguments))}", copied)


def test_a_server_that_is_down_is_said_under_the_bar(work: Path, make: Make) -> None:
    make("a.bin", 2 * MIB)
    with Terminal(["upload", "a.bin", "http://127.0.0.1:9/"], work) as terminal:
        screen = terminal.until(lambda text: re.search("^nothing has got through for [1-9]", text, re.MULTILINE))
        assert "waiting: cannot reach http://127.0.0.1:9/: Connection refused; trying again for" in screen
        assert screen.splitlines()[-1].endswith(": Connection refused")
        terminal.until(lambda text: re.search("^waiting for the server, next try in [1-9]", text, re.MULTILINE))
        terminal.press("c")
        assert terminal.end() == 130
        assert "nothing has got through" not in terminal.text


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_and_bars_are_left_out_where_they_are_not_wanted(
    variable: str, value: str, work: Path, make: Make, server: Server
) -> None:
    make("a.bin", 2 * MIB)
    with Terminal(["upload", "a.bin", server.url], work, **{variable: value}) as terminal:
        assert terminal.end() == 0
        assert not re.search(rb"\x1b\[[0-9;]*3[0-9]", terminal.output)
        if variable == "TERM":
            assert b"\x1b" not in terminal.output


@pytest.mark.parametrize("kind", ["plain", "none"])
def test_progress_is_shown_as_asked(kind: str, work: Path, make: Make, server: Server) -> None:
    make("a.bin", 2 * MIB)
    with Terminal(["upload", "--progress", kind, "a.bin", server.url], work) as terminal:
        assert terminal.end() == 0
        assert "━" not in terminal.plain
        assert terminal.plain.startswith("done: 1 file uploaded")


@contextmanager
def terminal_of_this_process() -> Iterator[Callable[[], str]]:
    """The standard error of this process is a terminal; what is yielded tells all that was written, and ends it."""
    ours, theirs = os.openpty()
    written = bytearray()

    def read() -> None:
        with suppress(OSError):
            while data := os.read(ours, 65536):
                written.extend(data)

    reading = threading.Thread(target=read)
    reading.start()
    before, terminal = sys.stderr, open(theirs, "w", encoding="utf-8")  # noqa: SIM115 (whoever asks for the text closes it)
    sys.stderr = terminal

    def text() -> str:
        sys.stderr = before
        terminal.close()
        reading.join()
        return written.decode("utf-8")

    try:
        yield text
    finally:
        text()
        os.close(ours)


@pytest.fixture
def capable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever runs the tests, their terminals can draw."""
    for name, value in (("TERM", "xterm"), ("COLUMNS", "80"), ("LINES", "24")):
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("capable")
def test_a_program_with_a_terminal_gets_the_bars(run: Run, photos: dict[str, bytes], server: Server) -> None:
    with Proxy(server.url, Scenario(bandwidth=2_000_000)) as proxy, terminal_of_this_process() as screen:
        assert run("upload", "--chunk-size", "64K", "photos", proxy.url).code == 0
        text = screen()
    assert "0 of 3 files" in text
    assert text.count("done") == 4
    assert all(name[:20] in text for name in photos if name.startswith("photos"))


@pytest.mark.usefixtures("capable")
def test_a_program_with_a_terminal_is_told_what_is_wrong(run: Run, make: Make) -> None:
    for number in range(30):
        make(f"top/{number:02}.bin", 10)
    busy, full = answer(503, b"x" * 100), answer(413, b"too large")
    with ScriptedServer(busy, otherwise=full) as server, terminal_of_this_process() as screen:
        assert run("upload", "--no-test-chunks", "--retry-interval", "1", "top", server.url).code == 4
        text = screen()
    assert "nothing has got through for" in text
    assert "too large" in text


def test_standard_input_is_asked_for_on_a_terminal(work: Path, server: Server, received: Path) -> None:
    with Terminal(["upload", "--name", "typed.txt", "-", server.url], work) as terminal:
        terminal.until(lambda text: "reading the standard input; press Ctrl-D at its end" in text)
        terminal.type("hello")
        terminal.press("d")
        assert terminal.end() == 0
    assert tree(received) == {"typed.txt": b"hello\n"}


@pytest.mark.parametrize("turn", range(3))
def test_ctrl_c_that_the_terminal_echoes_leaves_no_line_of_the_bars(
    turn: int, work: Path, make: Make, server: Server
) -> None:
    """The echo may come between any two bytes of what is being drawn."""
    for name in "abcd":
        make(f"top/{name}.bin", MIB)
    with (
        Proxy(server.url, Scenario(bandwidth=100_000, slice=2048)) as proxy,
        Terminal(["upload", "--chunk-size", "16K", "top", proxy.url], work) as terminal,
    ):
        terminal.until(lambda text: len(rows(text)) >= 3)
        terminal.press("c")
        assert terminal.end() == 130
    assert not rows(terminal.text)
    assert b"^C" not in terminal.output
    assert terminal.text.splitlines()[0].startswith("stopped: Ctrl-C")


def test_the_settings_of_the_terminal_are_as_before_after_each_way_to_end(work: Path, make: Make) -> None:
    make("a.bin", MIB)
    line = f"stty -a > before; {sys.executable} -m resumable upload --no-test-chunks a.bin URL; stty -a > after"
    with ScriptedServer(otherwise=hold) as server:
        for presses in (1, 2):
            with Terminal(["-c", line.replace("URL", server.url)], work, program=["bash"]) as terminal:
                terminal.until(lambda text: "a.bin" in text)
                for _ in range(presses):
                    terminal.press("c")
                terminal.end()
            assert "echoctl" in (work / "before").read_text()
            assert (work / "after").read_text() == (work / "before").read_text()


def seconds_left(screen: str) -> int | None:
    """The time that the last row of bars says, in seconds."""
    found = re.findall(r"(\d+):(\d\d)$", screen, re.MULTILINE)
    return int(found[-1][0]) * 60 + int(found[-1][1]) if found else None


@pytest.mark.parametrize("steady", ["--limit-rate", "a slow line"])
def test_the_time_that_is_left_counts_down_on_a_steady_line(
    steady: str, work: Path, make: Make, server: Server
) -> None:
    make("a.bin", 3 * MIB)
    flags, scenario = ["--chunk-order", "free", "-j", "1"], Scenario(bandwidth=240_000, slice=4096)
    if steady == "--limit-rate":
        flags, scenario = ["--limit-rate", "240K"], Scenario()
    seen: list[tuple[float, int]] = []

    def look(screen: str) -> bool:
        left = seconds_left(screen)
        if left is not None:
            seen.append((time.monotonic(), left))
        return screen.startswith("a.bin") and "done" in screen

    with (
        Proxy(server.url, scenario) as proxy,
        Terminal(["upload", "--no-test-chunks", *flags, "a.bin", proxy.url], work) as terminal,
    ):
        terminal.until(look)
        assert terminal.end() == 0
    assert len(seen) > 10
    ends = [at + left for at, left in seen]
    # When it is going to end was known from the first time on, to a third of what was left then.
    assert max(abs(end - ends[0]) for end in ends) <= 0.35 * seen[0][1] + 2
