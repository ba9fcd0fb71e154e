"""``resumable conformance TARGET``"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from ..errors import OptionError, redact_url
from ..special_files import refuse_special_file
from ..statuses import hint
from ..testing.checks import CHECKS, Check
from ..testing.reports import as_object, junit, summary
from ..testing.runner import CheckOutcome, CheckResult, NotAdmitted, Unreachable, is_untrusted, run_checks, select
from ..testing.target import CHUNK_SIZE, Target
from ..transport.base import TLSFailure
from .interruption import Interrupted, InterruptGuard
from .output.exit_codes import TRUST, ExitCode, option_in_words
from .output.json_events import JsonEvents
from .output.units import count
from .params.auth import certificate_flag, certificates, token_flags
from .params.command import NAMES, OUTPUT, Command, Option, console, styled
from .params.config import config_flag
from .params.destination import destination_of
from .params.flags import DEFAULTS, as_flags, dialect_flag, option_flags

__all__ = ["command"]

_FLAGS = [
    flag
    for flag in option_flags({**DEFAULTS, "chunk_size": CHUNK_SIZE})
    if flag.section == NAMES
    or flag.name
    in (
        "chunk_size",
        "headers",
        "method",
        "params_in",
        "permanent_errors",
        "query",
        "success_statuses",
        "test_method",
        "test_target",
        "timeout",
        "upload_method",
    )
]
"""The flags of an upload that say how to speak to the server."""

_MARKS = {
    CheckOutcome.PASSED: ("ok      ", "green"),
    CheckOutcome.FAILED: ("FAILED  ", "bold red"),
    CheckOutcome.SKIPPED: ("skipped ", "yellow"),
}
_WIDTH = max(len(check.name) for check in CHECKS)


@click.command(
    cls=Command,
    codes="0 passes, 1 fails a check, 2 usage, 5 unreachable, 6 credentials, 7 TLS, 9 output, 130 Ctrl-C",
    examples=(
        "resumable conformance http://127.0.0.1:8000/upload --files incoming",
        "resumable conformance --only resume --only cut-chunk lab:",
        "resumable conformance --strict --junit report.xml lab:",
    ),
    short_help="Check that a server speaks the protocol.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("target", metavar="TARGET", required=False)
@click.pass_context
def command(context: click.Context, /, target: str | None, **values: Any) -> int:
    """Check that the server at TARGET takes whatever clients of the protocol send, and refuses what makes no sense.

    This is for people who write servers. Each check sends small files of its own, one request at a time or several at
    once. If it fails, it says what the server answered and what it would need. The files stay at the server; their
    names begin with check-.

    The exit code is 1 if the server fails a check of what it must do. With --strict, the same holds for what it should
    do.
    """
    if values["list"]:
        for check in CHECKS:
            click.echo(f"{check.name:<{_WIDTH}}  {check.severity.value:<6}  {check.sentence}")
        return ExitCode.DONE
    if values["remove"] and values["files"] is None:
        raise click.UsageError("--remove needs --files: there is no other way to delete", context)
    if target is None:
        raise click.UsageError("TARGET is missing: the URL of the server to check", context)
    try:
        checks = select(values["only"])
    except KeyError as error:
        raise click.UsageError(f"--only: there is no check {error.args[0]!r}; --list shows all", context) from None
    _refuse_unwritable(context, values["junit"])
    destination = destination_of(context, target, {**values, "accept": (), "reject": ()}, {})
    with InterruptGuard(), certificates(destination.cacert):
        try:
            checked = Target(destination.target, files=values["files"], **destination.options)
        except OptionError as error:
            raise click.UsageError(option_in_words(error), context) from None
        except OSError as error:
            raise click.UsageError(f"{error.filename}: {error.strerror}", context) from None
        return _Run(checked, values).run(checks)


def _refuse_unwritable(context: click.Context, path: str | None) -> None:
    if path is not None:
        try:
            refuse_special_file(path, written=True)
        except OSError as error:
            raise click.UsageError(f"--junit: {error.strerror}: {path!r}", context) from None


class _Run:
    """One run of the checks. Results are printed as they come, and what is left at the server also after Ctrl-C."""

    def __init__(self, target: Target, flags: Mapping[str, Any]) -> None:
        self._target = target
        self._flags = flags
        self._console = console()
        self._records = JsonEvents() if flags["json"] else None
        self._results: list[CheckResult] = []

    def run(self, checks: Iterable[Check]) -> int:
        """Return the exit code."""
        try:
            for result in run_checks(self._target, checks):
                self._results.append(result)
                self._show(result)
        except NotAdmitted as refusal:
            advice = "pass credentials with --token-file, --token-env or --header @FILE"
            return self._stopped(ExitCode.AUTHENTICATION, f"{refusal}; {advice}")
        except Unreachable as error:
            code = ExitCode.TLS if isinstance(error.failure, TLSFailure) else ExitCode.EXHAUSTED
            advice = TRUST if is_untrusted(error) else "check the URL and whether the server runs"
            return self._stopped(code, f"{error}; {advice}")
        except Interrupted as signal:
            self._report(f"stopped by {signal}")
            raise
        finally:
            self._target.close()
            self._say_what_is_left(self._target.remove() if self._flags["remove"] else 0)
        return self._summarise()

    def _show(self, result: CheckResult) -> None:
        check = result.check
        if self._records is not None:
            self._records.write("check", as_object(result))
        reason = f" → {result.reason}" if result.reason else ""
        self._say(_MARKS[result.outcome], (f"{check.name:<{_WIDTH}}  ", "bold"), f"{check.sentence}{reason}")
        if result.outcome is CheckOutcome.FAILED:
            self._say(f"{'':{_WIDTH + 10}}The server {check.severity.value} do this: {check.needs}")

    def _say(self, *parts: tuple[str, str] | str) -> None:
        self._console.print(styled(*parts), soft_wrap=True)

    def _stopped(self, code: ExitCode, why: str) -> int:
        self._say(("FAILED  ", "bold red"), f"no check was made: {why}")
        self._report(f"no check was made: {why}")
        return self._end(code, reason=why)

    def _say_what_is_left(self, removed: int) -> None:
        if removed:
            self._say(("removed ", "bold"), count(removed, "file"))
        whole = sum(self._target.sent.values())
        parts = len(self._target.sent) - whole
        left = [count(whole, "file")] if whole else []
        if parts:
            left.append(f"parts of {count(parts, 'other file' if whole else 'file')}")
        if left:
            self._say(("left    ", "bold"), f"{', and '.join(left)}; delete them at the server, the protocol cannot")

    def _summarise(self) -> int:
        """Say how many checks ended how, and write the reports. Return the exit code."""
        counts = summary(self._results)
        code = ExitCode.SOME_FAILED if counts["failed" if self._flags["strict"] else "broken"] else ExitCode.DONE
        failed, broken = counts["failed"], counts["broken"]
        which = f" ({broken} of what it must do)" if failed else ""
        text = f"{count(counts['passed'], 'check')} passed, {failed} failed{which}, {counts['skipped']} skipped"
        self._say(("done: ", "bold"), text)
        if not self._target.sees_files:
            self._say("The checks believed the server: with --files DIRECTORY they compare the bytes of its files.")
        if self._target.answered and min(self._target.answered) >= 300:
            statuses = sorted(self._target.answered)
            advice = hint(statuses[0]) if len(statuses) == 1 else None
            said = " and ".join(map(str, statuses))
            self._say(f"All uploads were answered with {said}: {as_flags(advice or 'check the URL')}.")
        return self._end(code if self._report() else ExitCode.UNWRITABLE, **counts)

    def _report(self, stopped: str = "") -> bool:
        """Write the report that was asked for, if one was. Return False if that fails."""
        path = self._flags["junit"]
        if path is None:
            return True
        try:
            Path(path).write_text(junit(redact_url(self._target.url), self._results, stopped), encoding="utf-8")
        except OSError as error:
            self._say(("failed: ", "bold red"), f"cannot write {path}: {error.strerror}")
            return False
        return True

    def _end(self, code: ExitCode, **facts: Any) -> int:
        if self._records is not None:
            self._records.finish({"exit_code": code, **facts})
        return code


command.params.extend(
    [
        Option(
            "--only",
            metavar="NAME",
            multiple=True,
            help="Run only this check. May be given several times.",
        ),
        Option("--list", is_flag=True, help="List the checks and exit."),
        Option(
            "--files",
            type=click.Path(exists=True, file_okay=False),
            help="Directory on this machine into which the server puts finished files, to compare their bytes.",
        ),
        Option("--remove", is_flag=True, help="At the end, remove the files of the checks from --files."),
        Option("--strict", is_flag=True, help="Also fail if the server does not do what it should."),
        Option("--json", is_flag=True, section=OUTPUT, help="Write each result to the standard output, as JSON."),
        Option(
            "--junit", type=click.Path(dir_okay=False), section=OUTPUT, help="Write the results to this file, as XML."
        ),
        *token_flags(environment=True),
        certificate_flag(),
        config_flag(),
        dialect_flag(),
        *_FLAGS,
    ]
)
