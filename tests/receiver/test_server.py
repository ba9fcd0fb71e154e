from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from support.flood import raw
from support.sample import Sample
from support.stored_uploads import HEAD, entries
from support.waiting import until_no_connection_is_served

from resumable.errors import OptionError, StateError
from resumable.receiver import (
    Application,
    FileStore,
    Limits,
    Receiver,
    Request,
    Response,
    Server,
)

VECTORS = Path(__file__).parent.parent / "vectors"
OCTET = {"Content-Type": "application/octet-stream"}


@contextmanager
def connected(server: Server) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        yield connection


def told(
    connection: http.client.HTTPConnection, method: str, query: str, body: bytes | None = None
) -> tuple[int, bytes]:
    connection.request(method, f"/?{query}", body, OCTET)
    answer = connection.getresponse()
    return answer.status, answer.read()


def published(server: Server, name: str) -> bytes:
    store = server.receiver.store
    assert isinstance(store, FileStore)
    return Path(store.root, name).read_bytes()


def test_a_browser_like_form_ends_up_under_its_name(server: Server) -> None:
    sample = Sample(os.urandom(3_000_000), 1_000_000, identifier="form", relative_path="form.bin")
    with requests.Session() as session:
        session.trust_env = False
        for number in range(1, sample.count + 1):
            assert session.get(server.url, params=sample.pairs(number)).status_code == 204
            answer = session.post(
                server.url,
                params=sample.pairs(number),
                data=dict(sample.pairs(number)),
                files={"file": ("blob", sample.chunk(number))},
            )
            assert answer.status_code == (201 if number == sample.count else 200)
            assert session.get(server.url, params=sample.pairs(number)).status_code == 200
    assert published(server, "form.bin") == sample.data


@pytest.mark.parametrize("method", ["multipart", "octet", "base64"])
def test_what_chromium_sends_byte_for_byte_is_stored(root: Path, method: str) -> None:
    rows = json.loads((VECTORS / "tables" / "raw_requests.json").read_text())["rows"]
    test, upload = (row["raw"].replace(" /upload?", " /?").encode() for row in rows if row["method"] == method)
    with Server(root) as server:
        test, upload = (request.replace(b":PORT", b":%d" % server.port) for request in (test, upload))
        assert raw(server.port, test).startswith(b"HTTP/1.1 204 ")
        assert raw(server.port, upload).startswith(b"HTTP/1.1 201 ")
        assert raw(server.port, test).startswith(b"HTTP/1.1 200 ")
    assert (root / "hé.txt").read_bytes() == b"hello"


def test_many_requests_go_over_one_connection(server: Server) -> None:
    sample = Sample(bytes(100), 10, identifier="alive", relative_path="alive")
    with connected(server) as connection:
        connection.connect()
        used = connection.sock
        for number in range(1, 11):
            assert told(connection, "GET", sample.query(number)) == (204, b"")
            status, body = told(connection, "POST", sample.query(number), sample.chunk(number))
            assert status == (200 if number < 10 else 201), body
            assert told(connection, "POST", sample.query(11), bytes(1000))[0] == 400
            assert told(connection, "HEAD", sample.query(number)) == (200, b"")
        assert connection.sock is used


def test_the_answers_say_no_more_than_they_must(server: Server) -> None:
    with connected(server) as connection:
        connection.request("GET", "/?nothing=1")
        answer = connection.getresponse()
        assert answer.version == 11
        assert dict(answer.headers) | {"Date": ""} == {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(answer.read())),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Date": "",
            "Server": "resumable",
            "Resumable-Server": "1",
            "Resumable-Order": "any",
            "Resumable-Max-Uploads": "16",
        }


def test_a_body_that_ends_early_stores_nothing(server: Server) -> None:
    sample = Sample(bytes(100_000), 100_000, identifier="early", relative_path="early")
    head = f"POST /?{sample.query(1)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n".encode()
    answer = raw(server.port, head, bytes(60_000))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close" in answer
    assert answer.endswith(b"The connection ended 40000 bytes before the end of the body: try again.\n")
    with connected(server) as connection:
        assert told(connection, "GET", sample.query(1))[0] == 204
        assert told(connection, "POST", sample.query(1), sample.data)[0] == 201


def test_a_form_that_ends_early_stores_nothing(server: Server) -> None:
    sample = Sample(bytes(1000), 1000, identifier="form-early", relative_path="form-early")
    request = sample.multipart(1)
    body = request.read(1 << 20)
    for cut in (1, 10, 40, 500, len(body) - 10):
        head = f"POST /?{sample.query(1)} HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Type: {request.headers['content-type']}\r\n"
        answer = raw(server.port, f"{head}Content-Length: {len(body)}\r\n\r\n".encode(), body[:-cut])
        assert answer.startswith(b"HTTP/1.1 400 ")
    with connected(server) as connection:
        assert told(connection, "GET", sample.query(1))[0] == 204


def test_a_client_that_vanishes_leaves_the_chunk_to_the_next(server: Server) -> None:
    sample = Sample(bytes(100_000), 100_000, identifier="vanish", relative_path="vanish")
    head = f"POST /?{sample.query(1)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head + bytes(50_000))
        # RST instead of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with connected(server) as other:
        assert told(other, "POST", sample.query(1), sample.data)[0] == 201
    assert published(server, "vanish") == sample.data


def test_a_body_that_stalls_is_cut(root: Path) -> None:
    sample = Sample(bytes(1000), 1000)
    head = f"POST /?{sample.query(1)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n".encode()
    with Server(root, limits=Limits(rate_window=0.2)) as server:
        answer = raw(server.port, head, bytes(500), shut=False)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"Connection: close" in answer
        assert raw(server.port, head + sample.data).startswith(b"HTTP/1.1 201 ")


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Content-Length: -5", 400),
        ("Content-Length: +5", 400),
        ("Content-Length: 1_0", 400),
        ("Content-Length: 5, 5", 400),
        ("Content-Length: x", 400),
        ("Content-Length: 99999999999999", 413),
        ("Transfer-Encoding: chunked", 411),
        ("Content-Length: 5\r\nContent-Length: 5", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked, identity", 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 411),
        ("Content_Length: 5", 411),
        ("Transfer-Encoding: gzip", 501),
        ("X: y", 411),
    ],
)
def test_a_length_that_is_not_one_is_refused_and_the_connection_closed(
    server: Server, header: str, status: int
) -> None:
    answer = raw(server.port, f"POST /?{Sample().query(1)} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert b"Connection: close\r\n" in answer


def test_what_a_refused_request_still_sends_is_dropped_within_limits(server: Server) -> None:
    with connected(server) as connection:
        connection.connect()
        used = connection.sock
        assert told(connection, "POST", "nothing=1", bytes(3_000_000))[0] == 400
        assert told(connection, "GET", "nothing=1")[0] == 400
        assert connection.sock is used
    head = b"POST /other HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n"
    answer = raw(server.port, head, shut=False)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"Connection: close" in answer


def test_the_token_is_asked_for_over_http(root: Path) -> None:
    with Server(Receiver(root, token="s3cret"), host="127.0.0.1") as server:
        refused = requests.get(server.url, params=Sample().pairs(1))
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        allowed = requests.get(server.url, params=Sample().pairs(1), headers={"Authorization": "Bearer s3cret"})
        assert allowed.status_code == 204


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.1", "example.org"])
def test_an_address_that_others_reach_needs_a_token_or_a_word(root: Path, host: str) -> None:
    with pytest.raises(OptionError, match="host"):
        Server(root, host=host)
    Server(root, host=host, insecure=True)
    Server(Receiver(root, token="s3cret"), host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_loopback_address_needs_none(root: Path, host: str) -> None:
    with Server(root, host=host) as server:
        assert urlsplit(server.url).port == server.port
        assert requests.get(server.url, params=Sample().pairs(1)).status_code == 204


@pytest.mark.parametrize(("host", "local"), [("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1"), ("::", "[::1]")])
def test_a_server_on_all_addresses_answers_to_the_name_of_its_machine(root: Path, host: str, local: str) -> None:
    with Server(root, host=host, insecure=True) as server:
        assert server.url == f"http://{local}:{server.port}/"
        for name, status in ((socket.gethostname(), 204), ("localhost", 204), ("elsewhere.example", 403)):
            answer = requests.get(server.url, params=Sample().pairs(1), headers={"Host": f"{name}:{server.port}"})
            assert answer.status_code == status


def test_the_name_of_a_machine_need_not_be_one_that_clients_can_say(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "my computer")
    with Server(root, host="0.0.0.0", insecure=True) as server:
        assert requests.get(server.url, params=Sample().pairs(1)).status_code == 204


def test_a_server_that_is_stopped_leaves_on_the_disk_what_it_received(root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="finish"))
    with Server(receiver):
        assert Sample().send(receiver, 1) == [200]
    (marks,) = root.glob(".resumable/*/chunks")
    assert marks.read_bytes()[HEAD : HEAD + 2] == b"\2\0"


def test_a_server_is_started_once_and_stopped_any_number_of_times(root: Path) -> None:
    until_no_connection_is_served()
    before = set(threading.enumerate())
    server = Server(root)
    with pytest.raises(StateError, match="not running"):
        _ = server.url
    server.stop()
    with server:
        first = server.url
        assert requests.get(first, params=Sample().pairs(1)).status_code == 204
        with pytest.raises(StateError, match="is running"):
            server.start()
    server.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(first)
    with server:
        assert requests.get(server.url, params=Sample().pairs(1)).status_code == 204
    until_no_connection_is_served()
    assert set(threading.enumerate()) <= before


def test_a_port_that_is_taken_is_an_error_and_can_be_tried_again(root: Path) -> None:
    with Server(root) as first:
        second = Server(root, port=first.port)
        with pytest.raises(OSError, match=str(first.port)):
            second.start()
    with second:
        assert requests.get(second.url, params=Sample().pairs(1)).status_code == 204


def test_a_server_sweeps_when_it_starts(root: Path) -> None:
    store = FileStore(root, stale_after=0)
    Sample().send(Receiver(store), 1)
    (upload,) = (root / ".resumable" / name for name in entries(root))
    os.utime(upload / "chunks", (0, 0))
    with Server(Receiver(store)):
        pass
    assert entries(root) == []


def test_it_cannot_sweep_all_the_time(root: Path) -> None:
    with pytest.raises(OptionError, match="sweep_every"):
        Server(root, sweep_every=0)


def test_a_sweep_that_fails_is_logged_and_the_server_goes_on(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    root.mkdir()
    (root / ".resumable").write_text("not a directory")
    with Server(root) as server:
        assert requests.get(server.url, params={"nothing": 1}).status_code == 400
    assert "cannot sweep" in caplog.text


@pytest.mark.once
def test_without_the_server_library_the_start_says_what_to_install(root: Path) -> None:
    program = "import sys; sys.modules['cheroot'] = None; import resumable.receiver as r; r.Server(sys.argv[1]).start()"
    done = subprocess.run([sys.executable, "-c", program, str(root)], capture_output=True, text=True, timeout=60)
    assert done.stderr.endswith("install it with: pip install 'resumable[server]'\n")


def test_what_the_application_raises_is_logged_and_answered_with_500(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Receiver):
        def handle(self, request: Request) -> Response:
            raise ValueError("broken on purpose")

    with Server(Broken(root)) as server:
        answer = raw(server.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"Connection: close" in answer
        assert b"purpose" not in answer
    assert "broken on purpose" in caplog.text


def test_other_wsgi_servers_run_it_too(root: Path) -> None:
    from wsgiref.simple_server import WSGIRequestHandler, make_server
    from wsgiref.validate import validator

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            pass

    sample = Sample(os.urandom(5000), 1000)
    application = Application(Receiver(FileStore(root, fsync="never")))
    with make_server("127.0.0.1", 0, validator(application), handler_class=Quiet) as wsgi:  # type: ignore[arg-type]
        serving = threading.Thread(target=wsgi.serve_forever)
        serving.start()
        url = f"http://127.0.0.1:{wsgi.server_port}/"
        try:
            for number in range(1, 6):
                assert requests.head(url, params=sample.pairs(number)).status_code == 204
                files = {"file": ("blob", sample.chunk(number))}
                answer = requests.post(url, data=dict(sample.pairs(number)), files=files)
                assert answer.status_code == (201 if number == 5 else 200)
                assert requests.get(url, params=sample.pairs(number)).status_code == 200
        finally:
            wsgi.shutdown()
            serving.join(60)
    assert (root / "sample.bin").read_bytes() == sample.data
