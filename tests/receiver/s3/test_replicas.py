"""Servers in processes of their own at one object store, behind nginx, which gives each request to the next."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.object_store import CREDENTIALS, ObjectStore, StoreRequest
from support.sizes import sized
from support.waiting import eventually

from resumable import Resumable
from resumable.receiver.s3.layout import PROBE

pytestmark = pytest.mark.once

NGINX = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))
SUPPORT = Path(__file__).parents[2] / "support"


class Replicas:
    """Servers that are killed and succeeded by others at the same addresses, one at a time."""

    def __init__(self, store: ObjectStore, bucket: str, told: Path) -> None:
        command = [sys.executable, str(SUPPORT / "replica.py"), store.url, bucket, str(told)]
        environment = {**os.environ, **CREDENTIALS}
        self._parent = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._processes: list[int] = []
        self._ports: list[int] = []

    def close(self) -> None:
        self._parent.communicate()

    def add(self) -> str:
        """Start one more, and return its address."""
        process, port = self._started(0)
        self._processes.append(process)
        self._ports.append(port)
        return f"127.0.0.1:{port}"

    def kill(self, number: int) -> None:
        os.kill(self._processes[number], signal.SIGKILL)

    def replace(self, number: int) -> None:
        eventually(lambda: not is_running(self._processes[number]))  # which has the address for as long as it is
        self._processes[number], _ = self._started(self._ports[number])

    def _started(self, port: int) -> tuple[int, int]:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        print(port, file=self._parent.stdin, flush=True)
        process, url = self._parent.stdout.readline().split()
        taken = urlsplit(url).port
        assert taken
        return int(process), taken


def is_running(process: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


@contextmanager
def balanced(servers: list[str], folder: Path) -> Iterator[str]:
    """Run nginx in front of these servers, as the documentation says but for ``least_conn``, and yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"""
        daemon off; pid {folder}/pid; error_log {folder}/errors; events {{ }}
        http {{
            access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
            upstream resumable {{ {" ".join(f"server {server} fail_timeout=1s;" for server in servers)} keepalive 32; }}
            server {{
                listen 127.0.0.1:{address[1]};
                client_max_body_size 0;
                proxy_request_buffering off;
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                proxy_set_header Host $host;
                location / {{ proxy_pass http://resumable; proxy_next_upstream error timeout; }}
            }}
        }}
        """
    )
    with subprocess.Popen([str(NGINX), "-c", configuration, "-p", folder], stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: accepts(address))
            yield f"http://127.0.0.1:{address[1]}/"
        finally:
            process.terminate()


def accepts(address: tuple[str, int]) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(address):
        return True
    return False


@pytest.mark.skipif(NGINX is None, reason="there is no nginx")
def test_servers_that_are_killed_while_files_come_lose_nothing(
    object_store: ObjectStore, bucket: str, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    chance = random.Random(5)
    sources = {f"{number}.bin": chance.randbytes(chance.randrange(20_000)) for number in range(sized(6, 50))}
    count, kills = sized(2, 3), sized(4, 60)
    # Each file needs more requests than these to the store, so that each death comes.
    doomed = iter(sorted(chance.sample(range(10, 7 * len(sources)), kills)))

    with (
        closing(Replicas(object_store, bucket, told)) as replicas,
        balanced([replicas.add() for _ in range(count)], tmp_path) as url,
        ThreadPoolExecutor(1) as successor,
    ):
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
