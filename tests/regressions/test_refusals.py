"""What the receiver refuses, over real sockets: the status, what the client is told, and what the operator sees."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import requests
from support.program import Program, start
from support.sample import Sample

from resumable.receiver import Application, FileStore, Receiver, Server, UploadRecord

PATIENCE = 60.0
FILE = Sample(bytes(range(100)), 10, file_name="a.bin", relative_path="a.bin")
OTHER_CUT = replace(FILE, chunk_size=25)

Serve = Callable[..., str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "incoming"


@pytest.fixture
def serve(root: Path) -> Iterator[Serve]:
    """Start a server on the directory; options of the store are given as ``store``."""
    with ExitStack() as running:

        def start(store: dict[str, Any] | None = None, **options: Any) -> str:
            receiver = Receiver(FileStore(root, fsync="never", **(store or {})), **options)
            return running.enter_context(Server(receiver)).url

        yield start


def sent(url: str, sample: Sample = FILE, number: int = 1, **headers: str) -> requests.Response:
    return requests.post(
        url,
        params=sample.pairs(number),
        data=sample.chunk(number),
        headers={"Content-Type": "application/octet-stream", **headers},
        timeout=PATIENCE,
    )


def ask(url: str, sample: Sample = FILE, number: int = 1, **headers: str) -> requests.Response:
    return requests.get(url, params=sample.pairs(number), headers=headers, timeout=PATIENCE)


def uploaded(url: str, sample: Sample = FILE) -> list[int]:
    return [sent(url, sample, number).status_code for number in range(1, sample.count + 1)]


@contextmanager
def served(root: Path, *flags: str) -> Iterator[tuple[Program | subprocess.Popen[str], str]]:
    """Run ``resumable serve``, and stop it; then its standard error is whole."""
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "80"}
    process = start("serve", "--min-chunk-size", "1", *flags, str(root), env=environment)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)


# ---- Another host, another site, another secret ----------------------------------------------------------------------


def test_a_host_that_is_not_configured_is_named_with_the_setting_that_allows_it(root: Path, serve: Serve) -> None:
    url = serve()
    for answer in (sent(url, Host="files.example.org:8080"), ask(url, Host="files.example.org:8080")):
        assert answer.status_code == 403
        for part in ("'files.example.org:8080'", "allowed_hosts", "--allowed-host files.example.org"):
            assert part in answer.text
    with served(root, "--allowed-host", "files.example.org") as (_, advised):
        assert sent(advised, Host="files.example.org:8080").status_code == 200


def test_a_page_of_another_site_is_named_with_the_setting_that_allows_it(root: Path, serve: Serve) -> None:
    url, page = serve(), "https://www.example.org"
    answer = sent(url, Origin=page)
    assert answer.status_code == 403
    for part in (repr(page), "allowed_origins", f"--allowed-origin {page}"):
        assert part in answer.text
    asked = requests.options(url, headers={"Origin": page, "Access-Control-Request-Method": "POST"}, timeout=PATIENCE)
    assert (asked.status_code, asked.text) == (405, answer.text)
    with served(root, "--allowed-origin", page) as (_, advised):
        assert sent(advised, Origin=page).status_code == 200


def test_a_page_without_an_origin_is_not_told_to_allow_it(serve: Serve) -> None:
    answer = sent(serve(), Origin="null")
    assert answer.status_code == 403
    assert "--allowed-origin" not in answer.text
    assert "open the page from a web server" in answer.text


def test_the_operator_sees_that_a_browser_was_refused_before_it_sent_anything(root: Path) -> None:
    with served(root) as (process, url):
        headers = {"Origin": "https://www.example.org", "Access-Control-Request-Method": "POST"}
        assert requests.options(url, headers=headers, timeout=PATIENCE).status_code == 405
        process.send_signal(signal.SIGTERM)
        _, shown = process.communicate(timeout=PATIENCE)
    assert "--allowed-origin https://www.example.org" in shown


@pytest.mark.parametrize(
    ("authorization", "problem"),
    [("", "is missing"), ("Bearer xyzzy", "is wrong"), ("Basic dXNlcjpwYXNz", "are not a token")],
)
def test_a_missing_token_is_told_from_a_wrong_one(serve: Serve, authorization: str, problem: str) -> None:
    answer = sent(serve(token="s3cret"), **({"Authorization": authorization} if authorization else {}))
    assert (answer.status_code, problem in answer.text) == (401, True), answer.text
    assert "s3cret" not in answer.text
    assert "xyzzy" not in answer.text


# ---- Limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("store", "options", "status", "limit"),
    [
        ({}, {"max_total_size": 99}, 413, "file"),
        ({}, {"max_chunks": 9}, 413, "chunks"),
        ({"max_bytes": 99}, {}, 413, "quota"),
        ({"max_bytes": 150}, {}, 507, "quota"),
    ],
)
def test_each_limit_says_which_one_it_is(
    serve: Serve, store: dict[str, Any], options: dict[str, Any], status: int, limit: str
) -> None:
    url = serve(store, **options)
    if status == 507:
        assert sent(url, replace(FILE, identifier="first")).status_code == 200
    answer = sent(url)
    assert (answer.status_code, answer.headers.get("Resumable-Limit")) == (status, limit)
    (option,) = (*store, *options)
    assert option in answer.text
    assert str((*store.values(), *options.values())[0]) in answer.text


def test_a_request_that_is_too_long_is_told_from_a_file_that_is(root: Path) -> None:
    class Quiet(WSGIRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

    application = Application(Receiver(FileStore(root, fsync="never"), max_total_size=1000), max_body=50)
    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        server.timeout = PATIENCE
        thread = threading.Thread(target=lambda: [server.handle_request() for _ in range(3)])
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        try:
            answers = [sent(url, replace(FILE, chunk_size=size)) for size in (100, 50, 10)]
        finally:
            thread.join(PATIENCE)
    assert [answer.status_code for answer in answers] == [413, 200, 409]
    assert answers[0].headers["Resumable-Limit"] == "request"
    assert "use a smaller chunk size" in answers[0].text


def test_the_chunk_size_that_is_advised_is_taken(serve: Serve) -> None:
    url = serve(max_chunks=7)
    for force in (False, True):
        refused = sent(url, replace(FILE, force=force))
        assert refused.headers["Resumable-Limit"] == "chunks"
        advised = re.search(r"at least (\d+) bytes", refused.text)
        assert advised
        taken = replace(FILE, force=force, chunk_size=int(advised[1]), identifier=str(force), relative_path=str(force))
        assert uploaded(url, taken)[-1] == 201
    url = serve(min_chunk_size=20)
    refused = sent(url)
    assert (refused.status_code, "at least 20 bytes" in refused.text) == (400, True)
    assert uploaded(url, replace(FILE, chunk_size=20, identifier="larger"))[-1] == 201


# ---- Another cut -----------------------------------------------------------------------------------------------------


def test_another_chunk_size_in_the_middle_says_which_one_goes_on(serve: Serve) -> None:
    url = serve()
    assert sent(url).status_code == 200
    for answer in (sent(url, OTHER_CUT), ask(url, OTHER_CUT)):
        assert (answer.status_code, answer.headers["Resumable-Chunk-Size"]) == (409, "10")
        assert "chunk_size=10 (--chunk-size 10)" in answer.text
    assert uploaded(url)[-1] == 201


@pytest.mark.parametrize("force", [False, True])
def test_another_cut_with_the_same_chunk_size_says_which_flag_goes_on(serve: Serve, force: bool) -> None:
    url = serve()
    began = Sample(bytes(25), 10, force)
    assert sent(url, began).status_code == 200
    answer = sent(url, replace(began, force=not force))
    assert answer.status_code == 409
    assert f"force_chunk_size={force}" in answer.text
    assert "--chunk-size" not in answer.text
    assert uploaded(url, began)[-1] == 201


@pytest.mark.parametrize("end", ["finished", "finished and deleted", "swept", "discarded", "forgotten"])
def test_another_chunk_size_is_taken_when_the_upload_is_finished_or_gone(root: Path, serve: Serve, end: str) -> None:
    url = serve({"stale_after": 0} if end == "swept" else {})
    store = FileStore(root, stale_after=0)
    if end == "swept":
        assert sent(url).status_code == 200
        assert store.sweep() == 1
    elif end == "discarded":
        wrong = replace(FILE, extra={"resumableFileSha256": "0" * 64})
        assert uploaded(url, wrong)[-1] == 409
    else:
        assert uploaded(url)[-1] == 201
    if end == "finished and deleted":
        (root / "a.bin").unlink()
    elif end == "forgotten":
        (status,) = store.uploads()
        assert Receiver(root).forget(status.record)
    whole = end == "finished"
    assert ask(url, OTHER_CUT).status_code == (200 if whole else 204)
    assert uploaded(url, OTHER_CUT)[-1] == (200 if whole else 201)
    assert (root / ("a (1).bin" if end == "forgotten" else "a.bin")).read_bytes() == FILE.data


def test_a_file_whose_hook_failed_is_finished_with_another_chunk_size_too(root: Path, serve: Serve) -> None:
    calls: list[str | None] = []

    def hook(record: UploadRecord) -> None:
        calls.append(record.published)
        if len(calls) == 1:
            raise LookupError("not yet")

    url = serve(on_file_received=hook)
    assert uploaded(url)[-1] == 500
    assert [ask(url, OTHER_CUT, number).status_code for number in (1, 2, 3, 4)] == [200, 200, 200, 204]
    assert sent(url, replace(OTHER_CUT, data=bytes(100)), 4).status_code == 409
    assert ask(url, replace(OTHER_CUT, data=bytes(50))).status_code == 409
    assert sent(url, OTHER_CUT, 4).status_code == 201
    assert calls == ["a.bin", "a.bin"]
    assert ask(url, OTHER_CUT, 4).status_code == 200
    assert [path.name for path in root.iterdir() if path.is_file()] == ["a.bin"]


# ---- A failure inside ------------------------------------------------------------------------------------------------


def test_the_reason_of_a_failure_is_in_the_log_under_the_number_that_the_client_sees(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def hook(record: UploadRecord) -> None:
        raise LookupError("no such customer")

    url = serve(on_file_received=hook)
    with caplog.at_level(logging.ERROR, "resumable.receiver"):
        answer = sent(url, replace(FILE, chunk_size=100))
    number = re.search(r"request ([0-9a-f]{8})", answer.text)
    assert answer.status_code == 500
    assert number
    assert "customer" not in answer.text
    (record,) = [record for record in caplog.records if number[1] in record.getMessage()]
    assert "LookupError: no such customer" in record.getMessage()
    assert record.exc_info


@pytest.mark.parametrize("flags", [[], ["--quiet"], ["--processes", "2"]])
def test_serve_shows_the_reason_of_a_failure_under_the_number_that_the_client_sees(
    root: Path, flags: list[str]
) -> None:
    with served(root, *flags) as (process, url):
        assert sent(url).status_code == 200
        # Something that only a person could have done.
        (upload,) = [path for path in (root / ".resumable").iterdir() if path.is_dir()]
        (upload / "part").unlink()
        (upload / "part").mkdir()
        answer = sent(url, number=2)
        assert answer.status_code == 500
        number = re.search(r"request ([0-9a-f]{8})", answer.text)
        assert number
        process.send_signal(signal.SIGTERM)
        _, shown = process.communicate(timeout=PATIENCE)
    (line,) = [line for line in shown.splitlines() if number[1] in line and line.startswith("error: ")]
    assert "IsADirectoryError" in line
    assert str(root) not in answer.text


# ---- TLS to a port that speaks plain HTTP ----------------------------------------------------------------------------


def test_a_client_that_speaks_tls_is_recognised_at_once(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    url = serve()
    port = int(url.rstrip("/").rpartition(":")[2])
    context = ssl.create_default_context()
    with caplog.at_level(logging.WARNING, "resumable.receiver"):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain, pytest.raises(ssl.SSLError):
            context.wrap_socket(plain, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw:
            raw.sendall(b"\x16\x03\x01\x00\x05hello")
            raw.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: raw.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"http://" in answer
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert all("127.0.0.1" in line and "TLS" in line for line in lines)


def test_serve_shows_that_a_client_speaks_tls(root: Path) -> None:
    with served(root) as (process, url):
        with pytest.raises(requests.exceptions.SSLError) as refused:
            requests.get(url.replace("http://", "https://"), timeout=PATIENCE)
        process.send_signal(signal.SIGTERM)
        _, shown = process.communicate(timeout=PATIENCE)
    warnings = [line for line in shown.splitlines() if line.startswith("warning: ")]
    assert any("TLS" in line for line in warnings), f"after {refused.value} it showed {shown!r}"


# ---- In general ------------------------------------------------------------------------------------------------------


def test_a_name_that_is_taken_and_one_that_leads_out_are_said_with_the_name(root: Path, serve: Serve) -> None:
    url = serve({"existing": "refuse"})
    root.mkdir(exist_ok=True)
    (root / "a.bin").write_bytes(b"")
    refused = uploaded(url, replace(FILE, chunk_size=100))
    assert refused == [409]
    assert "'a.bin'" in sent(url, replace(FILE, chunk_size=100)).text
    outside = sent(url, replace(FILE, relative_path="../a.bin"))
    assert (outside.status_code, "'../a.bin'" in outside.text) == (400, True)


def test_a_request_to_another_path_is_told_where_uploads_go(serve: Serve) -> None:
    answer = sent(f"{serve()}upload")
    assert (answer.status_code, answer.text) == (404, "There is nothing at '/upload': send uploads to '/'.\n")


@pytest.mark.parametrize(
    ("line", "status", "advice"),
    [
        (b"PRI * HTTP/2.0", 505, b"use HTTP/1.1"),
        (b"CONNECT example.org:443 HTTP/1.1", 405, b"not a proxy"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip", 501, b"send a Content-Length"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked", 411, b"Content-Length"),
    ],
)
def test_a_request_that_the_server_cannot_read_is_told_what_it_can(
    serve: Serve, line: bytes, status: int, advice: bytes
) -> None:
    port = int(serve().rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(line + b"\r\nHost: localhost\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert (answer.startswith(b"HTTP/1.1 %d " % status), advice in answer) == (True, True), answer


@pytest.mark.parametrize("name", ["\x1b[2J", "a\r\nb", "<script>"])
def test_what_a_client_sent_comes_back_without_control_characters(serve: Serve, name: str) -> None:
    answer = sent(serve(), replace(FILE, relative_path=f"../{name}"))
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text.rstrip("\n").isprintable()
