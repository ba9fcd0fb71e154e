"""The command ``resumable upload SOURCE… TARGET``."""

from __future__ import annotations

from typing import Any

import click

from .interruption import InterruptGuard
from .output.exit_codes import SUMMARY
from .output.library_log import log_flag
from .output.notes import OutputOptions
from .params.auth import certificates
from .params.command import FILES, OUTPUT, Command, Option
from .params.destination import destination_flags, destination_of, is_target, split_target
from .params.selection import selection_flags, selection_of, stream_name
from .params.types import share
from .upload_run import UploadRun

__all__ = ["command"]


@click.command(
    cls=Command,
    codes=SUMMARY,
    examples=(
        "resumable upload video.mp4 photos https://example.com/upload",
        "resumable upload --exclude '*.tmp' -C /data . lab:2024",
        "tar c photos | resumable upload --name photos.tar - lab:",
    ),
    short_help="Upload files and directories, and resume unfinished uploads.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("words", metavar="SOURCE… TARGET", nargs=-1, type=click.Path(allow_dash=True))
@click.pass_context
def command(context: click.Context, /, words: tuple[str, ...], **values: Any) -> int:
    """Upload each SOURCE to TARGET, the URL of a server that speaks the protocol of resumable.js, or its name (lab:).

    A SOURCE is a file, a directory with everything in it, a quoted pattern ('photos/**/*.jpg'), or - for the standard
    input. To resume, run the same command again: what the server has is not sent again. If a SOURCE cannot be read,
    the others are still sent, unless --fail-fast is given.
    """
    sources, target = split_target(context, words)
    if not sources and values["files_from"] is None:
        # The last argument is the target, also if it is the only one.
        missing = ("SOURCE", "what to upload") if is_target(target) else ("TARGET", f"the URL to upload {target!r} to")
        raise click.UsageError("{} is missing: {}".format(*missing), context)
    output = OutputOptions(values["quiet"], values["verbose"], values["json"], values["log_file"], values["progress"])
    destination = destination_of(context, target, values)
    with InterruptGuard() as signals, certificates(destination.cacert):
        selection = selection_of(context, sources, values, destination.prefix, signals.wait)
        return UploadRun(
            destination,
            selection,
            output,
            ignore_missing=values["ignore_missing"],
            typed=context.obj,
            signals=signals,
        ).run(dry=values["dry_run"])


command.params.extend(
    [
        Option(
            "-n",
            "--dry-run",
            is_flag=True,
            section=FILES,
            brief="List what would be sent.",
            help="List what would be sent, without contacting the server.",
        ),
        *selection_flags(),
        Option(
            "--part",
            type=share,
            metavar="K/N",
            section=FILES,
            help="Send only part K of N of each file, from 1/N to N/N, so that N machines send one file together. For "
            "servers that accept chunks in any order: those that say so, or any with --chunk-order free.",
        ),
        Option(
            "--name",
            type=stream_name,
            metavar="TEXT",
            default="stdin",
            show_default=True,
            section=FILES,
            help="Name for the standard input (-).",
        ),
        *destination_flags(),
        Option(
            "--progress",
            type=click.Choice(["auto", "bar", "plain", "none"]),
            default="auto",
            show_default=True,
            envvar="RESUMABLE_PROGRESS",
            show_envvar=True,
            section=OUTPUT,
            help="Bars, a line every five seconds, or nothing; auto: bars on a terminal, else lines.",
        ),
        Option("-q", "--quiet", is_flag=True, section=OUTPUT, help="Report only failures."),
        Option(
            "-v",
            "--verbose",
            count=True,
            section=OUTPUT,
            help="Report each file and each retry; -vv also each chunk.",
        ),
        log_flag(),
        Option(
            "--json",
            is_flag=True,
            section=OUTPUT,
            brief="Write events as lines of JSON.",
            help="Write each event to the standard output as a line of JSON.",
        ),
    ]
)
