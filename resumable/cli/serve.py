"""The command ``resumable serve DIRECTORY``."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from .. import OptionError
from .output.library_log import file_named
from .params import types
from .params.auth import token_flags, token_of, typed_token
from .params.command import ACCESS, LIMITS, OUTPUT, SERVER, STORAGE, Command, Option
from .service import BUCKET, OF_BUCKETS, OF_DIRECTORIES, serve

__all__ = ["command"]


@click.command(
    cls=Command,
    short_help="Receive uploads into a directory.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("directory", metavar="DIRECTORY|s3://BUCKET/PREFIX", type=click.Path(file_okay=False))
@click.pass_context
def command(context: click.Context, /, directory: str, **flags: Any) -> int:
    """Receive uploads into DIRECTORY until Ctrl-C. Only this machine can reach it unless you pass --host.

    The URL is printed on the standard output. A file appears in DIRECTORY, under its name, once it is complete.

    With s3://BUCKET/PREFIX uploads go into an object store, which any number of servers may share.
    """
    _check_flags(context, directory)
    try:
        token = token_of(typed_token(context, flags))
    except ValueError as error:
        raise click.UsageError(str(error), context) from None
    try:
        return serve(directory, token, flags)
    except OptionError as error:
        flag = next((each.opts[-1] for each in command.params if each.name == error.option), error.option)
        raise click.UsageError(f"{flag}{str(error).removeprefix(error.option)}", context) from None
    except ModuleNotFoundError as error:
        extra = "s3" if error.name == "boto3" else "server"
        raise click.UsageError(f"{error.name} is missing; install it with: pip install 'resumable[{extra}]'") from None
    except ImportError as error:
        raise click.UsageError(str(error)) from None
    except ValueError as error:
        raise click.UsageError(str(error), context) from None
    except OSError as error:
        raise click.UsageError(f"cannot write to {flags['log_file']}: {error.strerror or error}", context) from None


def _check_flags(context: click.Context, directory: str) -> None:
    """Raise click.UsageError if a flag says nothing about the kind of storage."""
    in_bucket = directory.startswith(BUCKET)
    for option in context.command.params:
        other = option.name in OF_DIRECTORIES if in_bucket else option.name in OF_BUCKETS
        if other and context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE:
            where = "a bucket" if in_bucket else "a directory"
            raise click.UsageError(f"{option.opts[0]} says nothing about {where}: leave it out.", context)


command.params.extend(
    [
        *token_flags(),
        Option(
            "--host",
            default="127.0.0.1",
            show_default=True,
            section=ACCESS,
            help="Address to listen on. If others can reach it, a token is required; one is made if you pass none.",
        ),
        Option(
            "--port",
            type=types.port,
            metavar="N",
            default=0,
            section=ACCESS,
            help="Port to listen on.  [default: any]",
        ),
        Option(
            "--certfile",
            type=click.Path(dir_okay=False),
            metavar="FILE",
            section=ACCESS,
            help="Speak TLS with this certificate and its chain, in PEM. It is read again when it has changed.",
        ),
        Option(
            "--keyfile",
            type=click.Path(dir_okay=False),
            metavar="FILE",
            section=ACCESS,
            help="The key of the certificate, if it is not in the same file.",
        ),
        Option("--insecure", is_flag=True, section=ACCESS, help="Accept uploads without a token."),
        Option(
            "--allowed-host",
            "allowed_hosts",
            metavar="NAME",
            multiple=True,
            section=ACCESS,
            help="Another host name by which clients reach this server. May be given several times.",
        ),
        Option(
            "--allowed-origin",
            "allowed_origins",
            metavar="ORIGIN",
            multiple=True,
            section=ACCESS,
            help="Site ('https://example.com') whose pages may upload here. May be given several times.",
        ),
        Option(
            "--allow-delete",
            is_flag=True,
            section=ACCESS,
            help="Let clients remove their unfinished uploads. Requires a token.",
        ),
        Option("--page/--no-page", default=True, section=ACCESS, help="Serve a page for browsers at /.  [default: on]"),
        Option(
            "--page-title",
            metavar="TEXT",
            default="Uploads",
            show_default=True,
            section=ACCESS,
            help="Title of the page.",
        ),
        Option(
            "--dialect",
            type=click.Choice(["resumablejs", "flowjs", "any"]),
            default="resumablejs",
            show_default=True,
            section=SERVER,
            help="Accept uploads of resumable.js, of flow.js, or of both.",
        ),
        Option(
            "--fsync",
            type=click.Choice(["always", "finish", "never"]),
            default="finish",
            show_default=True,
            section=STORAGE,
            help="What survives a power failure: each chunk, each finished file, or neither.",
        ),
        Option(
            "--existing",
            type=click.Choice(["number", "replace", "refuse"]),
            default="number",
            show_default=True,
            section=STORAGE,
            help="If there is a file of the same name: give the new one a number, replace the old one, or refuse "
            "the new one.",
        ),
        Option(
            "--collected",
            is_flag=True,
            section=STORAGE,
            help="Other programs take files out of DIRECTORY: do not receive a missing file again.",
        ),
        Option(
            "--stale-after",
            type=types.duration,
            metavar="TIME",
            default="7d",
            show_default=True,
            section=STORAGE,
            help="How long to keep unfinished uploads that nobody continues.",
        ),
        Option(
            "--forget-after",
            type=types.duration,
            metavar="TIME",
            default="7d",
            show_default=True,
            section=STORAGE,
            help="How long to remember received files.",
        ),
        Option(
            "--reserve",
            type=types.size,
            metavar="SIZE",
            default="64M",
            show_default=True,
            section=STORAGE,
            help="Free space to leave on the disk.",
        ),
        Option(
            "--endpoint-url",
            metavar="URL",
            section=STORAGE,
            help="URL of the object store, unless it is Amazon's or the environment names it.",
        ),
        Option(
            "--single-replica",
            is_flag=True,
            section=STORAGE,
            help="Use an object store that ignores conditions: this server is the only one that writes there.",
        ),
        Option(
            "--max-open-uploads",
            type=int,
            metavar="N",
            default=1000,
            show_default=True,
            section=LIMITS,
            help="Maximum number of unfinished uploads.",
        ),
        Option(
            "--max-bytes",
            type=types.size,
            metavar="SIZE",
            section=LIMITS,
            help="Maximum size of all unfinished uploads.",
        ),
        Option(
            "--max-file-size",
            "max_total_size",
            type=types.size,
            metavar="SIZE",
            default=str(2**53 - 1),
            section=LIMITS,
            help="Maximum size of a file.",
        ),
        Option(
            "--max-chunks",
            type=int,
            metavar="N",
            default=1_000_000,
            show_default=True,
            section=LIMITS,
            help="Maximum number of chunks of a file.",
        ),
        Option(
            "--max-uploads",
            type=int,
            metavar="N",
            default=16,
            show_default=True,
            section=LIMITS,
            help="How many requests a client of this package is asked to send at most at the same time.",
        ),
        Option(
            "--min-chunk-size",
            type=types.size,
            metavar="SIZE",
            default="1024",
            show_default=True,
            section=LIMITS,
            help="Minimum size of a chunk, unless the file has only one.",
        ),
        Option(
            "--processes",
            type=int,
            metavar="N",
            default=1,
            show_default=True,
            section=LIMITS,
            help="Number of processes that answer requests.",
        ),
        Option(
            "--metrics",
            is_flag=True,
            section=SERVER,
            help="Count requests, bytes and times for Prometheus, at /metrics, behind the token if there is one.",
        ),
        Option(
            "--metrics-port",
            type=types.port,
            metavar="N",
            section=SERVER,
            help="Show /metrics at another port of --host, without token and TLS, and not at --port.",
        ),
        Option(
            "--log-level",
            type=click.Choice(["debug", "info", "warning", "error"]),
            section=OUTPUT,
            help="What to log. With info each request is a line of JSON.  [default: warning; info with --log-file]",
        ),
        Option(
            "--log-file",
            type=click.Path(dir_okay=False),
            callback=file_named("without this flag the log goes to the standard error"),
            metavar="FILE",
            section=OUTPUT,
            help="Write the log to FILE, as lines of JSON, instead of the standard error.",
        ),
        Option("-q", "--quiet", is_flag=True, section=OUTPUT, help="Do not report uploads."),
    ]
)
