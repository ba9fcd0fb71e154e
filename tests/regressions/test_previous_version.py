"""The version before the headers by which client and receiver know each other works with this one, either way round.

What it sent, what it answered and what it left on the disk was recorded: ``previous_store`` is the directory of its
receiver, with one finished file and one of which the last of four chunks is missing.
"""

from __future__ import annotations

import http.client
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.scripted_server import PATIENCE, Request, ScriptedServer

from resumable import FileState, Resumable, ResumableFile
from resumable.receiver import FileStore, Receiver, Server

CHUNK = 100
BYTES = bytes(range(256)) * 2
FINISHED, OPEN = BYTES[:250], BYTES[3:403]
IDENTIFIERS = {"finished.bin": "250-finishedbin-52acb3533af4", "open.bin": "400-openbin-782ff3985bf2"}


class PreviousClient:
    """Requests as the previous client sent them."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=PATIENCE)

    def test(self, name: str, data: bytes, number: int) -> tuple[int, str | None]:
        """The status and the list of stored chunks that the question for a chunk is answered with."""
        self._connection.request("GET", self._path(name, data, number), headers=self._headers(""))
        answer = self._connection.getresponse()
        answer.read()
        return answer.status, answer.headers["Resumable-Stored-Chunks"]

    def send(self, name: str, data: bytes, number: int) -> tuple[int, bytes]:
        """The status and the text that a chunk is answered with."""
        boundary = "----resumable8e9eafbe5dcd243ec751d8dca0b0ffaf"
        chunk = data[(number - 1) * CHUNK : number * CHUNK]
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        body = (
            f"{head}Content-Type: application/octet-stream\r\n\r\n".encode()
            + chunk
            + f"\r\n--{boundary}--\r\n".encode()
        )
        headers = self._headers(f"multipart/form-data; boundary={boundary}")
        self._connection.request("POST", self._path(name, data, number), body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        """Leave."""
        self._connection.close()

    def _path(self, name: str, data: bytes, number: int) -> str:
        parameters = {
            "resumableChunkNumber": number,
            "resumableChunkSize": CHUNK,
            "resumableCurrentChunkSize": len(data[(number - 1) * CHUNK : number * CHUNK]),
            "resumableTotalSize": len(data),
            "resumableType": "application/octet-stream",
            "resumableIdentifier": IDENTIFIERS[name],
            "resumableFilename": name,
            "resumableRelativePath": name,
            "resumableTotalChunks": -(-len(data) // CHUNK),
        }
        return f"/?{urlencode(parameters)}"

    def _headers(self, content_type: str) -> dict[str, str]:
        headers = {"User-Agent": "python-requests/2.34.2", "Accept-Encoding": "identity", "Accept": "*/*"}
        return headers | ({"Content-Type": content_type} if content_type else {})


class PreviousReceiver:
    """The answers of the previous receiver to uploads of one file. ``stored`` are the numbers of its chunks."""

    def __init__(self, *stored: int) -> None:
        self.stored = set(stored)

    def __call__(self, request: Request) -> tuple[int, str, dict[str, str]] | tuple[int, str]:
        total = int(request.fields["resumableTotalChunks"])
        if request.chunk is not None:
            self.stored.add(request.number)
            whole = len(self.stored) == total
            return (201, "The file is stored.\n") if whole else (200, self.says(request.number, total))
        known = self.stored if not request.identifier.startswith("resumable-canary-") else set()
        headers = {"Resumable-Stored-Chunks": ", ".join(map(str, sorted(known)))}
        if request.number in known:
            return 200, self.says(request.number, total), headers
        return 204, "", headers

    @staticmethod
    def says(number: int, total: int) -> str:
        """The text of an answer."""
        return f"Chunk {number} of {total} is stored.\n"


def send(url: str, data: bytes, name: str, **options: object) -> ResumableFile:
    """The file, which has ended."""
    with Resumable(url, chunk_size=CHUNK, force_chunk_size=True, auto_upload=False, **options) as session:
        file = session.add_file(data, relative_path=name, unique_identifier=IDENTIFIERS[name])
        session.join(PATIENCE, raise_errors=False)
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What the previous receiver left on the disk."""
    # Not the times as well: an open upload that is as old as the recording would be swept away.
    root = tmp_path / "store"
    shutil.copytree(Path(__file__).parent / "previous_store", root, copy_function=shutil.copyfile)
    # A file is published first, and then its record says so.
    os.utime(root / "finished.bin", (0, 0))
    return root


@pytest.fixture
def server(root: Path) -> Iterator[Server]:
    with Server(Receiver(FileStore(root, fsync="never"))) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[PreviousClient]:
    client = PreviousClient(server.url.split("/")[2])
    yield client
    client.close()


def test_the_previous_client_uploads_to_this_receiver(root: Path, client: PreviousClient) -> None:
    # The receiver may be sweeping it, too.
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(exist_ok=True)
    name = "finished.bin"
    assert client.test(name, FINISHED, 1) == (204, "")
    assert client.send(name, FINISHED, 1) == (200, b"Chunk 1 of 3 is stored.\n")
    assert client.send(name, FINISHED, 2) == (200, b"Chunk 2 of 3 is stored.\n")
    assert client.test(name, FINISHED, 3) == (204, "1-2")
    assert client.send(name, FINISHED, 3) == (201, b"The file is stored.\n")
    assert (root / name).read_bytes() == FINISHED
    assert client.test(name, FINISHED, 1) == (200, "1-3")


def test_the_previous_client_goes_on_with_an_upload_that_it_began_at_the_previous_receiver(
    root: Path, client: PreviousClient
) -> None:
    assert client.test("open.bin", OPEN, 1) == (200, "1-3")
    assert client.test("open.bin", OPEN, 4) == (204, "1-3")
    assert client.send("open.bin", OPEN, 4) == (201, b"The file is stored.\n")
    assert (root / "open.bin").read_bytes() == OPEN


@pytest.mark.parametrize("stored", [(), (1, 2), (1, 2, 3), (2,)])
@pytest.mark.parametrize("tests", [True, False])
def test_this_client_uploads_to_the_previous_receiver(
    wire: ScriptedServer, stored: tuple[int, ...], tests: bool
) -> None:
    """What it has is not sent, and nothing is sent that it would not know."""
    wire.behave = receiver = PreviousReceiver(*stored)
    file = send(wire.url, OPEN, "open.bin", test_chunks=tests)
    assert file.state is FileState.SUCCESS
    assert receiver.stored == {1, 2, 3, 4}
    missing = sorted({1, 2, 3, 4} - set(stored)) if tests else [1, 2, 3, 4]
    assert sorted(request.number for request in wire.uploads) == missing
    assert not any(name.startswith("resumable-") for request in wire.requests for name in request.headers)


def test_this_client_believes_the_previous_receiver_that_it_has_a_file(wire: ScriptedServer) -> None:
    wire.behave = PreviousReceiver(1, 2, 3)
    assert send(wire.url, FINISHED, "finished.bin").state is FileState.SUCCESS
    assert wire.uploads == []


def test_an_upload_that_the_previous_receiver_holds_open_goes_on(root: Path, server: Server) -> None:
    file = send(server.url, OPEN, "open.bin")
    assert (file.state, file.bytes_skipped) == (FileState.SUCCESS, 3 * CHUNK)
    assert (root / "open.bin").read_bytes() == OPEN


def test_a_file_that_the_previous_receiver_finished_is_known(root: Path, server: Server) -> None:
    file = send(server.url, FINISHED, "finished.bin")
    assert (file.state, file.bytes_skipped) == (FileState.SUCCESS, len(FINISHED))
    assert [path.name for path in root.iterdir() if path.name != ".resumable"] == ["finished.bin"]


def test_a_file_that_the_previous_receiver_finished_and_that_is_gone_is_sent_again(root: Path, server: Server) -> None:
    (root / "finished.bin").unlink()
    file = send(server.url, FINISHED, "finished.bin")
    assert (file.state, file.bytes_skipped) == (FileState.SUCCESS, 0)
    assert (root / "finished.bin").read_bytes() == FINISHED
