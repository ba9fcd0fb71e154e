from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.sample import Sample
from support.stored_uploads import filled, opened

from resumable.receiver import (
    FileStore,
    Receiver,
    Refusal,
    UploadRecord,
)

STORED = "Resumable-Stored-Chunks"


class Hook:
    """A hook that raises as often as it is told, and remembers what it was told."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.told: list[str | None] = []

    def __call__(self, record: UploadRecord) -> None:
        self.told.append(record.published)
        if len(self.told) <= self.failures:
            raise RuntimeError("the virus scanner is away")


def test_a_hook_that_raises_is_asked_for_again_with_the_last_chunk(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hook = Hook(2)
    receiver = Receiver(FileStore(root, fsync="never"), on_file_received=hook)
    sample = Sample(bytes(24), 8)
    first, second = receiver.handle(sample.octet(1)), receiver.handle(sample.octet(2))
    assert (first.status, second.status) == (200, 200)
    for failures in (1, 2):
        failed = receiver.handle(sample.octet(3))
        assert failed.status == 500
        assert b"scanner" not in failed.body
        assert "the virus scanner is away" in caplog.text
        assert len(hook.told) == failures
        # What a client asks to see where it stands: everything is there but the last chunk.
        answers = [sample.test(receiver, number) for number in (1, 2, 3)]
        assert [(answer.status, dict(answer.headers)[STORED]) for answer in answers] == [
            (200, "1-2"),
            (200, "1-2"),
            (204, "1-2"),
        ]
    assert sample.send(receiver, 3) == [201]
    assert hook.told == ["sample.bin"] * 3
    assert (root / "sample.bin").read_bytes() == sample.data
    assert sample.send(receiver) == [200] * 3
    assert sample.test(receiver, 3).status == 200
    assert len(hook.told) == 3


@pytest.mark.parametrize("session", [{}, {"resumable-session": "0" * 32}], ids=["here", "in a thread"])
def test_a_hook_that_exits_is_one_that_raises_and_its_client_gets_an_answer(
    root: Path, caplog: pytest.LogCaptureFixture, session: dict[str, str]
) -> None:
    receiver = Receiver(FileStore(root, fsync="never"), on_file_received=lambda record: sys.exit("no scanner"))
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            request = Sample(bytes(8), 8, headers=session).octet(1)
            assert pool.submit(receiver.handle, request).result().status == 500
            assert "SystemExit: no scanner" in caplog.text
            caplog.clear()


def yields(*arguments: object) -> Iterator[None]:
    yield None


async def yields_later(*arguments: object) -> AsyncIterator[None]:
    yield None


class Awaitable:
    def __init__(self, *arguments: object) -> None:
        pass

    def __await__(self) -> Iterator[None]:
        yield None


@pytest.mark.parametrize("hook", [yields, yields_later, Awaitable])
@pytest.mark.parametrize("name", ["on_upload_started", "on_file_received"])
def test_a_hook_that_has_not_run_does_not_count_as_one_that_agrees(root: Path, name: str, hook: Any) -> None:
    receiver = Receiver(FileStore(root, fsync="never"), **{name: hook})
    assert Sample(bytes(8), 8).send(receiver) == [500]


@pytest.mark.parametrize("status", [200, 204, 308, 99, 600, "403"])
def test_no_refusal_can_be_taken_for_success(status: Any) -> None:
    with pytest.raises(ValueError, match="400 to 599"):
        Refusal(status, "No.")


@pytest.mark.parametrize("header", [("X-Reason", "a\r\nSet-Cookie: b=1"), ("X\nY", ""), ("X", "5 €")])
def test_a_refusal_has_no_header_that_is_two_or_none(header: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="printable Latin-1"):
        Refusal(403, "No.", header)


def test_the_file_is_published_when_the_hook_runs(root: Path) -> None:
    seen = []

    def look(record: UploadRecord) -> None:
        assert record.published is not None
        seen.append((root / record.published).read_bytes())

    assert Sample().send(Receiver(root, on_file_received=look)) == [200, 201]
    assert seen == [Sample().data]


def test_another_receiver_runs_the_hook_of_one_that_died(root: Path) -> None:
    class Death(BaseException):
        """No handler of the receiver stops it."""

    def die(record: UploadRecord) -> None:
        raise Death

    with pytest.raises(Death):
        Sample().send(Receiver(FileStore(root, fsync="never"), on_file_received=die))
    hook = Hook(0)
    receiver = Receiver(FileStore(root, fsync="never"), on_file_received=hook)
    assert Sample().test(receiver, 2).status == 204
    assert Sample().send(receiver, 2) == [201]
    assert hook.told == ["sample.bin"]


def test_the_chunk_that_was_refused_for_the_hook_asks_for_it_again_whichever_it_is(root: Path) -> None:
    hook = Hook(1)
    receiver = Receiver(FileStore(root, fsync="never"), on_file_received=hook)
    assert Sample().send(receiver, 2, 1) == [200, 500]
    assert Sample().send(receiver, 1) == [201]
    assert len(hook.told) == 2


def test_the_hook_never_runs_twice_at_once(root: Path) -> None:
    began, go_on = threading.Event(), threading.Event()
    told: list[UploadRecord] = []

    def slow(record: UploadRecord) -> None:
        told.append(record)
        began.set()
        assert go_on.wait(60)

    store = FileStore(root, fsync="never", patience=0.1)
    receiver = Receiver(store, on_file_received=slow)
    answers: list[list[int]] = []
    sending = threading.Thread(target=lambda: answers.append(Sample().send(receiver)))
    sending.start()
    try:
        assert began.wait(60)
        # The client gave up, and its next attempt comes while the hook still runs.
        again = receiver.handle(Sample().octet(2))
        assert (again.status, dict(again.headers)["Retry-After"]) == (503, "1")
        assert Sample().test(receiver, 1).status == 200
        assert Sample(identifier="other", relative_path="other").send(receiver, 1) == [200]
    finally:
        go_on.set()
        sending.join(60)
    assert answers == [[200, 201]]
    assert len(told) == 1
    assert Sample().send(receiver, 2) == [200]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("kind", ["octet", "multipart", "base64"])
def test_a_chunk_with_another_hash_is_not_stored(receiver: Receiver, root: Path, kind: str) -> None:
    sample = Sample(bytes(range(20)), 8)
    wrong = Sample(sample.data, 8, extra={"resumableChunkSha256": sha256(b"other")})
    answer = receiver.handle(getattr(wrong, kind)(1))
    assert (answer.status, b"Chunk 1 of 2 arrived with the SHA-256 " in answer.body) == (460, True)
    assert sample.test(receiver, 1).status == 204
    for number in (1, 2):
        right = Sample(sample.data, 8, extra={"resumableChunkSha256": sha256(sample.chunk(number)).upper()})
        assert receiver.handle(getattr(right, kind)(number)).status == (200 if number == 1 else 201)
    assert (root / "sample.bin").read_bytes() == sample.data


def test_a_stored_chunk_is_compared_with_its_hash_too(receiver: Receiver) -> None:
    Sample().send(receiver, 1)
    assert Sample(extra={"resumableChunkSha256": sha256(b"other")}).send(receiver, 1) == [460]
    assert Sample().send(receiver, 2) == [201]


def test_a_file_with_another_hash_is_discarded(receiver: Receiver, root: Path) -> None:
    wrong = Sample(extra={"resumableFileSha256": sha256(b"other")})
    assert wrong.send(receiver, 1) == [200]
    answer = receiver.handle(wrong.octet(2))
    assert (answer.status, b"discarded" in answer.body) == (409, True)
    assert [path.name for path in root.iterdir()] == [".resumable"]
    right = Sample(extra={"resumableFileSha256": sha256(Sample().data)})
    assert right.test(receiver, 1).status == 204
    assert right.send(receiver) == [200, 201]
    assert (root / "sample.bin").read_bytes() == Sample().data


def with_hash(data: bytes) -> Sample:
    return Sample(bytes(range(24)), 8, extra={"resumableFileSha256": sha256(data)})


@pytest.mark.parametrize("said_by", [1, 2, 3])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_the_hash_of_the_file_counts_whichever_chunk_says_it_and_whichever_completes(
    receiver: Receiver, root: Path, said_by: int, order: tuple[int, ...]
) -> None:
    silent = Sample(bytes(range(24)), 8)
    for said, statuses in ((with_hash(b"other"), [200, 200, 409]), (with_hash(silent.data), [200, 200, 201])):
        sent = [(said if number == said_by else silent).send(receiver, number)[0] for number in order]
        assert sent == statuses
        assert (root / "sample.bin").exists() == (statuses[-1] == 201)
    assert (root / "sample.bin").read_bytes() == silent.data


def test_the_hash_that_was_said_first_stays(receiver: Receiver, root: Path) -> None:
    right, wrong = with_hash(bytes(range(24))), with_hash(b"other")
    silent = Sample(right.data, 8)
    assert silent.send(receiver, 1) == [200]
    assert right.send(receiver, 2) == [200]
    refused = receiver.handle(wrong.octet(3))
    assert (refused.status, b"has the SHA-256" in refused.body) == (409, True)
    assert wrong.test(receiver, 1).status == 409
    assert silent.test(receiver, 1).status == 200
    assert silent.send(receiver, 3) == [201]
    # After the end it is another file, of which a new upload begins, and which has not that hash.
    assert wrong.test(receiver, 1).status == 204
    assert right.send(receiver) == silent.send(receiver) == [200] * 3
    assert wrong.send(receiver) == [200, 200, 409]
    assert [path.name for path in root.iterdir() if path.name != ".resumable"] == ["sample.bin"]


def test_of_two_hashes_at_once_one_is_refused(root: Path) -> None:
    store = FileStore(root, fsync="never")
    with opened(store) as one, opened(store) as other:
        one.set_file_sha256("1" * 64)
        one.set_file_sha256("1" * 64)
        with pytest.raises(Refusal, match="has the SHA-256") as caught:
            other.set_file_sha256("2" * 64)
        assert caught.value.status == 409
    with opened(store) as upload:
        assert upload.record.file_sha256 == "1" * 64


def test_a_hash_that_comes_after_the_end_is_not_remembered(root: Path) -> None:
    store = FileStore(root, fsync="never")
    with filled(store) as upload:
        assert upload.publish() is not None
        upload.set_file_sha256("1" * 64)
        assert upload.notify_once()
    with opened(store) as upload:
        assert upload.record.file_sha256 is None


@pytest.mark.parametrize("kind", ["octet", "multipart"])
def test_a_chunk_that_was_damaged_on_its_way_is_refused_after_the_end_too(receiver: Receiver, kind: str) -> None:
    assert Sample().send(receiver) == [200, 201]
    said = Sample(extra={"resumableChunkSha256": sha256(Sample().chunk(1))})
    assert receiver.handle(getattr(said, kind)(1)).status == 200
    damaged = receiver.handle(getattr(said, kind)(1, b"damaged!"))
    assert (damaged.status, b"Chunk 1 of 2 arrived with the SHA-256 " in damaged.body) == (460, True)


@pytest.mark.parametrize("name", ["resumableChunkSha256", "resumableFileSha256"])
@pytest.mark.parametrize("value", ["", "0" * 63, "0" * 65, "g" * 64, "sha256:" + "0" * 64])
def test_a_hash_that_is_none_is_refused(receiver: Receiver, root: Path, name: str, value: str) -> None:
    answer = receiver.handle(Sample(extra={name: value}).octet(1))
    assert (answer.status, f"{name} is not a SHA-256" in answer.body.decode()) == (400, True)
    assert not root.exists()


def test_the_hashes_have_names_like_other_parameters_or_none(root: Path) -> None:
    store = FileStore(root, fsync="never")
    names = Sample().names._replace(namespace="up_")
    renamed = Receiver(store, names=names, chunk_sha256_parameter_name="digest", file_sha256_parameter_name=None)
    assert Sample(names=names, extra={"digest": "x"}).send(renamed, 1) == [400]
    wrong = {"resumableFileSha256": sha256(b"other"), "digest": sha256(Sample().chunk(1))}
    assert Sample(names=names, extra=wrong).send(renamed, 1) == [200]
    assert Sample(names=names).send(renamed, 2) == [201]
