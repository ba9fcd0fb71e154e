from __future__ import annotations

import pytest
from hypothesis import given
from support.texts import texts

from resumable.protocol.completion import format_completion, format_name, parse_completion, parse_name

JSON = {"content-type": "application/json; charset=utf-8"}


@given(texts(min_size=1))
def test_a_name_comes_back_in_a_header_that_any_server_can_send(name: str) -> None:
    value = format_name(name)
    assert value.isascii()
    assert value.isprintable()
    assert " " not in value
    assert parse_name(value) == name


@pytest.mark.parametrize("value", ["", "a.bin", "UTF-8''", "ISO-8859-1''a"])
def test_what_is_no_name_says_none(value: str) -> None:
    assert parse_name(value) is None


def test_a_completion_has_the_name_and_the_result() -> None:
    fields = {**JSON, "resumable-name": format_name("a.bin")}
    assert parse_completion(fields, format_completion("a.bin", {"id": 7})) == {"name": "a.bin", "id": 7}
    assert parse_completion(fields, format_completion("a.bin", {"name": "b"})) == {"name": "b"}
    assert parse_completion(fields, format_completion("a.bin", None)) == {"name": "a.bin"}
    assert parse_completion(JSON, format_completion("a.bin", {"id": 7})) == {"id": 7}


@pytest.mark.parametrize("text", ["", "[]", '{"result": 7}', "{", "[" * 100_000, '"text"'])
def test_a_body_that_says_nothing_is_none(text: str) -> None:
    assert parse_completion(JSON, text) is None
    assert parse_completion({"content-type": "text/plain"}, format_completion("a", {"id": 7})) is None
