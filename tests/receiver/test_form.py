from __future__ import annotations

import base64
import subprocess
import sys
import textwrap
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multipart import MultipartError, MultipartSegment, PushMultipartParser
from support.sample import request

from resumable.protocol.form import encode_form
from resumable.receiver.form import parse_query, read_body
from resumable.receiver.messages import Refusal

FORM = "multipart/form-data; boundary=b"


def parsed(
    body: bytes, content_type: str = FORM, piece: int = 1 << 20, *, length: int = 1
) -> tuple[list[tuple[str, str]], bytes | None]:
    fields, pieces, _ = read_body(request(body, {"content-type": content_type}, piece=piece), ("file",))
    return fields, None if pieces is None else b"".join(pieces(length))


def part(name: str, value: bytes, extra: str = "") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode() + value + b"\r\n"


def file_part(value: bytes) -> bytes:
    return part("file", value, '; filename="x"')


@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 20])
def test_a_form_is_the_same_however_it_comes_in_pieces(piece: int) -> None:
    chunk = b"\r\n--b\r\n--\r\n-" * 20
    encoded = encode_form(
        (("a", "1"), ("né", "写\n")),
        file_field="file",
        file_name="x",
        content_type="a/b",
        boundary="boundary",
    )
    body = b"preamble\r\n" + encoded.head + chunk + encoded.tail + b"epilogue"
    fields = [("a", "1"), ("né", "写\r\n")]
    assert parsed(body, encoded.content_type, piece, length=len(chunk)) == (fields, chunk)
    assert parsed(body.removeprefix(b"preamble\r\n"), encoded.content_type, piece, length=len(chunk)) == (fields, chunk)


@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("extra", ["", "\r\nX-Other: 1"], ids=["of known length", "by the parser"])
def test_only_a_chunk_of_its_own_length_is_read_as_one(extra: str, piece: int) -> None:
    chunk = b"\r\n--" * 20
    body = part("a", b"1") + part("file", chunk, f'; filename="x"{extra}') + part("b", b"2") + b"--b--\r\n"
    assert parsed(body, piece=piece, length=80) == ([("a", "1")], chunk)
    for length in (0, 79, 81, 90, 200):
        with suppress(Refusal):
            assert len(parsed(body, piece=piece, length=length)[1] or b"") != length


def test_parts_behind_the_chunk_are_read_and_dropped() -> None:
    body = part("a", b"1") + file_part(b"chunk") + part("b", b"2") + b"--b--"
    assert parsed(body, length=5) == ([("a", "1")], b"chunk")


def test_a_form_without_a_file_has_no_chunk() -> None:
    assert parsed(part("a", b"1") + part("b", b"") + b"--b--") == ([("a", "1"), ("b", "")], None)


def test_two_chunks_in_a_form_are_refused() -> None:
    with pytest.raises(Refusal, match="more than one file") as caught:
        parsed(file_part(b"one") + file_part(b"two") + b"--b--", length=3)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (file_part(b"cut")[:-6], FORM, 400),
        (file_part(b"not closed"), FORM, 400),
        (b"", FORM, 400),
        (b"no form at all", FORM, 400),
        (b"--b\r\nNo-Disposition: 1\r\n\r\n", FORM, 400),
        (file_part(b"x") + b"--b--", "multipart/form-data", 400),
        (file_part(b"x") + b"--b--", "multipart/form-data; boundary=other", 400),
        (file_part(b"x") + b"--b--", "multipart/form-data; boundary=" + "b" * 71, 400),
        (part("a", b"") * 65 + b"--b--", FORM, 400),
        (part("a", b"", "; x=" + "y" * 9000) + b"--b--", FORM, 400),
        (part("a", b"x" * 65537) + b"--b--", FORM, 400),
        (part("a", b"x" * 40000) * 2 + b"--b--", FORM, 400),
    ],
)
def test_a_form_that_is_broken_or_too_large_is_refused(body: bytes, content_type: str, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        parsed(body, content_type)
    assert caught.value.status == status


def test_any_other_body_is_the_chunk() -> None:
    assert parsed(b"chunk", "application/octet-stream", 2) == ([], b"chunk")
    assert parsed(b"chunk", "") == ([], b"chunk")
    assert parsed(b"", "text/plain") == ([], b"")


def test_an_urlencoded_form_has_parameters_only() -> None:
    body = b"a=1&b=%E5%86%99+x&c="
    assert parsed(body, "application/x-www-form-urlencoded; charset=utf-8", 3) == (
        [("a", "1"), ("b", "写 x"), ("c", "")],
        None,
    )


def test_an_urlencoded_form_is_limited() -> None:
    with pytest.raises(Refusal, match="more than 65536 bytes") as caught:
        parsed(b"a=" + b"x" * 65536, "application/x-www-form-urlencoded")
    assert caught.value.status == 400


def test_a_query_has_at_most_64_parameters() -> None:
    assert len(parse_query("&".join(["a=1"] * 64))) == 64
    with pytest.raises(Refusal, match="more than 64 parameters"):
        parse_query("&".join(["a=1"] * 65))


@given(st.binary(max_size=200), st.integers(1, 20))
def test_base64_is_decoded_wherever_its_pieces_are_cut(chunk: bytes, piece: int) -> None:
    value = b"data:application/octet-stream;base64," + base64.b64encode(chunk)
    assert parsed(part("file", value) + b"--b--", piece=piece) == ([], chunk)


@pytest.mark.parametrize(
    ("value", "chunk"),
    [
        (b"data:", b""),
        (b"data:;base64,", b""),
        (b"plain bytes, as they are", b"plain bytes, as they are"),
        (b"", b""),
        (b"x" * 5000, b"x" * 5000),
    ],
)
def test_a_chunk_in_a_plain_field_is_a_data_url_or_itself(value: bytes, chunk: bytes) -> None:
    assert parsed(part("file", value) + b"--b--", piece=16) == ([], chunk)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"data:text/plain,abc", "not encoded in base64"),
        (b"data:" + b"x" * 3000, "not encoded in base64"),
        (b"data:;base64,AAA", "in the middle"),
        (b"data:;base64,AA!A", "base64"),
        (b"data:;base64,AA==AAAA", "base64"),
        (b"data:;base64," + b"AA==" + b"AAAA" * 5, "base64"),
    ],
)
@pytest.mark.parametrize("piece", [4, 1 << 20])
def test_a_data_url_that_is_not_base64_is_refused(value: bytes, says: str, piece: int) -> None:
    with pytest.raises(Refusal, match="base64") as caught:
        parsed(part("file", value) + b"--b--", piece=piece)
    assert caught.value.status == 400
    if piece > 4:
        assert says in caught.value.sentence


def test_without_the_form_library_the_import_says_what_to_install() -> None:
    program = """
        import sys
        sys.modules["multipart"] = None
        import resumable.receiver
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'resumable[server]'" in done.stderr


MARKS = [
    b"\r\n",
    b"\r",
    b"\n",
    b"--",
    b"b",
    b"x",
    b"--b",
    b"--b\r\n",
    b"\r\n--b",
    b"\r\n--b\r\n",
    b"\r\n--b--",
    b'"',
    b"%22",
    b"\xff",
]
DISPOSITIONS = [
    b'Content-Disposition: form-data; name="a"',
    b'content-disposition: form-data; name="a"',
    b"Content-Disposition: form-data; name=a",
    b'Content-Disposition:form-data; name="a"',
    b'Content-Disposition: form-data; name=""',
    b'Content-Disposition: form-data; name="\xc3\xa9"',
    b'Content-Disposition: form-data; name="\xff"',
    b'Content-Disposition: form-data; name="a%22"',
    b'Content-Disposition: form-data; name="a\\"',
    b'Content-Disposition: form-data; name="a"; filename="x"',
    b'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain',
    b'Content-Disposition: form-data; name="a"\r\nContent-Length: 1',
    b'Content-Disposition: form-data; name="file"; filename="x"',
    b'Content-Disposition: form-data; name="file"',
    b'Content-Disposition: form-data; name="' + b"a" * 1100 + b'"',
    b'Content-Disposition: attachment; name="a"',
    b"Content-Type: text/plain",
    b"",
]
# Mostly as browsers write it, so that what comes behind is looked at, too.
GAPS = st.sampled_from([b"\r\n\r\n"] * 40 + [b"\r\n", b"\n\n", b"\r\n\r\n\r\n", b""])
LINES = st.sampled_from(
    [b"\r\n--b\r\n"] * 40 + [b"\r\n--b", b"--b\r\n", b"\n--b\n", b"\r\n--b--\r\n", b"\r\n--bb\r\n", b""]
)
VALUES = st.lists(st.sampled_from(MARKS), max_size=5).map(b"".join)
PARTS = st.tuples(st.sampled_from(DISPOSITIONS[:1] * 40 + DISPOSITIONS), GAPS, VALUES, LINES).map(b"".join)
FILES = st.tuples(st.just(DISPOSITIONS[12]), GAPS, VALUES, LINES).map(b"".join)


@st.composite
def forms(draw: st.DrawFn) -> bytes:
    """Forms of all kinds, most of them wrong somewhere."""
    parts = b"".join([*draw(st.lists(PARTS, max_size=5)), *draw(st.lists(FILES, max_size=2))])
    begin = draw(st.sampled_from([b"--b\r\n"] * 6 + [b"\r\n--b\r\n", b"x\r\n--b\r\n", b"--b--\r\n", b""]))
    end = draw(st.sampled_from([b"--b--\r\n", b"", b"--b--", b"--b\r\n"]))
    body = begin + parts.removesuffix(b"--b\r\n") + end
    return body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 9)) == 0 else body


def by_the_parser(body: bytes, piece: int) -> tuple[list[tuple[str, str]], bytes | None] | None:
    """What the parser alone makes of a form that comes in such pieces; None if it is refused."""
    parser = PushMultipartParser("b", max_header_size=8192, max_segment_count=64)
    values: list[tuple[MultipartSegment, bytearray]] = []
    try:
        for start in range(0, len(body), piece):
            for event in parser.parse(body[start : start + piece]):
                if isinstance(event, MultipartSegment):
                    values.append((event, bytearray()))
                elif event is not None:
                    values[-1][1].extend(event)
        parser.close()
    except MultipartError:
        return None
    names = [segment.name for segment, _ in values]
    if names.count("file") > 1:
        return None
    first = names.index("file") if "file" in names else len(names)
    fields = [(str(segment.name), value.decode("utf-8", "replace")) for segment, value in values[:first]]
    return fields, bytes(values[first][1]) if first < len(values) else None


@given(forms(), st.integers(1, 200))
def test_a_form_is_what_the_parser_alone_makes_of_it(body: bytes, piece: int) -> None:
    for size in (piece, len(body) or 1):
        said = by_the_parser(body, size)
        try:
            read = parsed(body, piece=size, length=len(said[1] or b"") if said else 1)
        except Refusal:
            read = None  # type: ignore[assignment]
        assert read == said


def test_a_form_of_64_parameters_and_a_chunk_has_a_part_too_many() -> None:
    fields = [part(str(number), b"") for number in range(64)]
    assert len(parsed(b"".join(fields) + b"--b--")[0]) == 64
    assert parsed(b"".join(fields[1:]) + file_part(b"x") + b"--b--")[1] == b"x"
    for more in (file_part(b"x"), part("more", b"x" * 70000)):
        with pytest.raises(Refusal, match="segment count"):
            parsed(b"".join(fields) + more + b"--b--")
