"""The hash of one chunk: its parameter, and which there are."""

from __future__ import annotations

import hashlib

import pytest

from resumable.protocol.checksums import are_intact, digest_parameter, is_hash, label, new_hash, seal


@pytest.mark.parametrize(
    ("algorithm", "parameter", "written"),
    [
        ("sha256", "resumableChunkSha256", "SHA-256"),
        ("sha3_512", "resumableChunkSha3_512", "SHA3-512"),
        ("md5", "resumableChunkMd5", "MD5"),
        ("blake2b", "resumableChunkBlake2b", "BLAKE2B"),
    ],
)
def test_a_hash_has_a_parameter_and_a_name_for_people(algorithm: str, parameter: str, written: str) -> None:
    assert is_hash(algorithm)
    assert digest_parameter(algorithm) == parameter
    assert label(algorithm) == written


@pytest.mark.parametrize("algorithm", ["shake_128", "crc32", "", "sha257"])
def test_what_has_no_length_of_its_own_or_is_unknown_is_none(algorithm: str) -> None:
    assert not is_hash(algorithm)


def test_the_hash_is_that_of_hashlib() -> None:
    made = new_hash("sha256")
    made.update(b"abc")
    assert made.hexdigest() == hashlib.sha256(b"abc").hexdigest()


PAIRS = [("number", "1"), ("path", "a\r\nb/\udc80"), ('my"own', "x")]


def test_the_seal_of_parameters_is_the_same_however_they_are_written() -> None:
    in_a_form = [("number", "1"), ("path", "a\nb/\ufffd"), ("my%22own", "x")]
    assert seal(PAIRS) == seal(in_a_form) == "3-e2401220"
    for pairs in (PAIRS, in_a_form):
        # Others may stand around them, as those of the target do, and they may come twice.
        sealed = [*pairs, ("seal", seal(PAIRS))]
        assert are_intact([("other", "1"), *sealed, ("more", "2"), *sealed], "seal")
    assert are_intact(PAIRS, "seal")


@pytest.mark.parametrize(
    "pairs",
    [
        [("number", "3"), *PAIRS[1:], ("seal", seal(PAIRS))],
        [("numbes", "1"), *PAIRS[1:], ("seal", seal(PAIRS))],
        [*PAIRS[1:], ("seal", seal(PAIRS))],
        [*PAIRS, ("seal", "2" + seal(PAIRS)[1:])],
        [*PAIRS, ("seal", "")],
        [*PAIRS, ("seal", seal(PAIRS)), *PAIRS[1:], ("seal", seal(PAIRS))],
    ],
)
def test_parameters_that_differ_from_their_seal_are_not_intact(pairs: list[tuple[str, str]]) -> None:
    assert not are_intact(pairs, "seal")
