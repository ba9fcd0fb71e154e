"""No secret is in what the command says, and none has to be in the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.command import Run
from support.scripted_server import ScriptedServer, answer

from resumable.cli.output.resume_command import command_again
from resumable.receiver import FileStore, Receiver, Server

Make = Callable[..., Path]
SECRET = "s3cr3t"


@pytest.fixture
def guarded(received: Path) -> Any:
    with Server(Receiver(FileStore(received), token=SECRET)) as server:
        yield server


def test_a_token_comes_out_of_a_file(run: Run, make: Make, work: Path, guarded: Server) -> None:
    make()
    (work / "token").write_text(f"{SECRET}\nand a note\n", encoding="utf-8")
    ran = run("upload", "--token-file", "token", "a.bin", guarded.url)
    assert ran.code == 0
    assert run("upload", "a.bin", guarded.url).code == 6


def test_a_token_comes_out_of_the_environment(
    run: Run, make: Make, guarded: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()
    monkeypatch.setenv("UPLOAD_TOKEN", SECRET)
    assert run("upload", "--token-env", "UPLOAD_TOKEN", "a.bin", guarded.url).code == 0


def test_a_token_that_is_renewed_in_its_file_is_used(run: Run, make: Make, work: Path) -> None:
    make()
    (work / "token").write_text("old", encoding="utf-8")

    def expired(request: Any) -> None:
        (work / "token").write_text("new", encoding="utf-8")
        answer(401)(request)

    with ScriptedServer(expired) as server:
        assert run("upload", "--no-test-chunks", "--token-file", "token", "a.bin", server.url).code == 0
        seen = [request.headers["authorization"] for request in server.requests]
    assert seen == ["Bearer old", "Bearer new"]


def test_credentials_of_netrc_are_used(run: Run, make: Make, tmp_path: Path) -> None:
    make()
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password pw\n", encoding="utf-8")
    netrc.chmod(0o600)
    with ScriptedServer() as server:
        assert run("upload", "--no-test-chunks", "a.bin", server.url).code == 0
        assert server.requests[0].headers["authorization"].startswith("Basic ")


FLAGS = ["-H", f"Authorization: Bearer {SECRET}", "--query", f"csrf={SECRET}"]


@pytest.mark.parametrize("status", [200, 302, 401, 404, 503])
def test_no_secret_is_said(status: int, run: Run, make: Make, work: Path) -> None:
    make()
    (work / "token").write_text(SECRET, encoding="utf-8")
    with ScriptedServer(otherwise=answer(status, Location=f"/there?token={SECRET}")) as server:
        target = server.url.replace("http://", f"http://me:{SECRET}@") + f"?token={SECRET}"
        flags = [*FLAGS, "--token-file", "token", "--retries", "1", "--retry-interval", "0"]
        ran = run("upload", "-vv", "--json", *flags, "a.bin", target)
        assert SECRET in server.requests[0].target
    assert SECRET not in ran.err
    assert SECRET not in ran.out


def test_a_usage_error_tells_no_secret(run: Run, make: Make) -> None:
    make()
    for target in (f"ftp://me:{SECRET}@example.com/", f"http://example.com:port/?token={SECRET}"):
        ran = run("upload", *FLAGS, "--chunk-size", "0", "a.bin", target)
        assert ran.code == 2
        assert SECRET not in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["-H", f"Authorization: Bearer {SECRET}"],
        [f"-HAuthorization: Bearer {SECRET}"],
        ["-qH", f"Cookie: {SECRET}"],
        ["--header", f"X-Anything: {SECRET}"],
        [f"--header=X-Anything: {SECRET}"],
        ["--query", f"api_key={SECRET}"],
        [f"--query=token={SECRET}"],
        [f"http://me:{SECRET}@example.com/?signature={SECRET}&folder=1"],
        ["--test-target", f"https://me:{SECRET}@example.com/"],
        [f"--test-target=https://me:{SECRET}@example.com/"],
    ],
)
def test_the_command_to_type_again_has_no_secret(arguments: list[str]) -> None:
    again = command_again(["upload", *arguments, "a.bin"])
    assert SECRET not in again
    assert again.endswith(" a.bin")


def test_the_command_to_type_again_is_otherwise_the_same() -> None:
    typed = [
        "upload",
        "-j",
        "4",
        "--header",
        "@secrets",
        "--query",
        "folder=a b",
        "it's.bin",
        "http://example.com/?x=1",
    ]
    assert command_again(typed).endswith(
        "upload -j 4 --header @secrets --query 'folder=a b' 'it'\"'\"'s.bin' 'http://example.com/?x=1'"
    )
