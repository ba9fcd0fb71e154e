from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.texts import texts

from resumable.protocol.question import (
    LARGEST_ANSWER,
    LARGEST_QUESTION,
    MOST_FILES,
    FileAnswer,
    FileQuestion,
    format_answer,
    format_question,
    is_question,
    parse_answer,
    parse_question,
)

ONE = FileQuestion("7-a", 70, 10, 7, "a.bin", "d/a.bin")
SAID = {
    "identifier": "7-a",
    "size": 70,
    "chunkSize": 10,
    "totalChunks": 7,
    "fileName": "a.bin",
    "relativePath": "d/a.bin",
}

NAMES = texts(max_size=20)
NUMBERS = st.integers(0, 10**19 - 1)
FILES = st.lists(st.builds(FileQuestion, NAMES, NUMBERS, NUMBERS, NUMBERS, NAMES, NAMES), min_size=1, max_size=5)


@given(FILES)
def test_a_question_comes_back(files: list[FileQuestion]) -> None:
    text, count = format_question(files)
    assert (parse_question(text), count) == (files, len(files))


def test_a_name_of_bytes_that_are_no_text_is_that_of_a_test() -> None:
    """Both ends write the same for it, so the file is found."""
    text, _ = format_question([ONE._replace(identifier="\udcff", file_name="\udcff", relative_path="d/\udcff")])
    assert text.isascii()
    assert parse_question(text)[0].relative_path == "d/\ufffd"
    assert parse_question(json.dumps([{**SAID, "identifier": "\ud800"}]).encode())[0].identifier == "\ufffd"


def test_a_question_has_no_more_files_than_it_may() -> None:
    text, count = format_question([ONE] * (MOST_FILES + 1))
    assert (count, len(parse_question(text))) == (MOST_FILES, MOST_FILES)
    text, count = format_question([ONE._replace(relative_path="é" * 4096)] * MOST_FILES)
    assert 0 < count < MOST_FILES
    assert LARGEST_QUESTION - 50_000 < len(text) <= LARGEST_QUESTION


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("resumableAsk", True),
        ("resumableAsk=", True),
        ("a=1&resumableAsk=&b", True),
        ("", False),
        ("resumableAsked", False),
        ("a=resumableAsk", False),
    ],
)
def test_the_query_says_that_it_is_a_question(query: str, found: bool) -> None:
    assert is_question(query) is found


@pytest.mark.parametrize(
    "said",
    [
        *("", "{", "null", "7", "{}", "[]", "[7]", "[[]]", "[" * 100_000, "[" + "9" * 5000 + "]"),
        json.dumps([SAID] * (MOST_FILES + 1)),
        *(
            json.dumps([{**SAID, name: value}])
            for name, value in (
                ("size", -1),
                ("size", 7.0),
                ("size", True),
                ("size", "7"),
                ("size", None),
                ("chunkSize", 10**19),
                ("totalChunks", [1]),
                ("identifier", 7),
                ("fileName", None),
                ("relativePath", ["a"]),
            )
        ),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_question(said.encode())


def test_bytes_that_are_no_text_are_no_question() -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_question(b'[{"identifier": "\xff"}]')


@pytest.mark.parametrize(
    ("answer", "back"),
    [
        (None, None),
        (FileAnswer(False), FileAnswer(False)),
        (FileAnswer(False, ((0, 3), (5, 6))), FileAnswer(False, ((0, 3), (5, 6)))),
        (FileAnswer(True, name="d/a.bin"), FileAnswer(True, name="d/a.bin", result={"name": "d/a.bin"})),
        (FileAnswer(True, name="d/a (1)"), FileAnswer(True, name="d/a (1)", result={"name": "d/a (1)"})),
        (FileAnswer(True), FileAnswer(True, name="d/a.bin", result={"name": "d/a.bin"})),
        (
            FileAnswer(True, name="b", result={"id": 7}),
            FileAnswer(True, name="b", result={"name": "b", "id": 7}),
        ),
        (
            FileAnswer(True, name="b", result={"name": "c"}),
            FileAnswer(True, name="b", result={"name": "c"}),
        ),
    ],
)
def test_an_answer_comes_back(answer: FileAnswer | None, back: FileAnswer | None) -> None:
    assert parse_answer([ONE], format_answer([ONE], [answer]).decode()) == [back]


def test_a_file_without_a_path_has_its_name() -> None:
    file = ONE._replace(relative_path="")
    assert format_answer([file], [FileAnswer(True, name="a.bin")]) == b'[{"state": "whole"}]'


def test_an_answer_has_no_more_than_there_is_room_for() -> None:
    """What does not fit at all is not known, so that the client goes on."""
    files = [ONE] * 100
    text = format_answer(files, [FileAnswer(True, name="b" * 4000)] * 100)
    answers = parse_answer(files, text.decode())
    assert LARGEST_ANSWER - 5000 < len(text) <= LARGEST_ANSWER
    assert answers is not None
    assert 0 < len(answers) < 100
    long = FileAnswer(True, result={"text": "x" * LARGEST_ANSWER})
    assert parse_answer([ONE], format_answer([ONE], [long]).decode()) == [None]


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "[7]", "[{}]", '[{"state": 7}]', "[" * 100_000, '[{"state": "absent"}, {"state": "absent"}]'],
)
def test_an_answer_that_makes_no_sense_is_none(text: str) -> None:
    assert parse_answer([ONE], text) is None


@pytest.mark.parametrize(
    "said",
    [
        {"state": "unknown"},
        {"state": "hungry", "chunks": "1"},
        {"state": "partial"},
        {"state": "partial", "chunks": ""},
        {"state": "partial", "chunks": "0"},
        {"state": "partial", "chunks": "8-9"},
        {"state": "partial", "chunks": [1]},
        {"state": "whole", "name": 7},
        {"state": "whole", "result": [7]},
    ],
)
def test_of_a_file_of_which_it_says_nothing_that_makes_sense_nothing_is_known(said: dict[str, Any]) -> None:
    assert parse_answer([ONE], json.dumps([said])) == [None]
