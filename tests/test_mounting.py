"""The receiver in other people's applications: each example runs under a server as a user would run it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import pytest
import requests
from support.sample import Sample
from support.sizes import sized
from support.waiting import eventually

from resumable import AuthenticationRefused, Resumable, UploadFailed
from resumable.receiver import Receiver
from resumable.testing.runner import run_checks
from resumable.testing.target import Target

pytestmark = [pytest.mark.once, pytest.mark.slow]

EXAMPLES = Path(__file__).parent.parent / "examples"
TOKENS = "ada=token1 grace=token2"
ADA = {"Authorization": "Bearer token1"}
GRACE = {"Authorization": "Bearer token2"}
CHUNK = 64 * 1024

GUNICORN = ("gunicorn", "--threads=16", "--no-control-socket", "--bind=fd://{fd}")
SERVERS: dict[str, tuple[str, ...]] = {
    "flask-gunicorn": (*GUNICORN, "flask_receiver:app"),
    "django-gunicorn": (*GUNICORN, "django_receiver:application"),
    "fastapi-uvicorn": ("uvicorn", "--fd={fd}", "fastapi_receiver:app"),
    "fastapi-hypercorn": ("hypercorn", "--bind=fd://{fd}", "fastapi_receiver:app"),
    "fastapi-daphne": ("daphne", "--fd={fd}", "fastapi_receiver:app"),
}


class Program:
    """A server that runs an example. ``said`` is the file with what it says."""

    def __init__(self, name: str, directory: Path, said: Path) -> None:
        self.said = said
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listening, said.open("wb") as output:
            fd = listening.fileno()
            module, *arguments = (word.format(fd=fd) for word in SERVERS[name])
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=EXAMPLES,
                env={**os.environ, "UPLOADS": str(directory), "UPLOAD_TOKENS": TOKENS, "PYTHONDONTWRITEBYTECODE": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[fd],
            )
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/upload/"


@pytest.fixture(params=SERVERS, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def incoming(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where finished uploads go."""
    return tmp_path_factory.mktemp("incoming")


@pytest.fixture(scope="module")
def stale(incoming: Path) -> Path:
    """The record of an upload that ended long ago."""
    Sample(identifier="stale").send(Receiver(incoming), 1, 2)
    (record,) = incoming.glob(".resumable/*/record")
    os.utime(record, (0, 0))
    return record


@pytest.fixture(scope="module")
def program(name: str, incoming: Path, stale: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The example, running for all tests. It ends when it is told to."""
    program = Program(name, incoming, tmp_path_factory.mktemp("said") / "log")
    try:
        yield program
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(60) in (0, -signal.SIGTERM)
    finally:
        program.process.kill()
        program.process.wait(60)


@pytest.fixture
def url(program: Program) -> str:
    return program.url


@pytest.fixture
def path(name: str, request: pytest.FixtureRequest) -> str:
    """The relative path of an upload that is this test's own."""
    return f"{name}/vidéo-{request.node.name}"


@pytest.fixture
def ask(url: str) -> Callable[..., requests.Response]:
    """``ask(method, path)`` is a request to the example."""

    def ask(method: str, path: str = "", **options: Any) -> requests.Response:
        return requests.request(method, urljoin(url, path), allow_redirects=False, timeout=60, **options)

    return ask


def upload(url: str, path: str, data: bytes, headers: dict[str, str], **options: Any) -> int:
    """The bytes that were there already."""
    with Resumable(url, CHUNK, headers=headers, **options) as session:
        file = session.add_file(data, relative_path=path, unique_identifier=path)
    return file.bytes_skipped


def test_a_file_is_uploaded_and_a_second_run_finds_it(url: str, incoming: Path, path: str) -> None:
    data = os.urandom(11 * CHUNK + 12345)
    assert upload(url, path, data, ADA) == 0
    assert (incoming / "ada" / path).read_bytes() == data
    assert upload(url, path, data, ADA) == len(data)


@pytest.mark.parametrize("method", ["multipart", "octet"])
def test_what_is_missing_is_sent(url: str, incoming: Path, path: str, method: str, begin: Callable[..., None]) -> None:
    data = os.urandom(4 * CHUNK)
    begin(url, data, 1, chunk_size=CHUNK, headers=ADA, method=method, relative_path=path, unique_identifier=path)
    assert not (incoming / "ada" / path).exists()
    assert upload(url, path, data, ADA, method=method) == CHUNK
    assert (incoming / "ada" / path).read_bytes() == data


def test_who_is_not_known_is_refused(url: str, incoming: Path, path: str) -> None:
    with pytest.raises(UploadFailed) as caught:
        upload(url, path, bytes(CHUNK), {"Authorization": "Bearer wrong"})
    assert isinstance(caught.value.errors[0], AuthenticationRefused)
    assert not (incoming / "ada" / path).exists()


def test_users_have_uploads_and_folders_of_their_own(
    url: str, incoming: Path, path: str, ask: Callable[..., requests.Response]
) -> None:
    for number, headers in enumerate((ADA, GRACE)):
        assert upload(url, path, bytes([number]) * CHUNK, headers) == 0
    assert [(incoming / user / path).read_bytes()[0] for user in ("ada", "grace")] == [0, 1]
    upload(url, f"{path}-2", bytes(CHUNK), ADA)
    listed = [ask("GET", "uploads", headers=headers).json()["uploads"] for headers in (ADA, GRACE)]
    assert [f"ada/{path}-2" in [upload["name"] for upload in uploads] for uploads in listed] == [True, False]


def test_what_the_application_answers_reaches_the_client(url: str, program: Program, path: str) -> None:
    with Resumable(url, CHUNK, headers=ADA) as session:
        file = session.add_file(bytes(CHUNK), relative_path=path)
    assert file.result is not None
    assert file.result["url"] == f"/files/ada/{path}"
    eventually(lambda: f"ada sent 'ada/{path}', {CHUNK} bytes" in program.said.read_text("utf-8"))


# The application is the same in each of the last three servers, so that two of them are tried at night.
@pytest.mark.parametrize("name", list(SERVERS)[: sized(3, len(SERVERS))], indirect=True)
def test_it_passes_all_checks_of_a_server(url: str, incoming: Path) -> None:
    with Target(url, headers=ADA, files=incoming / "ada") as target:
        failed = {result.check.name: result.reason for result in run_checks(target) if result.reason}
    assert not failed


def test_the_page_and_its_parts_are_where_it_is_mounted(ask: Callable[..., requests.Response]) -> None:
    page = ask("GET")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    script = ask("GET", "page.js")
    assert script.status_code == 200
    assert script.headers["Content-Type"].startswith("text/javascript")
    moved = ask("GET", "../upload")
    assert moved.status_code in (301, 307, 308)
    assert urlsplit(moved.headers["Location"]).path == "/upload/"
    assert ask("GET", "nothing").status_code == 404
    assert ask("DELETE").status_code == 405
    assert "upload/" in ask("GET", "/").text


def test_a_client_that_vanishes_in_the_middle_of_a_chunk_leaves_nothing(url: str, incoming: Path, path: str) -> None:
    place = urlsplit(url)
    query = (
        f"resumableChunkNumber=1&resumableChunkSize={CHUNK}&resumableTotalSize={CHUNK}&resumableTotalChunks=1"
        f"&resumableIdentifier={quote(path)}&resumableRelativePath={quote(path)}"
        f"&resumableFilename={quote(path.rpartition('/')[2])}"
    )
    head = f"POST {place.path}?{query} HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer token1\r\n"
    with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
        connection.sendall(f"{head}Content-Length: {CHUNK}\r\n\r\n".encode() + bytes(1000))
        # RST instead of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    data = os.urandom(CHUNK)
    assert upload(url, path, data, ADA) == 0
    assert (incoming / "ada" / path).read_bytes() == data


def test_a_body_of_unknown_length_is_refused(ask: Callable[..., requests.Response]) -> None:
    answer = ask("POST", "?resumableChunkNumber=1", data=iter([b"some", b"bytes"]), headers=ADA)
    assert answer.status_code in (400, 411)


def test_a_body_that_is_too_long_is_refused_before_it_is_sent(name: str, url: str) -> None:
    if name == "fastapi-daphne":
        pytest.skip("Daphne receives bodies whole before it calls the application")
    place = urlsplit(url)
    head = f"POST {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {1 << 40}\r\n\r\n"
    with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_it_sweeps_from_its_first_request_on(url: str, stale: Path, ask: Callable[..., requests.Response]) -> None:
    assert ask("GET").status_code == 200
    eventually(lambda: not stale.exists())
