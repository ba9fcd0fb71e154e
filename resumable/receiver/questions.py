"""Answer questions about many files: for each what tests of its chunks would be told, if that takes no time.

A published file is found with its record and one ``stat``. An unfinished upload is opened, as for a test. Whatever else
a test may have to do is left to tests: to compare a file that was touched, to refuse the file, to wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from ..protocol.question import (
    LARGEST_QUESTION,
    FileAnswer,
    FileQuestion,
    format_answer,
    parse_question,
)
from .answers import stored_ranges
from .bounded_body import PIECE
from .identity import check_frozen, counted, key_of
from .messages import Refusal, Request, Response
from .parameters import ParameterReader
from .store.base import Look, PublishedUpload, QuickStore, Store
from .store.record import UploadRecord

__all__ = ["answer_question"]

_SECONDS = 10.0
"""After that the rest of the files is left for another question, because clients and proxies mostly wait a minute for
an answer. Only a busy server needs as long, and each cut makes it read the rest of the question once more."""


def answer_question(
    request: Request, tenant: str, store: Store, reader: ParameterReader, *, collected: bool
) -> Response:
    """Answer a question of this tenant. ``collected`` as in :meth:`PublishedUpload.counts_as_stored`.

    Raises :class:`Refusal`: 400 if the question makes no sense, 411 and 413 for its length, 501 if the store cannot
    tell of many files at once.
    """
    if not isinstance(store, QuickStore):
        raise Refusal(501, "This server cannot answer for many files at once: ask file by file.")
    files = _read(request)

    deadline = time.monotonic() + _SECONDS

    def answers(look: Look) -> Iterator[FileAnswer | None]:
        for file in files:
            yield _answer(file, tenant, store, reader, look, collected=collected)
            if time.monotonic() > deadline:
                return

    with store.lookup() as look:
        said = format_answer(files, answers(look))
    return Response(200, said + b"\n", (("Content-Type", "application/json"),))


def _read(request: Request) -> list[FileQuestion]:
    length = request.content_length
    if length is None:
        raise Refusal(411, "The request has no Content-Length: send one.")
    if length > LARGEST_QUESTION:
        raise Refusal(413, f"The question has more than {LARGEST_QUESTION} bytes: ask about fewer files at once.")
    text = bytearray()
    while piece := request.read(PIECE):
        text += piece
        if len(text) > LARGEST_QUESTION:
            raise Refusal(413, f"The question has more than {LARGEST_QUESTION} bytes: ask about fewer files at once.")
    try:
        return parse_question(bytes(text))
    except ValueError as error:
        raise Refusal(400, f"The question about many files makes no sense: {error}.") from None


def _answer(
    file: FileQuestion, tenant: str, store: Store, reader: ParameterReader, look: Look, *, collected: bool
) -> FileAnswer | None:
    try:
        record = reader.describe_file(file, tenant)
        try:
            past = look(key_of(record))
        except LookupError:
            return _opened(store, record, collected=collected)
        return FileAnswer(False) if past is None else _published(past, record, collected=collected)
    except (LookupError, OSError, TypeError, ValueError, Refusal):
        # The answer to a test says what is wrong.
        return None


def _opened(store: Store, record: UploadRecord, *, collected: bool) -> FileAnswer | None:
    upload = store.open(key_of(record))
    if upload is None:
        return FileAnswer(False)
    with upload:
        if upload.record.published is not None or upload.complete():
            return None
        check_frozen(upload.record, record)
        ranges = stored_ranges(upload, record.total_chunks)
        return None if ranges is None else FileAnswer(False, ranges)


def _published(past: PublishedUpload, record: UploadRecord, *, collected: bool) -> FileAnswer | None:
    over, same = counted(past, record, "", collected=collected)
    if not over:
        return None
    if same is None:
        return FileAnswer(False)
    return FileAnswer(True, name=same.record.published or same.record.name, result=same.record.result)
