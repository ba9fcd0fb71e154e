"""An object store that cannot be used: what the log says, what the client is told, and that nothing is lost."""

from __future__ import annotations

import itertools
import math
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import trustme
from support.certificates import server_context
from support.object_store import CREDENTIALS, ObjectStore, StoreRequest
from support.sample import Sample
from support.scripted_server import PATIENCE, Request, ScriptedServer, answer
from support.waiting import eventually

from resumable.errors import OptionError
from resumable.receiver import Receiver, S3Store
from resumable.receiver.s3.body import StreamedBody
from resumable.receiver.s3.bucket import Bucket
from resumable.receiver.s3.connection import connect
from resumable.receiver.s3.failures import StoreFailure, translate

from .stores import DATA, a_store, detail_of

pytestmark = pytest.mark.once

ANSWERS = [
    (403, "AccessDenied", 500, "allow the access key"),
    (400, "AuthorizationHeaderMalformed", 500, "set the region of the bucket"),
    (400, "ExpiredToken", 500, "have expired: renew them"),
    (403, "InvalidAccessKeyId", 500, "check the access key"),
    (404, "NoSuchBucket", 500, "create the bucket"),
    (301, "PermanentRedirect", 500, "set the region of the bucket"),
    (403, "RequestTimeTooSkewed", 500, "the clock of this machine is wrong"),
    (403, "SignatureDoesNotMatch", 500, "check the access key and its secret"),
    (501, "NotImplemented", 500, "NotImplemented"),
    (400, "EntityTooLarge", 413, "EntityTooLarge"),
    (507, "InsufficientStorage", 507, "free some space"),
    (503, "SlowDown", 503, "SlowDown"),
    (400, "InvalidPart", 503, "InvalidPart"),
    (500, "InternalError", 503, "InternalError"),
]


@pytest.mark.parametrize(("status", "code", "told", "advice"), ANSWERS)
def test_what_the_store_refuses_is_said_with_what_to_do(status: int, code: str, told: int, advice: str) -> None:
    from botocore.exceptions import ClientError

    answer = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    failure = translate(ClientError(answer, "PutObject"), "write 'a'")
    assert isinstance(failure, StoreFailure)
    assert failure.status == told
    assert ("Retry-After", "2") in failure.headers or told != 503
    assert advice in failure.detail


@pytest.mark.parametrize(("status", "code", "told", "advice"), [ANSWERS[2], ANSWERS[4], ANSWERS[6], ANSWERS[-1]])
def test_while_the_store_refuses_everything_nothing_is_lost(
    object_store: ObjectStore,
    bucket: str,
    status: int,
    code: str,
    told: int,
    advice: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver = Receiver(a_store(object_store, bucket, client=connect(object_store.url, attempts=1)))
    sample = Sample(data=DATA, chunk_size=10_000)
    assert sample.send(receiver, 1) == [200]
    object_store.before = lambda request: (status, code)
    answer = receiver.handle(sample.octet(2))
    assert answer.status == told
    assert advice in caplog.text
    object_store.before = None
    assert sample.test(receiver, 1).status == 200
    assert sample.send(receiver, 2) == [201]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in caplog.text + answer.body.decode()


def test_a_store_that_did_what_was_asked_and_whose_answer_was_lost_can_be_used(
    object_store: ObjectStore, bucket: str
) -> None:
    """boto3 repeats a request, and then finds what it wrote itself."""
    object_store.forget()
    number = itertools.count(1)
    # The second is the first one again, the next two are to be refused, and the sixth is the fifth again.
    object_store.after = lambda request: request.operation == "PUT" and next(number) in (1, 5)
    S3Store(bucket, "in", client=connect(object_store.url)).prepare()
    assert object_store.operations["PUT"] == 6
    assert object_store.kept(bucket) == []


def test_a_proof_that_the_sweep_of_another_server_has_disturbed_is_repeated(
    object_store: ObjectStore, bucket: str
) -> None:
    """moto says of all multipart uploads that they began in 2010."""

    def sweep(request: StoreRequest) -> None:
        if request.operation == "ListParts":
            object_store.before = None
            a_store(object_store, bucket).sweep()

    object_store.before = sweep
    S3Store(bucket, "in", client=object_store.client).prepare()
    assert object_store.before is None
    assert object_store.kept(bucket) == []


def test_a_bucket_in_another_region_is_said(object_store: ObjectStore, bucket: str) -> None:
    object_store.before = lambda request: None if request.path.count("/") == 1 else (301, "PermanentRedirect")
    assert "set the region of the bucket" in detail_of(S3Store(bucket, client=object_store.client))


@pytest.mark.parametrize(
    "error",
    [RecursionError(), OSError("An HTTP Client raised an unhandled exception: maximum recursion depth exceeded")],
)
def test_an_endpoint_that_redirects_everything_is_said(error: Exception) -> None:
    failure = translate(error, "write 'a'")
    assert isinstance(failure, StoreFailure)
    assert "redirects" in failure.detail


def test_a_missing_bucket_is_said(object_store: ObjectStore) -> None:
    detail = detail_of(S3Store("no-such-bucket", client=object_store.client))
    assert "NoSuchBucket" in detail
    assert "'no-such-bucket'" in detail


def test_what_the_first_upload_finds_wrong_is_in_the_log(
    object_store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(S3Store("no-such-bucket", client=object_store.client))
    assert Sample().send(receiver, 1) == [500]
    assert "create the bucket" in caplog.text


def test_an_endpoint_at_which_nobody_listens_is_said(object_store: ObjectStore, silent_port: int) -> None:
    detail = detail_of(S3Store("bucket", endpoint_url=f"http://127.0.0.1:{silent_port}"))
    assert f"127.0.0.1:{silent_port}" in detail
    assert "check the endpoint URL" in detail


@pytest.mark.parametrize("status", [200, 401, 404, 405])
def test_an_endpoint_that_is_no_object_store_is_said(object_store: ObjectStore, status: int) -> None:
    page = answer(status, b"<html><title>Welcome</title></html>", Content_Type="text/html")
    with ScriptedServer(otherwise=page) as server:
        assert "check the endpoint URL" in detail_of(S3Store("bucket", endpoint_url=server.url))


@pytest.mark.parametrize(("name", "value"), [("AWS_DEFAULT_REGION", "us east"), ("AWS_PROFILE", "no-such-profile")])
def test_settings_that_are_wrong_are_said(
    object_store: ObjectStore, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    detail = detail_of(S3Store("bucket", endpoint_url=object_store.url))
    assert value in detail
    assert "correct the region or the profile" in detail


def test_an_endpoint_that_never_answers_is_said(object_store: ObjectStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = connect(f"http://127.0.0.1:{server.getsockname()[1]}", patience=0.5, attempts=1)
        assert "check the endpoint URL" in detail_of(S3Store("bucket", client=client))


def test_an_endpoint_whose_answer_never_ends_is_said(object_store: ObjectStore) -> None:
    def drip(request: Request) -> None:
        request.send(b"HTTP/1.1 200 OK\r\n")
        with suppress(OSError):
            while not ended.wait(0.05):
                request.send(b"X-Next: 1\r\n")
        request.close()

    ended = threading.Event()
    with ScriptedServer(otherwise=drip) as server:
        store = S3Store("bucket", client=connect(server.url, patience=60, attempts=1))
        with pytest.raises(StoreFailure) as failure:
            store.prepare(within=0.5)
        assert "more than 0.5 seconds for a few small requests: check the endpoint URL" in failure.value.detail
        ended.set()
    for thread in threading.enumerate():
        if thread.name == "resumable-probe":
            thread.join()


def test_an_endpoint_that_speaks_tls_only_is_said(object_store: ObjectStore) -> None:
    with ScriptedServer(context=server_context(trustme.CA())) as server:
        url = server.url.replace("https://", "http://")
        assert "begins with https:// or http://" in detail_of(S3Store("bucket", endpoint_url=url))


def test_credentials_that_are_missing_are_said(
    object_store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/none")
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/none")
    detail = detail_of(S3Store(bucket, endpoint_url=object_store.url))
    assert "no credentials" in detail
    assert "AWS_ACCESS_KEY_ID" in detail


@pytest.mark.parametrize("header", ["If-None-Match", "If-Match"])
def test_a_store_that_ignores_conditions_is_refused_unless_there_is_one_server(
    object_store: ObjectStore, bucket: str, header: str
) -> None:
    object_store.ignored.add(header)
    assert f"{header} of PutObject" in detail_of(S3Store(bucket, client=object_store.client))
    receiver = Receiver(S3Store(bucket, "in", client=object_store.client, single_replica=True))
    sample = Sample(data=DATA, chunk_size=10_000)
    assert sample.send(receiver) == [200, 201]
    again = Sample(data=DATA[::-1], chunk_size=10_000, identifier="other")
    assert again.send(receiver) == [200, 201]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA, "in/sample (1).bin": DATA[::-1]}


def test_a_store_that_copies_nothing_gets_the_bytes_again(object_store: ObjectStore, bucket: str) -> None:
    object_store.ignored.add("x-amz-copy-source")
    first, second = (S3Store(bucket, "in", client=object_store.client, part_size=2048) for _ in range(2))
    sample = Sample(data=DATA, chunk_size=4096)
    object_store.forget()
    assert sample.send(Receiver(first), 1, 2) == [200, 200]
    # As after a new start: the second one has begun no upload itself.
    assert sample.send(Receiver(second), 3, 4) == [200, 201]
    assert not [each for each in object_store.requests if each.method == "GET" and "/c/" in each.path]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


def test_the_connection_to_the_store_may_break_in_the_middle(object_store: ObjectStore, bucket: str) -> None:
    def cut(request: StoreRequest) -> tuple[int, str] | None:
        if "/c/" not in request.path:
            return None
        object_store.before = None
        return 0, "cut"

    receiver = Receiver(a_store(object_store, bucket))
    sample = Sample(data=DATA, chunk_size=10_000)
    object_store.before = cut
    statuses = [receiver.handle(sample.octet(1)).status for _ in range(2)]
    assert statuses == [503, 200]
    assert sample.send(receiver, 2) == [201]
    assert object_store.objects(bucket) == {"in/sample.bin": DATA}


def test_a_store_that_hangs_is_said_while_it_does(
    object_store: ObjectStore, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    go = threading.Event()

    def hang(request: StoreRequest) -> None:
        go.wait(PATIENCE)

    hanging = Bucket(bucket, "in/", lambda: object_store.client, silent_after=0.1)
    object_store.before = hang
    threads = [threading.Thread(target=hanging.head, args=(key,)) for key in "ab"]
    for thread in threads:
        thread.start()
    eventually(lambda: len(caplog.messages) == 2 or "and 1 more" in caplog.text)
    assert re.match("the object store has not answered for 0.1 seconds to look at '[ab]'", caplog.messages[0])
    go.set()
    for thread in threads:
        thread.join(PATIENCE)


def test_the_time_of_the_store_stays_if_the_clock_of_the_machine_is_set(
    object_store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, clock = Bucket(bucket, "in/", lambda: object_store.client), time.time
    assert there.head("a") is None
    before = there.now()
    assert abs(before - clock()) < PATIENCE
    monkeypatch.setattr(time, "time", lambda: clock() + 10 * 86400)
    assert there.now() - before < PATIENCE, "what was just written would be swept, and a lease that is held taken over"


def test_a_client_that_is_slow_is_no_silence_of_the_store() -> None:
    def arrive() -> Iterator[bytes]:
        seen.append(body.taken)
        yield b"1"

    seen: list[float] = []
    body = StreamedBody(arrive())
    assert body.read() == b"1"
    assert seen == [math.inf]
    assert body.taken < math.inf


@pytest.mark.parametrize(
    "option",
    [
        {"existing": "overwrite"},
        {"max_open_uploads": -1},
        {"max_bytes": -1},
        {"stale_after": -5},
        {"forget_after": float("nan")},
        {"patience": -0.1},
        {"lease": -1},
        {"part_size": 0},
        {"endpoint_url": "objects.example.com"},
    ],
)
def test_an_unknown_policy_is_refused(option: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=next(iter(option))):
        S3Store("bucket", **option)  # type: ignore[arg-type]


def test_a_bucket_has_a_name() -> None:
    with pytest.raises(OptionError, match="bucket"):
        S3Store("")
