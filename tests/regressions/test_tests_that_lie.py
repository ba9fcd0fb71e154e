"""Tests that say "present" of what is not there, or nothing at all: what is believed of them, and for how long."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from support.scripted_server import PATIENCE, Request, ScriptedServer

from resumable import FileState, Resumable, ResumableFile

CHUNK = 10
PAGE = "<!DOCTYPE html><html><head><title>Log in</title></head><body><input type=password></body></html>"


class Foreign:
    """A foreign server that is honest, until ``lie(request)`` gives another answer to a test."""

    def __init__(self, *numbers: int, lie: Callable[[Request], Any] = lambda request: None) -> None:
        self.lie = lie
        self.numbers = set(numbers)
        self.chunks: set[tuple[str, int]] = set()

    def __call__(self, request: Request) -> tuple[Any, ...]:
        if request.chunk is not None:
            self.chunks.add((request.identifier, request.number))
            return 200, "ok"
        told = self.lie(request)
        return told if told is not None else (200 if self.has(request) else 404, "")

    def has(self, request: Request) -> bool:
        mine = request.number in self.numbers and not is_canary(request)
        return mine or (request.identifier, request.number) in self.chunks


class Forgetful(Foreign):
    """A foreign server that puts a file of twelve chunks together with the last that comes, and forgets them all."""

    copies = 0

    def __call__(self, request: Request) -> tuple[Any, ...]:
        answer = super().__call__(request)
        if len(self.numbers) + len(self.chunks) == 12:
            self.numbers.clear()
            self.chunks.clear()
            self.copies += 1
        return answer


def is_canary(request: Request) -> bool:
    return "canary" in request.identifier


def send(url: str, *sources: tuple[str, int], **options: Any) -> list[ResumableFile]:
    """The files of so many bytes, which have ended."""
    given = {"chunk_size": CHUNK, "chunk_retry_interval": 0.01, "simultaneous_uploads": 1, "auto_upload": False}
    with Resumable(url, **{**given, **options}) as session:
        files = [session.add_file(bytes(size), relative_path=name) for name, size in sources]
        session.join(PATIENCE, raise_errors=False)
    return files


def canaries(wire: ScriptedServer) -> int:
    return sum(map(is_canary, wire.tests))


def notes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# -- a log-in that ends in the middle ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        (200, PAGE),
        (201, "<html><body>Session expired</body></html>"),
        (200, '{"csrf_expired": true}'),
        (200, '{"error": "not logged in"}'),
        (200, "<br />\n<b>Fatal error</b>:  Uncaught Exception in /srv/a.php on line 3<br />\n"),
        (302, "", {"Location": "/login"}),
        (303, "", {"Location": "http://127.0.0.1:9/login"}),
        (307, "", {"Location": "http://127.0.0.1:9/login"}),
        (401, "log in"),
        (403, "log in"),
    ],
)
@pytest.mark.parametrize("trust_tests", [False, True])
def test_after_an_honest_canary_the_log_in_expires(
    wire: ScriptedServer, said: tuple[Any, ...], trust_tests: bool
) -> None:
    wire.behave = Foreign(1, 2, 3, lie=lambda request: said if request.number > 3 else None)
    (file,) = send(wire.url, ("a.bin", 12 * CHUNK), trust_tests=trust_tests)
    assert file.state is FileState.SUCCESS
    assert wire.numbers == list(range(4, 13))
    assert file.bytes_skipped == 3 * CHUNK


def test_after_a_page_the_canary_is_asked_again_before_the_next_present_is_believed(wire: ScriptedServer) -> None:
    # Behind the page the server says "present" to whatever it is asked.
    expired = []

    def lie(request: Request) -> Any:
        if request.number == 4 and not is_canary(request):
            expired.append(request)
            return 200, PAGE
        return (200, "ok") if expired else None

    wire.behave = Foreign(1, 2, 3, lie=lie)
    (file,) = send(wire.url, ("a.bin", 12 * CHUNK))
    assert file.state is FileState.SUCCESS
    # What was believed before cannot be confirmed any more.
    assert sorted(wire.numbers) == list(range(1, 13))
    assert wire.numbers[-1] == 12


# -- what was only believed is asked once more -------------------------------------------------------------------------


def test_what_was_believed_is_sent_if_the_canary_is_present_at_the_end(wire: ScriptedServer) -> None:
    turned = []

    def lie(request: Request) -> Any:
        if is_canary(request) and not turned:
            turned.append(request)
            return None
        return (200, "ok") if turned else None

    wire.behave = Foreign(1, lie=lie)
    (file,) = send(wire.url, ("a.bin", 6 * CHUNK))
    assert file.state is FileState.SUCCESS
    assert sorted(wire.numbers) == [1, 2, 3, 4, 5, 6]
    assert file.bytes_skipped == 0


def test_what_was_believed_and_is_gone_before_the_last_chunk_is_sent(wire: ScriptedServer) -> None:
    server = Foreign(1, 2, 3)
    wire.behave = server

    def wipe(chunk: Any) -> None:
        if chunk.number == 5:
            server.numbers.clear()

    (file,) = send(wire.url, ("a.bin", 6 * CHUNK), preprocess=wipe)
    assert file.state is FileState.SUCCESS
    assert sorted(wire.numbers) == [1, 2, 3, 4, 5, 6]
    assert wire.numbers == [4, 5, 1, 2, 3, 6]


@pytest.mark.parametrize("chunk_order", ["bookends", "free", "sequential"])
@pytest.mark.parametrize("simultaneous_uploads", [1, 3, 6])
def test_a_server_that_forgets_its_chunks_when_it_has_them_all_gets_each_once(
    wire: ScriptedServer, chunk_order: str, simultaneous_uploads: int
) -> None:
    server = wire.behave = Forgetful(*range(1, 6))
    many = {"chunk_order": chunk_order, "simultaneous_uploads": simultaneous_uploads}
    (file,) = send(wire.url, ("a.bin", 12 * CHUNK), **many)
    assert file.state is FileState.SUCCESS
    assert sorted(wire.numbers) == list(range(6, 13))
    assert server.copies == 1
    assert file.bytes_skipped == 5 * CHUNK


def test_a_file_that_is_skipped_whole_is_confirmed_once_and_then_believed(wire: ScriptedServer) -> None:
    wire.behave = Foreign(*range(1, 7))
    (file,) = send(wire.url, ("a.bin", 6 * CHUNK))
    assert file.state is FileState.SUCCESS
    assert wire.uploads == []
    assert canaries(wire) == 2
    assert len(wire.tests) == 6 + 1 + 2
    assert file.bytes_skipped == file.size


def test_a_server_that_answers_differently_each_time_gets_everything_in_the_end(wire: ScriptedServer) -> None:
    # Two servers without a common store: one has all chunks, the other none.
    turns = iter(range(1000))
    wire.behave = Foreign(lie=lambda request: (404, "") if is_canary(request) or next(turns) % 2 else (200, "ok"))
    (file,) = send(wire.url, ("a.bin", 7 * CHUNK))
    assert file.state is FileState.SUCCESS
    assert sorted(set(wire.numbers)) == list(range(1, 8))


def test_a_server_that_is_busy_at_the_end_is_asked_again(wire: ScriptedServer) -> None:
    asked = []

    def lie(request: Request) -> Any:
        asked.append(request.number)
        return (503, "busy", {"Retry-After": "0"}) if len(asked) == 8 else None

    wire.behave = Foreign(*range(1, 7), lie=lie)
    (file,) = send(wire.url, ("a.bin", 6 * CHUNK))
    assert file.state is FileState.SUCCESS
    assert wire.uploads == []


def test_a_file_that_was_sent_is_taken_at_the_word_of_a_foreign_server(wire: ScriptedServer) -> None:
    wire.behave = Foreign()
    (file,) = send(wire.url, ("a.bin", 6 * CHUNK))
    assert file.state is FileState.SUCCESS
    assert len(wire.requests) == 9
    assert canaries(wire) == 0


def test_who_trusts_tests_is_asked_nothing_more(wire: ScriptedServer) -> None:
    wire.behave = Foreign(*range(1, 7))
    send(wire.url, ("a.bin", 6 * CHUNK), trust_tests=True)
    assert len(wire.requests) == 6


# -- what a canary says something about --------------------------------------------------------------------------------


def test_an_empty_file_does_not_switch_resuming_off(wire: ScriptedServer, caplog: pytest.LogCaptureFixture) -> None:
    # As django-resumable does: it truly has the bytes of each chunk of nothing.
    def lie(request: Request) -> Any:
        return (200, "") if request.fields["resumableTotalSize"] == "0" else None

    wire.behave = Foreign(1, 2, 3, lie=lie)
    empty, file = send(wire.url, ("empty.bin", 0), ("a.bin", 8 * CHUNK))
    assert (empty.state, file.state) == (FileState.SUCCESS, FileState.SUCCESS)
    assert [request.number for request in wire.uploads if request.fields["resumableTotalSize"] != "0"] == [
        4,
        5,
        6,
        7,
        8,
    ]
    assert len(wire.uploads) == 6
    assert all(request.fields["resumableTotalSize"] != "0" for request in wire.tests if is_canary(request))
    assert notes(caplog) == []


def test_the_verdict_on_one_kind_of_file_is_not_that_on_another(wire: ScriptedServer) -> None:
    # A server that takes tests of texts for requests of something else.
    def lie(request: Request) -> Any:
        return (200, "") if request.fields["resumableFilename"].endswith(".txt") else None

    wire.behave = Foreign(1, 2, lie=lie)
    send(wire.url, ("a.txt", 4 * CHUNK), ("a.bin", 4 * CHUNK))
    assert [request.number for request in wire.uploads if request.file_name == "a.txt"] == [1, 2, 3, 4]
    assert [request.number for request in wire.uploads if request.file_name == "a.bin"] == [3, 4]


def test_the_verdict_on_one_address_is_not_that_on_another(wire: ScriptedServer) -> None:
    def where(params: list[str]) -> str:
        place = "liar" if "resumableTotalSize=80" in params else "honest"
        return f"{wire.url}/{place}?{'&'.join(params)}"

    wire.behave = Foreign(1, 2, 3, lie=lambda request: (200, "") if request.path.endswith("/liar") else None)
    files = send(wire.url, ("a.bin", 6 * CHUNK), ("b.bin", 8 * CHUNK), test_target=where)
    assert [file.state for file in files] == [FileState.SUCCESS] * 2
    assert [request.number for request in wire.uploads if request.file_name == "a.bin"] == [4, 5, 6]
    assert [request.number for request in wire.uploads if request.file_name == "b.bin"] == list(range(1, 9))


# -- tests that say nothing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ((302, "", {"Location": "/login?token=abc"}), "/login"),
        ((307, "", {"Location": "http://127.0.0.1:9/login"}), "127.0.0.1:9/login"),
        ((302, ""), "redirect"),
        ((200, PAGE), "log-in page"),
        ((200, '{"error": "not logged in"}'), "refusal"),
    ],
)
def test_tests_that_lead_to_a_log_in_are_told_of_once(
    wire: ScriptedServer, caplog: pytest.LogCaptureFixture, said: tuple[Any, ...], word: str
) -> None:
    wire.behave = Foreign(lie=lambda request: said)
    files = send(wire.url, ("a.bin", 3 * CHUNK), ("b.bin", 3 * CHUNK))
    assert [file.state for file in files] == [FileState.SUCCESS] * 2
    (note,) = notes(caplog)
    assert word in note
    assert "abc" not in note
    assert wire.url in note


def test_a_token_that_expires_before_a_test_is_renewed_for_it(wire: ScriptedServer) -> None:
    tokens = iter(["old", *["new"] * 100])
    wire.behave = Foreign(1, 2, 3, lie=lambda request: None if request.headers["authorization"] == "new" else (401, ""))
    (file,) = send(wire.url, ("a.bin", 4 * CHUNK), headers=lambda file, chunk: {"Authorization": next(tokens)})
    assert file.state is FileState.SUCCESS
    assert wire.numbers == [4]
