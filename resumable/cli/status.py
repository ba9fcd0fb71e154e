"""The command ``resumable status SOURCE… TARGET``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

import click

from ..errors import SourceError
from .inquiry import Inquiry, NotAnEndpoint, RemoteFile
from .interruption import InterruptGuard
from .output import report, units
from .output.exit_codes import SUMMARY, ExitCode, code_of_all, explain, is_unreachable
from .output.json_events import JsonEvents
from .params.auth import certificates
from .params.command import OUTPUT, Command, Option, console, styled
from .params.destination import destination_flags, destination_of, is_target, split_target
from .params.selection import selection_flags, selection_of
from .params.sources import STREAM, Found, find, is_missing

__all__ = ["command"]


@click.command(
    cls=Command,
    codes=SUMMARY,
    examples=(
        "resumable status video.mp4 https://example.com/upload",
        "resumable status -q photos lab: && echo all there",
        "resumable status --json -C /data . lab:2024",
    ),
    short_help="Show what the server has of each file.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("words", metavar="SOURCE… TARGET", nargs=-1, type=click.Path())
@click.pass_context
def command(context: click.Context, /, words: tuple[str, ...], **values: Any) -> int:
    """Ask TARGET what it has of each SOURCE, as an upload would. Nothing is sent.

    A file is complete, partial or missing there, or unknown if the answers do not tell. The exit code is 0 if all files
    are complete, 1 if one is not, and otherwise that of an upload.
    """
    sources, target = split_target(context, words)
    if not sources and values["files_from"] is None:
        missing = (
            ("SOURCE", "what to look for") if is_target(target) else ("TARGET", f"the URL to ask about {target!r}")
        )
        raise click.UsageError("{} is missing: {}".format(*missing), context)
    if STREAM in sources:
        raise click.UsageError("the standard input has no status: a server knows it only by what was sent", context)
    destination = destination_of(context, target, values)
    shown = Report(quiet=values["quiet"], records=JsonEvents() if values["json"] else None)
    with InterruptGuard() as signals, certificates(destination.cacert), Inquiry(destination) as inquiry:
        selection = selection_of(context, sources, {**values, "name": ""}, destination.prefix, signals.wait)
        found = find(selection)
        if values["ignore_missing"]:
            found = (item for item in found if not (isinstance(item, SourceError) and is_missing(item)))
        return shown.run(inquiry, found)


class Report:
    """Asks about files, and shows the answers: on the standard output, as text or as JSON."""

    def __init__(self, *, quiet: bool, records: JsonEvents | None) -> None:
        self._quiet = quiet
        self._records = records
        self._console = console()
        self._answers: list[RemoteFile] = []
        self._errors: list[Exception] = []
        self._began = time.monotonic()

    def run(self, inquiry: Inquiry, found: Iterable[Found | SourceError]) -> int:
        """Return the exit code."""
        for item in found:
            if isinstance(item, SourceError):
                self._fail(item)
                continue
            try:
                answer = inquiry.ask(item)
            except Exception as error:
                self._fail(error)
                if is_unreachable(error) or isinstance(error, NotAnEndpoint):
                    break
                continue
            self._show(item, answer)
        complete = sum(answer.state == "complete" for answer in self._answers)
        code = self._code(complete)
        self._sum_up(code, complete)
        return int(code)

    def _code(self, complete: int) -> ExitCode:
        if self._errors:
            return code_of_all(self._errors, len(self._answers))
        if not self._answers:
            return ExitCode.SOURCE
        return ExitCode.DONE if complete == len(self._answers) else ExitCode.SOME_FAILED

    def _fail(self, error: Exception) -> None:
        self._errors.append(error)
        self._console.print(styled(("failed: ", "bold red"), explain(error)), soft_wrap=True)

    def _show(self, item: Found, answer: RemoteFile) -> None:
        self._answers.append(answer)
        if self._records is not None:
            self._records.write("status", {"path": item.path, **answer._asdict()})
        elif not self._quiet:
            there = f", {units.count(answer.chunks_already_there)} of {units.count(answer.chunks, 'chunk')}"
            what = f"({units.size(answer.size)}{there if answer.state == 'partial' else ''})"
            line = styled(f"{answer.state:<9} {answer.relative_path}  ", (what, "dim"))
            console(sys.stdout).print(line, soft_wrap=True)

    def _sum_up(self, code: ExitCode, complete: int) -> None:
        files, there = len(self._answers), sum(answer.bytes_confirmed for answer in self._answers)
        size = sum(answer.size for answer in self._answers)
        if not files and not self._errors:
            self._console.print(styled(("failed: ", "bold red"), "there is nothing to ask about"), soft_wrap=True)
        elif files and not self._quiet:
            text = f"{units.count(complete)} of {units.count(files, 'file')} complete"
            self._console.print(
                styled(f"{text}, {units.size(there)} of {units.size(size)} at the server; nothing was sent"),
                soft_wrap=True,
            )
        if self._records is not None:
            facts = report.result(
                code,
                succeeded=complete,
                failed=len(self._errors),
                chunks=sum(answer.chunks for answer in self._answers),
                chunks_already_there=sum(answer.chunks_already_there for answer in self._answers),
                bytes_confirmed=there,
                bytes_skipped=there,
                seconds=time.monotonic() - self._began,
                errors=self._errors,
            )
            self._records.finish(facts)


command.params.extend(
    [
        *selection_flags(),
        *destination_flags(),
        Option(
            "-q",
            "--quiet",
            is_flag=True,
            section=OUTPUT,
            brief="Show only failures.",
            help="Show only failures; the exit code tells the rest.",
        ),
        Option(
            "--json",
            is_flag=True,
            section=OUTPUT,
            brief="Write JSON.",
            help="Write each answer to the standard output as JSON.",
        ),
    ]
)
