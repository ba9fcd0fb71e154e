"""Hashes of chunks and of whole files: what is sent, where it stands, and when nothing is."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.client import content, upload
from support.scripted_server import PATIENCE, ScriptedServer

from resumable import FileState, OptionError, Resumable, ServerRefused, SourceError

Make = Callable[..., Path]

CHUNK = 1 << 20
SIZE = 2 * CHUNK + CHUNK // 2
IN_FORM = "form"
IN_QUERY = "query"


@pytest.mark.parametrize(
    ("options", "algorithm", "place"),
    [
        ({"checksum": "sha256"}, "sha256", IN_FORM),
        ({"checksum": True, "params_in": "form"}, "sha256", IN_FORM),
        ({"checksum": "SHA3-256", "chunk_format": "base64"}, "sha3_256", IN_FORM),
        ({"checksum": "md5", "parameter_namespace": "ns-"}, "md5", IN_FORM),
        ({"checksum": "sha256", "params_in": "query"}, "sha256", IN_QUERY),
        ({"checksum": "blake2b", "method": "octet"}, "blake2b", IN_QUERY),
    ],
)
@pytest.mark.parametrize("size", [2500, 0])
def test_each_chunk_has_its_hash_behind_it_in_a_form_and_before_it_otherwise(
    wire: ScriptedServer, make: Make, options: dict[str, Any], algorithm: str, place: str, size: int
) -> None:
    namespace = options.get("parameter_namespace", "")
    path = make(size=size)
    run = upload(wire.url, path, chunk_size=1000, test_chunks=False, **options)
    assert run.result
    digest_name = f"{namespace}resumableChunk{algorithm.capitalize()}"
    assert wire.uploads
    for request in wire.uploads:
        assert request.fields[f"{namespace}resumableChecksum"] == algorithm
        assert request.chunk is not None
        sent = _decoded(request.chunk)
        digest = hashlib.new(algorithm, sent).hexdigest()
        assert request.fields[digest_name] == digest
        assert (digest_name in request.parameters) == (place is IN_QUERY)
        if place is IN_FORM:
            assert request.body.index(request.chunk) < request.body.index(digest.encode())
    assert b"".join(_decoded(request.chunk or b"") for request in wire.uploads) == path.read_bytes()


def _decoded(chunk: bytes) -> bytes:
    return base64.b64decode(chunk.partition(b",")[2]) if chunk.startswith(b"data:") else chunk


@pytest.mark.once
@pytest.mark.parametrize("size", [1 << 17, (1 << 17) + 1, 1 << 20, (1 << 20) + 1])
@pytest.mark.parametrize("query", [{}, {"long": "x" * 20_000}])
def test_large_chunks_and_long_parameters_change_nothing_of_that(
    wire: ScriptedServer, size: int, query: dict[str, str]
) -> None:
    data = content(size)
    # Twice, so that the second chunk is read into a buffer that has been used.
    run = upload(wire.url, data + data, chunk_size=size, test_chunks=False, checksum="sha256", query=query)
    assert run.result
    for request in wire.uploads:
        assert request.chunk == data
        assert request.fields["resumableChunkSha256"] == hashlib.sha256(data).hexdigest()
    assert len(wire.uploads) == 2


class Counted:
    """A source that counts how many bytes are read of it."""

    name = "counted.bin"

    def __init__(self, size: int) -> None:
        self.size = size
        self.read = 0

    def stat(self) -> Any:
        return SimpleNamespace(st_size=self.size)

    def open(self, mode: str) -> Any:
        source = self

        class Handle(io.BytesIO):
            def readinto(self, buffer: Any) -> int:
                count = super().readinto(buffer)
                source.read += count
                return count

        return Handle(bytes(self.size))


@pytest.mark.once
@pytest.mark.parametrize(("params_in", "reads"), [("both", 1), ("query", 2)])
def test_a_hash_costs_no_request_and_in_a_form_no_second_read(wire: ScriptedServer, params_in: str, reads: int) -> None:
    requests = []
    for checksum in (None, "sha256"):
        source = Counted(2500)
        # One at a time, so that how often the server is asked does not depend on who is faster.
        options: dict[str, Any] = {"params_in": params_in, "checksum": checksum, "simultaneous_uploads": 1}
        with Resumable(wire.url, chunk_size=1000, **options) as session:
            session.add_file(source, unique_identifier="counted")
        requests.append(len(wire.requests) - sum(requests))
        assert source.read == source.size * (1 if checksum is None else reads)
    assert requests[0] == requests[1]


def test_a_chunk_that_is_replaced_has_the_hash_of_what_is_sent(wire: ScriptedServer, make: Make) -> None:
    upload(wire.url, make(), checksum="sha256", preprocess=lambda chunk: b"other " + chunk.read())
    (request,) = wire.uploads
    assert request.chunk is not None
    assert request.fields["resumableChunkSha256"] == hashlib.sha256(request.chunk).hexdigest()


def test_a_chunk_that_is_sent_again_is_hashed_again(wire: ScriptedServer, make: Make) -> None:
    statuses = iter([503, 200])
    wire.behave = lambda request: (next(statuses),)
    run = upload(wire.url, make(), checksum="sha256", test_chunks=False)
    assert run.count("chunk_retry") == 1
    first, second = wire.uploads
    assert first.body == second.body


@pytest.mark.parametrize(
    ("server", "checksum", "attempts"),
    [({"Resumable-Server": "1"}, "sha256", 2), ({"Resumable-Server": "1"}, None, 1), ({}, "sha256", 1)],
)
def test_a_refusal_is_asked_for_twice_if_damage_may_be_the_reason(
    wire: ScriptedServer, server: dict[str, str], checksum: str | None, attempts: int
) -> None:
    wire.behave = lambda request: (400, "no", server)
    run = upload(wire.url, b"data", checksum=checksum, test_chunks=False)
    assert len(wire.uploads) == attempts
    assert type(run.error) is ServerRefused
    assert ("(attempt 2 of 2)" if attempts == 2 else "(not retried)") in str(run.error)


def test_nothing_is_said_of_hashes_unless_it_is_asked_for(wire: ScriptedServer, make: Make) -> None:
    path = make()
    run = upload(wire.url, path)
    assert run.files[0].sha256 is None
    upload(wire.url, (path, "again"), checksum="sha256", file_checksum=True)
    for request in wire.requests[:2]:
        assert not [name for name in request.fields if "sha256" in name.lower() or "checksum" in name.lower()]
    assert [request.method for request in wire.requests if "resumableChecksum" in request.fields] == ["POST"]


@pytest.mark.parametrize("size", [SIZE, CHUNK, 10, 0])
def test_the_request_that_completes_a_file_has_the_hash_of_the_file(wire: ScriptedServer, size: int) -> None:
    data = content(size)
    run = upload(wire.url, data, chunk_size=CHUNK, file_checksum=True, method="octet")
    digest = hashlib.sha256(data).hexdigest()
    assert wire.uploads[-1].fields["resumableFileSha256"] == digest
    assert run.files[0].sha256 == digest


def test_a_file_that_is_there_already_has_its_hash(wire: ScriptedServer) -> None:
    wire.behave = lambda request: (200,)
    run = upload(wire.url, bytes(SIZE), chunk_size=CHUNK, file_checksum=True, trust_tests=True)
    assert not wire.uploads
    assert run.files[0].sha256 == hashlib.sha256(bytes(SIZE)).hexdigest()


def test_a_file_has_the_hash_of_the_bytes_that_a_hook_gave_it(wire: ScriptedServer, make: Make) -> None:
    run = upload(wire.url, make(), file_checksum=True, preprocess_file=lambda file: b"other")
    assert run.files[0].sha256 == hashlib.sha256(b"other").hexdigest()


def test_the_hash_of_a_file_is_refused_if_its_chunks_are_replaced(wire: ScriptedServer) -> None:
    with pytest.raises(OptionError, match="file_checksum"):
        Resumable(wire.url, file_checksum=True, preprocess=lambda chunk: b"")


class Gated:
    """A source that is hashed only once ``gate`` is open, and that ``broken`` keeps from being hashed at all."""

    name = "gated.bin"

    def __init__(self, size: int, *, broken: bool = False) -> None:
        self.size = size
        self.broken = broken
        self.gate = threading.Event()

    def stat(self) -> Any:
        return SimpleNamespace(st_size=self.size)

    def open(self, mode: str) -> Any:
        if threading.current_thread().name == "resumable-checksum":
            assert self.gate.wait(PATIENCE)
            if self.broken:
                raise OSError(5, "Input/output error")
        return io.BytesIO(bytes(self.size))


def test_only_the_last_chunk_waits_for_the_hash_of_the_file(wire: ScriptedServer) -> None:
    source = Gated(SIZE)
    with Resumable(wire.url, chunk_size=CHUNK, file_checksum=True, force_chunk_size=True, test_chunks=False) as session:
        file = session.add_file(source)
        wire.wait(lambda: len(wire.uploads) == 2, "all chunks but the last")
        assert file.sha256 is None
        source.gate.set()
    assert wire.uploads[-1].fields["resumableFileSha256"] == hashlib.sha256(bytes(SIZE)).hexdigest()
    assert len(wire.uploads) == 3


@pytest.mark.parametrize("way", ["close", "cancel"])
def test_what_waits_for_the_hash_of_the_file_ends_with_the_session(wire: ScriptedServer, way: str) -> None:
    source = Gated(SIZE)
    session = Resumable(wire.url, chunk_size=CHUNK, file_checksum=True, force_chunk_size=True, test_chunks=False)
    try:
        file = session.add_file(source)
        wire.wait(lambda: len(wire.uploads) == 2, "all chunks but the last")
        getattr(session, way)()
        assert file.state is FileState.CANCELLED
    finally:
        session.close()
        source.gate.set()
    assert len(wire.uploads) == 2
    assert file.sha256 is None


def test_a_file_that_cannot_be_hashed_fails_and_may_be_tried_again(wire: ScriptedServer) -> None:
    source = Gated(SIZE, broken=True)
    source.gate.set()
    with Resumable(wire.url, chunk_size=CHUNK, file_checksum=True, test_chunks=False) as session:
        file = session.add_file(source)
        session.join(PATIENCE, raise_errors=False)
        assert isinstance(file.error, SourceError)
        assert len(wire.uploads) < len(file.chunks)
        source.broken = False
        file.retry()
        file.wait(PATIENCE)
    assert file.sha256 == hashlib.sha256(bytes(SIZE)).hexdigest()
