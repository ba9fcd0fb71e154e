"""What the client calls a success is at the server, bit by bit, and once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.breaking_proxy import Fault, Scenario

from resumable import dialects

from .bench import Running
from .client import CHUNK, Client
from .tap import Tap

pytestmark = pytest.mark.timeout(300)  # the first test of a server waits until it is installed

MIB = 1024 * 1024

CUTS = [
    "reset",
    pytest.param(
        "close",
        marks=pytest.mark.fails(
            lambda record: record.name == "django-resumable",
            reason="Django keeps the part that came, and the repeat is stored under another name and acknowledged",
        ),
    ),
]


@pytest.mark.parametrize("size", [1, MIB, 3 * MIB, 3 * MIB + MIB // 2 + 1])
def test_a_file_arrives_with_the_defaults(client: Client, size: int) -> None:
    path = client.source(size)
    result = client.upload(path, chunk_size=MIB)
    assert result, result.errors
    assert client.copies(path) == 1
    assert sorted(upload.number for upload in client.tap.uploads()) == list(range(1, max(size // MIB, 1) + 1))


@pytest.mark.only(lambda record: record.empty)
def test_an_empty_file_arrives(client: Client) -> None:
    path = client.source(0)
    result = client.upload(path)
    assert result, result.errors
    assert client.named(path) == [b""]


@pytest.mark.only(lambda record: not record.empty)
def test_an_empty_file_is_no_success_if_the_server_cannot_take_one(client: Client) -> None:
    result = client.upload(client.source(0))
    assert not result.succeeded
    assert len(result.failed) == 1


def test_six_files_arrive_six_chunks_at_a_time(client: Client) -> None:
    paths = [client.source(number * CHUNK + number) for number in range(2, 8)]
    result = client.upload(*paths, simultaneous_uploads=6)
    assert result, result.errors
    assert [client.copies(path) for path in paths] == [1] * 6


def test_of_twenty_uploads_of_twelve_chunks_none_is_wrong(client: Client) -> None:
    paths = [client.source(12 * CHUNK + 1) for _ in range(20)]
    results = [client.upload(path, simultaneous_uploads=6) for path in paths]
    assert [result.errors for result in results] == [()] * 20
    assert [client.copies(path) for path in paths] == [1] * 20


def test_of_twenty_files_of_one_session_with_the_defaults_none_is_wrong(client: Client) -> None:
    """Enough of them for more than the few uploads with which a session begins."""
    paths = [client.source(12 * CHUNK + 1) for _ in range(20)]
    result = client.upload(*paths)
    assert result, result.errors
    assert [client.copies(path) for path in paths] == [1] * 20


def test_with_the_preset_of_the_library_that_it_was_made_for_none_of_twenty_is_wrong(client: Client) -> None:
    preset = dialects.FLOWJS if client.server.record.options else dialects.RESUMABLEJS
    paths = [client.source(12 * CHUNK + 1) for _ in range(20)]
    results = [client.upload(path, **{**preset, "simultaneous_uploads": 6}) for path in paths]
    assert [result.errors for result in results] == [()] * 20
    assert [client.copies(path) for path in paths] == [1] * 20


@pytest.mark.parametrize("name", ["two words.bin", 'a\'b "c".bin', "größe 数据.bin", "100% & more;=.bin"])
def test_a_file_of_this_name_arrives(client: Client, name: str) -> None:
    path = client.source(2 * CHUNK + 1, name)
    result = client.upload(path)
    assert result, result.errors
    assert client.copies(path) == 1


def test_an_interrupted_upload_goes_on_where_it_was(client: Client) -> None:
    path = client.source(12 * CHUNK)
    with client.session() as session:
        file = session.add_file(path)
        file.on("chunk_success", lambda chunk, message: session.cancel() if chunk.index == 4 else None)
        session.join(raise_errors=False)
    stored = {upload.number for upload in client.tap.uploads() if upload.status in (200, 201)}
    assert 5 in stored
    assert client.copies(path) == 0
    client.tap.clear()
    result = client.upload(path)
    assert result, result.errors
    assert client.copies(path) == 1
    assert not stored & {upload.number for upload in client.tap.uploads()}


@pytest.mark.parametrize("action", CUTS)
def test_a_chunk_that_is_cut_on_its_way_is_sent_again(server: Running, tmp_path: Path, action: str) -> None:
    scenario = Scenario([Fault(action, at=5 * CHUNK + CHUNK // 2)])
    with Tap(server.url, scenario) as tap:
        client = Client(server, tap, tmp_path)
        path = client.source(12 * CHUNK + 1)
        result = client.upload(path)
        assert result, result.errors
    assert client.copies(path) == 1


@pytest.mark.fails(
    lambda record: record.name == "flowjs-tornado",
    reason="a chunk that was there is asked for after the end, when the server has forgotten it, and all is sent again",
)
@pytest.mark.parametrize("action", CUTS)
def test_a_chunk_of_which_a_part_has_come_is_not_there(server: Running, tmp_path: Path, action: str) -> None:
    with Tap(server.url, Scenario([Fault(action, at=5 * CHUNK + CHUNK // 2)])) as tap:
        client = Client(server, tap, tmp_path)
        path = client.source(12 * CHUNK + 1)
        client.upload(path, max_chunk_retries=0)
    with Tap(server.url) as client.tap:
        result = client.upload(path)
        assert result, result.errors
    assert client.copies(path) == 1


def test_the_same_file_may_be_uploaded_again(client: Client) -> None:
    path = client.source(4 * CHUNK + 1)
    assert client.upload(path)
    client.tap.clear()
    result = client.upload(path)
    assert result, result.errors
    assert client.copies(path) >= 1
    assert bool(client.tap.uploads()) is not client.server.record.remembers


@pytest.mark.only(lambda record: not record.keeps_first)
def test_an_edited_file_of_the_same_size_arrives_as_it_is_now(client: Client) -> None:
    path = client.source(4 * CHUNK + 1)
    assert client.upload(path)
    path.write_bytes(os.urandom(4 * CHUNK + 1))
    result = client.upload(path)
    assert result, result.errors
    assert client.copies(path) == 1


@pytest.mark.xfail(reason="the server says that it has the file, or takes all of it and drops it: nobody can tell")
@pytest.mark.only(lambda record: record.keeps_first)
def test_an_edited_file_of_the_same_size_is_no_success_if_the_server_keeps_the_first(client: Client) -> None:
    path = client.source(4 * CHUNK + 1)
    assert client.upload(path)
    path.write_bytes(os.urandom(4 * CHUNK + 1))
    result = client.upload(path)
    assert client.wrong(result) == []
