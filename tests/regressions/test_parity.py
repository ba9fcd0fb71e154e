"""What code for resumable.js relies on: who hears what, when, and what files and chunks can be asked."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, ScriptedServer

from resumable import Resumable, ResumableChunk, UnknownEvent
from resumable.file import ResumableFile

Make = Callable[..., Path]

# -- who hears what ----------------------------------------------------------------------------------------------------


def test_a_signal_of_one_chunk_is_heard_though_nobody_keeps_the_chunk(wire: ScriptedServer, make: Make) -> None:
    heard: list[Any] = []

    def hear(sender: Any, chunk: Any, message: Any) -> None:
        heard.append((sender, chunk.number))

    with Resumable(wire.url, chunk_size=5, auto_upload=False) as session:
        file = session.add_file(make(size=20))
        session.signals.chunk_success.connect(hear, sender=file.chunks[1])
        gc.collect()
        session.upload()
        session.join(PATIENCE)
        assert heard == [(file.chunks[1], 2)]
        heard.clear()
        session.signals.chunk_success.disconnect(hear, sender=file.chunks[1])
        gc.collect()
        assert not session.signals.chunks


def test_a_subscription_to_a_chunk_keeps_what_it_needs(wire: ScriptedServer, make: Make) -> None:
    heard: list[int] = []
    with Resumable(wire.url, chunk_size=5, auto_upload=False) as session:
        file = session.add_file(make(size=20))
        subscription = file.chunks[2].on("success", lambda chunk: heard.append(chunk.number))

        @file.chunks[0].on("chunk_success")
        def first(chunk: Any, message: Any) -> None:
            heard.append(chunk.number)

        gc.collect()
        session.upload()
        session.join(PATIENCE)
        assert sorted(heard) == [1, 3]
        subscription.off()
        first.off()


def test_chunks_take_the_short_names_of_files_and_can_be_unsubscribed(wire: ScriptedServer, make: Make) -> None:
    heard: list[Any] = []
    with Resumable(wire.url, chunk_size=5, auto_upload=False) as session:
        chunk = session.add_file(make(size=20)).chunks[0]
        for name in ("success", "retry", "error", "chunkSuccess", "chunk_retry"):
            chunk.on(name, heard.append)
        for name in ("success", "retry", "error"):
            chunk.off(name, heard.append)
        with pytest.raises(UnknownEvent):
            chunk.on("progress", heard.append)
        session.upload()
        session.join(PATIENCE)
    assert heard == []


def test_signals_have_the_names_of_resumable_js_too(wire: ScriptedServer) -> None:
    with Resumable(wire.url) as session:
        assert session.signals.fileSuccess is session.signals.file_success
        assert session.signals.CHUNKINGCOMPLETE is session.signals.chunking_complete
        with pytest.raises(AttributeError, match="file_succes"):
            _ = session.signals.file_succes


@pytest.mark.parametrize(
    ("event", "sender"),
    [
        ("file_success", "session"),
        ("file_added", "session"),
        ("file_progress", "session"),
        ("chunk_success", "session"),
        ("chunk_success", "file"),
        ("chunking_complete", "session"),
    ],
)
def test_whoever_connects_to_the_session_or_the_file_hears_what_happens_in_it(
    wire: ScriptedServer, make: Make, event: str, sender: str
) -> None:
    heard: list[Any] = []

    def hear(sender: Any, **arguments: Any) -> None:
        heard.append(arguments)

    with Resumable(wire.url) as session:
        if sender == "session":
            session.signals[event].connect(hear, sender=session)
            session.add_file(make())
        else:
            file = session.add_file(make(), on={})
            session.pause()
            session.signals[event].connect(hear, sender=file)
            session.resume()
        session.join(PATIENCE)
    assert heard


def test_an_error_is_heard_by_whoever_connects_to_the_file(wire: ScriptedServer, make: Make) -> None:
    heard: list[str] = []

    def hear(sender: Any, message: str, file: Any) -> None:
        heard.append(file.file_name)

    wire.behave = lambda request: (404,) if request.chunk is None else (415, "no")
    with Resumable(wire.url, auto_upload=False) as session:
        file, other = session.add_file(make("a.bin")), session.add_file(make("b.bin"))
        session.signals.error.connect(hear, sender=file)
        session.upload()
        session.join(PATIENCE, raise_errors=False)
        assert (file.error, other.error) != (None, None)
    assert heard == ["a.bin"]


def test_a_handler_with_more_parameters_than_the_event_has_gets_none_and_a_note_once(
    wire: ScriptedServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Any] = []

    def added(file: Any, event: Any) -> None:
        heard.append((file.file_name, event))

    with caplog.at_level(logging.WARNING, "resumable"), Resumable(wire.url) as session:
        session.on("fileAdded", added)
        session.add_files([make("a.bin"), make("b.bin")])
        session.join(PATIENCE)
    assert heard == [("a.bin", None), ("b.bin", None)]
    notes = [record.getMessage() for record in caplog.records if "added" in record.getMessage()]
    assert len(notes) == 1
    assert "file_added" in notes[0]


# -- when --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [None, "manual", "posted"])
def test_before_cancel_comes_while_the_files_are_there(wire: ScriptedServer, make: Make, way: Any) -> None:
    seen: list[Any] = []
    queue: list[Callable[[], None]] = []
    deliver = queue.append if way == "posted" else way
    with Resumable(wire.url, auto_upload=False, deliver=deliver) as session:
        session.on("before_cancel", lambda: seen.append([file.file_name for file in session.files]))
        session.on("cancel", lambda: seen.append([file.file_name for file in session.files]))
        session.on("file_added", lambda file: None)
        session.add_files([make("a.bin"), make("b.bin")])
        if way == "posted":
            # As a window does: the thread that calls cancel() is that of the handlers.
            while queue:
                queue.pop(0)()
        session.cancel()
        assert session.files == []
        if way == "manual":
            session.process_events()
        while queue:
            queue.pop(0)()
        session.close()
    assert seen == [["a.bin", "b.bin"], []]


def test_before_cancel_comes_first_in_a_handler_too(wire: ScriptedServer, make: Make) -> None:
    seen: list[Any] = []
    done = threading.Event()
    with Resumable(wire.url) as session:
        session.on("before_cancel", lambda: seen.append(len(session.files)))
        session.on("cancel", done.set)
        session.on("chunk_success", lambda chunk: session.cancel())
        session.add_file(make())
        assert done.wait(PATIENCE)
    assert seen == [1]


def test_a_handler_of_a_file_that_comes_late_hears_that_it_was_added_and_cut(wire: ScriptedServer, make: Make) -> None:
    heard: list[str] = []
    with Resumable(wire.url) as session:
        file = session.add_file(make())
        session.join(PATIENCE)
        for name in ("file_added", "chunking_start", "chunking_complete", "file_success"):
            file.on(name, lambda *_, name=name: heard.append(name))
        session.join(PATIENCE)
    assert heard == ["file_added", "chunking_start", "chunking_complete", "file_success"]


@pytest.mark.parametrize("way", [None, "manual"])
def test_a_handler_of_a_file_hears_each_of_these_once_however_late(wire: ScriptedServer, make: Make, way: Any) -> None:
    for _ in range(20):
        heard: list[str] = []
        with Resumable(wire.url, deliver=way) as session:
            session.on("file_added", lambda file: None)
            file = session.add_file(make())
            for name in ("file_added", "chunking_start", "chunking_progress", "chunking_complete"):
                file.on(name, lambda *_, name=name, heard=heard: heard.append(name))
            session.join(PATIENCE)
        assert sorted(heard) == ["chunking_complete", "chunking_progress", "chunking_start", "file_added"]


def test_bootstrap_does_not_say_that_the_cutting_starts(wire: ScriptedServer, make: Make) -> None:
    heard: list[str] = []
    with Resumable(wire.url, auto_upload=False) as session:
        file = session.add_file(make())
        for name in ("chunking_start", "chunking_complete"):
            session.on(name, lambda *_, name=name: heard.append(name))
        session.upload()
        session.join(PATIENCE)
        heard.clear()
        file.bootstrap()
        session.upload()
        session.join(PATIENCE)
    assert heard == ["chunking_complete"]


# -- what was written for resumable.py and resumable.js ----------------------------------------------------------------


def test_the_relative_path_may_be_given_by_position(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url) as session:
        assert session.add_file(make(), "photos/a.bin").relative_path == "photos/a.bin"


def test_a_file_that_is_made_by_hand_says_how_it_is_made(make: Make) -> None:
    with pytest.raises(TypeError, match=r"session\.add_file\(path\)"):
        ResumableFile(make(), 1)  # type: ignore[call-arg,arg-type]


def test_a_chunk_has_the_names_of_resumable_js(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, chunk_size=5, auto_upload=False) as session:
        file = session.add_file(make(size=12))
        first, last = file.chunks
        assert (first.start_byte, first.end_byte, last.start_byte, last.end_byte) == (0, 5, 5, 12)
        assert (first.file_obj, first.resumable_obj) == (file, session)
        assert (first.status(), first.message(), first.progress(), first.loaded, first.tested) == (
            "pending",
            "",
            0,
            0,
            False,
        )
        session.upload()
        session.join(PATIENCE)
        assert (first.status(), first.progress(), first.loaded, first.tested) == ("success", 1, 5, True)
        assert first.progress(relative=True) == pytest.approx(5 / 12)
        assert last.progress(relative=True) == pytest.approx(7 / 12)
        assert first.retries == 0


def test_a_chunk_keeps_the_answer_of_the_server_while_somebody_has_it(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, auto_upload=False) as session:
        chunk = session.add_file(make()).chunks[0]
        session.upload()
        session.join(PATIENCE)
        assert isinstance(chunk, ResumableChunk)
        assert chunk.message() == "got 1"
