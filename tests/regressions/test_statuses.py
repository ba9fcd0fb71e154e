"""Statuses that no retry changes: they fail at once, or after a few attempts, and not after most of an hour."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from support.client import content, upload
from support.scripted_server import ScriptedServer, answer

from resumable.errors import (
    AuthenticationRefused,
    RedirectRefused,
    RetriesExhausted,
    ServerRefused,
)
from resumable.options import Options
from resumable.protocol.verdict import Rules, Verdict
from resumable.statuses import (
    FEW_ATTEMPTS,
    PERMANENT_ERRORS,
    STATUSES,
    Decision,
    decide,
    hint,
    most_attempts,
)

BLIND = {"test_chunks": False}

DECISIONS = {
    Decision.STORED: {200, 201},
    Decision.PERMANENT: {
        300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 411, 412, 413, 414,
        415, 416, 417, 422, 426, 428, 431, 450, 451, 463, 464, 494, 495, 496, 497, 500, 501, 505, 506, 510, 561,
    },
    Decision.FEW: {
        100, 101, 102, 103, 202, 203, 204, 205, 206, 207, 208, 226, 418, 419, 421, 424, 440, 449, 460, 498, 508, 526,
    },
    Decision.RETRY: {408, 420, 423, 425, 507, 509, 511, 521, 523, 525, 529, 530, 599},
    Decision.ASK: {444, 499, 502, 504, 520, 522, 524, 527, 598},
    Decision.BUSY: {429, 503},
}  # fmt: skip


@pytest.mark.parametrize("decision", Decision)
def test_each_status_is_decided_once(decision: Decision) -> None:
    assert {code for code, row in STATUSES.items() if row.decision is decision} == DECISIONS[decision]


def test_every_registered_status_is_in_the_table_in_order_and_with_a_reason() -> None:
    assert {status.value for status in HTTPStatus} <= STATUSES.keys()
    assert list(STATUSES) == sorted(STATUSES)
    assert all(row.name and row.reason.endswith(".") and row.code == code for code, row in STATUSES.items())


@pytest.mark.parametrize(
    ("status", "decision"),
    [
        (199, Decision.FEW),
        (299, Decision.FEW),
        (306, Decision.PERMANENT),
        (399, Decision.PERMANENT),
        (432, Decision.FEW),
        (555, Decision.RETRY),
        (999, Decision.FEW),
    ],
)
def test_what_is_done_about_a_status_that_nobody_knows(status: int, decision: Decision) -> None:
    assert decide(status) is decision
    assert most_attempts(status) == (FEW_ATTEMPTS if decision is Decision.FEW else None)
    assert hint(status) is None


@pytest.mark.parametrize("status", STATUSES)
def test_the_rules_and_the_options_follow_the_table(status: int) -> None:
    verdict = {Decision.STORED: Verdict.STORED, Decision.PERMANENT: Verdict.FATAL}
    assert Rules().upload(status) is verdict.get(decide(status), Verdict.RETRY)
    assert Options().permanent_errors == PERMANENT_ERRORS


@pytest.mark.parametrize("status", sorted(DECISIONS[Decision.PERMANENT]))
def test_what_is_permanent_fails_with_one_request(status: int) -> None:
    with ScriptedServer(answer(status)) as server:
        run = upload(server.url, content(10), **BLIND)
        assert len(server.requests) == 1
    kind: Any = RedirectRefused if status < 400 else ServerRefused
    assert isinstance(run.error, AuthenticationRefused if status in (401, 403, 407) else kind)
    assert (run.error.status, run.error.attempts) == (status, 1)


@pytest.mark.parametrize("status", [204, 206, 299, 418, 419, 432, 440, 460, 498, 508, 526])
def test_what_hardly_helps_is_tried_five_times(status: int) -> None:
    with ScriptedServer(*[answer(status)] * FEW_ATTEMPTS) as server:
        run = upload(server.url, content(10), **BLIND)
        assert len(server.requests) == FEW_ATTEMPTS
    assert isinstance(run.error, RetriesExhausted)
    assert (run.error.status, run.error.attempts) == (status, FEW_ATTEMPTS)
    assert "of 101" not in str(run.error)


@pytest.mark.parametrize("status", sorted((DECISIONS[Decision.RETRY] | DECISIONS[Decision.ASK]) - {408} | {555}))
def test_what_passes_is_tried_more_often(status: int) -> None:
    with ScriptedServer(*[answer(status)] * (FEW_ATTEMPTS + 1), answer()) as server:
        run = upload(server.url, content(10), **BLIND)
    assert run.count("file_success") == 1
    assert run.count("chunk_retry") == FEW_ATTEMPTS + 1


def test_few_attempts_do_not_count_other_failures() -> None:
    with ScriptedServer(answer(502), answer(502), *[answer(204), answer(502)] * 4, answer(204)) as server:
        run = upload(server.url, content(10), **BLIND)
    assert isinstance(run.error, RetriesExhausted)
    assert (run.error.status, run.error.attempts) == (204, 11)


def test_fewer_retries_than_the_few_are_what_the_user_said() -> None:
    with ScriptedServer(answer(204), answer(204)) as server:
        run = upload(server.url, content(10), max_chunk_retries=1, **BLIND)
    assert (run.error.status, run.error.attempts) == (204, 2)


@pytest.mark.parametrize("decides", [True, None])
def test_should_retry_has_more_to_say_than_the_table(decides: bool | None) -> None:
    with ScriptedServer(
        *[answer(402 if decides else 502)] * 7, *[answer(204 if decides else 502)] * 7, answer()
    ) as server:
        run = upload(server.url, content(10), should_retry=lambda error, attempt: decides, **BLIND)
    assert run.count("file_success") == 1
    with ScriptedServer(answer(402)) as server:
        run = upload(server.url, content(10), should_retry=lambda error, attempt: "no", **BLIND)  # type: ignore[arg-type, return-value, unused-ignore]
    assert str(run.error).startswith("hook should_retry returned str, not True, False or None")


def test_a_list_of_ones_own_replaces_the_permanent_errors() -> None:
    with ScriptedServer(*[answer(402)] * 7, answer(204)) as server:
        run = upload(server.url, content(10), permanent_errors=[204], **BLIND)
    assert isinstance(run.error, ServerRefused)
    assert run.error.status == 204


@pytest.mark.parametrize("status", [414, 431, 494])
def test_a_url_that_is_too_long_has_a_hint_that_makes_it_shorter(status: int) -> None:
    with ScriptedServer(answer(status)) as server:
        run = upload(server.url, content(10), **BLIND)
    assert 'params_in="form"' in run.error.hint
    with ScriptedServer(answer()) as server:
        assert upload(server.url, content(10), params_in="form", **BLIND).count("file_success") == 1
        assert "?" not in server.requests[0].target


def test_a_status_that_this_server_may_mean_as_success_has_a_hint_and_the_option_works() -> None:
    with ScriptedServer(*[answer(204)] * FEW_ATTEMPTS) as server:
        run = upload(server.url, content(10), **BLIND)
    assert "success_statuses" in run.error.hint
    with ScriptedServer(answer(204)) as server:
        assert upload(server.url, content(10), success_statuses=(200, 201, 204), **BLIND).count("file_success") == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_that_leads_nowhere_has_a_hint_that_can_be_followed(status: int) -> None:
    with ScriptedServer(answer(status)) as server:
        run = upload(server.url, content(10), **BLIND)
    assert run.error.hint == "check the target"
