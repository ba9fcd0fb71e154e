"""Hashes of chunks: each is checked, wherever it stands, and a chunk that differs is refused."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.sample import Sample, request

from resumable.protocol.parameters import ParameterNames
from resumable.receiver import Receiver, Request, Response
from resumable.receiver.store.digests import Digest

PLAIN = Sample(bytes(range(20)), 8)
FIRST, LAST = PLAIN.chunk(1), PLAIN.chunk(2)


def digest(algorithm: str, data: bytes = FIRST) -> str:
    return hashlib.new(algorithm, data).hexdigest()


def behind(
    algorithm: str, fields: dict[str, str], number: int = 1, names: ParameterNames | None = None, **sample: Any
) -> Request:
    """A form in which these fields are behind the chunk."""
    names = names or ParameterNames()
    extra = {"resumableChecksum": algorithm}
    asked = Sample(PLAIN.data, 8, extra=extra, names=names, **sample)
    made = asked.multipart(number)
    boundary = made.headers["content-type"].partition("boundary=")[2]
    body = made.read(1 << 20)
    end = f"\r\n--{boundary}--\r\n".encode()
    assert body.endswith(end)
    parts = [
        f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
        for name, value in fields.items()
    ]
    return request(body[: -len(end)] + b"".join(parts) + end, dict(made.headers), made.query)


def refused(answer: Response, said: str) -> bool:
    return answer.status == 460 and re.search(said, answer.body.decode()) is not None


@pytest.mark.parametrize("algorithm", ["sha256", "md5", "sha3_512", "blake2s"])
def test_the_hash_may_stand_behind_the_chunk(receiver: Receiver, root: Path, algorithm: str) -> None:
    name = f"resumableChunk{algorithm.capitalize()}"
    wrong = receiver.handle(behind(algorithm, {name: digest(algorithm, LAST)}))
    assert refused(wrong, f"Chunk 1 of 2 .* {digest(algorithm)}, .* {digest(algorithm, LAST)}")
    assert PLAIN.test(receiver, 1).status == 204
    assert receiver.handle(behind(algorithm, {"other": "x", name: digest(algorithm).upper()})).status == 200
    assert receiver.handle(behind(algorithm, {name: digest(algorithm, LAST)}, 2)).status == 201
    assert (root / "sample.bin").read_bytes() == PLAIN.data


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"resumableChunkSha256": ""},
        {"resumableChunkMd5": digest("md5")},
        {"resumableChunkSha256": digest("sha256")[:-1]},
        {"resumableChunkSha256": digest("sha256") + "0" * 2000},
        {"resumableChunkSha256": "\xff" * 64},
    ],
)
def test_a_chunk_without_the_hash_that_was_announced_is_not_stored(receiver: Receiver, fields: dict[str, str]) -> None:
    assert refused(receiver.handle(behind("sha256", fields)), "^Chunk 1 of 2 arrived with")
    assert PLAIN.test(receiver, 1).status == 204


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_the_hash_may_stand_before_the_chunk(receiver: Receiver, algorithm: str) -> None:
    def said(value: str) -> Sample:
        name = f"resumableChunk{algorithm.capitalize()}"
        return Sample(PLAIN.data, 8, extra={"resumableChecksum": algorithm, name: value})

    assert said(digest(algorithm, LAST)).send(receiver, 1) == [460]
    assert said("no hash").send(receiver, 1) == [460]
    assert said(digest(algorithm)).send(receiver, 1) == [200]


@pytest.mark.parametrize("algorithm", ["crc32", "shake_128", "", "SHA-256 ", "x" * 2000])
def test_a_hash_that_the_receiver_does_not_have_is_refused_for_good(receiver: Receiver, algorithm: str) -> None:
    answer = receiver.handle(behind(algorithm, {}))
    assert (answer.status, b"no checksum" in answer.body) == (400, True)


def test_a_stored_chunk_and_a_finished_file_are_compared_with_their_hash_too(receiver: Receiver) -> None:
    right, wrong = ({"resumableChunkSha256": digest("sha256", data)} for data in (FIRST, LAST))
    assert PLAIN.send(receiver, 1) == [200]
    assert receiver.handle(behind("sha256", wrong)).status == 460
    assert receiver.handle(behind("sha256", right)).status == 200
    assert PLAIN.send(receiver, 2) == [201]
    assert receiver.handle(behind("sha256", wrong)).status == 460
    assert receiver.handle(behind("sha256", right)).status == 200


def test_hashes_have_the_namespace_and_the_name_that_the_receiver_was_given(root: Path) -> None:
    names = ParameterNames(namespace="ns-")
    receiver = Receiver(root, names=names, chunk_sha256_parameter_name="digest")
    for algorithm, name in (("sha256", "digest"), ("md5", "resumableChunkMd5")):
        wrong, right = digest(algorithm, LAST), digest(algorithm)
        assert receiver.handle(behind(algorithm, {f"ns-{name}": wrong}, names=names)).status == 460
        assert receiver.handle(behind(algorithm, {name: right}, names=names)).status == 460
        assert receiver.handle(behind(algorithm, {f"ns-{name}": right}, names=names)).status == 200


def test_a_receiver_that_ignores_hashes_of_chunks_ignores_what_announces_them(root: Path) -> None:
    receiver = Receiver(root, chunk_sha256_parameter_name=None)
    assert receiver.handle(behind("nonsense", {"resumableChunkSha256": "0"})).status == 200


def test_hashes_are_no_metadata(root: Path) -> None:
    receiver = Receiver(root)
    extra = {"resumableChecksum": "md5", "resumableChunkMd5": digest("md5"), "label": "a"}
    assert Sample(PLAIN.data, 8, extra=extra).send(receiver, 1) == [200]
    (upload,) = receiver.uploads()
    assert upload.record.metadata == {"label": "a"}


@pytest.mark.parametrize("hashed", [(1,), (2,), (1, 2)])
def test_a_file_is_recognised_by_the_hashes_of_its_chunks_too(root: Path, hashed: tuple[int, ...]) -> None:
    session = {"resumable-session": "0" * 32}
    receiver, plain = Receiver(root), Sample(PLAIN.data, 8, headers=session)
    with_hashes = {
        number: behind(
            "sha256", {"resumableChunkSha256": digest("sha256", PLAIN.chunk(number))}, number, headers=session
        )
        for number in hashed
    }
    for number in (1, 2):
        assert receiver.handle(with_hashes.get(number) or plain.multipart(number)).status == 199 + number
    file = root / "sample.bin"
    os.utime(file, (1, 1))
    assert plain.test(receiver, 1).status == 200
    file.unlink()
    # The answer may have been lost, and the file be elsewhere.
    assert plain.send(receiver, 1, 2) == [200, 200]
    assert not file.exists()
    assert Sample(b"x" + PLAIN.data[1:], 8, headers=session).send(receiver, 1) == [200]


@pytest.mark.parametrize("place", [3, 13])
def test_another_file_is_not_taken_for_one_with_hashes(receiver: Receiver, root: Path, place: int) -> None:
    for number in (1, 2):
        said = {"resumableChunkSha256": digest("sha256", PLAIN.chunk(number))}
        assert receiver.handle(behind("sha256", said, number)).status == 199 + number
    changed = bytearray(PLAIN.data)
    changed[place] ^= 1
    (root / "sample.bin").write_bytes(changed)
    assert PLAIN.test(receiver, 1).status == 204


def test_digests_of_chunks_need_no_faster_library() -> None:
    code = (
        "import sys; sys.modules['isal'] = None; from resumable.receiver.store import digests;"
        "digest = digests.Digest(); digest.add(b'1234'); digest.add(b'56789'); print(hex(digest.value()))"
    )
    said = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert said == "0xcbf43926\n"
    digest = Digest()
    digest.add(b"123456789")
    assert hex(digest.value()) == said.strip()
