"""A foreign server that takes every chunk, and says with the last that it has not the whole file, has not got it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from support.scripted_server import PATIENCE, Request, ScriptedServer

from resumable import (
    FileState,
    IncompleteUpload,
    Resumable,
    ResumableFile,
)

CHUNK = 10
CHUNKS = 6


class Sample:
    """A server that looks after each chunk whether all are there, as the Node samples do.

    ``lose`` are numbers of chunks that it acknowledges and does not keep, so often. With ``forgets`` it forgets all
    chunks when it has put the file together. ``words`` are what it says of an unfinished file and of a finished one.
    """

    def __init__(
        self,
        *,
        lose: Mapping[int, int] | None = None,
        forgets: bool = False,
        words: tuple[str, str] = ("partly_done", "done"),
    ) -> None:
        self.lose = dict(lose or {})
        self.forgets = forgets
        self.words = words
        self.stored: set[int] = set()
        self.files = 0

    def __call__(self, request: Request) -> tuple[Any, ...]:
        number = request.number
        if request.chunk is None:
            there = number in self.stored and not request.identifier.startswith("resumable-canary")
            return (200, "found") if there else (404, "not_found")
        if self.lose.get(number):
            self.lose[number] -= 1
        else:
            self.stored.add(number)
        finished = len(self.stored) == int(request.fields["resumableTotalChunks"])
        if finished:
            self.files += 1
            if self.forgets:
                self.stored.clear()
        return 200, self.words[finished]


def send(url: str, *, chunks: int = CHUNKS, **options: Any) -> ResumableFile:
    """The file, which has ended."""
    given = {"chunk_size": CHUNK, "chunk_retry_interval": 0.01, "simultaneous_uploads": 1, "auto_upload": False}
    with Resumable(url, **{**given, **options}) as session:
        file = session.add_file(bytes(chunks * CHUNK), relative_path="a.bin")
        session.join(PATIENCE, raise_errors=False)
    return file


PYTHON_RESUMABLE = '{"chunkUploadStatus": true}', '{"fileUploadStatus": true}'


@pytest.mark.parametrize("words", [("partly_done", "done"), ("partly_done", "/files/3"), PYTHON_RESUMABLE])
@pytest.mark.parametrize("forgets", [False, True])
def test_chunks_that_were_acknowledged_and_are_gone_are_sent_again(
    wire: ScriptedServer, words: tuple[str, str], forgets: bool
) -> None:
    wire.behave = server = Sample(lose={2: 1, 5: 1}, words=words, forgets=forgets)
    file = send(wire.url)
    assert file.state is FileState.SUCCESS
    assert server.files == 1
    # What has forgotten the chunks gets one that it had, behind what it lacked.
    assert wire.numbers == [1, 2, 3, 4, 5, 6, 2, 5, *[6] * forgets]
    assert file.bytes_confirmed == file.size


def test_everything_is_sent_again_if_nothing_may_be_asked(wire: ScriptedServer) -> None:
    wire.behave = server = Sample(lose={2: 1}, forgets=True)
    assert send(wire.url, test_chunks=False).state is FileState.SUCCESS
    assert server.files == 1
    assert wire.numbers == [*range(1, 7), *range(1, 7)]


@pytest.mark.parametrize("test_chunks", [True, False])
@pytest.mark.parametrize("chunks", [1, CHUNKS])
def test_a_server_that_stores_nothing_has_an_incomplete_upload(
    wire: ScriptedServer, chunks: int, test_chunks: bool
) -> None:
    wire.behave = Sample(lose=dict.fromkeys(range(1, 7), 99))
    file = send(wire.url, chunks=chunks, test_chunks=test_chunks)
    assert type(file.error) is IncompleteUpload
    assert (file.error.stored, file.error.total, file.error.chunk) == (None, chunks, None)
    assert (file.error.status, file.error.body) == (200, "partly_done")
    assert file.progress() < 1
    assert wire.numbers == 2 * list(range(1, chunks + 1))


def test_a_retry_after_the_fault_is_gone_sends_what_is_missing(wire: ScriptedServer) -> None:
    wire.behave = server = Sample(lose={3: 2})
    with Resumable(wire.url, chunk_size=CHUNK, chunk_retry_interval=0.01, auto_upload=False) as session:
        file = session.add_file(bytes(CHUNKS * CHUNK), relative_path="a.bin")
        session.join(PATIENCE, raise_errors=False)
        assert type(file.error) is IncompleteUpload
        before = len(wire.uploads)
        file.retry()
        session.join(PATIENCE)
    assert file.state is FileState.SUCCESS
    assert server.files == 1
    assert wire.numbers[before:] == [3]


@pytest.mark.parametrize("order", ["free", "bookends", "sequential"])
@pytest.mark.parametrize("words", [("partly_done", "done"), ("partly_done", ""), ("", "done"), ("ok", "ok")])
@pytest.mark.parametrize("chunks", [1, 2, CHUNKS])
def test_a_server_that_loses_nothing_gets_everything_once(
    wire: ScriptedServer, order: str, words: tuple[str, str], chunks: int
) -> None:
    wire.behave = server = Sample(words=words, forgets=True)
    file = send(wire.url, chunks=chunks, chunk_order=order, simultaneous_uploads=4)
    assert file.state is FileState.SUCCESS
    assert server.files == 1
    assert sorted(wire.numbers) == list(range(1, chunks + 1))


def test_the_chunk_that_completed_the_file_may_be_answered_first(wire: ScriptedServer) -> None:
    wire.behave = lambda request: None if request.chunk is not None else (404,)
    with Resumable(
        wire.url, chunk_size=CHUNK, simultaneous_uploads=3, chunk_order="free", auto_upload=False, test_chunks=False
    ) as session:
        file = session.add_file(bytes(3 * CHUNK), relative_path="a.bin")
        session.upload()
        *others, last = wire.wait_held(3)
        answered: list[Callable[[], Any]] = []
        file.on("chunk_success", lambda chunk, message: answered.pop()() if answered else None)
        answered += [lambda other=other: other.answer(body="partly_done") for other in others]
        last.answer(body="done")
        session.join(PATIENCE)
    assert file.state is FileState.SUCCESS
    assert len(wire.uploads) == 3


def test_a_user_who_accepts_an_answer_accepts_all_that_it_says(wire: ScriptedServer) -> None:
    wire.behave = Sample(lose=dict.fromkeys(range(1, 7), 99))
    assert send(wire.url, accept_response=lambda response: True).state is FileState.SUCCESS
    assert wire.numbers == [1, 2, 3, 4, 5, 6]


def test_a_file_whose_last_answer_was_lost_and_that_was_put_together_is_sent_again(wire: ScriptedServer) -> None:
    """The server has forgotten the chunks, so the repeat of one of them is the first of a new file for it."""
    server = Sample(forgets=True)

    def lost(request: Request) -> tuple[Any, ...]:
        answer = server(request)
        if request.chunk is None or answer[1] != "done":
            return answer
        wire.behave = server
        return 503, ""

    wire.behave = lost
    file = send(wire.url)
    assert file.state is FileState.SUCCESS
    assert server.files == 2
    assert wire.numbers == [1, 2, 3, 4, 5, 6, 6, 1, 2, 3, 4, 5, 6]
