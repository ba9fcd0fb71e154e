"""The receiver for tests of clients: its files, the requests that it got, and faults on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

import resumable
from resumable import AuthenticationRefused, Resumable, ServerRefused, StateError, UploadFailed
from resumable.testing import LiveReceiver, ReceivedRequest

CONTENT = bytes(range(100)) * 30
Upload = Callable[..., object]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[LiveReceiver]:
    with LiveReceiver(tmp_path / "received") as receiver:
        yield receiver


@pytest.fixture
def upload(receiver: LiveReceiver) -> Upload:
    """``upload(**options)`` sends a file of three chunks in order, and retries at once."""

    def upload(**options: object) -> None:
        settings = {"chunk_size": 1000, "chunk_order": "sequential", "chunk_retry_interval": 0, **options}
        with Resumable(receiver.url, **settings) as session:  # type: ignore[arg-type]
            session.add_file(CONTENT, relative_path="folder/a.bin")

    return upload


def sent(receiver: LiveReceiver) -> list[tuple[int | None, int | None]]:
    """The uploads that came: the number of each, and what was answered."""
    return [(request.number, request.status) for request in receiver.requests if request.method == "POST"]


def test_its_files_and_requests_can_be_read(receiver: LiveReceiver, upload: Upload) -> None:
    assert receiver.files == {}
    upload()
    assert receiver.files == {"folder/a.bin": CONTENT}
    assert (receiver.directory / "folder" / "a.bin").read_bytes() == CONTENT
    assert receiver.requests[0] == ReceivedRequest("GET", 1, 204)
    assert sent(receiver) == [(1, 200), (2, 200), (3, 201)]


def test_it_refuses_as_often_as_it_is_asked_to(receiver: LiveReceiver, upload: Upload) -> None:
    receiver.refuse(502, times=2, chunk=2)
    upload()
    assert sent(receiver) == [(1, 200), (2, 502), (2, 502), (2, 200), (3, 201)]
    assert receiver.files == {"folder/a.bin": CONTENT}


def test_a_refusal_may_be_final(receiver: LiveReceiver, upload: Upload) -> None:
    receiver.refuse(415, times=None)
    with pytest.raises(UploadFailed) as failure:
        upload()
    assert isinstance(failure.value.errors[0], ServerRefused)
    assert receiver.files == {}
    receiver.heal()
    upload()
    assert receiver.files == {"folder/a.bin": CONTENT}


def test_it_says_when_to_come_back(receiver: LiveReceiver) -> None:
    receiver.refuse(429, of="tests", retry_after=7)
    answer = requests.get(receiver.url, params={"resumableChunkNumber": "1"}, timeout=30)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


def test_it_drops_a_connection_before_the_chunk_is_stored(receiver: LiveReceiver, upload: Upload) -> None:
    receiver.drop(chunk=2)
    upload()
    assert [pair for pair in sent(receiver) if pair[0] == 2] == [(2, None), (2, 200)]
    assert receiver.files == {"folder/a.bin": CONTENT}


def test_it_drops_a_connection_after_the_chunk_is_stored(receiver: LiveReceiver, upload: Upload) -> None:
    receiver.drop(chunk=3, stored=True)
    upload()
    assert sent(receiver)[:3] == [(1, 200), (2, 200), (3, None)]
    assert receiver.files == {"folder/a.bin": CONTENT}


def test_it_drops_tests_too(receiver: LiveReceiver, upload: Upload) -> None:
    receiver.drop(of="tests")
    upload()
    assert receiver.requests[0] == ReceivedRequest("GET", 1, None)
    assert receiver.files == {"folder/a.bin": CONTENT}


def test_it_wants_a_token_that_may_change(receiver: LiveReceiver, upload: Upload) -> None:
    receiver.require_token("new")
    with pytest.raises(UploadFailed) as failure:
        upload(headers={"Authorization": "Bearer old"})
    assert isinstance(failure.value.errors[0], AuthenticationRefused)
    assert {request.status for request in receiver.requests} == {401}
    upload(headers={"Authorization": "Bearer new"})
    assert receiver.files == {"folder/a.bin": CONTENT}
    receiver.require_token(None)
    assert requests.get(f"{receiver.url}uploads", timeout=30).status_code == 200


def test_it_is_slow_as_long_as_it_is_asked_to(receiver: LiveReceiver) -> None:
    receiver.slow(0.2, of="tests")
    answer = requests.get(receiver.url, params={"resumableChunkNumber": "1"}, timeout=30)
    assert answer.elapsed.total_seconds() >= 0.2


def test_it_stops_although_requests_are_slow(tmp_path: Path) -> None:
    with LiveReceiver(tmp_path) as receiver:
        receiver.slow(3600)
        with pytest.raises(requests.Timeout):
            requests.get(receiver.url, timeout=0.2)


def test_a_fault_of_unknown_requests_is_refused(receiver: LiveReceiver) -> None:
    with pytest.raises(ValueError, match="uploads"):
        receiver.refuse(of="posts")


@pytest.mark.parametrize(
    ("fault", "arguments", "said"),
    [
        ("refuse", {"status": 42}, "status must be a whole number from 200 to 599, got 42"),
        ("refuse", {"status": "503"}, "got '503'"),
        ("refuse", {"retry_after": -1}, "retry_after must be a whole number of seconds or None, got -1"),
        # It would never come to its end.
        ("refuse", {"times": 1.5}, "got 1.5"),
        ("refuse", {"times": 0}, "times must be a whole number, 1 or more, or None; got 0"),
        ("drop", {"times": -1}, "got -1"),
        ("drop", {"chunk": 0}, "chunk must be"),
        ("drop", {"chunk": "1"}, "got '1'"),
        ("slow", {"seconds": "1"}, "got '1'"),
        ("slow", {"seconds": -1}, "seconds must be a number of seconds, got -1"),
    ],
)
def test_a_fault_that_cannot_happen_is_refused(receiver: LiveReceiver, fault: str, arguments: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        getattr(receiver, fault)(**arguments)
    assert requests.get(receiver.url).ok


def test_one_that_has_stopped_is_a_server_that_is_down(tmp_path: Path) -> None:
    receiver = LiveReceiver(str(tmp_path))
    with pytest.raises(StateError, match="not running"):
        _ = receiver.url
    with receiver, Resumable(receiver.url, max_chunk_retries=0) as session:
        session.add_file(b"a", relative_path="a.bin")
    assert receiver.files == {"a.bin": b"a"}
    with pytest.raises(UploadFailed, match="refused"):
        resumable.upload(b"b", receiver.url, relative_path="b.bin", max_chunk_retries=0)


def test_options_are_those_of_a_receiver(tmp_path: Path) -> None:
    with LiveReceiver(tmp_path, max_total_size=10) as receiver, Resumable(receiver.url) as session:
        session.add_file(CONTENT, relative_path="a.bin")
        (failed,) = session.join(raise_errors=False).failed
        assert isinstance(failed.error, ServerRefused)
