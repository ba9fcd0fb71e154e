"""What the server says when it is asked for a chunk."""

from __future__ import annotations

from ..target import Target
from .base import Check, CheckFailed, Sample, Severity, check, refused

__all__ = ["CHECKS"]


@check(
    "missing-chunk",
    Severity.MUST,
    "A chunk that was never sent is reported as missing.",
    "Answer a GET for such a chunk with 204. Clients do not send a chunk if the answer is 200 or 201, so a page or a "
    "catch-all route that answers 200 loses files.",
)
def missing_chunk(target: Target) -> None:
    """Ask for two chunks of a file that was never sent."""
    Sample.of(target, 3).expect_missing(1, 3)


@check(
    "missing-empty-file",
    Severity.MUST,
    "The chunk of an empty file that was never sent is reported as missing.",
    "Look for the chunk itself, and do not count bytes: an empty file has all of its bytes before it is sent.",
    "missing-chunk",
)
def missing_empty_file(target: Target) -> None:
    """Ask for the chunk of an empty file."""
    Sample(target, 0).expect_missing(1)


@check(
    "status-of-missing",
    Severity.SHOULD,
    "The answer for a missing chunk is not an error.",
    "Answer 204, or 404 if no client is flow.js: browsers show errors in their console, monitoring counts them as "
    "errors of the server, and flow.js gives up on 404, 500 and some others.",
)
def status_of_missing(target: Target) -> None:
    """Ask for a chunk that was never sent."""
    answer = Sample.of(target, 3).ask(2)
    flow = target.names.chunk_number == "flowChunkNumber"
    if target.succeeded(answer):
        return  # missing-chunk is about that
    if answer.status not in ((202, 204, 206) if flow else (202, 204, 206, 404)):
        raise CheckFailed(str(answer))


@check(
    "stored-chunk",
    Severity.SHOULD,
    "A stored chunk of an unfinished file is reported as stored.",
    "Answer a GET for such a chunk with 200: without that, an interrupted upload starts over.",
    "chunks-in-order",
)
def stored_chunk(target: Target) -> None:
    """Send the first chunk of three, and ask for it."""
    sample = Sample.of(target, 3)
    sample.deliver(1)
    sample.expect_stored(1)


@check(
    "gaps",
    Severity.MUST,
    "The server knows which chunks are stored, even if one between them is missing.",
    "Remember each chunk by its number: the count and the highest number say nothing about the others.",
    "stored-chunk",
    "missing-chunk",
)
def gaps(target: Target) -> None:
    """Send the first and the third chunk of four, and ask for all."""
    sample = Sample.of(target, 4)
    sample.deliver(1, 3)
    sample.expect_stored(1, 3)
    sample.expect_missing(2, 4)


@check(
    "other-identifier",
    Severity.MUST,
    "Files of the same name and size are told apart by their identifiers.",
    "Use resumableIdentifier, which exists for this: if you go by name and size, an edited file is mixed with its old "
    "version.",
    "stored-chunk",
    "missing-chunk",
)
def other_identifier(target: Target) -> None:
    """Send the first chunk of one file, and ask for that of another with its name and size."""
    one = Sample.of(target, 3)
    one.deliver(1)
    Sample.of(target, 3, name=one.name).expect_missing(1)


@check(
    "similar-identifiers",
    Severity.SHOULD,
    "Identifiers that differ only in punctuation, or in upper and lower case, are told apart.",
    "Use the identifier as it is, or a hash of it: without punctuation, a/b and ab would be one file.",
    "other-identifier",
)
def similar_identifiers(target: Target) -> None:
    """Send the first chunk of one file, and ask for those of two others with its name and size."""
    one = Sample.of(target, 3)
    one.identifier += "-a.b"
    one.deliver(1)
    for end in ("-ab", "-A.b"):
        other = Sample.of(target, 3, name=one.name, identifier=one.identifier.replace("-a.b", end))
        other.expect_missing(1)


@check(
    "test-without-identifier",
    Severity.SHOULD,
    "A test that does not name a file is not answered with success.",
    "Answer 400: a client whose parameters were lost on the way would otherwise send nothing.",
    "missing-chunk",
)
def test_without_identifier(target: Target) -> None:
    """Ask for a chunk without an identifier, name and path."""
    names = target.names
    left_out = {names.namespace + str(name) for name in (names.identifier, names.file_name, names.relative_path)}
    pairs = [pair for pair in Sample.of(target, 3).parameters(1) if pair[0] not in left_out]
    refused(target, target.test("test without an identifier", pairs), "it did not say which file")


@check(
    "asking-changes-nothing",
    Severity.MUST,
    "Asking for a chunk does not change whether it is stored.",
    "Create nothing in response to a GET: no file, no record.",
    "chunks-in-order",
    "missing-chunk",
)
def asking_changes_nothing(target: Target) -> None:
    """Ask for the chunks twice, and send them."""
    sample = Sample.of(target, 3)
    sample.expect_missing(1, 1)
    sample.deliver()
    sample.expect_whole()


@check(
    "resume",
    Severity.MUST,
    "Another client can continue where the first one stopped.",
    "Keep unfinished uploads under their identifiers, not in a session that depends on a cookie or a connection: "
    "after a crash the client has neither.",
    "stored-chunk",
)
def resume(target: Target) -> None:
    """Send two chunks of four, and have a new client send what it is told is missing."""
    sample = Sample.of(target, 4)
    sample.deliver(1, 2)
    with target.other_client() as other:
        sample.expect_stored(1, 2, session=other)
        sample.deliver(3, 4, session=other)
    sample.expect_whole()


CHECKS: tuple[Check, ...] = (
    missing_chunk,
    missing_empty_file,
    status_of_missing,
    stored_chunk,
    gaps,
    other_identifier,
    similar_identifiers,
    test_without_identifier,
    asking_changes_nothing,
    resume,
)
