"""Object stores that do some things otherwise: an upload ends right, or the server says at once what is wrong."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import time
from typing import Any

import pytest
from support.object_store import ObjectStore, StoreRequest
from support.sample import Sample

from resumable import Resumable
from resumable.protocol.plan import ChunkPlan
from resumable.receiver import Receiver, Refusal, S3Store, Server, UploadRecord
from resumable.receiver.s3.composition import PartPlan
from resumable.receiver.s3.connection import connect
from resumable.receiver.s3.store import PART_SIZE as PART_SIZE_OF_STORES

from .stores import DATA, PART_SIZE, a_store, detail_of

pytestmark = pytest.mark.once

SAMPLE = Sample(data=DATA, chunk_size=4096)
_MD5 = re.compile(rb"(?<=[^0-9a-f])[0-9a-f]{32}(?=[^0-9a-f])")


def other_etags(object_store: ObjectStore) -> None:
    """Let the ETags be others than MD5s: the same digits backwards."""

    def backwards(text: bytes) -> bytes:
        return _MD5.sub(lambda found: found[0][::-1], text)

    def asked(request: StoreRequest, environ: dict[str, Any]) -> None:
        if "HTTP_IF_MATCH" in environ:
            environ["HTTP_IF_MATCH"] = backwards(environ["HTTP_IF_MATCH"].encode()).decode()
        if request.operation == "Complete":
            body = backwards(environ["wsgi.input"].read())
            environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))

    def said(request: StoreRequest, headers: dict[str, str], body: bytes) -> bytes:
        for name in [name for name in headers if name.lower() == "etag"]:
            headers[name] = backwards(headers[name].encode()).decode()
        return backwards(body) if b"<?xml" in body else body

    object_store.asked, object_store.said = asked, said


def without_contents(request: StoreRequest, headers: dict[str, str], body: bytes) -> bytes:
    return re.sub(rb"<Contents>.*?</Contents>", b"", body) if request.operation == "List" else body


@pytest.mark.parametrize("chunk_size", [30_000, 4096, 1500])
def test_etags_need_not_be_md5(object_store: ObjectStore, bucket: str, chunk_size: int) -> None:
    other_etags(object_store)
    receiver = Receiver(S3Store(bucket, "in", client=object_store.client, part_size=PART_SIZE))
    sample = Sample(data=DATA, chunk_size=chunk_size)
    assert sample.send(receiver, 1) in ([200], [201])
    assert sample.send(receiver, 1) == [200]
    if sample.count > 1:
        assert receiver.handle(sample.octet(1, bytes(chunk_size))).status == 409
        assert sample.send(receiver)[-1] == 201
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


def test_a_chunk_that_comes_twice_is_compared_with_the_file_if_the_store_tells_no_md5(
    object_store: ObjectStore, bucket: str
) -> None:
    """The second one is on its way when the first one finishes the file, and the objects of the chunks are gone."""
    other_etags(object_store)
    first, second = (Receiver(S3Store(bucket, "in", client=object_store.client, part_size=PART_SIZE)) for _ in range(2))
    assert SAMPLE.send(first, 1, 2, 3) == [200, 200, 200]
    assert SAMPLE.send(second, 1) == [200]
    finished: list[int] = []

    def finish(request: StoreRequest) -> None:
        if request.method == "PUT" and "/c/" in request.path:
            object_store.before = None
            finished.extend(SAMPLE.send(first, 4))

    object_store.before = finish
    assert second.handle(SAMPLE.octet(4)).status == 200
    assert finished == [201]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


def test_bytes_that_change_on_the_way_to_the_store_are_sent_again(
    object_store: ObjectStore, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that ignores checksums cannot notice it."""

    def damage(request: StoreRequest, environ: dict[str, Any]) -> None:
        if request.method == "PUT" and ("/c/" in request.path or request.operation == "UploadPart"):
            body = environ["wsgi.input"].read()
            damaged.append(request.operation)
            environ["wsgi.input"] = io.BytesIO(body[:-1] + bytes([body[-1] ^ 1]) if len(damaged) in (2, 5) else body)

    damaged: list[str] = []
    receiver = Receiver(a_store(object_store, bucket))
    object_store.asked = damage
    sample = Sample(data=DATA[:6144], chunk_size=PART_SIZE // 2)
    statuses = [status for number in range(1, 7) for status in sample.send(receiver, number)]
    assert statuses.count(503) == 1
    assert "received other bytes" in caplog.text
    assert sample.send(receiver)[-1] in (200, 201)
    assert object_store.objects(bucket) == {"in/sample.bin": DATA[:6144]}


def test_a_store_that_shows_new_objects_late_is_refused_also_for_one_server(
    object_store: ObjectStore, bucket: str
) -> None:
    object_store.said = without_contents
    for alone in (False, True):
        store = S3Store(bucket, client=object_store.client, single_replica=alone)
        assert "ListObjectsV2 of the object store do not show an object" in detail_of(store)
    object_store.said = None
    object_store.before = lambda request: (404, "NotFound") if request.method == "HEAD" else None
    assert "HeadObject of the object store" in detail_of(S3Store(bucket, client=object_store.client))
    object_store.before = None
    assert object_store.kept(bucket) == []


def test_chunks_that_are_listed_late_only_delay_the_end(object_store: ObjectStore, bucket: str) -> None:
    written: dict[str, float] = {}

    def late(request: StoreRequest, headers: dict[str, str], body: bytes) -> bytes:
        now = time.monotonic()
        if request.method == "PUT" and "/c/" in request.path:
            written.setdefault(request.path.rpartition("/")[2], now)
        if request.operation != "List":
            return body

        def shown(found: re.Match[bytes]) -> bytes:
            key = found[1].rpartition(b"/")[2].decode()
            return b"" if now - written.get(key, 0.0) < 0.4 else found[0]

        return re.sub(rb"<Contents>\s*<Key>(.*?)</Key>.*?</Contents>", shown, body)

    object_store.said = late
    with Server(Receiver(a_store(object_store, bucket))) as server, Resumable(server.url, chunk_size=4096) as session:
        session.add_file(DATA, relative_path="a.bin")
        session.join(60)
    assert object_store.objects(bucket) == {"in/a.bin": DATA}


def test_lists_come_in_pages(object_store: ObjectStore, bucket: str) -> None:
    def asked(request: StoreRequest, environ: dict[str, Any]) -> None:
        if request.operation in ("List", "ListParts"):
            environ["QUERY_STRING"] += "&max-keys=2&max-parts=2&max-uploads=2"

    object_store.asked = asked
    receivers = [Receiver(a_store(object_store, bucket)) for _ in range(2)]
    for number in range(1, 5):
        assert SAMPLE.send(receivers[number % 2], number) == [201 if number == 4 else 200]
    assert object_store.operations["ListParts"] > 1
    a_store(object_store, bucket, forget_after=0).sweep()
    object_store.asked = None
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}
    assert object_store.kept(bucket, "in/") == ["in/sample.bin"]


def test_a_store_that_has_too_much_to_do_for_a_while_gets_the_file_later(
    object_store: ObjectStore, bucket: str
) -> None:
    refused: list[str] = []

    def refuse(request: StoreRequest) -> tuple[int, str] | None:
        if len(refused) >= 12 or request.operation == "DELETE":
            return None
        refused.append(request.operation)
        return 503, "SlowDown"

    store = a_store(object_store, bucket, client=connect(object_store.url, attempts=1))
    with (
        Server(Receiver(store)) as server,
        Resumable(server.url, chunk_size=4096, chunk_retry_interval=0.05) as session,
    ):
        object_store.before = refuse
        session.add_file(DATA, relative_path="a.bin")
        session.join(60)
    assert object_store.objects(bucket) == {"in/a.bin": DATA}


@pytest.mark.parametrize("answer", ["an error with the status 200", "none, after it was done"])
def test_the_end_of_a_multipart_upload_may_go_wrong(object_store: ObjectStore, bucket: str, answer: str) -> None:
    seen: list[StoreRequest] = []

    def once(request: StoreRequest) -> bool:
        seen.extend([request] if request.operation == "Complete" else [])
        return request.operation == "Complete" and len(seen) == 1

    if answer.startswith("none"):
        object_store.after = once
    else:
        object_store.before = lambda request: (200, "InternalError") if once(request) else None
    assert SAMPLE.send(Receiver(a_store(object_store, bucket))) == [200, 200, 200, 201]
    assert len(seen) == 2
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


def test_no_request_has_what_some_stores_refuse(object_store: ObjectStore, bucket: str) -> None:
    def asked(request: StoreRequest, environ: dict[str, Any]) -> None:
        names = {name for name in environ if "CHECKSUM" in name or "TRAILER" in name or "X_AMZ_SDK" in name}
        assert names <= {"HTTP_X_AMZ_CHECKSUM_MODE"}, names
        assert "aws-chunked" not in environ.get("HTTP_CONTENT_ENCODING", "")
        if request.operation == "DeleteObjects":
            environ["wsgi.input"] = io.BytesIO(body := environ["wsgi.input"].read())
            digests.append(environ["HTTP_CONTENT_MD5"])
            assert base64.b64decode(digests[-1]) == hashlib.md5(body).digest()

    digests: list[str] = []
    object_store.asked = asked
    receiver = Receiver(S3Store(bucket, "in", client=object_store.client, part_size=PART_SIZE))
    assert SAMPLE.send(receiver) == [200, 200, 200, 201]
    assert len(digests) == 2
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


def test_objects_that_may_not_be_deleted_together_are_said(
    object_store: ObjectStore, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    def said(request: StoreRequest, headers: dict[str, str], body: bytes) -> bytes:
        if request.operation != "DeleteObjects":
            return body
        error = b"<Error><Key>a</Key><Code>%s</Code><Message>no</Message></Error>"
        return b"<?xml version='1.0'?><DeleteResult>%s%s</DeleteResult>" % (
            error % b"NoSuchKey",
            error % b"AccessDenied",
        )

    receiver = Receiver(a_store(object_store, bucket))
    object_store.said = said
    assert SAMPLE.send(receiver) == [200, 200, 200, 500]
    assert "AccessDenied" in caplog.text
    object_store.said = None
    assert SAMPLE.send(receiver, 4) == [201]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


def test_a_bucket_that_is_removed_meanwhile_is_said_and_may_come_back(
    object_store: ObjectStore, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(a_store(object_store, bucket))
    assert SAMPLE.send(receiver, 1, 2) == [200, 200]
    client = object_store.client
    for each in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
        client.abort_multipart_upload(Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"])
    for key in object_store.kept(bucket, ""):
        client.delete_object(Bucket=bucket, Key=key)
    client.delete_bucket(Bucket=bucket)
    assert SAMPLE.send(receiver, 3) == [500]
    assert "NoSuchBucket" in caplog.text
    assert "create the bucket" in caplog.text
    client.create_bucket(Bucket=bucket)
    statuses = [SAMPLE.send(receiver, 3)[0] for _ in range(2)]
    assert statuses[-1] == 200
    assert SAMPLE.send(receiver)[-1] == 201
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


@pytest.mark.parametrize("prefix", ["a b/ü+%41&?#'\"<", "日本/../x", "/in//"])
def test_prefixes_and_names_may_have_any_characters(object_store: ObjectStore, bucket: str, prefix: str) -> None:
    receiver = Receiver(S3Store(bucket, prefix, client=object_store.client, part_size=PART_SIZE))
    name = "a ü+%41&#日本 " + "n" * 150 + ".bin"
    for identifier in ("1", "2"):
        sample = Sample(data=DATA, chunk_size=4096, identifier=identifier, file_name=name, relative_path=f"b/{name}")
        assert sample.send(receiver) == [200, 200, 200, 201]
    found = object_store.objects(bucket)
    assert list(found.values()) == [DATA, DATA]
    assert f"{prefix.strip('/')}/b/{name}" in found
    receiver.sweep()


GIB = 1 << 30


@pytest.mark.parametrize("chunk_size", [1, 1000, 5 * 2**20 - 1, 5 * 2**20, 3 * GIB, 5 * GIB])
@pytest.mark.parametrize("size", [1, 5 * 2**20, 10_001 * 5 * 2**20 - 1, 5 * 1024 * GIB])
@pytest.mark.parametrize("force", [False, True])
def test_parts_are_what_stores_take(chunk_size: int, size: int, force: bool) -> None:
    parts = PartPlan(ChunkPlan(size, chunk_size, force), PART_SIZE_OF_STORES)
    sizes = [parts.size(part) for part in range(parts.count)]
    assert sum(sizes) == size
    assert len(sizes) <= 10_000
    assert all(each >= PART_SIZE_OF_STORES for each in sizes[:-1])
    assert max(sizes) <= 5 * GIB or chunk_size >= 3 * GIB


@pytest.mark.parametrize(("size", "chunk_size", "count"), [(7 * GIB, 6 * GIB, 2), (6 * GIB, 3 * GIB + 1, 1)])
def test_a_file_that_the_store_could_not_put_together_is_refused_at_once(
    object_store: ObjectStore, bucket: str, size: int, chunk_size: int, count: int
) -> None:
    record = UploadRecord("a", "a", "a", "", size, chunk_size, count, "a")
    with pytest.raises(Refusal) as refusal:
        a_store(object_store, bucket).create("0" * 40, record)
    assert refusal.value.status == 413
    assert "send smaller chunks" in refusal.value.sentence
    assert object_store.kept(bucket, "") == []


def test_servers_with_other_options_finish_each_others_uploads(object_store: ObjectStore, bucket: str) -> None:
    options: list[dict[str, Any]] = [
        {"part_size": 4096},
        {"part_size": 1024, "existing": "refuse"},
        {"existing": "replace"},
    ]
    receivers = [Receiver(a_store(object_store, bucket, **each)) for each in options]
    sample = Sample(data=DATA, chunk_size=1200)
    statuses = [sample.send(receivers[number % 3], number)[0] for number in range(1, sample.count + 1)]
    assert statuses == [200] * (sample.count - 1) + [201]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


def test_limits_hold_over_all_servers(object_store: ObjectStore, bucket: str) -> None:
    first, second = (Receiver(a_store(object_store, bucket, max_open_uploads=1)) for _ in range(2))
    other = Sample(data=DATA, chunk_size=4096, identifier="other")
    assert SAMPLE.send(first, 1) == [200]
    assert other.send(second, 1) == [429]
    assert SAMPLE.send(second, 2, 3, 4) == [200, 200, 201]
    assert other.send(first, 1) == [200]


def test_credentials_that_expire_are_renewed_by_a_running_server(
    object_store: ObjectStore,
    bucket: str,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """boto3 asks the program again for new ones that soon expire."""
    said = tmp_path / "credentials"
    config = tmp_path / "config"
    config.write_text(f"[default]\nregion = us-east-1\ncredential_process = cat {said}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    def renew(key: str) -> None:
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
        text = f'{{"Version": 1, "AccessKeyId": "{key}", "SecretAccessKey": "s", "Expiration": "{soon}"}}'
        said.write_text(text)

    def note(request: StoreRequest, environ: dict[str, Any]) -> None:
        used.add(environ["HTTP_AUTHORIZATION"].partition("Credential=")[2].partition("/")[0])

    used: set[str] = set()
    object_store.asked = note
    renew("FIRST")
    receiver = Receiver(a_store(object_store, bucket, client=connect(object_store.url)))
    assert SAMPLE.send(receiver, 1) == [200]
    renew("SECOND")
    assert SAMPLE.send(receiver, 2) == [200]
    assert used == {"FIRST", "SECOND"}
    said.unlink()
    assert SAMPLE.send(receiver, 3) == [500]
    assert "cannot be had" in caplog.text
    assert "renew them" in caplog.text
    renew("THIRD")
    assert SAMPLE.send(receiver, 3, 4) == [200, 201]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}
