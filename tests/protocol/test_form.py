"""Multipart forms and base64, against the bytes that browsers sent and a parser that is not ours."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multipart import MultipartParser  # type: ignore[import-untyped]

from resumable.protocol.form import (
    base64_length,
    base64_prefix,
    boundary,
    encode_form,
)
from resumable.protocol.parameters import (
    ChunkFacts,
    ParameterNames,
    for_test,
    for_upload,
    query_string,
)

TABLES = Path(__file__).parent.parent / "vectors" / "tables"
REQUESTS = json.loads((TABLES / "raw_requests.json").read_text(encoding="utf-8"))["rows"]
NAMES = json.loads((TABLES / "filename_encoding.json").read_text(encoding="utf-8"))["rows"]
CONTENT = b"hello"
FACTS = ChunkFacts(
    number=1,
    chunk_size=1048576,
    current_chunk_size=5,
    total_size=5,
    type="text/plain",
    identifier="5-htxt",
    file_name="hé.txt",
    relative_path="hé.txt",
    total_chunks=1,
)


@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: f"{row['method']} {row['raw'].split(' ')[0]}")
def test_a_request_has_the_bytes_of_a_browsers(row: dict[str, Any]) -> None:
    head, _, recorded = row["raw"].partition("\r\n\r\n")
    verb, target, _ = head.split("\r\n")[0].split(" ")
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    make = for_test if verb == "GET" else for_upload
    pairs = make(ParameterNames(), FACTS, {})
    assert target == "/upload?" + query_string(pairs)
    if verb == "GET":
        assert recorded == ""
        return
    if row["method"] == "octet":
        assert recorded.encode() == CONTENT
        assert headers["Content-Type"] == "application/octet-stream"
        return
    in_base64 = row["method"] == "base64"
    form = encode_form(
        pairs,
        file_field="file",
        file_name=None if in_base64 else FACTS.file_name,
        content_type="application/octet-stream",
        boundary=headers["Content-Type"].partition("boundary=")[2],
        prefix=base64_prefix("application/octet-stream") if in_base64 else "",
    )
    chunk = base64.b64encode(CONTENT) if in_base64 else CONTENT
    body = form.head + chunk + form.tail
    assert body == recorded.encode()
    assert len(body) == int(headers["Content-Length"])
    assert form.content_type == headers["Content-Type"]


def test_every_recorded_request_is_replayed() -> None:
    assert len(REQUESTS) == 6
    assert len(NAMES) == 24


def form_of(
    fields: tuple[tuple[str, str], ...], *, name: str | None = "x", field: str = "file", prefix: str = ""
) -> Any:
    return encode_form(
        fields, file_field=field, file_name=name, content_type="text/plain", boundary=boundary(), prefix=prefix
    )


@pytest.mark.parametrize("row", NAMES, ids=lambda row: repr(row["name"]))
def test_a_file_name_stands_in_the_form_as_in_a_browsers(row: dict[str, Any]) -> None:
    form = form_of((("resumableFilename", row["name"]),), name=row["name"])
    field, part = form.head.split(b"\r\n--", 1)
    assert field.split(b"\r\n\r\n", 1)[1] == row["form_field_utf8"].encode()
    line = part.split(b"\r\n")[1]
    assert line.decode() == "Content-Disposition: " + row["part_header"]
    assert line.split(b'filename="')[1][:-1].hex() == row["filename_bytes_hex"]


@pytest.mark.parametrize("line_break", ["\r", "\n", "\r\n"])
def test_every_line_break_in_a_field_is_cr_lf(line_break: str) -> None:
    assert b"a\r\nb\r\n" in form_of((("field", f"a{line_break}b"),)).head


def test_no_value_can_add_a_header_or_a_part() -> None:
    attack = 'x"\r\nX-Evil: 1\r\n\r\nbody'
    form = form_of(((attack, "v"),), name=attack, field=attack)
    assert b"\r\nX-Evil" not in form.head
    assert form.head.count(b"x%22%0D%0AX-Evil: 1%0D%0A%0D%0Abody") == 3


def test_a_name_that_is_no_utf_8_is_sent_with_replacement_characters() -> None:
    form = form_of((("resumableFilename", "caf\udce9"),), name="caf\udce9")
    assert form.head.count("caf\ufffd".encode()) == 2


# Without %: a browser writes a quote as %22 and a %22 as %22, and this parser takes both for a quote.
names = st.text(st.characters(exclude_characters='%"\r\n\\', exclude_categories=["Cs", "Cc"]), min_size=1)


@given(st.lists(st.tuples(names, names), max_size=4), names, st.binary(max_size=300))
def test_another_parser_finds_the_fields_and_the_chunk(fields: list[tuple[str, str]], name: str, chunk: bytes) -> None:
    form = form_of(tuple(fields), name=name)
    body = form.head + chunk + form.tail
    parser = MultipartParser(io.BytesIO(body), form.content_type.partition("boundary=")[2], content_length=len(body))
    parts = list(parser)
    assert [(part.name, part.value) for part in parts[:-1]] == fields
    assert (parts[-1].filename, parts[-1].raw, parts[-1].content_type) == (name, chunk, "text/plain")
    for part in parts:
        part.close()


def test_a_chunk_in_base64_is_a_field_that_begins_with_its_prefix() -> None:
    form = form_of((), name=None, prefix=base64_prefix("image/png"))
    assert form.head.endswith(b'name="file"\r\n\r\ndata:image/png;base64,')
    assert b"filename" not in form.head


@given(st.binary(max_size=100))
@example(b"four")
def test_the_length_of_base64_is_known_without_making_it(content: bytes) -> None:
    assert base64_length(len(content)) == len(base64.b64encode(content))


def test_two_boundaries_differ_and_are_allowed_in_a_header() -> None:
    assert boundary() != boundary()
    assert len(boundary()) <= 70
    assert re.fullmatch("[-0-9a-z]+", boundary())
