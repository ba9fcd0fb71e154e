from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.sample import Sample, request

from resumable.receiver import FileStore, Receiver, Request

PARTS = ["/page.css", "/page.js"]


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "TRACE", "get", "PROPFIND", ""])
def test_other_methods_are_refused_with_those_that_are_not(receiver: Receiver, method: str) -> None:
    for path, allowed in (("/", "GET, HEAD, POST, PUT, PATCH"), ("/uploads", "GET, HEAD"), ("/page.js", "GET, HEAD")):
        answer = receiver.handle(Request(method, path, query=Sample().query(1)))
        assert (answer.status, dict(answer.headers)["Allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/other", "//", "/../", "/.resumable/", "/uploads/", "/page.html", "uploads"])
def test_other_paths_are_not_found(receiver: Receiver, path: str) -> None:
    assert receiver.handle(replace(Sample().octet(1), path=path)).status == 404
    assert receiver.handle(Request("GET", path)).status == 404


def test_a_request_that_asks_for_no_chunk_gets_the_page(receiver: Receiver) -> None:
    answer = receiver.handle(Request("GET"))
    assert answer.status == 200
    assert answer.body.startswith(b"<!doctype html>")
    headers = dict(answer.headers)
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert receiver.handle(Request("HEAD")).headers == answer.headers
    for part in PARTS:
        assert receiver.handle(Request("GET", part)).status == 200


def test_a_request_with_a_query_or_a_body_is_a_test(receiver: Receiver) -> None:
    assert b"resumableChunkNumber is missing" in receiver.handle(Request("GET", query="a=1")).body
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert receiver.handle(request(Sample().query(1).encode(), form, method="GET")).status == 204


def test_the_page_needs_no_token_and_what_it_shows_does(root: Path) -> None:
    receiver = Receiver(root, token="s3cret")
    for path in ("/", *PARTS):
        assert receiver.handle(Request("GET", path)).status == 200
    assert receiver.handle(Request("GET", "/uploads")).status == 401
    known = {"authorization": "Bearer s3cret"}
    assert receiver.handle(Request("GET", "/uploads", headers=known)).status == 200


def test_a_receiver_without_a_page_has_none(root: Path) -> None:
    receiver = Receiver(root, page=False)
    assert b"resumableChunkNumber is missing" in receiver.handle(Request("GET")).body
    for part in PARTS:
        assert receiver.handle(Request("GET", part)).status == 404
    assert receiver.handle(Request("GET", "/uploads")).status == 200


@pytest.mark.parametrize(
    ("mount", "location"),
    [("/up/load", "/up/load/"), ("//evil.example", "/evil.example/"), ("/a b\r\n", "/a%20b%0D%0A/")],
)
def test_the_page_is_behind_a_slash_so_that_its_parts_are_found(receiver: Receiver, mount: str, location: str) -> None:
    answer = receiver.handle(Request("GET", "", mount=mount))
    assert (answer.status, dict(answer.headers)["Location"]) == (308, location)
    assert Sample().test(receiver, 1).status == 204
    assert receiver.handle(replace(Sample().octet(1), path="", mount=mount)).status == 200
    assert receiver.handle(Request("GET", "")).status == 200


def test_the_uploads_are_listed_the_newest_first(receiver: Receiver) -> None:
    def listed() -> list[dict[str, object]]:
        answer = receiver.handle(Request("GET", "/uploads"))
        assert (answer.status, dict(answer.headers)["Content-Type"]) == (200, "application/json")
        return json.loads(answer.body)["uploads"]  # type: ignore[no-any-return]

    assert listed() == []
    Sample(identifier="done", relative_path="dir/dòne").send(receiver)
    Sample(bytes(100), 30, identifier="open", relative_path="open").send(receiver, 2, 3)
    uploads = listed()
    assert all(isinstance(upload.pop("touched"), float) for upload in uploads)
    # The last chunk has what is left, so these are 30 and 40 bytes.
    assert sorted(uploads, key=lambda upload: str(upload["name"])) == [
        {
            "name": "dir/dòne",
            "path": "dir/dòne",
            "total_size": 20,
            "stored_bytes": 20,
            "stored_chunks": 2,
            "total_chunks": 2,
            "state": "done",
            "url": None,
        },
        {
            "name": "open",
            "path": "open",
            "total_size": 100,
            "stored_bytes": 70,
            "stored_chunks": 2,
            "total_chunks": 3,
            "state": "open",
            "url": None,
        },
    ]
    times = [float(str(upload["touched"])) for upload in listed()]
    assert times == sorted(times, reverse=True)


def test_the_list_says_what_the_parameters_are_called(root: Path) -> None:
    names = Sample().names._replace(namespace="up_", chunk_number="part", type=None)
    answer = Receiver(root, names=names).handle(Request("GET", "/uploads"))
    parameters = json.loads(answer.body)["parameters"]
    assert parameters.keys() == set(names._fields) - {"file", "namespace"}
    assert (parameters["chunk_number"], parameters["identifier"]) == ("up_part", "up_resumableIdentifier")
    assert parameters["type"] is None


@pytest.mark.once
def test_at_most_200_uploads_are_listed_and_only_those_of_the_tenant(root: Path) -> None:
    store = FileStore(root, fsync="never")
    receiver = Receiver(store, tenant=lambda request: request.headers.get("x-user", ""))
    for number in range(201):
        Sample(identifier=str(number), relative_path=str(number)).send(receiver, 1)
    Sample(identifier="other", headers={"x-user": "me"}).send(receiver, 1)
    listed = [
        len(json.loads(receiver.handle(Request("GET", "/uploads", headers=headers)).body)["uploads"])
        for headers in ({}, {"x-user": "me"}, {"x-user": "you"})
    ]
    assert listed == [200, 1, 0]
