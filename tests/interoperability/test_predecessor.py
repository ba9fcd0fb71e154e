"""resumable 0.1.1 from the package index uploads to the receiver.

It cuts as resumable.js does with ``forceChunkSize``, says the parameters of a test in the body of the GET, names a file
by its absolute path, and gives every file a random identifier.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from resumable.receiver import (
    FileStore,
    Receiver,
    Request,
    Response,
    Server,
)

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]  # the first test waits for pip

CHUNK = 64 * 1024

CLIENT = """
import sys, uuid
import resumable
assert resumable.__version__ == "0.1.1", resumable.__file__
target, chunk_size, test_chunks, identifier, *paths = sys.argv[1:]
if identifier:
    uuid.uuid4 = lambda: identifier
with resumable.Resumable(target, chunk_size=int(chunk_size), test_chunks=test_chunks == "test") as session:
    files = [session.add_file(path) for path in paths]
assert all(file.is_completed for file in files)
"""


@pytest.fixture(scope="session")
def predecessor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with resumable 0.1.1, which runs with the requests that is installed here."""
    path = tmp_path_factory.mktemp("predecessor")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(path),
        "resumable==0.1.1",
    ]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=110)
    if done.returncode:
        reason = f"pip could not install resumable 0.1.1: {done.stderr}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


class Counting(Receiver):
    """``statuses`` are the answers to all requests of a method."""

    def __init__(self, root: Path) -> None:
        super().__init__(FileStore(root, fsync="never"))
        self.statuses: dict[str, list[int]] = {"GET": [], "POST": []}
        self._lock = threading.Lock()

    def handle(self, request: Request) -> Response:
        """See :meth:`Receiver.handle`."""
        response = super().handle(request)
        with self._lock:
            self.statuses[request.method].append(response.status)
        return response


class Upload:
    """The old client in a process of its own, and the receiver that it uploads to."""

    def __init__(self, predecessor: Path, receiver: Counting, url: str, root: Path) -> None:
        self.receiver = receiver
        self.root = root
        self._predecessor = predecessor
        self._url = url

    def __call__(self, *paths: Path, tests: bool = True, identifier: str = "") -> None:
        done = subprocess.run(
            [
                *(sys.executable, "-c", CLIENT),
                *(self._url, str(CHUNK), "test" if tests else "send", identifier),
                *map(str, paths),
            ],
            cwd=self._predecessor,
            env={**os.environ, "PYTHONPATH": str(self._predecessor)},
            capture_output=True,
            encoding="utf-8",
            timeout=100,
        )
        assert done.returncode == 0, done.stderr

    def arrived(self, path: Path) -> bool:
        """Whether the file is there, whole, below the path that it was named by."""
        there = self.root / path.relative_to(path.anchor)
        return hashlib.sha256(there.read_bytes()).digest() == hashlib.sha256(path.read_bytes()).digest()


@pytest.fixture
def upload(predecessor: Path, tmp_path: Path) -> Iterator[Upload]:
    receiver = Counting(tmp_path / "received")
    with Server(receiver) as server:
        yield Upload(predecessor, receiver, server.url, tmp_path / "received")


@pytest.mark.parametrize("tests", [True, False])
@pytest.mark.parametrize("size", [1, CHUNK, 4 * CHUNK, 4 * CHUNK + 1, 5 * CHUNK - 1])
def test_a_file_arrives_whole(upload: Upload, tmp_path: Path, size: int, tests: bool) -> None:
    path = tmp_path / "süße größe.bin"
    path.write_bytes(os.urandom(size))
    upload(path, tests=tests)
    assert upload.arrived(path)
    count = -(-size // CHUNK)
    assert sorted(upload.receiver.statuses["POST"]) == [200] * (count - 1) + [201]
    assert upload.receiver.statuses["GET"] == ([204] * count if tests else [])


def test_several_files_arrive(upload: Upload, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.bin" for number in range(5)]
    for number, path in enumerate(paths, start=1):
        path.write_bytes(os.urandom(number * CHUNK + number))
    upload(*paths)
    assert all(map(upload.arrived, paths))


def test_what_is_there_is_not_sent_again_where_the_identifier_is_known(upload: Upload, tmp_path: Path) -> None:
    path = tmp_path / "source.bin"
    path.write_bytes(os.urandom(6 * CHUNK))
    upload(path, identifier="known")
    upload(path, identifier="known")
    assert upload.receiver.statuses["GET"] == [204] * 6 + [200] * 6
    assert len(upload.receiver.statuses["POST"]) == 6
    assert upload.arrived(path)
