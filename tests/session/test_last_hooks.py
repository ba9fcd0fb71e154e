"""The hooks at the end: ``after_file`` has its say before a file is a success, ``on_abort`` is told of what was given
up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, Request, ScriptedServer, Store, lacking

from resumable import FileState, HookError, Resumable, ResumableFile, SessionState, SourceError, StateError, upload
from resumable.errors import UploadCancelled, UploadError, UploadFailed
from resumable.receiver import Receiver, Server

Make = Callable[..., Path]


class Calls(list[str]):
    """Names of the files with which the hook was called. It raises so often before it does not."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.failures = failures

    def __call__(self, file: ResumableFile) -> None:
        self.append(file.file_name)
        if len(self) <= self.failures:
            raise RuntimeError("the index is down")


class Slow:
    """A hook that takes until it is let go; ``began`` says that it runs."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.goes = threading.Event()
        self.calls: list[str] = []

    def __call__(self, file: ResumableFile) -> None:
        self.began.set()
        assert self.goes.wait(PATIENCE)
        self.calls.append(file.file_name)


# -- after_file ----------------------------------------------------------------------------------------------------


def test_the_hook_sees_the_file_as_it_will_be_before_anybody_is_told(tmp_path: Path) -> None:
    order: list[Any] = []

    def after_file(file: ResumableFile) -> str:
        order.append(("hook", file.result, file.whole, file.state, file.progress() < 1))
        assert file.response is not None
        return "not looked at"

    receiver = Receiver(tmp_path, on_file_received=lambda finished: {"id": 7})
    with Server(receiver) as server, Resumable(server.url, after_file=after_file) as session:
        session.on("file_success", lambda file: order.append(("told", file.result)))
        file = session.add_file(b"content", "a.txt")
    result = {"id": 7, "name": "a.txt"}
    assert order == [("hook", result, True, FileState.UPLOADING, True), ("told", result)]
    assert file.result == result


@pytest.mark.parametrize("size", [0, 10, 35])
@pytest.mark.parametrize("tests", [False, True])
def test_the_hook_runs_once_for_each_file_however_it_came_to_be_whole(
    wire: ScriptedServer, make: Make, size: int, tests: bool
) -> None:
    calls = Calls()
    wire.behave = Store()
    for _ in range(2):
        # The second time the server has everything, and is asked for it if that is allowed.
        with Resumable(wire.url, chunk_size=10, test_chunks=tests, after_file=calls) as session:
            session.add_files([make("a", size), make("b", size)])
    assert sorted(calls) == ["a", "a", "b", "b"]


def test_a_hook_that_raises_fails_its_file_and_a_retry_asks_the_receiver_and_calls_it_again(tmp_path: Path) -> None:
    calls, sent = Calls(failures=2), []
    with Server(tmp_path) as server, Resumable(server.url, chunk_size=10, after_file=calls) as session:
        session.on("chunk_success", lambda chunk: sent.append(chunk.number))
        file = session.add_file(bytes(35), "a")
        for _ in range(2):
            with pytest.raises(UploadFailed):
                session.join(PATIENCE)
            assert isinstance(file.error, HookError)
            assert (file.error.hook, file.error.file, file.error.chunk) == ("after_file", file, None)
            assert (tmp_path / "a").read_bytes() == bytes(35)
            session.retry_failed()
        session.join(PATIENCE)
        assert (file.state, file.progress(), calls) == (FileState.SUCCESS, 1.0, ["a"] * 3)
    assert sorted(sent) == [1, 2, 3]


def test_a_server_that_forgets_its_chunks_gets_nothing_twice_because_a_hook_raised(
    wire: ScriptedServer, make: Make
) -> None:
    """Most servers put the file together and delete the chunks, so that asking them would say that nothing is there."""
    ids: list[Any] = []

    def after_file(file: ResumableFile) -> None:
        assert file.response is not None
        ids.append(file.response.json()["id"])
        if len(ids) == 1:
            raise RuntimeError("the index is down")

    wire.behave = lambda request: (404,) if request.chunk is None else (200, '{"id": 5}')
    with Resumable(wire.url, chunk_size=10, after_file=after_file) as session:
        file = session.add_file(make(size=35))
        session.join(PATIENCE, raise_errors=False)
        requests = len(wire.requests)
        file.retry()
        session.join(PATIENCE)
    assert (ids, len(wire.requests)) == ([5, 5], requests)


def test_all_hooks_run_in_their_order_until_one_raises(wire: ScriptedServer, make: Make) -> None:
    order: list[str] = []

    class Each:
        def __init__(self, name: str) -> None:
            self.name = name

        def attach(self, session: Resumable) -> None: ...

        def after_file(self, file: ResumableFile) -> str:
            order.append(self.name)
            return self.name

    with Resumable(wire.url, plugins=[Each("one"), Each("two")], after_file=lambda file: order.append("option")) as s:
        s.add_file(make())
    assert order == ["option", "one", "two"]


def test_what_a_hook_says_of_a_source_is_the_error_of_the_file(wire: ScriptedServer, make: Make) -> None:
    error = SourceError("a.bin", "it is to be kept and is gone")

    def after_file(file: ResumableFile) -> None:
        raise error

    with Resumable(wire.url, after_file=after_file) as session:
        file = session.add_file(make())
        session.join(PATIENCE, raise_errors=False)
    assert file.error is error


def test_a_part_has_its_hook_when_it_is_stored_and_the_last_part_sees_the_whole_file(tmp_path: Path) -> None:
    seen: list[bool | None] = []
    path = tmp_path / "a"
    path.write_bytes(bytes(range(60)))
    with Server(tmp_path / "received") as server:
        for part in ((1, 2), (2, 2)):
            with Resumable(server.url, chunk_size=10, part=part, after_file=lambda file: seen.append(file.whole)) as s:
                s.add_file(path)
    assert seen == [False, True]


@pytest.mark.parametrize("way", ["file", "session"])
def test_a_pause_does_not_stop_the_hook_and_the_file_is_a_success_after_it(
    wire: ScriptedServer, make: Make, way: str
) -> None:
    slow = Slow()
    with Resumable(wire.url, after_file=slow) as session:
        file = session.add_file(make())
        assert slow.began.wait(PATIENCE)
        (file if way == "file" else session).pause()
        slow.goes.set()
        file.wait(PATIENCE)
        session.resume()
    assert slow.calls == ["a.bin"]


def test_a_cancel_while_the_hook_runs_gives_the_file_up_and_is_told_to_on_abort_after_the_hook(
    wire: ScriptedServer, make: Make
) -> None:
    slow, aborted = Slow(), Calls()

    def on_abort(file: ResumableFile) -> None:
        assert slow.calls == ["a.bin"]
        aborted(file)

    with Resumable(wire.url, after_file=slow, on_abort=on_abort) as session:
        file = session.add_file(make())
        assert slow.began.wait(PATIENCE)
        session.on("file_cancelled", lambda: slow.goes.set())
        file.cancel()
        assert file.state is FileState.CANCELLED
        session.join(PATIENCE, raise_errors=False)
        assert aborted == ["a.bin"]


def test_a_session_that_is_closed_while_the_hook_runs_leaves_the_file_cancelled(
    wire: ScriptedServer, make: Make
) -> None:
    slow, aborted = Slow(), Calls()
    session = Resumable(wire.url, after_file=slow, on_abort=aborted)
    file = session.add_file(make())
    assert slow.began.wait(PATIENCE)
    session.on("file_cancelled", lambda: slow.goes.set())
    session.close()
    assert (file.state, session.state, slow.calls, aborted) == (
        FileState.CANCELLED,
        SessionState.CLOSED,
        ["a.bin"],
        [],
    )


def test_a_hook_may_cancel_its_own_file(wire: ScriptedServer, make: Make) -> None:
    aborted = Calls()
    with Resumable(wire.url, after_file=lambda file: file.cancel(), on_abort=aborted) as session:
        file = session.add_file(make())
        session.join(PATIENCE, raise_errors=False)
        assert (file.state, aborted) == (FileState.CANCELLED, ["a.bin"])


# -- on_abort ------------------------------------------------------------------------------------------------------


WAYS: dict[str, Callable[[Resumable, ResumableFile], object]] = {
    "file.cancel": lambda session, file: file.cancel(),
    "session.cancel": lambda session, file: session.cancel(),
    "remove_file": lambda session, file: session.remove_file(file),
    "cancel_async": lambda session, file: asyncio.run(session.cancel_async()),
}


@pytest.mark.parametrize("way", WAYS)
def test_on_abort_has_run_when_the_call_that_gives_a_file_up_returns(
    wire: ScriptedServer, make: Make, way: str
) -> None:
    aborted = Calls()
    wire.behave = lambda request: (404,) if request.chunk is None else None
    with Resumable(wire.url, on_abort=aborted) as session:
        file = session.add_file(make())
        wire.wait(lambda: bool(wire.uploads))
        for _ in range(2):
            WAYS[way](session, file)
            assert aborted == ["a.bin"]


def test_on_abort_is_told_of_a_failed_file_that_is_cancelled_and_not_of_one_that_is_uploaded(
    wire: ScriptedServer, make: Make
) -> None:
    aborted = Calls()
    wire.behave = lambda request: (415,) if request.fields["resumableFilename"] == "bad" else lacking(request)
    with Resumable(wire.url, on_abort=aborted) as session:
        session.add_files([make("good"), make("bad")])
        session.join(PATIENCE, raise_errors=False)
        assert aborted == []
        session.cancel()
        assert aborted == ["bad"]


def test_on_abort_is_not_told_of_what_goes_on_later(wire: ScriptedServer, make: Make) -> None:
    """What is paused, aborted in the sense of resumable.js, cut anew or failed, and a session that is closed."""
    aborted = Calls()
    wire.behave = lambda request: (415,) if request.fields["resumableFilename"] == "bad" else None
    session = Resumable(wire.url, on_abort=aborted)
    files = session.add_files([make("a"), make("b"), make("bad")])
    files[0].pause()
    files[1].abort()
    files[0].bootstrap()
    with pytest.raises(UploadError):
        files[2].wait(PATIENCE)
    session.pause()
    session.close()
    assert aborted == []


def test_on_abort_has_run_for_files_that_fail_fast_dropped_when_join_returns(wire: ScriptedServer, make: Make) -> None:
    aborted = Calls()

    def behave(request: Request) -> tuple[Any, ...] | None:
        return (415,) if request.fields["resumableFilename"] == "bad" else None

    wire.behave = behave
    with Resumable(wire.url, test_chunks=False, fail_fast=True, on_abort=aborted) as session:
        session.add_files([make("a"), make("bad"), make("c")])
        session.join(PATIENCE, raise_errors=False)
        assert sorted(aborted) == ["a", "c"]


def test_on_abort_is_told_of_the_file_that_another_replaces(wire: ScriptedServer, make: Make) -> None:
    aborted = Calls()
    with Resumable(wire.url, max_files=1, auto_upload=False, on_abort=aborted) as session:
        for name in ("a", "b"):
            session.add_file(make(name))
    assert aborted == ["a"]


def test_on_abort_is_told_if_the_block_raises_or_upload_is_cancelled(wire: ScriptedServer, make: Make) -> None:
    aborted, cancel = Calls(), threading.Event()

    def behave(request: Request) -> Any:
        # A request about the other file may come as late as that.
        if request.fields["resumableFilename"] == "b":
            cancel.set()
        return (404,) if request.chunk is None else None

    wire.behave = behave
    session = Resumable(wire.url, on_abort=aborted)
    session.add_file(make("a"))
    with pytest.raises(ZeroDivisionError), session:
        raise ZeroDivisionError
    with pytest.raises(UploadCancelled):
        upload(make("b"), wire.url, on_abort=aborted, cancel=cancel)
    assert aborted == ["a", "b"]


def test_on_abort_does_not_block_the_loop_in_which_a_file_is_cancelled(wire: ScriptedServer, make: Make) -> None:
    slow = Slow()
    wire.behave = lambda request: None

    async def main() -> None:
        async with Resumable(wire.url, on_abort=slow) as session:
            session.add_file(make())
            session.cancel()
            # Only now may the hook go on.
            assert slow.calls == []
            slow.goes.set()

    asyncio.run(main())
    assert slow.calls == ["a.bin"]


def test_a_hook_that_does_not_end_keeps_no_closed_session(wire: ScriptedServer, make: Make) -> None:
    slow = Slow()

    async def main() -> None:
        session.add_file(make())
        session.cancel()

    session = Resumable(wire.url, auto_upload=False, on_abort=slow)
    asyncio.run(main())
    session.close()
    session.join(PATIENCE)
    assert slow.calls == []
    slow.goes.set()


@pytest.mark.usefixtures("failures")
def test_what_on_abort_raises_is_logged_and_told_and_keeps_no_other_hook_from_it(
    wire: ScriptedServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    broken, other = Calls(failures=9), Calls()
    told: list[tuple[Any, ...]] = []

    class Other:
        name = "other"
        on_abort = staticmethod(other)

        def attach(self, session: Resumable) -> None:
            session.on("handler_error", lambda *facts: told.append(facts))

    with Resumable(wire.url, on_abort=broken, plugins=[Other()], auto_upload=False) as session:
        files = session.add_files([make("a"), make("b")])
        session.cancel()
        assert {file.state for file in files} == {FileState.CANCELLED}
    assert sorted(broken) == sorted(other) == ["a", "b"]
    assert [(event, hook) for event, hook, _ in told] == [("on_abort", broken)] * 2
    assert all(isinstance(error, HookError) and error.hook == "on_abort" for _, _, error in told)
    logged = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(logged) == 2
    assert all("hook on_abort raised RuntimeError: the index is down" in line for line in logged)


@pytest.mark.usefixtures("failures")
def test_a_hook_that_ends_the_program_ends_neither_the_thread_nor_the_wait(wire: ScriptedServer, make: Make) -> None:
    calls: list[str] = []

    def on_abort(file: ResumableFile) -> None:
        calls.append(file.file_name)
        raise SystemExit

    with Resumable(wire.url, on_abort=on_abort, auto_upload=False) as session:
        session.add_files([make("a"), make("b")])
        session.cancel()
        session.join(PATIENCE)
    assert sorted(calls) == ["a", "b"]


@pytest.mark.usefixtures("failures")
def test_on_abort_cannot_wait_for_itself(wire: ScriptedServer, make: Make) -> None:
    told: list[BaseException | None] = []

    def on_abort(file: ResumableFile) -> None:
        file.cancel()
        file.resumable_obj.join()

    with Resumable(wire.url, on_abort=on_abort, auto_upload=False) as session:
        session.on("handler_error", lambda event, hook, error: told.append(error.__cause__))
        session.add_file(make())
        session.cancel()
    assert [type(error) for error in told] == [StateError]
