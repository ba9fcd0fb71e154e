"""Unfinished uploads that are removed, by the application or by their clients."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from support.sample import Sample
from support.scripted_server import ScriptedServer
from support.stored_uploads import entries
from support.waiting import eventually

from resumable import OptionError, Resumable
from resumable.receiver import FileStore, Receiver, Refusal, Request, Server, UploadRecord

PATIENCE = 60.0
FILE = Sample(bytes(range(100)), 40)
TOKEN = {"Authorization": "Bearer s3cret"}

Serve = Callable[..., Server]


@pytest.fixture
def serve(root: Path) -> Iterator[Serve]:
    with ExitStack() as running:

        def start(**options: Any) -> Server:
            given = {"token": "s3cret", "allow_delete": True, **options}
            return running.enter_context(Server(Receiver(FileStore(root, fsync="never"), **given)))

        yield start


def post(server: Server, number: int, sample: Sample = FILE, **headers: str) -> int:
    fields = {"Content-Type": "application/octet-stream", **TOKEN, **headers}
    query = sample.pairs(number)
    answer = requests.post(server.url, params=query, data=sample.chunk(number), headers=fields, timeout=PATIENCE)
    return answer.status_code


def delete(server: Server, identifier: str = "sample", **headers: str) -> int:
    query = {"resumableIdentifier": identifier} if identifier else {}
    return requests.delete(server.url, params=query, headers={**TOKEN, **headers}, timeout=PATIENCE).status_code


# ---- The application -------------------------------------------------------------------------------------------------


def test_the_application_lists_and_discards_uploads(root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="never"))
    removed: list[UploadRecord] = []
    receiver.signals.upload_discarded.connect(lambda sender, record: removed.append(record), weak=False)
    assert FILE.send(receiver, 1) == [200]
    assert Sample(identifier="done", relative_path="done").send(receiver) == [200, 201]
    found = {status.name: status for status in receiver.uploads()}
    assert {name: status.state for name, status in found.items()} == {"sample.bin": "open", "done": "done"}
    assert found["done"].record.path == str(root / "done")
    assert not receiver.discard(found["done"].record)
    assert receiver.discard(found["sample.bin"].record)
    assert not receiver.discard(found["sample.bin"].record)
    assert [record.name for record in removed] == ["sample.bin"]
    assert [status.name for status in receiver.uploads()] == ["done"]
    assert (root / "done").exists()


def test_an_upload_is_not_discarded_while_a_request_is_in_it(root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="never"))
    statuses: list[int] = []

    def look(record: UploadRecord, number: int) -> None:
        with pytest.raises(Refusal) as refused:
            receiver.discard(record)
        statuses.append(refused.value.status)

    receiver.signals.chunk_received.connect(lambda sender, record, number: look(record, number), weak=False)
    assert FILE.send(receiver, 1) == [200]
    assert statuses == [409]
    assert len(list(receiver.uploads())) == 1


# ---- DELETE ----------------------------------------------------------------------------------------------------------


def test_a_client_deletes_its_unfinished_upload(root: Path, serve: Serve) -> None:
    server = serve()
    assert post(server, 1) == 200
    assert delete(server) == 204
    assert entries(root) == []
    assert delete(server) == 404
    assert delete(server, "") == 400
    assert [post(server, number) for number in (1, 2)] == [200, 201]
    # What is finished stays.
    assert delete(server) == 404
    assert (root / "sample.bin").read_bytes() == FILE.data


def test_nothing_is_deleted_unless_that_is_allowed(root: Path, serve: Serve) -> None:
    server = serve(allow_delete=False)
    assert post(server, 1) == 200
    assert delete(server) == 405
    assert len(entries(root)) == 1
    with pytest.raises(OptionError, match="allow_delete"):
        Receiver(root, allow_delete=True)


def test_nothing_is_deleted_without_the_token_by_a_foreign_page_or_by_another_tenant(root: Path, serve: Serve) -> None:
    def tenant(request: Request) -> str:
        return request.headers.get("x-user", "")

    server = serve(tenant=tenant)
    assert post(server, 1, **{"X-User": "ada"}) == 200
    assert delete(server, Authorization="Bearer wrong") == 401
    assert delete(server, **{"X-User": "ada", "Origin": "https://evil.example"}) == 403
    assert delete(server, **{"X-User": "bob"}) == 404
    assert len(entries(root)) == 1
    assert delete(server, **{"X-User": "ada"}) == 204


def test_an_upload_that_a_request_is_in_is_not_deleted(root: Path, serve: Serve) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hold(record: UploadRecord, number: int) -> None:
        entered.set()
        assert go_on.wait(PATIENCE)

    server = serve(on_chunk_received=hold)
    sending = threading.Thread(target=post, args=(server, 1))
    sending.start()
    try:
        assert entered.wait(PATIENCE)
        assert delete(server) == 409
    finally:
        go_on.set()
        sending.join()
    assert delete(server) == 204


# ---- The client ------------------------------------------------------------------------------------------------------


def begin(server: Server, **options: Any) -> Resumable:
    """A session whose upload is under way and does not end by itself."""
    session = Resumable(server.url, chunk_size=1024, limit_rate=20_000, headers=TOKEN, **options)
    session.add_file(bytes(200_000), relative_path="a.bin")
    return session


def under_way(server: Server) -> bool:
    return any(status.stored_chunks for status in server.receiver.uploads())


@pytest.mark.parametrize("whose", ["session", "file"])
def test_cancel_deletes_what_the_server_has_if_that_is_wanted(root: Path, serve: Serve, whose: str) -> None:
    server = serve()
    with begin(server, cancel_deletes=True) as session:
        eventually(lambda: under_way(server))
        (session if whose == "session" else session.files[0]).cancel()
        assert list(server.receiver.uploads()) == []


@pytest.mark.parametrize("end", ["close", "remove_file", "exception", "Ctrl-C", "cancel without the option"])
def test_nothing_else_deletes(root: Path, serve: Serve, end: str) -> None:
    server = serve()
    try:
        with begin(server, cancel_deletes=end != "cancel without the option") as session:
            eventually(lambda: under_way(server))
            if end == "close":
                session.close()
            elif end == "remove_file":
                session.remove_file(session.files[0])
            elif end == "exception":
                raise LookupError
            elif end == "Ctrl-C":
                raise KeyboardInterrupt
            else:
                session.cancel()
    except (LookupError, KeyboardInterrupt):
        pass
    assert [status.name for status in server.receiver.uploads()] == ["a.bin"]


def test_what_is_finished_is_not_deleted(root: Path, serve: Serve) -> None:
    server = serve()
    with Resumable(server.url, headers=TOKEN, cancel_deletes=True) as session:
        file = session.add_file(b"whole", relative_path="whole.bin")
        file.wait(PATIENCE)
        file.cancel()
    assert (root / "whole.bin").read_bytes() == b"whole"
    assert [status.state for status in server.receiver.uploads()] == ["done"]


def test_a_server_of_others_is_not_asked_to_delete() -> None:
    with ScriptedServer() as server:
        server.behave = lambda request: (204,) if request.chunk is None else ((200,) if request.number == 1 else None)
        with Resumable(server.url, chunk_size=10, cancel_deletes=True) as session:
            file = session.add_file(bytes(100), relative_path="a.bin")
            eventually(lambda: file.bytes_confirmed > 0)
            session.cancel()
        assert {request.method for request in server.requests} == {"GET", "POST"}


def test_a_server_that_does_not_allow_it_is_noted_in_the_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(allow_delete=False)
    with begin(server, cancel_deletes=True) as session:
        eventually(lambda: under_way(server))
        session.cancel()
    (message,) = [record.getMessage() for record in caplog.records if record.name == "resumable"]
    assert "may still have a part of 'a.bin'" in message
    assert "405" in message


def test_a_sample_of_another_name_is_another_upload(serve: Serve) -> None:
    server = serve()
    assert [post(server, 1, replace(FILE, identifier=name, relative_path=name)) for name in "ab"] == [200, 200]
    assert delete(server, "a") == 204
    assert [status.name for status in server.receiver.uploads()] == ["b"]
