"""The flags are the options of the library: each row is one, or it is said why not."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import click
import pytest
from support.command import Run

from resumable import Resumable, dialects, identifiers
from resumable.cli.params.command import Command
from resumable.cli.params.flags import (
    DEFAULTS,
    FLAGS,
    WITHOUT,
    as_flags,
    flag_of,
    options_from_context,
)
from resumable.cli.upload import command as upload
from resumable.options import OPTIONS

assert isinstance(upload, Command)
command = upload
TARGET = "http://127.0.0.1:9/upload"
MIB = 1024 * 1024

SAMPLES: Mapping[str, tuple[list[str], Any]] = {
    "test_target": (["--test-target", "http://127.0.0.1:9/test"], "http://127.0.0.1:9/test"),
    "chunk_size": (["--chunk-size", "8M"], 8 * MIB),
    "force_chunk_size": (["--force-chunk-size"], True),
    "simultaneous_uploads": (["-j", "7"], 7),
    "parameter_namespace": (["--parameter-namespace", "x-"], "x-"),
    "query": (["--query", "a=1", "--query", "b=x=y"], {"a": "1", "b": "x=y"}),
    "headers": (["--header", "X-One: 1", "-H", "X-Two:2"], {"X-One": "1", "X-Two": "2"}),
    "method": (["--method", "octet"], "octet"),
    "upload_method": (["--upload-method", "put"], "PUT"),
    "test_method": (["--test-method", "HEAD"], "HEAD"),
    "params_in": (["--params-in", "query"], "query"),
    "chunk_format": (["--chunk-format", "base64"], "base64"),
    "set_chunk_type_from_file": (["--set-chunk-type-from-file"], True),
    "prioritize_first_and_last_chunk": (["--prioritize-first-and-last-chunk"], True),
    "chunk_order": (["--chunk-order", "sequential"], "sequential"),
    "checksum": (["--checksum", "md5"], "md5"),
    "file_checksum": (["--file-checksum"], True),
    "test_chunks": (["--no-test-chunks"], False),
    "max_connections": (["--max-connections", "4"], 4),
    "test_every_chunk": (["--test-every-chunk"], True),
    "trust_tests": (["--trust-tests"], True),
    "success_statuses": (["--success-statuses", "200, 202"], (200, 202)),
    "test_errors_are_permanent": (["--test-errors-are-permanent"], True),
    "generate_unique_identifier": (["--identifier", "content"], identifiers.content),
    "max_files": (["--max-files", "5"], 5),
    "min_file_size": (["--min-file-size", "1k"], 1024),
    "max_file_size": (["--max-file-size", "1.5G"], 3 * 512 * MIB),
    "file_type": (["--file-type", "jpg", "--file-type", "video/*"], ("jpg", "video/*")),
    "max_chunk_retries": (["--retries", "3"], 3),
    "chunk_retry_interval": (["--retry-interval", "500ms"], 0.5),
    "retry_for": (["--retry-for", "2h"], 7200),
    "permanent_errors": (["--permanent-errors", "404"], (404,)),
    "limit_rate": (["--limit-rate", "1.5M"], 3 * MIB // 2),
    "congestion_control": (["--congestion-control", "bbr"], "bbr"),
    "timeout": (["--timeout", "5,1m"], (5, 60)),
    "final_chunk_timeout": (["--final-chunk-timeout", "10m"], 600),
    "redirect_origins": (["--redirect-origin", "https://other.example"], ("https://other.example",)),
    "fail_fast": (["--fail-fast"], True),
    "plugins": (["--no-plugins"], ()),
    **{
        name: ([f"--{name.replace('_', '-')}", "renamed"], "renamed")
        for name in OPTIONS
        if name.endswith("_parameter_name")
    },
}


def chosen(*arguments: str) -> dict[str, Any]:
    """The options that the command hands to the library for these flags."""
    context = command.make_context("upload", [*arguments, "a.bin", TARGET])
    return options_from_context(context, context.params)


def test_every_option_of_the_constructor_is_a_flag_or_it_is_said_why_not() -> None:
    assert set(FLAGS) | set(WITHOUT) == set(OPTIONS)
    assert not set(FLAGS) & set(WITHOUT)
    assert all(reason for reason in WITHOUT.values())
    named = set(inspect.signature(Resumable).parameters) - {"options"}
    assert named <= set(FLAGS) | set(WITHOUT)


def test_there_is_a_sample_for_every_flag() -> None:
    assert set(SAMPLES) == set(FLAGS)


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_is_the_option_of_its_row(name: str) -> None:
    arguments, value = SAMPLES[name]
    options = chosen(*arguments)
    assert set(options) == {name}
    with Resumable(TARGET, **options) as session:
        assert getattr(session.options, name) == value


def test_without_flags_the_library_decides() -> None:
    assert chosen() == {}


def test_where_the_command_differs_from_the_library_is_said_in_its_help() -> None:
    assert set(DEFAULTS) == {"retry_for", "plugins"}
    text = command.full_help(
        click.Context(command, terminal_width=200, max_content_width=200, **command.context_settings)
    )
    assert "many seconds.  [default: 5m]" in text
    assert "Use the installed plugins.  [default: on]" in text


def test_the_help_says_of_every_flag_what_its_row_says() -> None:
    context = click.Context(command, terminal_width=1000, max_content_width=1000, **command.context_settings)
    text = command.full_help(context)
    for name, flag in FLAGS.items():
        for spelling in flag.names:
            assert spelling.replace("/", " / ") in text
        if flag.help is None:
            assert as_flags(OPTIONS[name].help) in text


def test_the_help_names_flags_and_not_options() -> None:
    text = command.full_help(
        click.Context(command, terminal_width=1000, max_content_width=1000, **command.context_settings)
    )
    assert "Implies --chunk-order free." in text
    assert not [name for name in OPTIONS if "_" in name and name in text]


def test_retries_without_end() -> None:
    assert chosen("--retries", "unlimited") == {"max_chunk_retries": None}


def test_one_time_is_both_timeouts() -> None:
    assert chosen("--timeout", "30") == {"timeout": 30}


def test_headers_of_a_file_are_sent(tmp_path: Any) -> None:
    file = tmp_path / "headers"
    file.write_text("X-Auth-Token: one\n\nX-Other: two: three\n", encoding="utf-8")
    assert chosen("-H", f"@{file}") == {"headers": {"X-Auth-Token": "one", "X-Other": "two: three"}}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--chunk-size", "big"], "--chunk-size: 'big' is not a size; write bytes, or 512K, 8M, 1.5G"),
        (["--chunk-size", "0"], "--chunk-size must be an integer ≥ 1, got 0"),
        (["-j", "0"], "--simultaneous-uploads must be an integer ≥ 1 or 'auto', got 0"),
        (["--retry-for", "soon"], "--retry-for: 'soon' is not a time; write seconds, or 90s, 5m, 2h, 1d"),
        (["--timeout", "1,2,3"], "neither one time nor two"),
        (["--retries", "-1"], "'-1' is not a number; write one, or 'unlimited'"),
        (["--permanent-errors", "4xx"], "'4xx' is not a list of statuses; write them as 200,201"),
        (
            ["--permanent-errors", "99"],
            "--permanent-errors must be a sequence of HTTP statuses from 100 to 599, got (99,)",
        ),
        (["--header", "s3cret"], "write a header as 'Name: value', or '@FILE' for a file of such lines"),
        (
            ["--header", "X-A: s3cret\nX-B: c"],
            "--header: the header 'X-A' cannot be sent: it is not plain text in Latin-1",
        ),
        (["--header", "X-A: s3cret €"], "--header: the header 'X-A' cannot be sent: it is not plain text in Latin-1"),
        (["--header", "X(A): s3cret"], "--header: the header 'X(A)' cannot be sent"),
        (["--header", "@nowhere"], "No such file or directory: 'nowhere'"),
        (["--query", "alone"], "write a parameter as name=value"),
        (
            ["--method", "octet", "--chunk-format", "base64"],
            "--chunk-format must be 'blob' if method is 'octet', got 'base64'",
        ),
        (["--token-env", "NOT_SET"], "--token-env: the environment variable NOT_SET is not set, or is empty"),
        (["--token-file", "nowhere"], "--token-file: No such file or directory: 'nowhere'"),
        (["--token-file", "empty"], "--token-file: the first line of 'empty' is empty"),
        (["--token-file", "x", "--token-env", "HOME"], "pass either --token-file or --token-env, not both"),
        (["--no-such-flag"], "Error: --no-such-flag: there is no such flag"),
        (["--chunk-sise", "1M"], "Error: --chunk-sise: there is no such flag; did you mean --chunk-size"),
        (["--chunk-size", "foo"], "Error: --chunk-size: 'foo' is not a size"),
        (["-j", "foo"], "Error: --simultaneous-uploads: 'foo' is not a number"),
        (["--progress", "foo"], "Error: --progress: 'foo' is not one of"),
        (["--retries", "9" * 5000], "is too large a number; write one of at most 18 digits"),
        (["-j", "9" * 5000], f"Error: --simultaneous-uploads: '{'9' * 20}…' is too large a number"),
        (["--shard", "1/" + "9" * 5000], "is too large a number"),
        (["--permanent-errors", "9" * 5000], "is too large a number"),
        (["--max-files", "9" * 5000], "is not a number, or is too large a one"),
        (["--yes=3"], "Error: --yes: there is no such flag"),
    ],
)
def test_a_wrong_flag_is_a_usage_error_that_says_what_is_allowed(
    arguments: list[str], text: str, run: Run, make: Any
) -> None:
    make("empty", 0)
    ran = run("upload", *arguments, str(make()), TARGET)
    assert ran.code == 2
    assert text in ran.text
    assert "s3cret" not in ran.text


def test_dashes_alone_make_no_flag_like_another(run: Run) -> None:
    ran = run("serve", "--json", "incoming")
    assert ran.text.endswith("Error: --json: there is no such flag")


def test_a_flag_beside_a_dialect_wins(run: Run) -> None:
    context = command.make_context("upload", ["--dialect", "flowjs", "--retries", "9", "a.bin", TARGET])
    options = {**DEFAULTS, **dialects.FLOWJS, **options_from_context(context, context.params)}
    assert options["max_chunk_retries"] == 9
    assert options["file_name_parameter_name"] == "flowFilename"


def test_the_flag_of_an_option_is_its_long_one() -> None:
    assert flag_of("simultaneous_uploads") == "--simultaneous-uploads"
    assert flag_of("test_chunks") == "--test-chunks"
    assert flag_of("clock") == "clock"
