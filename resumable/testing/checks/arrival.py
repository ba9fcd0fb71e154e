"""What every upload needs: chunks are taken, whichever way the file is cut, and the file is what was sent."""

from __future__ import annotations

from ..target import Target
from .base import Check, Sample, Severity, check, need_files

__all__ = ["CHECKS"]


@check(
    "small-file",
    Severity.MUST,
    "A file that is smaller than a chunk is stored.",
    "Treat a single chunk as the whole file if resumableTotalChunks is 1, whatever resumableChunkSize says.",
)
def small_file(target: Target) -> None:
    """Send half a chunk."""
    sample = Sample.of(target, 0.5)
    sample.deliver()
    sample.expect_whole()


@check(
    "chunks-in-order",
    Severity.MUST,
    "A file of three chunks, sent one after the other, is stored.",
    "Answer each chunk with 200 or 201, and assemble the file when all of resumableTotalChunks are stored.",
)
def chunks_in_order(target: Target) -> None:
    """Send three chunks of the same size."""
    sample = Sample.of(target, 3)
    sample.deliver()
    sample.expect_whole()


@check(
    "long-last-chunk",
    Severity.MUST,
    "The last chunk may be longer than the others, up to twice their size less one byte.",
    "Accept what resumable.js sends by default: the last chunk is the rest of the file, up to almost twice as much. "
    "Limits of the request size must allow for it.",
    "chunks-in-order",
)
def long_last_chunk(target: Target) -> None:
    """Send three chunks, the last of which is one byte less than twice as long."""
    sample = Sample(target, 4 * target.chunk_size - 1)
    sample.deliver()
    sample.expect_whole()


@check(
    "short-last-chunk",
    Severity.MUST,
    "The last chunk may be shorter than the others.",
    "Accept what resumable.js sends with forceChunkSize: rely on resumableTotalChunks, and do not compute the number "
    "of chunks from the sizes.",
    "chunks-in-order",
)
def short_last_chunk(target: Target) -> None:
    """Send four chunks, the last of which is half as long."""
    sample = Sample.of(target, 3.5, force=True)
    sample.deliver()
    sample.expect_whole()


@check(
    "tiny-last-chunk",
    Severity.MUST,
    "The last chunk may be a single byte.",
    "Finish the file when all of its chunks are stored, not when about as many bytes are.",
    "short-last-chunk",
)
def tiny_last_chunk(target: Target) -> None:
    """Send three chunks, the last of which is one byte."""
    sample = Sample(target, 2 * target.chunk_size + 1, force=True)
    sample.deliver()
    sample.expect_whole()


@check(
    "many-chunks",
    Severity.MUST,
    "A file of more than nine chunks is assembled in the order of their numbers.",
    "Sort the chunks by number, not by name: as text, 10 comes before 2.",
    "chunks-in-order",
)
def many_chunks(target: Target) -> None:
    """Send eleven chunks."""
    sample = Sample.of(target, 11)
    sample.deliver()
    sample.expect_whole()


@check(
    "any-bytes",
    Severity.MUST,
    "A chunk may contain any bytes: zeros, line ends, text that is not UTF-8, what looks like the end of a form.",
    "Read the file part of the form as bytes up to the boundary, and write it in binary mode.",
)
def any_bytes(target: Target) -> None:
    """Send one chunk that begins and ends with line ends and has all bytes."""
    sample = Sample.of(target, 1)
    start = b"\r\n--\r\n\x1a\x00" + bytes(range(256)) + sample.content
    sample.content = start[: target.chunk_size - 6] + b"\r\n--\r\n"
    sample.deliver()
    sample.expect_whole()


@check(
    "empty-file",
    Severity.SHOULD,
    "An empty file is stored.",
    "Accept a single chunk of no bytes, with 0 as its resumableCurrentChunkSize and resumableTotalSize.",
)
def empty_file(target: Target) -> None:
    """Send an empty chunk. Its bytes are found everywhere, so only the answer counts."""
    Sample(target, 0).deliver()


@check(
    "two-files",
    Severity.MUST,
    "The chunks of two files may alternate.",
    "Store chunks under the resumableIdentifier of their file, not per client or session.",
    "chunks-in-order",
)
def two_files(target: Target) -> None:
    """Send three chunks each, in turns."""
    first, second = Sample.of(target, 3), Sample.of(target, 3)
    for number in (1, 2, 3):
        first.deliver(number)
        second.deliver(number)
    first.expect_whole()
    second.expect_whole()


@check(
    "two-files-of-one-name",
    Severity.MUST,
    "Two files of the same name and size may be uploaded at the same time, and are not mixed.",
    "Store chunks under the resumableIdentifier of their file, not under its name and size.",
    "two-files",
)
def two_files_of_one_name(target: Target) -> None:
    """Send three chunks each under one name, in turns."""
    need_files(target)
    first = Sample.of(target, 3)
    second = Sample.of(target, 3, name=first.name)
    for number in (1, 2):
        first.deliver(number)
        second.deliver(number)
    first.deliver(3)
    first.expect_whole()
    second.deliver(3)
    # A server that has one place for the name keeps one of the two; same-name is about that.
    if not target.has(second.content):
        first.expect_whole()


CHECKS: tuple[Check, ...] = (
    small_file,
    chunks_in_order,
    long_last_chunk,
    short_last_chunk,
    tiny_last_chunk,
    many_chunks,
    any_bytes,
    empty_file,
    two_files,
    two_files_of_one_name,
)
