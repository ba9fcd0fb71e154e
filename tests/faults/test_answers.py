"""Answers that are not a plain yes, and what becomes of the file."""

from __future__ import annotations

import email.utils
import logging
import threading
import time
from collections import Counter
from typing import Any

import pytest
from support.client import CHUNK, Run, content, upload
from support.scripted_server import Answer, Request, ScriptedServer, Store, answer, head, raw

from resumable import (
    AuthenticationRefused,
    RedirectRefused,
    Resumable,
    RetriesExhausted,
    ServerRefused,
)

BLIND: dict[str, Any] = {"test_chunks": False}


def refused(run: Run, kind: type[Exception]) -> str:
    """The text of the error that the one file failed of, which is of this kind and says what every error says."""
    assert type(run.error) is kind
    assert run.error.file is run.files[0]
    assert run.error.chunk == run.files[0].chunks[0]
    assert run.names[-4:] == ["chunk_error", "file_error", "error", "complete"]
    return str(run.error)


# -- redirects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_would_lose_the_chunk_is_an_error_that_names_the_new_url(
    way: dict[str, Any], status: int
) -> None:
    with ScriptedServer(answer(status, Location="/moved?token=abc")) as server:
        run = upload(server.url, content(10), **BLIND, **way)
    text = refused(run, RedirectRefused)
    assert f"127.0.0.1:{server.port}/moved" in text
    assert "as the target" in text
    assert "abc" not in text
    assert run.error.status == status
    assert [request.method for request in server.requests] == ["POST"]


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_keeps_the_method_is_followed_with_the_body(way: dict[str, Any], status: int) -> None:
    store = Store()
    data = content(3 * CHUNK)

    def there(request: Request) -> None:
        request.read()
        request.send(
            head(
                status,
                {"Location": "/upload/there?" + request.target.partition("?")[2], "Content-Length": "0"},
            )
        )

    with ScriptedServer(there, store, there, store, there, store) as server:
        run = upload(server.url, data, **BLIND, **way)
    assert run.count("file_success") == 1
    assert run.count("chunk_retry") == 0
    assert store.content(run.files[0].unique_identifier or "") == data
    bodies = [request.body for request in server.requests]
    assert bodies[0::2] == bodies[1::2]


@pytest.mark.parametrize("whole", [True, False])
def test_credentials_in_the_target_are_used_behind_a_redirect_too(way: dict[str, Any], whole: bool) -> None:
    def elsewhere(request: Request) -> None:
        place = f"http://127.0.0.1:{server.port}" if whole else ""
        answer(307, Location=f"{place}/there")(request)

    with ScriptedServer(elsewhere, answer()) as server:
        run = upload(server.url.replace("//", "//me:mine@"), content(10), **BLIND, **way)
    assert run.count("file_success") == 1
    assert [request.headers.get("authorization") for request in server.requests] == ["Basic bWU6bWluZQ=="] * 2


def test_a_test_is_redirected_too(way: dict[str, Any]) -> None:
    with ScriptedServer(answer(307, Location="/there"), answer(404), answer()) as server:
        run = upload(server.url, content(10), **way)
    assert run.count("file_success") == 1
    assert [(request.method, request.target.partition("?")[0]) for request in server.requests] == [
        ("GET", "/upload"),
        ("GET", "/there"),
        ("POST", "/upload"),
    ]


def test_credentials_and_chunks_do_not_cross_origins(way: dict[str, Any]) -> None:
    with ScriptedServer() as other, ScriptedServer(answer(307, Location=other.url)) as server:
        run = upload(server.url, content(10), headers={"Authorization": "Bearer abc"}, **BLIND, **way)
    assert other.requests == []
    assert other.url in refused(run, RedirectRefused)
    assert "redirect_origins" in str(run.error)


def test_an_origin_that_is_allowed_gets_chunks_and_headers(way: dict[str, Any]) -> None:
    with ScriptedServer() as other, ScriptedServer(answer(307, Location=other.url)) as server:
        origin = f"http://127.0.0.1:{other.port}/"
        run = upload(server.url, content(10), headers={"X-Way": "here"}, redirect_origins=(origin,), **BLIND, **way)
    assert run.count("file_success") == 1
    assert other.uploads[0].chunk == content(10)
    assert other.uploads[0].headers["x-way"] == "here"


@pytest.mark.parametrize(
    "location", ["/upload", "/elsewhere", "http://[", "http://[::1", "//", "", "ftp://127.0.0.1/", None]
)
def test_a_redirect_in_a_circle_or_to_nowhere_ends(way: dict[str, Any], location: str | None) -> None:
    headers = {} if location is None else {"Location": location}
    with ScriptedServer(otherwise=answer(308, **headers)) as server:
        run = upload(server.url, content(10), **BLIND, **way)
    refused(run, RedirectRefused)
    assert len(server.requests) <= 5


def test_the_long_body_of_a_redirect_is_not_read(way: dict[str, Any]) -> None:
    sent = []

    def endless(request: Request) -> None:
        request.read()
        request.send(head(302, {"Location": "/there", "Content-Length": str(1 << 30)}))
        try:
            for _ in range(1 << 10):
                request.send(bytes(1 << 20))
                sent.append(1)
        except OSError:
            return

    with ScriptedServer(endless) as server:
        run = upload(server.url, content(10), **BLIND, **way)
    refused(run, RedirectRefused)
    assert len(sent) < 100


# -- success that is none ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"invalid_resumable_request1",
        b"non_resumable_request",
        b' {"csrf_expired": true}',
        b'{"csrf_expired":true,"x":1}',
    ],
)
def test_a_200_that_refuses_is_no_success(way: dict[str, Any], body: bytes) -> None:
    with ScriptedServer(otherwise=answer(200, body)) as server:
        run = upload(server.url, content(10), **BLIND, **way)
    refused(run, ServerRefused)
    assert len(server.requests) == 1


def test_a_200_that_the_hook_does_not_accept_is_no_success() -> None:
    asked = []

    def accept(reply: Any) -> bool:
        asked.append((reply.status, reply.status_code, reply.text, reply.headers["x-a"]))
        return bool(reply.json()["stored"])

    with ScriptedServer(
        answer(200, b'{"stored": true}', X_A="1"), answer(200, b'{"stored": false}', X_A="2")
    ) as server:
        run = upload(server.url, content(2 * CHUNK), accept_response=accept, **BLIND)
    assert type(run.error) is ServerRefused
    assert "accept_response" in str(run.error)
    assert run.files[0].bytes_confirmed == CHUNK
    assert asked == [(200, 200, '{"stored": true}', "1"), (200, 200, '{"stored": false}', "2")]


def test_what_the_hook_accepts_is_a_success_whatever_it_says() -> None:
    with ScriptedServer(answer(200, b"invalid_resumable_request1")) as server:
        run = upload(server.url, content(10), accept_response=lambda reply: True, **BLIND)
    assert run.count("file_success") == 1


def test_nothing_is_believed_of_a_server_that_says_present_to_everything(
    way: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    data = content(6 * CHUNK)
    with ScriptedServer(otherwise=answer(200, b"stored")) as server:
        run = upload(server.url, (data, "a.bin"), (data, "b.bin"), simultaneous_uploads=4, **way)
    assert run.count("file_success") == 2
    assert [file.bytes_skipped for file in run.files] == [0, 0]
    assert sorted(request.number for request in server.uploads) == sorted([*range(1, 7)] * 2)
    canaries = [request for request in server.tests if "canary" in request.parameters["resumableIdentifier"]]
    assert len(canaries) == 1
    warnings = [record for record in caplog.records if record.name == "resumable" and record.levelno == logging.WARNING]
    assert ["trust_tests" in said for said in map(logging.LogRecord.getMessage, warnings)] == [True]


def test_an_honest_server_is_asked_one_canary_and_one_more_before_each_success(way: dict[str, Any]) -> None:
    store = Store()
    data = content(3 * CHUNK)
    with ScriptedServer(otherwise=store) as server:
        upload(server.url, (data, "a.bin"), (data, "b.bin"), **way)
        before = len(server.tests)
        run = upload(server.url, (data, "a.bin"), (data, "b.bin"), simultaneous_uploads=4, **way)
    assert run.count("file_success") == 2
    again = server.tests[before:]
    assert sum("canary" in request.parameters["resumableIdentifier"] for request in again) == 1 + 2
    assert len(again) == 2 * 3 + 1 + 2 * 2
    assert [file.bytes_skipped for file in run.files] == [len(data), len(data)]


def test_a_canary_that_is_not_answered_proves_nothing(way: dict[str, Any]) -> None:
    # The chunk in question is sent, and the next "present" asks again.
    store = Store()
    data = content(3 * CHUNK)
    with ScriptedServer(otherwise=store) as server:
        upload(server.url, data)
    with ScriptedServer(store, raw(b"garbage\r\n\r\n"), store, store, store, otherwise=store) as server:
        run = upload(server.url, data, **way)
    assert run.count("file_success") == 1
    assert [request.number for request in server.uploads] == [1]
    assert run.files[0].bytes_skipped == 2 * CHUNK


def test_who_decides_about_answers_is_not_warned_of_a_web_page(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedServer(otherwise=answer(200, b"<html>stored</html>")) as server:
        upload(server.url, content(10), accept_response=lambda response: "stored" in response.text, **BLIND)
    assert caplog.text == ""


@pytest.mark.parametrize("trusted", [False, True])
def test_a_refusal_in_answer_to_a_test_is_not_present(way: dict[str, Any], trusted: bool) -> None:
    # The session expires in the middle, long after the canary: the tests go on saying 200.
    store = Store()
    data = content(4 * CHUNK)
    expired = answer(200, b'{"csrf_expired": true}')
    with ScriptedServer(otherwise=store) as server:
        upload(server.url, data)
    steps = [store, *([] if trusted else [store])]
    with ScriptedServer(*steps, store, otherwise=expired) as server:
        run = upload(server.url, data, trust_tests=trusted, **way)
    assert type(run.error) is ServerRefused
    assert run.files[0].bytes_confirmed == 2 * CHUNK
    assert [request.number for request in server.uploads] == [3]


def test_trust_tests_believes_without_a_canary(way: dict[str, Any]) -> None:
    with ScriptedServer(otherwise=answer(200)) as server:
        run = upload(server.url, content(3 * CHUNK), trust_tests=True, **way)
    assert run.count("file_success") == 1
    assert server.uploads == []
    assert run.files[0].bytes_skipped == 3 * CHUNK
    assert len(server.tests) == 3


def test_a_test_that_fails_leads_to_an_upload(way: dict[str, Any]) -> None:
    with ScriptedServer(
        raw(b"", end="reset"), answer(200), raw(b"garbage\r\n\r\n"), answer(200), answer(500), answer(200)
    ) as server:
        run = upload(server.url, content(3 * CHUNK), **way)
    assert run.count("file_success") == 1
    assert [request.method for request in server.requests] == ["GET", "POST"] * 3


# -- authentication ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 407])
def test_who_is_not_known_is_told_so_at_once(way: dict[str, Any], status: int) -> None:
    with ScriptedServer(answer(status, b"who are you?")) as server:
        run = upload(server.url, content(10), headers={"Authorization": "Bearer abc"}, **BLIND, **way)
    text = refused(run, AuthenticationRefused)
    assert "credentials" in text
    assert "who are you?" in text
    assert "abc" not in text
    assert run.error.status == status
    assert run.error.body == "who are you?"


def test_a_token_that_expired_is_renewed_and_the_chunk_sent_again(way: dict[str, Any]) -> None:
    store = Store()
    data = content(3 * CHUNK)
    made = []

    def headers(file: Any, chunk: Any) -> dict[str, str]:
        made.append(chunk.number)
        return {"Authorization": f"Bearer {len(made)}"}

    with ScriptedServer(store, answer(401), store, store) as server:
        run = upload(server.url, data, headers=headers, **BLIND, **way)
    assert run.count("file_success") == 1
    assert run.count("chunk_retry") == 0
    assert store.content(run.files[0].unique_identifier or "") == data
    assert made == [1, 2, 2, 3]
    assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {n}" for n in (1, 2, 3, 4)]


def test_two_workers_with_an_expired_token_renew_it_one_after_the_other(way: dict[str, Any]) -> None:
    store = Store()
    calls: Counter[int] = Counter()
    entered, together = threading.Event(), []

    def headers(file: Any, chunk: Any) -> dict[str, str]:
        calls[chunk.number] += 1
        if calls[chunk.number] == 2:
            if entered.is_set():
                together.append(chunk.number)
            entered.set()
            # The other worker has its 401 meanwhile, and would be here too.
            second_refused.wait(60)
            threading.Event().wait(0.2)
            entered.clear()
        return {"Authorization": f"Bearer {calls[chunk.number]}"}

    refusals = iter((first_refused := threading.Event(), second_refused := threading.Event()))

    def refuse(request: Request) -> None:
        answer(401)(request)
        next(refusals).set()

    data = content(2 * CHUNK)
    options = {**BLIND, "chunk_order": "free", "simultaneous_uploads": 2, **way}
    with ScriptedServer(refuse, refuse, store, store) as server:
        run = upload(server.url, data, headers=headers, **options)
    assert first_refused.is_set()
    assert run.count("file_success") == 1
    assert calls == {1: 2, 2: 2}
    assert not together


def test_a_token_is_renewed_once_only(way: dict[str, Any]) -> None:
    with ScriptedServer(answer(401), answer(401)) as server:
        run = upload(server.url, content(10), headers=lambda file, chunk: {"Authorization": "x"}, **BLIND, **way)
    refused(run, AuthenticationRefused)


# -- other refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 405, 409, 410, 413, 415, 422, 500, 501])
def test_a_permanent_error_fails_the_file_at_once_and_no_other(way: dict[str, Any], status: int) -> None:
    with ScriptedServer(answer(status, b"no"), otherwise=answer()) as server:
        run = upload(server.url, (content(10), "a.bin"), (content(10), "b.bin"), **BLIND, **way)
    assert type(run.error) is ServerRefused
    assert run.error.status == status
    assert f'→ {status} "no"' in str(run.error)
    assert [file.file_name for file in run.result.succeeded] == ["b.bin"]
    assert len(server.requests) == 2


def test_413_says_what_to_do(way: dict[str, Any]) -> None:
    with ScriptedServer(answer(413)) as server:
        run = upload(server.url, content(2000), **BLIND, **way)
    assert "lower chunk_size" in refused(run, ServerRefused)
    with ScriptedServer(answer(413)) as server:
        run = upload(server.url, content(10), **BLIND, **way)
    assert "lower chunk_size" not in refused(run, ServerRefused)


def test_an_early_413_is_read_though_the_server_never_took_the_body(way: dict[str, Any]) -> None:
    with ScriptedServer(answer(413, b"too long", read=False, close=True)) as server:
        run = upload(server.url, content(8 << 20), chunk_size=8 << 20, **BLIND, **way)
    assert "too long" in refused(run, ServerRefused)


def test_an_early_413_is_read_though_the_server_neither_reads_nor_hangs_up(way: dict[str, Any]) -> None:
    def refuse(request: Request) -> None:
        request.send(head(413, {"Content-Length": "8"}) + b"too long")
        request.hold()

    with ScriptedServer(otherwise=refuse, receive_buffer=4096) as server:
        run = upload(server.url, content(16 << 20), chunk_size=16 << 20, timeout=(5, 0.4), **BLIND, **way)
    assert "too long" in refused(run, ServerRefused)


def test_500_is_worth_another_attempt_where_the_user_says_so(way: dict[str, Any]) -> None:
    with ScriptedServer(answer(500), answer(500), answer()) as server:
        run = upload(server.url, content(10), permanent_errors=(404,), **BLIND, **way)
    assert run.count("file_success") == 1
    assert run.count("chunk_retry") == 2


@pytest.mark.parametrize("status", [202, 204, 206, 408, 418, 429, 502, 503, 504, 507, 599])
def test_any_other_answer_is_tried_again(way: dict[str, Any], status: int) -> None:
    with ScriptedServer(answer(status), answer(status), answer(201)) as server:
        run = upload(server.url, content(10), **BLIND, **way)
    assert run.count("file_success") == 1
    assert run.count("chunk_retry") == run.count("file_retry") == 2
    assert run.count("chunk_success") == 1


def test_retries_end_and_the_error_counts_them(way: dict[str, Any]) -> None:
    with ScriptedServer(*[answer(503, b"busy")] * 4) as server:
        run = upload(server.url, content(10), max_chunk_retries=3, **BLIND, **way)
    assert "(attempt 4 of 4)" in refused(run, RetriesExhausted)
    assert run.error.attempts == 4
    assert run.error.status == 503
    assert run.error.body == "busy"
    assert len(server.requests) == 4


def test_a_hook_turns_a_refusal_into_a_retry_and_back(way: dict[str, Any]) -> None:
    def decide(error: Any, attempt: int) -> bool | None:
        return {404: True, 503: False}.get(error.status)

    with ScriptedServer(answer(404), answer(503)) as server:
        run = upload(server.url, content(10), should_retry=decide, **BLIND, **way)
    assert run.count("chunk_retry") == 1
    refused(run, RetriesExhausted)


def test_a_refused_test_that_a_hook_wants_retried_leads_to_the_upload() -> None:
    with ScriptedServer(answer(404), answer(200)) as server:
        run = upload(server.url, content(10), test_errors_are_permanent=True, should_retry=lambda error, attempt: True)
    assert run.count("file_success") == 1


def test_a_test_may_be_refused_for_good_where_the_dialect_says_so() -> None:
    with ScriptedServer(answer(404, b"gone")) as server:
        run = upload(server.url, content(10), test_errors_are_permanent=True)
    assert "GET" in refused(run, ServerRefused)


# -- Retry-After -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured_for_the_whole_session(way: dict[str, Any], status: int, as_date: bool) -> None:
    came: list[float] = []

    def clocked(step: Any) -> Any:
        def run(request: Request) -> Answer | None:
            came.append(time.monotonic())
            return step(request)

        return run

    def wait(request: Request) -> None:
        said = email.utils.formatdate(time.time() + 2, usegmt=True) if as_date else "1"
        answer(status, Retry_After=said)(request)

    with ScriptedServer(clocked(wait), otherwise=clocked(answer())) as server:
        run = upload(server.url, (content(10), "a.bin"), (content(10), "b.bin"), **BLIND, **way)
    assert run.count("file_success") == 2
    assert came[1] - came[0] >= (0.5 if as_date else 1.0)


@pytest.mark.parametrize(
    "value", ["soon", "-5", "", "Wed, 99 Foo 2026", "1.5", "0x10", "٣", "Thu, 01 Jan 1970 00:00:00 GMT", "0"]
)
def test_a_retry_after_that_says_nothing_is_ignored(way: dict[str, Any], value: str) -> None:
    headers = {"Retry-After": value.encode("utf-8").decode("latin-1"), "Content-Length": "0"}
    with ScriptedServer(raw(head(503, headers), end="keep"), answer()) as server:
        run = upload(server.url, content(10), **BLIND, **way)
    assert run.count("file_success") == 1


@pytest.mark.parametrize("value", ["1000000000", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_retry_after_without_measure_is_capped(way: dict[str, Any], value: str) -> None:
    # The session's clock jumps over the two minutes that are waited at most, and a little for the jitter.
    jumped = threading.Event()

    def clock() -> float:
        return time.monotonic() + (121 if jumped.is_set() else 0)

    def busy(request: Request) -> None:
        answer(503, Retry_After=value)(request)

    with ScriptedServer(busy, answer()) as server:
        session = Resumable(server.url, clock=clock, chunk_retry_interval=0.01, **BLIND, **way)
        told = threading.Event()
        session.on("chunk_retry", lambda chunk: told.set())
        file = session.add_file(content(10), relative_path="a.bin")
        assert told.wait(60)
        assert len(server.requests) == 1
        jumped.set()
        session.pause()
        session.resume()
        session.join(60)
        session.close()
    assert file.is_complete()
