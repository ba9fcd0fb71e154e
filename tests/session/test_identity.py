"""What an upload is known by, where there is neither a name nor a time to tell it by."""

from __future__ import annotations

import io

import pytest
from support.scripted_server import ScriptedServer

from resumable import Resumable, identifiers


def test_bytes_of_one_name_and_size_are_told_apart_by_their_content(receiver_url: str) -> None:
    for content in (b"first", b"other"):
        with Resumable(receiver_url) as session:
            file = session.add_file(content, relative_path="note.txt")
        assert file.is_complete()
        assert file.bytes_skipped == 0
    with Resumable(receiver_url) as session:
        session.add_file(b"first", relative_path="note.txt").wait(60)
        assert session.bytes_skipped == 5


def test_a_stream_is_told_apart_by_its_content_on_a_worker(receiver_url: str) -> None:
    for content in (b"first", b"other"):
        with Resumable(receiver_url) as session:
            file = session.add_file(io.BufferedReader(io.BytesIO(content)), relative_path="stream.bin")
        assert file.unique_identifier == identifiers.without_time(file._entry.source.path, "stream.bin")
        assert file.bytes_skipped == 0


@pytest.mark.parametrize("given", ["unique_identifier", "generate_unique_identifier"])
def test_two_names_of_other_bytes_than_utf8_are_two_uploads(given: str, wire: ScriptedServer) -> None:
    names = [name.decode("utf-8", "surrogateescape") for name in (b"caf\xe9", b"caf\xe8")]
    identify = (lambda _path, name: name) if given == "generate_unique_identifier" else None
    with Resumable(wire.url, generate_unique_identifier=identify) as session:
        for name in names:
            session.add_file(b"x", relative_path=name, unique_identifier=None if identify else name)
    assert {request.fields["resumableIdentifier"] for request in wire.uploads} == {"caf\ufffde9", "caf\ufffde8"}
