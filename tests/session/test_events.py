"""Every row of the events happens over HTTP, with its arguments, by both ways of listening."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, ScriptedServer
from support.sizes import sized

from resumable import (
    Resumable,
    ResumableChunk,
    ResumableFile,
    UnknownEvent,
)
from resumable.events import EVENTS, canonical

Make = Callable[..., Path]
CASES: dict[str, Callable[[Resumable, ScriptedServer, Make], Any]] = {}
OPTIONS: dict[str, dict[str, Any]] = {
    "error": {"max_chunk_retries": 0},
    "chunk_error": {"max_chunk_retries": 0},
    "file_error": {"max_chunk_retries": 0},
}
KINDS = {"session": Resumable, "file": ResumableFile, "chunk": ResumableChunk}
SINGLE = ("files_added", "upload_start", "complete", "pause", "before_cancel", "cancel", "before_add", "file_added",
          "file_success", "file_error", "error", "file_cancelled", "chunking_start", "chunking_complete")  # fmt: skip
"""What happens once in its case."""


def case(*names: str) -> Callable[[Any], Any]:
    def register(function: Any) -> Any:
        CASES.update(dict.fromkeys(names, function))
        return function

    return register


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_happens_over_http_with_its_arguments(
    name: str, wire: ScriptedServer, make: Make, request: pytest.FixtureRequest
) -> None:
    if name == "handler_error":
        request.getfixturevalue("failures")
    row = EVENTS[name]
    heard: list[tuple[Any, ...]] = []
    native: list[tuple[Any, dict[str, Any]]] = []
    everything: list[tuple[Any, ...]] = []

    def receiver(sender: Any, **facts: Any) -> None:
        native.append((sender, facts))

    with Resumable(wire.url, chunk_size=10, chunk_retry_interval=0, **OPTIONS.get(name, {})) as session:
        session.on(name, lambda *arguments: heard.append(arguments))
        session.on("catch_all", lambda *arguments: everything.append(arguments))
        session.signals[name].connect(receiver)
        CASES[name](session, wire, make)
        session.join(PATIENCE, raise_errors=False)
    assert wire.begun, "the case sent nothing"
    assert heard
    if name == "catch_all":
        assert [(facts["event"], *facts["arguments"]) for _, facts in native] == heard == everything
        return
    assert [tuple(facts.values()) for _, facts in native] == heard
    for sender, facts in native:
        assert tuple(facts) == row.arguments
        assert type(sender) is KINDS[row.subject]
        if row.subject in facts:
            assert facts[row.subject] is sender
    assert [arguments for event, *arguments in everything if event == name] == [list(each) for each in heard]
    if name in SINGLE:
        assert len(heard) == 1


def test_there_is_no_case_without_a_row() -> None:
    assert set(CASES) == set(EVENTS)


@case(
    "chunking_start", "chunking_progress", "chunking_complete", "file_added", "files_added",
    "upload_start", "file_progress", "progress", "chunk_success", "file_success", "complete", "catch_all",
)  # fmt: skip
def _(session: Resumable, wire: ScriptedServer, make: Make) -> None:
    session.add_file(make(size=30))


@case("before_add")
def _(session: Resumable, wire: ScriptedServer, make: Make) -> None:
    session.add_directory(make(size=30).parent)


@case("file_retry", "chunk_retry")
def _(session: Resumable, wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (503,) if len(wire.uploads) < 2 else (200,)
    session.add_file(make(size=30))


@case("file_error", "error", "chunk_error")
def _(session: Resumable, wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (415, "not this")
    session.add_file(make(size=10))


@case("pause")
def _(session: Resumable, wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: None
    session.add_file(make(size=30))
    wire.wait_held()
    session.pause()
    wire.behave = lambda request: (200,)
    wire.release()
    session.resume()


@case("before_cancel", "cancel", "file_cancelled")
def _(session: Resumable, wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: None
    session.add_file(make(size=30))
    wire.wait_held()
    session.cancel()


@case("handler_error")
def _(session: Resumable, wire: ScriptedServer, make: Make) -> None:
    def broken(file: Any) -> None:
        raise ValueError("on purpose")

    session.on("file_added", broken)
    session.add_file(make(size=30))


def test_the_events_of_an_upload_come_in_the_order_of_resumablejs(wire: ScriptedServer, make: Make) -> None:
    events = []
    with Resumable(wire.url, chunk_size=10, simultaneous_uploads=1, deliver="manual") as session:
        session.on("catch_all", lambda event, *_: events.append(event))
        session.add_files([make("a"), make("b")])
    assert [event for event in events if event not in ("progress", "file_progress")] == [
        *["chunking_start", "chunking_progress", "chunking_complete", "file_added"] * 2,
        "files_added",
        "upload_start",
        *["chunk_success", "file_success"] * 2,
        "complete",
    ]


def test_files_are_not_begun_before_all_of_their_batch_were_announced(wire: ScriptedServer, make: Make) -> None:
    for _ in range(20):
        events = []
        with Resumable(wire.url) as session:
            session.on("files_added", lambda: events.append("files_added"))  # noqa: B023
            session.on("file_success", lambda: events.append("file_success"))  # noqa: B023
            session.add_file(make())
        assert events == ["files_added", "file_success"]


@pytest.mark.once
def test_in_a_run_that_is_under_way_a_batch_is_announced_before_any_of_it_is_begun(wire: ScriptedServer) -> None:
    events: list[str] = []
    count = sized(200, 1000)
    with Resumable(wire.url, test_chunks=False) as session:
        session.add_file(b"first", relative_path="first").wait(PATIENCE)
        session.on("catch_all", lambda event: events.append(event))
        session.add_files([(b"x", str(number)) for number in range(count)])
    told = events.index("files_added")
    assert events[:told] == ["chunking_start", "chunking_progress", "chunking_complete", "file_added"] * count
    assert events.count("file_success") == count


@pytest.mark.parametrize("spelling", ["fileSuccess", "file_success", "file-success", "FILESUCCESS", "filesuccess"])
def test_an_event_has_one_name_however_it_is_spelt(spelling: str, wire: ScriptedServer, make: Make) -> None:
    heard = []
    with Resumable(wire.url) as session:
        session.on(spelling, heard.append)
        session.signals[spelling].connect(lambda sender, **_: heard.append(sender), weak=False)
        file = session.add_file(make())
    assert heard == [file, file]


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("fileSucess", "file_success"),
        ("file_succes", "file_success"),
        ("completed", "complete"),
        ("retry", "file_retry"),
    ],
)
def test_an_unknown_event_names_the_nearest(wrong: str, near: str) -> None:
    session = Resumable("http://127.0.0.1/")
    for ask in (
        lambda: session.on(wrong, print),
        lambda: session.on(wrong),
        lambda: session.off(wrong, print),
        lambda: session.signals[wrong],
        lambda: canonical(wrong),
    ):
        with pytest.raises(UnknownEvent, match=f"did you mean '{near}'"):
            ask()


def test_an_unknown_signal_is_an_attribute_error_that_python_can_correct() -> None:
    session = Resumable("http://127.0.0.1/")
    with pytest.raises(AttributeError) as caught:
        session.signals.file_sucess  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("file_sucess", session.signals)
    assert "file_success" in dir(session.signals)
    assert list(session.signals) == list(EVENTS)


def test_a_retry_says_why_how_often_and_when(wire: ScriptedServer, make: Make) -> None:
    now = [0.0]
    answers = iter([(503,), (503,), (200,)])
    wire.behave = lambda request: next(answers)
    heard: list[tuple[Any, ...]] = []
    options: dict[str, Any] = {"test_chunks": False, "chunk_retry_interval": lambda retries: retries / 100}
    with Resumable(wire.url, clock=lambda: now[0], **options) as session:

        def again(file: ResumableFile, error: Any, attempt: int, delay: float) -> None:
            heard.append((error.status, attempt, round(delay, 6)))
            now[0] += 1

        def chunk_again(chunk: ResumableChunk, message: str, error: Any, attempt: int, delay: float) -> None:
            heard.append((chunk.number, attempt))

        session.on("file_retry", again)
        session.add_file(make(), on={"chunk_retry": chunk_again})
    assert heard == [(1, 1), (503, 1, 0.01), (1, 2), (503, 2, 0.02)]
