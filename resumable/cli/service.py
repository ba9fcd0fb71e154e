"""One call of ``resumable serve``: the server that the flags describe, and what it says while it runs."""

from __future__ import annotations

import secrets
import shlex
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from .. import OptionError
from ..units import strip_control
from .interruption import Interrupted, InterruptGuard
from .output import units
from .output.exit_codes import ExitCode
from .output.receiver_log import receiver_log
from .output.resume_command import program
from .params.command import console, styled

if TYPE_CHECKING:
    from ..receiver import Server, Store, UploadRecord
    from ..receiver.metrics import ReceiverMetrics

__all__ = ["BUCKET", "OF_BUCKETS", "OF_DIRECTORIES", "serve"]

BUCKET = "s3://"
"""How the name of a bucket begins."""

OF_DIRECTORIES = ("fsync", "reserve")
OF_BUCKETS = ("endpoint_url", "single_replica")
"""The flags that only one kind of storage has."""

_OF_ALL = ("existing", "collected", "stale_after", "forget_after", "max_open_uploads", "max_bytes")
_TOKEN = "RESUMABLE_TOKEN"


class _NoDirectory(Exception):
    """The directory cannot store uploads."""


def serve(directory: str, token: str | None, flags: Mapping[str, Any]) -> int:
    """Serve until a signal comes, and return the exit code.

    Raises OptionError, ValueError, ImportError, and OSError if the log file cannot be written.
    """
    shown = console()

    def say(text: Text) -> None:
        shown.print(text, soft_wrap=True)

    def failed(text: str) -> int:
        say(styled(("failed: ", "bold red"), text))
        return ExitCode.SOME_FAILED

    level = (flags["log_level"] or ("info" if flags["log_file"] else "warning")).upper()
    with InterruptGuard() as signals, receiver_log(say, level, flags["log_file"]):
        try:
            server, made = _server(directory, token, flags)
            if not flags["quiet"]:
                _tell_what_arrives(server, say)
            with server:
                click.echo(server.url)
                say(_how(directory, server.url, flags, made))
                if flags["metrics_port"] is not None:
                    say(styled(("metrics: ", "green"), server.metrics_url))
                signals.wait()
        except Interrupted:
            pass
        except _NoDirectory as error:
            return failed(str(error))
        except OSError as error:
            # Python appends the address to what the system says.
            reason = (error.strerror or str(error)).partition(" (while ")[0]
            return failed(f"cannot serve {directory} at {flags['host']} port {flags['port']}: {reason}")
    return ExitCode.DONE


def _server(directory: str, token: str | None, flags: Mapping[str, Any]) -> tuple[Server, str | None]:
    """Return the server, and the token that was made for it if it needs one and none was chosen."""
    from ..receiver import Receiver, Server

    def chosen(*names: str) -> dict[str, Any]:
        return {name: flags[name] for name in names}

    def made(token: str | None) -> Server:
        receiver = Receiver(
            store,
            token=token,
            metrics=_metrics(flags),
            **chosen("allowed_origins", "allow_delete", "dialect", "page", "page_title"),
            **chosen("max_total_size", "max_chunks", "min_chunk_size", "max_uploads"),
        )
        for host in flags["allowed_hosts"]:
            receiver.allow_host(host)
        return Server(
            receiver, **chosen("host", "port", "processes", "insecure", "certfile", "keyfile", "metrics_port")
        )

    store = _store(directory, flags)
    try:
        return made(token), None
    except OptionError as error:
        if error.option != "host":
            raise
        # Others can reach that address, so they have to show a token.
        token = secrets.token_urlsafe(24)
        return made(token), token


def _store(directory: str, flags: Mapping[str, Any]) -> Store:
    from ..receiver import FileStore, S3Store
    from ..receiver.s3.failures import StoreFailure

    store: FileStore | S3Store
    if directory.startswith(BUCKET):
        if flags["single_replica"] and flags["processes"] > 1:
            raise OptionError("single_replica", True, "given only with --processes 1")
        bucket, _, prefix = directory.removeprefix(BUCKET).partition("/")
        store = S3Store(bucket, prefix, **{name: flags[name] for name in (*_OF_ALL, *OF_BUCKETS)})
    else:
        store = FileStore(directory, **{name: flags[name] for name in (*_OF_ALL, *OF_DIRECTORIES)})
    try:
        # Now, so that a place in which nothing can be kept is found before somebody uploads.
        store.prepare()
    except StoreFailure as error:
        raise _NoDirectory(f"cannot receive into {directory}: {error.detail}") from error
    except OSError as error:
        raise _NoDirectory(f"cannot receive into {directory}: {error.strerror or error}") from error
    return store


def _metrics(flags: Mapping[str, Any]) -> ReceiverMetrics | None:
    if not flags["metrics"] and flags["metrics_port"] is None:
        return None
    from ..receiver.metrics import ReceiverMetrics

    return ReceiverMetrics(private=not flags["metrics"])


def _tell_what_arrives(server: Server, say: Callable[[Text], object]) -> None:
    from ..receiver.bounded_body import ENDED

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


def _how(directory: str, url: str, flags: Mapping[str, Any], made: str | None) -> Text:
    """Say what to type to upload something. ``made`` is the token that was made for this run, if one was."""
    needed: list[str] = []
    if made or flags["token_env"]:
        needed = ["--token-env", _TOKEN if made else flags["token_env"]]
    elif flags["token_file"]:
        needed = ["--token-file", flags["token_file"]]
    if flags["dialect"] == "flowjs":
        needed += ["--dialect", "flowjs"]
    typed = f"{program()} {shlex.join(['upload', *needed, 'FILE', url])}"
    text = styled(("receiving ", "bold green"), f"into {directory}; Ctrl-C stops it. To upload something:")
    if made:
        # Exported, so that the command that resumes an upload finds it, too.
        text.append(f"\n  export {_TOKEN}={made}")
    text.append(f"\n  {strip_control(typed)}")
    if made:
        text.append("\nThe token is for this run only; pass --token-file or --token-env to choose one.")
    if flags["host"] in ("", "0.0.0.0", "::"):
        scheme, _, address = url.rstrip("/").partition("://")
        port = address.rpartition(":")[2]
        text.append(f"\nOthers reach it as {scheme}://{strip_control(socket.gethostname())}:{port}/")
    return text
