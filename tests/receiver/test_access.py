from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.sample import Sample

from resumable.errors import OptionError
from resumable.receiver import (
    FileStore,
    Receiver,
    Refusal,
    Request,
)

OURS = "https://files.example.org"


def receiving(root: Path, **options: Any) -> Receiver:
    return Receiver(FileStore(root, fsync="never"), **options)


def preflight(origin: str, wanted: str = "content-type", **headers: str) -> Request:
    asked = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": wanted}
    return Request("OPTIONS", headers={**asked, **headers})


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 204),
        ("LocalHost:8080", 204),
        ("localhost.", 204),
        ("127.0.0.1:8080", 204),
        ("[::1]:8080", 204),
        ("192.0.2.7", 204),
        ("", 204),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("evil.example:127", 403),
        ("127.0.0.1.evil.example", 403),
        ("[::1].evil.example", 403),
        ("[evil.example]", 403),
        ("[", 403),
        ("a\r\nb", 403),
    ],
)
def test_a_request_for_the_name_of_another_host_is_refused(root: Path, host: str, status: int) -> None:
    answer = Sample(headers={"host": host}).test(receiving(root), 1)
    assert answer.status == status
    if status == 403:
        assert b"allowed_hosts" in answer.body
        assert b"\r" not in answer.body


def test_hosts_can_be_allowed_by_name_later_or_all(root: Path) -> None:
    there = Sample(headers={"host": "Files.example.org:443"})
    assert there.test(receiving(root, allowed_hosts=["files.EXAMPLE.org"]), 1).status == 204
    assert Sample(headers={"host": "localhost"}).test(receiving(root, allowed_hosts=["a.b"]), 1).status == 403
    assert there.test(receiving(root, allowed_hosts=None), 1).status == 204
    receiver = receiving(root)
    assert there.test(receiver, 1).status == 403
    receiver.allow_host("files.example.org")
    receiver.allow_host("::")
    assert there.test(receiver, 1).status == 204


@pytest.mark.parametrize("hosts", [["*"], ["a:1"], ["http://a"], [""], "localhost"])
def test_hosts_that_are_none_are_an_error(root: Path, hosts: Any) -> None:
    with pytest.raises(OptionError, match="allowed_hosts"):
        receiving(root, allowed_hosts=hosts)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://localhost:8080", 200),
        ("HTTP://LOCALHOST:8080", 200),
        (OURS, 200),
        ("null", 403),
        ("", 403),
        ("http://localhost:8081", 403),
        ("http://localhost", 403),
        ("https://evil.example", 403),
        ("https://files.example.org.evil.example", 403),
        ("https://evilfiles.example.org", 403),
        ("http://files.example.org", 403),
        ("https://files.example.org:444", 403),
        ("https://files.example.org/", 403),
        ("localhost:8080", 403),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_an_upload_from_a_page_of_others_is_refused_before_its_body_is_read(
    root: Path, method: str, origin: str | None, status: int
) -> None:
    headers = {"host": "localhost:8080"} | ({} if origin is None else {"origin": origin})
    request = Sample(headers=headers).octet(1, method=method)
    if status == 403:

        def read(size: int) -> bytes:
            raise AssertionError("the body was read")

        request = replace(request, read=read)
    answer = receiving(root, allowed_origins=[OURS]).handle(request)
    assert answer.status == status
    assert root.exists() == (status == 200)


def test_without_a_host_no_origin_is_the_same(root: Path) -> None:
    assert receiving(root).handle(Sample(headers={"origin": "http://"}).octet(1)).status == 403


def test_a_page_of_others_reads_nothing(root: Path) -> None:
    for receiver in (receiving(root), receiving(root, allowed_origins=[OURS])):
        answer = Sample(headers={"origin": "https://evil.example"}).test(receiver, 1)
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_a_page_of_an_allowed_origin_reads_every_answer_without_cookies(root: Path) -> None:
    receiver = receiving(root, allowed_origins=[OURS], token="s3cret")
    sample = Sample(headers={"origin": OURS, "authorization": "Bearer s3cret"})
    for answer in (
        sample.test(receiver, 1),
        receiver.handle(sample.octet(1)),
        receiver.handle(Request("GET", "/nothing", headers={"origin": OURS})),
        replace(sample, headers={"origin": OURS}).test(receiver, 1),
        receiver.handle(preflight(OURS)),
        receiver.refuse(Request("POST", headers={"origin": OURS}), Refusal(413, "Too much.")),
    ):
        headers = dict(answer.headers)
        assert headers["Access-Control-Allow-Origin"] == OURS
        assert headers["Vary"] == "Origin"
        exposed = headers["Access-Control-Expose-Headers"].split(", ")
        own = {"Server", "File", "Name", "Stored-Chunks", "Limit", "Chunk-Size", "Order", "Max-Uploads"}
        assert {"Retry-After", *(f"Resumable-{name}" for name in own)} == set(exposed)
        assert "Access-Control-Allow-Credentials" not in headers


def test_answers_to_others_are_not_kept_for_an_allowed_origin(root: Path) -> None:
    receiver = receiving(root, allowed_origins=[OURS])
    assert ("Vary", "Origin") in Sample().test(receiver, 1).headers


def test_a_preflight_needs_no_token_and_names_what_is_allowed(root: Path) -> None:
    receiver = receiving(root, allowed_origins=[OURS], token="s3cret")
    answer = receiver.handle(preflight(OURS, "authorization, content-type"))
    headers = dict(answer.headers)
    assert (answer.status, answer.body) == (204, b"")
    assert headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST, PUT, PATCH"
    assert headers["Access-Control-Allow-Headers"] == "authorization, content-type"


@pytest.mark.parametrize("wanted", ["", "a\r\nSet-Cookie: b", "é", "x" * 1025])
def test_a_preflight_that_names_no_headers_is_told_of_none(root: Path, wanted: str) -> None:
    answer = receiving(root, allowed_origins=[OURS]).handle(preflight(OURS, wanted))
    assert answer.status == 204
    assert "Access-Control-Allow-Headers" not in dict(answer.headers)


@pytest.mark.parametrize("origin", ["null", "https://evil.example", OURS + ".evil.example", "*"])
def test_a_preflight_of_others_is_a_method_that_is_not_there(root: Path, origin: str) -> None:
    for receiver in (receiving(root), receiving(root, allowed_origins=[OURS])):
        answer = receiver.handle(preflight(origin))
        assert answer.status == 405
        assert ("Allow", "GET, HEAD, POST, PUT, PATCH") in answer.headers


@pytest.mark.parametrize(
    "origins", [["*"], ["null"], ["https://a/"], ["https://*.a"], ["https://A"], ["a.b"], [""], "https://a"]
)
def test_origins_that_are_none_are_an_error(root: Path, origins: Any) -> None:
    with pytest.raises(OptionError, match="allowed_origins"):
        receiving(root, allowed_origins=origins)


def test_the_tenant_is_asked_before_the_body_is_read_and_may_refuse(root: Path) -> None:
    def tenant(request: Request) -> str:
        user = request.headers.get("x-user")
        if user is None:
            raise Refusal(403, "Log in first.")
        return user

    def read(size: int) -> bytes:
        raise AssertionError("the body was read")

    receiver = receiving(root, tenant=tenant)
    answer = receiver.handle(replace(Sample().octet(1), read=read))
    assert (answer.status, answer.body) == (403, b"Log in first.\n")
    assert Sample().test(receiver, 1).status == 403
    assert receiver.handle(Request("GET", "/uploads")).status == 403
    assert Sample(headers={"x-user": "me"}).send(receiver) == [200, 201]


def test_the_tenant_sees_what_the_server_around_knows(root: Path) -> None:
    receiver = receiving(root, tenant=lambda request: str(request.environ["REMOTE_USER"]))
    for user in ("me", "you"):
        request = replace(Sample().octet(1), environ={"REMOTE_USER": user})
        assert receiver.handle(request).status == 200
    assert len(list((root / ".resumable").iterdir())) >= 2


@pytest.mark.parametrize("tenants", [("a\0b", "a"), ("1", "11"), ("", "b")])
def test_no_tenant_gets_at_an_upload_of_another_by_its_identifier(root: Path, tenants: tuple[str, str]) -> None:
    receiver = receiving(root, tenant=lambda request: request.headers["x-user"])
    one, other = tenants
    assert Sample(identifier="b\0c", headers={"x-user": one}).send(receiver, 1) == [200]
    for identifier in ("c", "b\0c", "b\0b\0c", "1b\0c", "bb\0c", "\0c"):
        assert Sample(identifier=identifier, headers={"x-user": other}).test(receiver, 1).status == 204
