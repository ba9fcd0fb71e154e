"""Servers in processes of their own at one object store, behind a balancer that gives each connection to the next."""

from __future__ import annotations

import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.object_store import CREDENTIALS, ObjectStore, StoreRequest
from support.sizes import sized

from resumable import Resumable
from resumable.receiver.s3.layout import PROBE

pytestmark = pytest.mark.once

SUPPORT = Path(__file__).parents[2] / "support"


class Replicas:
    """Servers that are killed and succeeded by others, one at a time."""

    def __init__(self, store: ObjectStore, bucket: str, told: Path) -> None:
        command = [sys.executable, str(SUPPORT / "replica.py"), store.url, bucket, str(told)]
        environment = {**os.environ, **CREDENTIALS}
        self._parent = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._processes: list[int] = []
        self.addresses: list[tuple[str, int]] = []

    def close(self) -> None:
        self._parent.communicate()

    def add(self) -> None:
        process, address = self._started()
        self._processes.append(process)
        self.addresses.append(address)

    def kill(self, number: int) -> None:
        os.kill(self._processes[number], signal.SIGKILL)

    def replace(self, number: int) -> None:
        self._processes[number], self.addresses[number] = self._started()

    def _started(self) -> tuple[int, tuple[str, int]]:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        print(file=self._parent.stdin, flush=True)
        process, url = self._parent.stdout.readline().split()
        address = urlsplit(url)
        assert address.hostname
        assert address.port
        return int(process), (address.hostname, address.port)


class Balancer:
    """Gives each connection to the next of the servers that can be reached."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._turn = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), self._server() as server, selectors.DefaultSelector() as selector:
            other = {client: server, server: client}
            for side in other:
                selector.register(side, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    piece = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                    if not piece:
                        return
                    other[key.fileobj].sendall(piece)  # type: ignore[index]

    def _server(self) -> socket.socket:
        addresses = list(self._replicas.addresses)
        for _ in addresses:
            self._turn += 1
            with suppress(OSError):
                return socket.create_connection(addresses[self._turn % len(addresses)], 5)
        raise ConnectionRefusedError


@contextmanager
def balanced(store: ObjectStore, bucket: str, told: Path, count: int) -> Iterator[tuple[str, Replicas]]:
    with ExitStack() as ending:
        replicas = Replicas(store, bucket, told)
        ending.callback(replicas.close)
        for _ in range(count):
            replicas.add()
        balancer = Balancer(replicas)
        ending.callback(balancer.close)
        yield balancer.url, replicas


def test_servers_that_are_killed_while_files_come_lose_nothing(
    object_store: ObjectStore, bucket: str, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    chance = random.Random(5)
    sources = {f"{number}.bin": chance.randbytes(chance.randrange(20_000)) for number in range(sized(6, 50))}
    count, kills = sized(2, 3), sized(4, 60)
    # Each file needs more requests than these to the store, so that each death comes.
    doomed = iter(sorted(chance.sample(range(10, 7 * len(sources)), kills)))

    with balanced(object_store, bucket, told, count) as (url, replicas), ThreadPoolExecutor(1) as successor:
        killed: list[Future[None]] = []
        next_death = next(doomed)
        seen = 0
        one_at_a_time = threading.Lock()

        def kill(request: StoreRequest) -> None:
            nonlocal next_death, seen
            with one_at_a_time:
                seen += PROBE not in request.path
                # Who died before may have no successor yet.
                if seen >= next_death and all(each.done() for each in killed[-count:][:1]):
                    next_death = next(doomed, sys.maxsize)
                    number = len(killed) % count
                    replicas.kill(number)
                    killed.append(successor.submit(replicas.replace, number))

        object_store.before = kill
        with Resumable(url, chunk_size=3000, retry_for=None, simultaneous_uploads=4) as session:
            for name, data in sources.items():
                session.add_file(data, relative_path=name)
            session.join(sized(240, 900))
        for each in killed:
            each.result()
    assert len(killed) == kills
    assert object_store.objects(bucket) == {f"in/{name}": data for name, data in sources.items()}
    assert set(told.read_text().split()) == set(sources)
