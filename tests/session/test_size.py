"""Files of a million chunks cost as much for each chunk as small ones, and no memory."""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, ScriptedServer
from support.threads import wait_until_threads_are_gone

from resumable import ChunkState, Resumable
from resumable.transport.body import ChunkBody
from resumable.transport.control import RequestControl

MEBIBYTE = 1 << 20
TEBIBYTE = 1 << 40

COUNT = int(os.environ.get("RESUMABLE_CHUNKS", "8000"))
"""Chunks of the largest file that is sent here; RESUMABLE_CHUNKS=1000000 takes minutes."""
FEW = 2_000
"""Chunks of the file that it is compared with."""


def sparse(path: Path, size: int) -> Path:
    """A file of so many bytes that takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def calls(function: Callable[[], Any]) -> int:
    """How many functions were called, in C or in Python."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    gc.collect()
    gc.disable()  # it would call what others have left behind
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def test_a_tebibyte_is_added_in_the_time_and_memory_of_a_sixty_fourth(tmp_path: Path) -> None:
    small, large = sparse(tmp_path / "small", TEBIBYTE // 64), sparse(tmp_path / "large", TEBIBYTE)
    session = Resumable("http://127.0.0.1:1/", auto_upload=False)

    def use(path: Path) -> Callable[[], None]:
        def run() -> None:
            file = session.add_file(path)
            assert file.chunks[-1].number == len(file.chunks)
            assert file.chunks[len(file.chunks) // 2].state is ChunkState.PENDING
            file.mark_chunks_completed(len(file.chunks) - 1)
            assert 0 < file.progress() < 1
            assert len(file.chunks[-3:-1]) == min(2, len(file.chunks) - 1)

        return run

    use(sparse(tmp_path / "first", TEBIBYTE // 32))()
    few = calls(use(small))
    tracemalloc.start()
    many = calls(use(large))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert session.files[-1].size == TEBIBYTE
    assert len(session.files[-1].chunks) == TEBIBYTE // MEBIBYTE
    assert many < few + 20
    assert most < 256 * 1024
    session.cancel()
    session.close()


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.unmeasured
def test_what_is_missing_of_a_tebibyte_is_sent(wire: ScriptedServer, tmp_path: Path) -> None:
    with Resumable(wire.url, auto_upload=False, test_chunks=False) as session:
        file = session.add_file(sparse(tmp_path / "large", TEBIBYTE))
        file.mark_chunks_completed(range(3, len(file.chunks) - 1))
        session.join(PATIENCE)
    assert sorted(request.number for request in wire.uploads) == [1, 2, 3, TEBIBYTE // MEBIBYTE]
    assert all(request.chunk == bytes(MEBIBYTE) for request in wire.uploads)
    assert file.bytes_skipped == TEBIBYTE - 4 * MEBIBYTE


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.timeout(3600)
def test_a_chunk_costs_the_same_among_few_and_among_many(plain_environment: dict[str, str]) -> None:
    def measure(count: int) -> dict[str, Any]:
        program = [sys.executable, str(Path(__file__).parent.parent / "support" / "million.py"), str(count)]
        said = subprocess.run(program, stdout=subprocess.PIPE, check=True, env=plain_environment).stdout
        return json.loads(said)  # type: ignore[no-any-return]

    few, many = measure(FEW), measure(COUNT)
    per_chunk = [sum(each["tenths"]) / count for each, count in ((few, FEW), (many, COUNT))]
    print(
        f"{COUNT} chunks: {per_chunk[1] * 1e6:.0f} us each ({per_chunk[0] * 1e6:.0f} us of {FEW}), {many['memory']} KiB"
    )
    # Other programs share the machine, and what they cost is only ever added: growth would show in the least, too.
    assert min(many["tenths"]) / COUNT < 2 * statistics.median(few["tenths"]) / FEW
    assert min(many["tenths"][5:]) < 1.6 * statistics.median(many["tenths"][:5])
    assert many["memory"] < 16 * 1024
    assert many["memory"] < few["memory"] + 4 * 1024


def test_what_a_chunk_needed_is_gone_without_the_garbage_collector(
    wire: ScriptedServer, make: Callable[..., Path]
) -> None:
    def held() -> list[object]:
        # Others' objects may do anything if they are asked for their class, so that is not done.
        return [thing for thing in gc.get_objects() if issubclass(type(thing), (ChunkBody, RequestControl))]

    gc.collect()
    gc.disable()
    try:
        before = held()  # by a thread that a test before has abandoned
        with Resumable(wire.url, chunk_size=10) as session:
            session.add_file(make(size=500))
        wait_until_threads_are_gone()
        left = [thing for thing in held() if not any(thing is other for other in before)]
    finally:
        gc.enable()
    assert len(wire.uploads) == 50
    assert not left
