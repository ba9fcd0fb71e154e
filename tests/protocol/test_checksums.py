"""The hash of one chunk: its parameter, and which there are."""

from __future__ import annotations

import hashlib

import pytest

from resumable.protocol.checksums import digest_parameter, is_hash, label, new_hash


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
