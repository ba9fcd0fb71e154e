"""One question about many files, which a client may put to a receiver of this package, and the answer.

The client sends ``POST /?resumableAsk`` with a list of files as JSON::

    [{"identifier": "3-a", "size": 3, "chunkSize": 1048576, "totalChunks": 1, "fileName": "a", "relativePath": "d/a"}]

and gets a list in the same order, which may be shorter, but for files that it may ask for again::

    [{"state": "whole", "name": "d/a (1)", "result": {"id": 7}}, {"state": "partial", "chunks": "1-61,64"},
     {"state": "absent"}, {"state": "unknown"}]

Each answer says what tests of the chunks of that file would have said. ``unknown`` says nothing: only a test finds out.
The ``name`` is left out if it is the one that the client gave the file, the ``result`` if the application gave none.
Whoever does not understand the question answers anything else, and is asked file by file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .parameters import well_formed
from .verdict import format_ranges, parse_ranges

__all__ = [
    "LARGEST_ANSWER",
    "LARGEST_QUESTION",
    "MOST_FILES",
    "QUESTION_PARAMETER",
    "FileAnswer",
    "FileQuestion",
    "format_answer",
    "format_question",
    "is_question",
    "parse_answer",
    "parse_question",
]

QUESTION_PARAMETER = "resumableAsk"
"""The parameter in the query of a question. It has no value."""

MOST_FILES = 1000
"""How many files one question may have."""

LARGEST_QUESTION = 2**20
"""The bytes that a question may have."""

LARGEST_ANSWER = 60_000
"""The bytes that an answer has at most: a client keeps no more of it than of any other answer."""

_MOST_DIGITS = 10**19
_UNKNOWN = '{"state": "unknown"}'
_ABSENT = '{"state": "absent"}'


class FileQuestion(NamedTuple):
    """What a question says of one file. Sizes are bytes."""

    identifier: str
    size: int
    chunk_size: int
    total_chunks: int
    file_name: str
    relative_path: str

    @property
    def name(self) -> str:
        """The name that the client gave the file."""
        return self.relative_path or self.file_name


class FileAnswer(NamedTuple):
    """What an answer says of one file: that it is ``whole``, or which ranges of chunk indexes are ``stored`` of it.
    ``result`` is what a receiver tells of a whole file, as in the answer to a test; ``name`` is that under which the
    file was published."""

    whole: bool
    stored: tuple[tuple[int, int], ...] = ()
    name: str | None = None
    result: Mapping[str, Any] | None = None


def is_question(query: str) -> bool:
    """Return whether the query string is that of a question."""
    # Mostly there is none.
    return QUESTION_PARAMETER in query and QUESTION_PARAMETER in {part.partition("=")[0] for part in query.split("&")}


def format_question(files: Iterable[FileQuestion]) -> tuple[bytes, int]:
    """Return the body of a question, and how many of the files are in it: as many as there may be."""
    parts: list[str] = []
    room = LARGEST_QUESTION - 2
    for file in files:
        part = json.dumps(
            {
                "identifier": well_formed(file.identifier),
                "size": file.size,
                "chunkSize": file.chunk_size,
                "totalChunks": file.total_chunks,
                "fileName": well_formed(file.file_name),
                "relativePath": well_formed(file.relative_path),
            }
        )
        room -= len(part) + 1
        if room < 0 or len(parts) == MOST_FILES:
            break
        parts.append(part)
    return f"[{','.join(parts)}]".encode(), len(parts)


def parse_question(text: bytes) -> list[FileQuestion]:
    """Return what the body of a question says. Raises ValueError if it makes no sense, or has too many files."""
    try:
        said = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(said, list) or not said:
        raise ValueError("it is not a list of files")
    if len(said) > MOST_FILES:
        raise ValueError(f"it has {len(said)} files, and may have {MOST_FILES}")
    return [_file(each) for each in said]


def _file(said: Any) -> FileQuestion:
    if not isinstance(said, dict):
        raise ValueError("a file in it is not an object")
    return FileQuestion(
        identifier=_text(said, "identifier"),
        size=_number(said, "size"),
        chunk_size=_number(said, "chunkSize"),
        total_chunks=_number(said, "totalChunks"),
        file_name=_text(said, "fileName"),
        relative_path=_text(said, "relativePath"),
    )


def _number(said: dict[str, Any], name: str) -> int:
    value = said.get(name)
    if type(value) is not int or not 0 <= value < _MOST_DIGITS:
        raise ValueError(f"the {name} of a file in it is not a whole number")
    return value


def _text(said: dict[str, Any], name: str) -> str:
    value = said.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"the {name} of a file in it is not a string")
    return well_formed(value)


def format_answer(files: Sequence[FileQuestion], answers: Iterable[FileAnswer | None]) -> bytes:
    """Return the body of the answers to these files, as many as there is room for. None is an unknown one."""
    parts: list[str] = []
    room = LARGEST_ANSWER - 2
    for file, answer in zip(files, answers, strict=False):
        part = _formatted(file, answer)
        if len(part) > LARGEST_ANSWER - 3:
            part = _UNKNOWN
        room -= len(part) + 1
        if room < 0:
            break
        parts.append(part)
    return f"[{','.join(parts)}]".encode()


def _formatted(file: FileQuestion, answer: FileAnswer | None) -> str:
    if answer is None:
        return _UNKNOWN
    if not answer.whole:
        if not answer.stored:
            return _ABSENT
        return json.dumps({"state": "partial", "chunks": format_ranges(iter(answer.stored))})
    said: dict[str, Any] = {"state": "whole"}
    if answer.name not in (None, file.name):
        said["name"] = answer.name
    if answer.result:
        said["result"] = dict(answer.result)
    return json.dumps(said)


def parse_answer(files: Sequence[FileQuestion], text: str) -> list[FileAnswer | None] | None:
    """Return what an answer says of the first of these files. None is what it says nothing of, and None instead of the
    list is an answer that makes no sense: whoever gave it does not know the question."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, list) or not 0 < len(said) <= len(files):
        return None
    if not all(isinstance(each, dict) and isinstance(each.get("state"), str) for each in said):
        return None
    return [_answer(file, each) for file, each in zip(files, said, strict=False)]


def _answer(file: FileQuestion, said: dict[str, Any]) -> FileAnswer | None:
    state = said["state"]
    if state == "whole":
        name, result = said.get("name", file.name), said.get("result", {})
        if not isinstance(name, str) or not isinstance(result, dict):
            return None
        return FileAnswer(True, name=name, result={"name": name, **result})
    if state == "absent":
        return FileAnswer(False)
    chunks = said.get("chunks")
    if state != "partial" or not isinstance(chunks, str):
        return None
    stored = parse_ranges(chunks, file.total_chunks)
    return FileAnswer(False, stored) if stored else None
