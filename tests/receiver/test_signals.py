from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.sample import Sample

from resumable.receiver import (
    FileStore,
    Receiver,
    Refusal,
    Request,
)


def listened(receiver: Receiver) -> list[tuple[Any, ...]]:
    """What its signals said so far: the name, and the facts in the order of their names."""
    seen: list[tuple[Any, ...]] = []

    def listen(name: str) -> None:
        def hear(sender: Receiver, **facts: Any) -> None:
            assert sender is receiver
            record = facts.pop("record")
            seen.append((name, None if record is None else record.identifier, *facts.values()))

        getattr(receiver.signals, name).connect(hear, weak=False)

    for name in ("chunk_received", "file_received", "upload_expired", "upload_refused"):
        listen(name)
    return seen


def test_each_new_chunk_and_the_file_are_told_once(receiver: Receiver) -> None:
    seen = listened(receiver)
    Sample().send(receiver, 1, 1, 2, 2)
    assert seen == [("chunk_received", "sample", 1), ("chunk_received", "sample", 2), ("file_received", "sample")]


def test_the_functions_given_to_the_receiver_are_called_with_the_same(root: Path) -> None:
    seen: list[object] = []
    receiver = Receiver(
        FileStore(root, fsync="never"),
        on_chunk_received=lambda record, number: seen.append((record.identifier, number)),
        on_file_received=lambda record: seen.append((record.published, record.total_size, record.type)),
    )
    Sample(relative_path="dir/sample.bin").send(receiver, 1, 1, 2, 2)
    assert seen == [("sample", 1), ("sample", 2), ("dir/sample.bin", 20, "application/x-sample")]


def test_a_file_is_told_when_the_hook_succeeded_and_not_before(root: Path) -> None:
    failing = [True]

    def hook(record: object) -> None:
        if failing:
            raise RuntimeError(failing.pop())

    receiver = Receiver(FileStore(root, fsync="never"), on_file_received=hook)
    seen = listened(receiver)
    assert Sample().send(receiver, 1, 2) == [200, 500]
    assert [name for name, *_ in seen] == ["chunk_received", "chunk_received", "upload_refused"]
    assert Sample().send(receiver, 2) == [201]
    assert seen[-1] == ("file_received", "sample")


def test_a_handler_that_raises_is_logged_and_changes_nothing(
    receiver: Receiver, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(sender: Receiver, **facts: Any) -> None:
        raise RuntimeError("mine")

    for signal in (receiver.signals.chunk_received, receiver.signals.file_received, receiver.signals.upload_refused):
        signal.connect(fail)
    seen = listened(receiver)
    assert Sample().send(receiver) == [200, 201]
    assert receiver.handle(Sample().octet(1, b"short")).status == 400
    assert (root / "sample.bin").read_bytes() == Sample().data
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError] * 4
    assert [name for name, *_ in seen] == ["chunk_received", "chunk_received", "file_received", "upload_refused"]


def test_a_refused_upload_is_told_with_the_upload_once_it_is_known(root: Path) -> None:
    def tenant(request: Request) -> str:
        if "x-user" not in request.headers:
            raise Refusal(403, "Log in first.")
        return request.headers["x-user"]

    receiver = Receiver(FileStore(root, fsync="never"), token="s3cret", tenant=tenant)
    seen = listened(receiver)
    Sample().send(receiver, 1)
    known = {"authorization": "Bearer s3cret"}
    Sample(headers=known).send(receiver, 1)
    known["x-user"] = "me"
    Sample(headers=known, changes={"chunk_number": "9"}).send(receiver, 1)
    receiver.handle(Sample(headers=known).octet(1, b"short"))
    assert seen == [
        ("upload_refused", None, 401, "The token is missing: send the header Authorization: Bearer TOKEN."),
        ("upload_refused", None, 403, "Log in first."),
        ("upload_refused", None, 400, "There is no chunk 9: the file has 2, counted from 1."),
        ("upload_refused", "sample", 400, "Chunk 1 has only 5 of its 8 bytes."),
    ]


def test_a_refused_test_is_no_refused_upload(receiver: Receiver) -> None:
    seen = listened(receiver)
    assert Sample(changes={"chunk_number": "9"}).test(receiver, 1).status == 400
    assert seen == []


def test_a_request_that_never_gets_so_far_is_refused_in_the_same_way(receiver: Receiver) -> None:
    seen = listened(receiver)
    answer = receiver.refuse(Request("POST"), Refusal(413, "Too much.", ("Retry-After", "1")))
    assert (answer.status, answer.body) == (413, b"Too much.\n")
    assert ("Retry-After", "1") in answer.headers
    assert seen == [("upload_refused", None, 413, "Too much.")]


def test_what_the_sweeper_removes_unfinished_is_told(root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="never"))
    Sample(identifier="done", relative_path="done").send(receiver)
    Sample(identifier="old", relative_path="old").send(receiver, 1)
    assert receiver.sweep() == 0
    receiver = Receiver(FileStore(root, fsync="never", stale_after=0, forget_after=0))
    seen = listened(receiver)
    assert receiver.sweep() == 2
    assert seen == [("upload_expired", "old")]


def test_a_handler_may_be_connected_for_one_receiver_only_and_again_be_disconnected(root: Path) -> None:
    one, other = Receiver(root), Receiver(root)
    seen = []

    def hear(sender: Receiver, **facts: Any) -> None:
        seen.append(sender)

    one.signals.chunk_received.connect(hear, sender=one)
    one.signals.chunk_received.connect(hear, sender=other)
    Sample().send(one, 1)
    assert seen == [one]
    one.signals.chunk_received.disconnect(hear)
    Sample().send(one, 2)
    assert seen == [one]
