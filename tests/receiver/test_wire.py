"""What a receiver says to the clients of this package, beyond resumable.js."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import requests
from support.sample import Sample

from resumable.receiver import (
    FileStore,
    Limits,
    Receiver,
    Refusal,
    Request,
    Response,
    Server,
    UploadRecord,
)

THREE = Sample(bytes(range(30)), 10)
WHOLE = "whole"


def said(answer: Response) -> str | None:
    """How far the upload is."""
    return dict(answer.headers).get("Resumable-File")


def partial(stored: int) -> str:
    return f"partial;stored={stored};total=3"


def test_every_answer_says_from_whom_it_is(root: Path) -> None:
    receiver = Receiver(root, token="s3cret", allowed_origins=["https://files.example.org"])
    known = {"authorization": "Bearer s3cret"}
    sample = Sample(headers=known)
    asked = {
        200: sample.octet(1),
        201: sample.octet(2),
        204: Request("OPTIONS", headers={"origin": "https://files.example.org"}),
        400: Request("GET", query="a=1", headers=known),
        401: Sample().octet(1),
        403: Request("GET", headers={"host": "evil.example"}),
        404: Request("GET", "/nothing"),
        405: Request("DELETE"),
    }
    for status, request in asked.items():
        answer = receiver.handle(request)
        assert (answer.status, dict(answer.headers)["Resumable-Server"]) == (status, "1")
    refused = receiver.refuse(Request("POST"), Refusal(413, "Too much."))
    assert dict(refused.headers)["Resumable-Server"] == "1"


def test_an_answer_to_an_error_inside_says_from_whom_it_is(root: Path) -> None:
    def tenant(request: Request) -> str:
        raise LookupError

    answer = Receiver(root, tenant=tenant).handle(Sample().octet(1))
    assert (answer.status, dict(answer.headers)["Resumable-Server"]) == (500, "1")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_an_answer_to_what_never_becomes_a_request_says_from_whom_it_is(
    server: Server, request_text: bytes, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(request_text)
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nResumable-Server: 1\r\n" in answer


def test_who_is_told_to_come_back_is_told_by_whom(root: Path) -> None:
    with Server(Receiver(root), limits=Limits(max_connections=1)) as server, requests.Session() as session:
        assert session.get(server.url).status_code == 200
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"\r\nResumable-Server: 1\r\n" in answer


def test_tests_and_uploads_say_how_far_the_upload_is(receiver: Receiver) -> None:
    assert said(THREE.test(receiver, 1)) == partial(0)
    assert said(receiver.handle(THREE.octet(1))) == partial(1)
    assert said(receiver.handle(THREE.octet(3))) == partial(2)
    assert said(receiver.handle(THREE.octet(3))) == partial(2)
    assert [said(THREE.test(receiver, number)) for number in (1, 2)] == [partial(2)] * 2
    last = receiver.handle(THREE.octet(2))
    assert (last.status, said(last)) == (201, WHOLE)
    for number in (1, 2, 3):
        again = receiver.handle(THREE.octet(number))
        assert (again.status, said(again), said(THREE.test(receiver, number))) == (200, WHOLE, WHOLE)


def test_a_file_is_whole_when_the_hook_has_taken_it_and_not_before(root: Path) -> None:
    def fails(record: UploadRecord) -> None:
        raise LookupError

    receiver = Receiver(FileStore(root, fsync="never"), on_file_received=fails)
    assert [receiver.handle(THREE.octet(number)).status for number in (1, 2, 3)] == [200, 200, 500]
    for number, status in ((1, 200), (3, 204)):
        answer = THREE.test(receiver, number)
        assert (answer.status, said(answer)) == (status, partial(3))
    mended = Receiver(receiver.store, on_file_received=lambda record: None)
    answer = mended.handle(THREE.octet(3))
    assert (answer.status, said(answer)) == (201, WHOLE)


def test_a_refused_chunk_makes_nothing_whole(receiver: Receiver) -> None:
    assert THREE.send(receiver, 1, 2) == [200, 200]
    assert said(receiver.handle(THREE.octet(3, b"short"))) is None
    assert said(THREE.test(receiver, 3)) == partial(2)


def test_a_store_that_was_wiped_in_the_middle_says_what_it_still_has(root: Path, receiver: Receiver) -> None:
    assert THREE.send(receiver, 1, 2) == [200, 200]
    root.rename(root.with_name("away"))
    assert said(THREE.test(receiver, 1)) == partial(0)
    assert said(receiver.handle(THREE.octet(3))) == partial(1)
    assert said(THREE.test(receiver, 1)) == partial(1)


def test_the_number_of_stored_chunks_is_never_more_than_there_are(root: Path, receiver: Receiver) -> None:
    """It is counted up to 65,536 chunks behind the first missing one, so that it costs the same for all files."""
    count = 70_000
    changes = {"total_size": count, "chunk_size": 1, "total_chunks": count, "current_chunk_size": 1}
    for number, stored in ((1, 1), (2, 2), (4, 3), (count, 3), (5, 4)):
        sample = Sample(b"x", 1, changes={**changes, "chunk_number": number})
        answer = receiver.handle(sample.octet(1))
        assert (answer.status, said(answer)) == (200, f"partial;stored={stored};total={count}")
