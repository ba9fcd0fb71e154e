"""``resumable serve s3://…``: it stores into a bucket, and says at the start why it cannot."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.command import Run
from support.object_store import CREDENTIALS, ObjectStore, StoreRequest, running
from support.program import Program

import resumable
from resumable.cli.output.exit_codes import ExitCode

Start = Callable[..., Program]

pytestmark = [pytest.mark.once, pytest.mark.slow]


@pytest.fixture(scope="module")
def object_store() -> Iterator[ObjectStore]:
    with running() as store:
        yield store


@pytest.fixture(autouse=True)
def credentials(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(object_store: ObjectStore) -> Iterator[str]:
    yield object_store.bucket()
    object_store.before = None
    object_store.ignored.clear()


def refusing(status: int, code: str) -> Callable[[ObjectStore], None]:
    def refuse(store: ObjectStore) -> None:
        store.before = lambda request: (status, code)

    return refuse


def go_ahead(store: ObjectStore) -> None:
    """Set the clock of the store 20 minutes ahead; what was signed more than 15 minutes from its time is refused."""

    def check(request: StoreRequest) -> tuple[int, str] | None:
        signed = datetime.strptime(request.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        now = datetime.now(timezone.utc) + timedelta(minutes=20)
        return (403, "RequestTimeTooSkewed") if abs(now - signed) > timedelta(minutes=15) else None

    store.before = check


@pytest.mark.parametrize(
    ("spoil", "advice"),
    [
        (refusing(400, "ExpiredToken"), "the credentials have expired: renew them"),
        (refusing(400, "AuthorizationHeaderMalformed"), "set the region of the bucket"),
        (refusing(403, "AccessDenied"), "allow the access key"),
        (go_ahead, "the clock of this machine is wrong: set it"),
        (lambda store: store.ignored.add("If-None-Match"), "--single-replica"),
    ],
    ids=["expired", "region", "denied", "clock", "ignoring"],
)
def test_an_object_store_that_cannot_be_used_ends_the_command_with_what_to_do(
    spoil: Callable[[ObjectStore], None], advice: str, object_store: ObjectStore, bucket: str, run: Run
) -> None:
    spoil(object_store)
    ran = run("serve", f"s3://{bucket}/in", "--endpoint-url", object_store.url)
    assert ran.code == ExitCode.SOME_FAILED
    assert ran.out == ""
    assert f"cannot receive into s3://{bucket}/in" in ran.text
    assert advice in ran.text
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in ran.text
    object_store.before = None
    assert object_store.objects(bucket) == {}


def test_a_bucket_and_an_endpoint_that_are_not_there_end_the_command(
    object_store: ObjectStore, run: Run, silent_port: int
) -> None:
    assert "create the bucket" in run("serve", "s3://none-of-these", "--endpoint-url", object_store.url).text
    silent = run("serve", "s3://bucket", "--endpoint-url", f"http://127.0.0.1:{silent_port}")
    assert silent.code == ExitCode.SOME_FAILED
    assert "check the endpoint URL and the network" in silent.text


def test_files_come_into_the_bucket(object_store: ObjectStore, bucket: str, start: Start) -> None:
    for _ in range(3):
        process = start("serve", f"s3://{bucket}/in", "--endpoint-url", object_store.url, "--port", "0")
        assert process.stdout is not None
        if url := process.stdout.readline().strip():
            break
        # The store shares the processor with all other tests, and may need too long for its proof.
        assert "check the endpoint URL and the network" in process.communicate()[1]
    resumable.upload(b"abc", url, relative_path="run/a.bin")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert object_store.objects(bucket) == {"in/run/a.bin": b"abc"}
