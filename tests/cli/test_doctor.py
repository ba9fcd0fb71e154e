"""``resumable doctor``: what it finds on the way to a server and in how that speaks, and what it leaves there."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import requests
import trustme
from support.advice import advised, findings, follow
from support.certificates import server_context
from support.command import Run, tree
from support.scripted_server import Request, ScriptedServer, Step, answer, hold, raw
from support.terminal import Terminal

from resumable.receiver import FileStore, Receiver, Server

pytestmark = pytest.mark.once

MIB = 1024 * 1024


class Picky:
    """A server that keeps chunks, and says 400 to those that it does not understand."""

    def __init__(self, *, test: int | None = None, **rules: bool) -> None:
        self._stored: set[tuple[str, str]] = set()
        self._test = test
        self._rules = rules

    def __call__(self, request: Request) -> None:
        request.read()
        parameters = request.parameters or self._form(request.body)
        key = parameters.get("resumableIdentifier", ""), parameters.get("resumableChunkNumber", "")
        if request.method == "GET":
            status = self._test or (200 if key in self._stored else 404)
        else:
            status = 200 if parameters and self._understands(request, parameters) else 400
        if request.method != "GET" and status == 200 and not self._rules.get("forgets"):
            self._stored.add(key)
        answer(status, read=False)(request)

    def _understands(self, request: Request, parameters: Mapping[str, str]) -> bool:
        rules = self._rules
        in_form = b'name="resumableIdentifier"' in request.body
        current, each = int(parameters["resumableCurrentChunkSize"]), int(parameters["resumableChunkSize"])
        first = parameters["resumableChunkNumber"] == "1"
        return not (
            (rules.get("form_only") and request.parameters)
            or (rules.get("query_only") and in_form)
            or (rules.get("octet_only") and "multipart" in request.headers["content-type"])
            or (rules.get("ceil_only") and current > each)
            or (rules.get("floor_only") and current < each and not first)
        )

    @staticmethod
    def _form(body: bytes) -> dict[str, str]:
        pairs = re.findall(rb'name="(resumable[^"]+)"\r\n\r\n([^\r]*)\r\n', body)
        return {name.decode(): value.decode() for name, value in pairs}


def test_a_good_server_is_found_good_and_what_stays_there_is_named(run: Run, server: Server, received: Path) -> None:
    ran = run("doctor", "--yes", server.url)
    assert ran.code == 0
    found = findings(ran.err)
    assert {row.partition(":")[0] for row in found.values()} == {"ok"}
    assert found["proxy"] == "ok: none"
    assert found["netrc"] == "ok: none"
    assert found["test"].endswith(" 204")
    assert {"chunk", "resuming", "chunk size"} <= found.keys()
    assert advised(ran.err) == ["upload", "FILE", server.url]
    stored = tree(received)
    assert sorted(map(len, stored.values())) == [3 * 64 * 1024 - 1, 2 * MIB - 1]
    assert all(f"{name} (" in found["left there"] for name in stored)
    assert any(b"It can be deleted." in content for content in stored.values())
    with requests.get(f"{server.url}uploads") as listing:
        assert len(listing.json()["uploads"]) == len(stored)


def test_it_asks_before_it_uploads(work: Path, server: Server, received: Path) -> None:
    with Terminal(["doctor", server.url], work) as terminal:
        terminal.until(lambda text: "Upload test files (192 KiB and 2.00 MiB)" in text)
        terminal.type("n")
        assert terminal.end() == 0
    assert tree(received) == {}
    assert not list(received.glob(".resumable/*"))
    with Terminal(["doctor", server.url], work) as terminal:
        terminal.until(lambda text: "Upload test files (192 KiB and 2.00 MiB)" in text)
        terminal.type("y")
        assert terminal.end() == 0
    assert len(tree(received)) == 2


def test_without_a_terminal_nothing_is_uploaded_and_that_is_a_failure(run: Run, server: Server, received: Path) -> None:
    ran = run("doctor", server.url)
    assert ran.code == 2
    assert "Nothing was uploaded: no terminal to ask on. Pass --yes to send a small test file." in ran.text
    assert advised(ran.err) == []
    assert not list(received.glob(".resumable/*"))
    wrong = run("doctor", f"{server.url}nothing-here")
    assert wrong.code == 4
    assert "this is not an upload endpoint: check the path of the URL" in wrong.text


def test_a_question_never_sends_a_chunk(run: Run) -> None:
    with ScriptedServer(otherwise=answer(503)) as server:
        run("doctor", server.url)
        assert {request.method for request in server.requests} == {"GET"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("serve", "what", "prescription"),
    [
        (Picky(test=405), "resuming", "--no-test-chunks"),
        (Picky(test=200), "resuming", "--no-test-chunks"),
        (Picky(forgets=True), "resuming", "--no-test-chunks"),
        (Picky(form_only=True), "chunk", "--params-in form"),
        (Picky(query_only=True), "chunk", "--params-in query"),
        (Picky(octet_only=True), "chunk", "--method octet"),
        (Picky(ceil_only=True), "chunk", "--force-chunk-size"),
        (Picky(octet_only=True, ceil_only=True), "chunk", "--method octet --force-chunk-size"),
        (Picky(floor_only=True), "", ""),
    ],
)
def test_the_habits_of_a_server_are_found_and_the_flags_for_it(
    serve: Step, what: str, prescription: str, run: Run, make: Callable[..., Path]
) -> None:
    path = make("a.bin", 3 * MIB - 1)
    with ScriptedServer(otherwise=serve) as server:
        ran = run("doctor", "-y", server.url)
        assert ran.code == 0, ran.err
        marked = re.findall(r"^note +(\S+)", ran.err, re.MULTILINE)
        assert not what or what in marked
        typed, ran = follow(run, path.name, server.url)
        assert typed == ["upload", *prescription.split(), "FILE", server.url]
        assert ran.code == 0


def test_a_server_that_refuses_every_last_chunk_is_no_place_for_uploads(run: Run) -> None:
    with ScriptedServer(otherwise=Picky(ceil_only=True, floor_only=True)) as server:
        ran = run("doctor", "-y", server.url)
    assert ran.code == 4
    assert findings(ran.err)["chunk"].startswith("bad: refused with 400")
    assert advised(ran.err) == []


@pytest.mark.parametrize(
    ("serve", "code", "what", "text"),
    [
        (answer(401), 6, "test", "bad: refused with 401 →"),
        (answer(403), 6, "test", "bad: refused with 403 →"),
        (answer(407), 6, "test", "bad: refused with 407 →"),
        (answer(302, Location="http://127.0.0.1:9/"), 4, "test", "bad: the server answers 302, which leads to http://"),
        (answer(413), 4, "chunk", "bad: refused with 413 →"),
        (answer(429), 5, "chunk", "bad: refused with 429 →"),
        (answer(500), 4, "chunk", "bad: refused with 500 →"),
        (answer(507), 5, "chunk", "bad: refused with 507 →"),
    ],
)
def test_what_is_wrong_is_said_with_its_exit_code(serve: Step, code: int, what: str, text: str, run: Run) -> None:
    with ScriptedServer(otherwise=serve) as server:
        ran = run("doctor", "-y", server.url)
    assert ran.code == code
    assert findings(ran.err)[what].startswith(text)
    assert "upload" not in advised(ran.err)


def test_a_web_page_is_taken_for_one(run: Run) -> None:
    with ScriptedServer(otherwise=answer(200, b"<!DOCTYPE html><html></html>")) as server:
        ran = run("doctor", server.url)
    assert findings(ran.err)["test"].startswith("note: ")
    assert findings(ran.err)["test"].endswith("a web page → check the path of the URL")


@pytest.mark.slow
def test_a_server_that_hangs_up_gives_no_answer(run: Run) -> None:
    def hang_up(request: Request) -> None:
        request.close()

    with ScriptedServer(otherwise=hang_up) as server:
        ran = run("doctor", server.url)
    assert ran.code == 5
    assert findings(ran.err)["test"].startswith("bad: no usable answer came back: Remote end closed connection")


def test_nobody_listening_and_nobody_known(run: Run, silent_port: int) -> None:
    ran = run("doctor", f"http://127.0.0.1:{silent_port}/")
    assert ran.code == 5
    assert (
        f"no connection to 127.0.0.1 port {silent_port} (127.0.0.1: Connection refused)"
        in findings(ran.err)["connection"]
    )
    ran = run("doctor", "http://no-such-host.invalid/")
    assert ran.code == 5
    assert findings(ran.err)["name"].startswith("bad: no-such-host.invalid is unknown (")


def test_an_address_that_does_not_answer_beside_one_that_does_is_noted(run: Run) -> None:
    if len({row[4][0] for row in socket.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)}) < 2:
        pytest.skip("localhost has one address here")
    with ScriptedServer() as server:
        ran = run("doctor", server.url.replace("127.0.0.1", "localhost"))
    assert "but not at ::1: Connection refused" in findings(ran.err)["connection"]


def test_the_proxy_of_the_environment_is_named_without_its_password(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://me:s3cret@127.0.0.1:9")
    ran = run("doctor", server.url)
    assert ran.code == 5
    found = findings(ran.err)
    assert found["proxy"].startswith("ok: through http://127.0.0.1:9, from the environment → NO_PROXY=127.0.0.1")
    assert "no connection to 127.0.0.1 port 9" in found["connection"]
    assert "s3cret" not in ran.err
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    ran = run("doctor", "-y", server.url)
    assert ran.code == 0
    assert findings(ran.err)["proxy"] == "ok: none for this host (http_proxy set for others)"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("machine 127.0.0.1 login me password s3cret\n", "ok: {path} has a user and a password for 127.0.0.1"),
        ("machine example.com login me password s3cret\n", "ok: {path} has nothing for 127.0.0.1"),
        ("nonsense s3cret\n", "note: {path} cannot be used: "),
    ],
)
def test_netrc_is_looked_into(content: str, text: str, run: Run, server: Server, tmp_path: Path) -> None:
    path = tmp_path / ".netrc"
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    ran = run("doctor", server.url)
    assert findings(ran.err)["netrc"].startswith(text.format(path=path))
    assert "s3cret" not in ran.err


def test_a_receiver_that_has_what_was_never_sent_is_none(run: Run) -> None:
    with ScriptedServer(otherwise=answer(200, Resumable_Server="1", Resumable_File="whole")) as server:
        ran = run("doctor", "--yes", server.url)
    assert ran.code == 4
    assert findings(ran.err)["chunk"].startswith("bad: the server says that it has a file that was never sent")
    assert {request.method for request in server.requests} == {"GET"}


def test_a_redirect_to_a_url_that_is_none_leads_nowhere(run: Run) -> None:
    with ScriptedServer(otherwise=answer(302, Location="http://[bad")) as server:
        ran = run("doctor", "--yes", server.url)
    assert ran.code == 4
    assert findings(ran.err)["test"].startswith("bad: the answer 302 leads nowhere")


def test_a_trusted_certificate_is_shown_with_its_end(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    with ScriptedServer(otherwise=Picky(), context=server_context(authority)) as server:
        refused = run("doctor", server.url)
        assert refused.code == 7
        assert findings(refused.err)["TLS"].startswith("bad: the certificate is not trusted: ")
        assert "to trust it, name its certificate file with --cacert or REQUESTS_CA_BUNDLE" in refused.text
        authority.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "trusted.pem"))
        ran = run("doctor", "-y", server.url)
    assert ran.code == 0, ran.err
    assert re.search(r": TLSv1\.[23], trusted until \d{4}-\d\d-\d\d \(\d+ days\)$", findings(ran.err)["TLS"])


def test_a_certificate_that_a_flag_vouches_for_is_trusted(run: Run, work: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(work / "trusted.pem"))
    with ScriptedServer(otherwise=Picky(), context=server_context(authority)) as server:
        ran = run("doctor", "-y", "--cacert", "trusted.pem", server.url)
        assert "name its certificate file with --cacert or REQUESTS_CA_BUNDLE" in run("doctor", server.url).text
    assert ran.code == 0, ran.err
    assert ran.err.splitlines()[-1].endswith(f"upload --cacert trusted.pem FILE {server.url}")


@pytest.mark.parametrize(("reply", "http"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", True), (b"", False)])
def test_a_server_without_tls_is_told_apart(reply: bytes, http: bool, run: Run) -> None:
    with ScriptedServer(to_anything=reply) as server:
        port = server.port
        ran = run("doctor", f"https://127.0.0.1:{port}/a")
    assert ran.code == 7
    assert findings(ran.err)["TLS"].startswith("bad: the server does not speak TLS here (")
    assert advised(ran.err) == (["doctor", f"http://127.0.0.1:{port}/a"] if http else [])


def test_a_token_is_used(run: Run, received: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPLOAD_TOKEN", "right")
    with Server(Receiver(FileStore(received), token="right")) as server:
        assert run("doctor", "-y", server.url).code == 6
        assert run("doctor", "-y", "--token-env", "UPLOAD_TOKEN", server.url).code == 0


def test_what_it_cannot_be_called_with_is_a_usage_error(run: Run) -> None:
    for arguments in (
        ["nothing"],
        ["--token-env", "NOT_SET", "http://127.0.0.1:9/"],
        ["--chunk-size", "0", "http://a/"],
    ):
        assert run("doctor", *arguments).code == 2


def test_an_endpoint_that_shows_its_page_for_everything_is_no_place_for_uploads(run: Run) -> None:
    with ScriptedServer(otherwise=answer(200, b"<!DOCTYPE html><html></html>")) as server:
        ran = run("doctor", "-y", server.url)
        sent = [request for request in server.requests if request.method == "POST"]
    assert ran.code == 4
    assert sent
    assert findings(ran.err)["chunk"].startswith("bad: answered with a web page, 200")
    assert advised(ran.err) == []


def test_a_server_that_takes_a_chunk_and_says_nothing_is_waited_for_once_and_no_longer_than_asked(run: Run) -> None:
    def silent(request: Request) -> None:
        if request.method == "GET":
            answer(404)(request)
        else:
            hold(request)

    began = time.monotonic()
    with ScriptedServer(otherwise=silent) as server:
        ran = run("doctor", "-y", "--timeout", "0.5", server.url)
        assert time.monotonic() - began < 50  # without the flag it would be a minute
        assert len(server.uploads) == 1
    assert ran.code == 5
    assert findings(ran.err)["chunk"].startswith("bad: no usable answer came back: ")


def limited(most: int, serve: Step, *, cut: bool = False) -> Step:
    """A server behind another one that takes requests of so many bytes at most: it says 413, or hangs up."""

    def step(request: Request) -> None:
        if int(request.headers.get("content-length", 0)) <= most:
            serve(request)
        elif cut:
            request.reset()
        else:
            answer(413, b"<html>413 Request Entity Too Large</html>", read=False, close=True)(request)

    return step


@pytest.mark.slow
@pytest.mark.parametrize("cut", [False, pytest.param(True, marks=pytest.mark.unmeasured)])
@pytest.mark.parametrize(
    ("most", "rules", "typed", "prescription"),
    [
        (MIB, {}, [], "--chunk-size 256K"),
        (MIB + 4096, {}, [], "--chunk-size 512K"),
        (200_000, {"floor_only": True}, [], "--chunk-size 64K"),
        (MIB, {"ceil_only": True}, [], "--force-chunk-size --chunk-size 512K"),
        (MIB, {}, ["--force-chunk-size", "--chunk-size", "8M"], "--chunk-size 512K --force-chunk-size"),
        (70_000, {}, ["--timeout", "20"], "--timeout 20 --chunk-size 32K"),
    ],
)
def test_chunks_that_are_too_large_are_found_and_the_flags_that_make_them_smaller(
    most: int,
    rules: dict[str, bool],
    typed: list[str],
    prescription: str,
    cut: bool,
    run: Run,
    make: Callable[..., Path],
) -> None:
    path = make("big.bin", 3 * MIB - 1)
    with ScriptedServer(otherwise=limited(most, Picky(**rules), cut=cut)) as server:
        typed, ran = follow(run, path.name, *typed, server.url)
        assert typed == ["upload", *prescription.split(), "FILE", server.url]
        assert ran.code == 0


@pytest.mark.parametrize(
    ("flags", "longest"), [([], 2 * MIB - 1), (["--force-chunk-size"], MIB), (["--chunk-size", "3M"], 6 * MIB - 1)]
)
def test_the_largest_chunk_of_an_upload_is_tried(flags: list[str], longest: int, run: Run) -> None:
    with ScriptedServer(otherwise=Picky()) as server:
        ran = run("doctor", "-y", *flags, server.url)
        sizes = [int(request.parameters.get("resumableCurrentChunkSize", 0)) for request in server.uploads]
        assert sorted(advised(ran.err)) == sorted(["upload", *flags, "FILE", server.url])
    assert ran.code == 0
    assert max(sizes) == longest
    assert findings(ran.err)["chunk size"].startswith("ok: ")


def test_nothing_large_is_sent_where_nothing_small_is_taken(run: Run) -> None:
    with ScriptedServer(otherwise=answer(413)) as server:
        assert run("doctor", "-y", "--force-chunk-size", server.url).code == 4
        assert all(int(request.headers["content-length"]) < 2 * MIB for request in server.uploads)
    with ScriptedServer(otherwise=answer(404)) as server:
        assert run("doctor", "-y", server.url).code == 4
        assert all(int(request.headers["content-length"]) < 200_000 for request in server.uploads)


def test_a_server_that_takes_no_small_chunks_is_asked_with_those_of_an_upload(run: Run, received: Path) -> None:
    with Server(Receiver(FileStore(received), min_chunk_size=MIB)) as server:
        ran = run("doctor", "-y", server.url)
    assert ran.code == 0, ran.err
    assert re.search(r"^ok +chunk +refused with 400 .*; accepted with chunks of 1.00 MiB$", ran.err, re.MULTILINE)


def test_the_flags_that_were_given_are_in_the_command_for_an_upload_without_their_secrets(
    run: Run, work: Path, server: Server
) -> None:
    (work / "token").write_text("t")
    flags = ["--token-file", "token", "-H", "X-Key: s3cret", "--params-in", "query", "--test-chunks"]
    ran = run("doctor", "-y", *flags, "--query", "folder=a b", server.url)
    assert "s3cret" not in ran.err
    flags = ["--token-file token", "params-in query", "test-chunks", "header 'X-Key: ***'", "query 'folder=a b'"]
    assert all(flag.removeprefix("--") in ran.err.splitlines()[-1] for flag in flags)
    assert ran.err.splitlines()[-1].endswith("in place of ***)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("serve", "text"),
    [
        (hold, "the server did not answer in time → see whether the server hangs; --time"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), "the server's answer was"),
        (raw(b"HTTP/1.1 200 OK\r\nConte"), "the server's answer was cut short → check"),
        (raw(b""), "Remote end closed connection without response → check the URL and"),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "the server's answer is not HTTP → check"),
    ],
)
def test_what_came_instead_of_an_answer_is_said(serve: Step, text: str, run: Run) -> None:
    with ScriptedServer(otherwise=serve) as server:
        ran = run("doctor", "-y", "--timeout", "0.5", server.url)
        assert not server.uploads
    assert ran.code == 5
    assert findings(ran.err)["test"].startswith(f"bad: no usable answer came back: {text}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "words", "text"),
    [
        (503, b"out for lunch", '503 "out for lunch" → try again later'),
        (400, b"\n no\x1b[2J flow\nmore", '400 "no�[2J flow more"'),
        (429, b"", "429 → try again later"),
        (400, b"x" * 500, f'400 "{"x" * 199}…"'),
    ],
)
def test_a_question_that_is_refused_is_not_well_answered(status: int, words: bytes, text: str, run: Run) -> None:
    with ScriptedServer(otherwise=answer(status, words)) as server:
        ran = run("doctor", server.url)
    assert findings(ran.err)["test"].startswith("note: ")
    assert findings(ran.err)["test"].endswith(text)


def test_an_answer_that_takes_a_chunk_is_shown_with_its_words(run: Run) -> None:
    def serve(request: Request) -> None:
        answer(404 if request.method == "GET" else 200, b'{"result":"will look at it"}')(request)

    with ScriptedServer(otherwise=serve) as server:
        ran = run("doctor", "-y", server.url)
    assert findings(ran.err)["chunk"] == 'ok: accepted with 200 "{"result":"will look at it"}"'


def test_the_doctor_sends_nobody_to_the_doctor(run: Run) -> None:
    def serve(request: Request) -> None:
        answer(404 if request.method == "GET" else 405, b"<html>no</html>")(request)

    with ScriptedServer(otherwise=serve) as server:
        ran = run("doctor", "-y", server.url)
    assert findings(ran.err)["chunk"] == 'bad: refused with 405 "no" → check the path of the URL'
    assert "resumable doctor" not in ran.text


def test_whoever_does_not_want_tests_is_not_told_that_they_fail(run: Run) -> None:
    with ScriptedServer(otherwise=Picky()) as server:
        ran = run("doctor", "-y", "--no-test-chunks", server.url)
    assert "resuming" not in findings(ran.err)
    assert advised(ran.err) == ["upload", "--no-test-chunks", "FILE", server.url]


@pytest.mark.parametrize(
    ("status", "headers", "code"), [(401, {}, 6), (403, {}, 6), (302, {"Location": "http://127.0.0.1:9/login"}, 6)]
)
def test_a_web_page_that_comes_with_a_status_of_its_own_is_known_by_that(
    run: Run, status: int, headers: dict[str, str], code: int
) -> None:
    """nginx and others put a page behind every status."""
    with ScriptedServer(otherwise=answer(status, b"<html><head><title>x</title></head></html>", **headers)) as server:
        ran = run("doctor", server.url)
    assert ran.code == code
    assert str(status) in findings(ran.err)["test"]
    assert "check the path" not in ran.text


@pytest.mark.slow
def test_markup_that_is_no_web_page_is_not_called_one(run: Run, make: Callable[..., Path]) -> None:
    """A store that speaks XML has answered, whatever it means."""
    make()
    error = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InvalidRequest</Code></Error>'
    with ScriptedServer(otherwise=answer(400, error)) as server:
        ran = run("upload", "--no-test-chunks", "a.bin", server.url)
        doctor = run("doctor", server.url)
    assert "400" in ran.text
    assert "web page" not in ran.text + doctor.text
