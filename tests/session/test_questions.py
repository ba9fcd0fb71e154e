"""One question about many files instead of a test for each: to receivers of this package alone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import Answer, ScriptedServer
from support.scripted_server import Request as Wired

from resumable import Resumable
from resumable.core.questions import FEWEST_FILES
from resumable.errors import HookError
from resumable.protocol.question import QUESTION_PARAMETER
from resumable.receiver import FileStore, Receiver, Request, Response, Server

FILES = FEWEST_FILES + 4


class Recording(Receiver):
    """A receiver that writes down its requests, and may answer a question in its own way."""

    def __init__(self, store: Any, **options: Any) -> None:
        super().__init__(store, **options)
        self.tests = self.sent = 0
        self.questions: list[Request] = []
        self.asked: list[str] = []
        self.question: Callable[[Request], Response | None] = lambda request: None

    def handle(self, request: Request) -> Response:
        if request.query.startswith(f"{QUESTION_PARAMETER}="):
            self.questions.append(request)
            return self.question(request) or super().handle(request)
        if request.method == "GET":
            self.tests += 1
        else:
            self.sent += 1
        return super().handle(request)

    def forget_requests(self) -> None:
        self.tests = self.sent = 0
        self.questions.clear()


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[tuple[Recording, Server]]:
    receiver = Recording(FileStore(tmp_path / "incoming", fsync="never"))
    with Server(receiver) as server:
        yield receiver, server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:03}.bin").write_bytes(b"%03d" % number * 10)
    return folder


def upload(url: str, folder: Path, **options: Any) -> Any:
    options = {"simultaneous_uploads": 1, **options}
    with Resumable(url, **options) as session:
        files = session.add_directory(folder)
        result = session.join(raise_errors=False)
        assert len(result.succeeded) == FILES
        return [file.result for file in files], session.progress()


def test_a_finished_folder_takes_one_question(recording: tuple[Recording, Server], folder: Path) -> None:
    """The second run tells of each file what the first has told."""
    receiver, server = recording
    first = upload(server.url, folder)
    receiver.forget_requests()
    assert upload(server.url, folder) == first
    assert (receiver.tests, receiver.sent, len(receiver.questions)) == (1, 0, 1)


def test_new_files_are_sent_without_tests(recording: tuple[Recording, Server], folder: Path) -> None:
    receiver, server = recording
    upload(server.url, folder)
    assert (receiver.tests, len(receiver.questions), receiver.sent) == (1, 1, FILES)
    received = sorted((folder.parent / "incoming" / "folder").iterdir())
    assert [path.read_bytes() for path in received] == [path.read_bytes() for path in sorted(folder.iterdir())]


def test_of_a_folder_that_was_begun_the_rest_is_sent(recording: tuple[Recording, Server], folder: Path) -> None:
    receiver, server = recording
    upload(server.url, folder)
    incoming = folder.parent / "incoming" / "folder"
    (incoming / "007.bin").unlink()
    (incoming / "009.bin").write_bytes(b"other")
    (folder / "011.bin").write_bytes(b"grown")
    receiver.forget_requests()
    upload(server.url, folder)
    assert (receiver.tests, len(receiver.questions), receiver.sent) == (1, 1, 3)
    assert (incoming / "007.bin").read_bytes() == b"007" * 10


@pytest.mark.parametrize(
    "answer",
    [
        Response(400, b"What?"),
        Response(404),
        Response(500),
        Response(200, b"OK", (("Content-Type", "text/plain"),)),
        Response(200, b"[]"),
        Response(200, json.dumps([{"state": "whole"}] * 1000).encode()),
    ],
    ids=["400", "404", "500", "text", "empty", "too long"],
)
def test_who_does_not_understand_is_asked_once_and_never_believed(
    answer: Response, recording: tuple[Recording, Server], folder: Path
) -> None:
    receiver, server = recording
    receiver.question = lambda request: answer
    upload(server.url, folder)
    assert len(receiver.questions) == 1
    assert receiver.sent == FILES
    assert receiver.tests >= FILES


def test_a_page_that_is_not_of_the_receiver_is_no_answer(folder: Path) -> None:
    """A proxy may answer the one request and not the other."""
    said = {"Resumable-Server": "1", "Resumable-Order": "any", "Resumable-Max-Uploads": "16"}

    def behave(request: Wired) -> Answer:
        if QUESTION_PARAMETER in request.target:
            return 200, json.dumps([{"state": "whole"}] * (FILES - 1))
        if request.chunk is None:
            return 204, "", {**said, "Resumable-File": "partial;stored=0;total=1"}
        return 200, "", {**said, "Resumable-File": "whole"}

    with ScriptedServer(behave=behave) as server:
        upload(server.url, folder)
        questions = [request for request in server.requests if QUESTION_PARAMETER in request.target]
        assert (len(questions), len(server.requests)) == (1, 1 + 2 * FILES)


def test_a_foreign_server_is_not_asked(wire: ScriptedServer, folder: Path) -> None:
    upload(wire.url, folder)
    assert not [request for request in wire.requests if QUESTION_PARAMETER in request.target]


@pytest.mark.parametrize("status", [401, 502])
def test_a_server_that_does_not_come_to_answer_gets_tests_for_these_files(
    status: int, recording: tuple[Recording, Server], folder: Path
) -> None:
    receiver, server = recording
    upload(server.url, folder)
    receiver.forget_requests()
    receiver.question = lambda request: Response(status)
    upload(server.url, folder)
    assert (receiver.tests, receiver.sent, len(receiver.questions)) == (FILES, 0, 1)


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_gets_the_question_again_when_it_wants_to(
    status: int, recording: tuple[Recording, Server], folder: Path
) -> None:
    receiver, server = recording
    upload(server.url, folder)
    receiver.forget_requests()
    came: list[float] = []

    def busy(request: Request) -> Response | None:
        came.append(time.monotonic())
        return Response(status, headers=(("Retry-After", "1"),)) if len(came) == 1 else None

    receiver.question = busy
    upload(server.url, folder, chunk_retry_interval=0)
    assert (receiver.tests, receiver.sent, len(receiver.questions)) == (1, 0, 2)
    assert came[1] - came[0] >= 1


def test_a_question_whose_connection_breaks_costs_tests_alone(folder: Path) -> None:
    def behave(request: Wired) -> Answer | None:
        if QUESTION_PARAMETER in request.target:
            request.reset()
            return None
        assert request.chunk is None
        return 200, "", {"Resumable-Server": "1", "Resumable-Max-Uploads": "16", "Resumable-File": "whole"}

    with ScriptedServer(behave=behave) as server:
        upload(server.url, folder)
        tests = [request.identifier for request in server.requests if QUESTION_PARAMETER not in request.target]
        assert len(tests) == len(set(tests)) == FILES


def test_a_question_has_the_headers_and_parameters_of_the_tests(tmp_path: Path, folder: Path) -> None:
    def tenant(request: Request) -> str:
        return request.headers["x-tenant"] + request.query.partition("room=")[2][:1]

    receiver = Recording(FileStore(tmp_path / "incoming", fsync="never"), tenant=tenant, token="s3cret")
    with Server(receiver) as server:
        for name, questions in (("a", 1), ("b", 2)):
            options: dict[str, Any] = {
                "headers": {"X-Tenant": name, "Authorization": "Bearer s3cret"},
                "query": {"room": 7},
            }
            upload(server.url, folder, **options)
            assert receiver.sent == FILES * questions
        assert {request.query for request in receiver.questions} == {f"{QUESTION_PARAMETER}=&room=7"}


@pytest.mark.parametrize("calls", ["headers", "query"])
def test_hooks_that_say_the_same_for_all_files_leave_it_at_one_question(
    calls: str, recording: tuple[Recording, Server], folder: Path
) -> None:
    receiver, server = recording
    hooks: dict[str, Any] = {calls: lambda file, chunk: {"X-Room": "7"}}
    upload(server.url, folder, **hooks)
    assert (receiver.tests, len(receiver.questions)) == (1, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": lambda file, chunk: {"X-Name": file.file_name}},
        {"query": lambda file, chunk: {"name": file.file_name}},
        {"query": {"resumableIdentifier": "another"}},
        {"preprocess": lambda chunk: None},
        {"chunk_exists": lambda response: None},
        {"test_chunks": False},
    ],
    ids=["headers", "query", "identifier", "preprocess", "chunk_exists", "test_chunks"],
)
def test_what_may_differ_from_file_to_file_is_asked_file_by_file(
    options: dict[str, Any], recording: tuple[Recording, Server], folder: Path
) -> None:
    receiver, server = recording
    with Resumable(server.url, simultaneous_uploads=1, **options) as session:
        session.add_directory(folder)
        session.join()
    assert receiver.questions == []


def test_a_hook_that_fails_for_a_question_fails_file_by_file(recording: tuple[Recording, Server], folder: Path) -> None:
    receiver, server = recording

    def headers(file: Any, chunk: Any) -> dict[str, str]:
        if file.file_name == "017.bin":
            raise LookupError
        return {}

    with Resumable(server.url, simultaneous_uploads=1, headers=headers) as session:
        session.add_directory(folder)
        result = session.join(raise_errors=False)
    (failed,) = result.failed
    assert (failed.file_name, type(failed.error)) == ("017.bin", HookError)
    assert receiver.questions == []


def test_a_session_that_is_closed_waits_for_no_question(recording: tuple[Recording, Server], folder: Path) -> None:
    receiver, server = recording
    come, over = threading.Event(), threading.Event()

    def waits(request: Request) -> None:
        come.set()
        over.wait(60)

    receiver.question = waits
    session = Resumable(server.url, simultaneous_uploads=1)
    session.add_directory(folder)
    session.upload()
    assert come.wait(60)
    session.close()
    over.set()
    assert receiver.sent <= 3
