"""``resumable doctor TARGET``"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from .. import OptionError, Resumable
from ..errors import without_secrets
from .access import authorised, token_flags
from .command import OTHER, SERVER, Command, Option, console, styled
from .commands import program
from .flags import given, option_flags
from .interruption import interruptible
from .network import Finding, look_at_the_way
from .outcome import ExitCode, code_of, in_words, option_in_words
from .probe import Answer, Prober

__all__ = ["command"]

_NO_ENDPOINT = (405, 500, 501)


@click.command(
    cls=Command,
    short_help="Check the way to a server, and what it understands.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("target", metavar="TARGET")
@click.pass_context
def command(context: click.Context, /, target: str, **values: Any) -> int:
    """Check the way to TARGET and how the server there speaks the protocol, and say what to change.

    Looked at are the proxy and .netrc, the name, the connection and TLS, the answer to a test, and, once you agree,
    what becomes of a few chunks of less than 200 KiB: how they are cut, and where their parameters may stand. The
    protocol cannot delete, so one file of some 90 bytes stays at the server; its name is printed.
    """
    options = given(context, values)
    try:
        options["headers"] = authorised(options.get("headers", {}), values["token_file"], values["token_env"])
        Resumable(target, **options).close()
    except OptionError as error:
        raise click.UsageError(option_in_words(error), context) from None
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error), context) from None
    with interruptible():
        return Doctor(target, options).run(agreed=values["yes"])


class Doctor:
    """One examination: findings are printed as they are made; ``flags`` are those that the server needs."""

    def __init__(self, target: str, options: dict[str, Any]) -> None:
        self._target = target
        self._prober = Prober(target, options)
        self._multipart = options.get("method", "multipart") == "multipart"
        self._console = console()
        self._code: ExitCode = ExitCode.DONE
        self._flags: dict[str, Any] = {}
        self._written: list[str] = []

    def run(self, *, agreed: bool) -> int:
        """The exit code: that of the worst finding, or 0."""
        well = self._show(look_at_the_way(self._target)) and self._show([self._test()])
        if well and (agreed or self._consent()) and self._show(self._chunks()):
            self._prescribe()
        return self._code

    def _show(self, findings: Iterable[Finding]) -> bool:
        """Whether nothing is wrong, once all have been printed."""
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
            self._console.print(
                "Nothing was uploaded, for nobody can be asked; --yes also sends a small probe file.", soft_wrap=True
            )
            return False
        return click.confirm("May a probe file of 90 bytes and a few unfinished chunks be uploaded?", err=True)

    # -- what the server understands -------------------------------------------------------------------------

    def _test(self) -> Finding:
        answer = self._prober.ask()
        if answer.test is None:
            return self._failed("test", answer)
        status, text = answer.test
        if _is_page(text) and status != 404:
            if status in (200, 201):
                self._use("test_chunks", False, "--no-test-chunks")
            advice = "check the path of the URL; if uploads work all the same, --no-test-chunks saves the question"
            return Finding("test", f"GET is answered by a web page ({status})", advice, doubtful=True)
        if status in (401, 403, 407):
            advice = "--token-file, --token-env, --header @FILE or ~/.netrc give credentials"
            return Finding("test", f"the server wants to know who asks ({status})", advice, ExitCode.AUTHENTICATION)
        if 300 <= status < 400:
            text = f"the server sends us elsewhere ({status}): {without_secrets(answer.location)}"
            return Finding("test", text, "use the new URL", ExitCode.REFUSED)
        if status in (200, 201):
            self._use("test_chunks", False, "--no-test-chunks")
            text = f"the server says {status}, present, for a chunk that cannot exist: it cannot tell, nothing resumes"
            return Finding("test", text, "--no-test-chunks saves the question", doubtful=True)
        if status in _NO_ENDPOINT:
            self._use("test_chunks", False, "--no-test-chunks")
            text = f"the server has no test endpoint ({status}), so nothing resumes"
            return Finding("test", text, "--no-test-chunks saves the question", doubtful=True)
        return Finding("test", f"a chunk that is not there is answered with {status}")

    def _chunks(self) -> Iterator[Finding]:
        prober = self._prober
        default = prober.part()
        ways: dict[str, Answer] = {}
        if default.status is None and default.error is not None:
            yield self._failed("chunk", default)
            return
        if self._multipart:
            ways = {where: prober.part(params_in=where) for where in ("query", "form")}
        taken = [where for where, answer in ways.items() if answer.accepted]
        if default.accepted and _is_page(default.text):
            text = f"answered by a web page ({default.status}), which does not say that it was stored"
            yield Finding("chunk", text, "check the path of the URL", ExitCode.REFUSED)
            return
        if default.accepted:
            yield Finding("chunk", f"accepted with {default.status}")
        elif taken:
            self._use("params_in", taken[0], f"--params-in {taken[0]}")
            yield Finding(
                "chunk", f"refused ({default.status}) unless its parameters stand in one place only", doubtful=True
            )
        elif prober.part(method="octet").accepted:
            self._use("method", "octet", "--method octet")
            yield Finding("chunk", f"refused as a form ({default.status}), accepted as a bare body", doubtful=True)
        else:
            yield self._failed("chunk", default)
            return
        if ways and "method" not in self._flags:
            where = " and from the ".join(taken)
            yield Finding("parameters", f"read from the {where}" if taken else "read from both together only")
        yield self._resuming()
        yield self._cut()
        whole = prober.whole(**self._flags)
        yield (
            Finding("file", f"complete, answered with {whole.status}")
            if whole.accepted
            else self._failed("file", whole)
        )
        left = f"{', '.join(prober.wholes)} and {len(prober.parts)} unfinished uploads"
        yield Finding("left there", f"{left}; the protocol cannot delete them")

    def _resuming(self) -> Finding:
        """Whether the server knows a chunk again that it has."""
        if self._flags.get("test_chunks") is False:
            return Finding("resuming", "not possible", doubtful=True)
        prober = self._prober
        prober.part(**self._flags)
        again = prober.part(name=prober.parts[-1], **self._flags)
        status = again.test[0] if again.test else None
        if status in (200, 201):
            return Finding("resuming", f"a chunk that is there is answered with {status}")
        return Finding("resuming", f"a chunk that is there is answered with {status}: nothing resumes", doubtful=True)

    def _cut(self) -> Finding:
        """How many chunks the server thinks that a file has: the last one is sent alone, and may be refused."""
        floor = self._prober.part(2.5, 1, **{**self._flags, "force_chunk_size": False})
        ceil = self._prober.part(2.5, 2, **{**self._flags, "force_chunk_size": True})
        if floor.accepted and ceil.accepted:
            return Finding("last chunk", "accepted longer (floor) and shorter (ceil) than the others")
        if floor.accepted:
            return Finding("last chunk", f"accepted longer than the others (floor), refused shorter ({ceil.status})")
        if ceil.accepted:
            self._use("force_chunk_size", True, "--force-chunk-size")
            text = f"refused longer than the others ({floor.status}), accepted shorter (ceil)"
            return Finding("last chunk", text, "--force-chunk-size", doubtful=True)
        return Finding("last chunk", f"refused alone ({floor.status}, {ceil.status}): it cannot be said", doubtful=True)

    def _failed(self, what: str, answer: Answer) -> Finding:
        if answer.error is None:
            return Finding(what, "no usable answer came back", "check the URL and the port", ExitCode.EXHAUSTED)
        return Finding(what, in_words(answer.error), code=code_of(answer.error))

    def _use(self, option: str, value: Any, flag: str) -> None:
        self._flags[option] = value
        self._written.append(flag)

    def _prescribe(self) -> None:
        words = ["upload", *" ".join(self._written).split(), "FILE", without_secrets(self._target)]
        what = "What this server needs:" if self._written else "Uploads work, and the defaults fit:"
        self._console.print(styled((what, "bold"), f" {program()} {shlex.join(words)}"), soft_wrap=True)


def _is_page(text: str) -> bool:
    """Whether a server that knows nothing of the protocol may have said this."""
    return text.lstrip()[:1] == "<"


command.params.extend(
    [
        Option("-y", "--yes", is_flag=True, section=OTHER, help="Upload the probes without asking."),
        *token_flags(),
        *(flag for flag in option_flags() if flag.section == SERVER or flag.name in ("timeout", "chunk_size")),
    ]
)
