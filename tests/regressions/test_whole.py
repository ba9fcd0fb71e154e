"""A receiver of this package says whether it has the whole file, and nothing is a success before it has said so."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, Request, ScriptedServer

from resumable import (
    AuthenticationRefused,
    FileState,
    IncompleteUpload,
    RedirectRefused,
    Resumable,
    ResumableFile,
    RetriesExhausted,
    ServerRefused,
)
from resumable.protocol.headers import FILE_HEADER, SERVER_HEADER, SESSION_HEADER
from resumable.protocol.verdict import STORED_CHUNKS_HEADER
from resumable.receiver import Receiver, Server

CHUNK = 10
OURS = {SERVER_HEADER: "1"}


class Memory:
    """A receiver as far as the wire shows it. ``lose`` are numbers of chunks that it acknowledges and does not keep, so
    often; ``bare`` are numbers of chunks whose upload is answered so often as by a server that knows no headers."""

    def __init__(self, *, lose: Mapping[int, int] | None = None, bare: Mapping[int, int] | None = None) -> None:
        self.lose = dict(lose or {})
        self.bare = dict(bare or {})
        self.stored: set[int] = set()

    def __call__(self, request: Request) -> tuple[Any, ...]:
        total, number = int(request.fields["resumableTotalChunks"]), request.number
        if request.chunk is None:
            listed = {STORED_CHUNKS_HEADER: ",".join(map(str, sorted(self.stored)))}
            return (200 if number in self.stored else 204), "", {**self.headers(total), **listed}
        if self.bare.get(number):
            self.bare[number] -= 1
            return 200, "ok"
        if self.lose.get(number):
            self.lose[number] -= 1
        else:
            self.stored.add(number)
        return 200, "ok", self.headers(total)

    def headers(self, total: int) -> dict[str, str]:
        whole = len(self.stored) == total
        return {**OURS, FILE_HEADER: "whole" if whole else f"partial;stored={len(self.stored)};total={total}"}


def send(url: str, source: Any = bytes(6 * CHUNK), **options: Any) -> ResumableFile:
    """The file, which has ended."""
    given = {"chunk_size": CHUNK, "chunk_retry_interval": 0.01, "simultaneous_uploads": 1, "auto_upload": False}
    with Resumable(url, **{**given, **options}) as session:
        file = session.add_file(source, relative_path="a.bin")
        session.join(PATIENCE, raise_errors=False)
    return file


def test_a_file_that_the_receiver_calls_whole_is_a_success_and_nothing_more_is_asked(wire: ScriptedServer) -> None:
    wire.behave = Memory()
    file = send(wire.url, test_chunks=False)
    assert file.state is FileState.SUCCESS
    assert wire.numbers == [1, 2, 3, 4, 5, 6]
    assert wire.tests == []


def test_a_file_that_the_receiver_keeps_waiting_holds_no_other_back(wire: ScriptedServer) -> None:
    memories: dict[str, Memory] = {}

    def behave(request: Request) -> tuple[Any, ...]:
        memory = memories.setdefault(request.fields["resumableRelativePath"], Memory())
        if request.chunk is not None and (request.fields["resumableRelativePath"], request.number) == ("a.bin", 2):
            return 503, "", {**memory.headers(2), "Retry-After": "3600"}
        return memory(request)

    wire.behave = behave
    with Resumable(wire.url, chunk_size=CHUNK, simultaneous_uploads=2) as session:
        waiting, other = (session.add_file(bytes(2 * CHUNK), relative_path=name) for name in ("a.bin", "b.bin"))
        other.wait(PATIENCE)
        assert not waiting.is_complete()
        waiting.cancel()


@pytest.mark.parametrize("test_chunks", [True, False])
def test_chunks_that_were_acknowledged_and_are_gone_are_sent_again(wire: ScriptedServer, test_chunks: bool) -> None:
    wire.behave = Memory(lose={2: 1, 5: 1})
    file = send(wire.url, test_chunks=test_chunks)
    assert file.state is FileState.SUCCESS
    assert wire.numbers == [1, 2, 3, 4, 5, 6, 2, 5]
    assert file.bytes_confirmed == file.size


@pytest.mark.parametrize("test_chunks", [True, False])
def test_chunks_that_are_lost_each_time_are_an_incomplete_upload(wire: ScriptedServer, test_chunks: bool) -> None:
    wire.behave = Memory(lose={2: 2, 5: 99})
    file = send(wire.url, test_chunks=test_chunks)
    assert type(file.error) is IncompleteUpload
    assert (file.error.stored, file.error.total, file.error.chunk) == (4, 6, None)
    assert file.progress() < 1
    assert file.bytes_confirmed == 4 * CHUNK
    assert wire.numbers == [1, 2, 3, 4, 5, 6, 2, 5]


def test_a_retry_after_the_fault_is_gone_sends_what_is_missing_and_no_more(wire: ScriptedServer) -> None:
    wire.behave = Memory(lose={2: 2})
    with Resumable(wire.url, chunk_size=CHUNK, chunk_retry_interval=0.01, auto_upload=False) as session:
        file = session.add_file(bytes(6 * CHUNK), relative_path="a.bin")
        session.join(PATIENCE, raise_errors=False)
        assert type(file.error) is IncompleteUpload
        before = len(wire.uploads)
        file.retry()
        session.join(PATIENCE)
    assert file.state is FileState.SUCCESS
    assert wire.numbers[before:] == [2]


def test_an_acknowledgement_of_another_server_is_none(wire: ScriptedServer) -> None:
    wire.behave = memory = Memory(bare={3: 2})
    file = send(wire.url, test_chunks=False)
    assert file.state is FileState.SUCCESS
    assert wire.numbers == [1, 2, 3, 3, 3, 4, 5, 6]
    assert memory.stored == set(range(1, 7))


def test_acknowledgements_of_another_server_only_are_a_failure(wire: ScriptedServer) -> None:
    wire.behave = Memory(bare={3: 99})
    file = send(wire.url, test_chunks=False, max_chunk_retries=2)
    assert type(file.error) is RetriesExhausted
    assert SERVER_HEADER in str(file.error)
    assert wire.numbers == [1, 2, 3, 3, 3]


def test_a_first_answer_of_another_server_is_found_out_at_the_end(wire: ScriptedServer) -> None:
    wire.behave = Memory(bare={1: 1})
    file = send(wire.url, test_chunks=False)
    assert file.state is FileState.SUCCESS
    assert wire.numbers == [1, 2, 3, 4, 5, 6, 1]


def test_marks_that_the_receiver_denies_are_sent(wire: ScriptedServer) -> None:
    wire.behave = Memory()
    with Resumable(wire.url, chunk_size=CHUNK, simultaneous_uploads=1, auto_upload=False) as session:
        file = session.add_file(bytes(6 * CHUNK), relative_path="a.bin")
        file.mark_chunks_completed(4)
        session.join(PATIENCE)
    assert file.state is FileState.SUCCESS
    assert wire.numbers == [5, 6, 1, 2, 3, 4]


@pytest.mark.parametrize("size", [0, 1, CHUNK])
@pytest.mark.parametrize("test_chunks", [True, False])
def test_a_file_of_one_chunk_or_none_is_asked_for_too(wire: ScriptedServer, size: int, test_chunks: bool) -> None:
    wire.behave = Memory(lose={1: 1})
    file = send(wire.url, bytes(size), test_chunks=test_chunks)
    assert file.state is FileState.SUCCESS
    assert wire.numbers == [1, 1]


def test_a_file_that_is_there_is_a_success_after_one_test(wire: ScriptedServer) -> None:
    wire.behave = memory = Memory()
    memory.stored = set(range(1, 7))
    file = send(wire.url)
    assert file.state is FileState.SUCCESS
    assert file.bytes_skipped == file.size
    assert len(wire.requests) == 1


def test_the_progress_is_never_one_before_the_receiver_says_whole(wire: ScriptedServer) -> None:
    wire.behave = Memory(lose={2: 1})
    seen: list[tuple[float, float, int, FileState]] = []
    with Resumable(wire.url, chunk_size=CHUNK, throttle_progress_callbacks=0, auto_upload=False) as session:
        file = session.add_file(bytes(6 * CHUNK), relative_path="a.bin")

        @session.on("catch_all")
        def look(event: str, *_: Any) -> None:
            # The state last: the file may end meanwhile.
            seen.append((file.progress(), session.progress(), file.bytes_confirmed, file.state))

        session.join(PATIENCE)
    assert all(own < 1 and whole < 1 for own, whole, _, state in seen if state is not FileState.SUCCESS)
    assert seen[-1] == (1.0, 1.0, file.size, FileState.SUCCESS)


@pytest.mark.parametrize("stop", ["pause", "cancel", "abort"])
def test_the_question_for_the_file_can_be_stopped(wire: ScriptedServer, stop: str) -> None:
    memory = Memory(lose={2: 1})
    wire.behave = lambda request: None if request.chunk is None else memory(request)
    with Resumable(wire.url, chunk_size=CHUNK, test_chunks=False, auto_upload=False) as session:
        file = session.add_file(bytes(6 * CHUNK), relative_path="a.bin")
        session.upload()
        (question,) = wire.wait_held()
        getattr(file, stop)()
        if stop == "cancel":
            session.join(PATIENCE)
            assert file.state is FileState.CANCELLED
            return
        wire.behave = memory
        question.cut()
        assert file.state is FileState.PAUSED
        assert file.progress() < 1
        file.resume()
        session.join(PATIENCE)
    assert file.state is FileState.SUCCESS
    assert [request.number for request in wire.uploads][6:] == [2]


def test_a_receiver_that_is_busy_with_the_end_is_asked_again(wire: ScriptedServer) -> None:
    memory = Memory(lose={2: 1})
    busy = [(503, "busy", {**OURS, "Retry-After": "0"}), (500, "", {}), (200, "<html>log in</html>")]

    def behave(request: Request) -> tuple[Any, ...]:
        return busy.pop(0) if request.chunk is None and busy else memory(request)

    wire.behave = behave
    file = send(wire.url, test_chunks=False)
    assert file.state is FileState.SUCCESS
    assert not busy


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationRefused), (302, RedirectRefused)])
def test_a_log_in_that_ends_before_the_question_is_the_reason_and_nothing_is_forgotten(
    wire: ScriptedServer, status: int, kind: type[Exception]
) -> None:
    memory = Memory(lose={2: 1})
    wire.behave = lambda request: (
        (status, "log in", {"Location": "/login"}) if request.chunk is None else memory(request)
    )
    with Resumable(wire.url, chunk_size=CHUNK, test_chunks=False, auto_upload=False) as session:
        file = session.add_file(bytes(6 * CHUNK), relative_path="a.bin")
        session.join(PATIENCE, raise_errors=False)
        assert type(file.error) is kind
        wire.behave = memory
        file.retry()
        session.join(PATIENCE)
    assert wire.numbers[6:] == [2]


def test_a_session_is_named_only_to_a_server_that_has_said_what_it_is(wire: ScriptedServer) -> None:
    wire.behave = memory = Memory()
    file = send(wire.url)
    assert file.state is FileState.SUCCESS
    first, *others = [request.headers.get(SESSION_HEADER.lower()) for request in wire.requests]
    assert first is None
    assert len(set(others)) == 1
    assert re.fullmatch("[0-9a-f]{32}", others[0] or "")
    memory.stored.clear()
    send(wire.url)
    assert wire.requests[-1].headers[SESSION_HEADER.lower()] != others[0]
    with ScriptedServer(behave=lambda request: (200 if request.chunk else 404, "ok")) as stranger:
        assert send(stranger.url).state is FileState.SUCCESS
        assert not any(SESSION_HEADER.lower() in request.headers for request in stranger.requests)


def test_without_tests_all_is_sent_also_if_the_first_answer_says_whole(wire: ScriptedServer) -> None:
    # A later chunk may have other bytes than the file that is there.
    wire.behave = memory = Memory()
    memory.stored = set(range(1, 7))
    file = send(wire.url, test_chunks=False)
    assert file.state is FileState.SUCCESS
    assert wire.numbers == [1, 2, 3, 4, 5, 6]
    assert file.bytes_skipped == 0


# -- a real receiver ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"test_chunks": False}, {"chunk_order": "free"}, {"method": "octet"}])
def test_a_store_that_is_wiped_in_the_middle_gets_everything_again(
    received: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    data = bytes(range(256)) * 10

    with Server(received) as server:

        def wipe(chunk: Any) -> None:
            if chunk.number == 5 and not wiped:
                wiped.append(True)
                shutil.rmtree(received)
                received.mkdir()

        wiped: list[bool] = []
        file = send(server.url, data, chunk_size=256, preprocess=wipe, **options)
    assert wiped
    assert file.state is FileState.SUCCESS
    assert (received / "a.bin").read_bytes() == data


def test_a_finish_hook_that_fails_is_no_success_and_a_retry_asks_for_it_again(received: Path) -> None:
    failures = [RuntimeError("the disk of the archive is full")]

    def archive(record: Any) -> None:
        if failures:
            raise failures.pop()

    data = bytes(range(60))
    with (
        Server(Receiver(received, on_file_received=archive)) as server,
        Resumable(server.url, chunk_size=CHUNK, chunk_retry_interval=0.01, auto_upload=False) as session,
    ):
        file = session.add_file(data, relative_path="a.bin")
        session.join(PATIENCE, raise_errors=False)
        assert isinstance(file.error, ServerRefused)
        assert file.error.status == 500
        assert file.progress() < 1
        file.retry()
        session.join(PATIENCE)
    assert file.state is FileState.SUCCESS
    assert (received / "a.bin").read_bytes() == data


def test_a_file_that_was_edited_behind_its_first_chunk_is_sent_whole_beside_the_old_one(received: Path) -> None:
    first = bytes(60)
    second = bytes(40) + b"edited" * 3 + bytes(2)
    with Server(received) as server:
        for data in (first, second):
            assert send(server.url, data, test_chunks=False, generate_unique_identifier=lambda *_: "1").error is None
    assert sorted(path.read_bytes() for path in received.iterdir() if path.is_file()) == [first, second]
