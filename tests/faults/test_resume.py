"""An upload goes on where it was, whoever died in the middle of it."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.breaking_proxy import Fault, Proxy, Scenario
from support.client import CHUNK, content, upload
from support.scripted_server import ScriptedServer, Store, answer
from support.sizes import sized

from resumable import FileState, Resumable
from resumable.receiver import FileStore, Receiver, Server

HEAD = 3000
"""More bytes than a request has besides its chunk."""


def test_a_second_run_sends_no_chunk_and_says_so(way: dict[str, Any]) -> None:
    store = Store()
    data = content(10 * CHUNK + 7)
    with ScriptedServer(otherwise=store) as server:
        first = upload(server.url, data, **way)
        sent = len(server.uploads)
        second = upload(server.url, data, **way)
    assert sent == 10
    assert len(server.uploads) == sent
    assert first.files[0].bytes_skipped == 0
    assert second.files[0].bytes_skipped == second.files[0].bytes_confirmed == len(data)
    assert second.files[0].bytes_sent == 0
    assert second.count("chunk_success") == 10
    assert second.count("file_success") == 1


def test_a_server_that_forgot_half_its_chunks_gets_just_those(way: dict[str, Any]) -> None:
    store = Store()
    data = content(16 * CHUNK)
    forgotten = random.Random(1).sample(range(1, 17), 8)
    with ScriptedServer(otherwise=store) as server:
        identifier = upload(server.url, data, **way).files[0].unique_identifier or ""
        before = len(server.uploads)
        for number in forgotten:
            del store.chunks[identifier, number]
        run = upload(server.url, data, simultaneous_uploads=3, **way)
    assert sorted(request.number for request in server.uploads[before:]) == sorted(forgotten)
    assert run.files[0].bytes_skipped == 8 * CHUNK
    assert store.content(identifier) == data


def test_a_retry_of_a_failed_file_sends_what_is_missing() -> None:
    store = Store()
    data = content(6 * CHUNK)
    with ScriptedServer(store, store, answer(404), otherwise=store) as server:
        session = Resumable(server.url, chunk_size=CHUNK, simultaneous_uploads=1, test_chunks=False)
        file = session.add_file(data, relative_path="a.bin")
        assert len(session.join(60, raise_errors=False).failed) == 1
        assert file.bytes_confirmed == 2 * CHUNK
        file.retry()
        session.join(60)
        session.close()
    assert file.state is FileState.SUCCESS
    assert [request.number for request in server.uploads] == [1, 2, 3, 3, 4, 5, 6]
    assert store.content(file.unique_identifier or "") == data


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_a_client_killed_at_random_points_ends_with_the_right_file(workers: int, tmp_path: Path) -> None:
    chunk = 1 << 16
    kills = sized(5, 20)
    randomness = random.Random(workers)
    data = content(48 * chunk + 1000)
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    stored: set[int] = set()
    receiver = Receiver(
        FileStore(tmp_path / "received", fsync="never"), on_chunk_received=lambda record, number: stored.add(number)
    )
    known: list[int] = []
    sent: list[int] = []
    with Server(receiver) as server:
        for run in range(kills + 1):
            kill_at = randomness.randrange(1, 6 * chunk) if run < kills else None
            # What is stored at the first byte is what this client may not send again.
            options = {"chunk_size": chunk, "simultaneous_uploads": workers}
            sent.append(run_client(server.url, path, options, kill_at, lambda: known.append(len(stored))))
    known.append(len(stored))
    assert stored == set(range(1, 49))
    received = tmp_path / "received" / "a.bin"
    assert hashlib.sha256(received.read_bytes()).digest() == hashlib.sha256(data).digest()
    for run in range(kills + 1):
        new = known[run + 1] - known[run]
        at_most = new * chunk + workers * (chunk + 1000) + (2 * (new + workers) + 4) * HEAD
        assert sent[run] <= at_most, f"run {run} sent {sent[run]} bytes for {new} chunks"
    assert sum(sent) >= len(data)


def run_client(url: str, path: Path, options: dict[str, int], kill_at: int | None, begin: Callable[[], None]) -> int:
    """The bytes that a client, an own program, sent: to its end, or until it was killed behind so many of them."""
    calls = iter([begin, lambda: process.send_signal(signal.SIGKILL)])
    faults = [Fault("call")] + ([Fault("call", kill_at)] if kill_at is not None else [])
    with Proxy(url, Scenario(faults), call=lambda: next(calls)()) as proxy:
        text = (
            "from resumable import Resumable\n"
            f"with Resumable({proxy.url!r}, **{options!r}) as session:\n"
            f"    session.add_file({str(path)!r})\n"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE, text=True, env=environment)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == (0 if kill_at is None else -signal.SIGKILL), errors
    return proxy.ledger.up
