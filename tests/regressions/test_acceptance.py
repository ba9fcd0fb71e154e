"""Answers with a success status that are no acceptance, and pages that are one."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from support.scripted_server import PATIENCE, Request, ScriptedServer, Store, answer, head

from resumable import (
    AuthenticationRefused,
    HookError,
    Resumable,
    ResumableFile,
    ServerRefused,
)
from resumable.cli import main

Make = Callable[..., Path]
Answer = tuple[Any, ...]

LOGIN = (
    "<!DOCTYPE html>\n<html><head><title>Example &ndash; log in</title></head><body><form method=post>"
    '<input name="user"><input name="pw" type="password"></form></body></html>'
)
EXPIRED = "<!DOCTYPE html><html><head><title>Example</title></head><body><p>Your session has expired.</p></body></html>"
PAGE = "<!DOCTYPE html><html><head><title>Files of Ann</title></head><body><p>Chunk {} of {}</p></body></html>"
ERRORS = {
    "json": '{"error": "disk full"}',
    "json-rpc": '{"jsonrpc": "2.0", "error": {"code": -32603, "message": "Internal error"}, "id": null}',
    "success-0": '{"success": 0}',
    "status": '\ufeff{"status": "FAILED"}',
    "php-fatal": "<br />\n<b>Fatal error</b>:  Uncaught Error: no() in <b>/a.php</b> on line <b>3</b><br />\n",
    "php-warning": "\nWarning: move_uploaded_file(temp/a): failed to open stream in /a.php on line 3\n",
    "php-sample": "29.11.2025: Error saving (move_uploaded_file) chunk 2 for file a.bin\r\n",
}


class Site:
    """A server that keeps chunks and answers each with what ``says(request)`` returns; one that is None is stored.

    Tests are honest, unless ``test(request)`` returns another answer.
    """

    def __init__(
        self,
        says: Callable[[Request], str | None],
        test: Callable[[Request], Answer | None] = lambda request: None,
        *,
        shows: Callable[[Request], str] = lambda request: "ok",
    ) -> None:
        self.memory: dict[tuple[str, int], bytes] = {}
        self._says, self._test, self._shows = says, test, shows

    def __call__(self, request: Request) -> Answer:
        if request.chunk is None:
            return self._test(request) or Store(self.memory, missing=204)(request)
        refusal = self._says(request)
        if refusal is not None:
            return 200, refusal, {"Content-Type": "text/html"}
        Store(self.memory, missing=204)(request)
        return 200, self._shows(request)


def send(wire: ScriptedServer, path: Path, **options: Any) -> ResumableFile:
    """What becomes of the file, in chunks of 10 bytes."""
    given = {"chunk_size": 10, "chunk_retry_interval": 0, "simultaneous_uploads": 1, **options}
    with Resumable(wire.url, auto_upload=False, **given) as session:
        file = session.add_file(path)
        session.join(PATIENCE, raise_errors=False)
    return file


def attempts(wire: ScriptedServer, number: int) -> int:
    """How often the chunk was sent."""
    return sum(request.number == number for request in wire.uploads)


def command(wire: ScriptedServer, path: Path, *flags: str) -> tuple[int, list[dict[str, Any]], str]:
    """The exit code of ``resumable upload --json``, the objects that it wrote, and what a person read."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        given = ("--json", "--chunk-size", "10", "--retry-interval", "0", *flags)
        code = main(["upload", *given, str(path), wire.url])
    return code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue()


def says_from(number: int, body: str) -> Callable[[Request], str | None]:
    """Answers this instead of storing, from this chunk on."""
    return lambda request: body if request.number >= number else None


# -- log-in pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tests", ["honest", "none", "page"])
@pytest.mark.parametrize("number", [1, 4, 8])
def test_a_log_in_page_is_no_acceptance_from_whatever_chunk_on(
    wire: ScriptedServer, make: Make, tests: str, number: int
) -> None:
    def test(request: Request) -> Answer | None:
        expired = tests == "page" and len(wire.uploads) >= number
        return (200, LOGIN) if expired else (404,) if tests == "none" else None

    wire.behave = site = Site(says_from(number, LOGIN), test)
    file = send(wire, make(size=80), test_chunks=tests != "none")
    assert type(file.error) is AuthenticationRefused
    assert file.error.status == 200
    assert file.error.chunk.number == number
    assert file.bytes_confirmed == 10 * (number - 1) == 10 * len(site.memory)
    assert attempts(wire, number) == 1


def test_a_log_in_page_is_a_failure_of_the_command_and_in_its_json(wire: ScriptedServer, make: Make) -> None:
    wire.behave = Site(says_from(1, LOGIN))
    code, objects, text = command(wire, make(size=80))
    assert code == 6
    (failure,) = [each for each in objects if each["event"] == "file_error"]
    assert (failure["error"], failure["status"], failure["exit_code"]) == ("AuthenticationRefused", 200, 6)
    assert (objects[-1]["exit_code"], objects[-1]["succeeded"], objects[-1]["failed"]) == (6, 0, 1)
    assert "Example – log in" in failure["reason"]
    for said in (failure["reason"], failure["message"], text):
        assert "<" not in said
    assert "--accept STATUS:PATTERN" in text


def test_credentials_that_are_made_anew_get_one_more_chance_after_a_log_in_page(
    wire: ScriptedServer, make: Make
) -> None:
    asked: list[int] = []

    def headers(file: Any, chunk: Any) -> dict[str, str]:
        asked.append(chunk.number)
        return {"X-Token": "old" if len(wire.uploads) < 3 else "new"}

    def says(request: Request) -> str | None:
        return LOGIN if request.number >= 3 and request.headers["x-token"] == "old" else None

    wire.behave = site = Site(says)
    assert send(wire, make(size=80), headers=headers).is_complete()
    assert len(site.memory) == 8
    assert attempts(wire, 3) == 2


def test_an_auth_object_of_a_session_gets_one_more_chance_after_a_log_in_page(wire: ScriptedServer, make: Make) -> None:
    class Auth(requests.auth.AuthBase):
        """Makes the token anew whenever it is asked once the third chunk has been sent."""

        def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["X-Token"] = "old" if len(wire.uploads) < 3 else "new"
            return request

    def says(request: Request) -> str | None:
        return LOGIN if request.number >= 3 and request.headers["x-token"] == "old" else None

    wire.behave = site = Site(says)
    with requests.Session() as account:
        account.auth = Auth()
        assert send(wire, make(size=80), session=account).is_complete()
    assert len(site.memory) == 8
    assert attempts(wire, 3) == 2


def test_a_factory_of_sessions_logs_in_again_after_a_log_in_page(wire: ScriptedServer, make: Make) -> None:
    made: list[requests.Session] = []

    def log_in() -> requests.Session:
        made.append(requests.Session())
        made[-1].headers["X-Login"] = str(len(made))
        return made[-1]

    wire.behave = site = Site(
        lambda request: LOGIN if request.number >= 3 and request.headers["x-login"] == "1" else None
    )
    assert send(wire, make(size=80), session=log_in).is_complete()
    assert len(site.memory) == 8
    assert len(made) == 2


def test_after_credentials_that_are_made_anew_a_second_log_in_page_is_final(wire: ScriptedServer, make: Make) -> None:
    wire.behave = Site(says_from(3, LOGIN))
    file = send(wire, make(size=80), headers=lambda file, chunk: {"X-Token": "old"})
    assert type(file.error) is AuthenticationRefused
    assert attempts(wire, 3) == 2


def test_an_expired_form_token_is_renewed_once(wire: ScriptedServer, make: Make) -> None:
    wire.behave = Site(lambda request: '{"csrf_expired": true}' if len(wire.uploads) == 1 else None)
    assert send(wire, make(size=30), query=lambda file, chunk: {"csrf": "x"}).is_complete()
    assert attempts(wire, 2) == 2


@pytest.mark.parametrize("tests", [True, False])
def test_a_page_without_a_password_is_no_acceptance_either(wire: ScriptedServer, make: Make, tests: bool) -> None:
    wire.behave = site = Site(says_from(3, EXPIRED))
    file = send(wire, make(size=80), test_chunks=tests)
    assert type(file.error) is ServerRefused
    assert file.bytes_confirmed == 10 * len(site.memory) == 20
    assert attempts(wire, 3) == 3


# -- servers that answer with a page -----------------------------------------------------------------------------------


def page(request: Request) -> str:
    """The page of a server that shows the same one with other numbers and names in it."""
    return PAGE.format(request.number, request.fields["resumableFilename"])


@pytest.mark.parametrize("workers", [1, 4])
def test_a_server_that_answers_each_chunk_with_its_page_is_asked_for_the_first(
    wire: ScriptedServer, make: Make, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    wire.behave = site = Site(lambda request: None, shows=page)
    options: dict[str, Any] = {"chunk_size": 10, "simultaneous_uploads": workers, "test_every_chunk": True}
    with Resumable(wire.url, **options) as session:
        files = [session.add_file(make(f"{number}.bin", 80)) for number in range(3)]
    assert all(file.is_complete() for file in files)
    assert len(site.memory) == len(wire.uploads) == 24
    canaries = [request for request in wire.tests if "canary" in request.identifier]
    assert len(canaries) == 1
    # Each worker may have its first answer before another's has been proven.
    assert 1 <= len(wire.tests) - 24 - len(canaries) <= workers
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


def test_an_accepted_page_is_noted_once_also_in_json(wire: ScriptedServer, make: Make) -> None:
    wire.behave = Site(lambda request: None, shows=page)
    code, objects, text = command(wire, make(size=80))
    assert code == 0
    (note,) = [each for each in objects if each["event"] == "note"]
    assert set(note) == {"event", "time", "kind", "text"}
    assert "Files of Ann" in note["text"]
    assert text.count("note: ") == 1


def test_a_page_of_another_kind_is_asked_about_anew(wire: ScriptedServer, make: Make) -> None:
    wire.behave = site = Site(says_from(5, LOGIN), shows=page)
    file = send(wire, make(size=80), trust_tests=True)
    assert type(file.error) is AuthenticationRefused
    assert file.bytes_confirmed == 10 * len(site.memory) == 40


def test_a_page_with_a_password_is_an_acceptance_if_the_chunk_is_there(wire: ScriptedServer, make: Make) -> None:
    wire.behave = Site(lambda request: None, shows=lambda request: LOGIN)
    assert send(wire, make(size=80)).is_complete()


@pytest.mark.parametrize(
    "test",
    [
        (200,),
        (200, PAGE),
        (200, '{"error": "who are you?"}'),
        (302, "", {"Location": "/login"}),
        (401,),
        (403,),
        (405,),
    ],
    ids=lambda answer: str(answer[0]),
)
def test_tests_that_cannot_tell_prove_no_page(wire: ScriptedServer, make: Make, test: Answer) -> None:
    # The chunks are stored; a refusal is right all the same, because nothing says so.
    wire.behave = Site(lambda request: None, lambda request: test, shows=page)
    file = send(wire, make(size=80), test_chunks=False)
    assert type(file.error) is ServerRefused
    assert file.bytes_confirmed == 0
    assert "accept_response" in str(file.error)
    assert attempts(wire, 1) == 3


def test_a_question_that_fails_is_asked_again_with_the_chunk(wire: ScriptedServer, make: Make) -> None:
    wire.behave = site = Site(lambda request: None, shows=page)

    def behave(request: Request) -> Answer | None:
        if request.chunk is not None or len(wire.tests) >= 3:
            return site(request)
        request.cut()
        return None

    wire.behave = behave
    assert send(wire, make(size=30), test_chunks=False).is_complete()
    assert attempts(wire, 1) > 1


def test_chunk_exists_decides_about_the_question_too(wire: ScriptedServer, make: Make) -> None:
    wire.behave = Site(lambda request: None, lambda request: (200, PAGE), shows=page)
    assert send(wire, make(size=30), chunk_exists=lambda response: True, test_chunks=False).is_complete()
    refused = send(wire, make("b.bin", 30), chunk_exists=lambda response: False, test_chunks=False)
    assert type(refused.error) is ServerRefused


def test_pages_that_all_differ_are_all_asked_about(wire: ScriptedServer, make: Make) -> None:
    def shows(request: Request) -> str:
        return f"<html><p>Stored {chr(97 + request.number // 26)}{chr(97 + request.number % 26)}</p></html>"

    wire.behave = Site(lambda request: None, shows=shows)
    assert send(wire, make(size=1000), test_chunks=False).is_complete()
    assert len([request for request in wire.tests if "canary" not in request.identifier]) == 100


@pytest.mark.parametrize("there", [True, False])
def test_an_answer_that_is_cut_is_asked_about(wire: ScriptedServer, make: Make, there: bool) -> None:
    long = '{"success": true, "files": [' + '"a.bin", ' * 10_000
    wire.behave = Site(lambda request: None if there else long, shows=lambda request: long)
    assert send(wire, make(size=20)).is_complete() is there


@pytest.mark.parametrize("there", [True, False])
def test_a_notice_of_php_is_asked_about(wire: ScriptedServer, make: Make, there: bool) -> None:
    notice = "<br />\n<b>Deprecated</b>:  Old thing in <b>/a.php</b> on line <b>3</b><br />\n"
    wire.behave = Site(lambda request: None if there else notice, shows=lambda request: notice)
    assert send(wire, make(size=20)).is_complete() is there


# -- errors under 200 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ERRORS.values(), ids=ERRORS)
def test_an_error_under_200_is_tried_three_times(wire: ScriptedServer, make: Make, body: str) -> None:
    wire.behave = site = Site(says_from(2, body))
    file = send(wire, make(size=30), max_chunk_retries=100)
    assert type(file.error) is ServerRefused
    assert (file.error.status, file.error.attempts) == (200, 3)
    assert file.bytes_confirmed == 10 * len(site.memory) == 10
    assert attempts(wire, 2) == 3
    assert "<" not in str(file.error) + (file.message or "")


@pytest.mark.parametrize("body", ERRORS.values(), ids=ERRORS)
def test_an_error_under_200_that_passes_is_none(wire: ScriptedServer, make: Make, body: str) -> None:
    wire.behave = site = Site(lambda request: body if request.number == 2 and attempts(wire, 2) < 2 else None)
    assert send(wire, make(size=30)).is_complete()
    assert len(site.memory) == 3


def test_fewer_retries_are_kept_to_and_a_hook_may_want_none(wire: ScriptedServer, make: Make) -> None:
    wire.behave = Site(says_from(1, ERRORS["json"]))
    file = send(wire, make(size=10), max_chunk_retries=0)
    assert type(file.error) is ServerRefused
    assert attempts(wire, 1) == 1
    assert type(send(wire, make(size=10), should_retry=lambda error, attempt: False).error) is ServerRefused
    assert attempts(wire, 1) == 2


def test_a_chunk_above_the_limit_of_php_is_refused_at_once_with_what_to_do(wire: ScriptedServer, make: Make) -> None:
    # 700 KiB in chunks of 200 KiB, of which the last has 300, where upload_max_filesize is 200K.
    limit = 200 << 10

    def says(request: Request) -> str | None:
        too_large = len(request.chunk or b"") > limit
        return f"29.11.2025: error 1 in file {request.fields['resumableFilename']}\r\n" if too_large else None

    wire.behave = Site(says, shows=lambda request: "")
    file = send(wire, make(size=700 << 10), chunk_size=limit)
    assert type(file.error) is ServerRefused
    assert file.error.chunk.number == 3
    assert attempts(wire, 3) == 1
    assert "chunk_size" in (file.error.hint or "")
    assert send(wire, make(size=700 << 10), chunk_size=limit, force_chunk_size=True).is_complete()


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_what_the_node_sample_refuses_is_refused_at_once(wire: ScriptedServer, make: Make, number: int) -> None:
    wire.behave = Site(says_from(1, f"invalid_resumable_request{number}"))
    assert type(send(wire, make(size=10)).error) is ServerRefused
    assert attempts(wire, 1) == 1


# -- whoever decides for himself ---------------------------------------------------------------------------------------


def test_accept_response_decides_about_pages_and_errors_and_nobody_is_asked(
    wire: ScriptedServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    wire.behave = Site(says_from(1, LOGIN))
    assert send(wire, make(size=30), accept_response=lambda response: True, test_chunks=False).is_complete()
    assert wire.tests == []
    assert caplog.records == []


def test_what_accept_response_leaves_open_the_rules_decide(wire: ScriptedServer, make: Make) -> None:
    wire.behave = Site(says_from(1, LOGIN))
    assert type(send(wire, make(size=30), accept_response=lambda response: None).error) is AuthenticationRefused


@pytest.mark.parametrize("decided", ["no", 1, {"stored": False}])
def test_accept_response_must_say_yes_or_no(wire: ScriptedServer, make: Make, decided: Any) -> None:
    file = send(wire, make(size=30), accept_response=lambda response: decided)
    assert type(file.error) is HookError
    assert file.bytes_confirmed == 0


# -- flags of the command ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ([], 6),
        (["--accept", "200:(?i)log in"], 0),
        (["--accept", "*:(?i)log in"], 0),
        (["--accept", "201:(?i)log in"], 6),
        (["--accept", "200:welcome"], 6),
        (["--accept", "200:", "--reject", "200:type=.password"], 4),
        (["--reject", "200:"], 4),
    ],
)
def test_accept_and_reject_decide_by_status_and_pattern(
    wire: ScriptedServer, make: Make, flags: list[str], code: int
) -> None:
    wire.behave = Site(says_from(1, LOGIN))
    found, objects, _ = command(wire, make(size=30), *flags)
    assert found == code
    assert objects[-1]["succeeded"] == (code == 0)


def test_reject_makes_a_plain_answer_a_refusal(wire: ScriptedServer, make: Make) -> None:
    wire.behave = Site(lambda request: "queued, not stored" if request.number == 2 else None)
    assert command(wire, make(size=30))[0] == 0
    assert command(wire, make("b.bin", 30), "--reject", "200:not stored")[0] == 4


@pytest.mark.parametrize("pattern", ["200", "ok:200", ":x", "20:x", "600:x", "200:(", "202:queued"])
@pytest.mark.parametrize("flag", ["--accept", "--reject"])
def test_a_pattern_that_cannot_decide_is_a_usage_error(
    wire: ScriptedServer, make: Make, flag: str, pattern: str
) -> None:
    assert command(wire, make(size=30), flag, pattern)[0] == 2
    assert wire.requests == []


def test_accept_decides_about_every_status_of_success(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (404,) if request.chunk is None else (202, LOGIN)
    flags = ("--success-statuses", "200,202", "--accept", "202:log in")
    assert command(wire, make(size=30), *flags)[0] == 0


@pytest.mark.parametrize(
    ("yes", "no"),
    [("was saved", "wasn't saved"), (f"{'menu ' * 500} was saved", f"{'menu ' * 500} could not be saved")],
    ids=["apostrophe", "behind a long menu"],
)
def test_a_page_that_differs_in_one_word_is_asked_about_anew(
    wire: ScriptedServer, make: Make, yes: str, no: str
) -> None:
    body = "<html><body>The chunk {}</body></html>"
    wire.behave = site = Site(says_from(5, body.format(no)), shows=lambda request: body.format(yes))
    file = send(wire, make(size=80))
    assert type(file.error) is ServerRefused
    assert file.bytes_confirmed == 10 * len(site.memory) == 40


@pytest.mark.parametrize("body", [EXPIRED, LOGIN], ids=["expired", "log-in"])
def test_a_chunk_that_was_there_before_proves_no_page_for_others(wire: ScriptedServer, make: Make, body: str) -> None:
    # Nothing is tested before it is sent, so the first chunk may be there since an earlier upload; and it is.
    path = make(size=80)
    wire.behave = site = Site(lambda request: None)
    assert send(wire, path, test_chunks=False).is_complete()
    for _, number in list(site.memory):
        if number > 3:
            del site.memory[next(iter(site.memory))[0], number]
    wire.behave = Site(says_from(1, body))
    wire.behave.memory = site.memory
    file = send(wire, path, test_chunks=False)
    assert isinstance(file.error, ServerRefused)
    assert file.bytes_confirmed <= 10 * len(site.memory) == 30


def test_without_tests_each_page_is_asked_about(wire: ScriptedServer, make: Make) -> None:
    wire.behave = site = Site(lambda request: None, shows=page)
    assert send(wire, make(size=80), test_chunks=False).is_complete()
    assert len(site.memory) == len(wire.uploads) == 8
    assert len([request for request in wire.tests if "canary" not in request.identifier]) == 8


# -- an answer that comes before the chunk -----------------------------------------------------------------------------

LARGE = 600_000
"""Bytes that do not fit into what a system keeps for a program which does not read them."""

EARLY = head(200, {"Content-Length": "2"}) + b"ok"

SESSIONS = pytest.mark.parametrize("session", [None, requests.Session], ids=["fast", "session"])


@SESSIONS
def test_a_yes_that_came_before_the_chunk_is_no_proof(make: Make, session: Any) -> None:
    """The server looks at the head, and stores nothing."""

    def step(request: Request) -> None:
        if request.method == "GET":
            answer(404)(request)
        else:
            request.send(EARLY)
            request.hold()

    with ScriptedServer(otherwise=step, receive_buffer=4096) as server:
        file = send(server, make("a.bin", LARGE), chunk_size=LARGE, session=session)
        sent = server.uploads
    assert isinstance(file.error, ServerRefused)
    assert "before the chunk" in str(file.error)
    # None is sent on a connection where the rest of another may still be in the way.
    assert len({request.connection for request in sent}) == len(sent) == 3


@SESSIONS
def test_a_server_that_says_yes_before_it_reads_the_chunk_is_asked_for_it(make: Make, session: Any) -> None:
    store = Store()
    said, asked, stored = threading.Event(), threading.Event(), threading.Event()

    def step(request: Request) -> None:
        if request.method == "POST":
            request.send(EARLY)
            said.set()
            assert asked.wait(PATIENCE)
            store(request)
            stored.set()
        elif said.is_set():
            asked.set()
            assert stored.wait(PATIENCE)
            answer(store(request)[0])(request)
        else:
            answer(404)(request)

    with ScriptedServer(otherwise=step, receive_buffer=4096) as server:
        path = make("a.bin", LARGE)
        file = send(server, path, chunk_size=LARGE, session=session)
        assert len(server.uploads) == 1
    assert file.error is None
    assert store.content(file.unique_identifier or "") == path.read_bytes()


@SESSIONS
def test_interim_answers_before_the_chunk_do_no_harm(make: Make, session: Any) -> None:
    store = Store()

    def step(request: Request) -> None:
        request.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 3)
        answer(store(request)[0], read=False)(request)

    with ScriptedServer(otherwise=step) as server:
        file = send(server, make("a.bin", LARGE), chunk_size=LARGE, session=session)
        assert len(server.requests) == 2
    assert file.error is None
