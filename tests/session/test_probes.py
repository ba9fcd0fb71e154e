"""What a server is asked before chunks are sent, and what it is not asked."""

from __future__ import annotations

from typing import Any

import pytest
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
