"""Requests that are nearly right, and requests that are not at all, in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.texts import texts

from resumable.protocol.plan import ChunkPlan

from .target import EXPECTED, Target

pytestmark = pytest.mark.unmeasured

SMALL = {
    "resumableChunkNumber": st.integers(-1, 5).map(str),
    "resumableChunkSize": st.integers(0, 9).map(str),
    "resumableTotalSize": st.integers(0, 20).map(str),
    "resumableTotalChunks": st.integers(0, 6).map(str),
    "resumableCurrentChunkSize": st.integers(0, 9).map(str),
}
TEXTS = {
    "resumableIdentifier": texts(max_size=8),
    "resumableFilename": texts(max_size=8),
    "resumableRelativePath": st.text("./\\ax\0é", max_size=12),
    "resumableType": texts(max_size=8),
    "resumableChecksum": st.sampled_from(["sha256", "md5", "sha3_256", "shake_128", "", "x"]),
    "resumableChunkMd5": st.text("0af", min_size=30, max_size=34),
    "resumableChunkSha256": st.text("0af", min_size=62, max_size=66),
    "resumableFileSha256": st.text("0af", min_size=62, max_size=66),
}
NUMBER = st.one_of(st.integers(0, 10**20).map(str), st.text("0123456789-+.e ٣", max_size=22))
BOUNDARY = b"b"


@contextmanager
def fresh() -> Iterator[Target]:
    """A target; hypothesis runs many examples in one test, and so in one tmp_path."""
    with tempfile.TemporaryDirectory() as directory:
        yield Target(Path(directory))


@st.composite
def uploads(draw: st.DrawFn) -> dict[str, str]:
    """The parameters of a chunk that make sense."""
    plan = ChunkPlan(draw(st.integers(0, 20)), draw(st.integers(1, 9)), draw(st.booleans()))
    index = draw(st.integers(0, plan.count - 1))
    start, end = plan.span(index)
    return {
        "resumableChunkNumber": str(index + 1),
        "resumableChunkSize": str(plan.chunk_size),
        "resumableCurrentChunkSize": str(end - start),
        "resumableTotalSize": str(plan.size),
        "resumableTotalChunks": str(plan.count),
        "resumableIdentifier": draw(st.sampled_from(["one", "two", "../three"])),
        "resumableFilename": "name",
        "resumableRelativePath": draw(st.sampled_from(["name", "dir/name", "name/below"])),
    }


@st.composite
def nearly(draw: st.DrawFn) -> dict[str, str]:
    """The same, with some of them changed or left out."""
    parameters = draw(uploads())
    parameters.update(draw(st.fixed_dictionaries({}, optional={**SMALL, **TEXTS})) if draw(st.booleans()) else {})
    for name in draw(st.lists(st.sampled_from(sorted(SMALL)), max_size=2)):
        parameters[name] = draw(NUMBER)
    for name in draw(st.lists(st.sampled_from(sorted(parameters)), max_size=1)):
        del parameters[name]
    return parameters


def part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n" + value + b"\r\n"


@st.composite
def requests(draw: st.DrawFn, parameters: st.SearchStrategy[dict[str, str]]) -> bytes:
    """One request on the wire with such parameters."""
    said = draw(parameters)
    query = urlencode(said, errors="replace")
    size = said.get("resumableCurrentChunkSize", "8")
    right = int(size) if size.isascii() and size.isdigit() and len(size) < 3 else 8
    chunk = draw(st.one_of(st.just(b"x" * right), st.binary(max_size=20)))
    method = draw(st.sampled_from(["GET", "HEAD", "POST", "POST", "PUT", "PATCH"]))
    fields = [b"Host: localhost"]
    body = b""
    kind = draw(st.sampled_from(["octets", "form", "both", "urlencoded"]))
    if kind in ("form", "both"):
        fields.append(b"Content-Type: multipart/form-data; boundary=b")
        body = b"".join(part(name.encode(), value.encode("utf-8", "replace")) for name, value in said.items())
        body += part(b"file", chunk, b'; filename="x"') + b"--b--\r\n"
        query = query if kind == "both" else ""
    elif kind == "urlencoded":
        fields.append(b"Content-Type: application/x-www-form-urlencoded")
        body, query = query.encode(), ""
    elif method not in ("GET", "HEAD"):
        body = chunk
    fields.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join((f"{method} /?{query} HTTP/1.1".encode(), *fields, b"", body))


@given(st.lists(requests(nearly()), min_size=1, max_size=6))
def test_requests_that_are_nearly_right_are_answered_and_do_no_harm(sequence: list[bytes]) -> None:
    with fresh() as target:
        statuses = target.run(b"".join(sequence))
    assert len(statuses) == len(sequence)


@given(st.lists(requests(uploads()), min_size=1, max_size=6), st.data())
def test_requests_with_bytes_exchanged_are_answered_and_do_no_harm(sequence: list[bytes], data: st.DataObject) -> None:
    wire = bytearray(b"".join(sequence))
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(wire)))
        end = begin + data.draw(st.integers(0, 8))
        wire[begin:end] = data.draw(st.binary(max_size=8))
    with fresh() as target:
        assert target.run(bytes(wire))


@given(st.binary(max_size=200))
def test_any_bytes_are_answered_and_do_no_harm(wire: bytes) -> None:
    with fresh() as target:
        assert target.run(wire)


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 60))
def test_any_form_is_answered_and_does_no_harm(head: bytes, body: bytes, cut: int) -> None:
    form = part(b"resumableChunkNumber", b"1") + part(b"file", body, b"; " + head.replace(b"\r\n", b"")) + b"--b--"
    form = form[: len(form) - cut]
    wire = b"POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n" % len(form)
    with fresh() as target:
        assert target.run(wire + form) == [400]


@given(st.dictionaries(st.sampled_from(["Host", "Origin", "Authorization", "Content-Type"]), st.binary(max_size=30)))
def test_any_header_is_answered_and_does_no_harm(headers: dict[str, bytes]) -> None:
    lines = [f"{name}: ".encode() + value.replace(b"\r", b"").replace(b"\n", b"") for name, value in headers.items()]
    with fresh() as target:
        (status,) = target.run(b"\r\n".join((b"POST /?a=b HTTP/1.1", *lines, b"Content-Length: 0", b"", b"")))
    assert status in (400, 403)


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=12), st.binary(min_size=5, max_size=30))
def test_whatever_the_order_a_file_is_finished_by_its_last_missing_chunk(
    order: list[tuple[int, bool]], data: bytes
) -> None:
    plan = ChunkPlan(len(data), len(data) // 5)
    facts: dict[str, Any] = {
        "resumableChunkSize": plan.chunk_size,
        "resumableTotalSize": plan.size,
        "resumableTotalChunks": plan.count,
        "resumableIdentifier": "one",
        "resumableFilename": "name",
    }
    wire = b""
    expected = []
    stored: set[int] = set()
    finished = False
    for number, is_test in [(min(number, plan.count), is_test) for number, is_test in order]:
        query = urlencode({**facts, "resumableChunkNumber": number})
        start, end = plan.span(number - 1)
        if is_test:
            wire += f"GET /?{query} HTTP/1.1\r\n\r\n".encode()
            expected.append(200 if number in stored else 204)
            continue
        body = data[start:end]
        wire += f"POST /?{query} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        stored.add(number)
        complete = len(stored) == plan.count
        expected.append(201 if complete and not finished else 200)
        finished = complete
    with fresh() as target:
        assert target.run(wire) == expected or not order


@given(st.binary(max_size=30))
def test_any_path_is_answered_and_does_no_harm(path: bytes) -> None:
    with fresh() as target:
        for method in ("GET", "POST", "OPTIONS"):
            (status,) = target.run(f"{method} /{quote_from_bytes(path)} HTTP/1.1\r\n\r\n".encode())
            assert status in EXPECTED
