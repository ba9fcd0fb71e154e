"""What goes over the wire in odd cases, and how an odd answer is understood."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from support.client import CHUNK, content, upload
from support.scripted_server import Request, ScriptedServer, Step, Store, answer, head, raw
from urllib3.util.retry import Retry

from resumable import RetriesExhausted, ServerRefused

BLIND: dict[str, Any] = {"test_chunks": False}


def test_an_early_yes_to_a_part_of_a_chunk_is_no_success(way: dict[str, Any]) -> None:
    def hasty(request: Request) -> None:
        request.send(head(200, {"Content-Length": "0", "Connection": "close"}))
        request.socket.shutdown(2)
        request.over = True

    store = Store()
    data = content(16 << 20)
    with ScriptedServer(hasty, store, receive_buffer=4096) as server:
        run = upload(server.url, data, chunk_size=16 << 20, **BLIND, **way)
    assert run.count("chunk_retry") == 1
    assert store.content(run.files[0].unique_identifier or "") == data


@pytest.mark.parametrize("first", [answer(503), answer(503, close=True)])
def test_an_early_yes_to_what_an_adapter_sent_again_is_no_success(first: Step) -> None:
    def hasty(request: Request) -> None:
        request.send(head(200, {"Content-Length": "0", "Connection": "close"}))
        request.socket.shutdown(2)
        request.over = True

    store = Store()
    data = content(16 << 20)
    again = Retry(3, allowed_methods=None, status_forcelist=[503], backoff_factor=0)
    with ScriptedServer(first, hasty, store, receive_buffer=4096) as server, requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=again))
        run = upload(server.url, data, chunk_size=16 << 20, session=session, **BLIND)
    assert run.count("file_success") == 1
    assert store.content(run.files[0].unique_identifier or "") == data


def test_a_server_that_always_hangs_up_on_large_requests_leads_to_a_hint(way: dict[str, Any]) -> None:
    with ScriptedServer(otherwise=Request.reset, receive_buffer=4096) as server:
        run = upload(server.url, content(16 << 20), chunk_size=16 << 20, max_chunk_retries=1, **BLIND, **way)
    assert type(run.error) is RetriesExhausted
    assert "lower chunk_size" in str(run.error)


@pytest.mark.parametrize("status", [100, 102, 103])
def test_an_interim_answer_is_not_taken_for_the_final_one(way: dict[str, Any], status: int) -> None:
    def interim(request: Request) -> None:
        request.read()
        request.send(head(status, {"Link": "</a>"}))
        answer(read=False)(request)

    with ScriptedServer(interim, interim, interim) as server:
        run = upload(server.url, content(3 * CHUNK), **BLIND, **way)
    assert run.count("file_success") == 1
    assert run.count("chunk_retry") == 0


def test_an_interim_answer_that_is_the_last_one_is_none(way: dict[str, Any]) -> None:
    with ScriptedServer(raw(head(103, {"Link": "</a>"})), answer()) as server:
        run = upload(server.url, content(10), **BLIND, **way)
    assert run.count("file_success") == run.count("chunk_retry") == 1


def test_interim_answers_without_end_are_a_failure(way: dict[str, Any]) -> None:
    with ScriptedServer(raw(head(103, {"Link": "</a>"}) * 200), answer()) as server:
        run = upload(server.url, content(10), **BLIND, **way)
    assert run.count("file_success") == run.count("chunk_retry") == 1


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", "größe 中".encode()),
        ("text/plain; charset=utf-8", "größe 中".encode()),
        ("text/html; charset=ISO-8859-1", "größe".encode("latin-1")),
        ('application/json; charset="UTF-8"', "größe 中".encode()),
        ("text/plain; charset=klingon", "größe 中".encode()),
        ("text/plain; charset=idna", "größe 中".encode()),
        ("text/plain; charset=utf\0", "größe 中".encode()),
        ("text/plain; charset=undefined", "größe 中".encode()),
        ("text/plain", b"gr\xff\xfe"),
        ("", "größe 中".encode()),
    ],
)
def test_the_message_is_text_as_a_browser_would_read_it(way: dict[str, Any], content_type: str, body: bytes) -> None:
    with ScriptedServer(
        raw(head(200, {"Content-Type": content_type, "Content-Length": str(len(body))}) + body, end="keep")
    ) as server:
        run = upload(server.url, content(10), **BLIND, **way)
    message = run.files[0].message or ""
    assert message.startswith("gr")
    assert message in ("größe 中", "größe", "gr\ufffd\ufffd")
    assert (message == "gr\ufffd\ufffd") == (body == b"gr\xff\xfe")


@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}])
@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_refusal_is_understood_though_it_is_compressed(
    way: dict[str, Any], headers: dict[str, str], coding: str, compress: Callable[[bytes], bytes]
) -> None:
    refusal = compress(b"invalid_resumable_request1")
    with ScriptedServer(answer(200, refusal, Content_Encoding=coding)) as server:
        run = upload(server.url, content(10), headers=headers, **BLIND, **way)
    assert type(run.error) is ServerRefused
    assert "invalid_resumable_request1" in str(run.error)


@pytest.mark.parametrize("headers", [{"Content-Length": "3"}, {"Transfer-Encoding": "chunked"}])
def test_no_header_of_the_user_says_how_long_a_request_is(way: dict[str, Any], headers: dict[str, str]) -> None:
    with ScriptedServer(answer(404), answer()) as server:
        run = upload(server.url, content(10), headers=headers, **way)
    assert run.count("file_success") == 1
    test, sent = server.requests
    assert "content-length" not in test.headers
    assert sent.headers["content-length"] == str(len(sent.body))
    assert all("transfer-encoding" not in request.headers for request in server.requests)


def test_an_answer_that_ends_with_its_connection_is_one(way: dict[str, Any]) -> None:
    with ScriptedServer(raw(b"HTTP/1.0 200 OK\r\n\r\nstored"), raw(b"HTTP/1.1 200 OK\r\n\r\nstored")) as server:
        run = upload(server.url, content(2 * CHUNK), **BLIND, **way)
    assert run.files[0].message == "stored"
    assert server.connections == 2


@pytest.mark.parametrize("said", [b"Transfer-Encoding: chunked", b"Content-Length: 5"])
def test_a_204_has_no_body_whatever_its_head_says(way: dict[str, Any], said: bytes) -> None:
    missing = raw(b"HTTP/1.1 204 No Content\r\n" + said + b"\r\n\r\n", end="keep")
    with ScriptedServer(missing, answer()) as server:
        run = upload(server.url, content(10), **way)
    assert run.count("file_success") == 1
    assert [request.connection for request in server.requests] == [0, 0]


def test_a_length_that_is_said_twice_is_one(way: dict[str, Any]) -> None:
    twice = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", end="keep")
    with ScriptedServer(twice, twice) as server:
        run = upload(server.url, content(2 * CHUNK), **BLIND, **way)
    assert run.count("chunk_retry") == 0
    assert [request.connection for request in server.requests] == [0, 0]
    assert run.files[0].message == "ok"


def test_an_answer_in_chunks_keeps_its_connection(way: dict[str, Any]) -> None:
    reply = head(200, {"Transfer-Encoding": "chunked"}) + b"3\r\nsto\r\n3\r\nred\r\n0\r\n\r\n"
    with ScriptedServer(*[raw(reply, end="keep")] * 3) as server:
        run = upload(server.url, content(3 * CHUNK), **BLIND, **way)
    assert run.files[0].message == "stored"
    assert server.connections == 1


def test_a_form_longer_than_any_buffer_is_sent(way: dict[str, Any]) -> None:
    store = Store()
    data = content(3 * CHUNK)
    query = {f"field{number}": "x" * 1000 for number in range(30)}
    with ScriptedServer(otherwise=store) as server:
        run = upload(server.url, data, query=query, **BLIND, **way)
    assert run.count("file_success") == 1
    assert store.content(run.files[0].unique_identifier or "") == data


@pytest.mark.parametrize(
    "tail", ["?a=b c&ü=1", "?a=%20&b=%zz", "/pa th/ü?x=1", "?x=1#fragment", "#fragment", "?", "?a='(!)*", '?a="<b>|{c}']
)
def test_whatever_stands_in_a_target_makes_one_request_line(way: dict[str, Any], tail: str) -> None:
    with ScriptedServer(answer(404), answer()) as server:
        run = upload(server.url + tail, content(10), **way)
    assert run.count("file_success") == 1
    for request in server.requests:
        assert request.target.isascii()
        assert not set(' \r\n\t#"<>\\^`{|}') & set(request.target)
        assert request.parameters["resumableChunkNumber"] == "1"


def test_a_made_target_cannot_smuggle_a_line(way: dict[str, Any]) -> None:
    with ScriptedServer(otherwise=answer()) as server:
        upload(lambda parameters: f"{server.url}/a?x=\r\nX-Evil: y", content(10), **BLIND, **way)
    assert all("x-evil" not in request.headers for request in server.requests)


def test_as_many_targets_as_files_are_no_trouble(way: dict[str, Any]) -> None:
    count = 70
    with ScriptedServer(otherwise=answer()) as server:
        run = upload(
            lambda parameters: f"{server.url}/{dict(p.split('=') for p in parameters)['resumableFilename']}",
            *[(content(10), f"{number}.bin") for number in range(count)],
            **BLIND,
            **way,
        )
    assert run.count("file_success") == count
    assert len({request.target for request in server.requests}) == count


def test_a_head_may_test_and_a_put_may_send(way: dict[str, Any]) -> None:
    present = raw(head(200, {"Content-Length": "1000"}), end="keep")
    missing = raw(head(404, {"Content-Length": "1000"}), end="keep")
    # What is present, and then what cannot be, is asked for once more before the file is a success.
    with ScriptedServer(missing, answer(), present, missing, present, missing) as server:
        run = upload(server.url, content(2 * CHUNK), test_method="HEAD", upload_method="PUT", **way)
    assert run.count("file_success") == 1
    assert [request.method for request in server.requests] == ["HEAD", "PUT", *["HEAD"] * 4]
    assert server.connections == 1


def test_the_users_type_stands_for_octets_but_not_for_forms(way: dict[str, Any]) -> None:
    for method in ("octet", "multipart"):
        with ScriptedServer(answer()) as server:
            upload(server.url, content(10), method=method, headers={"content-type": "image/png"}, **BLIND, **way)
        kind = server.requests[0].headers["content-type"]
        assert kind.startswith("image/png" if method == "octet" else "multipart/form-data; boundary=")
