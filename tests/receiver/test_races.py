from __future__ import annotations

import hashlib
import http.client
import os
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import program
from support.program import Program
from support.sample import Sample
from support.sizes import sized

from resumable.receiver import FileStore, Receiver, Request

pytestmark = pytest.mark.unmeasured

ROUNDS = sized(40, 1000)
"""How often the shortest of the races are run."""


def together(*calls: Callable[[], int]) -> list[int]:
    """The results of these calls, begun at the same moment."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], int]) -> int:
        barrier.wait(60)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def sent(receiver: Receiver, sample: Sample, number: int) -> int:
    return receiver.handle(sample.octet(number)).status


def test_the_last_two_chunks_at_once_publish_once(root: Path) -> None:
    published: list[str | None] = []
    receiver = Receiver(
        FileStore(root, fsync="never"), on_file_received=lambda record: published.append(record.published)
    )
    for attempt in range(ROUNDS):
        sample = Sample(os.urandom(20), 8, identifier=f"{attempt}", relative_path=f"{attempt}")
        statuses = together(partial(sent, receiver, sample, 1), partial(sent, receiver, sample, 2))
        assert sorted(statuses) == [200, 201]
        assert (root / str(attempt)).read_bytes() == sample.data
    assert sorted(map(str, published)) == sorted(map(str, range(ROUNDS)))
    assert len(os.listdir(root)) == ROUNDS + 1


@pytest.mark.once
def test_the_same_chunk_many_times_at_once_is_stored_once(root: Path) -> None:
    stored: list[int] = []
    receiver = Receiver(FileStore(root, fsync="never"), on_chunk_received=lambda record, number: stored.append(number))
    for attempt in range(50):
        sample = Sample(os.urandom(1000), 1000, identifier=f"{attempt}", relative_path=f"{attempt}")
        statuses = together(*[partial(sent, receiver, sample, 1)] * 4)
        assert sorted(statuses) == [200, 200, 200, 201]
        assert (root / str(attempt)).read_bytes() == sample.data
    assert len(stored) == 50


@pytest.mark.once
def test_different_bytes_for_one_chunk_at_once_are_never_mixed(root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="never"))
    for attempt in range(50):
        samples = [
            Sample(letter * 100_000, 100_000, identifier=f"{attempt}", relative_path=f"{attempt}")
            for letter in (b"a", b"b")
        ]
        statuses = together(*(partial(sent, receiver, sample, 1) for sample in samples))
        # The later one is refused, or comes when the other file is whole, and is published beside it.
        assert sorted(statuses) in ([201, 201], [201, 409])
        found = {path.read_bytes() for path in (root / str(attempt), root / f"{attempt} (1)") if path.exists()}
        assert found == {sample.data for sample, status in zip(samples, statuses, strict=True) if status == 201}


@pytest.mark.once
def test_uploads_and_sweeps_at_once_lose_nothing(root: Path) -> None:
    store = FileStore(root, fsync="never", stale_after=0)
    receiver = Receiver(store)
    swept = 0
    for attempt in range(sized(15, 100)):
        sample = Sample(os.urandom(100), 20, identifier=f"{attempt}", relative_path=f"{attempt}")
        assert sample.send(receiver, 1) == [200]

        def upload(sample: Sample = sample) -> int:
            # What a client does: whatever the receiver has forgotten is sent again.
            for _ in range(10):
                missing = [number for number in range(1, 6) if sample.test(receiver, number).status != 200]
                if not missing:
                    return 200
                assert set(sample.send(receiver, *missing)) <= {200, 201}
            return 204

        # It forgets five times at most, so that the other comes to an end.
        status, removed = together(upload, lambda: sum(store.sweep() for _ in range(5)))
        swept += removed
        assert status == 200
        assert (root / str(attempt)).read_bytes() == sample.data
    assert swept > 0


@contextmanager
def process(root: Path, *arguments: str) -> Iterator[tuple[Program, str]]:
    with program.start("serve", "--quiet", str(root), *arguments) as running:
        try:
            yield running, running.stdout.readline().strip()
        finally:
            running.kill()


def posted(session: requests.Session, url: str, sample: Sample, number: int) -> int:
    headers = {"Content-Type": "application/octet-stream"}
    return session.post(url, params=sample.pairs(number), data=sample.chunk(number), headers=headers).status_code


@pytest.mark.once
def test_many_files_of_one_name_at_once_get_a_number_each(root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="never"))
    for attempt in range(5):
        samples = [
            Sample(os.urandom(8), 8, identifier=f"{attempt}-{number}", relative_path="same.bin", file_name="same.bin")
            for number in range(16)
        ]
        assert together(*(partial(sent, receiver, sample, 1) for sample in samples)) == [201] * 16
        found = [path.read_bytes() for path in root.glob("same*.bin")]
        assert len(found) == 16 * (attempt + 1)
        assert {sample.data for sample in samples} <= set(found)


@pytest.mark.once
def test_of_two_hashes_said_at_once_one_counts_for_the_whole_upload(root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="never"))
    for attempt in range(50):
        silent = Sample(os.urandom(24), 8, identifier=f"{attempt}", relative_path=f"{attempt}")
        right, wrong = (
            replace(silent, extra={"resumableFileSha256": hashlib.sha256(data).hexdigest()})
            for data in (silent.data, b"other")
        )
        assert silent.send(receiver, 1) == [200]
        statuses = together(partial(sent, receiver, right, 2), partial(sent, receiver, wrong, 3))
        assert sorted(statuses) == [200, 409]
        if statuses[0] == 200:
            assert silent.send(receiver, 3) == [201]
        else:
            assert silent.send(receiver, 2) == [409]
        assert (root / f"{attempt}").exists() == (statuses[0] == 200)


@pytest.mark.once
def test_four_processes_on_one_directory_are_one_receiver(root: Path) -> None:
    with ExitStack() as stack:
        urls = [stack.enter_context(process(root, "--fsync", "never"))[1] for _ in range(4)]
        send = [partial(posted, stack.enter_context(requests.Session()), url) for url in urls]
        rounds = sized(20, 60)
        for attempt in range(rounds):
            sample = Sample(os.urandom(6 * 1024), 1024, identifier=f"{attempt}", relative_path=f"{attempt}")
            # The first chunk of an upload, which makes it, from all of them; then one each, of which one is the last.
            assert together(*(partial(to, sample, 1) for to in send)) == [200] * 4
            assert send[0](sample, 2) == 200
            statuses = together(*(partial(to, sample, number) for number, to in enumerate(send, 3)))
            assert sorted(statuses) == [200, 200, 200, 201]
            assert (root / str(attempt)).read_bytes() == sample.data
    assert len(os.listdir(root)) == rounds + 1


@pytest.mark.once
def test_two_clients_on_one_upload_send_each_chunk_and_get_one_file(root: Path) -> None:
    stored: list[int] = []
    published: list[str | None] = []
    receiver = Receiver(
        FileStore(root, fsync="never"),
        on_chunk_received=lambda record, number: stored.append(number),
        on_file_received=lambda record: published.append(record.published),
    )
    for attempt in range(30):
        sample = Sample(os.urandom(1000), 40, identifier=f"{attempt}", relative_path=f"{attempt}")

        def upload(numbers: list[int], sample: Sample = sample) -> int:
            missing = [number for number in numbers if sample.test(receiver, number).status == 204]
            statuses = sample.send(receiver, *missing) if missing else []
            assert set(statuses) <= {200, 201}
            return statuses.count(201)

        numbers = list(range(1, sample.count + 1))
        assert sum(together(partial(upload, numbers), partial(upload, numbers[::-1]))) == 1
        assert sorted(stored) == numbers
        assert (root / str(attempt)).read_bytes() == sample.data
        stored.clear()
    assert len(published) == 30
    assert len(os.listdir(root)) == 31


@pytest.mark.once
def test_a_sweep_at_the_moment_of_finishing_leaves_the_file_and_its_memory(root: Path) -> None:
    store = FileStore(root, fsync="finish", stale_after=0)
    receiver = Receiver(store)
    for attempt in range(ROUNDS):
        sample = Sample(os.urandom(20), 8, identifier=f"{attempt}", relative_path=f"{attempt}")
        assert sample.send(receiver, 1) == [200]
        status, _ = together(partial(sent, receiver, sample, 2), store.sweep)
        # Either the upload was swept before its end came, which then began it anew, or it is finished.
        assert status in (200, 201)
        assert (root / str(attempt)).exists() == (status == 201)
        if status == 200:
            assert sorted(sample.send(receiver)) == [200, 201]
        assert (root / str(attempt)).read_bytes() == sample.data
        assert [sample.test(receiver, number).status for number in (1, 2)] == [200, 200]
    assert len(os.listdir(root)) == ROUNDS + 1


@pytest.mark.once
@pytest.mark.parametrize("seed", range(3))
def test_a_receiver_that_is_killed_keeps_what_it_acknowledged_and_nothing_else(root: Path, seed: int) -> None:
    random = Random(seed)
    sample = Sample(random.randbytes(4_000_000), 400_000)
    acknowledged: set[int] = set()

    def missing(session: requests.Session, url: str) -> set[int]:
        numbers = range(1, sample.count + 1)
        return {n for n in numbers if session.get(url, params=sample.pairs(n)).status_code != 200}

    def send_and_kill(running: Program, url: str, number: int) -> None:
        chunk = sample.chunk(number)
        cut = random.randrange(len(chunk))
        with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
            connection.putrequest("POST", f"/?{sample.query(number)}")
            connection.putheader("Content-Length", str(len(chunk)))
            connection.endheaders()
            connection.send(chunk[:cut])
            running.kill()
            running.wait(60)
            with pytest.raises(OSError, match=r"."):  # noqa: PT012
                connection.send(chunk[cut:])
                connection.getresponse()

    for _ in range(3):
        with process(root) as (running, url), requests.Session() as session:
            left = sorted(missing(session, url))
            assert set(left) == set(range(1, sample.count + 1)) - acknowledged
            for number in left[: random.randrange(3)]:
                assert posted(session, url, sample, number) == 200
                acknowledged.add(number)
            send_and_kill(running, url, random.choice(sorted(set(left) - acknowledged)))
        assert not (root / "sample.bin").exists()
    with process(root) as (_, url), requests.Session() as session:
        statuses = [posted(session, url, sample, number) for number in sorted(missing(session, url))]
    assert statuses == [200] * (sample.count - len(acknowledged) - 1) + [201]
    assert (root / "sample.bin").read_bytes() == sample.data


@pytest.mark.once
@settings(max_examples=sized(20, 40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.integers(0, 2000),
    chunk_size=st.integers(1, 700),
    force=st.booleans(),
    kind=st.sampled_from(["octet", "multipart", "base64"]),
    random=st.randoms(use_true_random=False),
)
def test_every_size_in_every_cut_and_order_arrives(
    tmp_path_factory: pytest.TempPathFactory, size: int, chunk_size: int, force: bool, kind: str, random: Random
) -> None:
    root = tmp_path_factory.mktemp("incoming")
    receiver = Receiver(FileStore(root, fsync="never"))
    sample = Sample(random.randbytes(size), max(chunk_size, size // 50), force)
    numbers = random.sample(range(1, sample.count + 1), sample.count)
    for left in range(sample.count, 0, -1):
        number = numbers[left - 1]
        assert sample.test(receiver, number).status == 204
        assert receiver.handle(getattr(sample, kind)(number)).status == (201 if left == 1 else 200)
        assert sample.test(receiver, number).status == 200
    assert (root / "sample.bin").read_bytes() == sample.data


@pytest.mark.parametrize("kind", ["octet", "multipart"])
def test_a_large_chunk_is_never_whole_in_memory(root: Path, kind: str) -> None:
    size = 32 << 20
    sample = Sample(bytes(1), size, changes={"total_size": size, "current_chunk_size": size})
    whole = getattr(sample, kind)(1, b"")
    rest = whole.read(1 << 20)
    head, tail = (b"", b"") if kind == "octet" else (rest[: rest.rindex(b"\r\n--")], rest[rest.rindex(b"\r\n--") :])
    left = [head, size, tail]

    def read(most: int) -> bytes:
        if left[0]:
            piece, left[0] = left[0], b""
        elif left[1]:
            piece = bytes(min(most, left[1]))
            left[1] -= len(piece)
        else:
            piece, left[2] = left[2], b""
        return piece

    receiver = Receiver(FileStore(root, fsync="never"))
    asked = Request("POST", query=whole.query, headers=whole.headers, content_length=size + len(rest), read=read)
    tracemalloc.start()
    try:
        assert receiver.handle(asked).status == 201
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
    assert (root / "sample.bin").stat().st_size == size
