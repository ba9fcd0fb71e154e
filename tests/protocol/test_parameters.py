"""The parameters and their encoding, against what browsers sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.texts import texts

from resumable.protocol.parameters import (
    ChunkFacts,
    ParameterNames,
    encode,
    for_question,
    for_test,
    for_upload,
    query_string,
    text,
    unescaped,
    well_formed,
    with_query,
)

TABLES = Path(__file__).parent.parent / "vectors" / "tables"
NAMES = json.loads((TABLES / "filename_encoding.json").read_text(encoding="utf-8"))["rows"]
FACTS = ChunkFacts(
    number=1,
    chunk_size=1048576,
    current_chunk_size=5,
    total_size=5,
    type="text/plain",
    identifier="5-htxt",
    file_name="hé.txt",
    relative_path="top/hé.txt",
    total_chunks=1,
)
NINE = [
    ("resumableChunkNumber", "1"),
    ("resumableChunkSize", "1048576"),
    ("resumableCurrentChunkSize", "5"),
    ("resumableTotalSize", "5"),
    ("resumableType", "text/plain"),
    ("resumableIdentifier", "5-htxt"),
    ("resumableFilename", "hé.txt"),
    ("resumableRelativePath", "top/hé.txt"),
    ("resumableTotalChunks", "1"),
]


@pytest.mark.parametrize("row", NAMES, ids=lambda row: repr(row["name"]))
def test_a_file_name_is_encoded_as_in_a_browser(row: dict[str, Any]) -> None:
    assert encode(row["name"]) == row["query_get"]
    assert row["query_post_same"]


def test_the_nine_come_in_resumable_js_order_with_custom_ones_first_in_a_test_and_last_in_an_upload() -> None:
    names = ParameterNames()
    custom = {"token": "a b", "n": 1}
    assert list(for_test(names, FACTS, custom)) == [("token", "a b"), ("n", "1"), *NINE]
    assert list(for_upload(names, FACTS, custom)) == [*NINE, ("token", "a b"), ("n", "1")]


def test_a_custom_name_of_the_nine_stands_twice_in_a_test_and_replaces_in_place_in_an_upload() -> None:
    custom = {"resumableType": "mine"}
    assert list(for_test(ParameterNames(), FACTS, custom)) == [("resumableType", "mine"), *NINE]
    assert list(for_upload(ParameterNames(), FACTS, custom)) == [
        (name, "mine" if name == "resumableType" else value) for name, value in NINE
    ]


@pytest.mark.parametrize("falsy", ["", None])
def test_an_empty_name_omits_its_parameter(falsy: str | None) -> None:
    names = ParameterNames(type=falsy, total_chunks=falsy)
    left = [pair for pair in NINE if pair[0] not in ("resumableType", "resumableTotalChunks")]
    assert list(for_test(names, FACTS, {})) == list(for_upload(names, FACTS, {})) == left


def test_every_name_can_be_another() -> None:
    names = ParameterNames("a", "b", "c", "d", "e", "f", "g", "h", "i")
    assert [name for name, _ in for_upload(names, FACTS, {})] == list("abcdefghi")


def test_the_namespace_stands_before_every_name() -> None:
    names = ParameterNames(namespace="x-")
    for pairs in (for_test(names, FACTS, {"own": 1}), for_upload(names, FACTS, {"own": 1})):
        assert all(name.startswith("x-") for name, _ in pairs)
        assert len(pairs) == 10


def test_a_custom_parameter_that_is_none_is_left_out() -> None:
    assert for_test(ParameterNames(), FACTS, {"gone": None}) == for_test(ParameterNames(), FACTS, {})


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (10**25, "10000000000000000000000000"),
        (5.0, "5"),
        (-0.0, "0"),
        (1.5, "1.5"),
        (0.1, "0.1"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1.5e-6, "0.0000015"),
        (1e-7, "1e-7"),
        (-1.5e-10, "-1.5e-10"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        ("text", "text"),
        (b"caf\xc3\xa9", "café"),
        ([1, None, True, ["a", "b"]], "1,,true,a,b"),
        ((), ""),
    ],
)
def test_a_value_is_written_as_javascript_writes_it(value: Any, written: str) -> None:
    assert text(value) == written


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_number_loses_a_digit(value: float) -> None:
    assert float(text(value)) == value


@given(texts())
def test_what_is_encoded_is_ascii_and_decodes_to_the_well_formed_value(value: str) -> None:
    encoded = encode(value)
    assert encoded.isascii()
    assert unquote(encoded) == well_formed(value)


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    assert well_formed("caf\udce9") == "caf\ufffd"
    assert encode("\ud800") == "%EF%BF%BD"
    assert well_formed("emoji 😀") == "emoji 😀"


@given(texts())
def test_a_name_is_the_same_whether_or_not_the_locale_has_its_letters(name: str) -> None:
    raw = well_formed(name).encode()
    assert unescaped(raw.decode("ascii", "surrogateescape")) == raw.decode()
    assert well_formed("caf\udcc3\udca9\udcc3.txt") == "café\ufffd.txt"


@given(st.lists(st.tuples(st.text("aé &=%+#", min_size=1), texts(min_size=1)), max_size=5))
def test_a_query_string_parses_to_the_pairs(pairs: list[tuple[str, str]]) -> None:
    expected = [(well_formed(name), well_formed(value)) for name, value in pairs]
    assert parse_qsl(query_string(tuple(pairs)), keep_blank_values=True) == expected


@pytest.mark.parametrize(
    ("url", "query", "together"),
    [
        ("http://h/p", "a=1", "http://h/p?a=1"),
        ("http://h/p?x=y", "a=1", "http://h/p?x=y&a=1"),
        ("http://h/p#part", "a=1", "http://h/p?a=1#part"),
        ("http://h/p?x#p?q", "a=1", "http://h/p?x&a=1#p?q"),
        ("http://h/p", "", "http://h/p"),
    ],
)
def test_a_query_is_added_behind_the_one_that_a_target_has(url: str, query: str, together: str) -> None:
    assert with_query(url, query) == together


def test_a_question_has_the_custom_parameters_unless_one_could_change_which_file_is_meant() -> None:
    names = ParameterNames(namespace="x-")
    assert for_question(names, {"token": 7, "gone": None}) == (("x-token", "7"),)
    assert for_question(names, {"resumableIdentifier": "another"}) is None
