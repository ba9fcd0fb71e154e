"""A receiver of this package says whether it has the whole file, and nothing is a success before it has said so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from session.wire import PATIENCE, Request, Wire

from resumable import FileState, IncompleteUpload, Resumable, ResumableFile
from resumable.protocol.headers import FILE_HEADER, SERVER_HEADER
from resumable.protocol.verdict import STORED_CHUNKS_HEADER

pytestmark = pytest.mark.timeout(60)

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


def sent(wire: Wire) -> list[int]:
    """The numbers of the chunks that were sent, in order."""
    return [request.number for request in wire.posts]


def test_a_file_that_the_receiver_calls_whole_is_a_success_and_nothing_more_is_asked(wire: Wire) -> None:
    wire.behave = Memory()
    file = send(wire.url, test_chunks=False)
    assert file.state is FileState.SUCCESS
    assert sent(wire) == [1, 2, 3, 4, 5, 6]
    assert wire.tests == []


@pytest.mark.parametrize("test_chunks", [True, False])
def test_chunks_that_were_acknowledged_and_are_gone_are_sent_again(wire: Wire, test_chunks: bool) -> None:
    wire.behave = Memory(lose={2: 1, 5: 1})
    file = send(wire.url, test_chunks=test_chunks)
    assert file.state is FileState.SUCCESS
    assert sent(wire) == [1, 2, 3, 4, 5, 6, 2, 5]
    assert file.bytes_confirmed == file.size


@pytest.mark.parametrize("test_chunks", [True, False])
def test_chunks_that_are_lost_each_time_are_an_incomplete_upload(wire: Wire, test_chunks: bool) -> None:
    wire.behave = Memory(lose={2: 2, 5: 99})
    file = send(wire.url, test_chunks=test_chunks)
    assert type(file.error) is IncompleteUpload
    assert (file.error.stored, file.error.total, file.error.chunk) == (4, 6, None)
    assert file.progress() < 1
    assert file.bytes_confirmed == 4 * CHUNK
    assert sent(wire) == [1, 2, 3, 4, 5, 6, 2, 5]
