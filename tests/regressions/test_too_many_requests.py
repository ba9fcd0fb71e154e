"""A server that takes few files at once turns new ones away: the open ones go on, and each makes room for the next."""

from __future__ import annotations

import hashlib
import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, Request, ScriptedServer

from resumable import Resumable
from resumable.receiver import FileStore, Receiver, Server

Make = Callable[..., Path]

CHUNK = 64 * 1024
HOUR = {"Retry-After": "3600"}


def digests(paths: Any) -> dict[str, str]:
    """The hash of each of the files, by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"simultaneous_uploads": 1},
        {"simultaneous_uploads": 6},
        {"simultaneous_uploads": 6, "chunk_order": "free"},
        {"chunk_order": "sequential"},
        {"prioritize_first_and_last_chunk": True},
        {"test_chunks": False},
        {"max_chunk_retries": 1},
        {"chunk_size": 16 * CHUNK},
    ],
    ids=str,
)
@pytest.mark.parametrize("most", [1, 2])
def test_six_files_to_a_receiver_that_has_few_open_ones(
    make: Make, tmp_path: Path, most: int, options: dict[str, Any]
) -> None:
    """It says: come back in a minute. Nobody has to, because the places become free sooner."""
    paths = [make(f"{number}.bin", 3 * CHUNK + number) for number in range(6)]
    received = tmp_path / "received"
    with Server(Receiver(FileStore(received, max_open_uploads=most))) as server:
        session = Resumable(server.url, **{"chunk_size": CHUNK, "auto_upload": False, **options})
        try:
            session.add_files(paths)
            assert len(session.join(PATIENCE).succeeded) == 6
        finally:
            session.close()
    assert digests(path for path in received.iterdir() if path.is_file()) == digests(paths)


class Crowded:
    """A server that has at most one file open, and says 429 to the first chunk of another."""

    def __init__(self, status: int = 429, headers: dict[str, str] = HOUR) -> None:
        self.refusal = status, "too many", headers
        self.open: dict[str, set[int]] = {}
        self.turned_away: list[str] = []

    def __call__(self, request: Request) -> tuple[Any, ...]:
        if request.chunk is None:
            return (204,)
        identifier = request.identifier
        if identifier not in self.open and self.open:
            self.turned_away.append(request.fields["resumableFilename"])
            return self.refusal
        stored = self.open.setdefault(identifier, set())
        stored.add(request.number)
        if len(stored) == int(request.fields["resumableTotalChunks"]):
            del self.open[identifier]
        return (200,)


def test_a_refusal_that_arrives_after_the_end_of_the_other_file_leaves_its_room(
    wire: ScriptedServer, make: Make
) -> None:
    """The server turned the second file away while it had the first; the answers overtook each other."""

    def behave(request: Request) -> tuple[Any, ...] | None:
        if request.chunk is None:
            return (204,)
        return None if request.fields["resumableFilename"] == "second.bin" and not turned_away else (200,)

    turned_away: list[Request] = []
    wire.behave = behave
    with Resumable(wire.url, simultaneous_uploads=2, auto_upload=False) as session:
        first, second = session.add_files([make("first.bin", 40), make("second.bin", 40)])
        session.upload()
        first.wait(PATIENCE)
        turned_away += wire.wait_held()
        turned_away[0].answer(429, "", HOUR)
        session.join(PATIENCE)
    assert second.is_complete()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("headers", [HOUR, {}, {"Retry-After": "soon"}, {"Retry-After": "1.5"}])
def test_each_end_lets_one_new_file_begin(
    wire: ScriptedServer, make: Make, status: int, headers: dict[str, str]
) -> None:
    """With an hour, with nothing and with nonsense in Retry-After. Whoever came first goes first, but for those that
    were under way together."""
    crowded = wire.behave = Crowded(status, headers)
    session = Resumable(wire.url, chunk_size=10, chunk_retry_interval=3600, auto_upload=False)
    try:
        session.add_files([make(f"{number}.bin", 50) for number in range(8)])
        assert len(session.join(PATIENCE).succeeded) == 8
    finally:
        session.close()
    assert len(crowded.turned_away) <= 2


def test_an_open_file_goes_on_though_the_only_slot_was_given_to_one_that_was_turned_away(
    wire: ScriptedServer, make: Make
) -> None:
    wire.behave = Crowded()
    with Resumable(wire.url, chunk_size=10, simultaneous_uploads=1, auto_upload=False) as session:
        first = session.add_file(make("first.bin", 40))
        session.on("chunk_success", lambda chunk, message: first.pause() if chunk.index == 0 else None)
        session.on("chunk_retry", lambda chunk, message: first.resume() if chunk.file is not first else None)
        second = session.add_file(make("second.bin", 40))
        session.upload()
        session.join(PATIENCE)
    assert first.is_complete()
    assert second.is_complete()


def test_a_server_that_turns_an_open_file_away_is_left_alone(wire: ScriptedServer, make: Make) -> None:
    """It does not count files, it has too much to do: nothing is sent before it wants it."""
    begun: queue.SimpleQueue[int] = queue.SimpleQueue()

    def behave(request: Request) -> tuple[Any, ...]:
        if request.chunk is None:
            return (204,)
        return (429, "", HOUR) if request.number == 2 else (200,)

    wire.behave = behave
    session = Resumable(wire.url, chunk_size=10, simultaneous_uploads=2)
    try:
        session.on("chunk_retry", lambda chunk, message: begun.put(wire.settle()))
        session.add_file(make("first.bin", 40))
        before_the_second = begun.get(timeout=PATIENCE)
        session.add_file(make("second.bin", 40))
        before = {request.fields["resumableFilename"] for request in wire.requests}
        # The other worker may have had its lease already: one chunk is tested and sent.
        assert wire.settle() <= before_the_second + 2
        assert before == {"first.bin"}
    finally:
        session.close()
    assert [request.number for request in wire.uploads].count(2) == 1


def test_a_file_that_waits_for_others_is_not_failed_for_it(wire: ScriptedServer, make: Make) -> None:
    """While others get through, its retries do not count."""
    crowded = Crowded(headers={"Retry-After": "0.05"})

    def behave(request: Request) -> tuple[Any, ...] | None:
        answer = crowded(request)
        return None if answer == (200,) and request.number == 2 and not crowded.turned_away else answer

    wire.behave = behave
    with Resumable(wire.url, chunk_size=10, max_chunk_retries=4, chunk_retry_interval=0, simultaneous_uploads=2) as s:
        long = s.add_file(make("long.bin", 3000))
        wire.wait_held()
        waiting = s.add_file(make("waiting.bin", 20))
        wire.wait(lambda: len(crowded.turned_away) > 0, "a file that is turned away")
        wire.release()
        s.join(PATIENCE)
    assert long.is_complete()
    assert waiting.is_complete()
    assert set(crowded.turned_away) == {"waiting.bin"}
