"""Several processes behind one address: they share the work, and none outlives the one that made them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests
from support import program
from support.program import Program
from support.sample import Sample
from support.waiting import PATIENCE, eventually

from resumable.errors import OptionError
from resumable.receiver import (
    FileStore,
    Limits,
    Receiver,
    Server,
)

PROGRAM = """
import os, sys
from resumable.receiver import FileStore, Receiver, Server

def tell(record, number):
    with open(sys.argv[2], "a") as told:
        told.write(f"{os.getpid()}\\n")

with Server(Receiver(FileStore(sys.argv[1]), on_chunk_received=tell), processes=3) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for the children in /proc")


@contextmanager
def running(*command: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen([sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdin
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait(PATIENCE)
        process.stdout.close()
        process.stdin.close()


@contextmanager
def serving(root: Path, *arguments: str) -> Iterator[tuple[Program, str]]:
    with program.start("serve", "-q", str(root), *arguments) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def children(pid: int) -> set[int]:
    found: set[int] = set()
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            found.update(map(int, path.read_text().split()))
    return found


def alive(pid: int) -> bool:
    """Whether it runs. One that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_each_process_takes_what_comes(root: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    sample = Sample(bytes(30), 10)
    with running("-c", PROGRAM, str(root), str(told)) as (process, url):
        workers = sorted(children(process.pid))
        for number, pid in enumerate(workers, 1):
            others = [other for other in workers if other != pid]
            for other in others:
                os.kill(other, signal.SIGSTOP)
            try:
                answer = requests.post(url, sample.chunk(number), params=sample.pairs(number), timeout=PATIENCE)
            finally:
                for other in others:
                    os.kill(other, signal.SIGCONT)
            assert answer.status_code == (201 if number == 3 else 200)
    assert list(map(int, told.read_text().split())) == workers
    assert (root / "sample.bin").read_bytes() == sample.data


def test_processes_share_the_work_on_one_upload(root: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    told.touch()
    sample = Sample(os.urandom(200_000), 1000)

    def send(numbers: list[int]) -> None:
        for number in numbers:
            # A connection of its own each, for whichever process comes first.
            answer = requests.post(url, sample.chunk(number), params=sample.pairs(number))
            statuses.append(answer.status_code)

    with running("-c", PROGRAM, str(root), str(told)) as (process, url):
        statuses: list[int] = []
        numbers = list(range(1, 201))
        threads = [threading.Thread(target=send, args=(numbers[start::8],)) for start in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        workers = children(process.pid)
        assert process.stdin
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
    assert sorted(statuses) == [200] * 199 + [201]
    assert (root / "sample.bin").read_bytes() == sample.data
    served = list(map(int, told.read_text().split()))
    assert len(served) == 200
    assert set(served) <= workers
    assert not any(alive(pid) for pid in workers)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_children_end_with_their_parent(root: Path, number: signal.Signals) -> None:
    with serving(root, "--processes", "3") as (process, url):
        workers = children(process.pid)
        assert len(workers) == 3
        assert requests.get(url, params=Sample(bytes(9), 9).pairs(1)).status_code == 204
        process.send_signal(number)
        assert process.wait(PATIENCE) == (-number if number == signal.SIGKILL else 0)
        eventually(lambda: not any(alive(pid) for pid in workers))
        with pytest.raises(requests.ConnectionError):
            requests.get(url)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_lets_requests_finish(root: Path, number: signal.Signals) -> None:
    sample = Sample(bytes(100_000), 100_000)
    with serving(root, "--processes", "2", "--fsync", "never") as (
        process,
        url,
    ):
        workers = children(process.pid)
        port = int(url.rpartition(":")[2].strip("/"))
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            head = f"POST /?{sample.query(1)} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            connection.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
            for pid in (*workers, process.pid):
                os.kill(pid, number)
            connection.sendall(sample.data)
            assert connection.recv(1000).startswith(b"HTTP/1.1 201 ")
        assert process.wait(PATIENCE) == 0
    assert (root / "sample.bin").read_bytes() == sample.data


@pytest.mark.once
def test_a_program_that_forgets_to_stop_ends_nevertheless(root: Path) -> None:
    program = "import sys; from resumable.receiver import Server; print(Server(sys.argv[1], processes=2).start().url)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(root)], stdout=subprocess.PIPE, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(done.stdout.strip())


def test_a_child_that_dies_is_replaced(root: Path) -> None:
    with serving(root, "--processes", "2") as (process, url):
        first = children(process.pid)
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        # It waits in the queue of the socket, which is never closed.
        assert requests.get(url, params=Sample(bytes(9), 9).pairs(1), timeout=PATIENCE).status_code == 204
        eventually(lambda: len(now := children(process.pid)) == 2 and not now & first)


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_server_of_several_processes_starts_and_stops(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = children(os.getpid())
    with Server(Receiver(FileStore(root, fsync="never")), processes=2) as server:
        workers = children(os.getpid()) - before
        assert len(workers) == 2
        assert Sample().send(server.receiver, 1) == [200]
        assert requests.get(server.url, params=Sample().pairs(1)).status_code == 200
        os.kill(min(workers), signal.SIGKILL)
        eventually(lambda: len(children(os.getpid()) - before - workers) == 1)
        assert requests.get(server.url, params=Sample().pairs(2)).status_code == 204
    assert children(os.getpid()) == before
    assert f"server process {min(workers)} ended with exit code -9" in caplog.text


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_child_that_does_not_end_is_killed(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = children(os.getpid())
    with Server(root, processes=2, limits=Limits(grace=0.1)):
        stuck = min(children(os.getpid()) - before)
        os.kill(stuck, signal.SIGSTOP)
    assert children(os.getpid()) == before
    assert f"server process {stuck} does not end: killing it" in caplog.text


@pytest.mark.parametrize("count", [0, -1])
def test_there_is_at_least_one_process(root: Path, count: int) -> None:
    with pytest.raises(OptionError, match="processes"):
        Server(root, processes=count)
