"""Whoever types what ``resumable doctor`` says has his file at the server, whatever that does not like."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
import requests
import trustme
from support.advice import advised, findings, follow
from support.certificates import server_context
from support.command import Run, tree
from support.scripted_server import Answer, Request, ScriptedServer, Step, answer, hold

from resumable.receiver import FileStore, Receiver, Server
from resumable.receiver.server.wsgi import Application

pytestmark = [pytest.mark.once, pytest.mark.slow]

Make = Callable[..., Path]

KIB = 1024
MIB = 1024 * KIB
PAGE = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>Hello</body></html>"
LOG_IN = b"<!DOCTYPE html><html><title>Log in</title><form><input type='password' name='p'></form></html>"


class Threading(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def mounted(receiver: Receiver, most: int) -> Iterator[str]:
    """The URL of a receiver in a WSGI server that takes requests of so many bytes at most."""
    server = make_server("127.0.0.1", 0, Application(receiver, max_body=most), Threading, Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Foreign:
    """A server of others, which puts files together and then forgets them. It gives 200 also to chunks of more than
    ``most`` bytes, and drops them."""

    def __init__(self, *, most: int = 1 << 62, prefix: str = "resumable", limit: int = 1 << 62) -> None:
        self._most = most
        self._limit = limit
        self._prefix = prefix
        self._chunks: dict[str, dict[int, bytes]] = {}
        self.files: list[bytes] = []

    def __call__(self, request: Request) -> Answer:
        request.read()
        fields = request.fields.items()
        said = {name.removeprefix(self._prefix): text for name, text in fields if name.startswith(self._prefix)}
        return (self._status(said, request.chunk),)

    def _status(self, said: Mapping[str, str], chunk: bytes | None) -> int:
        if "Identifier" not in said:
            return 400
        number, chunks = int(said["ChunkNumber"]), self._chunks.setdefault(said["Identifier"], {})
        if chunk is None:
            return 200 if number in chunks else 404
        if int(said["TotalSize"]) > self._limit:
            return 413
        if len(chunk) <= self._most:
            chunks[number] = chunk
        if len(chunks) == int(said["TotalChunks"]):
            self.files.append(b"".join(chunks[number] for number in sorted(chunks)))
            chunks.clear()
        return 200


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("settings", "storing", "most", "flags", "size"),
    [
        ({}, {}, 0, "", 5 * MIB),
        ({}, {}, MIB, "--chunk-size 256K", 5 * MIB),
        ({}, {}, 100_000, "--chunk-size 32K", MIB),
        ({}, {}, 10_000, "--chunk-size 4K", 100_000),
        ({"max_total_size": MIB}, {}, 0, "", MIB),
        ({"max_total_size": 100_000}, {}, 0, "", 100_000),
        ({}, {"max_bytes": MIB}, 0, "", MIB),
        ({}, {"max_bytes": 100_000}, 0, "", 100_000),
        ({}, {"max_open_uploads": 1}, 0, "", 5 * MIB),
        ({"min_chunk_size": MIB}, {}, 0, "", 5 * MIB),
        ({"min_chunk_size": 3 * MIB}, {}, 0, "--chunk-size 4M", 20 * MIB),
        ({"max_chunks": 1}, {}, 0, "", 2 * MIB - 1),
        ({"max_chunks": 2}, {}, 0, "", 3 * MIB - 1),
        ({"dialect": "flowjs"}, {}, 0, "--dialect flowjs", 5 * MIB),
        ({"dialect": "any"}, {}, 0, "", 5 * MIB),
        ({}, {"collected": True, "existing": "refuse", "fsync": "always"}, 0, "", 5 * MIB),
        ({"token": "right"}, {}, 0, "--token-file FILE", 5 * MIB),
    ],
)
def test_what_is_advised_for_a_receiver_of_ours_works(
    settings: dict[str, Any],
    storing: dict[str, Any],
    most: int,
    flags: str,
    size: int,
    run: Run,
    make: Make,
    work: Path,
    received: Path,
) -> None:
    (work / "FILE").write_text("right\n")
    path = make("a.bin", size)
    receiver = Receiver(FileStore(received, **{"fsync": "never", **storing}), **settings)
    with mounted(receiver, most) if most else Server(receiver) as server:
        url = server if isinstance(server, str) else server.url
        typed, ran = follow(run, path.name, url)
    assert typed == ["upload", *flags.split(), "FILE", url]
    assert ran.code == 0, ran.err
    assert tree(received)[path.name] == path.read_bytes()


def test_a_wrong_dialect_is_corrected(run: Run, make: Make, server: Server, received: Path) -> None:
    path = make("a.bin", 3 * MIB)
    typed, ran = follow(run, path.name, "--dialect", "flowjs", server.url)
    assert typed == ["upload", "--dialect", "resumablejs", "FILE", server.url]
    assert ran.code == 0
    assert tree(received)[path.name] == path.read_bytes()


@pytest.mark.parametrize(
    ("settings", "storing", "arguments", "code", "sentence"),
    [
        ({"token": "right"}, {}, ["--token-file", "wrong"], 6, "oken"),
        ({}, {}, ["-H", "Host: files.example"], 6, "allowed_hosts"),
        ({}, {}, ["-H", "Origin: https://example.org"], 6, "allowed_origins"),
        ({}, {"reserve": 1 << 60}, [], 5, "(reserve)"),
        ({}, {"max_bytes": 1000}, [], 4, "1000 (max_bytes)"),
        ({"max_total_size": 1000}, {}, [], 4, "(max_total_size)"),
        ({"min_chunk_size": 64 * MIB}, {}, [], 4, "(min_chunk_size)"),
    ],
)
def test_what_no_flag_can_change_is_said_in_the_words_of_the_server(
    settings: dict[str, Any],
    storing: dict[str, Any],
    arguments: list[str],
    code: int,
    sentence: str,
    run: Run,
    work: Path,
    received: Path,
) -> None:
    (work / "wrong").write_text("wrong\n")
    with Server(Receiver(FileStore(received, **storing), **settings)) as server:
        ran = run("doctor", "--yes", *arguments, server.url)
    assert ran.code == code
    assert sentence in ran.text
    assert advised(ran.err) == []
    assert tree(received) == {}


def test_somebody_elses_unfinished_upload_is_waited_for(run: Run, received: Path) -> None:
    with Server(Receiver(FileStore(received, max_open_uploads=1))) as server:
        facts = {"Identifier": "x", "Filename": "x", "TotalSize": 5000, "TotalChunks": 4}
        chunk = {"ChunkNumber": 1, "ChunkSize": 1250, "CurrentChunkSize": 1250}
        fields = {f"resumable{name}": value for name, value in {**facts, **chunk}.items()}
        octets = {"Content-Type": "application/octet-stream"}
        requests.post(server.url, params=fields, data=bytes(1250), headers=octets).raise_for_status()
        ran = run("doctor", "--yes", server.url)
    assert ran.code == 5
    assert findings(ran.err)["chunk"].startswith("bad: refused with 429 ")
    assert findings(ran.err)["chunk"].endswith("try again later")


def test_a_server_that_fails_at_the_end_is_not_tried_in_other_ways(run: Run, received: Path) -> None:
    def fail(record: object) -> None:
        raise RuntimeError("no room in the archive")

    with Server(Receiver(FileStore(received), on_file_received=fail)) as server:
        ran = run("doctor", "--yes", server.url)
    assert ran.code == 4
    assert advised(ran.err) == []
    (name,) = tree(received)
    assert name in findings(ran.err)["left there"]


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("server", "flags"),
    [
        (Foreign(), ""),
        (Foreign(most=100_000), "--chunk-size 32K"),
        (Foreign(most=50_000), "--chunk-size 16K"),
        (Foreign(most=MIB), "--chunk-size 512K"),
        (Foreign(prefix="flow"), "--dialect flowjs"),
        (Foreign(prefix="flow", most=300_000), "--dialect flowjs --chunk-size 128K"),
        (Foreign(limit=2 * MIB), ""),
        (Foreign(limit=100_000), ""),
    ],
)
def test_what_is_advised_for_a_server_of_others_works(server: Foreign, flags: str, run: Run, make: Make) -> None:
    path = make("a.bin", 90_000 if server._limit < 1 << 62 else 5 * MIB + 7)
    with ScriptedServer(otherwise=server) as script:
        typed, ran = follow(run, path.name, script.url)
        assert typed == ["upload", *flags.split(), "FILE", script.url]
    assert ran.code == 0, ran.err
    assert path.read_bytes() in server.files


@pytest.mark.unmeasured
@pytest.mark.parametrize("status", [400, 403, 500, 502, 504])
def test_whatever_is_said_to_large_chunks_only_is_a_limit(status: int, run: Run, make: Make) -> None:
    foreign = Foreign()

    def guarded(request: Request) -> Answer:
        request.read()
        return (status,) if len(request.body) > MIB else foreign(request)

    path = make("a.bin", 5 * MIB)
    with ScriptedServer(otherwise=guarded) as script:
        typed, ran = follow(run, path.name, script.url)
        assert typed == ["upload", "--chunk-size", "256K", "FILE", script.url]
    assert ran.code == 0
    assert path.read_bytes() in foreign.files


def test_a_line_that_breaks_now_and_then_is_no_limit_of_the_server(run: Run) -> None:
    foreign, turn = Foreign(), itertools.count(1)

    def breaking(request: Request) -> Answer | None:
        request.read()
        return request.reset() if next(turn) % 3 == 0 else foreign(request)

    with ScriptedServer(otherwise=breaking) as script:
        ran = run("doctor", "--yes", script.url)
        assert advised(ran.err) == ["upload", "FILE", script.url]
    assert {row.partition(":")[0] for row in findings(ran.err).values()} == {"ok"}


def test_who_interrupts_doctor_is_told_what_it_has_left(start: Callable[..., Any]) -> None:
    foreign = Foreign()

    def second_hangs(request: Request) -> Answer | None:
        request.read()
        if request.method == "GET" or request.number == 1:
            return foreign(request)
        return hold(request)

    with ScriptedServer(otherwise=second_hangs) as script:
        process = start("doctor", "--yes", script.url)
        script.wait(lambda: len(script.uploads) == 2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        name = script.uploads[0].fields["resumableFilename"]
    assert process.returncode == 130
    assert name in findings(said)["left there"]


def test_whoever_says_https_to_a_plain_port_is_sent_to_http(
    run: Run, make: Make, server: Server, received: Path
) -> None:
    path = make()
    ran = run("doctor", server.url.replace("http:", "https:"))
    assert ran.code == 7
    assert advised(ran.err) == ["doctor", server.url]
    assert follow(run, path.name, server.url.replace("http:", "https:"))[1].code == 0
    assert tree(received)[path.name] == path.read_bytes()


def test_whoever_says_http_to_a_tls_port_is_sent_to_https(
    run: Run, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "trusted.pem"))
    path = make()
    foreign = Foreign()
    with ScriptedServer(otherwise=foreign, context=server_context(authority)) as script:
        ran = run("doctor", script.url.replace("https:", "http:"))
        assert ran.code == 5
        assert advised(ran.err) == ["doctor", script.url]
        assert follow(run, path.name, script.url.replace("https:", "http:"))[1].code == 0
    assert path.read_bytes() in foreign.files


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_whoever_has_an_old_url_is_sent_to_the_new_one(
    status: int, run: Run, make: Make, server: Server, received: Path
) -> None:
    path = make()

    def moved(request: Request) -> Answer:
        query = request.target.partition("?")[2]
        return status, b"", {"Location": f"{server.url}?{query}"}

    with ScriptedServer(otherwise=moved) as script:
        typed, ran = follow(run, path.name, script.url)
    assert typed == ["upload", "FILE", server.url]
    assert ran.code == 0
    assert tree(received)[path.name] == path.read_bytes()


def behind_a_log_in(page: bytes, there: str) -> Step:
    """A server that sends whoever has no cookie to a page."""
    foreign = Foreign()

    def step(request: Request) -> Answer:
        if request.path == there:
            return 200, page
        if request.headers.get("cookie") != "session=1":
            return 302, b"", {"Location": f"{there}?next={request.target}"}
        return foreign(request)

    step.files = foreign.files  # type: ignore[attr-defined]
    return step


@pytest.mark.parametrize(
    ("page", "there"), [(LOG_IN, "/accounts/x/"), (PAGE, "/login"), (LOG_IN, "/login"), (PAGE, "/welcome")]
)
def test_whoever_has_to_log_in_is_told_how(page: bytes, there: str, run: Run, make: Make, work: Path) -> None:
    path = make()
    serve = behind_a_log_in(page, there)
    with ScriptedServer(otherwise=serve) as script:
        ran = run("doctor", "--yes", script.url)
        assert advised(ran.err) == ["doctor", "--header", "@FILE", script.url]
        assert ran.code == (4 if there == "/welcome" else 6)
        assert script.uploads == []
        (work / "FILE").write_text("Cookie: session=1\n")
        typed, ran = follow(run, path.name, script.url)
        assert typed == ["upload", "--header", "@FILE", "FILE", script.url]
    assert ran.code == 0
    assert path.read_bytes() in serve.files  # type: ignore[attr-defined]


def test_no_credentials_go_where_a_redirect_leads(run: Run) -> None:
    with (
        ScriptedServer(otherwise=answer(404)) as elsewhere,
        ScriptedServer(otherwise=answer(302, Location=elsewhere.url)) as script,
    ):
        run(
            "doctor",
            "-H",
            "Authorization: Bearer s3cret",
            "-H",
            "Cookie: a=s3cret",
            "--query",
            "key=s3cret",
            script.url,
        )
        assert elsewhere.requests
        assert not [each for each in elsewhere.requests if "s3cret" in str(each.headers) + each.target]


@pytest.mark.parametrize("location", [None, "", "http://", "mailto:x@example.org", "/upload"])
def test_a_redirect_that_leads_nowhere_is_said_to(location: str | None, run: Run) -> None:
    with ScriptedServer(otherwise=answer(302, **({} if location is None else {"Location": location}))) as script:
        ran = run("doctor", script.url)
    assert ran.code == 4
    assert advised(ran.err) == []


def test_a_server_that_says_present_to_everything_gets_all_chunks_though_its_tests_were_to_be_trusted(
    run: Run, make: Make
) -> None:
    foreign = Foreign()

    def present(request: Request) -> Answer:
        return (200,) if request.method == "GET" else foreign(request)

    path = make("a.bin", 3 * MIB)
    with ScriptedServer(otherwise=present) as script:
        typed, ran = follow(run, path.name, "--trust-tests", script.url)
    assert "--trust-tests" not in typed
    assert ran.code == 0
    assert path.read_bytes() in foreign.files


def test_another_status_of_success_is_found(run: Run, make: Make) -> None:
    foreign = Foreign()

    def no_content(request: Request) -> Answer:
        (status,) = foreign(request)
        return (204 if request.method != "GET" and status == 200 else status,)

    path = make("a.bin", 3 * MIB)
    with ScriptedServer(otherwise=no_content) as script:
        typed, ran = follow(run, path.name, script.url)
        assert typed == ["upload", "--success-statuses", "200,201,204", "FILE", script.url]
    assert ran.code == 0
    assert path.read_bytes() in foreign.files
