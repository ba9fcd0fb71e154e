"""Settings from the environment and the configuration file, and which of them wins."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from support.command import Run

from resumable import identifiers
from resumable.cli.doctor.endpoint import settings_of
from resumable.cli.params.config import Endpoint, read_endpoint, save_endpoint
from resumable.cli.params.destination import Destination, destination_of, split_target
from resumable.cli.params.flags import ENVIRONMENT
from resumable.cli.upload import command
from resumable.options import OPTIONS
from resumable.receiver import FileStore, Receiver, Server

if sys.platform != "win32":
    import resource

MIB = 1024 * 1024
TARGET = "http://127.0.0.1:9/upload"
LAB = f"""
[endpoint.lab]
url = "{TARGET}"
chunk_size = "8M"
retries = "unlimited"
dialect = "flowjs"
headers = {{ X-Lab = "3" }}
"""

Configure = Callable[..., Path]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """``configure(text, mode)`` writes the configuration file to the platform's place."""

    def configure(text: str = LAB, mode: int = 0o600) -> Path:
        path = tmp_path / ".config" / "resumable" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    return configure


def connect(*arguments: str) -> Destination:
    """The server that these arguments mean to the command, with its options."""
    context = command.make_context("upload", [*arguments])
    sources, target = split_target(context, context.params["words"])
    assert sources == ("a.bin",)
    return destination_of(context, target, context.params)


def headers(destination: Destination) -> Mapping[str, str]:
    """What is sent with each request."""
    given: Any = destination.options["headers"]
    found: Mapping[str, str] = given(None, None) if callable(given) else given
    return found


def test_an_endpoint_has_a_url_and_options(configure: Configure) -> None:
    configure()
    destination = connect("a.bin", "lab:photos/2024")
    assert (destination.target, destination.prefix) == (TARGET, "photos/2024")
    options = destination.options
    assert options["chunk_size"] == 8 * MIB
    assert options["max_chunk_retries"] is None
    assert options["identifier_parameter_name"] == "flowIdentifier"
    assert headers(destination) == {"X-Lab": "3"}


def test_what_is_typed_wins_over_the_environment_and_that_over_the_endpoint(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure()
    assert connect("a.bin", "lab:").options["chunk_size"] == 8 * MIB
    monkeypatch.setenv("RESUMABLE_CHUNK_SIZE", "2M")
    assert connect("a.bin", "lab:").options["chunk_size"] == 2 * MIB
    assert connect("--chunk-size", "3M", "a.bin", "lab:").options["chunk_size"] == 3 * MIB
    assert headers(connect("-H", "x-lab: 4", "-H", "X-Two: 2", "a.bin", "lab:")) == {"x-lab": "4", "X-Two": "2"}
    options = connect("--dialect", "resumablejs", "a.bin", "lab:").options
    assert options["generate_unique_identifier"] is identifiers.resumablejs
    assert "identifier_parameter_name" not in options


def test_the_token_is_the_typed_one_or_that_of_the_endpoint_or_of_the_environment(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = configure(f'{LAB}token_file = "lab-token"\n\n[endpoint.open]\nurl = "{TARGET}"\n')
    (path.parent / "lab-token").write_text("of-lab\n", encoding="utf-8")
    Path("own-token").write_text("own\n", encoding="utf-8")
    monkeypatch.setenv("RESUMABLE_TOKEN_FILE", "own-token")
    monkeypatch.setenv("MINE", "mine")
    assert headers(connect("a.bin", "lab:"))["Authorization"] == "Bearer of-lab"
    assert headers(connect("a.bin", "open:"))["Authorization"] == "Bearer own"
    assert headers(connect("a.bin", TARGET))["Authorization"] == "Bearer own"
    assert headers(connect("--token-env", "MINE", "a.bin", "lab:"))["Authorization"] == "Bearer mine"
    assert headers(connect("--token-file", "own-token", "a.bin", "lab:"))["Authorization"] == "Bearer own"


def test_the_environment_has_a_target(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    path = configure()
    monkeypatch.setenv("RESUMABLE_URL", "lab:there")
    assert connect("a.bin") == connect("a.bin", "lab:there")
    assert connect("a.bin", "http://other.example/").target == "http://other.example/"
    Path("x:y").touch()
    context = command.make_context("upload", ["a.bin", "x:y"])
    assert split_target(context, context.params["words"]) == (("a.bin", "x:y"), "lab:there")
    monkeypatch.setenv("RESUMABLE_CONFIG", str(path.rename("elsewhere.toml")))
    assert connect("a.bin").target == TARGET


@pytest.mark.parametrize("option", ENVIRONMENT)
def test_a_variable_is_named_as_its_option(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ENVIRONMENT[option] == f"RESUMABLE_{option.upper()}"
    monkeypatch.setenv(ENVIRONMENT[option], "7")
    assert connect("a.bin", TARGET).options[option] == 7


def test_no_variable_switches_a_protection_off() -> None:
    variables = {each.name: each.envvar for each in command.params if each.envvar}
    assert set(variables) == {"token_file", "config", "chunk_size", "simultaneous_uploads", "progress", "log_file"}
    assert not [name for name in ENVIRONMENT if isinstance(OPTIONS[name].default, bool)]


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("RESUMABLE_CHUNK_SIZE", "big", "RESUMABLE_CHUNK_SIZE: 'big' is not a size"),
        ("RESUMABLE_CHUNK_SIZE", "0", "RESUMABLE_CHUNK_SIZE must be an integer ≥ 1, got 0"),
        ("RESUMABLE_SIMULTANEOUS_UPLOADS", "x", "RESUMABLE_SIMULTANEOUS_UPLOADS: 'x' is not a number"),
        ("RESUMABLE_PROGRESS", "loud", "RESUMABLE_PROGRESS: 'loud' is not one of"),
        ("RESUMABLE_TOKEN_FILE", "nowhere", "RESUMABLE_TOKEN_FILE: No such file or directory: 'nowhere'"),
        ("RESUMABLE_URL", "example.com", "RESUMABLE_URL must be an http:// or https:// URL"),
        ("RESUMABLE_CONFIG", "nowhere", "there is no configuration file 'nowhere' with an endpoint 'lab'"),
    ],
)
def test_a_wrong_variable_is_named(
    variable: str, value: str, text: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    words = {"RESUMABLE_URL": ["b.bin"], "RESUMABLE_CONFIG": ["lab:"]}.get(variable, [TARGET])
    ran = run("upload", "a.bin", *words)
    assert ran.code == 2
    assert text in ran.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[endpoint.lab", "is not TOML: "),
        ("[endpoints.lab]", "there is no setting 'endpoints'; write [endpoint.NAME]"),
        ("endpoint = 3", "write an endpoint as [endpoint.NAME]"),
        ("[endpoint.lap]\nurl = 'http://h/'", "there is no endpoint 'lab' in '{path}'; did you mean 'lap'?"),
        ("", "there is no endpoint 'lab' in '{path}'; it has none"),
        ("[endpoint.lab]", "{path}: [endpoint.lab]: url is missing"),
        ("[endpoint.lab]\nurl = 'ftp://h/'", "[endpoint.lab] url must be an http:// or https:// URL"),
        ("[endpoint.lab]\nurl = 3", "[endpoint.lab] url must be a text in quotes"),
        ("[endpoint.lab]\nURL = 'http://h/'", "no setting 'URL'; did you mean 'url'?"),
        ("[endpoint.lab]\nurl = 'http://h/'\ntest_chunks = 'no'", "test_chunks must be true or false, got 'no'"),
        ("[endpoint.lab]\nurl = 'http://h/'\nheaders = {'X y' = 'a'}", "headers must be a table of names"),
        ("[endpoint.lab]\nurl = 'http://h/'\nchunksize = 3", "no setting 'chunksize'; did you mean 'chunk_size'?"),
        ("[endpoint.lab]\nurl = 'http://h/'\nchunk-size = 'x'", "[endpoint.lab] chunk-size: 'x' is not a size"),
        (
            "[endpoint.lab]\nurl = 'http://h/'\nchunk_size = 0",
            "[endpoint.lab] chunk_size must be an integer ≥ 1, got 0",
        ),
        ("[endpoint.lab]\nurl = 'http://h/'\ntoken = 's3cret'", "put the token into a file of its own"),
        ("[endpoint.lab]\nurl = 'http://h/'\ntoken_file = 'no'", "[endpoint.lab] token_file: No such file"),
        ("[endpoint.lab]\nurl = 'http://h/'\ntoken_env = 'NO'", "the environment variable NO is not set"),
        ("[endpoint.lab]\nurl = 'http://h/'\ntoken_env = 'A'\ntoken_file = 'B'", "either token_file or token_env"),
        ("[endpoint.lab]\nurl = 'http://h/'\ndialect = 'tus'", "dialect: there are resumablejs, flowjs"),
        ("[endpoint.lab]\nurl = 'http://h/'\nidentifier = 'x'", "identifier: there are safe, resumablejs, content"),
        (
            "[endpoint.lab]\nurl = 'http://h/'\nidentifier = ['safe']",
            "identifier: there are safe, resumablejs, content",
        ),
        ("[endpoint.lab]\nurl = 'http://h/'\nplugins = [5]", "[endpoint.lab] plugins must be a text in quotes"),
        (
            "[endpoint.lab]\nurl = 'http://h/'\nplugins = 'sums'",
            "(there are none; install the package that has it); got 'sums'",
        ),
        ("[endpoint.lab]\nurl = 'http://h/'\ntoken_file = '~nobody-here/x'", "token_file: No such file or directory"),
        ("[endpoint.lab]\nurl = 'http://h/'\nheaders = 's3cret'", "[endpoint.lab] headers: write a header as"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong_in_it(text: str, said: str, run: Run, configure: Configure) -> None:
    path = configure(text)
    ran = run("upload", "a.bin", "lab:")
    assert ran.code == 2
    assert said.format(path=path) in ran.text
    assert "s3cret" not in ran.text


@pytest.mark.parametrize(("text", "explained"), [("[endpoint.lab]", True), ("[endpoint.lap]", False), ("[", False)])
def test_an_endpoint_without_its_colon_is_explained(text: str, explained: bool, run: Run, configure: Configure) -> None:
    configure(text)
    ran = run("upload", "a.bin", "lab")
    assert ran.code == 2
    assert "TARGET must be an http:// or https:// URL; got 'lab'" in ran.text
    assert ("the endpoint is written with a colon, lab:" in ran.text) is explained


def test_a_host_and_port_without_a_scheme_is_explained(run: Run) -> None:
    ran = run("upload", "a.bin", "localhost:8000")
    assert ran.code == 2
    assert "write http://localhost:" in ran.text


@pytest.mark.parametrize(
    "secret",
    [
        'headers = { Authorization = "Bearer s3cret" }',
        'headers = { "X-Api-Key" = "s3cret" }',
        'headers = { Cookie = "a=s3cret" }',
        'headers = { X-Who = "Basic s3cret" }',
        'query = { token = "s3cret" }',
        'test_target = "http://me:s3cret@127.0.0.1/"',
    ],
)
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_file_with_secrets_that_others_may_read_is_refused(
    secret: str, mode: int, run: Run, configure: Configure, make: Any
) -> None:
    path = configure(f'[endpoint.lab]\nurl = "{TARGET}"\n{secret}\n', mode)
    make()
    ran = run("upload", "-n", "a.bin", "lab:")
    assert ran.code == 2
    assert f"chmod 600 {path}" in ran.text
    assert "s3cret" not in ran.text
    path.chmod(0o600)
    assert run("upload", "-n", "a.bin", "lab:").code == 0


def test_a_file_without_secrets_may_be_read_by_all(run: Run, configure: Configure, make: Any) -> None:
    configure(mode=0o644)
    make()
    assert run("upload", "-n", "a.bin", "lab:").code == 0


def test_an_upload_to_an_endpoint_arrives_in_its_folder(
    run: Run, configure: Configure, make: Any, received: Path
) -> None:
    content = make().read_bytes()
    with Server(Receiver(FileStore(received, fsync="never"), token="s3cret")) as server:
        path = configure(f'[endpoint.lab]\nurl = "{server.url}"\ntoken_file = "token"\n')
        path.with_name("token").write_text("s3cret", encoding="utf-8")
        ran = run("upload", "a.bin", "lab:in", "--to", "it")
    assert ran.code == 0, ran.err
    assert (received / "in" / "it" / "a.bin").read_bytes() == content


def test_what_is_saved_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    options = {
        "chunk_size": 5,
        "test_chunks": False,
        "success_statuses": (200, 202),
        "headers": {"X-A": 'a "b" \\ \x7f', "odd.name": "ü"},
    }
    save_endpoint(path, "lab", {"url": TARGET, **options})
    save_endpoint(path, "lab-2", {"url": TARGET})
    assert read_endpoint(path, "lab") == Endpoint(TARGET, options)
    assert read_endpoint(path, "lab-2").options == {}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for name in ("lab", "l", "a b", ""):
        with pytest.raises(click.UsageError):
            save_endpoint(path, name, {"url": TARGET})


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of the size of files")
def test_a_disk_that_is_full_leaves_the_saved_endpoints_as_they_were(configure: Configure) -> None:
    path = configure(LAB, 0o600)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(LAB) + 20, before[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            save_endpoint(path, "other", {"url": TARGET})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text(encoding="utf-8") == LAB


def test_an_endpoint_may_accept_and_reject_answers(configure: Configure, run: Run) -> None:
    configure(f'[endpoint.lab]\nurl = "{TARGET}"\naccept = ["200:stored"]\nreject = "*:quota"\n')
    assert connect("a.bin", "lab:").options["accept_response"] is not None
    configure(f'[endpoint.lab]\nurl = "{TARGET}"\naccept = "stored"\n')
    assert "[endpoint.lab] accept: 'stored' does not begin with a status" in run("upload", "a.bin", "lab:").text


def test_what_doctor_found_is_saved_without_secrets(configure: Configure) -> None:
    flags = {
        "chunk_size": ["--chunk-size", "8M"],
        "dialect": ["--dialect", "flowjs"],
        "headers": ["-H", "X-Lab: 3", "-H", "Authorization: Bearer s3cret"],
        "query": ["--query", "token=s3cret"],
        "success_statuses": ["--success-statuses", "200,202"],
        "test_chunks": ["--no-test-chunks"],
        "token_file": ["--token-file", "token"],
        "accept": ["--accept", "200:a", "--accept", "202:b"],
    }
    settings, secret = settings_of(TARGET, flags)
    assert secret == ["Authorization", "token"]
    path = configure("", 0o600)
    save_endpoint(path, "lab", settings)
    assert "s3cret" not in path.read_text(encoding="utf-8")
    endpoint = read_endpoint(path, "lab")
    assert endpoint.options == {
        "chunk_size": 8 * MIB,
        "headers": {"X-Lab": "3"},
        "success_statuses": (200, 202),
        "test_chunks": False,
    }
    assert (endpoint.dialect, endpoint.token.file) == ("flowjs", str(Path("token").absolute()))
    assert [each.status for each in endpoint.accept] == [200, 202]


def test_doctor_saves_an_endpoint_that_an_upload_takes(run: Run, make: Any, server: Server, received: Path) -> None:
    content = make().read_bytes()
    ran = run("doctor", "--yes", "--save", "lab", server.url)
    assert ran.code == 0, ran.err
    assert "saved [endpoint.lab] in " in ran.text
    assert run("upload", "a.bin", "lab:").code == 0
    assert (received / "a.bin").read_bytes() == content
    assert "--save: there is an endpoint 'lab' in" in run("doctor", "--yes", "--save", "lab", server.url).text
    assert "--save: 'a b' cannot be the name" in run("doctor", "--yes", "--save", "a b", server.url).text
    assert run("doctor", "--yes", "--save", "lab-2", f"{server.url}?token=s3cret").code == 2


def test_doctor_examines_an_endpoint_and_names_it_in_the_command_to_type(
    run: Run, configure: Configure, work: Path, tmp_path: Path
) -> None:
    (tmp_path / "lab-token").write_text("of-lab\n", encoding="utf-8")
    with Server(Receiver(FileStore(tmp_path / "in", fsync="never"), token="of-lab")) as server:
        configure(f'[endpoint.lab]\nurl = "{server.url}"\ntoken_file = "{tmp_path}/lab-token"\n')
        ran = run("doctor", "--yes", "lab:")
        assert ran.code == 0, ran.text
        assert "FILE lab:" in ran.text
        assert "of-lab" not in ran.text
        ran = run("doctor", "--yes", "--save", "other", "lab:")
        assert ran.code == 2
        assert "--save: 'lab:' is an endpoint already" in ran.text


@pytest.mark.skipif(sys.platform == "win32", reason="FIFOs")
@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("upload a.bin {url} --log-file pipe", "--log-file"),
        ("upload a.bin lab: --config pipe", "pipe"),
        ("upload a.bin {url} --exclude-from pipe", "--exclude-from"),
        ("upload --files-from pipe {url}", "pipe"),
        ("upload a.bin {url} --token-file pipe", "--token-file"),
        ("upload a.bin {url} --header @pipe", "--header"),
        ("upload a.bin {url} --cacert pipe", "--cacert"),
        ("serve store --port 0 --log-file pipe", "pipe"),
        ("serve store --port 0 --certfile pipe", "--certfile"),
        ("conformance {url} --junit pipe", "--junit"),
        ("doctor {url} --config pipe --save lab --yes", "pipe"),
    ],
)
def test_a_fifo_in_place_of_a_file_is_refused_and_not_waited_for(run: Run, typed: str, named: str) -> None:
    os.mkfifo("pipe")
    Path("a.bin").write_bytes(b"x")
    ran = run(*typed.format(url=TARGET).split())
    assert ran.code in (2, 3), ran.err
    assert named in ran.err
    assert "this is a FIFO (named pipe), which may block for ever; name a regular file" in " ".join(ran.err.split())


@pytest.mark.skipif(sys.platform == "win32", reason="FIFOs")
def test_a_fifo_in_place_of_credentials_of_the_environment_is_refused(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo("pipe")
    Path("a.bin").write_bytes(b"x")
    for name, target in (("NETRC", server.url), ("REQUESTS_CA_BUNDLE", TARGET.replace("http:", "https:"))):
        with monkeypatch.context() as only:
            only.setenv(name, "pipe")
            ran = run("upload", "a.bin", target)
        assert ran.code != 0
        assert "'pipe' cannot be read: this is a FIFO (named pipe)" in ran.err, name


@pytest.mark.skipif(sys.platform == "win32", reason="FIFOs")
def test_a_pipe_that_the_shell_has_opened_is_read_like_a_file(run: Run, server: Server) -> None:
    Path("a.bin").write_bytes(b"x")
    pipes = [os.pipe() for _ in range(3)]
    for (_, end), text in zip(pipes, (b"a.bin\n", b"secret\n", b"X-One: 1\n"), strict=True):
        os.write(end, text)
        os.close(end)
    names, token, header = (f"/dev/fd/{end}" for end, _ in pipes)
    try:
        ran = run("upload", "--files-from", names, "--token-file", token, "--header", f"@{header}", server.url)
    finally:
        for end, _ in pipes:
            os.close(end)
    assert ran.code == 0, ran.err
