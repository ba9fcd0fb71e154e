"""Two files of one identifier: two users of resumable.js, say, whose files have one name and size."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.sample import Sample
from support.sizes import sized

from resumable.receiver import FileStore, Receiver, UploadRecord

ONE = Sample(bytes(range(30)), 10, relative_path="v.bin", file_name="v.bin")
TWO = replace(ONE, data=bytes(range(100, 130)))
MIB = 1 << 20
ROUNDS = sized(25, 100)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "inc"


@pytest.fixture
def receiver(root: Path) -> Receiver:
    return Receiver(FileStore(root, fsync="never"))


def published(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir() if path.name != ".resumable"}


def status(receiver: Receiver, sample: Sample, number: int) -> int:
    return receiver.handle(sample.octet(number)).status


@pytest.mark.parametrize("kind", ["octet", "multipart", "base64"])
def test_the_second_is_published_beside_the_first(root: Path, receiver: Receiver, kind: str) -> None:
    for sample in (ONE, TWO):
        statuses = [receiver.handle(getattr(sample, kind)(number)).status for number in (1, 2, 3)]
        assert statuses == [200, 200, 201]
    assert published(root) == {"v.bin": ONE.data, "v (1).bin": TWO.data}


def test_while_the_first_is_open_the_second_is_refused(root: Path, receiver: Receiver) -> None:
    assert ONE.send(receiver, 1) == [200]
    assert TWO.send(receiver, 1) == [409]
    assert ONE.send(receiver, 2, 3) == [200, 201]
    assert published(root) == {"v.bin": ONE.data}


def test_while_a_hook_is_told_of_the_first_it_is_open(root: Path) -> None:
    emitter, go_on = threading.Event(), threading.Event()

    def wait(record: UploadRecord) -> None:
        emitter.set()
        assert go_on.wait(60)

    receiver = Receiver(FileStore(root, fsync="never"), on_file_received=wait)
    ONE.send(receiver, 1, 2)
    with ThreadPoolExecutor(1) as pool:
        last = pool.submit(status, receiver, ONE, 3)
        assert emitter.wait(60)
        assert status(receiver, TWO, 1) == 409
        go_on.set()
        assert last.result(60) == 201
    assert TWO.send(receiver) == [200, 200, 201]


def test_when_a_hook_has_failed_the_first_is_open(root: Path) -> None:
    fails = [True]

    def hook(record: UploadRecord) -> None:
        if fails[0]:
            raise LookupError

    receiver = Receiver(FileStore(root, fsync="never"), on_file_received=hook)
    assert ONE.send(receiver) == [200, 200, 500]
    assert TWO.send(receiver) == [409, 409, 409]
    assert status(receiver, replace(TWO, chunk_size=15), 1) == 409
    fails.clear()
    fails.append(False)
    assert status(receiver, ONE, 3) == 201
    assert TWO.send(receiver) == [200, 200, 201]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_byte_is_enough_in_any_chunk(root: Path, receiver: Receiver, number: int) -> None:
    data = bytearray(ONE.data)
    data[10 * number - 1] ^= 1
    almost = replace(ONE, data=bytes(data))
    assert ONE.send(receiver)[-1] == 201
    for other in {1, 2, 3} - {number}:
        assert status(receiver, almost, other) == 200
    assert published(root) == {"v.bin": ONE.data}
    assert status(receiver, almost, number) == 200
    missing = [other for other in (1, 2, 3) if almost.test(receiver, other).status == 204]
    assert missing == [other for other in (1, 2, 3) if other != number]
    assert almost.send(receiver, *missing) == [200, 201]
    assert published(root) == {"v.bin": ONE.data, "v (1).bin": bytes(data)}


@pytest.mark.parametrize("number", range(4))
def test_many_of_them_have_a_number_each(root: Path, receiver: Receiver, number: int) -> None:
    samples = [replace(ONE, data=os.urandom(30)) for _ in range(number + 2)]
    for sample in samples:
        assert sample.send(receiver) == [200, 200, 201]
    assert sorted(published(root).values()) == sorted(sample.data for sample in samples)


@pytest.mark.parametrize(
    "other",
    [
        {"data": bytes(31)},
        {"data": b""},
        {"file_name": "other"},
        {"relative_path": "other"},
    ],
)
def test_after_the_end_another_size_or_name_is_another_file(
    root: Path, receiver: Receiver, other: dict[str, Any]
) -> None:
    changed = replace(ONE, **other)
    assert ONE.send(receiver, 1) == [200]
    assert status(receiver, changed, 1) == 409
    assert ONE.send(receiver, 2, 3) == [200, 201]
    assert changed.test(receiver, 1).status == 204
    assert changed.send(receiver)[-1] == 201
    assert sorted(published(root).values()) == sorted([ONE.data, changed.data])
    assert changed.test(receiver, 1).status == 200


@pytest.mark.parametrize("other", [{"chunk_size": 15}, {"chunk_size": 7, "force": True}, {"chunk_size": 30}])
def test_after_the_end_the_same_file_in_another_cut_is_there(
    root: Path, receiver: Receiver, other: dict[str, Any]
) -> None:
    changed = replace(ONE, **other)
    assert ONE.send(receiver)[-1] == 201
    answer = changed.test(receiver, 1)
    assert (answer.status, dict(answer.headers)["Resumable-File"]) == (200, "whole")
    listed = "1" if changed.count == 1 else f"1-{changed.count}"
    assert dict(answer.headers)["Resumable-Stored-Chunks"] == listed
    assert changed.send(receiver) == [200] * changed.count
    assert published(root) == {"v.bin": ONE.data}
    different = replace(TWO, **other)
    assert different.send(receiver)[-1] == 201
    assert published(root) == {"v.bin": ONE.data, "v (1).bin": TWO.data}


def test_of_a_file_that_others_took_another_cut_is_kept(root: Path) -> None:
    """Digests are those of whole chunks: whether the bytes are the same cannot be known, so that they are not lost."""
    receiver = Receiver(FileStore(root, fsync="never", collected=True))
    assert ONE.send(receiver)[-1] == 201
    (root / "v.bin").unlink()
    assert replace(ONE, chunk_size=15).send(receiver) == [200, 201]
    assert published(root) == {"v.bin": ONE.data}


def test_two_tenants_have_two_uploads_anyway(root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="never"), tenant=lambda request: request.headers["x-user"])
    one, two = (replace(sample, headers={"x-user": user}) for sample, user in ((ONE, "ada"), (TWO, "grace")))
    assert one.send(receiver, 1) == two.send(receiver, 1) == [200]
    assert one.send(receiver, 2, 3) == two.send(receiver, 2, 3) == [200, 201]
    assert published(root) == {"v.bin": ONE.data, "v (1).bin": TWO.data}


def test_a_chunk_that_is_not_in_memory_is_kept_whole(root: Path, receiver: Receiver) -> None:
    """Whether a chunk is the one that is there is known at its end only."""
    data = os.urandom(5 * MIB)
    one = replace(ONE, data=data, chunk_size=5 * MIB)
    two = replace(one, data=data[:-1] + bytes([data[-1] ^ 1]))
    assert [status(receiver, sample, 1) for sample in (one, one, two, two)] == [201, 200, 201, 200]
    assert published(root) == {"v.bin": one.data, "v (1).bin": two.data}


@pytest.mark.parametrize("length", [0, 9, 11])
def test_a_late_chunk_of_another_length_is_refused(root: Path, receiver: Receiver, length: int) -> None:
    assert ONE.send(receiver)[-1] == 201
    assert receiver.handle(ONE.octet(1, bytes(length))).status == 400
    assert published(root) == {"v.bin": ONE.data}
    assert ONE.test(receiver, 1).status == 200


def test_a_new_upload_that_may_not_begin_leaves_what_is_known_of_the_file(root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="never", max_open_uploads=1))
    assert ONE.send(receiver)[-1] == 201
    assert Sample(identifier="open", relative_path="open").send(receiver, 1) == [200]
    assert status(receiver, TWO, 1) == 429
    assert published(root) == {"v.bin": ONE.data}


def test_what_was_begun_again_and_failed_takes_nothing_away(root: Path, receiver: Receiver) -> None:
    assert ONE.send(receiver)[-1] == 201
    assert TWO.send(receiver, 1) == [200]
    for path in root.glob(".resumable/*/chunks"):
        # Nobody has sent anything for years.
        with open(path, "r+b") as file:
            file.seek(8)
            file.write((-(10**18)).to_bytes(8, "little", signed=True))
    assert receiver.sweep() == 1
    assert published(root) == {"v.bin": ONE.data}
    assert TWO.send(receiver) == [200, 200, 201]
    assert published(root) == {"v.bin": ONE.data, "v (1).bin": TWO.data}


# At the same time.


def together(*calls: Callable[[], int]) -> list[int]:
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], int]) -> int:
        barrier.wait(60)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_at_the_border_of_the_end_nothing_is_lost_and_nothing_mixed(root: Path, receiver: Receiver) -> None:
    for attempt in range(sized(40, 200)):
        one, two = (
            replace(sample, data=os.urandom(30), identifier=str(attempt), relative_path=str(attempt))
            for sample in (ONE, TWO)
        )
        assert one.send(receiver, 1, 2) == [200, 200]
        last, first = together(partial(status, receiver, one, 3), partial(status, receiver, two, 1))
        assert last == 201
        # Refused, because it was open still; or the new upload has it.
        assert first in (200, 409)
        assert two.test(receiver, 1).status == 200
        if first == 200:
            assert two.send(receiver, 2, 3) == [200, 201]
        else:
            assert two.send(receiver) == [200, 200, 201]
        assert (root / str(attempt)).read_bytes() == one.data
        assert (root / f"{attempt} (1)").read_bytes() == two.data


def test_several_that_find_the_file_gone_begin_one_upload(root: Path, receiver: Receiver) -> None:
    for attempt in range(ROUNDS):
        sample = replace(ONE, data=os.urandom(40), identifier=str(attempt), relative_path=str(attempt))
        assert sample.send(receiver)[-1] == 201
        (root / str(attempt)).unlink()
        statuses = together(*(partial(status, receiver, sample, number) for number in (1, 2, 3, 4)))
        assert sorted(statuses) == [200, 200, 200, 201]
        assert (root / str(attempt)).read_bytes() == sample.data
    assert not [name for name in os.listdir(root) if "(" in name]


def test_late_repeats_while_another_begins_are_not_mixed_with_it(root: Path, receiver: Receiver) -> None:
    for attempt in range(ROUNDS):
        one, two = (
            replace(
                sample,
                data=os.urandom(30),
                identifier=str(attempt),
                relative_path=str(attempt),
                headers={"resumable-session": session * 32},
            )
            for sample, session in ((ONE, "1"), (TWO, "2"))
        )
        assert one.send(receiver)[-1] == 201
        repeats = [partial(status, receiver, one, number) for number in (1, 2, 3)]
        statuses = together(*repeats, lambda two=two: two.send(receiver)[-1])  # type: ignore[misc]
        assert statuses == [200, 200, 200, 201]
        assert published(root)[str(attempt)] == one.data
        assert published(root)[f"{attempt} (1)"] == two.data
    assert len(published(root)) == 2 * ROUNDS
