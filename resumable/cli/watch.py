"""The command ``resumable watch DIRECTORY TARGET``."""

from __future__ import annotations

import importlib.util
import os
import time
from functools import partial
from types import MappingProxyType
from typing import Any

import click

from .disposal import Disposal, Keep, Mark, Move
from .inbox import Inbox
from .interruption import InterruptGuard
from .output.exit_codes import SUMMARY
from .output.library_log import log_flag
from .output.notes import OutputOptions
from .params import types
from .params.auth import certificates
from .params.command import FILES, OUTPUT, Command, Option
from .params.destination import destination_flags, destination_of, split_target
from .params.flags import DEFAULTS
from .params.selection import selection_flags, selection_of
from .watcher import Watcher, directory_changes

__all__ = ["command"]

_DEFAULTS = MappingProxyType({**DEFAULTS, "max_chunk_retries": None, "retry_for": None})
"""Nobody waits for it, so it does not give up: the server may be away for a night."""

_SELECTION = ("include", "exclude", "exclude_from", "directory", "to", "links")
_WITHOUT = ("max_files", "fail_fast")


@click.command(
    cls=Command,
    codes=SUMMARY,
    examples=(
        "resumable watch /data/inbox https://example.com/upload",
        "resumable watch --move-to /data/sent --rest 1m /data/inbox lab:",
        "resumable watch --once --mark -C /data/inbox . lab:scans",
    ),
    short_help="Upload the files of a directory as they arrive.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("words", metavar="DIRECTORY TARGET", nargs=-1, type=click.Path())
@click.pass_context
def command(context: click.Context, /, words: tuple[str, ...], **values: Any) -> int:
    """Upload the files in DIRECTORY to TARGET, and those that arrive later, until Ctrl-C.

    A file is sent once it has not changed for the time of --rest, under the name that an upload of DIRECTORY gives it.
    If the server cannot be reached, the command keeps trying until it can. After a restart, what the server still has
    is not sent again; with --move-to or --mark, the server is not even asked.
    """
    sources, target = split_target(context, words)
    if len(sources) != 1:
        raise click.UsageError("pass one directory to watch, and the URL to upload to", context)
    root = os.path.join(values["directory"] or "", sources[0])
    if not os.path.isdir(root):
        what = "is not a directory" if os.path.lexists(root) else "does not exist"
        raise click.UsageError(f"DIRECTORY: {root!r} {what}", context)
    if values["move_to"] and values["mark"]:
        raise click.UsageError("pass either --move-to or --mark, not both", context)
    if importlib.util.find_spec("watchfiles") is None:
        raise click.UsageError("watchfiles is missing; install it with: pip install 'resumable[watch]'", context)
    destination = destination_of(context, target, values, _DEFAULTS)
    disposal: Disposal = Mark() if values["mark"] else Keep()
    if values["move_to"] is not None:
        _prepare(context, values["move_to"], root)
        disposal = Move(root, values["move_to"])
    output = OutputOptions(values["quiet"], values["verbose"], values["json"], values["log_file"])
    given = {**values, "files_from": None, "null": False, "name": "", "shard": None}
    with InterruptGuard() as signals, certificates(destination.cacert):
        selection = selection_of(context, sources, given, destination.prefix, signals.wait)
        age = lambda version: time.time() - version.mtime_ns / 1e9  # noqa: E731
        inbox = Inbox(selection, values["rest"], skip=disposal.skips, age=age)
        changes = partial(directory_changes, root)
        watcher = Watcher(destination, inbox, disposal, output, typed=context.obj, changes=changes)
        return watcher.run(root, once=values["once"])


def _prepare(context: click.Context, directory: str, root: str) -> None:
    """Make the directory that files are moved to. Raises UsageError if it cannot be used."""
    if os.path.realpath(directory) == os.path.realpath(root):
        raise click.UsageError("--move-to: it is the directory that is watched; name another, or one in it", context)
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"--move-to: {error.strerror or error}: {directory!r}", context) from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise click.UsageError(f"--move-to: Permission denied: {directory!r}", context)


command.params.extend(
    [
        *(flag for flag in selection_flags() if flag.name in _SELECTION),
        Option(
            "--rest",
            type=types.duration,
            default="5",
            metavar="TIME",
            section=FILES,
            brief="How long a file must not have changed.",
            help="How long a file must not have changed before it is sent.  [default: 5s]",
        ),
        Option(
            "--move-to",
            type=click.Path(file_okay=False),
            metavar="DIR",
            section=FILES,
            brief="Move what is uploaded into this directory.",
            help="Move each file into this directory once it is uploaded. Nothing there is overwritten.",
        ),
        Option(
            "--mark",
            is_flag=True,
            section=FILES,
            brief="Make NAME.uploaded beside what is uploaded.",
            help="Make a small file NAME.uploaded beside each file once it is uploaded.",
        ),
        Option(
            "--once",
            is_flag=True,
            section=FILES,
            brief="Send what is there, and end.",
            help="End once everything that is there has been tried.",
        ),
        *(flag for flag in destination_flags(_DEFAULTS) if flag.name not in _WITHOUT),
        Option("-q", "--quiet", is_flag=True, section=OUTPUT, help="Report only failures."),
        Option("-v", "--verbose", count=True, section=OUTPUT, help="Report also what begins; -vv all that is logged."),
        log_flag(),
        Option("--json", is_flag=True, section=OUTPUT, help="Write each event to the standard output as JSON."),
    ]
)
