"""Questions about many files: what is said of a file is what tests of its chunks would say."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.memory_store import MemoryStore
from support.sample import Sample, request

from resumable.protocol.question import LARGEST_QUESTION, MOST_FILES
from resumable.receiver import FileStore, Receiver, Request, Response

THREE = Sample(bytes(range(30)), 10)
TWO = Sample(bytes(range(20)), 10, identifier="two", file_name="two.bin", relative_path="two.bin")


def question(*samples: Sample, headers: dict[str, str] | None = None) -> Request:
    said = [
        {
            "identifier": sample.identifier,
            "size": len(sample.data),
            "chunkSize": sample.chunk_size,
            "totalChunks": sample.count,
            "fileName": sample.file_name,
            "relativePath": sample.relative_path,
        }
        for sample in samples
    ]
    headers = {"content-type": "application/json", **(headers or {})}
    return request(json.dumps(said).encode(), headers, "resumableAsk=")


def ask(receiver: Receiver, *samples: Sample, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    answer = receiver.handle(question(*samples, headers=headers))
    assert answer.status == 200
    assert dict(answer.headers)["Content-Type"] == "application/json"
    said: list[dict[str, Any]] = json.loads(answer.body)
    return said


def by_tests(receiver: Receiver, sample: Sample) -> dict[str, Any] | None:
    """What tests of all chunks say, as an answer to a question says it; None if one was refused."""
    answers = [sample.test(receiver, number) for number in range(1, sample.count + 1)]
    if not {answer.status for answer in answers} <= {200, 204}:
        return None
    if {dict(answer.headers)["Resumable-File"] for answer in answers} == {"whole"}:
        return {"state": "whole"}
    listed = dict(answers[0].headers).get("Resumable-Stored-Chunks")
    return {"state": "partial", "chunks": listed} if listed else {"state": "absent"}


def stored(receiver: Receiver) -> None:
    assert THREE.send(receiver)[-1] == 201


def changed(root: Path, data: bytes) -> None:
    (root / "sample.bin").write_bytes(data)
    os.utime(root / "sample.bin", (1, 1))


STATES: dict[str, tuple[Callable[[Receiver, Path], object], str, Sample]] = {
    "nothing": (lambda receiver, root: None, "absent", THREE),
    "another file": (lambda receiver, root: stored(receiver), "absent", TWO),
    "begun": (lambda receiver, root: THREE.send(receiver, 1, 3), "partial", THREE),
    "whole": (lambda receiver, root: stored(receiver), "whole", THREE),
    "whole, cut otherwise": (lambda receiver, root: stored(receiver), "whole", replace(THREE, chunk_size=15)),
    "another size": (lambda receiver, root: stored(receiver), "absent", replace(THREE, data=bytes(31))),
    "another name": (lambda receiver, root: stored(receiver), "absent", replace(THREE, file_name="b.bin")),
    "another path": (lambda receiver, root: stored(receiver), "absent", replace(THREE, relative_path="d/sample.bin")),
    "deleted": (lambda receiver, root: (stored(receiver), (root / "sample.bin").unlink()), "absent", THREE),
    "grown": (lambda receiver, root: (stored(receiver), changed(root, bytes(31))), "absent", THREE),
    "a directory": (
        lambda receiver, root: (stored(receiver), (root / "sample.bin").unlink(), (root / "sample.bin").mkdir()),
        "absent",
        THREE,
    ),
    "begun, cut otherwise": (lambda receiver, root: THREE.send(receiver, 1), "unknown", replace(THREE, chunk_size=15)),
    "touched": (lambda receiver, root: (stored(receiver), changed(root, THREE.data)), "unknown", THREE),
    "other bytes": (lambda receiver, root: (stored(receiver), changed(root, bytes(30))), "unknown", THREE),
    "too large": (lambda receiver, root: None, "unknown", replace(THREE, data=bytes(1001))),
    "too many chunks": (lambda receiver, root: None, "unknown", replace(THREE, data=bytes(1000), chunk_size=1)),
    "no identifier": (lambda receiver, root: None, "unknown", replace(THREE, identifier="")),
    "a long name": (lambda receiver, root: None, "unknown", replace(THREE, file_name="a" * 5000)),
    "damaged": (
        lambda receiver, root: (
            stored(receiver),
            [(path / "record").write_text("{") for path in (root / ".resumable").iterdir() if path.is_dir()],
        ),
        "unknown",
        THREE,
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_the_answer_is_that_of_tests_or_leaves_it_to_them(state: str, root: Path) -> None:
    """It is never a better one. A store without a directory is asked, too."""
    receiver = Receiver(FileStore(root, fsync="never"), max_total_size=1000, max_chunks=100)
    prepare, expected, sample = STATES[state]
    prepare(receiver, root)
    (said,) = ask(receiver, sample)
    assert said["state"] == expected
    found = by_tests(receiver, sample)
    if expected != "unknown":
        assert said == found
    elif found == {"state": "whole"}:
        # A test has compared the file, so that everybody knows now.
        assert ask(receiver, sample) == [found]


def test_files_are_answered_in_order_also_if_one_is_there_twice(receiver: Receiver) -> None:
    stored(receiver)
    TWO.send(receiver, 1)
    states = [said["state"] for said in ask(receiver, TWO, THREE, replace(TWO, identifier="3"), THREE)]
    assert states == ["partial", "whole", "absent", "whole"]


def test_a_file_is_whole_when_the_hook_has_taken_it_and_not_before(root: Path) -> None:
    def fails(record: object) -> None:
        raise LookupError

    receiver = Receiver(FileStore(root, fsync="never"), on_file_received=fails)
    assert THREE.send(receiver)[-1] == 500
    assert ask(receiver, THREE) == [{"state": "unknown"}]
    mended = Receiver(receiver.store, on_file_received=lambda record: {"id": 7})
    assert mended.handle(THREE.octet(3)).status == 201
    assert ask(mended, THREE) == [{"state": "whole", "result": {"id": 7}}]
    # The application owns the file, wherever it is, until it has it forgotten.
    (root / "sample.bin").unlink()
    assert ask(mended, THREE) == [{"state": "whole", "result": {"id": 7}}]
    (upload,) = mended.uploads()
    assert mended.forget(upload.record)
    assert ask(mended, THREE) == [{"state": "absent"}]


def test_the_name_is_said_if_it_is_another_one(root: Path, receiver: Receiver) -> None:
    root.mkdir()
    (root / "sample.bin").write_bytes(b"older")
    stored(receiver)
    assert ask(receiver, THREE) == [{"state": "whole", "name": "sample (1).bin"}]


def test_a_chunk_in_too_many_ranges_is_left_to_tests(receiver: Receiver) -> None:
    many = Sample(bytes(1200), 2)
    many.send(receiver, *range(1, 600, 2))
    assert ask(receiver, many) == [{"state": "unknown"}]


def test_a_tenant_learns_nothing_of_the_files_of_another(root: Path) -> None:
    receiver = Receiver(
        FileStore(root, fsync="never"), token="s3cret", tenant=lambda request: request.headers.get("x-tenant", "")
    )
    one, other = ({"authorization": "Bearer s3cret", "x-tenant": name} for name in ("one", "other"))
    assert replace(THREE, headers=one).send(receiver)[-1] == 201
    assert replace(TWO, headers=one).send(receiver, 1) == [200]
    assert [said["state"] for said in ask(receiver, THREE, TWO, headers=one)] == ["whole", "partial"]
    assert ask(receiver, THREE, TWO, headers=other) == [{"state": "absent"}] * 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer s3cret", "origin": "https://evil.example"}, 403),
        ({"authorization": "Bearer s3cret", "host": "evil.example"}, 403),
    ],
)
def test_who_may_not_upload_gets_no_answer(headers: dict[str, str], status: int, root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="never"), token="s3cret")
    stored(Receiver(receiver.store))
    answer = receiver.handle(question(THREE, headers=headers))
    assert answer.status == status
    assert b"whole" not in answer.body


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"[" * 1000, b"[7]", b'[{"identifier": "a", "size": 1e3}]', b"\xff\xfe"]
)
def test_a_question_that_makes_no_sense_is_refused(body: bytes, receiver: Receiver) -> None:
    assert receiver.handle(request(body, {}, "resumableAsk")).status == 400


def test_a_question_has_limits(receiver: Receiver) -> None:
    """In files and in bytes, whatever length it says that it has. Nothing of it is read if that is too much."""
    assert len(ask(receiver, *[THREE] * MOST_FILES)) == MOST_FILES
    assert receiver.handle(question(*[THREE] * (MOST_FILES + 1))).status == 400
    endless = Request("POST", query="resumableAsk", content_length=7, read=lambda size: b"[" * size)
    unread = Request("POST", query="resumableAsk", content_length=LARGEST_QUESTION + 1, read=lambda size: 1 // 0)
    unknown = Request("POST", query="resumableAsk", content_length=None)
    assert [receiver.handle(asked).status for asked in (endless, unread, unknown)] == [413, 413, 411]


def test_a_long_answer_ends_before_the_question(root: Path) -> None:
    """The rest is for the next question."""
    receiver = Receiver(FileStore(root, fsync="never"), on_file_received=lambda record: {"text": "x" * 20_000})
    stored(receiver)
    assert len(ask(receiver, *[THREE] * 10)) == 2


def test_other_methods_and_paths_are_no_questions(receiver: Receiver) -> None:
    asked = question(THREE)
    assert receiver.handle(replace(asked, method="PUT")).status == 400
    assert receiver.handle(replace(asked, path="/elsewhere")).status == 404
    assert receiver.handle(Request("GET", query="resumableAsk")).status == 400


def test_a_store_that_cannot_tell_quickly_says_so() -> None:
    receiver = Receiver(MemoryStore())
    stored(receiver)
    answer: Response = receiver.handle(question(THREE))
    assert (answer.status, dict(answer.headers)["Resumable-Server"]) == (501, "1")


def test_questions_change_nothing(root: Path, receiver: Receiver) -> None:
    stored(receiver)
    TWO.send(receiver, 1)

    def facts() -> list[tuple[str, int, int]]:
        found = [path.lstat() for path in sorted(root.rglob("*"))]
        return [
            (str(path), stat.st_size, stat.st_mtime_ns)
            for path, stat in zip(sorted(root.rglob("*")), found, strict=True)
        ]

    before = facts()
    ask(receiver, THREE, TWO, replace(TWO, identifier="3"))
    assert facts() == before
