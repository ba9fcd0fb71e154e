"""What the application learns of uploads and answers to clients, over real sockets."""

from __future__ import annotations

import json
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from support.client import upload
from support.sample import Sample

from resumable import OptionError
from resumable.receiver import FileStore, Receiver, Refusal, Request, Server, UploadRecord

PATIENCE = 60.0
FILE = Sample(bytes(range(100)), 40, file_name="a b.bin", relative_path="dir/a b.bin")
SESSION = {"Resumable-Session": "0" * 32}

Serve = Callable[..., Server]


@pytest.fixture
def serve(root: Path) -> Iterator[Serve]:
    with ExitStack() as running:

        def start(store: dict[str, Any] | None = None, **options: Any) -> Server:
            receiver = Receiver(FileStore(root, fsync="never", **(store or {})), **options)
            return running.enter_context(Server(receiver))

        yield start


def post(server: Server, number: int, sample: Sample = FILE, **headers: str) -> requests.Response:
    fields = {"Content-Type": "application/octet-stream", **headers}
    query = sample.pairs(number)
    return requests.post(server.url, params=query, data=sample.chunk(number), headers=fields, timeout=PATIENCE)


def ask(server: Server, number: int, sample: Sample = FILE, **headers: str) -> requests.Response:
    return requests.get(server.url, params=sample.pairs(number), headers=headers, timeout=PATIENCE)


# ---- What the application learns -------------------------------------------------------------------------------------


def test_the_hook_gets_the_parameters_of_the_first_request_the_full_path_and_the_request(
    root: Path, serve: Serve
) -> None:
    seen: list[tuple[UploadRecord, Request]] = []
    before = serve()
    assert post(before, 1, replace(FILE, extra={"album": "été", "csrf": "1"})).status_code == 200
    before.stop()
    # The metadata outlives the receiver that took it.
    server = serve(on_file_received=lambda record, request: seen.append((record, request)))
    assert post(server, 2, replace(FILE, extra={"album": "other", "csrf": "2"}), **{"X-User": "ada"}).status_code == 201
    ((record, request),) = seen
    assert record.metadata == {"album": "été", "csrf": "1"}
    assert (record.path, record.published) == (str(root / "dir/a b.bin"), "dir/a b.bin")
    assert pickle.loads(pickle.dumps(record)) == record
    assert (request.method, request.headers["x-user"]) == ("POST", "ada")
    assert request.environ["REMOTE_ADDR"] == "127.0.0.1"
    # What stays of the request has nothing that belongs to the connection.
    assert request.read(10) == b""
    assert not any(hasattr(value, "read") for value in request.environ.values())


def test_a_hook_with_one_parameter_gets_the_record_only(serve: Serve) -> None:
    seen: list[UploadRecord] = []
    server = serve(on_file_received=seen.append)
    assert [post(server, number).status_code for number in (1, 2)] == [200, 201]
    assert [record.published for record in seen] == ["dir/a b.bin"]


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ({f"n{number}": "v" for number in range(32)}, 200),
        ({f"n{number}": "v" for number in range(33)}, 400),
        ({"n": "v" * 8191}, 200),
        ({"n": "v" * 8192}, 400),
    ],
)
@pytest.mark.parametrize("form", [True, False])
def test_the_metadata_are_bounded(root: Path, extra: dict[str, str], status: int, form: bool) -> None:
    receiver = Receiver(FileStore(root, fsync="never"))
    sample = replace(FILE, extra=extra)
    assert receiver.handle(sample.multipart(1) if form else sample.octet(1)).status == status
    assert root.exists() == (status == 200)


def test_the_metadata_have_no_parameter_of_the_protocol_and_no_namespace(root: Path) -> None:
    seen: list[UploadRecord] = []
    sample = replace(FILE, names=FILE.names._replace(namespace="up_"))
    receiver = Receiver(
        FileStore(root, fsync="never"), names=sample.names, on_upload_started=lambda r, q: seen.append(r)
    )
    request = sample.octet(1)
    assert receiver.handle(replace(request, query=request.query + "&up_tag=1&tag=2&up_tag=3")).status == 200
    assert seen[0].metadata == {"tag": "1"}


# ---- What the application refuses ------------------------------------------------------------------------------------


def test_the_application_refuses_an_upload_before_a_byte_of_it_is_read(root: Path, serve: Serve) -> None:
    asked: list[tuple[str, int, str, str]] = []

    def started(record: UploadRecord, request: Request) -> None:
        asked.append((record.name, record.total_size, record.type, request.headers.get("x-user", "")))
        raise Refusal(422, "Only pictures are wanted here.")

    server = serve(on_upload_started=started)
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        head = (
            f"POST /?{FILE.octet(1).query} HTTP/1.1\r\nHost: localhost\r\nX-User: ada\r\nContent-Length: 60\r\n"
            "Content-Type: application/octet-stream\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.sendall(head.encode())
        # No "100 Continue" comes first: nothing of the body is wanted.
        with connection.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 422 ")
    assert asked == [("dir/a b.bin", 100, "application/x-sample", "ada")]
    assert not root.exists()


def test_the_sentence_of_a_refusal_reaches_the_user(serve: Serve) -> None:
    def started(record: UploadRecord, request: Request) -> None:
        if record.name.endswith(".exe"):
            raise Refusal(403, "Programs may not be uploaded.")

    started_once = serve(on_upload_started=started)
    run = upload(started_once.url, (b"MZ" * 5000, "a.exe"), (b"text", "a.txt"))
    assert "Programs may not be uploaded." in str(run.error)
    assert (run.error.status, run.error.attempts) == (403, 1)
    assert [file.relative_path for file in run.result.succeeded] == ["a.txt"]


# ---- What the application answers ------------------------------------------------------------------------------------


def test_what_the_hook_returns_reaches_the_client_and_so_does_the_name(serve: Serve) -> None:
    server = serve(on_file_received=lambda record: {"url": f"https://x.example/{record.published}", "id": 7})
    for _ in range(2):
        run = upload(server.url, (b"a" * 10_000, "a b.bin"))
        assert run.files[0].result == {"name": "a b.bin", "url": "https://x.example/a b.bin", "id": 7}
    # The first request to a server does not know yet that it is one of this package.
    run = upload(server.url, (b"other", "a b.bin"), test_chunks=False)
    assert run.files[0].result == {"name": "a b (1).bin", "url": "https://x.example/a b (1).bin", "id": 7}


def test_without_a_result_there_is_the_name(serve: Serve) -> None:
    server = serve(on_file_received=lambda record: True)
    run = upload(server.url, (b"a", "é/a b.bin"), (b"b", "é/a b.bin"), generate_unique_identifier=lambda path, _: None)
    assert sorted(str(file.result) for file in run.files) == ["{'name': 'é/a b (1).bin'}", "{'name': 'é/a b.bin'}"]


@pytest.mark.parametrize(
    ("accept", "result", "kind"),
    [
        ("*/*", {"id": 7}, "application/json"),
        ("text/html, */*;q=0.8", {"id": 7}, "application/json"),
        ("application/json", None, "application/json"),
        ("text/plain, application/json;q=0.5", {"id": 7}, "application/json"),
        ("*/*", None, "text/plain; charset=utf-8"),
        ("text/plain", {"id": 7}, "text/plain; charset=utf-8"),
    ],
)
def test_json_is_for_clients_that_take_it(serve: Serve, accept: str, result: Any, kind: str) -> None:
    server = serve(on_file_received=lambda record: result)
    post(server, 1)
    for answer in (post(server, 2, Accept=accept), post(server, 2, Accept=accept), ask(server, 1, Accept=accept)):
        assert answer.headers["Content-Type"] == kind
        assert (answer.headers["Resumable-File"], answer.headers["Resumable-Name"]) == (
            "whole",
            "UTF-8''dir%2Fa%20b.bin",
        )
        if kind == "application/json":
            assert answer.json() == {"state": "whole", "name": "dir/a b.bin", "result": result}


@pytest.mark.parametrize("result", [{"when": object()}, {"number": float("nan")}, {"long": "x" * 40_000}])
def test_what_cannot_be_told_is_a_failure_of_the_hook(
    serve: Serve, result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(on_file_received=lambda record: result)
    post(server, 1)
    assert post(server, 2).status_code == 500
    assert "on_file_received()" in caplog.text


def test_the_command_prints_the_result(serve: Serve, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from resumable.cli.app import group

    (tmp_path / "a.bin").write_bytes(b"a")
    server = serve(on_file_received=lambda record: {"id": 7})
    group.main(["upload", "--json", str(tmp_path / "a.bin"), server.url], standalone_mode=False)
    (success,) = [
        each for line in capfd.readouterr().out.splitlines() if (each := json.loads(line))["event"] == "file_success"
    ]
    assert success["file"]["result"] == {"name": "a.bin", "id": 7}


# ---- A hook that takes long ------------------------------------------------------------------------------------------


class Slow:
    """A hook that returns, or raises, when it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.error = error
        self.go_on = threading.Event()

    def __call__(self, record: UploadRecord) -> dict[str, int]:
        self.calls += 1
        assert self.go_on.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        return {"calls": self.calls}


@pytest.fixture
def slow() -> Iterator[Slow]:
    hook = Slow()
    yield hook
    hook.go_on.set()


def test_a_client_of_ours_asks_again_while_a_slow_hook_runs_once(serve: Serve, slow: Slow) -> None:
    server = serve(on_file_received=slow, hook_deadline=0.05)
    statuses: list[int] = []

    def refused(receiver: object, status: int, **_: object) -> None:
        statuses.append(status)
        if len(statuses) == 2:
            slow.go_on.set()

    server.receiver.signals.upload_refused.connect(refused)
    run = upload(server.url, (b"a" * 10_000, "a.bin"))
    assert run.files[0].result == {"name": "a.bin", "calls": 1}
    assert set(statuses) == {503}
    assert len(statuses) >= 2


def finished(server: Server) -> Any:
    """Send the last chunk until the hook has returned, which may take longer than the deadline."""
    while (answer := post(server, 2, **SESSION)).status_code == 503:
        pass
    return answer.json()


def test_a_client_that_was_sent_away_is_told_when_to_come_back_and_how_far_the_file_is(
    root: Path, serve: Serve, slow: Slow
) -> None:
    server = serve(on_file_received=slow, hook_deadline=0.05)
    post(server, 1, **SESSION)
    for _ in range(2):
        answer = post(server, 2, **SESSION)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.headers["Resumable-File"] == "partial;stored=2;total=2"
        assert ask(server, 2, **SESSION).status_code == 204
    assert (root / "dir/a b.bin").read_bytes() == FILE.data
    slow.go_on.set()
    assert finished(server)["result"] == {"calls": 1}
    assert ask(server, 2).json()["result"] == {"calls": 1}
    assert slow.calls == 1


def test_the_request_of_another_client_stays_open(serve: Serve, slow: Slow) -> None:
    server = serve(on_file_received=slow, hook_deadline=0.05)
    post(server, 1)
    answers: list[requests.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(post(server, 2)))]
    assert post(server, 2, **SESSION).status_code == 503
    threads[0].start()
    # It has come, and is not answered: another that asks meanwhile is.
    assert post(server, 2, **SESSION).status_code == 503
    assert answers == []
    slow.go_on.set()
    threads[0].join(PATIENCE)
    assert answers[0].status_code in (200, 201)
    assert (answers[0].json()["result"], slow.calls) == ({"calls": 1}, 1)


@pytest.mark.parametrize("error", [RuntimeError("the scanner is away"), Refusal(422, "It is infected.")])
def test_a_failure_after_the_client_was_sent_away_is_told_to_the_next_one(
    serve: Serve, slow: Slow, error: Exception
) -> None:
    slow.error = error
    server = serve(on_file_received=slow, hook_deadline=0.05)
    post(server, 1, **SESSION)
    assert post(server, 2, **SESSION).status_code == 503
    slow.go_on.set()
    server.receiver.wait_for_hooks(PATIENCE)
    assert post(server, 2, **SESSION).status_code == getattr(error, "status", 500)
    assert slow.calls == 1
    # Then it is called again, as after any failure.
    slow.error = None
    assert finished(server)["result"] == {"calls": 2}


def test_a_hook_is_called_again_if_there_was_no_thread_for_it(
    serve: Serve, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow.go_on.set()
    server = serve(on_file_received=slow)
    post(server, 1, **SESSION)
    start = threading.Thread.start

    def no_room(thread: threading.Thread) -> None:
        if thread.name == "resumable-hook":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_room)
        assert post(server, 2, **SESSION).status_code == 500
    assert post(server, 2, **SESSION).json()["result"] == {"calls": 1}


def test_a_file_may_be_forgotten_by_a_hook_whose_client_was_sent_away(root: Path, serve: Serve) -> None:
    go_on = threading.Event()

    def received(record: UploadRecord) -> None:
        assert go_on.wait(PATIENCE)
        assert server.receiver.forget(record)

    server = serve(on_file_received=received, hook_deadline=0.05)
    post(server, 1, **SESSION)
    assert post(server, 2, **SESSION).status_code == 503
    go_on.set()
    server.receiver.wait_for_hooks(PATIENCE)
    assert ask(server, 1).status_code == 204


def test_a_server_that_stops_waits_for_hooks(serve: Serve) -> None:
    began, ended = threading.Event(), threading.Event()

    def received(record: UploadRecord) -> None:
        began.set()
        assert go_on.wait(PATIENCE)
        ended.set()

    go_on = threading.Event()
    server = serve(on_file_received=received, hook_deadline=0.05)
    post(server, 1, **SESSION)
    assert post(server, 2, **SESSION).status_code == 503
    assert began.wait(PATIENCE)
    threading.Timer(0.2, go_on.set).start()
    server.stop()
    assert ended.is_set()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_deadline_is_a_time(root: Path, seconds: float) -> None:
    with pytest.raises(OptionError, match="hook_deadline"):
        Receiver(root, hook_deadline=seconds)
