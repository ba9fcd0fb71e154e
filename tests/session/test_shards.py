"""Many machines, or processes, share files: each uploads a shard, or the files that it is given."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import ScriptedServer

import resumable
from resumable import OptionError
from resumable.receiver import Server
from resumable.sources.shard import Shard

Make = Callable[..., Path]

NAMES = [f"run/{number % 7}/{number}.bin" for number in range(1000)]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 50])
def test_each_file_belongs_to_one_shard(count: int) -> None:
    shards = [Shard.of((number, count)) for number in range(1, count + 1)]
    assert all([shard.takes(name) for shard in shards].count(True) == 1 for name in NAMES)


def test_shards_are_the_same_on_every_machine_and_about_equal() -> None:
    taken = [[name for name in NAMES if Shard(number, 4).takes(name)] for number in range(1, 5)]
    assert taken[0][:3] == ["run/6/13.bin", "run/2/16.bin", "run/0/21.bin"]
    assert all(200 < len(names) < 300 for names in taken)


def test_names_that_are_no_text_belong_to_a_shard_too() -> None:
    assert Shard(1, 1).takes("caf\udce9.bin")


@pytest.mark.parametrize("value", [(0, 8), (9, 8), (1, 0), (1.0, 8), (True, 8), (1,), (1, 2, 3), "2/8", 3, None])
def test_anything_else_is_no_shard(value: Any) -> None:
    with pytest.raises(OptionError, match=r"^shard must be a pair of integers"):
        Shard.of(value)


def test_shards_of_a_directory_and_of_files_make_the_whole(make: Make, tmp_path: Path) -> None:
    for number in range(12):
        make(f"data/{number % 2}/{number}.bin", 10)
    alone = [make(f"alone-{number}.bin", 10) for number in range(6)]
    sent = []
    with Server(tmp_path / "in") as server:
        for number in (1, 2, 3):
            result = resumable.upload([tmp_path / "data", *alone], server.url, shard=(number, 3))
            sent += [file.relative_path for file in result.succeeded]
    assert sorted(sent) == sorted(
        [f"data/{number % 2}/{number}.bin" for number in range(12)] + [file.name for file in alone]
    )
    assert len(list((tmp_path / "in").rglob("*.bin"))) == 18


def test_bytes_belong_to_a_shard_by_the_name_that_they_are_given(wire: ScriptedServer) -> None:
    for number in (1, 2):
        resumable.upload(b"abc", wire.url, relative_path="some/a.bin", shard=(number, 2))
    assert len(wire.uploads) == 1
    with pytest.raises(TypeError, match="pass relative_path"):
        resumable.upload(b"abc", wire.url, shard=(1, 2))


def test_processes_upload_the_files_that_they_are_given(make: Make, tmp_path: Path) -> None:
    """As workers of Dask, Ray and MPI do: the call, its arguments, its result and its errors cross processes."""
    files = [make(f"{number}.bin", 100 + number) for number in range(4)]
    with (
        Server(tmp_path / "in") as server,
        ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        results = list(pool.map(partial(resumable.upload, target=server.url), files))
        missing = pool.submit(resumable.upload, tmp_path / "missing.bin", server.url)
        assert isinstance(missing.exception(60), resumable.SourceError)
    assert all(results)
    assert sorted(file.relative_path for result in results for file in result.succeeded) == [
        file.name for file in files
    ]
    assert [(tmp_path / "in" / file.name).read_bytes() for file in files] == [file.read_bytes() for file in files]
    assert pickle.loads(pickle.dumps(results)) == results
