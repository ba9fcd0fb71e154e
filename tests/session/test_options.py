"""Every row of the options does over HTTP what it says. One case a row, and no row without a case."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import gc
import hashlib
import itertools
import pickle
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from support.scripted_server import PATIENCE, Request, ScriptedServer, hold, lacking

from resumable import (
    FileRejected,
    FileState,
    OptionError,
    RedirectRefused,
    Result,
    Resumable,
    RetriesExhausted,
    ServerRefused,
    SessionState,
    UnknownOption,
    WaitTimeout,
)
from resumable.options import OPTIONS
from resumable.transport.base import Reply
from resumable.transport.base import Request as Sent
from resumable.transport.control import RequestControl

CASES: dict[str, Callable[[Bench], None]] = {}


class Bench:
    """A server, files, and sessions that use the option which the case is about."""

    def __init__(self, name: str, wire: ScriptedServer, make: Callable[..., Path]) -> None:
        self.name = name
        self.wire = wire
        self.make = make
        self.used = False

    def session(self, target: Any = None, **options: Any) -> Resumable:
        """A session to the server."""
        session = Resumable(target or self.wire.url, **options)
        row = OPTIONS[self.name]
        given = getattr(session.options, self.name)
        self.used = self.used or (given is not row.default and given != row.default)
        return session

    def send(self, size: int = 10, target: Any = None, path: Path | None = None, **options: Any) -> Result:
        """What became of one file that was uploaded with these options; nothing is raised for it."""
        with self.session(target, **{"chunk_size": 10, **options}) as session:
            session.add_file(path or self.make(size=size))
            return session.join(PATIENCE, raise_errors=False)

    def sent(self, **options: Any) -> Request:
        """The only request that brought a chunk of a file of one chunk."""
        before = len(self.wire.uploads)
        assert self.send(**options).succeeded
        (request,) = self.wire.uploads[before:]
        return request


def case(*names: str) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """The function is the case of these rows."""

    def register(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
        for name in names:
            assert name not in CASES, f"{name} has two cases"
            CASES[name] = function
        return function

    return register


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_does_over_http_what_it_says(name: str, wire: ScriptedServer, make: Callable[..., Path]) -> None:
    bench = Bench(name, wire, make)
    CASES[name](bench)
    assert bench.used, f"the case never gave {name} a value of its own"
    assert wire.begun, "the case sent nothing"


def test_there_is_no_case_without_a_row() -> None:
    assert set(CASES) == set(OPTIONS)


# -- where and how chunks are sent --------------------------------------------------------------------------------


def controls(port: int) -> set[bytes]:
    """The congestion control of this process' connections to the port."""
    found = set()
    for each in gc.get_objects():
        if (
            issubclass(type(each), socket.socket)
            and each.fileno() >= 0
            and (each.family, each.type) == (socket.AF_INET, socket.SOCK_STREAM)
        ):
            with contextlib.suppress(OSError):
                if each.getpeername()[1] == port:
                    found.add(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0"))
    return found


@case("target")
def _(bench: Bench) -> None:
    bench.send(target=bench.wire.url + "?key=1")
    assert all(("key", "1") in request.query for request in bench.wire.requests)
    asked: list[list[str]] = []

    def target(params: list[str]) -> str:
        asked.append(params)
        return bench.wire.url + "/made"

    request = bench.sent(target=target, test_chunks=False)
    assert request.path == "/upload/made"
    assert "resumableChunkNumber=1" in asked[0]


@case("test_target")
def _(bench: Bench) -> None:
    bench.send(test_target=bench.wire.url + "/tests")
    assert [(request.method, request.path) for request in bench.wire.requests] == [
        ("GET", "/upload/tests"),
        ("POST", "/upload"),
    ]
    bench.send(test_target=lambda params: bench.wire.url + f"/{len(params)}")
    assert bench.wire.tests[-1].path == "/upload/9"


@case("chunk_size")
def _(bench: Bench) -> None:
    bench.send(size=35, chunk_size=10)
    assert sorted(len(request.chunk or b"") for request in bench.wire.uploads) == [10, 10, 15]


@case("force_chunk_size")
def _(bench: Bench) -> None:
    bench.send(size=35, force_chunk_size=True)
    assert sorted(len(request.chunk or b"") for request in bench.wire.uploads) == [5, 10, 10, 10]


@case("simultaneous_uploads")
def _(bench: Bench) -> None:
    bench.wire.behave = lambda request: None
    with bench.session(chunk_size=1, simultaneous_uploads=5, test_chunks=False, chunk_order="free") as session:
        session.add_file(bench.make(size=20))
        bench.wire.wait_held(5)
        assert bench.wire.settle() == 5
        bench.wire.behave = lambda request: (200,)
        bench.wire.release()


@case("max_connections")
def _(bench: Bench) -> None:
    sent = {"0.bin", "1.bin", "2.bin"}
    bench.wire.behave = lambda r: (404,) if r.chunk is None and r.fields["resumableFilename"] in sent else None
    with bench.session(max_connections=4, simultaneous_uploads=3) as session:
        session.add_files([bench.make(f"{number}.bin") for number in range(9)])
        bench.wire.wait_held(4)
        bench.wire.settle()
        assert len(bench.wire.held) == 4
        bench.wire.behave = lambda request: (404 if request.chunk is None else 200,)
        for request in bench.wire.held:
            request.answer(404 if request.chunk is None else 200)


def parameter_case(name: str, js_name: str) -> None:
    def run(bench: Bench) -> None:
        path = bench.make()
        assert bench.sent(path=path, **{name: "other"}).fields["other"] == bench.sent(path=path).fields[js_name]
        assert js_name not in bench.sent(path=path, **{name: "other"}).fields
        assert js_name not in bench.sent(path=path, **{name: None}).fields

    case(name)(run)


for _name, _js_name in {
    "chunk_number_parameter_name": "resumableChunkNumber",
    "chunk_size_parameter_name": "resumableChunkSize",
    "current_chunk_size_parameter_name": "resumableCurrentChunkSize",
    "total_size_parameter_name": "resumableTotalSize",
    "type_parameter_name": "resumableType",
    "identifier_parameter_name": "resumableIdentifier",
    "file_name_parameter_name": "resumableFilename",
    "relative_path_parameter_name": "resumableRelativePath",
    "total_chunks_parameter_name": "resumableTotalChunks",
}.items():
    parameter_case(_name, _js_name)


@case("file_parameter_name")
def _(bench: Bench) -> None:
    assert bench.sent().part_name == "file"
    assert bench.sent(file_parameter_name="blob").part_name == "blob"


@case("parameter_namespace")
def _(bench: Bench) -> None:
    request = bench.sent(parameter_namespace="up_")
    assert request.fields["up_resumableChunkNumber"] == "1"
    assert request.part_name == "up_file"


@case("query")
def _(bench: Bench) -> None:
    bench.send(query={"token": "a b", "deep": True, "left_out": None})
    assert [(r.fields["token"], r.fields["deep"], "left_out" in r.fields) for r in bench.wire.requests] == [
        ("a b", "true", False)
    ] * 2
    request = bench.sent(query=lambda file, chunk: {"of": f"{file.file_name}/{chunk.number}"})
    assert request.fields["of"] == "a.bin/1"


@case("headers")
def _(bench: Bench) -> None:
    bench.send(headers={"X-Token": "secret"})
    assert [request.headers["x-token"] for request in bench.wire.requests] == ["secret"] * 2
    assert bench.sent(headers=lambda file, chunk: {"X-Number": chunk.number}).headers["x-number"] == "1"


@case("method")
def _(bench: Bench) -> None:
    request = bench.sent(method="octet")
    assert request.headers["content-type"] == "application/octet-stream"
    assert request.body == request.chunk == bytes(range(10))
    assert dict(request.query)["resumableChunkNumber"] == "1"


@case("upload_method")
def _(bench: Bench) -> None:
    assert bench.sent(upload_method="put").method == "PUT"


@case("test_method")
def _(bench: Bench) -> None:
    bench.send(test_method="HEAD")
    assert [request.method for request in bench.wire.requests] == ["HEAD", "POST"]


@case("params_in")
def _(bench: Bench) -> None:
    both, query, form = (bench.sent(params_in=where) for where in ("both", "query", "form"))
    assert (bool(both.query), bool(both.form)) == (True, True)
    assert (bool(query.query), bool(query.form)) == (True, False)
    assert (bool(form.query), bool(form.form)) == (False, True)


@case("chunk_format")
def _(bench: Bench) -> None:
    request = bench.sent(chunk_format="base64")
    assert request.chunk == b"data:application/octet-stream;base64," + base64.b64encode(bytes(range(10)))


@case("set_chunk_type_from_file")
def _(bench: Bench) -> None:
    path = bench.make("a.txt")
    bench.send(path=path)
    bench.send(path=path, set_chunk_type_from_file=True)
    assert [request.part_type for request in bench.wire.uploads] == ["application/octet-stream", "text/plain"]


@case("prioritize_first_and_last_chunk")
def _(bench: Bench) -> None:
    bench.send(size=50, prioritize_first_and_last_chunk=True, simultaneous_uploads=1)
    assert [request.number for request in bench.wire.uploads] == [1, 5, 2, 3, 4]


@case("chunk_order")
def _(bench: Bench) -> None:
    bench.wire.behave = lambda request: None
    for order, groups in {
        "sequential": [{1}, {2}, {3}, {4}, {5}],
        "bookends": [{1}, {2, 3, 4}, {5}],
        "strict": [{1}, {2, 3, 4}, {5}],
        "free": [{1, 2, 3, 4}, {5}],
    }.items():
        with bench.session(chunk_size=10, chunk_order=order, simultaneous_uploads=4, test_chunks=False) as session:
            session.add_file(bench.make(size=50))
            for group in groups:
                bench.wire.wait_held(len(group))
                bench.wire.settle()
                assert {request.number for request in bench.wire.held} == group
                bench.wire.release()


@case("part")
def _(bench: Bench) -> None:
    sent = []
    for part in (None, (1, 2), (2, 2)):
        before = len(bench.wire.uploads)
        bench.send(size=100, part=part, chunk_order="free", test_chunks=False)
        sent.append(sorted(request.number for request in bench.wire.uploads[before:]))
    assert sent == [[*range(1, 11)], [*range(1, 11, 2)], [*range(2, 11, 2)]]


@case("checksum")
def _(bench: Bench) -> None:
    assert "resumableChecksum" not in bench.sent().fields
    request = bench.sent(checksum="md5")
    assert request.chunk is not None
    assert request.fields["resumableChunkMd5"] == hashlib.md5(request.chunk).hexdigest()


@case("file_checksum")
def _(bench: Bench) -> None:
    assert "resumableFileSha256" not in bench.sent().fields
    request = bench.sent(file_checksum=True)
    assert request.chunk is not None
    assert request.fields["resumableFileSha256"] == hashlib.sha256(request.chunk).hexdigest()


@case("test_chunks")
def _(bench: Bench) -> None:
    bench.send(test_chunks=False)
    assert [request.method for request in bench.wire.requests] == ["POST"]


@case("test_every_chunk")
def _(bench: Bench) -> None:
    bench.send(size=100, test_every_chunk=True)
    assert len(bench.wire.tests) == 10


@case("trust_tests")
def _(bench: Bench) -> None:
    bench.wire.behave = lambda request: (200,)
    assert bench.send(size=20).succeeded[0].bytes_skipped == 0
    assert len(bench.wire.uploads) == 2
    assert bench.send(size=20, trust_tests=True).succeeded[0].bytes_skipped == 20
    assert len(bench.wire.uploads) == 2


@case("success_statuses")
def _(bench: Bench) -> None:
    bench.wire.behave = lambda request: (202,)
    assert bench.send(test_chunks=False, max_chunk_retries=0).failed
    assert bench.send(test_chunks=False, success_statuses=[202]).succeeded


@case("test_errors_are_permanent")
def _(bench: Bench) -> None:
    bench.wire.behave = lambda request: (403,) if request.chunk is None else (200,)
    assert bench.send().succeeded
    assert bench.send(test_errors_are_permanent=True).failed


# -- hooks ---------------------------------------------------------------------------------------------------------


@case("preprocess")
def _(bench: Bench) -> None:
    request = bench.sent(preprocess=lambda chunk: chunk.read()[::-1] + b"!")
    assert request.chunk == bytes(range(10))[::-1] + b"!"
    assert request.fields["resumableCurrentChunkSize"] == "11"
    assert bench.sent(preprocess=lambda chunk: None).chunk == bytes(range(10))


@case("find_uploaded")
def _(bench: Bench) -> None:
    stored = {"a.bin": [(0, 1), (3, 3)], "b.bin": [(0, 4)], "c.bin": None}
    for name, numbers in {"a.bin": [3, 5], "b.bin": [], "c.bin": [1, 2, 3, 4, 5]}.items():
        before = len(bench.wire.uploads)
        path = bench.make(name, 50)
        (file,) = bench.send(path=path, find_uploaded=lambda file: stored[file.file_name]).succeeded
        assert sorted(request.number for request in bench.wire.uploads[before:]) == numbers
        assert file.bytes_skipped == 50 - 10 * len(numbers)


@case("cancel_deletes")
def _(bench: Bench) -> None:
    ours = {"Resumable-Server": "1"}
    begun = threading.Event()

    def behave(request: Request) -> tuple[Any, ...] | None:
        if request.method == "DELETE":
            return (204, "", ours)
        if request.chunk is None or request.number == 1:
            return (404 if request.chunk is None else 200, "", ours)
        begun.set()
        return None

    bench.wire.behave = behave
    with bench.session(chunk_size=10, cancel_deletes=True) as session:
        session.add_file(bench.make("a.bin", 30))
        assert begun.wait(PATIENCE)
        session.cancel()
    assert "DELETE" in [request.method for request in bench.wire.requests]


@case("after_file")
def _(bench: Bench) -> None:
    told: list[str] = []

    def after_file(file: Any) -> None:
        told.append(f"{len(bench.wire.uploads)} of {len(file.chunks)}")

    assert bench.send(30, after_file=after_file).succeeded
    assert told == ["3 of 3"]


@case("on_abort")
def _(bench: Bench) -> None:
    told: list[str] = []
    bench.wire.behave = lambda request: None
    with bench.session(on_abort=lambda file: told.append(file.file_name)) as session:
        session.add_file(bench.make())
        bench.wire.wait(lambda: bool(bench.wire.requests))
        session.cancel()
        assert told == ["a.bin"]


@case("preprocess_file")
def _(bench: Bench) -> None:
    result = bench.send(preprocess_file=lambda file: b"x" * 25)
    assert [request.chunk for request in bench.wire.uploads] == [b"x" * 10, b"x" * 15]
    assert {request.fields["resumableTotalSize"] for request in bench.wire.requests} == {"25"}
    assert result.succeeded[0].size == 25


@case("generate_unique_identifier")
def _(bench: Bench) -> None:
    assert (
        bench.sent(generate_unique_identifier=lambda path, relative_path: f"my-{relative_path}").identifier
        == "my-a.bin"
    )


@case("should_retry")
def _(bench: Bench) -> None:
    answers = iter([(400,), (503,), (200,)])
    bench.wire.behave = lambda request: next(answers)
    seen: list[tuple[int | None, int]] = []

    def should_retry(error: Any, attempt: int) -> bool | None:
        seen.append((error.status, attempt))
        return True if error.status == 400 else None

    assert bench.send(test_chunks=False, chunk_retry_interval=0, should_retry=should_retry).succeeded
    assert seen == [(400, 1), (503, 2)]


@case("accept_response")
def _(bench: Bench) -> None:
    bench.wire.behave = lambda request: (404,) if request.chunk is None else (200, '{"stored": false}')
    assert bench.send().succeeded
    (file,) = bench.send(accept_response=lambda response: response.json()["stored"]).failed
    assert isinstance(file.error, ServerRefused)


@case("chunk_exists")
def _(bench: Bench) -> None:
    bench.wire.behave = lambda request: (200, "no") if "canary" in request.identifier else (200, "yes")
    assert bench.send(chunk_exists=lambda response: response.text == "yes").succeeded[0].bytes_skipped == 10


# -- which files are taken -----------------------------------------------------------------------------------------


def refusal_case(option: str, callback: str, value: Any, refused: dict[str, Any]) -> None:
    """The option refuses one file, which is told to the callback, and takes another."""

    def run(bench: Bench) -> None:
        told: list[Any] = []
        path = bench.make("no.txt", refused["size"])
        with bench.session(**{option: value, callback: lambda *facts: told.append(facts)}) as session:
            with pytest.raises(FileRejected) as caught:
                session.add_file(path)
            assert caught.value.option == option
            assert session.files == []
            session.add_file(bench.make("yes.bin", 10))
        assert [request.file_name for request in bench.wire.uploads] == ["yes.bin"]
        assert told == [(path, 0)]

    case(option, callback)(run)


refusal_case("min_file_size", "min_file_size_error_callback", 5, {"size": 4})
refusal_case("max_file_size", "max_file_size_error_callback", 10, {"size": 11})
refusal_case("file_type", "file_type_error_callback", ["bin", "image/*"], {"size": 10})


@case("max_files", "max_files_error_callback")
def _(bench: Bench) -> None:
    told: list[Any] = []
    paths = [bench.make(name) for name in ("a", "b", "c")]
    with bench.session(max_files=2, max_files_error_callback=lambda *facts: told.append(facts)) as session:
        session.add_files(paths[:2])
        with pytest.raises(FileRejected, match="max_files is 2"):
            session.add_file(paths[2])
    assert told == [([paths[2]], 0)]
    assert sorted(str(request.file_name) for request in bench.wire.uploads) == ["a", "b"]


# -- failures ------------------------------------------------------------------------------------------------------


@case("max_chunk_retries")
def _(bench: Bench) -> None:
    bench.wire.behave = lambda request: (503,)
    (file,) = bench.send(test_chunks=False, max_chunk_retries=2, chunk_retry_interval=0).failed
    assert isinstance(file.error, RetriesExhausted)
    assert len(bench.wire.requests) == file.error.attempts == 3


@case("chunk_retry_interval")
def _(bench: Bench) -> None:
    waited: list[int] = []

    def interval(attempt: int) -> float:
        waited.append(attempt)
        return 0.0

    answers = iter([(500,), (500,), (200,)])
    bench.wire.behave = lambda request: next(answers)
    bench.send(test_chunks=False, permanent_errors=(), chunk_retry_interval=interval)
    assert waited == [1, 2]
    answers = iter([(503,), (200,)])
    begun = time.monotonic()
    bench.send(test_chunks=False, chunk_retry_interval=0.3)
    assert time.monotonic() - begun >= 0.3


@case("retry_for")
def _(bench: Bench) -> None:
    ticks = iter(range(100))
    now = [0.0]

    def busy(request: Request) -> tuple[int]:
        now[0] = 0.02 * (next(ticks) + 1)
        return (503,)

    bench.wire.behave = busy
    options: dict[str, Any] = {"chunk_retry_interval": 0, "max_chunk_retries": None, "clock": lambda: now[0]}
    (file,) = bench.send(test_chunks=False, retry_for=0.05, **options).failed
    assert isinstance(file.error, RetriesExhausted)
    assert len(bench.wire.requests) == 3


@case("permanent_errors")
def _(bench: Bench) -> None:
    bench.wire.behave = lambda request: (418,)
    assert isinstance(bench.send(test_chunks=False, permanent_errors=[418]).failed[0].error, ServerRefused)
    assert len(bench.wire.requests) == 1


@case("limit_rate")
def _(bench: Bench) -> None:
    began = time.monotonic()
    assert bench.send(size=3000, chunk_size=1000, test_chunks=False, limit_rate=10_000).succeeded
    # A little less than 0.3 s: nobody waits behind the last piece.
    assert time.monotonic() - began >= 0.2
    stopped: list[float] = []
    with bench.session(chunk_size=1000, test_chunks=False, limit_rate=10) as session:
        session.add_file(bench.make(size=1000))
        bench.wire.wait(lambda: bench.wire.begun > 3)
        began = time.monotonic()
        session.cancel()
        session.close()
        stopped.append(time.monotonic() - began)
    assert stopped[0] < 10, "at this rate it would take a hundred seconds"


@case("congestion_control")
def _(bench: Bench) -> None:
    bench.wire.behave = lambda request: None
    with bench.session(congestion_control="reno", test_chunks=False) as session:
        session.add_file(bench.make(size=10))
        bench.wire.wait_held()
        assert controls(bench.wire.port) == {b"reno"}
        bench.wire.release()


@case("timeout")
def _(bench: Bench) -> None:
    bench.wire.behave = lambda request: None if len(bench.wire.requests) == 0 else (200,)
    assert bench.send(size=30, test_chunks=False, timeout=(5, 0.2), chunk_retry_interval=0).succeeded
    numbers = [request.number for request in bench.wire.requests]
    assert numbers.count(1) >= 2, "it was sent again"
    assert set(numbers) == {1, 2, 3}


@case("final_chunk_timeout")
def _(bench: Bench) -> None:
    bench.wire.behave = lambda request: None if len(bench.wire.requests) == 0 else (200,)
    options: dict[str, Any] = {"test_chunks": False, "timeout": (5, 0.1), "chunk_retry_interval": 0}
    assert bench.send(final_chunk_timeout=0.2, **options).succeeded
    assert len(bench.wire.requests) >= 2


@case("redirect_origins")
def _(bench: Bench) -> None:
    with ScriptedServer(behave=lacking) as other:
        bench.wire.behave = lambda request: (307, "", {"Location": other.url})
        (file,) = bench.send(test_chunks=False).failed
        assert isinstance(file.error, RedirectRefused)
        origin = other.url.removesuffix("/upload")
        assert bench.send(test_chunks=False, redirect_origins=[origin]).succeeded
        assert [request.chunk for request in other.requests] == [bytes(range(10))]


# -- the session ---------------------------------------------------------------------------------------------------


@case("throttle_progress_callbacks")
def _(bench: Bench) -> None:
    # At this rate a chunk takes a quarter of a second and has 64 ticks, of which the throttle lets none through.
    def told(throttle: float, *, late: bool = False) -> int:
        on_the_way = []
        options: dict[str, Any] = {"chunk_size": 1 << 22, "limit_rate": 1 << 24, "test_chunks": False}
        with bench.session(throttle_progress_callbacks=throttle, **options) as session:
            begun = bench.wire.begun
            if late:
                session.add_file(bench.make(size=1 << 22))
                bench.wire.wait(lambda: bench.wire.begun > begun)
            session.on("file_progress", lambda file: on_the_way.append(0 < file.bytes_sent < file.size))
            if not late:
                session.add_file(bench.make(size=1 << 22))
        return sum(on_the_way)

    assert told(0) > 0
    # What is told of the beginning may be heard when some of it is sent.
    assert told(1000, late=True) == 0


@case("session")
def _(bench: Bench) -> None:
    mine = requests.Session()
    mine.headers["X-Mine"] = "yes"
    mine.auth = ("user", "word")
    request = bench.sent(session=mine)
    assert request.headers["x-mine"] == "yes"
    assert request.headers["authorization"] == requests.auth._basic_auth_str("user", "word")
    made: list[requests.Session] = []

    def factory() -> requests.Session:
        made.append(requests.Session())
        made[-1].headers["X-Made"] = str(len(made))
        return made[-1]

    assert bench.sent(session=factory).headers["x-made"] == str(len(made))
    mine.close()


class Detour:
    """A transport that goes through requests by itself."""

    def __init__(self) -> None:
        self.sent = 0
        self.closed = False

    def send(self, request: Sent, control: RequestControl) -> Reply:
        self.sent += 1
        body = None if request.body is None else b"".join(bytes(piece) for piece in request.body)
        reply = requests.request(request.method, request.url, headers={**request.headers, "X-Detour": "1"}, data=body)
        return Reply(reply.status_code, {name.lower(): value for name, value in reply.headers.items()}, reply.text)

    def close(self) -> None:
        self.closed = True


@case("transport")
def _(bench: Bench) -> None:
    detour = Detour()
    assert bench.sent(transport=detour).headers["x-detour"] == "1"
    assert detour.sent == 2
    assert not detour.closed, "whoever brings a transport closes it"


@case("auto_upload")
def _(bench: Bench) -> None:
    with bench.session(auto_upload=False) as session:
        session.add_file(bench.make())
        assert session.files[0].state is FileState.READY
        assert bench.wire.settle() == 0
        session.upload()
        session.join(PATIENCE)
        assert len(bench.wire.uploads) == 1


@case("completion_delay")
def _(bench: Bench) -> None:
    now = [1000.0]
    ended = threading.Event()
    session = bench.session(completion_delay=3600, clock=lambda: now[0])
    session.on("complete", ended.set)
    for name in ("1", "2"):
        session.add_file(bench.make(name)).wait(PATIENCE)
        now[0] += 3599
        session.resume()
    assert session.state is SessionState.UPLOADING
    now[0] += 1
    session.resume()
    assert ended.wait(PATIENCE)
    assert session.result is not None
    assert len(session.result.succeeded) == 2
    session.close()


@case("fail_fast")
def _(bench: Bench) -> None:
    bench.wire.behave = lambda request: (415,) if request.file_name == "1" else (200,)
    for fail_fast, others in ((False, FileState.SUCCESS), (True, FileState.CANCELLED)):
        with bench.session(
            fail_fast=fail_fast, test_chunks=False, simultaneous_uploads=1, auto_upload=False
        ) as session:
            files = session.add_files([bench.make(name) for name in ("1", "2", "3")])
            session.join(PATIENCE, raise_errors=False)
            assert [file.state for file in files] == [FileState.ERROR, others, others]


@case("deliver")
def _(bench: Bench) -> None:
    where: list[threading.Thread] = []
    with bench.session(deliver="manual") as session:
        session.on("complete", lambda: where.append(threading.current_thread()))
        session.add_file(bench.make())
    assert where == [threading.main_thread()]


@case("loop")
def _(bench: Bench) -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    done = threading.Event()
    where: list[threading.Thread] = []

    async def handler(file: Any) -> None:
        where.append(threading.current_thread())
        done.set()

    with bench.session(loop=loop) as session:
        session.on("file_success", handler)
        session.add_file(bench.make())
    assert done.wait(PATIENCE)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert where == [thread]


@case("plugins")
def _(bench: Bench) -> None:
    class Label:
        name = "label"

        def attach(self, session: Resumable) -> None:
            self.session = session

        def headers(self, file: Any, chunk: Any) -> dict[str, str]:
            return {"X-Label": file.file_name}

    label = Label()
    assert bench.sent(plugins=[label]).headers["x-label"] == "a.bin"
    assert isinstance(label.session, Resumable)


@case("clock")
def _(bench: Bench) -> None:
    now = [1000.0]
    failed = threading.Event()
    bench.wire.behave = lambda request: (503,) if not bench.wire.requests else (200,)
    with bench.session(test_chunks=False, chunk_retry_interval=3600, clock=lambda: now[0]) as session:
        session.on("chunk_retry", lambda: failed.set())
        session.add_file(bench.make())
        assert failed.wait(PATIENCE)
        now[0] += 3599
        session.resume()
        assert bench.wire.settle() == 1
        now[0] += 1
        session.resume()
        bench.wire.wait(lambda: len(bench.wire.uploads) == 2)


def test_times_longer_than_any_clock_counts_are_waited_for(wire: ScriptedServer, make: Callable[..., Path]) -> None:
    wire.behave = lambda request: (503,) if not wire.requests else (200,)
    times: dict[str, Any] = {"timeout": 1e300, "chunk_retry_interval": 1e300, "retry_for": 1e300}
    with Resumable(wire.url, test_chunks=False, **times) as session:
        failed = threading.Event()
        session.on("chunk_retry", lambda: failed.set())
        session.add_file(make())
        assert failed.wait(PATIENCE)
        with pytest.raises(WaitTimeout):
            session.join(0.1)
        session.close()
    assert len(wire.requests) == 1


# -- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [row for name, row in OPTIONS.items() if name not in ("session", "loop", "transport")])
def test_a_bad_value_is_refused_with_the_name_and_what_is_allowed(row: Any) -> None:
    given: dict[str, Any] = {"target": "http://127.0.0.1/"}
    given[row.name] = object()
    with pytest.raises(OptionError) as caught:
        Resumable(**given)
    assert caught.value.option == row.name
    assert row.allowed in str(caught.value)


@pytest.mark.parametrize(
    ("given", "near"),
    [("chunkSize", "chunk_size"), ("simultanous_uploads", "simultaneous_uploads"), ("retries", "max_chunk_retries")],
)
def test_an_unknown_option_names_the_nearest(given: str, near: str) -> None:
    with pytest.raises(UnknownOption) as caught:
        Resumable("http://127.0.0.1/", **{given: 1})
    assert repr(given) in str(caught.value)
    assert near in str(caught.value)


def test_the_options_can_be_read_and_not_written() -> None:
    session = Resumable("http://127.0.0.1/", chunk_size=7)
    assert session.options.chunk_size == 7
    with pytest.raises(AttributeError):
        session.options.chunk_size = 8  # type: ignore[misc]


def test_the_options_are_copied_as_they_are_and_not_pickled() -> None:
    options = Resumable("http://127.0.0.1/", headers={"Authorization": "Bearer s3cret"}, clock=lambda: 0.0).options
    assert copy.deepcopy(options) is copy.copy(options) is options
    with pytest.raises(TypeError, match=r"cannot be pickled: they may hold secrets.* keep what you made the session"):
        pickle.dumps(options)


def test_a_wait_ends_in_time_though_the_given_clock_goes_back(wire: ScriptedServer, make: Callable[..., Path]) -> None:
    back = itertools.count(0, -1000)
    wire.behave = hold
    with Resumable(wire.url, clock=lambda: float(next(back))) as session:
        session.add_file(make())
        with pytest.raises(WaitTimeout):
            session.join(0.05)
        session.cancel()
