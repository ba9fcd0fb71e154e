"""``resumable conformance``: what it says of servers, to people and to programs."""

from __future__ import annotations

import signal
import threading
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from support.certificates import server_context
from support.command import Run
from support.mutants import MUTATIONS, RightServer
from support.scripted_server import Answer, Request, ScriptedServer, answer, hold, raw

from resumable.receiver import FileStore, Receiver, Server
from resumable.testing import CHECKS

pytestmark = pytest.mark.once

ONE = "--only", "small-file"


@pytest.fixture
def broken(received: Path) -> Iterator[ScriptedServer]:
    """A server that refuses a last chunk that is longer than the others."""
    server = MUTATIONS["long-last-chunk"](received)
    with ScriptedServer(otherwise=server) as server.server:
        yield server.server


def lines(text: str) -> dict[str, str]:
    """What is said of each check: the first word of its line."""
    words = [line.split() for line in text.splitlines()]
    return {line[1]: line[0] for line in words if line[0] in ("ok", "FAILED", "skipped")}


def test_the_help_says_how_large_the_chunks_of_the_checks_are(run: Run) -> None:
    assert "[default: 32 KiB]" in " ".join(run("conformance", "--help-all").out.split())


def test_a_server_that_does_everything_right_is_told_so(run: Run, server: Server, received: Path) -> None:
    ran = run("conformance", server.url, "--files", str(received), "--chunk-size", "1k")
    assert ran.code == 0, ran.err
    assert lines(ran.err) == {check.name: "ok" for check in CHECKS}
    assert ran.out == ""
    assert f"{len(CHECKS)} checks passed, 0 failed, 0 skipped" in ran.text


def test_what_is_left_at_the_server_is_counted(run: Run, server: Server, received: Path) -> None:
    ran = run("conformance", server.url, "--only", "stored-chunk", "--only", "two-files")
    assert "2 files, and parts of 1 other file; delete them" in ran.text
    assert "done: 2 checks passed, 0 failed" in ran.text
    assert len([path for path in received.iterdir() if path.name.startswith("check-")]) == 2
    assert "left" not in run("conformance", server.url, "--only", "missing-chunk").text


def test_what_is_left_can_be_removed_from_the_directory(run: Run, server: Server, received: Path) -> None:
    (received / "check-000000000000.bin").write_text("mine")
    names = "two-files", "file-in-folder", "letters-in-names", "stored-chunk"
    ran = run(
        "conformance", server.url, "--files", str(received), "--remove", *[w for n in names for w in ("--only", n)]
    )
    assert ran.code == 0
    assert "removed 4 files" in ran.text
    assert "left parts of 1 file" in ran.text
    assert [path.name for path in received.iterdir() if path.name != ".resumable"] == ["check-000000000000.bin"]


def test_a_file_that_was_stored_though_the_server_said_otherwise_is_removed(run: Run, received: Path) -> None:
    right = RightServer(received)

    def fails(request: Request) -> Answer:
        told = right(request)
        return told if request.chunk is None else (500, "stored, and then something else failed")

    with ScriptedServer(otherwise=fails) as server:
        ran = run("conformance", server.url, "--files", str(received), "--remove", *ONE)
    assert ran.code == 1
    assert "removed 1 file" in ran.text
    assert "left" not in ran.text
    assert list(received.iterdir()) == []


def test_ctrl_c_ends_it_and_says_what_is_left(
    run: Run, received: Path, work: Path, signalled: Callable[[int, Callable[[], object]], None]
) -> None:
    right = RightServer(received)

    def behave(request: Request) -> Answer | None:
        return right(request) if request.chunk is None or request.number == 1 else None

    with ScriptedServer(behave=behave) as server:
        signalled(signal.SIGINT, server.wait_held)
        ran = run("conformance", server.url, "--only", "chunks-in-order", "--json", "--junit", "out.xml")
        assert ran.code == 130
        assert ET.parse(work / "out.xml").getroot()[0][0][0].get("message") == "stopped by Ctrl-C"
        assert "left parts of 1 file" in ran.text


def test_a_check_that_fails_says_what_was_answered_and_what_the_server_needs(run: Run, broken: ScriptedServer) -> None:
    ran = run("conformance", broken.url, "--chunk-size", "1k", "--only", "chunks-in-order", "--only", "long-last-chunk")
    assert ran.code == 1
    assert lines(ran.err) == {"chunks-in-order": "ok", "long-last-chunk": "FAILED"}
    (check,) = (check for check in CHECKS if check.name == "long-last-chunk")
    assert f'{check.sentence} → POST of chunk 3 of 3 → 413 "too large"' in ran.err
    assert check.needs in ran.err


def test_only_what_a_server_must_do_decides_unless_it_is_strict(run: Run, received: Path) -> None:
    server = MUTATIONS["no-number"](received)
    with ScriptedServer(otherwise=server) as server.server:
        wanted = "conformance", server.server.url, "--only", "no-number"
        assert run(*wanted).code == 0
        assert run(*wanted, "--strict").code == 1


def test_what_another_check_makes_pointless_is_skipped(run: Run, received: Path) -> None:
    server = MUTATIONS["chunks-in-order"](received)
    with ScriptedServer(otherwise=server) as server.server:
        ran = run("conformance", server.server.url, "--chunk-size", "1k")
    assert ran.code == 1
    assert lines(ran.err)["backwards"] == "skipped"
    assert lines(ran.err)["empty-file"] == "ok"


def test_without_the_files_what_is_about_them_is_skipped(run: Run, server: Server) -> None:
    ran = run("conformance", server.url, "--chunk-size", "1k")
    assert ran.code == 0
    skipped = {name for name, word in lines(ran.err).items() if word == "skipped"}
    assert skipped == {
        "edited-file", "identifier-stays-inside", "path-stays-inside", "same-name", "same-name-in-two-folders",
        "two-files-of-one-name",
    }  # fmt: skip
    assert "--files DIRECTORY" in ran.err


def test_json_has_an_object_for_each_check_and_a_result(run: Run, broken: ScriptedServer) -> None:
    ran = run("conformance", broken.url, "--json", "--only", "small-file", "--only", "long-last-chunk")
    one, other, result = ran.events
    assert (one["event"], one["name"], one["outcome"], one["severity"], one["needs"]) == (
        "check", "small-file", "passed", "must", "",
    )  # fmt: skip
    assert (other["name"], other["outcome"]) == ("long-last-chunk", "failed")
    assert all(other[field] for field in ("reason", "needs", "sentence"))
    assert 0 < one.pop("time") <= other.pop("time") <= result.pop("time")
    assert result == {"event": "result", "exit_code": 1, "passed": 1, "failed": 1, "skipped": 0, "broken": 1}


def test_junit_has_a_case_for_each_check(run: Run, received: Path, work: Path) -> None:
    server = MUTATIONS["chunks-in-order"](received)
    with ScriptedServer(otherwise=server) as server.server:
        names = "small-file", "chunks-in-order", "backwards"
        ran = run("conformance", server.server.url, "--junit", "out.xml", *[w for n in names for w in ("--only", n)])
    assert ran.code == 1
    suite = ET.parse(work / "out.xml").getroot()[0]
    assert {name: suite.get(name) for name in ("tests", "failures", "skipped", "errors")} == {
        "tests": "3", "failures": "1", "skipped": "1", "errors": "0",
    }  # fmt: skip
    found = {case.get("name"): [child.tag for child in case] for case in suite}
    assert found == {"small-file": [], "chunks-in-order": ["failure"], "backwards": ["skipped"]}


def test_an_answer_may_have_any_bytes(run: Run, work: Path) -> None:
    with ScriptedServer(otherwise=answer(500, b"\x00\x1b[31m\xff\n<red>")) as hostile:
        ran = run("conformance", hostile.url, "--only", "small-file", "--junit", "out.xml", "--json")
    assert ran.code == 1
    assert not {"\x1b", "\x00"} & set(ran.err)
    assert ET.parse(work / "out.xml").getroot()[0].get("failures") == "1"
    assert len(ran.events) == 2


def test_a_report_that_cannot_be_written_is_told_of(run: Run, server: Server) -> None:
    ran = run("conformance", server.url, *ONE, "--junit", "nowhere/out.xml", "--json")
    assert (ran.code, ran.events[-1]["exit_code"]) == (9, 9)
    assert "nowhere/out.xml" in ran.err


def test_a_server_that_is_not_there_is_no_failed_check_but_an_error_of_the_report(
    run: Run, silent_port: int, work: Path
) -> None:
    ran = run("conformance", f"http://127.0.0.1:{silent_port}/", "--json", "--junit", "out.xml")
    assert ran.code == 5
    assert "no check was made" in ran.err
    assert ran.events[-1]["exit_code"] == 5
    suite = ET.parse(work / "out.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "0", "1")
    assert "no check was made: Connection refused" in (suite[0][0].get("message") or "")
    (result,) = run("conformance", "nothing", "--json").events
    assert (result["exit_code"], result["reason"]) == (2, "TARGET must be an http:// or https:// URL; got 'nothing'")


def test_a_certificate_that_is_not_trusted_is_no_failed_check(run: Run, work: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(work / "ca.pem")
    server = RightServer(work / "files")
    with ScriptedServer(otherwise=server, context=server_context(authority)) as scripted:
        ran = run("conformance", scripted.url, *ONE)
        assert ran.code == 7
        assert "--cacert" in ran.err
        assert run("conformance", scripted.url, *ONE, "--cacert", "ca.pem").code == 0


def test_who_is_not_admitted_is_told_how_to_be(run: Run, received: Path, work: Path) -> None:
    (work / "token").write_text("s3cret")
    with Server(Receiver(FileStore(received, fsync="never"), token="s3cret")) as server:
        ran = run("conformance", server.url)
        assert ran.code == 6
        assert "--token-file" in ran.err
        assert run("conformance", server.url, *ONE, "--token-file", "token").code == 0


def test_a_server_may_be_an_endpoint_of_the_configuration(run: Run, received: Path, work: Path) -> None:
    (work / "token").write_text("s3cret")
    with Server(Receiver(FileStore(received, fsync="never"), token="s3cret", dialect="flowjs")) as server:
        (work / "config.toml").write_text(
            f'[endpoint.lab]\nurl = "{server.url}"\ntoken_file = "token"\ndialect = "flowjs"\n'
        )
        assert run("conformance", "lab:", *ONE, "--config", "config.toml").code == 0


def test_a_redirect_is_shown_and_not_followed(run: Run) -> None:
    with ScriptedServer(otherwise=answer(302, Location="http://user:pw@example.org/login")) as away:
        ran = run("conformance", away.url, *ONE)
    assert ran.code == 1
    assert "302" in ran.err
    assert "example.org/login" in ran.err
    assert "pw@" not in ran.err
    assert "All uploads were answered with 302: use the new address as the target." in ran.text


def test_a_redirect_that_leads_nowhere_is_no_answer(run: Run) -> None:
    with ScriptedServer(otherwise=answer(302, Location="http://[wrong")) as away:
        assert run("conformance", away.url, *ONE).code == 5


def test_informational_answers_are_passed_over(run: Run, received: Path) -> None:
    right = RightServer(received)

    def hinting(request: Request) -> Answer:
        reply = right(request)
        request.send(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        return reply

    with ScriptedServer(otherwise=hinting) as right.server:
        ran = run("conformance", right.server.url, "--files", str(received), *ONE)
    assert ran.code == 0, ran.err
    with ScriptedServer(otherwise=raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200)) as endless:
        assert "informational answers and no final one" in run("conformance", endless.url, *ONE).text


def test_a_body_that_is_not_in_the_coding_it_names_is_said_to_be_so(run: Run) -> None:
    with ScriptedServer(otherwise=answer(200, b"plain", Content_Encoding="gzip")) as wrong:
        ran = run("conformance", wrong.url, *ONE)
    assert "its body is not in the coding that its Content-Encoding names" in ran.text
    assert "failed to decode" not in ran.text


@pytest.mark.slow
def test_an_answer_without_end_is_read_as_far_as_needed(run: Run) -> None:
    def pour(request: Request) -> None:
        request.read()
        request.send(b"HTTP/1.1 500 Never\r\n\r\n")
        while True:
            request.send(bytes(65536))

    with ScriptedServer(otherwise=pour) as endless:
        assert run("conformance", endless.url, *ONE).code == 1


def test_a_server_that_does_not_answer_is_not_waited_for_by_each_check(run: Run) -> None:
    def dawdle(request: Request) -> None:
        request.read()
        if request.method == "GET":
            request.answer(204)
            return
        # An answer that never ends is none.
        request.send(b"HTTP/1.1 200 Fine\r\n\r\n")
        while True:
            request.send(b".")
            time.sleep(0.05)

    with ScriptedServer(otherwise=dawdle) as slow:
        ran = run("conformance", slow.url, "--timeout", "0.3", "--json")
    assert ran.code == 1
    outcomes = Counter(event["outcome"] for event in ran.events if event["event"] == "check")
    assert outcomes["failed"] <= 4
    assert "the server has left 3 requests without an answer" in ran.err


def test_a_server_that_dies_half_way_is_not_blamed_by_each_check_after_that(run: Run, received: Path) -> None:
    right = RightServer(received)

    def behave(request: Request) -> Answer | None:
        return right(request) if server.begun < 8 else None

    def die() -> None:
        server.wait_held()
        server.__exit__(None, None, None)

    server = ScriptedServer(behave=behave).__enter__()
    thread = threading.Thread(target=die)
    thread.start()
    ran = run("conformance", server.url, "--json")
    thread.join()
    assert ran.code == 1
    outcomes = Counter(event["outcome"] for event in ran.events if event["event"] == "check")
    assert outcomes["failed"] <= 4
    assert "the server has left 3 requests without an answer" in ran.err


def test_a_fragment_of_the_url_stays_behind_the_parameters(run: Run, server: Server) -> None:
    ran = run("conformance", f"{server.url}?a=b#c", "--only", "stored-chunk", "--only", "chunk-as-body", "--strict")
    assert ran.code == 0, ran.err


def test_a_server_that_takes_requests_and_never_answers_is_said_not_to_answer(run: Run) -> None:
    with ScriptedServer(otherwise=hold) as silent:
        ran = run("conformance", silent.url, "--timeout", "0.3")
    assert ran.code == 5
    assert "connection could be made" not in ran.err


def test_a_server_that_breaks_connections_fails(run: Run, received: Path) -> None:
    right = RightServer(received)

    def step(request: Request) -> Answer | None:
        if request.chunk is None:
            return right(request)
        request.reset()
        return None

    with ScriptedServer(otherwise=step) as breaking:
        ran = run("conformance", breaking.url, *ONE)
    assert ran.code == 1
    assert "no answer: " in ran.err


def test_the_checks_can_be_listed(run: Run) -> None:
    ran = run("conformance", "--list")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == [check.name for check in CHECKS]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "TARGET"),
        (("ftp://example.org/",), "TARGET"),
        (("http://example.org/", "--only", "nothing"), "--list"),
        (("http://example.org/", "--chunk-size", "3"), "--chunk-size"),
        (("http://example.org/", "--files", "nowhere"), "nowhere"),
        (("http://example.org/", "--remove"), "--files"),
        (("http://example.org/", "--token-env", "NOT_SET"), "NOT_SET"),
    ],
)
def test_a_wrong_command_line_is_told_before_anything_is_sent(run: Run, arguments: tuple[str, ...], named: str) -> None:
    ran = run("conformance", *arguments)
    assert ran.code == 2
    assert named in ran.err
