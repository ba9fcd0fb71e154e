"""What a person reads when the other side is not what it should be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.command import Run
from support.program import Program
from support.scripted_server import Request, ScriptedServer, answer, raw

from resumable.receiver import Receiver, Server

Make = Callable[..., Path]
PAGE = b"<!DOCTYPE html><html><body><h1>Welcome</h1></body></html>"


def test_a_wrong_path_is_named_with_the_answer_and_what_to_do(run: Run, make: Make, received: Path) -> None:
    make()
    with Server(Receiver(received)) as server:
        target = f"{server.url}uploads-here"
        ran = run("upload", "a.bin", target)
    assert ran.code == 4
    assert f"chunk 1/1 of 'a.bin' refused: POST {target} → 404" in ran.text
    assert "check the target" in ran.text


@pytest.mark.parametrize("name", ["a.bin", "certificate.pdf", "a (attempt 1); b.bin"])
def test_the_advice_does_not_depend_on_the_name_of_the_file(run: Run, make: Make, name: str) -> None:
    make(name)
    ran = run("upload", name, "http://nowhere.invalid/")
    assert ran.code == 5
    assert (
        f"of {name!r} failed: POST http://nowhere.invalid/ → the host of http://nowhere.invalid is unknown" in ran.text
    )
    assert "(not retried); check the target\n" in ran.err


def test_a_server_that_is_down_is_named_at_the_first_failure(
    start: Callable[..., Program], make: Make, silent_port: int
) -> None:
    make()
    process = start("upload", "a.bin", f"http://me:s3cret@127.0.0.1:{silent_port}/there?token=s3cret")
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line == (
        f"waiting: cannot reach http://127.0.0.1:{silent_port}/there: Connection refused; trying again for up to 5 min "
        "(--retry-for)\n"
    )


def test_a_server_that_comes_back_is_used(run: Run, make: Make) -> None:
    make()
    with ScriptedServer(answer(503, b"out for lunch", Retry_After="0"), otherwise=answer()) as server:
        ran = run("upload", "--no-test-chunks", "a.bin", server.url)
    assert ran.code == 0
    assert f"waiting: {server.url}: the server answered 503 'out for lunch'; trying again for up to 5 min" in ran.text
    assert "1 file uploaded" in ran.text


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "the server's answer was cut short"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the server's answer is not HTTP"),
        (b"", "Remote end closed connection without response"),
    ],
)
def test_a_server_that_was_reached_is_not_said_to_be_out_of_reach(reply: bytes, why: str, run: Run, make: Make) -> None:
    make()
    with ScriptedServer(raw(reply), otherwise=answer()) as server:
        ran = run("upload", "--no-test-chunks", "--retry-interval", "0", "a.bin", server.url)
    assert ran.code == 0
    assert ran.text.startswith(f"waiting: {server.url}: {why}; trying again for up to 5 min")


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_a_test_endpoint_takes_uploads_all_the_same(status: int, run: Run, make: Make) -> None:
    make()

    def serve(request: Request) -> None:
        answer(status if request.method == "GET" else 200)(request)

    with ScriptedServer(otherwise=serve) as server:
        ran = run("upload", "a.bin", server.url)
    assert ran.code == 0
    assert "1 file uploaded" in ran.text


def test_a_web_page_in_answer_to_everything_is_no_upload(run: Run, make: Make) -> None:
    make()
    with ScriptedServer(otherwise=answer(404, PAGE, Content_Type="text/html")) as server:
        ran = run("upload", "a.bin", server.url)
    assert ran.code == 4
    assert "→ 404" in ran.text
    assert "<" not in ran.text
    assert "the answer is a web page: check the URL with resumable doctor" in ran.text


def test_a_redirect_names_the_new_address(run: Run, make: Make) -> None:
    make()
    with ScriptedServer(otherwise=answer(301, Location="/new/place")) as server:
        ran = run("upload", "a.bin", server.url)
    assert ran.code == 4
    place = f"{server.url.removesuffix('/upload')}/new/place"
    assert f"→ 301, redirected to {place} (not retried); use {place} as the target\n" in ran.err


def test_a_server_that_says_present_to_everything_is_not_believed(run: Run, make: Make) -> None:
    make()
    with ScriptedServer(otherwise=answer(200, b"stored")) as server:
        ran = run("upload", "a.bin", server.url)
    assert ran.code == 0
    assert "note: the server says 'present' for a chunk that cannot exist" in ran.text
    assert "everything is sent; --trust-tests believes them" in ran.text
    assert "already there" not in ran.text


@pytest.mark.once
def test_many_failures_are_told_in_part(run: Run, make: Make, received: Path) -> None:
    for number in range(30):
        make(f"top/{number}.bin", 100)
    with Server(Receiver(received, max_total_size=10)) as server:
        ran = run("upload", "top", server.url)
        every = run("upload", "-v", "top", server.url)
    assert ran.code == every.code == 4
    assert ran.err.count("→ 413") == 20
    assert "failed: more files; -v shows all of them" in ran.text
    assert "30 files failed" in ran.text
    assert every.err.count("→ 413") == 30


def test_the_words_of_a_server_cannot_move_the_cursor(run: Run, make: Make) -> None:
    make()
    with ScriptedServer(otherwise=answer(400, b"\x1b[2J\xc2\x9b2J\x07gone")) as server:
        ran = run("upload", "--no-test-chunks", "a.bin", server.url)
    assert ran.code == 4
    assert not {"\x1b", "\x9b", "\x07"} & set(ran.err)


def test_an_answer_that_is_rejected_names_the_flag(run: Run, make: Make) -> None:
    make()
    with ScriptedServer(otherwise=answer(200, b"quota exceeded")) as server:
        ran = run("upload", "--no-test-chunks", "--reject", "200:quota", "a.bin", server.url)
    assert ran.code == 4
    assert '→ 200, refused by --reject "quota exceeded" (not retried)' in ran.text


def test_the_end_of_the_patience_names_its_flag(run: Run, make: Make) -> None:
    make()
    with ScriptedServer(otherwise=answer(502)) as server:
        ran = run("upload", "--no-test-chunks", "--retry-for", "0.3", "--retry-interval", "0.01", "a.bin", server.url)
    assert ran.code == 5
    assert ", nothing got through for 0.3 s, the limit of --retry-for)" in ran.text


def test_the_values_in_advice_are_those_to_type(run: Run, make: Make) -> None:
    make(size=0)
    with ScriptedServer(otherwise=answer(400)) as server:
        ran = run("upload", "--no-test-chunks", "a.bin", server.url)
    assert ran.code == 4
    assert "take no empty files: --min-file-size 1 leaves them out" in ran.text
    with ScriptedServer(otherwise=answer(400)) as server:
        run("upload", "--min-file-size", "1", "a.bin", server.url)
        assert server.requests == []
