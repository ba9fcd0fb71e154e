"""Sessions in real asyncio loops: what is awaited, what is iterated, what is cancelled, and that nothing blocks."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, ScriptedServer, holding
from support.waiting import eventually

import resumable
from resumable import (
    BlockedLoop,
    FileState,
    Resumable,
    ResumableFile,
    SessionState,
    StateError,
    UploadCancelled,
    UploadEvent,
    UploadFailed,
)

Make = Callable[..., Path]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """What the coroutine returns, in a loop of its own, which ends with a failure instead of never."""
    return asyncio.run(asyncio.wait_for(main, PATIENCE))


# -- the end of a session and of a file ----------------------------------------------------------------------------


def test_the_block_waits_for_the_upload_and_closes_the_session(wire: ScriptedServer, make: Make) -> None:
    async def main() -> Resumable:
        async with Resumable(wire.url, chunk_size=10) as session:
            session.add_file(make(size=100))
        return session

    session = run(main())
    assert session.state is SessionState.CLOSED
    assert len(wire.uploads) == 10


def test_handlers_run_in_the_loop_without_being_told_which(wire: ScriptedServer, make: Make) -> None:
    heard: list[Any] = []

    async def main() -> asyncio.AbstractEventLoop:
        async def success(file: ResumableFile) -> None:
            await asyncio.sleep(0)
            heard.append((asyncio.get_running_loop(), file.state))

        async with Resumable(wire.url, chunk_size=10) as session:
            session.on("chunk_success", lambda: heard.append(asyncio.get_running_loop()))
            session.on("file_success", success)
            session.add_file(make(size=30))
        return asyncio.get_running_loop()

    loop = run(main())
    assert heard == [loop] * 3 + [(loop, FileState.SUCCESS)], "async handlers are over, too"


def test_a_session_that_was_made_before_the_loop_finds_it_for_async_handlers(wire: ScriptedServer, make: Make) -> None:
    session = Resumable(wire.url)
    heard = []

    async def main() -> None:
        async def success(file: ResumableFile) -> None:
            heard.append(file.file_name)

        session.on("file_success", success)
        async with session:
            session.add_file(make())

    run(main())
    assert heard == ["a.bin"]


def test_wait_returns_what_join_returns(wire: ScriptedServer, make: Make) -> None:
    async def main() -> None:
        async with Resumable(wire.url) as session:
            first = session.add_file(make("a.bin"))
            assert (await session.wait()).succeeded == (first,)
            second = session.add_file(make("b.bin"))
            assert (await session.wait()).succeeded == (second,)
            assert session.state is SessionState.IDLE

    run(main())


def test_what_failed_is_raised_at_the_end_of_the_block(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (404,) if request.chunk is None else (403, "no")

    async def main() -> None:
        async with Resumable(wire.url) as session:
            session.add_file(make())

    with pytest.raises(UploadFailed) as caught:
        run(main())
    assert [error.status for error in caught.value.errors] == [403]  # type: ignore[attr-defined]


def test_a_failure_is_returned_if_that_is_asked_for(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (404,) if request.chunk is None else (403, "no")

    async def main() -> None:
        async with Resumable(wire.url) as session:
            file = session.add_file(make())
            result = await session.wait(raise_errors=False)
            assert (result.failed, result.errors) == ((file,), (file.error,))

    run(main())


def test_a_file_is_awaited_with_its_handlers(wire: ScriptedServer, make: Make) -> None:
    async def main() -> None:
        heard = []
        async with Resumable(wire.url, chunk_size=10) as session:
            session.on("file_success", heard.append)
            files = [session.add_file(make(f"{number}.bin", 50)) for number in range(5)]
            await asyncio.gather(*[file.wait_async() for file in files])
            assert sorted(heard, key=files.index) == files
            assert session.is_uploading() is False

    run(main())


def test_a_file_that_does_not_make_it_raises_where_it_is_awaited(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (404,) if request.chunk is None else (403, "no")

    async def main() -> None:
        async with Resumable(wire.url) as session:
            failed = session.add_file(make())
            with pytest.raises(resumable.AuthenticationRefused):
                await failed.wait_async()
            wire.behave = holding
            cancelled = session.add_file(make("b.bin"))
            waiting = asyncio.create_task(cancelled.wait_async())
            await asyncio.to_thread(wire.wait_held)
            cancelled.cancel()
            with pytest.raises(UploadCancelled):
                await waiting
            await session.wait(raise_errors=False)

    run(main())


@pytest.mark.parametrize("deliver", [None, "thread", "manual", "at once", "loop"])
def test_whatever_the_delivery_wait_returns_after_the_handlers(
    deliver: str | None, wire: ScriptedServer, make: Make
) -> None:
    async def main() -> None:
        posts = {"at once": lambda call: call(), "loop": asyncio.get_running_loop().call_soon_threadsafe}
        heard = []
        way: Any = posts.get(str(deliver), deliver)
        async with Resumable(wire.url, chunk_size=10, deliver=way) as session:
            session.on("catch_all", lambda event, *_: heard.append(event))
            file = session.add_file(make(size=100))
            await file.wait_async()
            assert "file_success" in heard
            await session.wait()
            assert heard[-1] == "complete"

    run(main())


def test_a_run_that_an_async_handler_begins_is_waited_for(wire: ScriptedServer, make: Make) -> None:
    async def main() -> None:
        async with Resumable(wire.url) as session:

            async def more(file: ResumableFile) -> None:
                if file.file_name == "a.bin":
                    await asyncio.sleep(0.05)
                    await session.add_file_async(make("b.bin"))

            session.on("file_success", more)
            session.add_file(make("a.bin"))
            result = await session.wait()
        assert [file.file_name for file in result.succeeded] == ["a.bin", "b.bin"]

    run(main())


def test_an_async_handler_may_wait_for_the_end(wire: ScriptedServer, make: Make) -> None:
    async def main() -> None:
        ended = []
        async with Resumable(wire.url) as session:

            async def last(file: ResumableFile) -> None:
                ended.append(await session.wait())

            session.on("file_success", last)
            file = session.add_file(make())
        assert [result.succeeded for result in ended] == [(file,)]

    run(main())


@pytest.mark.usefixtures("failures")
def test_an_async_handler_that_raises_is_reported_and_holds_nobody_up(
    wire: ScriptedServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> list[Any]:
        reported: list[Any] = []

        async def broken(file: ResumableFile) -> None:
            await asyncio.sleep(0)
            raise RuntimeError("oh")

        async with Resumable(wire.url) as session:
            session.on("handler_error", lambda *facts: reported.append(facts))
            session.on("file_success", broken)
            session.add_file(make())
        return reported

    ((event, _, error),) = run(main())
    assert (event, str(error)) == ("file_success", "oh")
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_a_session_of_a_loop_that_has_ended_is_joined_where_the_loop_was(wire: ScriptedServer, make: Make) -> None:
    heard = []

    async def main() -> Resumable:
        session = Resumable(wire.url, auto_upload=False)
        session.on("file_success", heard.append)
        session.add_file(make())
        return session

    with run(main()) as session:
        assert session.join(PATIENCE)
        assert heard == session.files


def test_async_handlers_whose_loop_has_ended_are_left_out_with_one_warning(
    wire: ScriptedServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Any] = []

    async def begin() -> Resumable:
        session = Resumable(wire.url, chunk_size=10, auto_upload=False)

        async def hear(*_: Any) -> None:
            heard.append(1)

        session.on("chunk_success", hear)
        return session

    with run(begin()) as session:
        session.add_file(make(size=50))
        assert len(session.join(PATIENCE).succeeded) == 1
    assert not heard
    assert [record.getMessage() for record in caplog.records] == [
        "the event loop is closed, so async handlers are not called any more; close the session first"
    ]


def test_a_session_is_used_in_a_second_loop(wire: ScriptedServer, make: Make) -> None:
    async def begin() -> Resumable:
        return Resumable(wire.url)

    session = run(begin())

    async def main() -> None:
        async with session:
            session.add_file(make())
            assert await session.wait()

    run(main())
    assert len(wire.uploads) == 1


# -- events --------------------------------------------------------------------------------------------------------


def test_events_come_in_order_and_end_with_the_run(wire: ScriptedServer, make: Make) -> None:
    async def main() -> list[UploadEvent]:
        async with Resumable(wire.url, chunk_size=10) as session:
            stream = session.events()
            session.add_file(make(size=30))
            return [event async for event in stream]

    events = run(main())
    names = [event.name for event in events]
    assert names.index("upload_start") < names.index("file_progress")
    assert names[:5] == ["chunking_start", "chunking_progress", "chunking_complete", "file_added", "files_added"]
    assert names.count("chunk_success") == 3
    assert names[-2:] == ["file_success", "complete"]
    success = events[-2]
    assert success.file is not None
    assert (success.file.file_name, success.message, success.chunk) == ("a.bin", "got 3", None)
    assert events[-1].result is not None
    assert events[-1].result.succeeded == (success.file,)
    chunk = next(event.chunk for event in events if event.name == "chunk_success")
    assert chunk is not None
    assert chunk.file is success.file


def test_a_task_that_listens_before_anything_is_added_hears_all(wire: ScriptedServer, make: Make) -> None:
    async def main() -> list[str]:
        async with Resumable(wire.url) as session:

            async def listen() -> list[str]:
                return [event.name async for event in session.events()]

            listening = asyncio.create_task(listen())
            await asyncio.sleep(0)
            await session.add_files_async([make("a.bin"), make("b.bin")])
            return await listening

    names = run(main())
    assert names.count("file_success") == 2
    assert names[-1] == "complete"


def test_events_end_if_nothing_that_was_added_is_uploaded(wire: ScriptedServer, make: Make, tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "empty").mkdir()
        async with Resumable(wire.url, max_file_size=5) as session:
            await session.add_directory_async(tmp_path / "empty")
            assert [event.name async for event in session.events()] == []
            stream = session.events()
            await session.add_files_async([make(size=10)])
            assert [event.name async for event in stream] == ["files_added"]
            await session.wait()

    run(main())


@pytest.mark.parametrize("end", ["cancel", "cancel_async", "close_async", "wait"])
def test_events_end_with_the_session(end: str, wire: ScriptedServer, make: Make) -> None:
    async def main() -> list[str]:
        session = Resumable(wire.url)

        async def listen() -> list[str]:
            return [event.name async for event in session.events()]

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0)
        if end != "wait":
            wire.behave = holding
            session.add_file(make())
            await asyncio.to_thread(wire.wait_held)
        called = getattr(session, end)()
        if called is not None:
            await called
        names = await listening
        await session.close_async()
        return names

    names = run(main())
    assert (
        names[-1:]
        == {"cancel": ["cancel"], "cancel_async": ["cancel"], "close_async": ["file_cancelled"], "wait": []}[end]
    )


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.unmeasured
def test_an_iteration_that_is_left_early_holds_nothing(wire: ScriptedServer, make: Make) -> None:
    async def main() -> None:
        async with Resumable(wire.url, chunk_size=1, test_chunks=False, chunk_order="free") as session:
            left = session.events()
            session.add_file(make(size=1200))
            async for event in left:
                if event.name == "chunk_success":
                    break
            gone = weakref.ref(left)
            del left
            assert gone() is None
            await session.wait()

    run(main())
    assert len(wire.uploads) == 1200


@pytest.mark.once
@pytest.mark.unmeasured
def test_events_that_nobody_takes_hold_the_upload_back(wire: ScriptedServer, make: Make) -> None:
    async def main() -> None:
        async with Resumable(wire.url, chunk_size=1, test_chunks=False, chunk_order="free") as session:
            stream = session.events()
            session.add_file(make(size=1200))
            seen = 0
            most = 0
            async for event in stream:
                seen += event.name == "chunk_success"
                most = max(most, session._dispatcher._outbox.backlog)
                if seen == 1:
                    # Longer than the upload takes otherwise; what is asserted does not depend on it.
                    await asyncio.sleep(1)
                    assert len(wire.uploads) < 1200
                    seen += 1
            assert seen == 1201
            assert most < 1200

    run(main())


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.unmeasured
@pytest.mark.parametrize("way", ["same task", "other task", "closed"])
def test_events_that_nobody_can_take_any_more_hold_nothing(way: str, wire: ScriptedServer, make: Make) -> None:
    async def main() -> tuple[Any, list[str]]:
        async with Resumable(wire.url, chunk_size=1, test_chunks=False, chunk_order="free") as session:
            stream = session.events()
            session.add_file(make(size=1200))

            async def take() -> None:
                async for event in stream:
                    if event.name == "chunk_success":
                        break

            if way == "other task":
                await asyncio.create_task(take())
            else:
                await take()
            if way == "closed":
                await asyncio.to_thread(eventually, lambda: session._dispatcher._outbox.full)
                await stream.aclose()
                await session.files[0].wait_async()
            result = await session.wait()
            # Nothing is lost, and it may be taken now.
            return result, [event.name async for event in stream]

    result, names = run(main())
    assert len(result.succeeded) == 1
    assert names.count("chunk_success") == (0 if way == "closed" else 1199)


def test_a_closed_stream_is_over(wire: ScriptedServer, make: Make) -> None:
    async def main() -> None:
        async with Resumable(wire.url) as session:
            stream = session.events()
            session.add_file(make())
            assert (await anext(stream)).name == "chunking_start"
            await stream.aclose()
            assert [event async for event in stream] == []

    run(main())


# -- cancelling ----------------------------------------------------------------------------------------------------


def abandoned(main: Callable[[], Coroutine[Any, Any, Any]], wire: ScriptedServer) -> float:
    """The seconds until a task has ended that is cancelled while the server keeps it waiting."""

    async def cancel() -> float:
        task = asyncio.create_task(main())
        await asyncio.to_thread(wire.wait_held)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    return float(run(cancel()))


def test_cancelling_the_task_cancels_the_upload_and_closes_the_session(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    sessions, heard = [], []

    async def main() -> None:
        async with Resumable(wire.url) as session:
            sessions.append(session)
            session.on("file_cancelled", lambda file, reason: heard.append(reason))
            session.add_file(make())
            await session.wait()

    assert abandoned(main, wire) < PATIENCE / 2
    assert sessions[0].state is SessionState.CLOSED
    assert heard == ["closed"]


def test_cancelling_at_the_end_of_the_block_closes_the_session(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    sessions = []

    async def main() -> None:
        async with Resumable(wire.url) as session:
            sessions.append(session)
            session.add_file(make())

    assert abandoned(main, wire) < PATIENCE / 2
    assert sessions[0].state is SessionState.CLOSED


def test_a_second_cancellation_does_not_keep_the_session_open(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    sessions = []

    async def main() -> None:
        async with Resumable(wire.url) as session:
            sessions.append(session)
            # A handler that is slow, so that closing has to wait for it.
            session.on("cancel", lambda: time.sleep(0.2))
            session.add_file(make())
            await session.wait()

    async def cancel() -> None:
        task = asyncio.create_task(main())
        await asyncio.to_thread(wire.wait_held)
        while not task.done():
            task.cancel()
            await asyncio.sleep(0.01)
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancel())
    assert sessions[0].state is SessionState.CLOSED


def test_an_exception_in_the_block_cancels_the_upload(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    sessions = []

    async def main() -> None:
        async with Resumable(wire.url) as session:
            sessions.append(session)
            session.add_file(make())
            await asyncio.to_thread(wire.wait_held)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main())
    assert sessions[0].state is SessionState.CLOSED


def test_cancelling_upload_async_cancels_the_upload(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding
    assert abandoned(lambda: resumable.upload_async(make(), wire.url), wire) < PATIENCE / 2


def test_a_timeout_around_wait_ends_the_waiting_alone(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding

    async def main() -> None:
        async with Resumable(wire.url) as session:
            file = session.add_file(make())
            await asyncio.to_thread(wire.wait_held)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(session.wait(), 0.01)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(file.wait_async(), 0.01)
            assert file.state is FileState.UPLOADING
            session.cancel()

    run(main())


def test_upload_on_a_thread_ends_when_its_event_is_set(wire: ScriptedServer, make: Make) -> None:
    wire.behave = holding

    async def main() -> None:
        cancel = threading.Event()
        waiting = asyncio.create_task(asyncio.to_thread(resumable.upload, make(), wire.url, cancel=cancel))
        await asyncio.to_thread(wire.wait_held)
        began = time.monotonic()
        cancel.set()
        with pytest.raises(UploadCancelled):
            await waiting
        assert time.monotonic() - began < PATIENCE / 2

    run(main())


def test_an_event_that_is_set_before_lets_nothing_begin(wire: ScriptedServer, make: Make) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(UploadCancelled):
        resumable.upload(make(), wire.url, cancel=cancel)
    assert wire.requests == []


def test_an_event_that_is_never_set_changes_nothing(wire: ScriptedServer, make: Make) -> None:
    held = threading.Event()

    def slow(request: Any) -> Any:
        held.wait(0.25)  # longer than one look at the event
        return (404,) if request.chunk is None else (200,)

    wire.behave = slow
    assert resumable.upload(make(), wire.url, cancel=threading.Event())


# -- one call ------------------------------------------------------------------------------------------------------


@pytest.mark.once
def test_the_first_upload_imports_the_package_on_a_thread(receiver_url: str) -> None:
    code = """
import asyncio, sys, threading
import resumable

imported = {}

def note(event, arguments):
    if event == "import":
        imported.setdefault(arguments[0], threading.get_ident())

sys.addaudithook(note)

async def main():
    await resumable.upload_async(b"bytes", sys.argv[1], relative_path="bytes.txt")

asyncio.run(main())
print(imported["resumable.session"] != threading.get_ident())
"""
    ran = subprocess.run([sys.executable, "-c", code, receiver_url], capture_output=True, text=True, check=True)
    assert ran.stdout == "True\n"


def test_upload_async_takes_what_upload_takes(receiver_url: str, received: Path, make: Make, tmp_path: Path) -> None:
    make("photos/summer/beach.jpg", 1000)

    async def main() -> None:
        result = await resumable.upload_async([make("a.bin", 100), tmp_path / "photos"], receiver_url)
        assert len(result.succeeded) == 2
        result = await resumable.upload_async(b"bytes", receiver_url, relative_path="bytes.txt")
        assert len(result.succeeded) == 1
        with pytest.raises(TypeError):
            await resumable.upload_async([b"1", b"2"], receiver_url, relative_path="bytes.txt")

    run(main())
    assert (received / "a.bin").read_bytes() == make("a.bin", 100).read_bytes()
    assert (received / "photos" / "summer" / "beach.jpg").stat().st_size == 1000
    assert (received / "bytes.txt").read_bytes() == b"bytes"


def test_what_is_added_on_a_thread_raises_in_the_task(wire: ScriptedServer, tmp_path: Path) -> None:
    async def main() -> None:
        async with Resumable(wire.url) as session:
            with pytest.raises(resumable.SourceError):
                await session.add_file_async(tmp_path / "missing")

    run(main())


def test_a_stream_that_is_added_on_a_thread_does_not_block_the_loop(receiver_url: str, received: Path) -> None:
    begun, written = threading.Event(), threading.Event()

    class Slow(io.RawIOBase):
        rest = b"slow bytes"

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            begun.set()
            written.wait(PATIENCE)
            count, buffer[: len(self.rest)] = len(self.rest), self.rest
            self.rest = b""
            return count

    async def main() -> None:
        async with Resumable(receiver_url) as session:
            adding = asyncio.create_task(session.add_file_async(Slow(), "slow.txt"))
            await asyncio.to_thread(begun.wait, PATIENCE)
            # This line is reached, and the stream ends only now.
            written.set()
            await adding

    run(main())
    assert (received / "slow.txt").read_bytes() == b"slow bytes"


# -- blocking ------------------------------------------------------------------------------------------------------


def test_a_blocking_block_in_a_loop_warns_once_and_names_what_to_await(wire: ScriptedServer, make: Make) -> None:
    heard = []

    async def main() -> None:
        with Resumable(wire.url) as session:
            session.on("file_success", lambda file: heard.append(threading.current_thread()))
            session.add_file(make())
            session.join(PATIENCE)
            assert heard == [threading.current_thread()], "handlers run while the loop is blocked"

    with pytest.warns(BlockedLoop, match="async with") as caught:
        run(main())
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        ("session.join(30)", r"await session\.wait\(\)"),
        ("session.files[0].wait(30)", r"await file\.wait_async\(\)"),
        ("resumable.upload(path, url)", r"await resumable\.upload_async\("),
    ],
)
def test_a_call_that_blocks_the_loop_names_what_to_await(
    call: str, instead: str, wire: ScriptedServer, make: Make
) -> None:
    async def main() -> None:
        session = Resumable(wire.url)
        path = make()
        session.add_file(path)
        eval(call, {"session": session, "resumable": resumable, "path": path, "url": wire.url})
        await session.close_async()

    with pytest.warns(BlockedLoop, match=instead) as caught:
        run(main())
    assert len(caught) == 1


def test_no_call_warns_on_a_thread_without_a_loop_or_in_a_notebook(
    wire: ScriptedServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Notebook:
        get_ipython = staticmethod(lambda: object())

    async def main() -> None:
        await asyncio.to_thread(resumable.upload, make(), wire.url)
        monkeypatch.setitem(sys.modules, "IPython", Notebook)  # type: ignore[arg-type]
        resumable.upload(make(), wire.url)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main())


def test_waiting_for_oneself_is_refused_in_a_loop_as_anywhere(wire: ScriptedServer, make: Make) -> None:
    async def main() -> list[Exception]:
        refused: list[Exception] = []

        def handler() -> None:
            for call in (session.join, session.close):
                try:
                    call()
                except StateError as error:
                    refused.append(error)

        async with Resumable(wire.url) as session:
            session.on("file_success", handler)
            session.add_file(make())
        return refused

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BlockedLoop)
        assert len(run(main())) == 2


async def longest_gap(work: Coroutine[Any, Any, Any] | None, seconds: float) -> float:
    """The longest time in which the loop did nothing else, while the work is done, or for so many seconds."""
    task = asyncio.create_task(work if work is not None else asyncio.sleep(seconds))
    longest, last = 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await task
    return longest


@contextmanager
def receiver_elsewhere(root: Path) -> Iterator[str]:
    """The URL of a receiver whose threads are not of this process."""
    command = [sys.executable, "-m", "resumable", "serve", "--quiet", "--fsync", "never", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.mark.timed
@pytest.mark.unmeasured
def test_an_upload_blocks_the_loop_no_longer_than_the_machine_does(
    tmp_path: Path, received: Path, record_property: Callable[[str, object], None]
) -> None:
    """A folder is walked, a large file is hashed and sent, a stream is copied, and the session is closed."""
    for number in range(100):
        (tmp_path / f"{number}.txt").write_bytes(os.urandom(100))
    (tmp_path / "large.bin").write_bytes(os.urandom(16 * 1024 * 1024))

    async def upload(url: str) -> None:
        identify = resumable.identifiers.content
        async with Resumable(url, generate_unique_identifier=identify) as session:
            await session.add_directory_async(tmp_path)
            await session.add_file_async(io.BytesIO(bytes(8 * 1024 * 1024)), "stream.bin")
            async for _ in session.events():
                pass

    async def main(url: str) -> list[tuple[float, float]]:
        pairs = []
        for _ in range(20):
            pairs.append((await longest_gap(None, 1.0), await longest_gap(upload(url), 0)))
            if pairs[-1][1] - pairs[-1][0] < 0.05:
                break  # once is enough: others may keep the machine busy
        return pairs

    with receiver_elsewhere(received) as url:
        pairs = run(main(url))
    shown = ", ".join(f"{1000 * busy:.0f} ms ({1000 * bare:.0f} ms bare)" for bare, busy in pairs)
    record_property("longest time without the loop", shown)
    bare, busy = pairs[-1]
    assert busy - bare < 0.05, shown


def test_a_program_without_a_loop_does_not_import_asyncio(plain_environment: dict[str, str]) -> None:
    code = "import sys, resumable.asynchronous, resumable.dispatch.event_loop; print('asyncio' in sys.modules)"
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, env=plain_environment, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert ran.stdout == "False\n"
