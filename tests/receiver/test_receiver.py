from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.sample import Sample, request
from support.stored_uploads import entries

from resumable.errors import OptionError
from resumable.protocol import dialects
from resumable.protocol.parameters import ParameterNames
from resumable.receiver import (
    FileStore,
    Receiver,
    Refusal,
    Request,
    Response,
    Store,
    StoredUpload,
    UploadRecord,
    UploadStatus,
    parameter_names,
)

STORED = "Resumable-Stored-Chunks"
MANY = Sample(bytes(range(100)), 10)


def stored_in(answer: Response) -> str | None:
    """The chunks that the answer to a test lists."""
    return dict(answer.headers).get(STORED)


def test_a_file_in_octets_ends_up_under_its_name(receiver: Receiver, root: Path) -> None:
    assert MANY.send(receiver) == [200] * 9 + [201]
    assert (root / "sample.bin").read_bytes() == MANY.data


def test_a_file_in_forms_ends_up_under_its_name(receiver: Receiver, root: Path) -> None:
    answers = [receiver.handle(MANY.multipart(number)) for number in range(1, 11)]
    assert [answer.status for answer in answers] == [200] * 9 + [201]
    assert answers[0].body == b"Chunk 1 of 10 is stored.\n"
    assert answers[9].body == b"The file is stored.\n"
    assert (root / "sample.bin").read_bytes() == MANY.data


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_every_method_of_an_upload_is_one(receiver: Receiver, root: Path, method: str) -> None:
    assert [receiver.handle(Sample().octet(number, method=method)).status for number in (1, 2)] == [200, 201]
    assert (root / "sample.bin").read_bytes() == Sample().data


def test_the_parameters_may_be_in_the_query_only_or_in_the_form_only(receiver: Receiver, root: Path) -> None:
    sample = Sample()
    assert receiver.handle(sample.multipart(1, in_form=False)).status == 200
    assert receiver.handle(sample.multipart(2, in_query=False)).status == 201
    assert (root / "sample.bin").read_bytes() == sample.data


def test_base64_chunks_are_stored_as_what_they_stand_for(receiver: Receiver, root: Path) -> None:
    sample = Sample(os.urandom(1000), 300)
    assert [receiver.handle(sample.base64(number)).status for number in (1, 2, 3)] == [200, 200, 201]
    assert (root / "sample.bin").read_bytes() == sample.data


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 19, 20, 21])
def test_both_cuts_are_told_apart_by_their_numbers(receiver: Receiver, root: Path, size: int, force: bool) -> None:
    sample = Sample(os.urandom(size), 10, force)
    assert sample.send(receiver)[-1] == 201
    assert (root / "sample.bin").read_bytes() == sample.data


def test_both_cuts_of_a_file_are_two_different_uploads(receiver: Receiver) -> None:
    assert Sample().send(receiver, 1) == [200]
    answer = receiver.handle(Sample(force=True).octet(1))
    assert answer.status == 409
    assert b"has 2 chunks of 8 bytes, not 3 of 8: continue it with force_chunk_size=False" in answer.body
    assert dict(answer.headers)["Resumable-Chunk-Size"] == "8"


def test_a_test_says_whether_the_chunk_is_there_and_which_others_are(receiver: Receiver) -> None:
    absent = MANY.test(receiver, 1)
    assert (absent.status, absent.body, stored_in(absent)) == (204, b"", "")
    MANY.send(receiver, 1, 2, 3, 7)
    missing = MANY.test(receiver, 4)
    assert (missing.status, missing.body, stored_in(missing)) == (204, b"", "1-3,7")
    present = MANY.test(receiver, 7)
    assert (present.status, stored_in(present)) == (200, "1-3,7")
    assert present.body == b"Chunk 7 of 10 is stored.\n"


def test_a_test_stores_nothing(receiver: Receiver, root: Path) -> None:
    Sample().test(receiver, 1)
    assert not root.exists()


def test_head_is_a_test(receiver: Receiver) -> None:
    Sample().send(receiver, 1)
    assert Sample().test(receiver, 1, "HEAD").status == 200
    assert Sample().test(receiver, 2, "HEAD").status == 204


def test_the_parameters_of_a_test_may_be_in_its_body(receiver: Receiver) -> None:
    Sample().send(receiver, 1)
    for number, status in ((1, 200), (2, 204)):
        body = Sample().query(number).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        assert receiver.handle(request(body, headers, method="GET")).status == status


def test_chunks_in_too_many_ranges_are_not_listed_at_all(receiver: Receiver) -> None:
    sample = Sample(bytes(600), 1)
    sample.send(receiver, *range(1, 514, 2))
    answer = sample.test(receiver, 1)
    assert (answer.status, stored_in(answer)) == (200, None)


def test_a_finished_upload_answers_present_and_takes_nothing_more(receiver: Receiver, root: Path) -> None:
    assert MANY.send(receiver)[-1] == 201
    answer = MANY.test(receiver, 5)
    assert (answer.status, stored_in(answer)) == (200, "1-10")
    assert MANY.send(receiver) == [200] * 10
    assert sorted(os.listdir(root)) == [".resumable", "sample.bin"]


def test_a_finished_upload_begins_anew_when_the_file_was_taken_away(receiver: Receiver, root: Path) -> None:
    MANY.send(receiver)
    (root / "sample.bin").unlink()
    assert MANY.test(receiver, 10).status == 204
    assert MANY.send(receiver)[-1] == 201
    assert (root / "sample.bin").read_bytes() == MANY.data


@pytest.mark.parametrize(("count", "stored"), [(1, ""), (2, "1"), (10, "1-9")])
def test_after_a_death_before_the_publishing_the_last_chunk_is_asked_for_again(
    receiver: Receiver, root: Path, count: int, stored: str
) -> None:
    class Death(BaseException):
        """No handler of the receiver stops it."""

    def die(record: UploadRecord, number: int) -> None:
        if number == count:
            raise Death

    sample = Sample(bytes(range(count)), 1)
    with pytest.raises(Death):
        sample.send(Receiver(receiver.store, on_chunk_received=die))
    assert not (root / "sample.bin").exists()
    assert [sample.test(receiver, number).status for number in range(1, count)] == [200] * (count - 1)
    answer = sample.test(receiver, count)
    assert (answer.status, stored_in(answer)) == (204, stored)
    assert sample.send(receiver, count) == [201]
    assert (root / "sample.bin").read_bytes() == sample.data


def test_the_name_comes_from_the_relative_path(receiver: Receiver, root: Path) -> None:
    Sample(relative_path="dir\\sub/a:b.txt").send(receiver)
    assert (root / "dir" / "sub" / "a_b.txt").read_bytes() == Sample().data


def test_a_file_without_a_relative_path_has_its_file_name(receiver: Receiver, root: Path) -> None:
    Sample(changes={"relative_path": None}, file_name="only.txt").send(receiver)
    assert (root / "only.txt").read_bytes() == Sample().data


def test_a_file_without_any_name_is_published_under_a_hash(receiver: Receiver, root: Path) -> None:
    Sample(changes={"relative_path": None, "file_name": None}).send(receiver)
    (name,) = (name for name in os.listdir(root) if name != ".resumable")
    assert len(name) == 64
    assert (root / name).read_bytes() == Sample().data


def test_optional_parameters_are_optional(receiver: Receiver) -> None:
    assert Sample(changes={"type": None, "current_chunk_size": None}).send(receiver) == [200, 201]


@pytest.mark.parametrize(
    "name", ["new\nline", "car\rriage", "both\r\n", "quote\"d'", "plus+and%41&", "写真", "b\udc80d"]
)
def test_a_name_is_the_same_in_query_and_form(receiver: Receiver, name: str) -> None:
    sample = Sample(file_name=name, relative_path=name, identifier=name)
    assert receiver.handle(sample.multipart(1)).status == 200
    assert receiver.handle(sample.multipart(1, in_form=False)).status == 200
    assert receiver.handle(sample.multipart(1, in_query=False)).status == 200
    assert sample.test(receiver, 1).status == 200


def test_renamed_parameters_and_a_namespace_are_understood(root: Path) -> None:
    names = ParameterNames(chunk_number="part", identifier="id", file="blob", namespace="up_", type=None)
    receiver = Receiver(FileStore(root, fsync="never"), names=names)
    sample = Sample(names=names)
    assert [receiver.handle(sample.multipart(number)).status for number in (1, 2)] == [200, 201]
    assert sample.test(receiver, 2).status == 200
    assert (root / "sample.bin").read_bytes() == sample.data
    answer = Sample().test(receiver, 1)
    assert answer.status == 400
    assert b"up_part is missing" in answer.body


FLOW = parameter_names(dialects.FLOWJS)


@pytest.mark.parametrize("options", [{"dialect": "flowjs"}, {"dialect": "any"}, {"names": FLOW}], ids=str)
def test_the_flow_dialect_is_understood(root: Path, options: dict[str, Any]) -> None:
    assert (FLOW.type, FLOW.identifier) == (None, "flowIdentifier")
    receiver = Receiver(FileStore(root, fsync="never"), **options)
    sample = Sample(names=FLOW)
    assert [receiver.handle(sample.multipart(number, in_query=False)).status for number in (1, 2)] == [200, 201]
    assert (root / "sample.bin").read_bytes() == sample.data


def test_a_receiver_of_any_dialect_takes_both_and_names_what_is_missing_as_the_client_does(root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="never"), dialect="any")
    for names in (ParameterNames(), FLOW):
        sample = Sample(
            names=names, identifier=str(names.identifier), file_name="x", relative_path=str(names.identifier)
        )
        assert sample.send(receiver) == [200, 201]
        answer = Sample(names=names, changes={"total_size": None}).test(receiver, 1)
        assert f"{names.total_size} is missing" in answer.body.decode()
    assert sorted(path.name for path in root.glob("*Identifier")) == ["flowIdentifier", "resumableIdentifier"]


@pytest.mark.parametrize(
    ("dialect", "names", "words"),
    [
        ("resumablejs", FLOW, ["flow.js", "flowChunkNumber", "resumableChunkNumber", "--dialect flowjs"]),
        (
            "flowjs",
            ParameterNames(),
            ["resumable.js", "resumableChunkNumber", "flowChunkNumber", "--dialect resumablejs"],
        ),
    ],
)
@pytest.mark.parametrize("kind", ["test", "octet", "form"])
def test_the_other_dialect_is_recognised_and_the_answer_says_what_to_change(
    root: Path, kind: str, dialect: str, names: ParameterNames, words: list[str]
) -> None:
    sample = Sample(names=names)
    asked = {
        "test": Request("GET", query=sample.query(1)),
        "octet": sample.octet(1),
        "form": sample.multipart(1, in_query=False),
    }
    answer = Receiver(root, dialect=dialect).handle(asked[kind])
    assert answer.status == 400
    assert [word for word in words if word not in answer.body.decode()] == []
    assert not root.exists()


def test_a_dialect_that_does_not_exist_is_an_error_of_its_option(root: Path) -> None:
    with pytest.raises(OptionError) as caught:
        Receiver(root, dialect="uppy")
    assert caught.value.option == "dialect"


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"chunk_number": None}, 400, "resumableChunkNumber is missing"),
        ({"chunk_size": None}, 400, "resumableChunkSize is missing"),
        ({"total_size": None}, 400, "resumableTotalSize is missing"),
        ({"total_chunks": None}, 400, "resumableTotalChunks is missing"),
        ({"identifier": None}, 400, "resumableIdentifier is missing"),
        ({"identifier": ""}, 400, "resumableIdentifier is missing"),
        ({"chunk_number": "0"}, 400, "no chunk 0: the file has 2"),
        ({"chunk_number": "3"}, 400, "no chunk 3: the file has 2"),
        ({"chunk_number": "-1"}, 400, "not a whole number"),
        ({"chunk_number": "1e3"}, 400, "not a whole number"),
        ({"chunk_number": "\u0661"}, 400, "not a whole number"),
        ({"chunk_number": "1" * 5000}, 400, "not a whole number"),
        ({"total_size": "NaN"}, 400, "not a whole number"),
        ({"total_size": "1" + "0" * 18}, 413, "takes at most"),
        ({"total_chunks": "1000000000"}, 400, "20 bytes in chunks of 8 are not 1000000000 chunks"),
        (
            {"total_size": "8000008", "total_chunks": "1000001"},
            413,
            "takes at most 1000000 (max_chunks): use a chunk size of at least 9 bytes",
        ),
        ({"total_chunks": "0"}, 400, "are not 0 chunks"),
        ({"total_chunks": "4"}, 400, "20 bytes in chunks of 8 are not 4 chunks"),
        ({"chunk_size": "0"}, 400, "resumableChunkSize is 0"),
        ({"current_chunk_size": "9"}, 400, "Chunk 1 of this file has 8 bytes, not 9"),
        ({"identifier": "x" * 1025}, 400, "longer than 1024 bytes"),
        ({"file_name": "é" * 2049}, 400, "longer than 4096 bytes"),
        ({"relative_path": "../../x"}, 400, "leads out of the directory"),
        ({"relative_path": "a/" * 40 + "b"}, 400, "more than 32 parts"),
    ],
)
@pytest.mark.parametrize("kind", ["test", "octet", "multipart"])
def test_parameters_that_make_no_sense_are_refused_and_nothing_is_stored(
    receiver: Receiver, root: Path, kind: str, changes: dict[str, Any], status: int, says: str
) -> None:
    sample = Sample(changes=changes)
    asked = {
        "test": Request("GET", query=sample.query(1)),
        "octet": sample.octet(1),
        "multipart": sample.multipart(1),
    }
    answer = receiver.handle(asked[kind])
    assert (answer.status, says in answer.body.decode()) == (status, True), answer
    assert not root.exists()


@pytest.mark.parametrize("identifier", ["../../x", "/etc/x", "..%2f", "C:\\x", "\\\\host\\x", "nul\0", "x" * 1024, "."])
def test_an_identifier_is_never_a_path(receiver: Receiver, root: Path, tmp_path: Path, identifier: str) -> None:
    sample = Sample(identifier=identifier)
    assert sample.test(receiver, 1).status == 204
    assert sample.send(receiver) == [200, 201]
    assert sorted(os.listdir(tmp_path)) == ["incoming"]
    (directory,) = entries(root)
    assert set(directory) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "other",
    [
        {"data": bytes(21)},
        {"data": bytes(20), "chunk_size": 10},
        {"file_name": "other"},
        {"relative_path": "other"},
    ],
)
def test_what_the_first_request_said_stays(receiver: Receiver, other: dict[str, Any]) -> None:
    Sample().send(receiver, 1)
    changed = replace(Sample(), **other)
    for answer in (receiver.handle(changed.octet(1)), changed.test(receiver, 1)):
        assert answer.status == 409
        assert answer.body.startswith(b"An unfinished upload ")


def test_other_bytes_for_a_stored_chunk_are_refused(receiver: Receiver, root: Path) -> None:
    Sample().send(receiver, 1)
    assert receiver.handle(Sample(data=bytes(20)).octet(1)).status == 409
    assert Sample().send(receiver, 2) == [201]
    assert (root / "sample.bin").read_bytes() == Sample().data


@pytest.mark.parametrize("body", [b"1234567", b"123456789", b""])
@pytest.mark.parametrize("kind", ["octet", "multipart"])
def test_a_chunk_of_another_length_is_refused(receiver: Receiver, kind: str, body: bytes) -> None:
    sample = Sample()
    assert receiver.handle(getattr(sample, kind)(1, body)).status == 400
    assert sample.test(receiver, 1).status == 204
    assert sample.send(receiver) == [200, 201]


def test_a_parameter_with_two_values_is_refused(receiver: Receiver) -> None:
    sample = Sample()
    mixed = replace(sample.multipart(1), query=sample.query(2))
    assert b"resumableChunkNumber was sent twice" in receiver.handle(mixed).body
    twice = Request("GET", query=f"{sample.query(1)}&resumableIdentifier=other")
    assert receiver.handle(twice).status == 400


def test_other_parameters_are_ignored(receiver: Receiver) -> None:
    answer = receiver.handle(Request("GET", query=f"a=1&a=2&b&{Sample().query(1)}&=&c=%ff"))
    assert answer.status == 204


def test_an_upload_without_a_length_is_refused(receiver: Receiver) -> None:
    assert receiver.handle(replace(Sample().octet(1), content_length=None)).status == 411


def test_an_upload_without_a_chunk_is_refused(receiver: Receiver) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = receiver.handle(request(Sample().query(1).encode(), headers))
    assert answer.status == 400
    assert b"send the chunk as the body, or in the form field 'file'" in answer.body


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer s3cret", 204),
        ("bearer  s3cret ", 204),
        ("Bearer S3cret", 401),
        ("Bearer", 401),
        ("Basic s3cret", 401),
        ("s3cret", 401),
        ("Bearer s3cret\udcff\xe9", 401),
        (None, 401),
    ],
)
def test_a_receiver_with_a_token_wants_it(root: Path, authorization: str | None, status: int) -> None:
    receiver = Receiver(root, token="s3cret")
    headers = {} if authorization is None else {"authorization": authorization}
    assert receiver.has_token
    assert Sample(headers=headers).test(receiver, 1).status == status


def test_the_token_is_wanted_before_the_body_is_read(root: Path) -> None:
    def read(size: int) -> bytes:
        raise AssertionError("the body was read")

    answer = Receiver(root, token="s3cret").handle(replace(Sample().octet(1), read=read))
    assert (answer.status, answer.headers[0]) == (401, ("WWW-Authenticate", "Bearer"))
    assert b"s3cret" not in answer.body


@pytest.mark.parametrize("option", ["max_total_size", "max_chunks", "min_chunk_size", "max_uploads"])
def test_a_limit_below_1_is_refused(root: Path, option: str) -> None:
    limit: dict[str, Any] = {option: 0}
    with pytest.raises(OptionError, match=option):
        Receiver(root, **limit)


def test_an_empty_token_is_refused(root: Path) -> None:
    with pytest.raises(OptionError, match="token"):
        Receiver(root, token="")


def test_two_tenants_with_one_identifier_have_two_uploads(root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="never"), tenant=lambda request: request.headers.get("x-user", ""))
    mine, yours = Sample(headers={"x-user": "me"}), Sample(bytes(20), headers={"x-user": "you"})
    assert mine.send(receiver, 1) == [200]
    assert yours.test(receiver, 1).status == 204
    assert yours.send(receiver) == [200, 201]
    assert mine.send(receiver) == [200, 201]
    assert {(root / name).read_bytes() for name in ("sample.bin", "sample (1).bin")} == {mine.data, yours.data}


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/"), ("GET", "/uploads")])
@pytest.mark.parametrize("wrong", [None, 7, b"ada"])
def test_a_tenant_that_is_no_text_fails_everywhere_and_the_log_says_why(
    root: Path, caplog: pytest.LogCaptureFixture, wrong: Any, method: str, path: str
) -> None:
    receiver = Receiver(root, tenant=lambda request: wrong)
    answer = receiver.handle(replace(Sample().octet(1, method=method), path=path))
    assert answer.status == 500
    assert f"tenant() must return a str, not {type(wrong).__name__}" in caplog.text
    assert not root.exists()


class FailingStore:
    """A store of another kind, which fails as it is told."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def open(self, key: str) -> StoredUpload | None:
        raise self.error

    def create(self, key: str, record: UploadRecord) -> None:
        raise self.error

    def uploads(self, tenant: str | None = None, limit: int | None = None) -> Iterator[UploadStatus]:
        raise self.error

    def sweep(self, expired: Callable[[UploadRecord], object] | None = None) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, "secret detail"), 507),
        (OSError(errno.EDQUOT, "secret detail"), 507),
        (OSError(errno.EMFILE, "secret detail"), 503),
        (OSError(errno.EFBIG, "secret detail"), 413),
        (OSError(errno.EIO, "secret detail"), 500),
        (KeyError("secret detail"), 500),
        (Refusal(418, "a sentence"), 418),
    ],
)
def test_what_fails_inside_is_a_sentence_outside_and_the_detail_is_in_the_log(
    caplog: pytest.LogCaptureFixture, error: Exception, status: int
) -> None:
    store: Store = FailingStore(error)
    answer = Receiver(store).handle(Sample().octet(1))
    assert answer.status == status
    assert b"secret" not in answer.body
    assert ("secret detail" in caplog.text) == (status != 418)
