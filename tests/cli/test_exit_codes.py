"""Every exit code, by its real cause, and what a person reads beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from support.certificates import server_context
from support.command import Run, tree
from support.scripted_server import Request, ScriptedServer, answer, hold

from resumable.cli.output.exit_codes import MEANINGS, ExitCode
from resumable.receiver import FileStore, Receiver, Server

Make = Callable[..., Path]
BLIND = ("upload", "--no-test-chunks", "--retries", "0")


@pytest.fixture
def closed(silent_port: int) -> str:
    """A URL where nobody listens."""
    return f"http://127.0.0.1:{silent_port}/"


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)


def test_0_everything_is_there(run: Run, make: Make, server: Server) -> None:
    make()
    assert run("upload", "a.bin", server.url).code == 0


def test_1_some_files_failed(run: Run, make: Make, received: Path) -> None:
    make("small.bin", 10)
    make("large.bin", 5000)
    with Server(Receiver(FileStore(received), max_total_size=100)) as server:
        ran = run("upload", "small.bin", "large.bin", server.url)
    assert ran.code == 1
    assert list(tree(received)) == ["small.bin"]
    assert "1 file uploaded" in ran.text
    assert "1 file failed Run the same command again to send what is missing." in ran.text


def test_1_files_failed_for_different_reasons(run: Run, make: Make, work: Path, received: Path) -> None:
    make("top/large.bin", 5000)
    (work / "top" / "lost").symlink_to("nowhere")
    with Server(Receiver(FileStore(received), max_total_size=100)) as server:
        assert run("upload", "top", server.url).code == 1


def test_2_the_source_is_missing(run: Run) -> None:
    ran = run("upload", "http://127.0.0.1:9/")
    assert ran.code == 2
    assert "SOURCE is missing: what to upload" in ran.text


def test_2_the_target_is_missing(run: Run, make: Make) -> None:
    make("video.mp4")
    ran = run("upload", "video.mp4")
    assert ran.code == 2
    assert "TARGET is missing: the URL to upload 'video.mp4' to" in ran.text


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("upload", "SOURCE and TARGET are"),
        ("status", "SOURCE and TARGET are"),
        ("watch", "DIRECTORY and TARGET are"),
        ("doctor", "TARGET is"),
        ("serve", "DIRECTORY|s3://BUCKET/PREFIX is"),
        ("conformance", "TARGET is"),
    ],
)
def test_2_everything_is_missing(command: str, missing: str, run: Run) -> None:
    ran = run(command)
    assert ran.code == 2
    assert f"Error: {missing} missing" in ran.text


def test_2_there_is_one_standard_input(run: Run) -> None:
    ran = run("upload", "-", "-", "http://127.0.0.1:9/", stdin=b"bytes")
    assert ran.code == 2
    assert "there is one standard input, and - stands for it twice" in ran.text


@pytest.mark.parametrize("target", ["example.com/upload", "ftp://example.com/", "http://", "a.bin", "http://[::1/"])
def test_2_the_target_is_no_url(target: str, run: Run, make: Make) -> None:
    make()
    ran = run("upload", "a.bin", target)
    assert ran.code == 2
    assert f"TARGET must be an http:// or https:// URL; got '{target}'" in ran.text


def test_2_there_is_no_such_command(run: Run) -> None:
    assert run("uplaod", "a.bin", "http://127.0.0.1:9/").code == 2


def test_1_a_source_is_missing_and_the_others_are_sent(run: Run, make: Make, server: Server, received: Path) -> None:
    content = make().read_bytes()
    ran = run("upload", "nowhere.bin", "a.bin", server.url)
    assert ran.code == 1
    assert "failed: cannot read 'nowhere.bin': No such file or directory" in ran.text
    assert tree(received) == {"a.bin": content}


def test_3_a_source_is_missing_and_nothing_is_sent(run: Run, make: Make, server: Server, received: Path) -> None:
    make()
    ran = run("upload", "--fail-fast", "--json", "a.bin", "nowhere.bin", server.url)
    assert ran.code == 3
    assert ran.err == "failed: cannot read 'nowhere.bin': No such file or directory\n"
    assert (ran.events[-1]["event"], ran.events[-1]["exit_code"]) == ("result", 3)
    assert tree(received) == {}
    quiet = run("upload", "-q", "--json", "nowhere.bin", server.url)
    assert quiet.err == ran.err
    assert (quiet.events[-1]["event"], quiet.events[-1]["exit_code"]) == ("result", 3)


def test_3_all_that_there_is_cannot_be_read(run: Run, work: Path, server: Server) -> None:
    (work / "top").mkdir()
    (work / "top" / "lost").symlink_to("nowhere")
    ran = run("upload", "top", server.url)
    assert ran.code == 3
    assert "cannot read 'top/lost': No such file or directory" in ran.text


def test_4_the_server_refused_it(run: Run, make: Make, received: Path) -> None:
    make("large.bin", 5000)
    with Server(Receiver(FileStore(received), max_total_size=100)) as server:
        ran = run("upload", "large.bin", server.url)
    assert ran.code == 4
    assert "→ 413" in ran.text
    assert "chunk-size" not in ran.text.partition("not retried")[2]


def test_5_nobody_listens(run: Run, make: Make, closed: str) -> None:
    make()
    ran = run("upload", "--retries", "1", "--retry-interval", "0", "a.bin", closed)
    assert ran.code == 5
    assert f"waiting: cannot reach {closed}: Connection refused; trying again once (--retries)" in ran.text
    assert "Connection refused (attempt 2 of 2)" in ran.text
    assert "nothing was uploaded" in ran.text
    assert "goes on" not in ran.text


def test_5_the_patience_is_used_up(run: Run, make: Make, closed: str) -> None:
    make()
    ran = run("upload", "--retry-for", "200ms", "--retry-interval", "0.05", "a.bin", closed)
    assert ran.code == 5
    assert "trying again for up to 0.2 s (--retry-for)" in ran.text


def test_5_the_host_is_unknown(run: Run, make: Make) -> None:
    make()
    ran = run("upload", "a.bin", "http://no-such-host.invalid/")
    assert ran.code == 5
    assert "the host of http://no-such-host.invalid is unknown" in ran.text
    assert "check the target" in ran.text
    assert "waiting" not in ran.text


def test_5_files_behind_an_unreachable_server_are_not_tried_one_by_one(run: Run, make: Make) -> None:
    for number in range(50):
        make(f"top/{number}.bin", 10)
    with ScriptedServer(otherwise=hold) as server:
        ran = run(*BLIND, "-j", "1", "--timeout", "5,0.3", "--final-chunk-timeout", "0.3", "top", server.url)
    assert ran.code == 5
    assert 1 <= ran.err.count("did not answer in time") < 10
    assert re.search(r"\d files? failed, \d+ files not tried, for the same reason", ran.text)


@pytest.mark.parametrize("status", [401, 403])
def test_6_the_credentials_are_wrong(status: int, run: Run, make: Make) -> None:
    make()
    with ScriptedServer(otherwise=answer(status, b"who are you")) as server:
        ran = run(*BLIND, "a.bin", server.url)
    assert ran.code == 6
    assert f'→ {status} "who are you"' in ran.text
    assert "pass them with --token-file, --token-env, --header @FILE or ~/.netrc" in ran.text


def test_6_the_proxy_wants_credentials(run: Run, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    with ScriptedServer(otherwise=answer(407)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        ran = run(*BLIND, "a.bin", "http://somewhere.example/")
    assert ran.code == 6
    assert "check the credentials of the proxy" in ran.text


def test_7_the_certificate_is_not_trusted(
    run: Run, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()
    authority = trustme.CA()
    with ScriptedServer(otherwise=answer(), context=server_context(authority)) as server:
        ran = run(*BLIND, "a.bin", server.url)
        assert ran.code == 7
        assert "the server's certificate is not trusted" in ran.text
        told = "; to trust it, name its certificate file with --cacert or REQUESTS_CA_BUNDLE"
        assert told in ran.text
        authority.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "trusted.pem"))
        assert run(*BLIND, "a.bin", server.url).code == 0


def test_7_or_it_is_by_a_file_that_a_flag_names(run: Run, make: Make, work: Path, monkeypatch: Any) -> None:
    make()
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(work / "trusted.pem"))
    other.cert_pem.write_to_path(str(work / "other.pem"))
    with ScriptedServer(otherwise=answer(), context=server_context(authority)) as server:
        assert run(*BLIND, "--cacert", "trusted.pem", "a.bin", server.url).code == 0
        assert run(*BLIND, "--cacert", "other.pem", "a.bin", server.url).code == 7
        assert run(*BLIND, "a.bin", server.url).code == 7
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(work / "other.pem"))
        assert run(*BLIND, "--cacert", "trusted.pem", "a.bin", server.url).code == 0
        assert os.environ["REQUESTS_CA_BUNDLE"] == str(work / "other.pem")
    ran = run(*BLIND, "--cacert", "nowhere.pem", "a.bin", server.url)
    assert ran.code == 2
    assert "nowhere.pem" in ran.text
    (work / "empty.pem").touch()
    for command in (("upload", "a.bin"), ("doctor",)):
        ran = run(*command, "--cacert", "empty.pem", server.url)
        assert ran.code == 2
        assert "Error: --cacert: 'empty.pem' cannot be used: it contains no certificate" in ran.text


@pytest.mark.parametrize(
    ("scheme", "reply", "text"),
    [
        ("https", b"HTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak TLS here"),
        ("http", b"\x15\x03\x01\x00\x02\x02\x46", "the server speaks TLS here"),
    ],
)
def test_7_it_is_the_other_scheme(scheme: str, reply: bytes, text: str, run: Run, make: Make) -> None:
    make()
    with ScriptedServer(to_anything=reply) as server:
        ran = run(*BLIND, "a.bin", f"{scheme}://127.0.0.1:{server.port}/")
    assert ran.code == 7
    assert text in ran.text
    assert "https://" in ran.text


def test_8_the_source_changes_while_it_is_sent(run: Run, make: Make) -> None:
    file = make("a.bin", 3_000_000)

    def edit(request: Request) -> None:
        with file.open("ab") as handle:
            handle.write(os.urandom(10))
        answer()(request)

    with ScriptedServer(edit) as server:
        ran = run(*BLIND, "--chunk-size", "1M", "a.bin", server.url)
    assert ran.code == 8
    assert "cannot read 'a.bin': it changed while it was being sent" in ran.text
    assert "add it again when nothing writes to it any more" in ran.text


def test_a_plugin_that_raises_fails_its_file_alone(run: Run, make: Make, server: Server, monkeypatch: Any) -> None:
    from importlib import metadata

    class Picky:
        name = "picky"

        def attach(self, session: object) -> None:
            """Nothing to connect."""

        def preprocess_file(self, file: Any) -> None:
            if file.file_name == "bad.bin":
                raise RuntimeError("not this one")

    monkeypatch.setattr(Plugins, "offered", Picky, raising=False)
    point = metadata.EntryPoint("picky", f"{__name__}:Plugins.offered", "resumable.plugins")
    monkeypatch.setattr(metadata, "entry_points", lambda group: metadata.EntryPoints([point]))
    make("bad.bin")
    ran = run("upload", "bad.bin", server.url)
    assert ran.code == 1
    assert "not this one" in ran.text or "preprocess_file" in ran.text
    assert run("upload", "--no-plugins", "bad.bin", server.url).code == 0


class Plugins:
    """Where the entry point of the test finds its plugin."""
