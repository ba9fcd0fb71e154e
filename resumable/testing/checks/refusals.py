"""Requests that make no sense: whoever sends them has to hear of it."""

from __future__ import annotations

from ..target import Target
from .base import Check, Sample, Severity, check, refused

__all__ = ["CHECKS"]

_CLIENT = "Answer 400: after a 200 the client believes that the chunk is stored."


@check(
    "no-parameters",
    Severity.MUST,
    "A file without parameters is refused.",
    f"{_CLIENT} A proxy or a form parser may have lost the parameters.",
)
def no_parameters(target: Target) -> None:
    """Send a form with nothing but a file."""
    sample = Sample.of(target, 1)
    answer = target.upload("without parameters", [], sample.content, sample.name)
    refused(target, answer, "nothing says which chunk it is")


@check(
    "no-chunk",
    Severity.SHOULD,
    "A form without a file is refused.",
    f"{_CLIENT} PHP and others pass on a form without the file if the file was too large.",
)
def no_chunk(target: Target) -> None:
    """Send a form with nothing but parameters."""
    sample = Sample.of(target, 1)
    answer = target.upload("without a file", sample.parameters(1), None, sample.name, method="multipart")
    refused(target, answer, "no chunk was sent")


@check(
    "wrong-total-size",
    Severity.SHOULD,
    "A chunk with another total size than the chunk before it is refused.",
    "Compare each chunk with the first one: another size means another file, or an edited one.",
    "chunks-in-order",
)
def wrong_total_size(target: Target) -> None:
    """Send one chunk, and the next with a larger total."""
    sample = Sample.of(target, 3)
    sample.deliver(1)
    answer = sample.send(2, changed={"total_size": str(len(sample.content) + 1)})
    refused(target, answer, "the first chunk said another resumableTotalSize")


@check(
    "wrong-count",
    Severity.SHOULD,
    "A chunk with another number of chunks than the chunk before it is refused.",
    "Compare each chunk with the first one: a file that is cut in two ways cannot be assembled.",
    "chunks-in-order",
)
def wrong_count(target: Target) -> None:
    """Send one chunk, and the next of a file with more chunks."""
    sample = Sample.of(target, 3)
    sample.deliver(1)
    answer = sample.send(2, changed={"total_chunks": "5"})
    refused(target, answer, "the first chunk said another resumableTotalChunks")


@check(
    "number-too-large",
    Severity.SHOULD,
    "A chunk whose number is larger than the number of chunks is refused.",
    _CLIENT,
)
def number_too_large(target: Target) -> None:
    """Send chunk 4 of 3."""
    _wrong_number(target, "4", "there are three chunks")


@check(
    "number-zero",
    Severity.SHOULD,
    "A chunk with the number 0 is refused.",
    f"{_CLIENT} Numbers begin with 1.",
)
def number_zero(target: Target) -> None:
    """Send chunk 0 of 3."""
    _wrong_number(target, "0", "numbers begin with 1")


@check(
    "no-number",
    Severity.SHOULD,
    "A chunk whose number is not a number is refused.",
    _CLIENT,
)
def no_number(target: Target) -> None:
    """Send chunk x of 3."""
    _wrong_number(target, "x", "its number is no number")


def _wrong_number(target: Target, number: str, why: str) -> None:
    sample = Sample.of(target, 3)
    refused(target, sample.send(1, changed={"number": number}), f"it said number {number}, and {why}")


CHECKS: tuple[Check, ...] = (
    no_parameters,
    no_chunk,
    wrong_total_size,
    wrong_count,
    number_too_large,
    number_zero,
    no_number,
)
