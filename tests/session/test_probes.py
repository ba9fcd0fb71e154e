"""What a server is asked before chunks are sent, and what it is not asked."""

from __future__ import annotations

from typing import Any

import pytest
from support.pool_server import PoolServer
from support.scripted_server import Request, ScriptedServer

from resumable import Resumable

CHUNK = 10


class Keeper:
    """A foreign server that has the chunks with these numbers, and those that it got."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = set(numbers)

    def __call__(self, request: Request) -> tuple[int]:
        if request.chunk is not None:
            self.numbers.add(request.number)
            return (200,)
        return (200 if request.number in self.numbers and "canary" not in request.identifier else 404,)


def asked(server: ScriptedServer) -> list[int]:
    """The numbers of the chunks that were asked for, without the canary and what was asked again."""
    found = dict.fromkeys(request.number for request in server.tests if "canary" not in request.identifier)
    return list(found)


def upload(server: ScriptedServer, chunks: int = 40, **options: Any) -> None:
    with Resumable(server.url, chunk_size=CHUNK, **{"simultaneous_uploads": 1, **options}) as session:
        session.add_file(bytes(CHUNK * chunks), relative_path="a.bin")


# -- no more than needed ------------------------------------------------------------------------------------------


def test_a_new_file_is_sent_without_questions_once_three_chunks_were_lacking() -> None:
    """Whether one after the other or several at once."""
    with ScriptedServer(behave=Keeper()) as server:
        upload(server)
        assert asked(server) == [1, 2, 3]
        assert server.numbers == list(range(1, 41))


def test_a_file_that_was_begun_is_asked_for_until_many_chunks_were_lacking() -> None:
    """A hole that several uploads at once may have left does not end the questions."""
    with ScriptedServer(behave=Keeper(1, 2, 3, 19)) as server:
        upload(server)
        assert asked(server) == [*range(1, 36), 40]
        assert server.numbers == [*range(4, 19), *range(20, 41)]


def test_a_chunk_that_was_there_after_all_is_sent_once_more() -> None:
    """It costs its bytes, and the file is whole."""
    with ScriptedServer(behave=Keeper(9)) as server:
        upload(server)
        assert asked(server) == [1, 2, 3]
        assert server.numbers == list(range(1, 41))


@pytest.mark.parametrize("status", [400, 403, 405])
def test_a_server_that_takes_no_questions_is_asked_no_more(status: int) -> None:
    """Though it does not say that it lacks a chunk."""
    with ScriptedServer(behave=lambda request: (status if request.chunk is None else 200,)) as server:
        upload(server)
        assert asked(server) == [1, 2, 3]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_had_no_answer_is_asked_again(status: int) -> None:
    """For each chunk: it may have one for the next."""
    with ScriptedServer(behave=lambda request: (status if request.chunk is None else 200,)) as server:
        upload(server)
        assert asked(server) == list(range(1, 41))


def test_the_last_chunk_is_asked_for_if_others_were_there() -> None:
    """A server that completes the file with it is asked for those once more before."""
    with ScriptedServer(behave=Keeper(1)) as server:
        upload(server)
        assert asked(server) == [*range(1, 18), 40]
        again = [r for r in server.tests if r.number == 1 and "canary" not in r.identifier]
        assert len(again) == 2
        assert server.requests.index(again[1]) > server.requests.index(server.uploads[-2])


def test_a_server_that_lists_what_it_has_is_asked_once() -> None:
    """A receiver of this package does so in its answer to the first test."""
    ours = {"Resumable-Server": "1", "Resumable-Stored-Chunks": "4,7-9", "Resumable-File": "partial;stored=4;total=40"}

    def behave(request: Request) -> tuple[Any, ...]:
        return (204, "", ours) if request.chunk is None else (200, "", {**ours, "Resumable-File": "whole"})

    with ScriptedServer(behave=behave) as server:
        upload(server)
        assert asked(server) == [1]
        assert server.numbers == [n for n in range(1, 41) if n not in (4, 7, 8, 9)]


# -- ahead of their turn ------------------------------------------------------------------------------------------


def test_a_file_that_is_mostly_stored_is_asked_for_on_all_connections() -> None:
    """More with each chunk that is there, and no more than there may be."""
    keeper = Keeper(*range(1, 60))

    def behave(request: Request) -> tuple[int] | None:
        return keeper(request) if request.number <= 30 else None

    with (
        ScriptedServer(behave=behave) as server,
        Resumable(server.url, chunk_size=CHUNK, max_connections=8, simultaneous_uploads=3) as session,
    ):
        session.add_file(bytes(CHUNK * 60), relative_path="a.bin")
        server.wait_held(8)
        server.settle()
        assert [request.chunk for request in server.held] == [None] * 8
        server.behave = keeper
        for request in server.held:
            request.answer(200)
        session.join()
        assert server.numbers == [60]


def test_chunks_that_are_lacking_are_sent_without_another_test() -> None:
    """In their order, each once."""
    keeper = Keeper(*range(1, 20), *range(24, 50))
    with ScriptedServer(behave=keeper) as server:
        upload(server, chunks=60, simultaneous_uploads=3)
        tests = [request.number for request in server.tests if "canary" not in request.identifier]
        assert sorted(tests)[:40] == sorted({*tests})[:40]
        assert sorted(server.numbers) == [*range(20, 24), *range(50, 61)]


def test_the_next_files_are_asked_for_while_chunks_are_on_their_way() -> None:
    """As many as can be sent next."""
    with (
        ScriptedServer(behave=lambda request: None if request.chunk is not None else (404,)) as server,
        Resumable(server.url, auto_upload=False, simultaneous_uploads=3) as session,
    ):
        for number in range(20):
            session.add_file(bytes(CHUNK), relative_path=f"{number}.bin")
        session.upload()
        server.wait_held(3)
        server.wait(lambda: len(server.tests) == 6)
        server.settle()
        assert len(server.tests) == 6
        server.behave = lambda request: (404 if request.chunk is None else 200,)
        server.release()
        session.join()
        assert len(server.tests) == len(server.uploads) == 20


def test_no_test_begins_during_a_pause() -> None:
    """Those that are under way may be answered, and count."""
    keeper = Keeper(*range(1, 61))
    with (
        ScriptedServer(behave=lambda request: keeper(request) if request.number <= 30 else None) as server,
        Resumable(server.url, chunk_size=CHUNK, simultaneous_uploads=3) as session,
    ):
        file = session.add_file(bytes(CHUNK * 60), relative_path="a.bin")
        server.wait_held(20)
        session.pause()
        before = len(server.requests)
        for request in server.held:
            request.answer(200)
        server.settle()
        assert len(server.requests) == before
        server.behave = keeper
        session.resume()
        session.join()
        assert file.bytes_skipped == file.size
        assert server.uploads == []
        tests = [request.number for request in server.tests if "canary" not in request.identifier]
        assert sorted(tests) == [*range(1, 61), 60]


@pytest.mark.parametrize("status", [401, 429, 503])
def test_a_test_that_is_too_much_for_the_server_is_repeated_in_its_turn(status: int) -> None:
    """No chunk is sent that is there, none fails, and there are fewer tests at once then."""
    keeper = Keeper(*range(1, 61))
    refused: list[int] = []

    def behave(request: Request) -> tuple[int]:
        if request.number in (10, 20, 30) and request.number not in refused and "canary" not in request.identifier:
            refused.append(request.number)
            return (status,)
        return keeper(request)

    with ScriptedServer(behave=behave) as server:
        upload(server, chunks=60, simultaneous_uploads=3, max_chunk_retries=0)
        assert len(refused) == 3
        assert len(server.uploads) <= 3


@pytest.mark.parametrize(
    "options",
    [{"simultaneous_uploads": 1}, {"test_every_chunk": True}, {"chunk_order": "strict"}, {"max_connections": 1}],
)
def test_tests_take_turns_with_chunks(options: dict[str, Any]) -> None:
    """If the user wants one request at a time, or tests as in resumable.js."""
    keeper = Keeper(*range(1, 30))
    slots = options.get("simultaneous_uploads", 3)
    with (
        ScriptedServer(behave=lambda request: keeper(request) if request.number <= 10 else None) as server,
        Resumable(server.url, chunk_size=CHUNK, **{"simultaneous_uploads": 3, **options}) as session,
    ):
        session.add_file(bytes(CHUNK * 40), relative_path="a.bin")
        server.wait_held(slots)
        server.settle()
        assert len(server.held) == slots
        server.behave = keeper
        for request in server.held:
            request.answer(200)


def test_a_server_without_a_thread_for_each_connection_answers_on_those_that_it_has() -> None:
    """What it leaves unanswered is given up, and asked for in its turn."""
    with PoolServer(3, keep_alive=True, idle=0.5) as server:
        for _ in range(2):
            with Resumable(server.url, chunk_size=CHUNK, generate_unique_identifier=lambda *_: "a") as session:
                session.add_file(bytes(CHUNK * 60), relative_path="a.bin")
            del server.stored["a"][60]
        assert len(server.arrivals) == 61
