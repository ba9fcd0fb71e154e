"""A network that fails at every place it can: all that was promised holds all the same."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.breaking_proxy import Fault, Proxy, Scenario
from support.client import CHUNK, content, upload
from support.scripted_server import Answer, Request, ScriptedServer, Store, answer, head, hold, raw

from resumable import Resumable, RetriesExhausted, TransportError
from resumable.receiver import FileStore, Receiver, Server

BLIND: dict[str, Any] = {"test_chunks": False}
SCENARIOS = json.loads(Path(__file__).with_name("scenarios.json").read_text(encoding="utf-8"))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def received(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("received")


@pytest.fixture(scope="module")
def receiver_url(received: Path) -> Iterator[str]:
    with Server(Receiver(FileStore(received, fsync="never"))) as server:
        yield server.url


@pytest.mark.parametrize(("way", "workers"), [("own", 1), ("own", 4), ("session", 4)], indirect=["way"])
@pytest.mark.parametrize("case", SCENARIOS, ids=[case["name"] for case in SCENARIOS])
def test_what_arrives_is_what_was_sent(
    case: dict[str, Any], workers: int, way: dict[str, Any], received: Path, receiver_url: str
) -> None:
    data = content(case.get("size", case.get("chunks", 6) * CHUNK + 17))
    name = f"{case['name']}-{workers}-{len(way)}.bin"
    seconds = case.get("timeout", 60)
    with Proxy(receiver_url, Scenario.of(case["scenario"])) as proxy:
        run = upload(
            proxy.url,
            (data, name),
            simultaneous_uploads=workers,
            timeout=(60, seconds),
            final_chunk_timeout=seconds,
            **way,
        )
    assert run.count("file_success") == 1
    assert digest((received / name).read_bytes()) == digest(data)
    # What a fault cost is at most what was on the wire: a chunk and its head for each worker.
    faults = len(proxy.ledger.happened)
    request = 2 * CHUNK + 2000
    requests = 2 * run.count("chunk_success") + 1
    assert proxy.ledger.up <= len(data) + requests * 2000 + (faults + 1) * workers * request


def test_a_connection_that_went_stale_is_not_noticed(way: dict[str, Any]) -> None:
    store = Store()
    data = content(8 * CHUNK)
    served: dict[int, int] = {}

    def moody(request: Request) -> Answer | None:
        # Each connection serves two requests, and hangs up on the third.
        number = request.connection
        served[number] = served.get(number, 0) + 1
        if served[number] == 3:
            request.read()
            request.close()
            return None
        return store(request)

    with ScriptedServer(otherwise=moody) as server:
        run = upload(server.url, data, **BLIND, **way)
    assert run.count("chunk_retry") == 0
    assert store.content(run.files[0].unique_identifier or "") == data


def test_many_stale_connections_at_once_are_not_noticed_either(way: dict[str, Any]) -> None:
    # All workers have a connection each; then every one of them goes stale in the moment in which it is used again.
    gate = threading.Barrier(4)
    first = threading.Event()

    def together(request: Request) -> None:
        request.read()
        if not first.is_set():
            gate.wait(60)
            first.set()
        answer(read=False)(request)

    def moody(request: Request) -> None:
        request.read()
        if request.connection < 4:
            request.reset()
        else:
            answer(read=False)(request)

    data = content(4 * CHUNK)
    with ScriptedServer(*[together] * 4, otherwise=moody) as server:
        with Resumable(
            server.url,
            chunk_size=CHUNK,
            chunk_order="free",
            simultaneous_uploads=4,
            max_chunk_retries=0,
            **BLIND,
            **way,
        ) as session:
            session.add_file(data, relative_path="first.bin")
            session.join(60)
            file = session.add_file(data, relative_path="second.bin")
            session.join(60)
        assert file.is_complete()


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nServer: x\r\n",
        b"HTTP/1.1 200 OK\r\nServer: x",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n",
        b"",
        b"\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\nContent-Length: 7\r\n",
        bytes(range(256)) * 8,
    ],
    ids=lambda reply: repr(reply[:50]),
)
@pytest.mark.parametrize("end", ["close", "reset"])
def test_an_answer_that_is_none_is_tried_again(way: dict[str, Any], reply: bytes, end: str) -> None:
    store = Store()
    with ScriptedServer(raw(reply, end=end), store) as server:
        run = upload(server.url, content(10), **BLIND, **way)
    assert run.count("file_success") == 1
    assert run.count("chunk_retry") == 1
    assert len(store.chunks) == 1


def test_an_answer_of_another_protocol_says_so() -> None:
    with ScriptedServer(raw(b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n")) as server:
        run = upload(server.url, content(10), **BLIND, max_chunk_retries=0)
    assert "→ the server's answer is not HTTP/1.1 (" in str(run.error)


def test_a_compressed_answer_that_ends_too_early_is_tried_again() -> None:
    cut = answer(200, gzip.compress(b'{"error": "disk full"}')[:-12], Content_Encoding="gzip")
    empty = answer(200, Content_Encoding="gzip")
    with ScriptedServer(cut, empty) as server:
        run = upload(server.url, content(10), **BLIND)
    assert run.count("file_success") == 1
    assert len(server.requests) == 2


def test_a_compressed_answer_is_cut_at_the_same_length_as_another(way: dict[str, Any]) -> None:
    said = gzip.compress(b'{"log": "' + b" " * 70_000 + b'", "error": "disk full"}')
    long = answer(200, said, Content_Encoding="gzip")
    with ScriptedServer(long, answer(404), answer()) as server:
        run = upload(server.url, content(10), **BLIND, **way)
    assert run.count("file_success") == 1
    assert [request.method for request in server.requests] == ["POST", "GET", "POST"]


def test_an_answer_without_end_is_cut_and_proves_nothing(way: dict[str, Any]) -> None:
    sent = []

    def endless(request: Request) -> None:
        request.read()
        request.send(head(200, {"Content-Type": "text/plain"}))
        try:
            for _ in range(1 << 10):
                request.send(b"x" * (1 << 20))
                sent.append(1)
        except OSError:
            return

    with ScriptedServer(endless, otherwise=answer()) as server:
        run = upload(server.url, content(2 * CHUNK), **BLIND, **way)
    assert run.count("file_success") == 1
    assert len(sent) < 100
    (again,) = [event for event in run.events if event[0] == "chunk_retry"]
    assert again[2] == "x" * 65536


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (head(200, {"Content-Length": "1000"}), b"x"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 O", b"K"),
        (head(103, {}), b"HTTP"),
    ],
    ids=["body", "header", "headers", "status", "behind an interim answer"],
)
def test_an_answer_that_drips_is_given_up_after_the_read_timeout(
    way: dict[str, Any], begin: bytes, drop: bytes
) -> None:
    def drip(request: Request) -> None:
        request.read()
        request.send(begin)
        try:
            while not request.stopping.wait(0.05):
                request.send(drop)
        except OSError:
            return

    with ScriptedServer(drip, answer()) as server:
        run = upload(server.url, content(10), timeout=(5, 0.4), final_chunk_timeout=0.4, **BLIND, **way)
    assert run.count("file_success") == 1
    assert run.count("chunk_retry") >= 1


def test_a_server_that_does_not_answer_in_time_is_tried_again(way: dict[str, Any]) -> None:
    with ScriptedServer(hold, answer()) as server:
        run = upload(server.url, content(10), timeout=(5, 0.3), final_chunk_timeout=0.3, **BLIND, **way)
    assert run.count("file_success") == 1
    assert run.count("chunk_retry") >= 1


def test_the_last_chunk_is_waited_for_longer(way: dict[str, Any]) -> None:
    def slow(request: Request) -> None:
        request.read()
        request.stopping.wait(0.8)
        answer(read=False)(request)

    def serve(request: Request) -> None:
        (slow if request.number == 2 else answer())(request)

    with ScriptedServer(otherwise=serve) as server:
        run = upload(server.url, content(2 * CHUNK), timeout=(5, 0.3), final_chunk_timeout=20, **BLIND, **way)
    assert run.count("file_success") == 1
    assert [event for event in run.events if event[0] == "chunk_retry" and event[1].number == 2] == []


def test_a_server_that_stops_reading_is_given_up_and_tried_again(way: dict[str, Any]) -> None:
    size = 8 << 20  # more than sockets can hold
    with ScriptedServer(Request.hold, answer(), receive_buffer=65536) as server:
        run = upload(server.url, content(size), chunk_size=size, timeout=(2, 1), **BLIND, **way)
    assert run.count("file_success") == 1
    assert run.count("chunk_retry") >= 1
    message = next(event for event in run.events if event[0] == "chunk_retry")[2]
    assert message == "the server took no byte for 1 s"


def test_a_slow_line_may_take_longer_than_any_timeout(way: dict[str, Any]) -> None:
    # The connect timeout of requests would cap the whole send.
    data = content(600_000)
    store = Store()
    with ScriptedServer(store) as server, Proxy(server.url, Scenario(bandwidth=300_000, slice=4096)) as proxy:
        run = upload(proxy.url, data, chunk_size=1 << 20, timeout=(0.5, 20), final_chunk_timeout=20, **BLIND, **way)
    assert run.count("file_success") == 1
    assert run.count("chunk_retry") == 0


def test_a_server_that_comes_up_later_is_found(way: dict[str, Any], silent_port: int) -> None:
    refused = threading.Event()
    with Resumable(f"http://127.0.0.1:{silent_port}/", chunk_retry_interval=0.02, **BLIND, **way) as session:
        messages = []

        @session.on("chunk_retry")
        def told(chunk: Any, message: str) -> None:
            messages.append(message)
            refused.set()

        file = session.add_file(content(10), relative_path="a.bin")
        assert refused.wait(60)
        with ScriptedServer(otherwise=answer(), port=silent_port):
            session.join(60)
    assert file.is_complete()
    assert messages[0] == "Connection refused"


def test_a_server_that_never_comes_up_is_given_up_in_the_end(way: dict[str, Any], silent_port: int) -> None:
    run = upload(f"http://127.0.0.1:{silent_port}/", content(10), max_chunk_retries=2, **way)
    assert type(run.error) is RetriesExhausted
    assert "Connection refused (attempt 3 of 3)" in str(run.error)


def test_retry_for_ends_the_attempts_when_nothing_gets_through(way: dict[str, Any], silent_port: int) -> None:
    run = upload(f"http://127.0.0.1:{silent_port}/", content(10), max_chunk_retries=None, retry_for=0.3, **way)
    assert type(run.error) is RetriesExhausted


def test_a_host_that_does_not_exist_is_an_error_at_once(way: dict[str, Any]) -> None:
    run = upload("http://nowhere.invalid:8080/upload?key=abc", content(10), **way)
    assert type(run.error) is TransportError
    assert run.count("chunk_retry") == 0
    text = str(run.error)
    assert "the host of http://nowhere.invalid:8080 is unknown" in text
    assert "check the target" in text
    assert "abc" not in text


@pytest.mark.parametrize("host", ["a..b.invalid", f"{'a' * 64}.invalid"])
def test_a_host_that_cannot_be_is_an_error_at_once(host: str, way: dict[str, Any]) -> None:
    run = upload(f"http://{host}/", content(10), **way)
    assert type(run.error) is TransportError
    assert run.count("chunk_retry") == 0
    assert "Session" not in str(run.error)
    assert str(run.error).endswith("check the target")


def test_a_host_that_was_there_before_is_waited_for(way: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # The resolver of the machine is what fails here, so it is replaced.
    resolve = socket.getaddrinfo
    failures = iter([socket.gaierror(socket.EAI_NONAME, "Name or service not known")] * 2)

    def flap(*arguments: Any, **named: Any) -> Any:
        error = next(failures, None)
        if asked and error is not None:
            raise error
        asked.append(arguments)
        return resolve(*arguments, **named)

    asked: list[Any] = [None]
    with ScriptedServer(answer(close=True), otherwise=answer(close=True)) as server:
        asked.clear()
        monkeypatch.setattr(socket, "getaddrinfo", flap)
        run = upload(server.url.replace("127.0.0.1", "localhost"), content(3 * CHUNK), **BLIND, **way)
    assert run.count("file_success") == 1
    assert run.count("chunk_retry") >= 1


def test_a_narrow_and_broken_line_still_counts_its_bytes_right(way: dict[str, Any]) -> None:
    store = Store()
    data = content(5 * CHUNK)
    faults = [Fault("reset", 6000), Fault("close", 6000)]
    sent: list[int] = []
    confirmed: list[int] = []
    with ScriptedServer(otherwise=store) as server, Proxy(server.url, Scenario(faults, slice=512)) as proxy:
        with Resumable(
            proxy.url,
            chunk_size=CHUNK,
            chunk_retry_interval=0.01,
            throttle_progress_callbacks=0,
            deliver=None,
            **BLIND,
            **way,
        ) as session:

            @session.on("file_progress")
            def note(file: Any) -> None:
                sent.append(file.bytes_sent)
                confirmed.append(file.bytes_confirmed)

            file = session.add_file(data, relative_path="a.bin")
            session.join(60)
        assert file.bytes_sent == file.bytes_confirmed == len(data)
    assert confirmed == sorted(confirmed)
    assert max(sent) <= len(data)
