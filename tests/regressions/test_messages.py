"""What is said of a failure: what happened, to what, and what to do, in words that hold."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import make_server

import pytest
import trustme
from support.breaking_proxy import reset
from support.client import content, upload
from support.scripted_server import Request, ScriptedServer, answer

from resumable import (
    AuthenticationRefused,
    OptionError,
    RedirectRefused,
    Resumable,
    RetriesExhausted,
    ServerRefused,
    SourceChanged,
    SourceError,
    TransportError,
    UnknownOption,
)
from resumable import (
    upload as upload_one,
)
from resumable.protocol.pages import summary
from resumable.receiver import Application, Receiver, Server

BLIND: dict[str, Any] = {"test_chunks": False}


def said(run: Any, kind: type[Exception] = ServerRefused) -> str:
    """The text of the one error, which is of this kind."""
    assert type(run.error) is kind
    text = str(run.error)
    assert all(letter.isprintable() for letter in text)
    return text


# -- whether it was tried again -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 500, 501])
def test_what_is_not_retried_is_said_to_be_not_retried(status: int) -> None:
    with ScriptedServer(otherwise=answer(status)) as server:
        run = upload(server.url, content(10), **BLIND)
    assert run.error.ending == "not retried"
    assert "(not retried)" in str(run.error)


def test_what_is_refused_after_retries_names_the_attempt() -> None:
    with ScriptedServer(answer(502), answer(502), otherwise=answer(415)) as server:
        run = upload(server.url, content(10), **BLIND)
    assert "(attempt 3, not retried)" in said(run)


def test_retries_that_are_used_up_are_counted() -> None:
    with ScriptedServer(otherwise=answer(502)) as server:
        run = upload(server.url, content(10), max_chunk_retries=2, **BLIND)
    assert "(attempt 3 of 3)" in said(run, RetriesExhausted)


def test_no_retries_allowed_means_not_retried() -> None:
    with ScriptedServer(otherwise=answer(502)) as server:
        run = upload(server.url, content(10), max_chunk_retries=0, **BLIND)
    assert "(not retried)" in said(run, RetriesExhausted)


def test_the_end_of_retry_for_is_said_to_be_that() -> None:
    with ScriptedServer(otherwise=answer(502)) as server:
        run = upload(server.url, content(10), retry_for=0.3, **BLIND)
    text = said(run, RetriesExhausted)
    assert f"(attempt {len(server.requests)}, nothing got through for 0.3 s, the limit of retry_for)" in text
    assert "of 101" not in text


def test_a_host_that_is_unknown_is_not_retried() -> None:
    run = upload("http://nowhere.invalid/", content(10))
    assert run.error.ending == "not retried"


def test_the_error_survives_pickling_with_all_that_it_says() -> None:
    with ScriptedServer(otherwise=answer(404)) as server:
        run = upload(server.url, content(10), **BLIND)
    assert str(pickle.loads(pickle.dumps(run.error))) == str(run.error)


# -- limits of our receiver, and of others ------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(application: Application) -> Iterator[str]:
    """The URL of a WSGI application."""
    with make_server("127.0.0.1", 0, application) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_the_limit_of_a_request_wants_smaller_chunks_and_they_help(tmp_path: Path) -> None:
    with mounted(Application(Receiver(tmp_path), max_body=60_000)) as url:
        run = upload(url, content(100_000), chunk_size=100_000)
        assert "lower chunk_size" in said(run)
        run = upload(url, content(100_000), chunk_size=20_000)
        assert run.count("file_success") == 1


def test_the_limit_of_a_file_is_no_matter_of_chunks(tmp_path: Path) -> None:
    with Server(Receiver(tmp_path, max_total_size=50_000)) as server:
        run = upload(server.url, content(100_000), chunk_size=20_000)
    text = said(run)
    assert "chunk_size" not in text
    assert "the operator of the server can raise its limit" in text


def test_the_limit_of_the_number_of_chunks_wants_larger_ones_and_they_help(tmp_path: Path) -> None:
    with Server(Receiver(tmp_path, max_chunks=5)) as server:
        run = upload(server.url, content(100_000), chunk_size=5_000)
        assert "raise chunk_size" in said(run)
        run = upload(server.url, content(100_000), chunk_size=50_000)
        assert run.count("file_success") == 1


@pytest.mark.parametrize(
    ("status", "body", "advice", "never"),
    [
        (413, b"", "lower chunk_size", "quota"),
        (413, b'{"detail": "Storage quota exceeded"}', "quota", "chunk_size"),
        (413, b"File too large. Maximum file size is 1 MB", "whole file", "chunk_size"),
        (500, b"<html><title>Maximum request length exceeded.</title></html>", "lower chunk_size", "hiccups"),
        (
            404,
            b"<html><title>404.13</title><h4>a request that exceeds the request content length.</h4></html>",
            "lower",
            "",
        ),
        (400, b"Request body exceeded settings.DATA_UPLOAD_MAX_MEMORY_SIZE.", "lower chunk_size", "parameters"),
    ],
)
def test_limits_of_foreign_servers_are_told_apart_by_what_they_say(
    status: int, body: bytes, advice: str, never: str
) -> None:
    with ScriptedServer(otherwise=answer(status, body)) as server:
        run = upload(server.url, content(3000), **BLIND)
    _, _, hint = said(run).partition("(not retried)")
    assert advice in hint
    assert not never or never not in hint


# -- an upload that began otherwise --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "advice"),
    [
        ({"chunk_size": 4000}, {"chunk_size": 1000}, "chunk_size=4000 continues it"),
        ({"chunk_size": 4000, "force_chunk_size": True}, {"chunk_size": 4000}, "force_chunk_size=True continues it"),
    ],
)
def test_an_upload_that_began_with_another_cut_says_what_goes_on_with_it(
    before: dict[str, Any], now: dict[str, Any], advice: str, tmp_path: Path
) -> None:
    def identify(path: Any, relative_path: Any) -> str:
        return "one"

    data = content(10_000)
    with Server(Receiver(tmp_path)) as server:
        session = upload(server.url, data, **before, generate_unique_identifier=identify, preprocess=_first_only)
        assert session.result.failed
        run = upload(server.url, data, **now, generate_unique_identifier=identify)
        assert advice in said(run)
        run = upload(server.url, data, **before, generate_unique_identifier=identify)
        assert run.count("file_success") == 1


def _first_only(chunk: Any) -> None:
    if chunk.number > 1:
        raise RuntimeError("enough")


# -- who may ask ---------------------------------------------------------------------------------------------------


def test_a_host_that_is_not_allowed_is_no_matter_of_credentials(tmp_path: Path) -> None:
    with Server(Receiver(tmp_path, allowed_hosts=["example.com"])) as server:
        run = upload(server.url.replace("127.0.0.1", "localhost"), content(10), headers={"Host": "evil.example"})
    text = said(run, AuthenticationRefused)
    assert "allowed_hosts" in text
    assert "credentials" not in text


def test_an_origin_that_is_not_allowed_is_no_matter_of_credentials(tmp_path: Path) -> None:
    with Server(Receiver(tmp_path)) as server:
        run = upload(server.url, content(10), headers={"Origin": "https://evil.example"})
    text = said(run, AuthenticationRefused)
    assert "allowed_origins" in text
    assert "credentials" not in text


# -- pages and tracebacks ------------------------------------------------------------------------------------------

PAGES = Path(__file__).with_name("pages")
REASONS = dict(line.split(": ", 1) for line in (PAGES / "reasons.txt").read_text(encoding="utf-8").splitlines())
"""What is to be shown of each page."""


@pytest.mark.parametrize("name", REASONS)
def test_of_a_page_its_reason_is_shown(name: str) -> None:
    page, reason = (PAGES / f"{name}.html").read_text(encoding="utf-8"), REASONS[name]
    assert summary(page) == reason
    with ScriptedServer(otherwise=answer(415, page.encode())) as server:
        run = upload(server.url, content(3000), **BLIND)
    text = said(run)
    assert reason.replace('"', '\\"') in text
    assert not set("<>") & set(text)


@pytest.fixture(scope="module")
def frameworks() -> Iterator[str]:
    """The URL of a server with views of Django and Flask."""
    program = Path(__file__).with_name("framework_server.py")
    with subprocess.Popen(
        [sys.executable, program], stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdin is not None
        yield f"http://127.0.0.1:{running.stdout.readline().strip()}"
        running.stdin.close()


@pytest.mark.parametrize(
    ("place", "kind", "reason", "advice"),
    [
        ("django/parameters", ServerRefused, "MultiValueDictKeyError at /django/parameters: 'flow", "resumable doctor"),
        ("flask/debugger", ServerRefused, "KeyError: 'flowChunkNumber'", "resumable doctor"),
        ("flask/raises", ServerRefused, "RuntimeError: the disk of the chunks is not mounted", "log of the server"),
        ("django/protected", AuthenticationRefused, "Request aborted. CSRF cookie not set.", "the CSRF token"),
    ],
)
def test_what_a_framework_says_reaches_the_user_with_advice_that_fits(
    frameworks: str, place: str, kind: type[Exception], reason: str, advice: str
) -> None:
    text = said(upload(f"{frameworks}/{place}", content(3000), **BLIND), kind)
    _, _, hint = text.partition("(not retried)")
    assert reason in text
    assert advice in hint
    assert "credentials" not in hint
    assert "<" not in text


# -- other answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [(400, b""), (404, b""), (500, b"IndexError"), (200, b"invalid_resumable_request")])
def test_an_empty_file_that_is_refused_says_that_many_servers_take_none(reply: tuple[int, bytes]) -> None:
    with ScriptedServer(otherwise=answer(*reply)) as server:
        run = upload(server.url, b"", **BLIND)
    assert "take no empty files: min_file_size=1 leaves them out" in said(run)


@pytest.mark.parametrize("status", [401, 413, 503])
def test_an_empty_file_is_not_blamed_for_what_has_another_reason(status: int) -> None:
    with ScriptedServer(otherwise=answer(status)) as server:
        run = upload(server.url, b"", max_chunk_retries=0, **BLIND)
    assert "empty" not in str(run.error)


@pytest.mark.parametrize("status", [202, 204])
def test_a_strange_success_names_success_statuses_after_the_third_time_and_has_no_speed(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    def serve(request: Request) -> None:
        notes = [record.getMessage() for record in caplog.records if "success_statuses" in record.getMessage()]
        assert len(notes) == (len(server.requests) > 3)
        answer(status)(request)

    with ScriptedServer(otherwise=serve) as server:
        run = upload(
            server.url,
            (content(100_000), "a.bin"),
            (content(100_000), "b.bin"),
            chunk_size=100_000,
            **BLIND,
        )
    assert len(run.result.failed) == 2
    assert all("list it in success_statuses" in str(error) for error in run.result.errors)
    assert run.files[0].speed == run.files[0].resumable_obj.speed == 0
    (note,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"list {status} in success_statuses" in note


@pytest.mark.parametrize(
    ("status", "location", "reason", "advice"),
    [
        (301, "/upload/", "redirected to {root}/upload/", "use {root}/upload/ as the target"),
        (302, "/done", "redirected to {root}/done", "use {root}/done as the target if uploads are taken there"),
        (302, "/accounts/login/?next=/upload", "redirected to {root}/accounts/login/", "that looks like a log-in page"),
        (303, "", "redirected to nowhere", "check the target"),
        (301, "ftp://other.example/up", "redirected to nowhere", "check the target"),
        (302, "/upload?again", "redirected to itself", "check the target, and the redirects of the server"),
        (308, "https://other.example/up", "redirected to https://other.example/up", "redirect_origins"),
        (301, "/\x1b[31m<b>", "redirected to {root}/%1B[31m<b>", "use {root}/%1B"),
    ],
)
def test_a_redirect_says_where_to_and_what_that_means(status: int, location: str, reason: str, advice: str) -> None:
    with ScriptedServer(otherwise=answer(status, Location=location)) as server:
        root = server.url.removesuffix("/upload")
        run = upload(server.url, content(10), **BLIND)
    text = said(run, RedirectRefused)
    assert f"→ {status}, {reason.format(root=root)} (not retried); " in text
    assert advice.format(root=root) in text.partition("(not retried)")[2]


def test_a_number_that_cannot_be_read_hides_no_refusal() -> None:
    large = answer(409, b"cut otherwise", Resumable_Server="1", Resumable_Chunk_Size="9" * 5000)
    with ScriptedServer(otherwise=large) as server:
        run = upload(server.url, content(10), **BLIND)
    assert '→ 409 "cut otherwise" (not retried)' in said(run)


def test_a_hook_that_refuses_is_named_whoever_it_is_of() -> None:
    class Plugin:
        name = "strict"

        def attach(self, session: Any) -> None: ...

        def accept_response(self, response: Any) -> bool:
            return False

    with ScriptedServer(otherwise=answer(200, b"stored")) as server:
        by_plugin = upload(server.url, content(10), plugins=[Plugin()], **BLIND)
        by_option = upload(server.url, content(10), accept_response=lambda response: False, **BLIND)
    assert '→ 200, refused by strict.accept_response "stored" (not retried)' in said(by_plugin)
    assert '→ 200, refused by accept_response "stored" (not retried)' in said(by_option)


# -- calls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("unique_identifier", "add_file()"),
        ("mime_type", "add_file()"),
        ("on", "add_file()"),
        ("pattern", "add_directory()"),
        ("raise_errors", "join()"),
        ("verify", "requests.Session"),
        ("auth", "requests.Session"),
        ("token", "headers"),
        ("url", "did you mean 'target'?"),
        ("workers", "did you mean 'simultaneous_uploads'?"),
        ("file_success", "session.on('file_success', handler)"),
        ("on_complete", "session.on('complete', handler)"),
        ("fileSuccess", "session.on('file_success', handler)"),
    ],
)
def test_what_is_no_option_but_known_says_where_it_belongs(name: str, advice: str) -> None:
    with pytest.raises(UnknownOption) as caught:
        upload_one(b"x", "http://127.0.0.1:9/", **{name: "x"})  # type: ignore[arg-type]
    assert advice in str(caught.value)
    assert "parameter_name" not in str(caught.value)


def test_an_async_handler_without_a_loop_says_how_to_pass_one() -> None:
    async def done(file: Any) -> None: ...

    with Resumable("http://127.0.0.1:9/") as session, pytest.raises(OptionError) as caught:
        session.on("file_success", done)
    assert "done is async: make the session in a running loop, or pass loop= to Resumable()" in str(caught.value)


# -- the log -------------------------------------------------------------------------------------------------------


def test_the_log_tells_of_files_at_info_and_of_requests_at_debug_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="resumable")
    with ScriptedServer(answer(503, b"busy", Retry_After="0"), answer(200), otherwise=answer(415, b"no")) as server:
        url = f"{server.url}?token=s3cret"
        headers = {"Authorization": "Bearer s3cret"}
        upload(url, (content(10), "a.bin"), (content(10), "b.bin"), headers=headers, **BLIND)
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    info = [text for level, text in lines if level == "INFO"]
    assert [text.partition(":")[0] for text in info] == [
        "uploading 'a.bin'",
        "trying again",
        "uploaded 'a.bin'",
        "uploading 'b.bin'",
        "failed",
    ]
    debug = [text for level, text in lines if level == "DEBUG"]
    assert [text.partition(" in ")[0] for text in debug] == [
        f"POST {server.url} → {status}" for status in (503, 200, 415)
    ]
    assert "s3cret" not in caplog.text
    assert {level for level, _ in lines} == {"INFO", "DEBUG"}


def test_a_handler_of_a_plugin_that_raises_is_named_with_what_it_raised_and_where(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Tracker:
        name = "tracker"

        def attach(self, session: Any) -> None:
            session.on("file_added", self.added)
            session.on("files_added", lambda: {}["missing"])

        def added(self, file: Any) -> None:
            raise ValueError("no: http://127.0.0.1/?token=s3cret")

    with ScriptedServer(otherwise=answer()) as server, Resumable(server.url, plugins=[Tracker()], **BLIND) as session:
        session.add_file(content(10), relative_path="a.bin")
    line = Tracker.added.__code__.co_firstlineno
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(texts) == 2
    assert "Tracker.added of plugin 'tracker' for file_added raised ValueError: no: " in texts[0]
    assert f"(test_messages.py:{line + 1})" in texts[0]
    assert "of plugin 'tracker' for files_added raised KeyError: 'missing' (test_messages.py:" in texts[1]
    assert "s3cret" not in texts[0]


# -- the other one of http:// and https:// -------------------------------------------------------------------------


class _Port(socketserver.ThreadingTCPServer):
    """A port that answers plain HTTP, or completes handshakes of TLS, and does ``otherwise`` to the rest."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, otherwise: Callable[[socket.socket], None], context: ssl.SSLContext | None) -> None:
        self.otherwise = otherwise
        self.context = context
        super().__init__(("127.0.0.1", 0), _Connection)


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        port: Any = self.server
        is_tls = self.request.recv(1, socket.MSG_PEEK) == b"\x16"
        if is_tls != (port.context is not None):
            port.otherwise(self.request)
        elif is_tls:
            with contextlib.suppress(OSError), port.context.wrap_socket(self.request, server_side=True) as connection:
                connection.recv(1)
        else:
            self.request.recv(65536)
            self.request.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@contextlib.contextmanager
def port_of(otherwise: Callable[[socket.socket], None], context: ssl.SSLContext | None) -> Iterator[int]:
    with _Port(otherwise, context) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def _closes(connection: socket.socket) -> None:
    connection.recv(65536)


def _answers_400(connection: socket.socket) -> None:
    connection.recv(65536)
    body = b"Client sent an HTTP request to an HTTPS server.\n"
    connection.sendall(b"HTTP/1.0 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def _waits(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


@pytest.mark.parametrize("otherwise", [_closes, reset, _answers_400, _waits])
def test_https_to_a_plain_port_is_found_out_at_the_first_attempt(otherwise: Callable[[socket.socket], None]) -> None:
    with port_of(otherwise, None) as port:
        run = upload(f"https://127.0.0.1:{port}/", content(100_000), timeout=(1, 5))
    text = said(run, TransportError)
    assert "the server does not speak TLS here (not retried); if plain HTTP is meant, use http:// in the target" in text


@pytest.mark.parametrize("otherwise", [_closes, reset, _answers_400])
def test_http_to_a_tls_port_is_found_out_at_the_first_attempt(otherwise: Callable[[socket.socket], None]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with port_of(otherwise, context) as port:
        run = upload(f"http://127.0.0.1:{port}/", content(100_000), timeout=(1, 5))
    assert type(run.error) is (ServerRefused if otherwise is _answers_400 else TransportError)
    assert "(not retried); use https:// in the target" in str(run.error)


def test_a_tls_port_that_closes_connections_is_not_taken_for_a_plain_one() -> None:
    with ScriptedServer(to_anything=b"") as server:
        run = upload(server.url.replace("http:", "https:"), content(10), max_chunk_retries=1, timeout=(1, 5))
    assert type(run.error) is RetriesExhausted
    assert "(attempt 2 of 2)" in str(run.error)


# -- sources -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/sys/class/net/lo/mtu").exists(), reason="there is no /sys here")
def test_a_file_whose_size_is_not_what_it_says_is_not_said_to_have_changed() -> None:
    with ScriptedServer() as server:
        run = upload(server.url, Path("/sys/class/net/lo/mtu"), **BLIND)
    text = said(run, SourceError)
    assert "its size is not what it says: it ends at byte" in text
    assert "changed" not in text
    with ScriptedServer() as server:
        run = upload(server.url, (Path("/sys/class/net/lo/mtu").read_bytes(), "mtu"), **BLIND)
    assert run.count("file_success") == 1


def test_the_times_of_a_file_that_changed_are_local_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"1")
    os.utime(path, ns=(0, 1_700_000_000_000_000_000))

    def change(request: Request) -> None:
        os.utime(path, ns=(0, 1_800_000_000_000_000_000))
        answer(404)(request)

    with ScriptedServer(otherwise=change) as server:
        run = upload(server.url, path)
    before, after = (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) for at in (1_700_000_000, 1_800_000_000))
    assert f"(last modified {before} → {after})" in said(run, SourceChanged)
