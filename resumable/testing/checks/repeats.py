"""Chunks that come again, or not in full: what a bad network makes of an upload."""

from __future__ import annotations

from ..target import Target
from .base import Check, Sample, Severity, check, need_files, refused

__all__ = ["CHECKS"]


@check(
    "repeated-chunk",
    Severity.MUST,
    "A chunk that is sent twice is accepted twice, and stored once.",
    "Write a chunk to its place instead of appending it: a client that did not get the answer sends it again.",
    "chunks-in-order",
)
def repeated_chunk(target: Target) -> None:
    """Send the second chunk of three twice."""
    sample = Sample.of(target, 3)
    sample.deliver(1, 2, 2, 3)
    sample.expect_whole()


@check(
    "repeated-last-chunk",
    Severity.MUST,
    "The last chunk may be sent again after the file is finished.",
    "Answer 200 and leave the file alone: the answer to this chunk takes longest and is lost most often, and a client "
    "that then gets an error reports a failed upload.",
    "chunks-in-order",
)
def repeated_last_chunk(target: Target) -> None:
    """Send three chunks, and the last one again."""
    sample = Sample.of(target, 3)
    sample.deliver(1, 2, 3)
    sample.expect_whole()
    sample.deliver(3)
    sample.expect_whole()


@check(
    "file-sent-again",
    Severity.MUST,
    "A finished file may be sent again.",
    "Accept the chunks, and store them again or drop them: people send files twice, and that must neither fail nor "
    "double the file.",
    "repeated-last-chunk",
)
def file_sent_again(target: Target) -> None:
    """Send three chunks twice."""
    sample = Sample.of(target, 3)
    sample.deliver()
    sample.expect_whole()
    sample.deliver()
    sample.expect_whole()


@check(
    "edited-file",
    Severity.SHOULD,
    "A file that was edited and kept its identifier is stored.",
    "Let a chunk that arrives after the end begin a new upload, and do not drop it if it differs from the stored "
    "file: the identifiers of resumable.js are size and name, which an edited file may keep.",
    "file-sent-again",
)
def edited_file(target: Target) -> None:
    """Send three chunks, and three others under the same names."""
    need_files(target)
    sample = Sample.of(target, 3)
    sample.deliver()
    sample.expect_whole()
    edited = Sample.of(target, 3, name=sample.name, identifier=sample.identifier)
    edited.deliver()
    edited.expect_whole()


@check(
    "cut-chunk",
    Severity.MUST,
    "A chunk whose connection broke is not stored, and may be sent again.",
    "Before you store a chunk, compare the length of the body with its Content-Length, or the chunk with "
    "resumableCurrentChunkSize: some frameworks pass on a partial body as if it were whole.",
    "chunks-in-order",
    "missing-chunk",
)
def cut_chunk(target: Target) -> None:
    """Send one chunk, half of the next, and then all of it."""
    sample = Sample.of(target, 3)
    sample.deliver(1)
    sample.cut(2)
    sample.expect_missing(2)
    sample.deliver(2, 3)
    sample.expect_whole()


@check(
    "cut-repeat",
    Severity.MUST,
    "A stored chunk is not lost if the connection breaks while it is sent again.",
    "Write a chunk under another name first, and let it take the place of the stored one when it is whole: a client "
    "that did not get the answer sends the chunk again, and may lose its connection then, too.",
    "stored-chunk",
    "cut-chunk",
)
def cut_repeat(target: Target) -> None:
    """Send two chunks of three, half of the second one once more, and then the last."""
    sample = Sample.of(target, 3)
    sample.deliver(1, 2)
    sample.cut(2)
    sample.expect_stored(2)
    sample.deliver(3)
    sample.expect_whole()


@check(
    "short-chunk",
    Severity.SHOULD,
    "A chunk with fewer bytes than its resumableCurrentChunkSize is refused.",
    "Compare the two, and answer 400: a proxy or a client that cuts bodies would otherwise damage the file unnoticed.",
)
def short_chunk(target: Target) -> None:
    """Send half of a chunk as if it were all."""
    sample = Sample.of(target, 3)
    answer = sample.send(1, data=sample.data(1)[: target.chunk_size // 2])
    refused(target, answer, "half of the chunk was sent")


CHECKS: tuple[Check, ...] = (
    repeated_chunk,
    repeated_last_chunk,
    file_sent_again,
    edited_file,
    cut_chunk,
    cut_repeat,
    short_chunk,
)
