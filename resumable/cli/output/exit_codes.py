"""The exit codes, and what to do about an error, in terms of the command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable
from enum import IntEnum

from ... import (
    AuthenticationRefused,
    HookError,
    IncompleteUpload,
    OptionError,
    PluginError,
    RetriesExhausted,
    ServerRefused,
    SourceChanged,
    SourceError,
    TransportError,
    UploadError,
)
from ...protocol.pages import is_web_page
from ...tracebacks import describe_raised
from ...transport.base import TLSFailure
from ..params.flags import as_flags, flag_of
from ..params.stdio import UNWRITABLE

__all__ = [
    "MEANINGS",
    "SUMMARY",
    "TRUST",
    "ExitCode",
    "code_of",
    "code_of_all",
    "code_together",
    "explain",
    "is_unreachable",
    "option_in_words",
    "plugin_in_words",
]


class ExitCode(IntEnum):
    """The exit codes of the command. ``MEANINGS`` documents them."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    SOURCE = 3
    REFUSED = 4
    EXHAUSTED = 5
    AUTHENTICATION = 6
    TLS = 7
    CHANGED = 8
    UNWRITABLE = UNWRITABLE
    BUSY = 10
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS = {
    ExitCode.DONE: "everything is at the server",
    ExitCode.SOME_FAILED: "some files failed, or several for different reasons; of status: not all files are complete; "
    "of conformance: the server failed a check",
    ExitCode.USAGE: "the command line is wrong, a plugin failed, or a package is not installed",
    ExitCode.SOURCE: "a source is missing or cannot be read, or there is nothing to upload",
    ExitCode.REFUSED: "the server refused the upload",
    ExitCode.EXHAUSTED: "the server could not be reached, or all attempts failed; run the command again later",
    ExitCode.AUTHENTICATION: "credentials are missing or wrong (401, 403, 407, or a login page)",
    ExitCode.TLS: "no secure connection: the certificate is not trusted, or the server does not speak TLS",
    ExitCode.CHANGED: "a source changed while it was being sent, or the server lost chunks that it had confirmed",
    ExitCode.UNWRITABLE: "everything was done, but the standard output or a report cannot be written",
    ExitCode.BUSY: "another upload of the same files to the same server is under way",
    ExitCode.HUNG_UP: "SIGHUP, the terminal was closed; the command that resumes was printed",
    ExitCode.INTERRUPTED: "Ctrl-C; the command that resumes was printed",
    ExitCode.TERMINATED: "SIGTERM; the command that resumes was printed",
}
"""By exit code, for the documentation."""

SUMMARY = (
    "0 done, 1 some failed, 2 usage, 3 no source, 4 refused, 5 unreachable, 6 credentials, 7 TLS, 8 changed, "
    "9 output, 10 busy, 130 Ctrl-C"
)
"""In a line, for the short help."""

TRUST = "to trust it, name its certificate file with --cacert or REQUESTS_CA_BUNDLE"
"""What to do about a certificate that is not trusted."""


def code_of(error: BaseException) -> ExitCode:
    """Return the exit code for a file that failed with this error."""
    if isinstance(error, (SourceChanged, IncompleteUpload)):
        return ExitCode.CHANGED
    if isinstance(error, SourceError):
        return ExitCode.SOURCE
    if isinstance(error, AuthenticationRefused):
        return ExitCode.AUTHENTICATION
    if isinstance(error, ServerRefused):
        return ExitCode.REFUSED
    if isinstance(error, TransportError):
        return ExitCode.TLS if isinstance(error.__cause__, TLSFailure) else ExitCode.EXHAUSTED
    if isinstance(error, RetriesExhausted):
        return ExitCode.EXHAUSTED
    return ExitCode.SOME_FAILED


def code_of_all(errors: Iterable[BaseException], succeeded: int) -> ExitCode:
    """Return the exit code of a run: that of its failures if nothing succeeded and all failed in the same way."""
    return code_together({code_of(error) for error in errors}, succeeded)


def code_together(codes: Collection[ExitCode], succeeded: int) -> ExitCode:
    """Return the exit code of a run whose failures have these codes."""
    if not codes:
        return ExitCode.DONE
    return next(iter(codes)) if len(codes) == 1 and not succeeded else ExitCode.SOME_FAILED


def is_unreachable(error: BaseException) -> bool:
    """Return whether other files would fail too: no server, a wrong certificate, or wrong credentials."""
    if isinstance(error, AuthenticationRefused):
        return error.status in (401, 407)
    return isinstance(error, (RetriesExhausted, TransportError)) and error.status is None


def explain(error: BaseException) -> str:
    """Return the error with advice for the command line."""
    advice = (error.hint if isinstance(error, UploadError) else None) or ""
    start = str(error).removesuffix(f"; {advice}")
    if isinstance(error, UploadError) and error.ending:
        start = f"{start.removesuffix(f'({error.ending})')}({as_flags(error.ending)})"
    if isinstance(error, ServerRefused):
        start = start.replace("refused by accept_response", "refused by --reject", 1)
    if isinstance(error, HookError) and error.plugin is not None and advice:
        advice = f"{advice} with --no-plugin {shlex.quote(error.plugin)}"
    elif isinstance(error.__cause__, TLSFailure) and error.__cause__.untrusted:
        advice = TRUST
    elif isinstance(error, AuthenticationRefused) and "credentials" in advice and error.status != 407:
        advice = f"{advice}; pass them with --token-file, --token-env, --header @FILE or ~/.netrc"
    elif isinstance(error, ServerRefused) and is_web_page(error.body):
        advice = f"{advice}; the answer is a web page: check the URL with resumable doctor"
    return f"{start}; {as_flags(advice).lstrip('; ')}" if advice else start


def option_in_words(error: OptionError) -> str:
    """Return what is wrong with an option, as the command line calls it."""
    text = str(error).removeprefix(error.option)
    if error.option == "target":
        # A function cannot be typed.
        return "TARGET" + re.sub(r", or a callable\(params\)[^;]*", "", text, count=1)
    return f"{flag_of(error.option)}{text}"


def plugin_in_words(error: Exception) -> str:
    """Return what is wrong with a plugin, and how to go on without it."""
    if isinstance(error, PluginError):
        return f"{error} with --no-plugin {shlex.quote(error.plugin)}"
    # One that was made may still undo what was checked.
    return f"the session cannot be made: {describe_raised(error)}; --no-plugins leaves plugins out"
