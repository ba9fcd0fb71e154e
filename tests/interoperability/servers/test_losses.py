"""What a server loses, or takes for something else, is no success as far as anybody can tell."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from resumable import Result, ResumableChunk

from .client import CHUNK, Client

pytestmark = pytest.mark.timeout(300)


@pytest.mark.only(lambda record: record.chunked)
def test_a_server_that_lost_chunks_on_the_way_and_says_so_gets_them_again(client: Client) -> None:
    path = client.source(12 * CHUNK)
    lost: list[Path] = []

    def lose(chunk: ResumableChunk) -> None:
        if chunk.index == 4 and not lost:
            lost.extend((client.server.root / "chunks").iterdir())
            for there in lost:
                there.unlink()

    result = client.upload(path, preprocess=lose)
    assert lost
    bodies = [upload.body for upload in client.tap.uploads()]
    assert len(bodies) > 12
    assert set(bodies) == {b"partly_done", b"done"}
    assert result, result.errors
    assert client.wrong(result) == []


@pytest.mark.only(lambda record: record.chunked)
def test_a_server_whose_folder_is_gone_stores_nothing_and_the_upload_is_no_success(client: Client) -> None:
    path = client.source(4 * CHUNK)
    chunks = client.server.root / "chunks"
    shutil.rmtree(chunks)
    try:
        result = client.upload(path)
    finally:
        chunks.mkdir()
    assert {upload.body for upload in client.tap.uploads()} == {b"partly_done"}
    assert client.wrong(result) == []


@pytest.mark.only(lambda record: record.tells_apart != "names")
def test_two_files_of_one_name_and_two_sizes_arrive(client: Client) -> None:
    result = two_of_one_name(client, 3 * CHUNK, 3 * CHUNK + 1)
    assert result, result.errors
    assert client.wrong(result) == []


@pytest.mark.only(lambda record: record.tells_apart == "identifiers")
def test_two_files_of_one_name_and_size_arrive(client: Client) -> None:
    result = two_of_one_name(client, 3 * CHUNK, 3 * CHUNK)
    assert result, result.errors
    assert client.wrong(result) == []


@pytest.mark.xfail(reason="the server puts the second file in the place of the first, or keeps the first, and says 200")
@pytest.mark.only(lambda record: record.tells_apart == "names")
def test_two_files_of_one_name_are_no_success_if_the_server_knows_only_names(client: Client) -> None:
    result = two_of_one_name(client, 3 * CHUNK, 3 * CHUNK + 1)
    assert client.wrong(result) == []


# Whether their chunks come between each other is chance.
@pytest.mark.xfail(reason="the server mixes their chunks, or keeps one of them, and says 200", strict=False)
@pytest.mark.only(lambda record: record.tells_apart == "names and sizes")
def test_two_files_of_one_name_and_size_are_no_success_if_the_server_knows_only_those(client: Client) -> None:
    result = two_of_one_name(client, 3 * CHUNK, 3 * CHUNK)
    assert client.wrong(result) == []


def two_of_one_name(client: Client, *sizes: int) -> Result:
    """What became of a directory with a file of one name in each of its folders."""
    tree = client.folder("tree")
    for number, size in enumerate(sizes):
        (tree / str(number)).mkdir()
        (tree / str(number) / f"{tree.name}.bin").write_bytes(os.urandom(size))
    with client.session(auto_upload=False) as session:
        session.add_directory(tree)
        return session.join(raise_errors=False)
