"""The flags that select the files to send, and lists of names."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from ...errors import SourceError
from ...protocol.parameters import unescaped
from ...sources.shard import Shard
from ...special_files import refuse_special_file
from .command import FILES, Option
from .sources import STREAM, FilterRules, Selection
from .stdio import standard_input
from .types import share, usage_errors

__all__ = ["selection_flags", "selection_of", "stream_name"]


@usage_errors
def folder(text: str) -> str:
    """Read the path of a folder at the server, in which ``..`` has no place."""
    text = unescaped(text)
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts or not text.isprintable():
        raise ValueError(f"{text!r} cannot be a folder at the server; write it as photos/2024, without '..'")
    return "/".join(parts)


@usage_errors
def stream_name(text: str) -> str:
    """Read the name for the standard input, which may begin with folders."""
    text = unescaped(text)
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or text.endswith("/") or not text.isprintable():
        raise ValueError(f"{text!r} cannot be the name of a file at the server; write it as backup/photos.tar")
    return "/".join(parts)


def _only(context: click.Context, flag: click.Parameter, values: tuple[str, ...]) -> str | None:
    """Return the value of a flag that may be given once: tar takes -C again and again, so one would be missed."""
    if len(values) > 1:
        raise click.BadParameter("give it once: it is for all sources", context, flag)
    return values[0] if values else None


@usage_errors
def shard(text: str) -> Shard:
    """Read ``2/8`` as a shard."""
    return Shard.of(share(text))


def selection_flags() -> list[click.Option]:
    """Return the flags that say what is sent, and under which names."""
    return [
        Option(
            "--include",
            metavar="PATTERN",
            multiple=True,
            section=FILES,
            help="Send only what this pattern (as in .gitignore) matches in each SOURCE. May be given several times.",
        ),
        Option(
            "--exclude",
            metavar="PATTERN",
            multiple=True,
            section=FILES,
            brief="Leave out what it matches, as in .gitignore.",
            help="Leave out what this pattern (as in .gitignore) matches in each SOURCE, even if --include matches it. "
            "May be given several times.",
        ),
        Option(
            "--exclude-from",
            multiple=True,
            type=click.Path(exists=True, dir_okay=False),
            section=FILES,
            help="Read patterns for --exclude from this file, one per line.",
        ),
        Option(
            "--files-from",
            type=click.Path(exists=True, dir_okay=False, allow_dash=True),
            section=FILES,
            brief="Send what is named in this file (- for stdin).",
            help="Also send the files and directories named in this file, one per line, and keep their paths; - reads "
            "the names from the standard input.",
        ),
        Option(
            "-0",
            "--null",
            is_flag=True,
            section=FILES,
            help="Names in --files-from end with a NUL character, as find -print0 writes them, instead of a new line.",
        ),
        Option(
            "-C",
            "--directory",
            metavar="DIR",
            multiple=True,
            callback=_only,
            type=click.Path(exists=True, file_okay=False),
            section=FILES,
            help="Look up the sources in this directory, and name them by their paths below it.",
        ),
        Option(
            "--to",
            type=folder,
            default="",
            metavar="FOLDER",
            section=FILES,
            brief="Put everything into this folder at the server.",
            help="Put everything into this folder at the server.",
        ),
        Option(
            "--ignore-missing",
            is_flag=True,
            section=FILES,
            help="Leave out sources that do not exist, instead of failing.",
        ),
        Option(
            "--shard",
            type=shard,
            metavar="K/N",
            section=FILES,
            brief="Send only the files of shard K of N.",
            help="Send only the files of shard K of N, from 1/N to N/N, so that N machines share the work. The "
            "relative path of a file decides which shard it belongs to.",
        ),
        Option(
            "--links",
            type=click.Choice(["follow", "skip", "error"]),
            default="follow",
            show_default=True,
            section=FILES,
            help="What to do with symbolic links.",
        ),
    ]


def selection_of(
    context: click.Context,
    sources: tuple[str, ...],
    values: Mapping[str, Any],
    prefix: str,
    wait: Callable[[int], None],
) -> Selection:
    """Return what the flags and sources select, below the folder ``prefix``. ``wait`` waits for a descriptor to read.

    Raises UsageError for flags that contradict each other, and patterns that cannot be read.
    """
    file = values["files_from"]
    if [*sources, file].count(STREAM) > 1:
        raise click.UsageError("there is one standard input, and - stands for it twice", context)
    if values["null"] and file is None:
        raise click.UsageError("-0 is about the names in --files-from, which is missing", context)
    exclude = [*values["exclude"]]
    try:
        for path in values["exclude_from"]:
            refuse_special_file(path)
            exclude += Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise click.UsageError(f"--exclude-from: {error.strerror or error}: {path!r}", context) from None
    except ValueError:
        raise click.UsageError(f"--exclude-from: {path!r} is not a text in UTF-8", context) from None
    try:
        rules = FilterRules(exclude, values["links"], values["include"])
    except ValueError as error:
        raise click.UsageError(f"--exclude or --include: {error}", context) from None
    log = os.path.realpath(values["log_file"]) if values.get("log_file") else None
    if log is not None and any(
        os.path.realpath(os.path.join(values["directory"] or "", each)) == log for each in sources
    ):
        raise click.UsageError(f"--log-file: {values['log_file']!r} is one of the files to send", context)
    listed = () if file is None else _names(file, values["null"], wait)
    try:
        prefix = folder(prefix)
    except click.BadParameter as error:
        raise click.BadParameter(error.message, context, param_hint="TARGET") from None
    prefix = "/".join(filter(None, (prefix, values["to"])))
    piped = STREAM in (*sources, file)
    return Selection(sources, listed, rules, values["directory"], prefix, values["name"], piped, values["shard"], log)


def _names(file: str, null: bool, wait: Callable[[int], None]) -> Iterator[str]:
    """Yield the names in the file. Raises SourceError if it cannot be read."""
    if file == STREAM and sys.stdin is None:
        raise SourceError(STREAM, "the standard input is closed")
    try:
        if file != STREAM:
            refuse_special_file(file)
        content = _all_of_input(wait) if file == STREAM else Path(file).read_bytes()
    except OSError as error:
        raise SourceError(file, error.strerror or str(error), errno=error.errno) from error
    if not null and b"\0" in content:
        raise SourceError(file, "the names in it end with NUL characters; add -0")
    for line in content.split(b"\0") if null else content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        name = line if null else line.removesuffix(b"\r")
        if name:
            yield os.fsdecode(name)


def _all_of_input(wait: Callable[[int], None]) -> bytes:
    stream = standard_input(wait)
    return b"".join(iter(lambda: stream.read(1 << 16) or b"", b""))
