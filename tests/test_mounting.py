"""The receiver in other people's applications: each example runs as a user would run it, and takes real uploads."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import pytest
import requests

from resumable import AuthenticationRefused, Resumable, UploadFailed

pytestmark = pytest.mark.once

EXAMPLES = Path(__file__).parent.parent / "examples"
TOKENS = {"UPLOAD_TOKEN": "token1", "UPLOAD_TOKENS": "ada=token1 grace=token2"}
ADA = {"Authorization": "Bearer token1"}
GRACE = {"Authorization": "Bearer token2"}
CHUNK = 64 * 1024

Program = subprocess.Popen[str]


@pytest.fixture(params=["asgi_receiver", "django_receiver", "flask_receiver"], scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def running(name: str, directory: Path) -> Iterator[tuple[Program, str]]:
    """The example, and where it says that uploads go."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), str(directory)]
    # What it logs goes where ours goes: nobody would read it from a pipe, which would be full one day.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", env={**os.environ, **TOKENS})
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), url
        yield process, url
    finally:
        process.kill()
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def incoming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where finished uploads go."""
    return tmp_path_factory.mktemp("incoming")


@pytest.fixture(scope="module")
def program(name: str, incoming: Path) -> Iterator[tuple[Program, str]]:
    """The example, running for all tests."""
    with running(name, incoming) as program:
        yield program


@pytest.fixture
def url(program: tuple[Program, str]) -> str:
    return program[1]


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


def test_an_example_without_arguments_says_how_to_call_it(name: str) -> None:
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")], capture_output=True, encoding="utf-8", timeout=60
    )
    assert ran.returncode == 1
    assert f"python examples/{name}.py DIRECTORY" in ran.stderr


@pytest.mark.parametrize("tokens", ["ada", "ada=", "=token1", "ada=token1 grace"])
def test_an_example_does_not_start_with_a_user_who_needs_no_token(name: str, tmp_path: Path, tokens: str) -> None:
    if name == "asgi_receiver":  # which has one token for all
        environment = {"UPLOAD_TOKEN": ""}
    else:
        environment = {"UPLOAD_TOKENS": tokens}
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), str(tmp_path)],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env={**os.environ, **environment},
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "token" in ran.stderr


def test_a_file_is_uploaded_and_a_second_run_finds_it(
    program: tuple[Program, str], url: str, incoming: Path, path: str
) -> None:
    data = os.urandom(11 * CHUNK + 12345)
    assert upload(url, path, data, ADA) == 0
    assert (incoming / path).read_bytes() == data
    assert upload(url, path, data, ADA) == len(data)


@pytest.mark.parametrize("method", ["multipart", "octet"])
def test_what_is_missing_is_sent(url: str, incoming: Path, path: str, method: str, begin: Callable[..., None]) -> None:
    data = os.urandom(4 * CHUNK)
    begin(url, data, 1, chunk_size=CHUNK, headers=ADA, method=method, relative_path=path, unique_identifier=path)
    assert not (incoming / path).exists()
    assert upload(url, path, data, ADA, method=method) == CHUNK
    assert (incoming / path).read_bytes() == data


def test_who_is_not_known_is_refused(url: str, incoming: Path, path: str) -> None:
    with pytest.raises(UploadFailed) as caught:
        upload(url, path, bytes(CHUNK), {"Authorization": "Bearer wrong"})
    assert isinstance(caught.value.errors[0], AuthenticationRefused)
    assert not (incoming / path).exists()


def test_users_have_uploads_of_their_own(name: str, url: str, path: str, ask: Callable[..., requests.Response]) -> None:
    if name == "asgi_receiver":  # which has one token for all
        assert ask("GET", "uploads", headers=GRACE).status_code == 401
        return
    upload(url, path, bytes(CHUNK), ADA)
    listed = [ask("GET", "uploads", headers=headers).json()["uploads"] for headers in (ADA, GRACE)]
    assert [path in [upload["name"] for upload in uploads] for uploads in listed] == [True, False]


def test_the_page_and_its_parts_are_where_it_is_mounted(ask: Callable[..., requests.Response]) -> None:
    page = ask("GET")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    script = ask("GET", "page.js")
    assert script.status_code == 200
    assert script.headers["Content-Type"].startswith("text/javascript")
    moved = ask("GET", "../upload")
    assert moved.status_code in (307, 308)
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
    assert (incoming / path).read_bytes() == data


def test_a_body_of_unknown_length_is_refused(ask: Callable[..., requests.Response]) -> None:
    answer = ask("POST", "?resumableChunkNumber=1", data=iter([b"some", b"bytes"]), headers=ADA)
    assert answer.status_code in (400, 411)


def test_an_example_sweeps(name: str, tmp_path: Path) -> None:
    with running(name, tmp_path) as (_, url):
        upload(url, "video.mp4", bytes(CHUNK), ADA)
    (record,) = tmp_path.glob(".resumable/*/record")
    os.utime(record, (0, 0))
    with running(name, tmp_path):
        deadline = time.monotonic() + 60
        while record.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    assert not record.exists()
    assert (tmp_path / "video.mp4").stat().st_size == CHUNK


def test_an_example_says_what_it_received_and_ends_when_it_is_told(name: str, received: Path) -> None:
    with running(name, received) as (program, url):
        upload(url, "video.mp4", bytes(CHUNK), ADA)
        assert program.stdout is not None
        line = program.stdout.readline()
        assert "'video.mp4'" in line
        assert f"{CHUNK} bytes" in line
        program.send_signal(signal.SIGINT)
        program.wait(60)
