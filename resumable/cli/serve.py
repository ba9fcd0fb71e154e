"""The command ``resumable serve DIRECTORY``."""

from __future__ import annotations

import logging
import secrets
import shlex
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.text import Text

from .. import OptionError
from .interruption import Interrupted, InterruptGuard
from .output import units
from .output.exit_codes import ExitCode
from .output.library_log import file_named
from .output.log_file import log_file
from .output.resume_command import program
from .params import types
from .params.auth import token_flags, token_of, typed_token
from .params.command import (
    ACCESS,
    LIMITS,
    OUTPUT,
    SERVER,
    STORAGE,
    Command,
    Option,
    console,
    strip_control,
    styled,
)

if TYPE_CHECKING:
    from ..receiver import Server, UploadRecord

__all__ = ["command"]

_VARIABLE = "RESUMABLE_TOKEN"
_BUCKET = "s3://"
_OF_DIRECTORIES = ("fsync", "reserve")
_OF_BUCKETS = ("endpoint_url", "single_replica")
_OF_ALL = ("existing", "collected", "stale_after", "forget_after", "max_open_uploads", "max_bytes")


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
        return _serve(directory, token, flags)
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
    in_bucket = directory.startswith(_BUCKET)
    for option in context.command.params:
        other = option.name in _OF_DIRECTORIES if in_bucket else option.name in _OF_BUCKETS
        if other and context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE:
            where = "a bucket" if in_bucket else "a directory"
            raise click.UsageError(f"{option.opts[0]} says nothing about {where}: leave it out.", context)


class _LogHandler(logging.Handler):
    """Shows what the receiver logs, with a traceback if the cause is not the system."""

    def __init__(self, show: Callable[[Text], object]) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        colour = "bold red" if record.levelno >= logging.ERROR else "yellow"
        self._show(styled((f"{record.levelname.lower()}: ", colour), record.getMessage()))
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, OSError):
            for line in "".join(traceback.format_exception(error)).splitlines():
                self._show(styled(line))


@contextmanager
def _log_shown(show: Callable[[Text], object], level: str, file: str | None) -> Iterator[None]:
    """Show what the receiver logs from this level on, or write it to a file, for a block. Raises OSError."""
    logger = logging.getLogger("resumable.receiver")
    before = logger.level
    handler = (
        _LogHandler(show) if file is None else log_file(file, lambda text: show(styled(("warning: ", "yellow"), text)))
    )
    handler.setLevel(level)
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()


class _NoDirectory(Exception):
    """The directory cannot store uploads."""


def _serve(directory: str, token: str | None, flags: dict[str, Any]) -> int:
    """Serve until a signal comes, and return the exit code. Raises OptionError, ValueError, ImportError."""
    shown = console()
    level = (flags["log_level"] or ("info" if flags["log_file"] else "warning")).upper()
    logged = _log_shown(lambda text: shown.print(text, soft_wrap=True), level, flags["log_file"])
    with InterruptGuard() as signals, logged:
        try:
            try:
                server = _server(directory, token, flags)
            except OptionError as error:
                if error.option != "host":
                    raise
                # Others can reach that address, so they have to show a token.
                token = secrets.token_urlsafe(24)
                server = _server(directory, token, flags)
                flags = {**flags, "token_made": token}
            if not flags["quiet"]:
                _tell_what_arrives(server, lambda text: shown.print(text, soft_wrap=True))
            with server:
                click.echo(server.url)
                shown.print(_how(directory, server.url, flags), soft_wrap=True)
                if flags["metrics_port"] is not None:
                    shown.print(styled(("metrics: ", "green"), server.metrics_url), soft_wrap=True)
                signals.wait()
        except Interrupted:
            pass
        except _NoDirectory as error:
            shown.print(styled(("failed: ", "bold red"), str(error)), soft_wrap=True)
            return ExitCode.SOME_FAILED
        except OSError as error:
            # Python appends the address to what the system says.
            reason = (error.strerror or str(error)).partition(" (while ")[0]
            text = f"cannot serve {directory} at {flags['host']} port {flags['port']}: {reason}"
            shown.print(styled(("failed: ", "bold red"), text), soft_wrap=True)
            return ExitCode.SOME_FAILED
    return ExitCode.DONE


def _server(directory: str, token: str | None, flags: dict[str, Any]) -> Server:
    from ..receiver import FileStore, Receiver, S3Store, Server
    from ..receiver.s3.failures import StoreFailure

    def chosen(*names: str) -> dict[str, Any]:
        return {name: flags[name] for name in names}

    store: FileStore | S3Store
    if directory.startswith(_BUCKET):
        if flags["single_replica"] and flags["processes"] > 1:
            raise OptionError("single_replica", True, "given only with --processes 1")
        bucket, _, prefix = directory.removeprefix(_BUCKET).partition("/")
        store = S3Store(bucket, prefix, **chosen(*_OF_ALL, *_OF_BUCKETS))
    else:
        store = FileStore(directory, **chosen(*_OF_ALL, *_OF_DIRECTORIES))
    try:
        # Now, so that a place in which nothing can be kept is found before somebody uploads.
        store.prepare()
    except StoreFailure as error:
        raise _NoDirectory(f"cannot receive into {directory}: {error.detail}") from error
    except OSError as error:
        raise _NoDirectory(f"cannot receive into {directory}: {error.strerror or error}") from error
    metrics = None
    if flags["metrics"] or flags["metrics_port"] is not None:
        from ..receiver.metrics import ReceiverMetrics

        metrics = ReceiverMetrics(private=not flags["metrics"])
    receiver = Receiver(
        store,
        token=token,
        metrics=metrics,
        allowed_origins=flags["allowed_origins"],
        **chosen("dialect", "max_total_size", "max_chunks", "min_chunk_size", "max_uploads", "allow_delete"),
        **chosen("page", "page_title"),
    )
    for host in flags["allowed_hosts"]:
        receiver.allow_host(host)
    return Server(receiver, **chosen("host", "port", "processes", "insecure", "certfile", "keyfile", "metrics_port"))


def _tell_what_arrives(server: Server, say: Any) -> None:
    from ..receiver.gateway import ENDED

    signals = server.receiver.signals
    interrupted: set[str] = set()

    def received(receiver: object, record: UploadRecord) -> None:
        name = record.published or record.name
        say(styled(("received: ", "green"), f"{name}, {units.size(record.total_size)}"))

    def refused(receiver: object, status: int, sentence: str, record: UploadRecord | None) -> None:
        if record is not None and sentence.startswith(ENDED):
            # Once for an upload: a client that goes has several requests under way.
            if record.identifier not in interrupted:
                interrupted.add(record.identifier)
                say(styled(("interrupted: ", "yellow"), record.relative_path or record.name))
            return
        what = f" ({record.relative_path or record.name})" if record is not None else ""
        say(styled(("refused: ", "yellow"), f"{status} {sentence}{what}"))

    def goes_on(receiver: object, record: UploadRecord, number: int) -> None:
        interrupted.discard(record.identifier)

    signals.chunk_received.connect(goes_on, weak=False)
    signals.file_received.connect(received, weak=False)
    signals.upload_refused.connect(refused, weak=False)


def _how(directory: str, url: str, flags: dict[str, Any]) -> Text:
    """Say what to type to upload something."""
    made = flags.get("token_made")
    needed: list[str] = []
    if made or flags["token_env"]:
        needed = ["--token-env", _VARIABLE if made else flags["token_env"]]
    elif flags["token_file"]:
        needed = ["--token-file", flags["token_file"]]
    if flags["dialect"] == "flowjs":
        needed += ["--dialect", "flowjs"]
    typed = f"{program()} {shlex.join(['upload', *needed, 'FILE', url])}"
    text = styled(("receiving ", "bold green"), f"into {directory}; Ctrl-C stops it. To upload something:")
    if made:
        # Exported, so that also the command with which an upload goes on finds it.
        text.append(f"\n  export {_VARIABLE}={made}")
    text.append(f"\n  {strip_control(typed)}")
    if made:
        text.append("\nThe token is for this run only; pass --token-file or --token-env to choose one.")
    if flags["host"] in ("", "0.0.0.0", "::"):
        scheme, _, address = url.rstrip("/").partition("://")
        port = address.rpartition(":")[2]
        text.append(f"\nOthers reach it as {scheme}://{strip_control(socket.gethostname())}:{port}/")
    return text


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
            help="The key of the certificate, if that file does not have it.",
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
            help="What the page is called.",
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
            help="If the name of a file is taken: give it a number, replace the other file, or refuse it.",
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
            help="Requests at once that a client of this package is asked to send at most.",
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
