"""Chunks in other orders, and several at once."""

from __future__ import annotations

from ..target import Target
from .base import Check, Sample, Severity, at_once, check

__all__ = ["CHECKS"]


@check(
    "last-chunk-second",
    Severity.MUST,
    "The last chunk may come before others.",
    "Finish the file when all chunks are stored, not when the one with the highest number arrives: resumable.js sends "
    "it second with prioritizeFirstAndLastChunk, and always sends several at a time.",
    "chunks-in-order",
)
def last_chunk_second(target: Target) -> None:
    """Send the first, the last, and the one between."""
    sample = Sample.of(target, 3)
    sample.deliver(1, 3, 2)
    sample.expect_whole()


@check(
    "backwards",
    Severity.MUST,
    "The first chunk may come last.",
    "Begin the upload with whichever chunk arrives first: if several are sent at a time, it can be any of them.",
    "last-chunk-second",
)
def backwards(target: Target) -> None:
    """Send the chunks from the last to the first."""
    sample = Sample.of(target, 3)
    sample.deliver(3, 2, 1)
    sample.expect_whole()


@check(
    "first-chunks-at-once",
    Severity.MUST,
    "The first three chunks of a file may arrive at the same time.",
    "Do not fail if another request creates the directory or the record of the upload at the same moment: "
    "resumable.js begins with three requests.",
    "backwards",
)
def first_chunks_at_once(target: Target) -> None:
    """Send three chunks of six so that their last bytes come together, then the others."""
    for _ in range(target.rounds):
        sample = Sample.of(target, 6)
        at_once(target, sample, (1, 2, 3))
        sample.deliver(4, 5, 6)
        sample.expect_whole()


@check(
    "last-chunks-at-once",
    Severity.MUST,
    "The last two missing chunks may arrive at the same time.",
    "Assemble the file under a lock: each of the two requests sees all chunks, and only one may act on it.",
    "last-chunk-second",
)
def last_chunks_at_once(target: Target) -> None:
    """Send two chunks of four, and the others so that their last bytes come together."""
    for _ in range(target.rounds):
        sample = Sample.of(target, 4)
        sample.deliver(1, 2)
        at_once(target, sample, (3, 4))
        sample.expect_whole()


@check(
    "same-chunk-at-once",
    Severity.SHOULD,
    "The same chunk may arrive twice at the same time.",
    "Write a chunk under a temporary name first, or refuse the second request with 503: if a connection is lost, "
    "browsers repeat a request by themselves, while the first one may still be running.",
    "repeated-chunk",
)
def same_chunk_at_once(target: Target) -> None:
    """Send the second of three chunks twice, so that their last bytes come together."""
    for _ in range(target.rounds):
        sample = Sample.of(target, 3)
        sample.deliver(1)
        at_once(target, sample, (2, 2))
        sample.deliver(3)
        sample.expect_whole()


CHECKS: tuple[Check, ...] = (
    last_chunk_second,
    backwards,
    first_chunks_at_once,
    last_chunks_at_once,
    same_chunk_at_once,
)
