"""Clients that are slow, many, malformed or gone, and what they may take of the server: all over raw sockets."""

from __future__ import annotations

import logging
import os
import re
import resource
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support.sample import Sample
from support.waiting import PATIENCE, eventually, until_no_connection_is_served

from resumable.errors import OptionError
from resumable.receiver import (
    FileStore,
    Limits,
    Receiver,
    Request,
    Server,
)

STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
FOR_EVER = 1000.0


@contextmanager
def serving(root: Path, receiver: Receiver | None = None, **limits: float) -> Iterator[Server]:
    with Server(receiver or Receiver(FileStore(root, fsync="never")), limits=Limits(**limits)) as server:  # type: ignore[arg-type]
        yield server


@contextmanager
def connected(server: Server, first: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(first)
        yield connection


def head(sample: Sample, method: str = "GET", *fields: str, number: int = 1, version: str = "1.1") -> bytes:
    lines = [f"{method} /?{sample.query(number)} HTTP/{version}", "Host: localhost", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(sample: Sample, *fields: str, number: int = 1, version: str = "1.1") -> bytes:
    chunk = sample.chunk(number)
    return head(sample, "POST", f"Content-Length: {len(chunk)}", *fields, number=number, version=version) + chunk


def one_answer(connection: socket.socket) -> bytes:
    """The next answer, where no other follows before it is read."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(65536)
        assert piece, answer
        answer += piece
    start, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: ([0-9]+)", start)
    while length and len(body) < int(length[1]):
        piece = connection.recv(65536)
        assert piece, answer
        body += piece
    return start + b"\r\n\r\n" + body


def all_answers(connection: socket.socket) -> bytes:
    """Everything until the server closes the connection. A reset is an error."""
    answers = b""
    while piece := connection.recv(65536):
        answers += piece
    return answers


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in STATUS.findall(answers)]


def drip(connection: socket.socket, piece: bytes) -> None:
    """Send slowly, for ever, until there is something to read."""
    while not select.select([connection], [], [], 0.02)[0]:
        connection.sendall(piece)


def gone(connection: socket.socket) -> bool:
    """Whether the server has closed the connection, having read all that was sent or not."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def send_until_cut(connection: socket.socket, data: bytes) -> None:
    try:
        while True:
            connection.sendall(data)
    except (ConnectionResetError, BrokenPipeError):
        return


def refused(server: Server) -> bool:
    try:
        with connected(server):
            return False
    except OSError:
        return True


@pytest.mark.parametrize("name", list(Limits.__dataclass_fields__))
def test_a_limit_is_more_than_nothing(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        Limits(**{name: 0})


def test_a_header_that_does_not_end_in_time_is_cut(root: Path) -> None:
    with serving(root, header_timeout=1) as server, connected(server, b"GET / HTTP/1.1\r\nHo") as connection:
        answer = all_answers(connection)
        assert statuses(answer) == [408]
        assert b"Connection: close\r\n" in answer


def test_a_header_that_comes_byte_by_byte_gets_no_more_time(root: Path) -> None:
    with serving(root, header_timeout=1) as server, connected(server, b"GET / HTTP/1.1\r\nX: ") as connection:
        drip(connection, b"x")
        assert statuses(one_answer(connection)) == [408]


def test_the_next_header_has_its_own_time(root: Path) -> None:
    with serving(root, header_timeout=1) as server, connected(server, head(Sample())) as connection:
        assert statuses(one_answer(connection)) == [204]
        connection.sendall(b"GET / HT")
        assert statuses(all_answers(connection)) == [408]


def test_a_client_that_says_nothing_is_told_nothing(root: Path) -> None:
    with serving(root, header_timeout=0.2) as server, connected(server) as connection:
        assert all_answers(connection) == b""


def test_an_idle_connection_is_closed(root: Path) -> None:
    with serving(root, idle_timeout=0.2) as server, connected(server, head(Sample())) as connection:
        assert statuses(one_answer(connection)) == [204]
        assert connection.recv(1) == b""


def test_a_body_below_the_least_rate_is_cut(root: Path) -> None:
    sample = Sample(bytes(1_000_000), 1_000_000)
    with serving(root, min_rate=1_000_000, rate_window=0.2) as server:
        with connected(server, head(sample, "POST", "Content-Length: 1000000")) as connection:
            drip(connection, bytes(10))
            answer = one_answer(connection)
            assert statuses(answer) == [408]
            assert b"Connection: close\r\n" in answer
        # This one is there, whole, before it is waited for.
        with connected(server, post(Sample(bytes(10), 10, identifier="quick"))) as connection:
            assert statuses(one_answer(connection)) == [201]


def test_the_rate_is_of_each_window(root: Path) -> None:
    sample = Sample(bytes(1_000_000), 1_000_000)
    with serving(root, min_rate=1000, rate_window=0.2) as server:
        first = head(sample, "POST", "Content-Length: 1000000") + bytes(500_000)
        with connected(server, first) as connection:
            assert statuses(all_answers(connection)) == [408]


def test_what_the_server_takes_for_itself_does_not_count(root: Path) -> None:
    def slow_tenant(request: object) -> str:
        threading.Event().wait(0.3)
        return ""

    with (
        serving(root, Receiver(root, tenant=slow_tenant), rate_window=0.1) as server,
        connected(server, post(Sample(bytes(10), 10))) as connection,
    ):
        assert statuses(one_answer(connection)) == [201]


def test_who_does_not_read_his_answers_is_cut(root: Path) -> None:
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
    with serving(root, min_rate=1 << 30, rate_window=0.2) as server, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", server.port))
        send_until_cut(connection, request)
        with connected(server, head(Sample())) as other:
            assert statuses(one_answer(other)) == [204]


def asked_for_its_body(connection: socket.socket, sample: Sample, number: int = 1) -> socket.socket:
    """A connection that waits for the body of a chunk, so that it is not silent however long that takes."""
    expecting = ("Expect: 100-continue", f"Content-Length: {len(sample.chunk(number))}")
    connection.sendall(head(sample, "POST", *expecting, number=number))
    assert statuses(one_answer(connection)) == [100]
    return connection


def test_connections_above_the_limit_are_told_to_come_back(root: Path) -> None:
    sample = Sample(bytes(5_000_000), 2_500_000)
    with serving(root, max_connections=2, linger=FOR_EVER, grace=0.1) as server, ExitStack() as stack:
        kept = [asked_for_its_body(stack.enter_context(connected(server)), sample, number) for number in (1, 2)]
        with connected(server, post(sample)) as connection:
            answer = all_answers(connection)
            assert statuses(answer) == [503]
            assert b"\r\nRetry-After: 1\r\n" in answer
            assert b"\r\nConnection: close\r\n" in answer
        kept[0].close()

        def served() -> bool:
            with connected(server, head(sample)) as connection:
                return statuses(one_answer(connection)) == [204]

        eventually(served)
        kept[1].sendall(sample.chunk(2))
        assert statuses(one_answer(kept[1])) == [200]


def test_connections_far_above_the_limit_are_closed(root: Path) -> None:
    with serving(root, max_connections=1, linger=FOR_EVER, grace=0.1) as server, ExitStack() as stack:
        asked_for_its_body(stack.enter_context(connected(server)), Sample())
        for _ in range(64):
            assert statuses(all_answers(stack.enter_context(connected(server)))) == [503]
        assert all_answers(stack.enter_context(connected(server))) == b""


def test_a_flood_of_connections_passes(root: Path) -> None:
    with serving(root, max_connections=20, header_timeout=0.5, linger=0.5) as server:
        with ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(connected(server, b"GET / HT"))

        def served() -> bool:
            try:
                with connected(server, head(Sample())) as connection:
                    return statuses(connection.recv(65536)) == [204]
            except ConnectionResetError:
                return False

        eventually(served)


@pytest.mark.parametrize("size", [50_000_000, 2_000_000_000])
def test_a_client_that_is_refused_early_reads_why(root: Path, size: int) -> None:
    first = head(Sample(), "POST", f"Content-Length: {size}")
    with (
        serving(root, Receiver(root, token="s3cret"), linger=FOR_EVER, grace=0.1) as server,
        connected(server, first) as connection,
    ):
        for _ in range(50):
            connection.sendall(bytes(1_000_000))
        answer = all_answers(connection)
        assert statuses(answer) == [401 if size < 1 << 30 else 413]
        assert b"\r\nConnection: close\r\n" in answer


def test_who_goes_on_sending_is_not_read_for_ever(root: Path) -> None:
    first = head(Sample(), "POST", "Content-Length: 900000000")
    with (
        serving(root, Receiver(root, token="s3cret"), linger=0.2) as server,
        connected(server, first) as connection,
    ):
        send_until_cut(connection, bytes(100))


SMUGGLED = head(Sample(identifier="smuggled"))


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5", "Content-Length: 5"),
        ("Content-Length: 5, 5",),
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Transfer-Encoding: chunked",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding:\tchunked",),
        ("X: y\n Transfer-Encoding: chunked",),
        ("X: y", " Content-Length: 5"),
        ("Content-Length: -1",),
        ("Content-Length: 0x5",),
        ("Content-Length: ",),
        ("Content-Length: 5\0",),
        ("Content-Length: ٥",),
        ("Content_Length: 5",),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_nobody_smuggles_a_request(server: Server, fields: tuple[str, ...], version: str) -> None:
    sent = head(Sample(), "POST", *fields, version=version) + b"0\r\n\r\n" + SMUGGLED
    with connected(server, sent) as connection:
        answer = all_answers(connection)
    assert len(statuses(answer)) == 1
    assert statuses(answer)[0] in (400, 411, 501)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_a_body_that_nobody_wants_is_not_read_as_a_request(server: Server, method: str) -> None:
    with connected(server) as connection:
        connection.sendall(head(Sample(), method, f"Content-Length: {len(SMUGGLED)}", number=77) + SMUGGLED)
        connection.shutdown(socket.SHUT_WR)
        assert len(statuses(all_answers(connection))) == 1


@pytest.mark.parametrize(
    "line",
    ["Bad Name: x", "Bad : x", " folded", "\tfolded", "no colon", ": x", "X\0: y", "X: a\rb", "X: a\nb", "X: \x1b[0m"],
)
def test_a_malformed_header_field_is_refused(server: Server, line: str) -> None:
    with connected(server, head(Sample(), "GET", "A: b", line)) as connection:
        answer = all_answers(connection)
    assert statuses(answer) == [400]
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize("name", ["Host", "Authorization", "Content-Type", "Origin", "Expect"])
def test_a_header_field_that_counts_is_there_once(server: Server, name: str) -> None:
    with connected(server, head(Sample(), "GET", f"{name}: a", f"{name.lower()}: b")) as connection:
        answer = all_answers(connection)
    assert statuses(answer) == [400]
    assert answer.endswith(f"The header field {name} was sent twice.\n".encode())


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/1.2", 505),
        (b"GET / HTTPS/1.1", 400),
        (b"GET / HTTP/x", 400),
        (b"GET /", 400),
        (b"get / HTTP/1.1", 400),
        (b"GET //[ HTTP/1.1", 400),
        (b"GET http://localhost/ HTTP/1.1", 400),
        (b"GET upload HTTP/1.1", 400),
        (b"GET /\xff HTTP/1.1", 400),
        (b"GET /#x HTTP/1.1", 400),
        (b"CONNECT localhost:80 HTTP/1.1", 405),
        (b"\0\0\0", 400),
        (b"\x16\x03\x01", 400),
    ],
)
def test_a_request_line_that_is_none_is_refused(server: Server, request_line: bytes, status: int) -> None:
    with connected(server, request_line + b"\r\nHost: localhost\r\n\r\n") as connection:
        assert statuses(all_answers(connection)) == [status]


def test_lines_have_to_end_as_lines_do(server: Server) -> None:
    with connected(server, head(Sample()).replace(b"\r\n", b"\n")) as connection:
        assert statuses(all_answers(connection)) == [400]


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\n", b"\n\r\n"])
def test_no_field_is_overlooked_where_the_last_line_ends_otherwise(server: Server, end: bytes) -> None:
    sent = head(Sample(), "POST", "A: b", "Content-Length: 10")[:-4] + end + SMUGGLED
    with connected(server, sent) as connection:
        answer = all_answers(connection)
    assert statuses(answer) == [400]
    assert b"\r\nConnection: close\r\n" in answer


def test_a_request_names_its_host(server: Server) -> None:
    with connected(server, head(Sample()).replace(b"Host: localhost\r\n", b"")) as connection:
        assert statuses(all_answers(connection)) == [400]


def test_a_header_may_be_long_but_not_longer(root: Path) -> None:
    with serving(root, header_size=3000) as server:
        room = 3000 - len(head(Sample(), "GET", "X: "))
        with connected(server, head(Sample(), "GET", "X: " + "y" * room)) as connection:
            assert statuses(one_answer(connection)) == [204]
            connection.sendall(head(Sample(), "GET", "X: " + "y" * (room + 1)))
            answer = all_answers(connection)
            assert statuses(answer) == [431]
            assert answer.endswith(b"The header of the request has more than 3000 bytes: send a shorter one.\n")
        with connected(server, b"GET /" + b"y" * 1_000_000) as connection:
            assert statuses(all_answers(connection)) == [431]


def test_empty_lines_in_front_of_a_request_count_as_its_header(root: Path) -> None:
    with (
        serving(root, header_size=2000, header_timeout=FOR_EVER) as server,
        connected(server, b"\r\n" * 1001) as connection,
    ):
        connection.settimeout(5.0)
        assert statuses(all_answers(connection)) == [431]


def test_a_header_may_have_many_fields_but_not_more(root: Path) -> None:
    with serving(root, header_count=20) as server, connected(server) as connection:
        connection.sendall(head(Sample(), "GET", *["X: y"] * 19))
        assert statuses(one_answer(connection)) == [204]
        connection.sendall(head(Sample(), "GET", *["X: y"] * 20))
        answer = all_answers(connection)
        assert statuses(answer) == [400]
        assert answer.endswith(b"The request has more than 20 header fields.\n")


def test_requests_may_come_before_the_answers_went(server: Server) -> None:
    sample = Sample(os.urandom(100), 10, identifier="pipelined", relative_path="pipelined")
    requests = [part for number in range(1, 11) for part in (head(sample, number=number), post(sample, number=number))]
    with connected(server, b"".join(requests)) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert statuses(all_answers(connection)) == [204, 200] * 9 + [204, 201]


def test_an_application_sees_the_same_whether_a_head_is_plain_or_not(root: Path) -> None:
    seen = []

    def tenant(request: Request) -> str:
        seen.append((dict(request.environ), request.headers, request.query))
        return ""

    fields = ("Host: localhost", "content-type:text/plain", "X-Some: a  b ", "Empty:", "Content-Length: 0")
    with serving(root, Receiver(root, tenant=tenant)) as server, connected(server) as connection:
        # A path with an escape is left to the parser that takes anything.
        for path in ("/uploads", "/%75ploads"):
            connection.sendall("\r\n".join((f"GET {path}?a=b%20c&d HTTP/1.1", *fields, "", "")).encode())
            assert statuses(one_answer(connection)) == [200]
    (plain, *more), (other, *again) = seen
    assert (plain.pop("REQUEST_URI"), other.pop("REQUEST_URI")) == ("/uploads?a=b%20c&d", "/%75ploads?a=b%20c&d")
    assert plain.pop("wsgi.input") is not other.pop("wsgi.input")
    assert (plain, more) == (other, again)


def test_a_request_may_come_byte_by_byte(server: Server) -> None:
    sample = Sample(bytes(10), 10, identifier="bytes", relative_path="bytes")
    with connected(server) as connection:
        for byte in b"\r\n\r\n" + post(sample):
            connection.sendall(bytes([byte]))
        assert statuses(one_answer(connection)) == [201]


def test_a_client_of_1_0_is_answered_and_left(server: Server) -> None:
    sample = Sample(bytes(10), 10, identifier="old", relative_path="old")
    with connected(server, post(sample, version="1.0").replace(b"Host: localhost\r\n", b"")) as connection:
        answer = all_answers(connection)
        assert statuses(answer) == [201]
        assert b"\r\nContent-Length: " in answer
        assert b"Transfer-Encoding" not in answer


@pytest.mark.parametrize(
    ("version", "option", "kept"),
    [("1.0", "Keep-Alive", True), ("1.0", "keep-alive", True), ("1.1", "Close", False), ("1.1", "x, close", False)],
)
def test_a_client_says_whether_to_keep_the_connection(server: Server, version: str, option: str, kept: bool) -> None:
    with connected(server, head(Sample(), "GET", f"Connection: {option}", version=version)) as connection:
        answer = one_answer(connection)
        assert statuses(answer) == [204]
        assert (b"\r\nConnection: close\r\n" in answer) is not kept
        if kept:
            assert b"\r\nConnection: Keep-Alive\r\nKeep-Alive: timeout=15\r\n" in answer
            connection.sendall(head(Sample()))
            assert statuses(one_answer(connection)) == [204]
        else:
            assert connection.recv(1) == b""


@pytest.mark.parametrize("spelling", ["100-continue", "100-Continue"])
def test_a_client_that_waits_is_told_to_continue(server: Server, spelling: str) -> None:
    sample = Sample(bytes(10), 10, identifier=spelling, relative_path=spelling)
    with connected(server, head(sample, "POST", f"Expect: {spelling}", "Content-Length: 10")) as connection:
        assert one_answer(connection) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(sample.data)
        assert statuses(one_answer(connection)) == [201]
        connection.sendall(head(sample))
        assert statuses(one_answer(connection)) == [200]


@pytest.mark.parametrize(
    ("fields", "number", "status"),
    [
        (("Content-Length: 10",), 1, 401),
        (("Content-Length: 10", "Authorization: Bearer wrong"), 1, 401),
        (("Content-Length: 2000000000", "Authorization: Bearer s3cret"), 1, 413),
        (("Content-Length: 10", "Authorization: Bearer s3cret"), 2, 400),
    ],
)
def test_a_client_that_waits_is_not_told_to_continue_in_vain(
    root: Path, fields: tuple[str, ...], number: int, status: int
) -> None:
    request = head(Sample(bytes(10), 10), "POST", "Expect: 100-continue", *fields, number=number)
    with serving(root, Receiver(root, token="s3cret")) as server, connected(server, request) as connection:
        answer = all_answers(connection)
        assert statuses(answer) == [status]
        assert b"\r\nConnection: close\r\n" in answer


def test_a_client_of_1_0_waits_for_nothing(server: Server) -> None:
    sample = Sample(bytes(10), 10, identifier="old-waits", relative_path="old-waits")
    with connected(server, post(sample, "Expect: 100-continue", version="1.0")) as connection:
        assert statuses(all_answers(connection)) == [201]


def test_a_request_that_runs_when_the_server_stops_is_finished(root: Path) -> None:
    sample = Sample(bytes(1000), 1000)
    began = threading.Event()

    def tenant(request: object) -> str:
        began.set()
        return ""

    with (
        serving(root, Receiver(root, tenant=tenant), grace=FOR_EVER) as server,
        connected(server, post(sample)[:-500]) as connection,
    ):
        assert began.wait(PATIENCE)
        stopping = threading.Thread(target=server.stop)
        port = server.port
        stopping.start()

        def deaf() -> bool:
            with socket.socket() as other:
                return other.connect_ex(("127.0.0.1", port)) != 0

        eventually(deaf)
        connection.sendall(bytes(500))
        answer = all_answers(connection)
        assert statuses(answer) == [201]
        assert b"\r\nConnection: close\r\n" in answer
        stopping.join(PATIENCE)
        assert not stopping.is_alive()
    assert (root / "sample.bin").read_bytes() == sample.data


def test_connections_without_a_request_do_not_keep_the_server_from_stopping(root: Path) -> None:
    with serving(root, grace=FOR_EVER) as server, ExitStack() as stack:
        idle = stack.enter_context(connected(server, head(Sample())))
        assert statuses(one_answer(idle)) == [204]
        half = stack.enter_context(connected(server, b"GET"))
        server.stop()
        assert gone(idle)
        assert gone(half)


def test_a_request_that_does_not_end_is_cut_when_the_server_stops(root: Path) -> None:
    began = threading.Event()

    def tenant(request: object) -> str:
        began.set()
        return ""

    with (
        serving(root, Receiver(root, tenant=tenant), grace=0.1) as server,
        connected(server, post(Sample())[:-1]) as connection,
    ):
        assert began.wait(PATIENCE)
        server.stop()
        assert all_answers(connection) == b""


def test_a_handler_that_does_not_return_is_left_behind(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    began, free, freed = threading.Event(), threading.Event(), threading.Event()

    def tenant(request: object) -> str:
        began.set()
        free.wait(PATIENCE)
        freed.set()
        return ""

    with serving(root, Receiver(root, tenant=tenant), grace=0.1) as server, connected(server, head(Sample())):
        assert began.wait(PATIENCE)
        server.stop()
    assert "stopped while 1 requests were still running" in caplog.text
    threads = [thread for thread in threading.enumerate() if thread.name == "resumable-connection"]
    free.set()
    assert freed.wait(PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)


class Heard(logging.Handler):
    """Says when something that contains these words was logged."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words
        self.heard = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self.words in record.getMessage():
            self.heard.set()


@contextmanager
def listening_to(words: str) -> Iterator[threading.Event]:
    handler = Heard(words)
    logger = logging.getLogger("resumable.receiver")
    logger.addHandler(handler)
    try:
        yield handler.heard
    finally:
        logger.removeHandler(handler)


class Swept(Receiver):
    """Says when a sweep is over."""

    def __init__(self, root: Path) -> None:
        super().__init__(FileStore(root, fsync="never"))
        self.swept = threading.Event()

    def sweep(self) -> int:
        try:
            return super().sweep()
        finally:
            self.swept.set()


def test_without_file_handles_connections_wait_for_some(root: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    receiver = Swept(root)
    with serving(root, receiver) as server, socket.socket() as connection, listening_to("cannot accept") as heard:
        connection.settimeout(PATIENCE)
        # What others have open would be free again.
        assert receiver.swept.wait(PATIENCE)
        until_no_connection_is_served()
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(head(Sample()))
            assert heard.wait(PATIENCE)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert statuses(one_answer(connection)) == [204]


def test_without_threads_connections_wait_for_some(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def exhausted(thread: threading.Thread) -> None:
        if thread.name == "resumable-connection":
            raise RuntimeError("can't start new thread")
        start(thread)

    with serving(root) as server, listening_to("can't start new thread") as heard:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", exhausted)
            with connected(server) as connection:
                assert heard.wait(PATIENCE)
                assert all_answers(connection) == b""
        with connected(server, head(Sample())) as connection:
            assert statuses(one_answer(connection)) == [204]


def test_a_client_that_resets_harms_nobody(server: Server) -> None:
    for first in (b"", b"GET", head(Sample()), post(Sample(bytes(100), 100, identifier="reset"))[:-50]):
        with connected(server, first) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with connected(server, head(Sample())) as connection:
        assert statuses(one_answer(connection)) == [204]


def test_no_thread_and_no_socket_is_left(root: Path) -> None:
    until_no_connection_is_served()
    threads, handles = set(threading.enumerate()), open_handles()
    with serving(root) as server:
        for _ in range(10):
            with connected(server, head(Sample())) as connection:
                one_answer(connection)
        assert open_handles() - handles
    eventually(lambda: not set(threading.enumerate()) - threads)
    assert not open_handles() - handles


def open_handles() -> set[str]:
    found = set()
    for handle in Path("/proc/self/fd").iterdir():
        try:
            found.add(os.readlink(handle))
        except FileNotFoundError:
            continue  # that with which this is read
    return found
