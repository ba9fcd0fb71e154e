"""Several machines, or processes, send one file together: each a part of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import ScriptedServer
from support.sizes import sized

import resumable
from resumable import OptionError, ServerRefused, UploadFailed
from resumable.receiver import Receiver, Server

Make = Callable[..., Path]

PARTS = sized(2, 4)
"""So many processes send one file."""

WORKER = """
import sys
import resumable

path, target, *part = sys.argv[1:]
with resumable.Resumable(target, chunk_size=1000, limit_rate=20_000, part=tuple(map(int, part))) as session:
    session.on("chunk_success", lambda chunk, *_: print(chunk.number, flush=True))
    session.add_file(path)
print("done", flush=True)
"""


def worker(path: Path, url: str, number: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(path), url, str(number), str(PARTS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("parts", [1, 3, 4])
def test_parts_make_the_whole_and_each_sends_its_own_bytes_only(make: Make, tmp_path: Path, parts: int) -> None:
    path = make("big.bin", 100_042)
    sent = 0
    with Server(tmp_path / "in") as server:
        for number in range(parts, 0, -1):
            (file,) = resumable.upload(path, server.url, part=(number, parts), chunk_size=1000).succeeded
            assert (file.size, file.progress(), file.is_complete()) == (100_042, 1.0, True)
            assert file.bytes_sent == file.part_size
            assert file.whole is (number == 1)
            sent += file.bytes_sent
        assert sent == 100_042
        assert (tmp_path / "in" / "big.bin").read_bytes() == path.read_bytes()
        (again,) = resumable.upload(path, server.url, part=(1, parts), chunk_size=1000).succeeded
        assert (again.bytes_sent, again.whole, again.result) == (0, True, {"name": "big.bin"})


def test_a_part_that_begins_again_sends_what_is_missing(make: Make, tmp_path: Path) -> None:
    path = make("big.bin", 20_000)
    with Server(tmp_path / "in") as server:
        options: dict[str, Any] = {"part": (2, 2), "chunk_size": 1000, "simultaneous_uploads": 1}
        with resumable.Resumable(server.url, auto_upload=False, **options) as session:
            file = session.add_file(path)
            file.on("chunk_success", lambda chunk, *_: session.cancel() if chunk.number == 6 else None)
            session.upload()
            with pytest.raises(resumable.UploadCancelled):
                file.wait()
        (file,) = resumable.upload(path, server.url, part=(2, 2), chunk_size=1000).succeeded
        assert file.bytes_skipped >= 3000
        assert file.bytes_skipped + file.bytes_sent == file.part_size == 10_000
        assert file.whole is False


def test_a_file_with_fewer_chunks_than_parts_is_sent_by_the_first_of_them(make: Make, tmp_path: Path) -> None:
    path = make("small.bin", 10)
    with Server(tmp_path / "in") as server:
        (file,) = resumable.upload(path, server.url, part=(2, 2)).succeeded
        assert (file.part_size, file.whole, file.progress()) == (0, None, 1.0)
        assert asyncio.run(resumable.upload_async(path, server.url, part=(1, 2))).succeeded[0].whole
    assert (tmp_path / "in" / "small.bin").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("options", [{}, {"test_chunks": False}])
def test_a_server_that_does_not_say_that_chunks_may_come_in_any_order_is_sent_nothing(
    wire: ScriptedServer, make: Make, number: int, options: Any
) -> None:
    with pytest.raises(UploadFailed) as failed:
        resumable.upload(make(size=40), wire.url, part=(number, 2), chunk_size=10, **options)
    (error,) = failed.value.errors
    assert isinstance(error, ServerRefused)
    assert "chunk_order='free'" in str(error)
    assert [request.method for request in wire.requests] == ["GET"]


def test_whoever_says_that_chunks_may_come_in_any_order_sends_parts_to_any_server(
    wire: ScriptedServer, make: Make
) -> None:
    for number in (1, 2):
        (file,) = resumable.upload(
            make(size=50), wire.url, part=(number, 2), chunk_size=10, chunk_order="free"
        ).succeeded
        assert (file.whole, file.part_size) == (None, 30 if number == 1 else 20)
    assert sorted(request.number for request in wire.uploads) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("status", "asked"), [(500, 3), (403, 1), (302, 1)])
def test_a_server_in_trouble_is_asked_again_and_one_that_refuses_is_not(
    wire: ScriptedServer, make: Make, status: int, asked: int
) -> None:
    wire.behave = lambda request: (status, b"", {"Retry-After": "0"})
    with pytest.raises(UploadFailed):
        resumable.upload(
            make(size=40), wire.url, part=(1, 2), chunk_size=10, max_chunk_retries=2, chunk_retry_interval=0
        )
    assert [request.method for request in wire.requests] == ["GET"] * asked


@pytest.mark.parametrize("options", [{"chunk_order": "strict"}, {"prioritize_first_and_last_chunk": True}])
def test_an_order_that_parts_cannot_keep_is_refused(options: Any) -> None:
    with pytest.raises(OptionError, match="part is given"):
        resumable.Resumable("http://127.0.0.1:9", part=(1, 2), **options)


def test_the_result_of_a_part_says_elsewhere_whether_the_file_is_whole(make: Make, tmp_path: Path) -> None:
    path = make(size=40)
    with Server(tmp_path / "in") as server:
        results = [resumable.upload(path, server.url, part=(number, 2), chunk_size=10) for number in (1, 2)]
        assert [pickle.loads(pickle.dumps(result)).succeeded[0].whole for result in results] == [False, True]


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.programs
@pytest.mark.skipif(os.name == "nt", reason="processes end otherwise there")
def test_processes_that_are_killed_on_the_way_send_one_file_and_publish_it_once(tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(os.urandom(60_500))
    received: list[str] = []

    def note(record: Any, request: Any) -> None:
        received.append(record.relative_path)

    with Server(Receiver(tmp_path / "in", on_file_received=note)) as server:
        running = [worker(path, server.url, number) for number in range(1, PARTS + 1)]
        try:
            sent: list[list[str]] = [[] for _ in running]
            for part, process in enumerate(running):
                assert process.stdout is not None
                sent[part] += [process.stdout.readline().strip() for _ in range(2)]
                process.kill()
                sent[part] += process.stdout.read().split()
                process.wait()
                process.stdout.close()
                running[part] = worker(path, server.url, part + 1)
            for process in running:
                assert process.communicate(timeout=60)[0].split()[-1] == "done"
                assert process.returncode == 0
        finally:
            for process in running:
                process.kill()
                process.wait()
        (file,) = resumable.upload(path, server.url, part=(1, PARTS), chunk_size=1000).succeeded
        assert (file.whole, file.bytes_sent) == (True, 0)
    published = (tmp_path / "in" / "big.bin").read_bytes()
    assert hashlib.sha256(published).digest() == hashlib.sha256(path.read_bytes()).digest()
    assert received == ["big.bin"]
    assert [name.name for name in (tmp_path / "in").glob("*.bin")] == ["big.bin"]
