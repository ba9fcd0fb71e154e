"""``resumable doctor TARGET``"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ... import OptionError, Resumable
from ...errors import redact_url
from ...transport import congestion
from ..interruption import InterruptGuard
from ..output.exit_codes import ExitCode, option_in_words
from ..output.resume_command import LEFT_OUT, command_again
from ..output.units import size
from ..params import types
from ..params.auth import (
    certificate_flag,
    certificates,
    token_flags,
)
from ..params.command import (
    OTHER,
    SERVER,
    Command,
    Option,
    console,
    styled,
)
from ..params.config import check_new, config_flag, config_path, save_endpoint, split_endpoint
from ..params.destination import URL, destination_of
from ..params.flags import dialect_flag, option_flags
from ..params.responses import response_flags
from .connectivity import look_at_the_way
from .diagnosis import Diagnosis
from .endpoint import settings_of
from .examination import Examination
from .finding import Finding
from .measurement import conclusion, measure
from .probe import Prober

__all__ = ["command"]


@click.command(
    cls=Command,
    short_help="Test the connection to a server, and find the flags it needs.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("target", metavar="TARGET", envvar=URL)
@click.pass_context
def command(context: click.Context, /, target: str, **values: Any) -> int:
    """Test the connection to TARGET and how the server speaks the protocol, and say what to type to upload to it.

    It looks at the proxy and .netrc, the name, the connection and TLS, and asks the server for a chunk that it cannot
    have. Then, if you agree, it uploads two small files as an upload would: it interrupts and resumes them, and asks
    whether the server has what it accepted. If the server refuses them, it tries other ways. The protocol cannot delete
    anything, so the files stay at the server; their names are printed.

    With --measure it sends chunks for the given time instead, and says how fast that is and what limits it. Only a
    receiver of this package can be measured: it discards the chunks.
    """
    endpoint = split_endpoint(target)
    try:
        destination = destination_of(context, target, values, {})
        options = {name: value for name, value in destination.options.items() if name not in ("auto_upload", "part")}
        Resumable(destination.target, **options).close()
    except OptionError as error:
        raise click.UsageError(option_in_words(error), context) from None
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error), context) from None
    if values["save"]:
        check_new(config_path(values["config"]), values["save"])
        if endpoint is not None:
            raise click.UsageError(f"--save: {target!r} is an endpoint already; pass its URL to save another", context)
        if redact_url(target) != target:
            raise click.UsageError("--save: the URL has a secret in it; pass that with --token-file instead", context)
    with InterruptGuard(), certificates(destination.cacert):
        doctor = Doctor(destination.target, options, _typed(context), target)
        if values["measure"] is not None:
            return doctor.measure(values["measure"])
        code = doctor.run(agreed=values["yes"])
        if values["save"] and code == ExitCode.DONE:
            typed = context.get_parameter_source("config") is ParameterSource.COMMANDLINE
            doctor.save(config_path(values["config"]), values["save"], ["--config", values["config"]] if typed else [])
        return code


def _typed(context: click.Context) -> dict[str, list[str]]:
    """Return the flags that were given and that an upload takes, as they were typed, by what they set."""
    values, _, _ = command.make_parser(context).parse_args(args=list(context.obj[1:]))
    flags = {}
    for option in command.params:
        own = option.name in ("yes", "measure", "save", "config")
        if not isinstance(option, click.Option) or option.name not in values or own:
            continue
        name, value = option.name, values[option.name]
        if option.is_flag:
            flags[name] = [(option.opts if value else option.secondary_opts)[-1]]
        else:
            given = value if isinstance(value, list) else [value]
            flags[name] = [word for text in given for word in (option.opts[-1], text)]
    return flags


class Doctor:
    """One examination. Findings are printed as they are made. ``named`` is how the user calls the target."""

    def __init__(self, target: str, options: dict[str, Any], typed: dict[str, list[str]], named: str) -> None:
        self._target = target
        self._named = named
        self._options = options
        self._typed = typed
        self._prober = Prober(target, options)
        self._examination = Examination(target, options, typed, self._again)
        self._diagnosis = Diagnosis(self._prober, self._examination, options, typed)
        self._console = console()
        self._code: ExitCode = ExitCode.DONE

    def run(self, *, agreed: bool) -> int:
        """Return the exit code: that of the first finding that is bad, or 0."""
        if not self._show(look_at_the_way(self._target, self._again)):
            return self._code
        finding, asked = self._examination.ask(self._prober)
        if not self._show([finding]) or not (agreed or self._consent()):
            return self._code
        try:
            well = self._show(self._diagnosis.examine(asked))
        finally:
            self._show([self._left_behind()])
        if well:
            self._prescribe()
        return self._code

    def measure(self, seconds: float) -> int:
        """Look at the way, send chunks that are discarded for so many seconds, and return the exit code."""
        if not self._show(look_at_the_way(self._target, self._again)):
            return self._code
        finding, _ = self._examination.ask(self._prober)
        if self._show([finding]):
            self._show([self._measured(seconds)])
        return self._code

    def _measured(self, seconds: float) -> Finding:
        if not self._prober.ours:
            text = "only a receiver of this package discards what it is sent, and this is another server"
            return Finding("measured", text, "type the command without --measure", ExitCode.REFUSED)
        measured = measure(self._target, self._options, seconds)
        return measured if isinstance(measured, Finding) else conclusion(measured, *congestion.choices())

    def _show(self, findings: Iterable[Finding]) -> bool:
        """Print the findings, and return whether none of them is bad."""
        for finding in findings:
            bad = finding.code is not ExitCode.DONE
            if self._code is ExitCode.DONE:
                self._code = finding.code
            mark = ("bad   ", "bold red") if bad else ("note  ", "yellow") if finding.doubtful else ("ok    ", "green")
            advice = f" → {finding.advice}" if finding.advice else ""
            self._console.print(styled(mark, (f"{finding.what:<12}", "bold"), finding.text + advice), soft_wrap=True)
        return self._code is ExitCode.DONE

    def _consent(self) -> bool:
        if sys.stdin is None or not sys.stdin.isatty():
            self._code = ExitCode.USAGE
            self._console.print(
                "Nothing was uploaded: no terminal to ask on. Pass --yes to send a small test file.", soft_wrap=True
            )
            return False
        sizes = " and ".join(map(size, self._diagnosis.sizes()))
        return click.confirm(f"Upload test files ({sizes})? They stay at the server.", err=True)

    def _left_behind(self) -> Finding:
        """Return what is at the server now, as far as its answers tell."""
        whole = [f"{trial.name} ({size(trial.size)})" for trial in self._prober.trials if trial.last.complete]
        parts = [trial.name for trial in self._prober.trials if trial.first.interrupted and not trial.last.complete]
        if self._prober.under_way:
            parts.append(self._prober.under_way)
        text = ", ".join(whole) or "no file"
        if parts:
            text += f", and parts of {', '.join(parts)}"
        return Finding("left there", text, "delete them there; the protocol cannot" if whole or parts else "")

    def _again(self, *words: str, target: str | None = None) -> str:
        """Return a command line that examines again, with the flags that were typed and these words."""
        given = [word for written in self._typed.values() for word in written]
        return command_again(["doctor", *given, *words, target or self._named])

    def save(self, path: Path, name: str, flags: Sequence[str] = ()) -> None:
        """Write what works into the configuration file, without secrets. ``flags`` are those that name this file.

        Raises UsageError if it cannot be written.
        """
        settings, secret = settings_of(self._target, self._flags())
        try:
            save_endpoint(path, name, settings)
        except OSError as error:
            raise click.UsageError(f"--save: {error.strerror}: {str(path)!r}") from None
        text = f"[endpoint.{name}] in {str(path)!r}; type: {command_again(['upload', *flags, 'FILE', f'{name}:'])}"
        self._console.print(styled(("saved ", "green"), text), soft_wrap=True)
        if secret:
            left_out = f"left out, because it may be secret: {', '.join(secret)}; a token belongs into token_file"
            self._console.print(styled(("note  ", "yellow"), left_out), soft_wrap=True)

    def _flags(self) -> dict[str, list[str]]:
        """Return the flags with which uploads work, as they are typed."""
        changes = {change.flag: list(change.words) for change in self._diagnosis.changes if change.words}
        flags = {**self._typed, **changes}
        if "test_chunks" in changes:
            # Of a server that says "present" to everything, nothing would be sent.
            flags.pop("trust_tests", None)
        return flags

    def _prescribe(self) -> None:
        flags = self._flags()
        which = "Uploads of small files" if self._diagnosis.limited else "Uploads"
        what = f"{which} work with {'these flags' if flags else 'the defaults'}. Type:"
        words = [word for written in flags.values() for word in written]
        again = command_again(["upload", *words, "FILE", self._named])
        secret = f"   (with what belongs in place of {LEFT_OUT})" if LEFT_OUT in again else ""
        self._console.print(styled((what, "bold"), f" {again}{secret}"), soft_wrap=True)


command.params.extend(
    [
        Option(
            "--measure",
            type=types.duration,
            metavar="TIME",
            section=OTHER,
            help="Send chunks, which are discarded, for this long, and say what limits the speed.",
        ),
        Option("-y", "--yes", is_flag=True, section=OTHER, help="Upload the test files without asking."),
        Option("--save", metavar="NAME", section=OTHER, help="Save what works as an endpoint, for TARGET as NAME:."),
        config_flag(),
        *token_flags(),
        certificate_flag(),
        dialect_flag(),
        *response_flags(),
        *(flag for flag in option_flags() if flag.section == SERVER or flag.name in ("timeout", "chunk_size")),
    ]
)
