"""Every message on the page about troubleshooting is what the program says in that case, word for word."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from support.certificates import server_context
from support.pages import blocks
from support.scripted_server import Answer, Request, ScriptedServer, holding

from resumable import Resumable, UploadFailed
from resumable.receiver import Receiver, Server

pytestmark = pytest.mark.once

NGINX = "<html><head><title>413 Request Entity Too Large</title></head><body><hr>nginx</body></html>"
SHOP = "<!DOCTYPE html><html><head><title>Welcome to our shop</title></head><body>Hello</body></html>"
LOG_IN = "<!DOCTYPE html><html><head><title>Log in</title></head><body><form><input type=password></form></body></html>"
CSRF = "<html><title>403 Forbidden</title><p>CSRF verification failed. Request aborted.</p></html>"
HTML = {"Content-Type": "text/html"}


def in_one_line(text: str) -> str:
    """The text without what differs from one time to the next: addresses, folders, times, which chunk was first."""
    text = re.sub(r"\bhttps?://[^\s)]+", "URL", " ".join(text.split()))
    text = re.sub(r"'/\S+/(?=video.mp4')", "'/data/", text)
    text = re.sub(r"\d{4}-\d\d-\d\d [\d:.]+", "TIME", text)
    return re.sub(r"\bchunk \d+/", "chunk 1/", text)


MESSAGES = [in_one_line(block.code) for block in blocks("docs/troubleshooting.rst") if block.language == "text"]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A file of five chunks."""
    path = tmp_path / "video.mp4"
    path.write_bytes(bytes(5 * 1024 * 1024))
    return path


def failure(path: Path, target: str, **options: Any) -> str:
    """What an upload of the file fails with."""
    with pytest.raises(UploadFailed) as failed, Resumable(target, **{"chunk_retry_interval": 0, **options}) as session:
        session.add_file(path)
    return str(failed.value.errors[0])


def test_every_message_has_its_case() -> None:
    assert len(MESSAGES) == len(set(MESSAGES)) == len(ANSWERS) + len(CASES) + 1


ANSWERS: Mapping[str, Answer] = {
    "too large": (413, NGINX, HTML),
    "a page": (200, SHOP, HTML),
    "a page to log in": (200, LOG_IN, HTML),
    "a redirect to log in": (302, "", {"Location": "/login"}),
    "a redirect": (301, "", {"Location": "/upload/new/"}),
    "forbidden": (403,),
    "forged": (403, CSRF, HTML),
    "method": (405,),
    "bad request": (400,),
    "error": (500,),
    "away": (503,),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_what_is_said_of_an_answer_is_on_the_page(answer: Answer, video: Path) -> None:
    def behave(request: Request) -> Answer:
        return (404,) if request.chunk is None else answer

    with ScriptedServer(behave=behave) as server:
        assert in_one_line(failure(video, server.url, max_chunk_retries=2)) in MESSAGES


def limited(video: Path) -> str:
    with Server(Receiver(video.parent / "in", max_total_size=1000)) as server:
        return failure(video, server.url)


def other_chunk_size(video: Path, begin: Callable[..., None]) -> str:
    with Server(video.parent / "in") as server:
        begin(server.url, video, 1)
        return failure(video, server.url, chunk_size=2 * 1024 * 1024)


def without_token(video: Path) -> str:
    with Server(Receiver(video.parent / "in", token="right")) as server:
        return failure(video, server.url)


def wrong_path(video: Path) -> str:
    with Server(video.parent / "in") as server:
        return failure(video, f"{server.url}files")


def nobody(video: Path, silent_port: int) -> str:
    return failure(video, f"http://127.0.0.1:{silent_port}/", max_chunk_retries=2)


def silent(video: Path) -> str:
    with ScriptedServer(behave=holding) as server:
        return failure(video, server.url, timeout=0.5, max_chunk_retries=1, simultaneous_uploads=1)


def tls_to_plain(video: Path) -> str:
    with Server(video.parent / "in") as server:
        return failure(video, server.url.replace("http", "https"))


def plain_to_tls(video: Path) -> str:
    with ScriptedServer(context=server_context(trustme.CA())) as server:
        return failure(video, server.url.replace("https", "http"))


def not_trusted(video: Path) -> str:
    with ScriptedServer(context=server_context(trustme.CA())) as server:
        return failure(video, server.url)


def changed(video: Path) -> str:
    def write(chunk: object) -> None:
        with video.open("ab") as file:
            file.write(b"more")

    with Server(video.parent / "in") as server:
        return failure(video, server.url, preprocess=write, simultaneous_uploads=1)


CASES: list[Callable[..., str]] = [
    limited,
    other_chunk_size,
    without_token,
    wrong_path,
    nobody,
    silent,
    tls_to_plain,
    plain_to_tls,
    not_trusted,
    changed,
]


@pytest.mark.parametrize("case", CASES)
def test_what_is_said_in_a_case_is_on_the_page(
    case: Callable[..., str], video: Path, begin: Callable[..., None], silent_port: int
) -> None:
    wanted = {"begin": begin, "silent_port": silent_port}
    asked = [name for name in wanted if name in case.__annotations__]
    assert in_one_line(case(video, **{name: wanted[name] for name in asked})) in MESSAGES


def test_the_message_in_the_readme_is_one_of_these() -> None:
    (message,) = (block.code for block in blocks("README.rst") if block.language == "text")
    assert in_one_line(message) in MESSAGES


def test_the_warning_about_tests_is_on_the_page(video: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "resumable"), ScriptedServer() as server, Resumable(server.url) as session:
        session.add_file(video)
    assert in_one_line(caplog.messages[0]) in MESSAGES
