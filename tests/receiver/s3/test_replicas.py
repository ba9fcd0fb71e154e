"""Servers in processes of their own at one object store, behind a balancer that gives each connection to the next."""

from __future__ import annotations

import os
import random
import selectors
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

pytestmark = pytest.mark.once

SUPPORT = Path(__file__).parents[2] / "support"


class Replica:
    """A server that is started again when it was killed."""

    def __init__(self, store: ObjectStore, bucket: str, told: Path) -> None:
        self._command = [sys.executable, str(SUPPORT / "replica.py"), store.url, bucket, str(told)]
        self.start()

    def start(self) -> None:
        environment = {**os.environ, **CREDENTIALS}
        self.process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        url = urlsplit(self.process.stdout.readline())
        assert url.hostname
        assert url.port
        self.address = url.hostname, url.port

    def restart(self) -> None:
        self.kill()
        self.start()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


class Balancer:
    """Gives each connection to the next of the servers that can be reached."""

    def __init__(self, replicas: list[Replica]) -> None:
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
        for _ in self._replicas:
            self._turn += 1
            with suppress(OSError):
                return socket.create_connection(self._replicas[self._turn % len(self._replicas)].address, 5)
        raise ConnectionRefusedError


@contextmanager
def balanced(store: ObjectStore, bucket: str, told: Path, count: int) -> Iterator[tuple[str, list[Replica]]]:
    with ExitStack() as ending:
        replicas = []
        for _ in range(count):
            replicas.append(Replica(store, bucket, told))
            ending.callback(replicas[-1].kill)
        balancer = Balancer(replicas)
        ending.callback(balancer.close)
        yield balancer.url, replicas


def test_servers_that_are_killed_while_files_come_lose_nothing(
    object_store: ObjectStore, bucket: str, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    chance = random.Random(5)
    sources = {f"{number}.bin": chance.randbytes(chance.randrange(20_000)) for number in range(sized(6, 50))}
    kills = sized(4, 60)
    doomed = iter(sorted(chance.sample(range(20, 20 * len(sources)), kills)))

    with balanced(object_store, bucket, told, sized(2, 3)) as (url, replicas), ThreadPoolExecutor(1) as killer:
        killed: list[Future[None]] = []
        next_death = next(doomed)

        def kill(request: StoreRequest) -> None:
            nonlocal next_death
            if len(object_store.requests) >= next_death:
                next_death = next(doomed, sys.maxsize)
                killed.append(killer.submit(replicas[len(killed) % len(replicas)].restart))

        object_store.before = kill
        with Resumable(url, chunk_size=3000, retry_for=60, simultaneous_uploads=4) as session:
            for name, data in sources.items():
                session.add_file(data, relative_path=name)
            session.join(240)
        for each in killed:
            each.result()
    assert len(killed) == kills
    assert object_store.objects(bucket) == {f"in/{name}": data for name, data in sources.items()}
    assert set(told.read_text().split()) == set(sources)
