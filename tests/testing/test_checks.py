"""Each check finds the error that it is about, and no other; servers that do everything right pass all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.mutants import MUTATIONS, Racing, RightServer
from support.scripted_server import Answer, Request, ScriptedServer, Store, answer
from support.sizes import sized

from resumable import OptionError, UnknownOption
from resumable.protocol.parameters import ParameterNames
from resumable.receiver import FileStore, Receiver, Server
from resumable.testing import CHECKS, Check, CheckOutcome, CheckResult, Target, run_checks
from resumable.testing.checks import refusals
from resumable.testing.runner import select

pytestmark = pytest.mark.slow

NAMES = [check.name for check in CHECKS]


def checked(url: str, directory: Path, checks: Sequence[Check] = CHECKS, **options: Any) -> list[CheckResult]:
    with Target(url, files=directory, chunk_size=1024, **options) as target:
        return list(run_checks(target, checks))


def ended(results: Sequence[CheckResult], outcome: CheckOutcome) -> dict[str, str]:
    return {result.check.name: result.reason for result in results if result.outcome is outcome}


def passed_all(results: Sequence[CheckResult], skipped: Mapping[str, str]) -> bool:
    assert ended(results, CheckOutcome.FAILED) == {}
    assert ended(results, CheckOutcome.SKIPPED) == skipped
    return [result.check.name for result in results] == NAMES


def test_the_right_server_passes_all_checks(received: Path) -> None:
    with ScriptedServer(otherwise=RightServer(received)) as scripted:
        assert passed_all(checked(scripted.url, received), {})


def test_the_store_of_other_tests_takes_what_clients_send() -> None:
    senseless = {check.name for check in refusals.CHECKS} | {"short-chunk", "test-without-identifier"}
    with ScriptedServer(behave=Store()) as scripted, Target(scripted.url, chunk_size=1024) as target:
        results = list(run_checks(target, [check for check in CHECKS if check.name not in senseless]))
    assert ended(results, CheckOutcome.FAILED) == {}


def test_every_check_has_a_server_that_fails_it() -> None:
    assert sorted(MUTATIONS) == sorted(NAMES)


def beside(name: str) -> list[Check]:
    """The check, one in four of the others, or each of them at night, and those that all these need."""
    step = sized(4, 1)
    wanted = {name, *NAMES[NAMES.index(name) % step :: step]}
    for check in reversed(CHECKS):
        if check.name in wanted:
            wanted.update(check.after)
    return [check for check in CHECKS if check.name in wanted]


@pytest.mark.once
@pytest.mark.unmeasured
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_fails_its_check_and_no_other(name: str, received: Path) -> None:
    server = MUTATIONS[name](received)
    # Whether two requests meet at the server is up to the machine, so they try more than once.
    rounds = 5 if isinstance(server, Racing) else 1
    with ScriptedServer(otherwise=server) as server.server:
        results = checked(server.server.url, received, beside(name), patience=0.0, rounds=rounds)
    assert list(ended(results, CheckOutcome.FAILED)) == [name]
    # Without that, some others can say nothing.
    silent = {name}
    for check in beside(name):
        if silent & set(check.after):
            silent.add(check.name)
    assert set(ended(results, CheckOutcome.SKIPPED)) == silent - {name}


def test_a_check_comes_after_those_that_it_needs() -> None:
    for number, check in enumerate(CHECKS):
        assert set(check.after) <= set(NAMES[:number])


@pytest.mark.parametrize(
    "names", [{}, {"dialect": "flowjs"}, {"names": ParameterNames(namespace="up_")}], ids=["js", "flow", "namespace"]
)
def test_the_receiver_passes_all_checks(received: Path, names: dict[str, Any]) -> None:
    receiver = Receiver(FileStore(received, fsync="never"), **names)
    options = {f"{field}_parameter_name": value for field, value in receiver.names._asdict().items()}
    options["parameter_namespace"] = options.pop("namespace_parameter_name")
    with Server(receiver) as server:
        assert passed_all(checked(server.url, received, **options), {})


@pytest.mark.parametrize(
    ("options", "skipped"),
    [
        ({"params_in": "form"}, {"parameters-in-query", "chunk-as-body"}),
        ({"params_in": "query"}, {"parameters-in-form"}),
        ({"method": "octet"}, {"parameters-in-form"}),
    ],
)
def test_what_the_user_says_of_parameters_holds_for_all_requests(
    received: Path, options: dict[str, Any], skipped: set[str]
) -> None:
    names = ("small-file", "chunks-in-order", "parameters-in-query", "parameters-in-form", "chunk-as-body")
    with ScriptedServer(otherwise=RightServer(received)) as server:
        target = Target(server.url, files=received, chunk_size=1024, **options)
        results = list(run_checks(target, select(names)))
        target.close()
        sent = [request for request in server.requests[1:3] if request.chunk]
    assert ended(results, CheckOutcome.FAILED) == {}
    assert set(ended(results, CheckOutcome.SKIPPED)) == skipped
    assert all(bool(request.query) == (options != {"params_in": "form"}) for request in sent)
    assert all(bool(request.form) == (options == {"params_in": "form"}) for request in sent)


class Limited(RightServer):
    """Takes no two requests in a row, and no two on one connection, which it does not say."""

    before = False
    seen = -1

    def __call__(self, request: Request) -> Answer | None:
        if request.connection == self.seen:
            request.read()
            request.close()
            return None
        self.before, self.seen = not self.before, request.connection
        if self.before:
            request.read()
            return 429, "slow down", {"Retry-After": "0"}
        return super().__call__(request)


def test_a_server_that_limits_requests_and_closes_connections_fails_no_check_for_that(received: Path) -> None:
    names = "small-file", "chunks-in-order", "missing-chunk", "status-of-missing", "resume", "no-parameters"
    with ScriptedServer(otherwise=Limited(received)) as server:
        results = checked(server.url, received, select(names))
    assert {result.outcome for result in results} == {CheckOutcome.PASSED}, ended(results, CheckOutcome.FAILED)


def test_a_server_that_is_always_busy_is_waited_for_three_times(received: Path) -> None:
    busy = answer(429, b"slow down", Retry_After="0")
    with ScriptedServer(otherwise=busy) as server:
        results = checked(server.url, received, select(["small-file", "any-bytes", "many-chunks"]))
        asked = len(server.requests)
    assert ended(results, CheckOutcome.FAILED)["small-file"] == 'POST of chunk 1 of 1 → 429 "slow down"'
    assert asked == 3 * 4 + 1, "the question before all checks, two checks, and one that does not wait any more"


def test_an_option_that_no_session_has_is_refused() -> None:
    with pytest.raises(UnknownOption, match="headers"):
        Target("http://example.org/", header={})
    with pytest.raises(OptionError, match="chunk_size"):
        Target("http://example.org/", chunk_size=1)
