"""The command ``resumable upload SOURCE… TARGET``."""

from __future__ import annotations

from typing import Any

import click

from ..options import OPTIONS
from .interruption import InterruptGuard
from .params.auth import (
    authorised,
    certificate_flag,
    certificates,
    token_flags,
)
from .params.command import (
    FILES,
    OUTPUT,
    Command,
    Option,
)
from .params.flags import (
    DEFAULTS,
    DIALECTS,
    dialect_flag,
    option_flags,
    options_from_context,
)
from .params.responses import accept_response, response_flags
from .params.selection import selection_flags, selection_of
from .transfer import OutputOptions, Transfer

__all__ = ["command"]


@click.command(
    cls=Command,
    short_help="Upload files and directories, and resume unfinished uploads.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("sources", metavar="SOURCE…", nargs=-1, type=click.Path(allow_dash=True))
@click.argument("target", metavar="TARGET")
@click.pass_context
def command(context: click.Context, /, sources: tuple[str, ...], target: str, **values: Any) -> int:
    """Upload each SOURCE to TARGET, the URL of a server that speaks the protocol of resumable.js.

    A SOURCE is a file, a directory with everything in it, a quoted pattern ('photos/**/*.jpg'), or - for the standard
    input. To resume, run the same command again: what the server has is not sent again. A SOURCE that cannot be read
    does not keep the others from being sent, unless --fail-fast is given.
    """
    if not sources and values["files_from"] is None:
        # The last argument is the target, also if it is the only one.
        missing = "'SOURCE…'." if "://" in target else f"'TARGET': the URL to upload {target!r} to."
        raise click.UsageError(f"Missing argument {missing}", context)
    output = OutputOptions(values["progress"], values["quiet"], values["verbose"], values["json"])
    options = {
        **DEFAULTS,
        **DIALECTS.get(values["dialect"], {}),
        **options_from_context(context, values),
        "auto_upload": False,
    }
    success = options.get("success_statuses", OPTIONS["success_statuses"].default)
    options["accept_response"] = accept_response(values["accept"], values["reject"], success)
    try:
        options["headers"] = authorised(options.get("headers", {}), values["token_file"], values["token_env"])
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error), context) from None
    with InterruptGuard() as signals, certificates(values["cacert"]):
        selection = selection_of(context, sources, values, signals.wait)
        transfer = Transfer(target, options, output, typed=context.obj, signals=signals)
        return transfer.run(selection, dry=values["dry_run"], ignore_missing=values["ignore_missing"])


command.params.extend(
    [
        Option(
            "-n",
            "--dry-run",
            is_flag=True,
            section=FILES,
            help="List what would be sent, without contacting the server.",
        ),
        *selection_flags(),
        Option("--name", default="stdin", show_default=True, section=FILES, help="Name for the standard input (-)."),
        *token_flags(),
        certificate_flag(),
        dialect_flag(),
        *option_flags(),
        *response_flags(),
        Option(
            "--progress",
            type=click.Choice(["auto", "bar", "plain", "none"]),
            default="auto",
            show_default=True,
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
        Option(
            "--json",
            is_flag=True,
            section=OUTPUT,
            help="Write each event to the standard output as a line of JSON.",
        ),
    ]
)
