"""The options of the library as flags, generated from their rows.

Every row of ``options.OPTIONS`` is either a flag here or listed in ``WITHOUT`` with the reason why it is not; a test
compares the two. Names, defaults and help come from the row, so the command has what the library has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import click

from ...options import OPTIONS
from ...options import Option as Row
from ...protocol import dialects, identifiers
from ..output import units
from . import types
from .command import (
    FILES,
    NAMES,
    SERVER,
    TRANSFER,
    Option,
)

__all__ = [
    "DEFAULTS",
    "DIALECTS",
    "ENVIRONMENT",
    "FLAGS",
    "IDENTIFIERS",
    "WITHOUT",
    "Flag",
    "as_flags",
    "dialect_flag",
    "flag_of",
    "option_flags",
    "options_from_context",
]

DEFAULTS: Mapping[str, Any] = MappingProxyType({"retry_for": 300.0, "plugins": "installed"})
"""Where the command differs from the library, because a person is waiting: a mistyped port would otherwise be tried for
most of an hour. Five minutes are enough for the restart of a server."""

ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {"chunk_size": "RESUMABLE_CHUNK_SIZE", "simultaneous_uploads": "RESUMABLE_SIMULTANEOUS_UPLOADS"}
)
"""The environment variables that stand for flags, by option. None of them switches a protection off."""

_SHOWN = ("max_chunk_retries",)
_UNLIMITED = ("max_chunk_retries", "retry_for")

IDENTIFIERS = {"safe": None, "resumablejs": identifiers.resumablejs, "content": identifiers.content}
DIALECTS: Mapping[str, Mapping[str, Any]] = {"resumablejs": dialects.RESUMABLEJS, "flowjs": dialects.FLOWJS}


class Flag(NamedTuple):
    """How an option is typed: its flags, the type of its value (None: a switch), and its section of the help."""

    names: tuple[str, ...]
    type: Any = None
    section: str = ""
    multiple: bool = False
    help: str | None = None
    metavar: str | None = None
    brief: str = ""


def _choice(*values: str) -> click.Choice[str]:
    return click.Choice(values)


FLAGS: Mapping[str, Flag] = MappingProxyType(
    {
        "test_target": Flag(("--test-target",), str, SERVER, metavar="URL"),
        "chunk_size": Flag(("--chunk-size",), types.size, TRANSFER, brief="Size of a chunk, such as 8M."),
        "force_chunk_size": Flag(("--force-chunk-size",), None, SERVER),
        "simultaneous_uploads": Flag(("-j", "--simultaneous-uploads"), types.uploads, TRANSFER),
        "max_connections": Flag(("--max-connections",), int, TRANSFER),
        **{
            name: Flag((f"--{name.replace('_', '-')}",), str, NAMES, metavar="NAME")
            for name in OPTIONS
            if name.endswith("_parameter_name") or name == "parameter_namespace"
        },
        "query": Flag(
            ("--query",),
            types.parameter,
            SERVER,
            True,
            "Extra parameter of every request. May be given several times.",
        ),
        "headers": Flag(
            ("-H", "--header"),
            types.header,
            SERVER,
            True,
            "Extra header of every request, or @FILE with one per line. May be given several times.",
        ),
        "method": Flag(("--method",), _choice("multipart", "octet"), SERVER),
        "upload_method": Flag(("--upload-method",), str, SERVER, metavar="METHOD"),
        "test_method": Flag(("--test-method",), str, SERVER, metavar="METHOD"),
        "params_in": Flag(("--params-in",), _choice("both", "query", "form"), SERVER),
        "chunk_format": Flag(("--chunk-format",), _choice("blob", "base64"), SERVER),
        "set_chunk_type_from_file": Flag(("--set-chunk-type-from-file",), None, SERVER),
        "prioritize_first_and_last_chunk": Flag(("--prioritize-first-and-last-chunk",), None, TRANSFER),
        "chunk_order": Flag(("--chunk-order",), _choice("bookends", "strict", "free", "sequential"), TRANSFER),
        "checksum": Flag(("--checksum",), str, TRANSFER, metavar="HASH"),
        "file_checksum": Flag(("--file-checksum",), None, TRANSFER),
        "test_chunks": Flag(("--test-chunks/--no-test-chunks",), None, SERVER),
        "test_every_chunk": Flag(("--test-every-chunk",), None, SERVER),
        "trust_tests": Flag(("--trust-tests",), None, SERVER),
        "success_statuses": Flag(("--success-statuses",), types.statuses, SERVER),
        "test_errors_are_permanent": Flag(("--test-errors-are-permanent",), None, SERVER),
        "generate_unique_identifier": Flag(
            ("--identifier",),
            _choice(*IDENTIFIERS),
            FILES,
            help="How the server recognises a file: by path, size and time (safe), as resumable.js does, or by "
            "its content, which is then read once more.  [default: safe]",
        ),
        "max_files": Flag(("--max-files",), int, FILES),
        "min_file_size": Flag(("--min-file-size",), types.size, FILES),
        "max_file_size": Flag(("--max-file-size",), types.size, FILES),
        "file_type": Flag(
            ("--file-type",),
            str,
            FILES,
            True,
            "Send only files with this extension ('jpg') or MIME type ('image/*'). May be given several times.",
            "TYPE",
        ),
        "max_chunk_retries": Flag(
            ("--retries",),
            types.retries,
            TRANSFER,
            help="Retries of a chunk, or 'unlimited'.",
        ),
        "chunk_retry_interval": Flag(
            ("--retry-interval",),
            types.duration,
            TRANSFER,
            help="Time to wait before a retry.  [default: growing, up to 60s]",
        ),
        "retry_for": Flag(("--retry-for",), types.duration, TRANSFER),
        "permanent_errors": Flag(("--permanent-errors",), types.statuses, SERVER),
        "limit_rate": Flag(("--limit-rate",), types.size, TRANSFER),
        "congestion_control": Flag(("--congestion-control",), str, TRANSFER),
        "timeout": Flag(("--timeout",), types.timeout, TRANSFER),
        "final_chunk_timeout": Flag(("--final-chunk-timeout",), types.duration, TRANSFER),
        "redirect_origins": Flag(("--redirect-origin",), str, SERVER, True, metavar="ORIGIN"),
        "fail_fast": Flag(("--fail-fast",), None, TRANSFER),
        "plugins": Flag(("--plugins/--no-plugins",), None, TRANSFER, help="Use the installed plugins.  [default: on]"),
    }
)
"""By option, in the order of the rows."""

_CODE = "it is a function or an object"
_OURS = "the command sets it"
WITHOUT: Mapping[str, str] = MappingProxyType(
    {
        "target": "it is the argument TARGET",
        "accept_response": "--accept and --reject are made for it",
        "part": "the command upload alone has --part",
        **dict.fromkeys(
            (
                "preprocess",
                "preprocess_file",
                "find_uploaded",
                "max_files_error_callback",
                "min_file_size_error_callback",
                "max_file_size_error_callback",
                "file_type_error_callback",
                "should_retry",
                "chunk_exists",
                "after_file",
                "on_abort",
                "session",
                "transport",
                "loop",
                "clock",
            ),
            _CODE,
        ),
        **dict.fromkeys(
            ("throttle_progress_callbacks", "auto_upload", "completion_delay", "cancel_deletes", "deliver"), _OURS
        ),
    }
)
"""The options that are not flags, and why."""


def dialect_flag() -> Option:
    """Return ``--dialect``."""
    return Option(
        "--dialect",
        type=click.Choice([*DIALECTS]),
        section=SERVER,
        help="Use the settings of this browser library; other flags override them.",
    )


def option_flags(defaults: Mapping[str, Any] = DEFAULTS) -> list[Option]:
    """Return the flags of all rows. None has a default of its own: what is not typed is left to the library, or is that
    of the command."""
    return [_option(OPTIONS[name], flag, defaults) for name, flag in FLAGS.items()]


def _option(row: Row, flag: Flag, defaults: Mapping[str, Any]) -> Option:
    help = flag.help or as_flags(row.help)
    if flag.help is None or row.name in _SHOWN:
        help += _default(row, defaults)
    settings: dict[str, Any] = {"section": flag.section, "help": help, "brief": flag.brief}
    if flag.type is not None:
        settings.update(type=flag.type, multiple=flag.multiple, metavar=flag.metavar or types.METAVARS.get(flag.type))
    elif "/" not in flag.names[0]:
        settings.update(is_flag=True)
    if row.name in ENVIRONMENT:
        settings.update(envvar=ENVIRONMENT[row.name], show_envvar=True)
    return Option(*flag.names, row.name, **settings)


def _default(row: Row, defaults: Mapping[str, Any]) -> str:
    value = defaults.get(row.name, row.default)
    if value is None and row.name in _UNLIMITED:
        return "  [default: unlimited]"
    if isinstance(value, bool):
        return "  [default: on]" if value else ""
    if value in (None, "", (), 0):
        return ""
    kind = FLAGS[row.name].type
    if kind is types.size:
        text = re.sub(r"\.0+ ", " ", units.size(value))
    elif kind is types.duration:
        text = f"{value / 60:g}m"
    elif isinstance(value, tuple):
        text = ",".join(str(item) for item in value)
    else:
        text = str(value)
    return f"  [default: {text}]"


def options_from_context(context: click.Context, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were typed, or set in the environment, as the library takes them."""
    chosen = {}
    for name in FLAGS:
        source = context.get_parameter_source(name)
        if source in (click.core.ParameterSource.DEFAULT, click.core.ParameterSource.DEFAULT_MAP, None):
            continue
        chosen[name] = _taken(name, parameters[name])
    return chosen


def _taken(name: str, value: Any) -> Any:
    if name in ("query", "headers"):
        return _merged(value)
    if name == "generate_unique_identifier":
        return IDENTIFIERS[value]
    if name == "plugins":
        return "installed" if value else ()
    return value


def _merged(mappings: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {name: value for mapping in mappings for name, value in mapping.items()}


# Options that are no flags, and the flags that do the same.
_INSTEAD = {"accept_response": "--accept STATUS:PATTERN", "part": "--part"}
_NAMES = "|".join(name for name in (*FLAGS, *_INSTEAD) if "_" in name)
_NAME = re.compile(rf"\b({_NAMES})(?:=(True|'[\w-]+'|[0-9]+))?(?!\w)")


def as_flags(text: str) -> str:
    """Replace the names of options in the text by their flags."""
    return _NAME.sub(_as_flag, text)


def _as_flag(found: re.Match[str]) -> str:
    flag, value = flag_of(found[1]), found[2]
    return flag if value in (None, "True") else f"{flag} {value.strip(chr(39))}"


def flag_of(option: str) -> str:
    """Return the flag of the option, the long one, or its name if it has none."""
    flag = FLAGS.get(option)
    return flag.names[-1].partition("/")[0] if flag else _INSTEAD.get(option, option)
