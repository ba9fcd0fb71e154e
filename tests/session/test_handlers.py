"""Handlers: how they are held, found, called, taken away, and told what they missed."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, ScriptedServer
from support.sizes import sized

import resumable
from resumable import (
    OptionError,
    Resumable,
    ResumableFile,
    Subscription,
    UnknownEvent,
    UploadFailed,
)
from resumable.events import EVENTS

Make = Callable[..., Path]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop

    async def finish() -> None:
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(finish(), loop).result(PATIENCE)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


# -- how they are held ---------------------------------------------------------------------------------------------


def test_lambdas_closures_and_methods_survive_garbage_collection(wire: ScriptedServer, make: Make) -> None:
    heard = []

    class Listener:
        def hear(self, file: Any) -> None:
            heard.append("method")

    def connect(session: Resumable) -> None:
        word = "closure"
        session.on("file_success", lambda file: heard.append("lambda"))
        session.on("file_success", lambda file: heard.append(word))
        session.on("file_success", Listener().hear)
        session.on("file_success", functools.partial(heard.append, "partial"))

    with Resumable(wire.url) as session:
        connect(session)
        gc.collect()
        session.add_file(make())
    assert heard == ["lambda", "closure", "method", "partial"]


def test_the_handler_of_a_chunk_that_nobody_holds_is_called(wire: ScriptedServer, make: Make) -> None:
    heard = []
    with Resumable(wire.url, chunk_size=10, auto_upload=False) as session:
        file = session.add_file(make(size=30))
        file.chunks[1].on("chunk_success", lambda chunk: heard.append(chunk.number))
        gc.collect()
    assert heard == [2]


def test_a_weak_handler_goes_with_its_owner(wire: ScriptedServer, make: Make) -> None:
    heard = []

    class Listener:
        def hear(self, file: Any) -> None:
            heard.append(self)

    def hear(file: Any) -> None:
        heard.append(hear)

    kept, lost = Listener(), Listener()
    with Resumable(wire.url, auto_upload=False) as session:
        session.on("file_success", kept.hear, weak=True)
        forgotten = session.on("file_success", lost.hear, weak=True)
        session.on("file_success", hear, weak=True)
        file = session.add_file(make())
        file.on("success", kept.hear, weak=True)
        ref = weakref.ref(lost)
        del lost
        gc.collect()
        assert ref() is None
        assert forgotten.handler is None
        assert forgotten(file) is None
    assert heard == [kept, hear, kept]
    assert len(session.signals.file_success.receivers) == 3, "the dead one is gone"


def test_collecting_a_weak_handler_waits_for_no_lock(wire: ScriptedServer, make: Make) -> None:
    # The collector may run on any thread, whatever locks that thread holds.
    class Listener:
        def hear(self, file: Any) -> None: ...

    session = Resumable(wire.url)
    listener = Listener()
    session.on("file_success", listener.hear, weak=True)
    collected = threading.Event()

    def drop() -> None:
        nonlocal listener
        del listener
        collected.set()

    with session.signals.lock:
        thread = threading.Thread(target=drop)
        thread.start()
        assert collected.wait(PATIENCE)
        thread.join()


# -- how they are called -------------------------------------------------------------------------------------------


def test_handlers_get_as_many_arguments_as_they_have_room_for(wire: ScriptedServer, make: Make) -> None:
    heard: dict[str, Any] = {}

    class Called:
        def __call__(self, file: Any) -> None:
            heard["object"] = (file,)

    with Resumable(wire.url, deliver="manual") as session:
        on = session.on
        on("file_success", lambda: heard.update(none=()))
        on("file_success", lambda file: heard.update(one=(file,)))
        on("file_success", lambda file, message: heard.update(two=(file, message)))
        on("file_success", lambda *arguments: heard.update(any=arguments))
        on("file_success", lambda file, *rest: heard.update(rest=(file, *rest)))
        on("file_success", lambda file, message=None: heard.update(named=(file, message)))
        on("file_success", lambda file, bar="mine": heard.update(default=(file, bar)))
        on("file_success", lambda file, *, bar="mine": heard.update(keyword=(file, bar)))
        on("file_success", lambda file, **named: heard.update(mapping=(file, named)))
        on("file_success", Called())
        on("file_success", print)
        on("files_added", lambda files, skipped: heard.update(batch=(files, skipped)))
        on("catch_all", lambda event: heard.update(event=event))
        on("error", lambda message, file: heard.update(error=(message, file)))
        file = session.add_file(make())
    said = "got 1"
    assert heard == {
        "none": (),
        "one": (file,),
        "two": (file, said),
        "any": (file, said),
        "rest": (file, said),
        "named": (file, said),
        "default": (file, "mine"),
        "keyword": (file, "mine"),
        "mapping": (file, {}),
        "object": (file,),
        "batch": ([file], []),
        "event": "complete",
    }


def test_handlers_are_called_in_the_order_of_connection_those_of_everybody_first(
    wire: ScriptedServer, make: Make
) -> None:
    heard = []
    with Resumable(wire.url, auto_upload=False) as session:
        file = session.add_file(make())
        for number in range(3):
            file.on("success", lambda number=number: heard.append(("file", number)))
        for number in range(20):
            session.on("file_success", lambda number=number: heard.append(("session", number)))
    assert heard == [("session", number) for number in range(20)] + [("file", number) for number in range(3)]


@pytest.mark.usefixtures("failures")
def test_a_handler_that_raises_is_logged_and_told_and_disturbs_nobody(
    wire: ScriptedServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    told, heard = [], []

    def broken(file: Any) -> None:
        raise ValueError("on purpose")

    def native(sender: Any, **_: Any) -> None:
        raise ValueError("on purpose, too")

    with Resumable(wire.url) as session:
        session.on("file_success", broken)
        session.on("file_success", lambda file: heard.append(file))
        session.signals.file_success.connect(native)
        session.on("handler_error", lambda event, handler, exception: told.append((event, handler, str(exception))))
        file = session.add_file(make())
        assert session.join(PATIENCE)
    assert heard == [file]
    assert told == [("file_success", broken, "on purpose"), ("file_success", native, "on purpose, too")]
    (record, *_) = [record for record in caplog.records if record.levelno == logging.ERROR]
    line = broken.__code__.co_firstlineno + 1
    assert record.getMessage() == (
        f"handler {__name__}.{broken.__qualname__} for file_success raised ValueError: on purpose "
        f"(test_handlers.py:{line})"
    )
    assert record.exc_info is not None


@pytest.mark.usefixtures("failures")
def test_handlers_of_failures_and_of_everything_that_fail_themselves_never_end_in_a_circle(
    wire: ScriptedServer, make: Make
) -> None:
    calls: list[str] = []

    def broken(event: str, *arguments: Any) -> None:
        calls.append(event)
        raise ValueError(event)

    told = []
    with Resumable(wire.url) as session:
        session.on("catch_all", broken)
        session.on("handler_error", lambda event: told.append(event))
        session.on("handler_error", broken)
        session.add_file(make())
        assert session.join(PATIENCE)
    assert "complete" in calls
    assert set(told) == {"catch_all"}


def test_async_handlers_run_on_their_loop(wire: ScriptedServer, make: Make, loop: asyncio.AbstractEventLoop) -> None:
    heard = []
    done = threading.Event()

    class Listener:
        async def __call__(self, file: Any) -> None:
            heard.append(asyncio.get_running_loop())
            done.set()

    async def on_added(file: ResumableFile, message: str = "") -> None:
        heard.append(asyncio.get_running_loop())

    async def native(sender: Any, **facts: Any) -> None:
        heard.append(asyncio.get_running_loop())

    with Resumable(wire.url, loop=loop) as session:
        session.on("file_added", on_added)
        session.signals.file_added.connect(native)
        session.on("complete", lambda: asyncio.sleep(0))
        session.on("file_success", Listener())
        session.add_file(make())
        assert done.wait(PATIENCE)
    assert heard == [loop] * 3


@pytest.mark.usefixtures("failures")
def test_the_failure_of_an_async_handler_is_told_where_handlers_are_called(
    wire: ScriptedServer, make: Make, loop: asyncio.AbstractEventLoop
) -> None:
    told: list[tuple[str, str, str]] = []
    done = threading.Event()

    async def broken(*_: Any) -> None:
        raise ValueError("on purpose")

    with Resumable(wire.url, loop=loop) as session:
        session.on("file_added", broken)
        session.on("catch_all", broken)
        session.on("handler_error", broken)

        @session.on("handler_error")
        def hear(event: str, handler: Any, exception: Exception) -> None:
            told.append((event, str(exception), threading.current_thread().name))
            done.set()

        session.add_file(make())
        assert done.wait(PATIENCE)
    assert told == [("file_added", "on purpose", "resumable-events")]


@pytest.mark.usefixtures("failures")
def test_an_async_handler_without_a_loop_is_refused_or_where_it_shows_late_reported(
    wire: ScriptedServer, make: Make
) -> None:
    async def handler(file: Any) -> None: ...

    class Listener:
        async def __call__(self, file: Any) -> None: ...

    told = []
    with Resumable(wire.url) as session:
        with pytest.raises(OptionError, match="loop"):
            session.on("file_success", handler)
        session.on("file_success", Listener())
        session.on("handler_error", lambda event, handler, exception: told.append(exception))
        session.add_file(make())
    assert [type(each) for each in told] == [OptionError]


@pytest.mark.usefixtures("failures")
def test_an_async_handler_whose_loop_is_closed_is_reported(wire: ScriptedServer, make: Make) -> None:
    closed = asyncio.new_event_loop()
    closed.close()
    told = []

    async def handler(file: Any) -> None: ...

    with Resumable(wire.url, loop=closed) as session:
        session.on("file_success", handler)
        session.on("handler_error", lambda event, handler, exception: told.append(str(exception)))
        session.add_file(make())
    assert told == ["Event loop is closed"]


# -- how they are found and taken away -----------------------------------------------------------------------------


def test_on_without_a_handler_is_a_decorator(wire: ScriptedServer, make: Make) -> None:
    heard = []
    with Resumable(wire.url, auto_upload=False) as session:

        @session.on("file_success")
        def of_session(file: Any) -> str:
            heard.append("session")
            return "returned"

        file = session.add_file(make())

        @file.on("success")
        def of_file(file: Any) -> None:
            heard.append("file")

        assert isinstance(of_session, Subscription)
        assert of_session.handler is not None
        assert of_session(file) == "returned"
    assert heard == ["session", "session", "file"]


def test_a_handler_that_was_taken_away_is_not_called(wire: ScriptedServer, make: Make) -> None:
    heard: list[str] = []

    class Listener:
        def hear(self) -> None:
            heard.append("method")

    def plain() -> None:
        heard.append("plain")

    listener = Listener()
    with Resumable(wire.url, auto_upload=False) as session:
        session.on("file_success", plain)
        session.on("file_success", plain)
        session.on("file_success", listener.hear)
        decorated = session.on("file_success")(lambda: heard.append("decorated"))
        with session.on("file_success", lambda: heard.append("context")):
            pass
        subscription = session.on("file_success", lambda: heard.append("subscription"))
        session.signals.file_success.connect(plain)
        session.off("fileSuccess", plain)
        session.off("file_success", listener.hear)
        session.off("file_success", decorated)
        session.off("file_success", print)
        subscription.off()
        subscription.off()
        session.add_file(make())
    assert heard == []
    assert not session.signals.file_success.receivers


def test_off_of_a_file_leaves_other_files_and_the_session_alone(wire: ScriptedServer, make: Make) -> None:
    heard = []

    def handler(file: Any) -> None:
        heard.append(file.file_name)

    with Resumable(wire.url, auto_upload=False) as session:
        first, second = session.add_files([make("first"), make("second")])
        for each in (first, second):
            each.on("success", handler)
        first.off("success", handler)
    assert heard == ["second"]


def test_a_handler_taken_away_by_the_one_before_it_is_not_called(wire: ScriptedServer, make: Make) -> None:
    heard = []
    with Resumable(wire.url) as session:
        session.on("file_success", lambda: second.off())
        second = session.on("file_success", lambda: heard.append("second"))
        session.add_file(make())
    assert heard == []


def test_the_handlers_of_add_file_listen_before_anything_happens(wire: ScriptedServer, make: Make) -> None:
    heard: list[str] = []
    with Resumable(wire.url, chunk_size=10) as session:
        names = ["file_added", "chunkingStart", "success", "completed", "progress", "chunk_success"]
        session.add_file(make(size=20), on={name: lambda name=name: heard.append(name) for name in names})
    wire.behave = lambda request: (415,)
    with Resumable(wire.url) as session:
        session.add_file(make(), on={name: lambda name=name: heard.append(name) for name in ("error", "chunk_error")})
        with pytest.raises(UploadFailed):
            session.join(PATIENCE)
    once = [name for name in heard if name not in ("progress", "chunk_success")]
    assert once == ["chunkingStart", "file_added", "success", "completed", "chunk_error", "error"]
    assert heard.count("chunk_success") == 2
    assert "progress" in heard


def test_a_wrong_handler_of_add_file_adds_nothing(wire: ScriptedServer, make: Make) -> None:
    heard = []
    with Resumable(wire.url) as session:
        session.on("catch_all", heard.append)
        with pytest.raises(UnknownEvent, match="did you mean"):
            session.add_file(make(), on={"file_sucess": print})
        with pytest.raises(TypeError, match="a handler is called"):
            session.add_file(make(), on={"success": 1})  # type: ignore[dict-item]
        assert session.files == []
    assert "file_added" not in heard


@pytest.mark.parametrize("name", ["complete", "pause", "upload_start", "files_added", "handler_error"])
def test_events_that_never_happen_to_a_file_or_chunk_are_refused_there(
    wire: ScriptedServer, make: Make, name: str
) -> None:
    with Resumable(wire.url) as session:
        file = session.add_file(make())
        with pytest.raises(UnknownEvent, match=f"{name} of a file"):
            file.on(name, print)
        with pytest.raises(UnknownEvent, match=f"{name} of a chunk"):
            file.chunks[0].on(name, print)
        with pytest.raises(UnknownEvent, match="file_success of a chunk"):
            file.chunks[0].on("file_success", print)


def test_everything_about_a_file_can_be_heard_at_once(wire: ScriptedServer, make: Make) -> None:
    heard, chunk = [], []
    with Resumable(wire.url, chunk_size=10, deliver="manual", auto_upload=False) as session:
        session.add_file(make("other"))
        file = session.add_file(make(size=20))
        session.process_events()
        file.on("catch_all", lambda event, *_: heard.append(event))
        file.chunks[0].on("catch_all", lambda event, *_: chunk.append(event))
    assert [event for event in heard if event != "file_progress"] == ["chunk_success", "chunk_success", "file_success"]
    assert chunk == ["chunk_success"]


def test_what_cannot_be_called_is_no_handler(wire: ScriptedServer) -> None:
    session = Resumable(wire.url)
    with pytest.raises(TypeError, match="a handler is called; str cannot be"):
        session.on("complete", "print")  # type: ignore[call-overload]


# -- plain blinker -------------------------------------------------------------------------------------------------


def test_plain_blinker_connects_to_session_file_and_chunk(wire: ScriptedServer, make: Make) -> None:
    heard: list[tuple[str, Any]] = []
    with Resumable(wire.url, chunk_size=10, auto_upload=False) as session:
        first, second = session.add_files([make("first", 30), make("second", 30)])
        chunk = first.chunks[1]

        def any_file(sender: Any, *, file: Any, message: Any) -> None:
            heard.append(("any", sender))

        def one_file(sender: Any, file: Any, **_: Any) -> None:
            heard.append(("one", file))

        def one_chunk(sender: Any, chunk: Any, message: Any) -> None:
            heard.append(("chunk", sender))

        def run(sender: Any) -> None:  # without room for the result
            heard.append(("run", sender))

        signals = session.signals
        signals.file_success.connect(any_file)
        signals.file_success.connect(one_file, sender=second)
        signals.chunk_success.connect(one_chunk, sender=chunk)
        signals.complete.connect(run)
        signals.complete.connect(run, sender=session)

        @signals.file_success.connect_via(first)
        def via(sender: Any, **_: Any) -> None:
            heard.append(("via", sender))

        with signals.file_success.connected_to(lambda sender, **_: heard.append(("gone", sender))):
            pass
        chunks_of_file = []
        signals.chunk_success.connect(lambda sender, **_: chunks_of_file.append(sender), sender=second, weak=False)
    assert sorted(heard, key=str) == sorted(
        [("any", first), ("any", second), ("one", second), ("chunk", chunk), ("run", session), ("via", first)], key=str
    )
    assert {each.number for each in chunks_of_file} == {1, 2, 3}


def test_a_weak_blinker_receiver_is_gone_at_once(wire: ScriptedServer, make: Make) -> None:
    heard = []
    with Resumable(wire.url) as session:
        session.signals.file_success.connect(lambda sender, **_: heard.append(sender))
        gc.collect()
        session.add_file(make())
    assert heard == []


def test_a_muted_signal_tells_nobody(wire: ScriptedServer, make: Make) -> None:
    heard = []
    with Resumable(wire.url) as session:
        session.on("file_success", heard.append)
        with session.signals.file_success.muted():
            session.add_file(make()).wait(PATIENCE)
    assert heard == []


@pytest.mark.once
def test_receivers_come_and_go_on_other_threads_while_signals_are_sent(wire: ScriptedServer, make: Make) -> None:
    over = threading.Event()
    heard = []
    with Resumable(wire.url, chunk_size=1, test_chunks=False) as session:

        def churn() -> None:
            while not over.is_set():
                for number in range(50):

                    def receiver(sender: Any, number: int = number, **_: Any) -> None: ...

                    session.signals.chunk_success.connect(receiver)
                    del receiver
                session.on("chunk_success", lambda: None).off()

        threads = [threading.Thread(target=churn) for _ in range(2)]
        for thread in threads:
            thread.start()
        session.on("chunk_success", lambda chunk: heard.append(chunk.index))
        try:
            session.add_file(make(size=100)).wait(PATIENCE)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert sorted(heard) == list(range(100))


# -- late handlers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["success", "file_success", "fileSuccess", "completed"])
def test_a_late_handler_is_told_of_success_once(wire: ScriptedServer, make: Make, event: str) -> None:
    heard = []
    with Resumable(wire.url) as session:
        file = session.add_file(make())
        file.wait(PATIENCE)
        file.on(event, lambda file, message: heard.append((file, message)))
        file.wait(PATIENCE)
        assert heard == [(file, "got 1")]
    assert heard == [(file, "got 1")]


def test_a_late_handler_is_told_of_an_error_once_and_not_of_one_that_was_overcome(
    wire: ScriptedServer, make: Make
) -> None:
    wire.behave = lambda request: (415, "not this")
    heard, after = [], []
    with Resumable(wire.url) as session:
        file = session.add_file(make())
        assert session.join(PATIENCE, raise_errors=False).failed
        file.on("error", lambda file, message: heard.append(message))
        file.on("success", lambda: heard.append("success"))
        session.join(PATIENCE)
        assert heard == ["not this"]
        wire.behave = lambda request: None
        file.retry()
        wire.wait_held()
        file.on("error", lambda: after.append("stale"))
        wire.behave = lambda request: (200,)
        wire.release()
    assert after == []
    assert heard == ["not this", "success"]


def test_a_late_handler_is_told_that_a_file_was_cancelled(wire: ScriptedServer, make: Make) -> None:
    heard = []
    with Resumable(wire.url, auto_upload=False) as session:
        file = session.add_file(make())
        file.cancel()
        file.on("cancelled", heard.append)
        file.on("success", heard.append)
    assert heard == [file]


@pytest.mark.once
def test_a_late_handler_is_told_of_the_stored_chunks_first_and_of_each_once(wire: ScriptedServer, make: Make) -> None:
    for trial in range(sized(5, 15)):
        heard: list[int] = []
        order: list[str] = []
        with Resumable(wire.url, chunk_size=10, simultaneous_uploads=4, test_chunks=False) as session:
            nap = threading.Event()
            # Somebody listens from the start and is slow, so that notices wait.
            session.on("chunk_success", lambda nap=nap: nap.wait(0.0005))
            file = session.add_file(make(f"{trial}", 10 * 60))
            wire.wait(lambda trial=trial: len(wire.uploads) >= trial * 64)

            def hear(chunk: Any, heard: list[int] = heard, order: list[str] = order) -> None:
                heard.append(chunk.index)
                order.append("chunk")

            file.on("chunk_success", hear)
            file.on("success", lambda order=order: order.append("success"))
        assert sorted(heard) == list(range(60)), "each once"
        assert order == ["chunk"] * 60 + ["success"]


def test_late_handlers_are_told_what_they_missed_before_what_waits(wire: ScriptedServer, make: Make) -> None:
    heard = []
    with Resumable(wire.url, chunk_size=10, deliver="manual", test_chunks=False, simultaneous_uploads=1) as session:
        early = []
        wire.behave = lambda request: None if request.number == 4 else (200,)
        file = session.add_file(make(size=60))
        wire.wait_held()
        session.process_events()
        file.on("chunk_success", early.append)
        wire.behave = lambda request: (200,)
        wire.release()
        wire.wait(lambda: len(wire.uploads) == 6)
        file.on("chunk_success", lambda chunk: heard.append(chunk.number))
        file.on("success", lambda: heard.append("success"))
    assert heard == [1, 2, 3, 4, 5, 6, "success"]
    assert [chunk.number for chunk in early] == [1, 2, 3, 4, 5, 6]


def test_a_late_handler_may_be_added_by_a_handler_of_the_same_chunk(wire: ScriptedServer, make: Make) -> None:
    heard: list[int] = []
    with Resumable(wire.url, chunk_size=10, simultaneous_uploads=1) as session:

        def first(chunk: Any) -> None:
            if chunk.number == 3:
                chunk.file.on("chunk_success", lambda chunk: heard.append(chunk.number))

        session.on("chunk_success", first)
        session.add_file(make(size=60))
    assert sorted(heard) == [1, 2, 3, 4, 5, 6]


def test_a_late_handler_of_a_prioritised_file_is_told_each_chunk_once(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, chunk_size=10, prioritize_first_and_last_chunk=True, simultaneous_uploads=1) as session:
        wire.behave = lambda request: (404,) if request.chunk is None else None if request.number == 3 else (200,)
        file = session.add_file(make(size=60))
        wire.wait_held()
        heard: list[int] = []
        file.on("chunk_success", lambda chunk: heard.append(chunk.number))
        wire.behave = lambda request: (404,) if request.chunk is None else (200,)
        wire.release()
    assert sorted(heard) == [1, 2, 3, 4, 5, 6]
    assert set(heard[:3]) == {1, 2, 6}


def test_a_late_handler_of_many_chunks_is_told_in_batches(wire: ScriptedServer, make: Make) -> None:
    heard: list[int] = []
    with Resumable(wire.url, chunk_size=1, deliver="manual", auto_upload=False) as session:
        file = session.add_file(make(size=1000))
        file.mark_chunks_completed(1000)
        session.process_events()
        subscription = file.on("chunk_success", lambda chunk: heard.append(chunk.index))
        assert session._dispatcher._delivery._deliver(1) == 1
        assert heard == list(range(64))
        subscription.off()
        session.process_events()
        assert heard == list(range(64)), "off() is true at once"


@pytest.mark.usefixtures("failures")
def test_a_late_handler_that_raises_disturbs_nobody(wire: ScriptedServer, make: Make) -> None:
    told = []

    def broken(file: Any) -> None:
        raise ValueError("on purpose")

    with Resumable(wire.url) as session:
        session.on("handler_error", lambda event, handler: told.append((event, handler)))
        file = session.add_file(make())
        file.wait(PATIENCE)
        file.on("success", broken)
    assert told == [("file_success", broken)]


# -- signals of all sessions ---------------------------------------------------------------------------------------


def test_a_signal_of_the_process_is_that_of_every_session(wire: ScriptedServer, make: Make) -> None:
    heard: list[Any] = []

    def success(sender: Any, *, file: Any, message: str) -> None:
        heard.append((sender, file, message))

    def everything(sender: Any, *, event: str, arguments: tuple[Any, ...]) -> None:
        heard.append(event)

    def of_second(sender: Any, **_: Any) -> None:
        heard.append("second")

    files = []
    second = Resumable(wire.url)
    resumable.signals.file_success.connect(success)
    resumable.signals.fileSuccess.connect(of_second, sender=second)
    resumable.signals.catch_all.connect(everything)
    try:
        for session in (Resumable(wire.url), second):
            with session:
                session.on("file_success", lambda: heard.append("own"))
                files.append(session.add_file(make()))
    finally:
        for name, handler in (("file_success", success), ("file_success", of_second), ("catch_all", everything)):
            getattr(resumable.signals, name).disconnect(handler)
    mine = [each for each in heard if isinstance(each, tuple) or each in ("own", "second", "file_success", "complete")]
    first = ["own", (files[0], files[0], "got 1"), "file_success", "complete"]
    assert mine == [*first, "own", (files[1], files[1], "got 1"), "second", "file_success", "complete"]
    with Resumable(wire.url) as third:
        third.add_file(make("c.bin"))
    assert len([each for each in heard if each == "complete"]) == 2
    with pytest.raises(AttributeError):
        _ = resumable.signals.nothing  # type: ignore[attr-defined]


def test_every_event_has_a_signal_of_the_process_that_type_checkers_know() -> None:
    source = Path(resumable.signals.__file__).read_text(encoding="utf-8")
    assert set(re.findall(r"^    (\w+): OrderedSignal$", source, re.MULTILINE)) == set(EVENTS)
