"""Progress in the hands of tqdm, rich, fsspec and plain functions, against real servers."""

from __future__ import annotations

import asyncio
import io
import re
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.scripted_server import PATIENCE, ScriptedServer, holding
from support.waiting import eventually

import resumable
from resumable import FileState, OptionError, Resumable, ResumableFile
from resumable.adapters.callback import ByteCallback
from resumable.adapters.line import ProgressLine
from resumable.adapters.rich import UploadProgress

tqdm = pytest.importorskip("tqdm.auto")
callbacks = pytest.importorskip("fsspec.callbacks")
from resumable.adapters.fsspec import FsspecCallback  # noqa: E402
from resumable.adapters.tqdm import Bars  # noqa: E402

Make = Callable[..., Path]


class Bar(tqdm.tqdm):  # type: ignore[misc, name-defined]
    """A real bar that remembers where it stood, and itself."""

    made: list[Bar]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.stood = [0]
        self.said: list[str] = []
        super().__init__(*arguments, file=io.StringIO(), mininterval=0, **options)
        type(self).made.append(self)

    def update(self, n: float = 1) -> Any:
        result = super().update(n)
        self.stood.append(self.n)
        return result

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        self.said += [s] * bool(s)
        super().set_postfix_str(s, refresh)


@pytest.fixture
def bars() -> list[Bar]:
    """The bars that were made in this test."""
    Bar.made = []
    return Bar.made


# -- one call ------------------------------------------------------------------------------------------------------


def test_upload_draws_a_bar_if_it_is_asked_to(
    receiver_url: str, received: Path, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    assert resumable.upload(make(size=3_000_000), receiver_url, progress=True)
    shown = capsys.readouterr().err
    assert "a.bin: 100%" in shown
    assert "2.86M/2.86M" in shown
    assert (received / "a.bin").stat().st_size == 3_000_000


def test_upload_async_draws_a_bar_and_calls_back(
    receiver_url: str, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[Any] = []

    def on_progress(file: ResumableFile) -> None:
        heard.append((file.bytes_transferred, asyncio.get_running_loop()))

    async def main() -> None:
        await resumable.upload_async(make(size=3000), receiver_url, progress=True, on_progress=on_progress)

    asyncio.run(main())
    assert "a.bin: 100%" in capsys.readouterr().err
    assert heard[-1][0] == 3000


def test_a_function_is_called_with_each_file_to_its_end(receiver_url: str, make: Make) -> None:
    heard: dict[str, list[tuple[int, FileState]]] = {}

    def on_progress(file: ResumableFile) -> None:
        heard.setdefault(file.file_name, []).append((file.bytes_transferred, file.state))

    resumable.upload([make("a.bin", 3000), make("b.bin", 500)], receiver_url, on_progress=on_progress)
    assert {name: told[-1] for name, told in heard.items()} == {
        "a.bin": (3000, FileState.SUCCESS),
        "b.bin": (500, FileState.SUCCESS),
    }
    assert all(told == sorted(told, key=lambda each: each[0]) for told in heard.values())


def test_upload_takes_a_bar_of_ones_own(receiver_url: str, make: Make, bars: list[Bar]) -> None:
    resumable.upload([make("a.bin", 100), make("b.bin", 100)], receiver_url, progress=Bars(bar=Bar))
    assert sorted(bar.desc for bar in bars) == ["a.bin", "b.bin"]


async def asynchronous(file: ResumableFile) -> None: ...


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (
            {"progress": Bars},
            OptionError,
            "progress must be True, False, or an object with a name .*, not a class; got",
        ),
        ({"progress": "tqdm"}, OptionError, "progress must be .*; got 'tqdm'"),
        ({"on_progress": 5}, TypeError, "int cannot be"),
        ({"on_progress": asynchronous}, OptionError, "loop must be the asyncio event loop"),
    ],
)
def test_what_cannot_show_progress_is_refused_at_once(
    options: Any, error: type[Exception], said: str, wire: ScriptedServer
) -> None:
    with pytest.raises(error, match=said):
        resumable.upload(b"data", wire.url, relative_path="a.bin", **options)
    assert not wire.requests


@pytest.mark.parametrize(
    ("missing", "drawn"), [((), "█"), (("tqdm.auto",), "━"), (("tqdm.auto", "rich.progress"), "1 file: 100 %")]
)
def test_the_bar_is_the_best_that_is_installed(
    missing: tuple[str, ...],
    drawn: str,
    receiver_url: str,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("tqdm", "rich"):
        monkeypatch.delitem(sys.modules, f"resumable.adapters.{name}", raising=False)
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    resumable.upload(make(size=100), receiver_url, progress=True)
    out, err = capsys.readouterr()
    assert drawn in out + err


# -- tqdm ----------------------------------------------------------------------------------------------------------


def test_a_bar_for_each_file_never_falls_and_ends_full(wire: ScriptedServer, make: Make, bars: list[Bar]) -> None:
    with Resumable(wire.url, chunk_size=10, plugins=[Bars(bar=Bar)], throttle_progress_callbacks=0) as session:
        session.add_files([make("a.bin", 100), make("b.bin", 50), make("empty", 0)])
    assert {(bar.desc, bar.n, bar.total) for bar in bars} == {("a.bin", 100, 100), ("b.bin", 50, 50), ("empty", 0, 0)}
    assert all(bar.stood == sorted(bar.stood) for bar in bars)
    assert all(bar.disable for bar in bars), "a closed bar is disabled"


def test_a_bar_ends_full_if_its_file_ends_while_it_is_drawn(wire: ScriptedServer, make: Make) -> None:
    made: list[Bar] = []

    class Slow(Bar):
        def update(self, n: float = 1) -> Any:
            result = super().update(n)
            eventually(lambda: session.files[0].state is FileState.SUCCESS)
            return result

    Slow.made = made
    with Resumable(wire.url, chunk_size=10, plugins=[Bars(bar=Slow)], throttle_progress_callbacks=0) as session:
        session.add_file(make("a.bin", 100))
    assert [(bar.stood[1] < 100, bar.n, bar.disable) for bar in made] == [(True, 100, True)]


def test_one_bar_for_all_files_counts_them(wire: ScriptedServer, make: Make, bars: list[Bar]) -> None:
    with Resumable(wire.url, chunk_size=10, plugins=[Bars(total=True, bar=Bar)]) as session:
        session.add_files([make("a.bin", 100), make("b.bin", 50)])
        session.join(PATIENCE)
        (bar,) = bars
        assert (bar.desc, bar.n, bar.total, bar.disable) == ("2 files", 150, 150, True)
        session.add_file(make("c.bin", 10))
    assert [(bar.desc, bar.n, bar.total) for bar in bars[1:]] == [("c.bin", 160, 160)]


def test_what_was_there_before_counts_for_the_bar_and_not_for_its_speed(
    receiver_url: str, make: Make, bars: list[Bar], begin: Callable[..., None]
) -> None:
    path = make(size=1000)
    begin(receiver_url, path, 6, chunk_size=100)
    with Resumable(receiver_url, chunk_size=100, plugins=[Bars(bar=Bar)]) as session:
        session.add_file(path)
    (bar,) = bars
    assert (bar.n, bar.total, bar.initial) == (1000, 1000, 600)


def test_a_bar_says_when_the_next_try_is_and_that_a_file_failed(
    wire: ScriptedServer, make: Make, bars: list[Bar]
) -> None:
    answers = iter([(503,), (403, "no")])
    wire.behave = lambda request: next(answers)
    options: dict[str, Any] = {"test_chunks": False, "chunk_retry_interval": 0.2, "plugins": [Bars(bar=Bar)]}
    with Resumable(wire.url, **options) as session:
        session.add_file(make())
        session.join(PATIENCE, raise_errors=False)
    (bar,) = bars
    # It is said once or twice, as the time goes by.
    assert {re.sub(r"0\.\d", "0.x", said) for said in bar.said[:-1]} == {"next try in 0.x s"}
    assert bar.said[-1] == "error"
    assert bar.disable


def test_what_shows_the_whole_says_how_many_files_failed(wire: ScriptedServer, make: Make, bars: list[Bar]) -> None:
    wire.behave = lambda request: (403, "no") if "bad" in request.file_name else (200, "")
    rich, line = UploadProgress(total=True, console=screen()), Terminal()
    plugins = [Bars(total=True, bar=Bar), rich, ProgressLine(line)]
    with Resumable(wire.url, test_chunks=False, plugins=plugins) as session:
        for names in (["bad.bin"], ["a.bin", "bad2.bin", "b.bin"]):
            session.add_files([make(name) for name in names])
            session.join(PATIENCE, raise_errors=False)
        wire.behave = lambda request: (200, "")
        session.retry_failed()
        session.join(PATIENCE)
    wanted = ["bad.bin, 1 failed", "3 files, 1 failed"]
    assert [bar.desc for bar in bars[:2]] == wanted
    assert [task.description for task in rich.tasks[:2]] == wanted
    assert not any("failed" in words for words in (bars[-1].desc, rich.tasks[-1].description))
    ends = [text.rstrip().split(", ")[-1] for text in line.getvalue().rstrip().split("\n")]
    assert ends[:2] == ["1 failed", "2 failed"]
    assert "failed" not in ends[-1]


@pytest.mark.parametrize("total", [False, True])
def test_bars_may_follow_several_sessions(
    total: bool, wire: ScriptedServer, receiver_url: str, make: Make, bars: list[Bar]
) -> None:
    console = screen()
    drawn, rows = Bars(total=total, bar=Bar), UploadProgress(total=total, console=console)
    wire.behave = holding
    with Resumable(wire.url, test_chunks=False, plugins=[drawn, rows]) as slow:
        slow.add_file(make("slow.bin", 50))
        wire.wait_held()
        with Resumable(receiver_url, chunk_size=10, plugins=[drawn, rows]) as session:
            session.add_file(make("a.bin", 100))
        # The end of one run leaves the bars of the other.
        assert [(bar.desc, bar.n, bar.total, bar.disable) for bar in bars] == [
            ("slow.bin", bars[0].n, 50, False),
            ("a.bin", 100, 100, True),
        ]
        assert rows.live.is_started
        slow.cancel()
    assert [bar.disable for bar in bars] == [True, True]
    assert not rows.live.is_started
    assert {task.description for task in rows.tasks} == {"slow.bin", "a.bin"}


@pytest.mark.parametrize("total", [False, True])
def test_bars_end_with_a_session_that_is_closed(total: bool, wire: ScriptedServer, make: Make, bars: list[Bar]) -> None:
    wire.behave = lambda request: None
    session = Resumable(wire.url, test_chunks=False, plugins=[Bars(total=total, bar=Bar)])
    session.add_file(make())
    wire.wait_held()
    session.close()
    assert [bar.disable for bar in bars] == [True]


@pytest.mark.parametrize("total", [False, True])
def test_files_that_ended_before_their_first_event_have_their_bars(
    total: bool, wire: ScriptedServer, make: Make, bars: list[Bar]
) -> None:
    calls: deque[Callable[[], object]] = deque()
    heard: list[str] = []

    def deliver_up_to(event: str) -> None:
        def delivered() -> bool:
            while calls:
                calls.popleft()()
            return event in heard

        eventually(delivered)
        heard.clear()

    def words() -> list[list[str]]:
        return [[bar.desc for bar in bars], [task.description for task in rich.tasks]]

    rich = UploadProgress(total=total, console=screen())
    options: dict[str, Any] = {"deliver": calls.append, "plugins": [Bars(total=total, bar=Bar), rich]}
    wire.behave = lambda request: (403, "no") if "b.bin" in request.file_name else (200, "")
    with Resumable(wire.url, chunk_size=100, test_chunks=False, **options) as session:
        for event in ("complete", "cancel"):
            session.on(event, lambda event=event: heard.append(event))
        session.add_files([make("a.bin", 100), make("b.bin", 50)])
        session.join(PATIENCE, raise_errors=False)
        deliver_up_to("complete")
        first = ["2 files, 1 failed"] if total else ["a.bin", "b.bin"]
        assert words() == [first, first]
        wire.behave = lambda request: (200, "")
        session.retry_failed()
        session.join(PATIENCE)
        deliver_up_to("complete")
        session.cancel()
        deliver_up_to("cancel")
    both = [*first, "b.bin"]
    assert words() == [both, both]
    assert bars[-1].n == (150 if total else 50)


# -- rich ----------------------------------------------------------------------------------------------------------


def screen() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("total", [False, True])
def test_rich_shows_each_file_or_all(total: bool, receiver_url: str, make: Make) -> None:
    console = screen()
    progress = UploadProgress(total=total, console=console)
    with Resumable(receiver_url, plugins=[progress]) as session:
        session.add_files([make("a[b].bin", 3000), make("b.bin", 2000)])
    last = written(console).split("\x1b[2K")[-1]
    if total:
        assert "2 files" in last
        assert "4.9/4.9 KiB" in last
    else:
        assert "a[b].bin" in last
        assert "2.9/2.9 KiB" in last
        assert "2.0/2.0 KiB" in last
    assert not progress.live.is_started


def test_rich_draws_rows_that_end_at_the_same_moment(wire: ScriptedServer, make: Make) -> None:
    class Ending(UploadProgress):
        ends = False

        def update(self, *arguments: Any, **options: Any) -> None:
            super().update(*arguments, **options)
            if self.ends:
                self.ends = False
                self.finish()

    wire.behave = lambda request: None
    progress = Ending(console=screen(), auto_refresh=False)
    with Resumable(wire.url, test_chunks=False, plugins=[progress]) as session:
        session.add_files([make("a.bin"), make("b.bin")])
        eventually(lambda: len(progress.tasks) == 2)
        progress.ends = True
        progress.get_renderables()
        assert not progress.ends
        session.cancel()


def test_rich_says_why_nothing_moves(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (503,)
    console = screen()
    with UploadProgress(console=console) as progress:
        session = Resumable(wire.url, test_chunks=False, chunk_retry_interval=60, plugins=[progress])
        session.add_file(make())
        eventually(lambda: re.search(r"next try in (\d+ s|1 min)", written(console)) is not None)
        session.close()
    assert "cancelled" in written(console)


# -- fsspec, bytes, a line -----------------------------------------------------------------------------------------


def test_a_callback_of_fsspec_gets_the_size_and_what_moved(receiver_url: str, make: Make) -> None:
    class Callback(callbacks.Callback):  # type: ignore[misc, name-defined]
        def call(self, *_: Any, **__: Any) -> None:
            told.append((self.size, self.value))

    told: list[tuple[int, int]] = []
    resumable.upload([make("a.bin", 300), make("b.bin", 200)], receiver_url, on_progress=FsspecCallback(Callback()))
    assert told[-1] == (500, 500)
    with Resumable(receiver_url, plugins=[FsspecCallback(Callback())]) as session:
        session.add_file(make("c.bin", 50))
    assert told[-1] == (50, 50)


def test_a_byte_callback_gets_every_byte_once(wire: ScriptedServer, make: Make) -> None:
    moved: list[int] = []
    failures = iter([(503,), (503,)])
    wire.behave = lambda request: next(failures, (200,)) if request.number == 3 else (200,)
    with Resumable(
        wire.url,
        chunk_size=10,
        chunk_retry_interval=0,
        test_chunks=False,
        plugins=[ByteCallback(moved.append)],
        throttle_progress_callbacks=0,
    ) as session:
        session.add_files([make("a.bin", 100), make("b.bin", 55)])
    assert sum(moved) == 155
    assert min(moved) > 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_is_drawn_over_and_over_on_a_terminal_and_once_elsewhere(receiver_url: str, make: Make) -> None:
    terminal, file = Terminal(), io.StringIO()
    resumable.upload(make(size=3000), receiver_url, progress=ProgressLine(terminal))
    resumable.upload(make("b.bin", size=3000), receiver_url, progress=ProgressLine(file))
    lines = terminal.getvalue().split("\r")
    assert len(lines) > 2
    assert lines[-1].startswith("1 file: 100 %, 2.93 KiB of 2.93 KiB")
    assert len(file.getvalue().splitlines()) == 1


def test_a_name_moves_no_cursor(receiver_url: str) -> None:
    for total in (False, True):
        shown = Terminal()
        console = screen()
        followers = [Bars(total=total, file=shown), UploadProgress(total=total, console=console), ProgressLine(shown)]
        with Resumable(receiver_url, plugins=followers) as session:
            session.add_file(b"x" * 3000, relative_path=f"a\n\x1b[31mb{total}")
        for text in (shown.getvalue(), written(console)):
            assert f"a\ufffd\ufffd[31mb{total}" in text
            assert "\x1b[31mb" not in text


def test_a_line_says_when_the_next_try_is(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (503,)
    terminal = Terminal()
    session = Resumable(wire.url, test_chunks=False, chunk_retry_interval=60, plugins=[ProgressLine(terminal)])
    session.add_file(make())
    eventually(lambda: "next try in" in terminal.getvalue())
    session.cancel()
    session.close()


# -- words ---------------------------------------------------------------------------------------------------------


def test_sizes_and_durations_have_words() -> None:
    units = resumable.units
    assert units.size(1536) == "1.50 KiB"
    assert units.rate(3_250_586) == "3.10 MiB/s"
    assert units.duration(5400) == "1 h 30 min"
    assert (units.remaining(65), units.remaining(None)) == ("1:05", "-:--")
    assert units.count(1, "file") == "1 file"
