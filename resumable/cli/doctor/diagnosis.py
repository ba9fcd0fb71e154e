"""``resumable doctor TARGET``"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from ... import OptionError, Resumable
from ...errors import redact_url
from ...options import OPTIONS
from ...protocol.pages import is_web_page
from ..interruption import InterruptGuard
from ..output.exit_codes import (
    ExitCode,
    code_of,
    explain,
    option_in_words,
)
from ..output.progress import reason
from ..output.resume_command import command_again
from ..output.units import size, size_typed
from ..params.auth import (
    authorised,
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
    strip_control,
    styled,
)
from ..params.flags import option_flags, options_from_context
from ..params.responses import accept_response, response_flags
from .connectivity import Finding, look_at_the_way
from .probe import Answer, Prober

__all__ = ["command"]

_NO_ENDPOINT = (405, 500, 501)
_MISSING = (202, 203, 204, 205, 206, 404)
_LATER = (429, 502, 503, 504)
_TOO_SMALL = (400, 413, 422)
_LONGEST_WORDS = 60
_TURNS = 5
_SAVES = "--no-test-chunks saves the question"


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
    what becomes of a few small chunks and of one as large as an upload sends: how they are cut, how large they may be,
    and where their parameters may stand. The protocol cannot delete, so one file of some 90 bytes stays at the server;
    its name is printed.
    """
    options = options_from_context(context, values)
    success = options.get("success_statuses", OPTIONS["success_statuses"].default)
    options["accept_response"] = accept_response(values["accept"], values["reject"], success)
    try:
        options["headers"] = authorised(options.get("headers", {}), values["token_file"], values["token_env"])
        Resumable(target, **options).close()
    except OptionError as error:
        raise click.UsageError(option_in_words(error), context) from None
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error), context) from None
    with InterruptGuard(), certificates(values["cacert"]):
        return Doctor(target, options, _typed(context)).run(agreed=values["yes"])


def _typed(context: click.Context) -> dict[str, list[str]]:
    """The flags that were given and that an upload takes, as they were typed, by what they set."""
    values, _, _ = command.make_parser(context).parse_args(args=list(context.obj[1:]))
    flags = {}
    for option in command.params:
        if not isinstance(option, click.Option) or option.name not in values or option.name == "yes":
            continue
        name, value = option.name, values[option.name]
        if option.is_flag:
            flags[name] = [(option.opts if value else option.secondary_opts)[-1]]
        else:
            given = value if isinstance(value, list) else [value]
            flags[name] = [word for text in given for word in (option.opts[-1], text)]
    return flags


class Doctor:
    """One examination: findings are printed as they are made. ``typed`` are flags that an upload gets too."""

    def __init__(self, target: str, options: dict[str, Any], typed: dict[str, list[str]]) -> None:
        self._target = target
        self._options = options
        self._typed = typed
        self._prober = Prober(target, options)
        self._multipart = options.get("method", "multipart") == "multipart"
        self._console = console()
        self._code: ExitCode = ExitCode.DONE
        # What the server needs: as options, and as one types them.
        self._flags: dict[str, Any] = {}
        self._written: dict[str, list[str]] = {}
        self._ceil = False

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
        most = size(self._largest())
        question = f"May a probe file of 90 bytes and a few unfinished chunks, the largest of {most}, be uploaded?"
        return click.confirm(question, err=True)

    # -- what the server understands -------------------------------------------------------------------------

    def _test(self) -> Finding:
        answer = self._prober.ask()
        if answer.test is None:
            return self._failed("test", answer)
        status, text = answer.test
        if status in (401, 403, 407):
            advice = "--token-file, --token-env, --header @FILE or ~/.netrc give credentials"
            return Finding("test", f"the server wants to know who asks ({status})", advice, ExitCode.AUTHENTICATION)
        if 300 <= status < 400:
            text = f"the server sends us elsewhere ({status}): {redact_url(answer.location)}"
            return Finding("test", text, "use the new URL", ExitCode.REFUSED)
        if is_web_page(text) and status != 404:
            if status in (200, 201):
                self._use("test_chunks", False, "--no-test-chunks")
            advice = "check the path of the URL; if uploads work all the same, --no-test-chunks saves the question"
            return Finding("test", f"GET is answered by a web page ({status})", advice, doubtful=True)
        if status in (200, 201):
            self._use("test_chunks", False, "--no-test-chunks")
            what = f"the server says {status}, present, for a chunk that cannot exist: it cannot tell, nothing resumes"
            return Finding("test", f"{what}{_said(text)}", _SAVES, doubtful=True)
        if status in _NO_ENDPOINT:
            self._use("test_chunks", False, "--no-test-chunks")
            what = f"the server has no test endpoint ({status}), so nothing resumes"
            return Finding("test", f"{what}{_said(text)}", _SAVES, doubtful=True)
        what = f"a chunk that is not there is answered with {status}{_said(text)}"
        if status in _MISSING:
            return Finding("test", what)
        advice = "try again later" if status in _LATER else "the server may want other parameters, or credentials"
        return Finding("test", what, advice, doubtful=True)

    def _chunks(self) -> Iterator[Finding]:
        prober = self._prober
        default = prober.part()
        if default.status is None and default.error is not None:
            yield self._failed("chunk", default)
            return
        taken = self._taken()
        bare = not default.accepted and not taken and prober.part(method="octet").accepted
        if not default.accepted and not taken and not bare and default.status in _TOO_SMALL and self._grown():
            text = f"refused ({default.status}); those of {size(prober.small)} are accepted"
            yield Finding("small chunks", text)
            default, taken = prober.part(), self._taken()
        if not default.accepted and is_web_page(default.text) and default.status in (200, 201):
            text = f"answered by a web page ({default.status}), which does not say that it was stored"
            yield Finding("chunk", text, "check the path of the URL", ExitCode.REFUSED)
            return
        if default.accepted:
            yield Finding("chunk", f"accepted with {default.status}{_said(default.text)}")
        elif taken:
            self._use("params_in", taken[0], "--params-in", taken[0])
            yield Finding(
                "chunk", f"refused ({default.status}) unless its parameters stand in one place only", doubtful=True
            )
        elif bare:
            self._use("method", "octet", "--method", "octet")
            yield Finding("chunk", f"refused as a form ({default.status}), accepted as a bare body", doubtful=True)
        else:
            yield self._failed("chunk", default)
            return
        if self._multipart and not bare:
            where = " and from the ".join(taken)
            yield Finding("parameters", f"read from the {where}" if taken else "read from both together only")
        yield self._resuming()
        yield self._cut()
        yield self._size()
        whole = prober.whole(**self._flags)
        yield (
            Finding("file", f"complete, answered with {whole.status}")
            if whole.accepted
            else self._failed("file", whole)
        )
        left = f"{', '.join(prober.wholes)} and {len(prober.parts)} unfinished uploads"
        yield Finding("left there", f"{left}; the protocol cannot delete them")

    def _taken(self) -> list[str]:
        """The places of which one is enough for the parameters."""
        if not self._multipart:
            return []
        return [where for where in ("query", "form") if self._prober.part(params_in=where).accepted]

    def _grown(self) -> bool:
        """Whether probes are larger now, because the server takes those."""
        prober = self._prober
        small, prober.small = prober.small, prober.chunk_size
        if prober.small > small and prober.part().accepted:
            return True
        prober.small = small
        return False

    def _wants(self, option: str) -> Any:
        """What is known of the option by now: as the server needs it, as it was given, or None."""
        return self._flags.get(option, self._options.get(option))

    def _resuming(self) -> Finding:
        """Whether the server knows a chunk again that it has."""
        if self._wants("test_chunks") is False:
            return Finding("resuming", "not possible", doubtful=True)
        prober = self._prober
        prober.part(**self._flags)
        # Several servers mostly take turns: each has to be asked.
        answers = [prober.ask(prober.parts[-1], **self._flags).test for _ in range(_TURNS)]
        statuses = [answer[0] if answer else None for answer in answers]
        known = sum(status in (200, 201) for status in statuses)
        status = statuses[0]
        if known == len(statuses):
            return Finding("resuming", f"a chunk that is there is answered with {status}")
        if known or prober.ours:
            text = f"asked {_TURNS} times for a chunk that is there, the server knew it {_times(known)}"
            advice = "if several servers answer at this address, they need a common store"
            return Finding("resuming", text, advice, ExitCode.CHANGED)
        self._use("test_chunks", False, "--no-test-chunks")
        text = f"a chunk that is there is answered with {status}: nothing resumes"
        return Finding("resuming", text, _SAVES, doubtful=True)

    def _cut(self) -> Finding:
        """How many chunks the server thinks that a file has: the last one is sent alone, and may be refused."""
        floor = self._prober.part(2.5, 1, **{**self._flags, "force_chunk_size": False})
        ceil = self._prober.part(2.5, 2, **{**self._flags, "force_chunk_size": True})
        self._ceil = ceil.accepted
        if floor.accepted and ceil.accepted:
            return Finding("last chunk", "accepted longer (floor) and shorter (ceil) than the others")
        if floor.accepted:
            return Finding("last chunk", f"accepted longer than the others (floor), refused shorter ({ceil.status})")
        if ceil.accepted:
            self._use("force_chunk_size", True, "--force-chunk-size")
            text = f"refused longer than the others ({floor.status}), accepted shorter (ceil)"
            return Finding("last chunk", text, "--force-chunk-size", doubtful=True)
        return Finding("last chunk", f"refused alone ({floor.status}, {ceil.status}): it cannot be said", doubtful=True)

    def _largest(self) -> int:
        """The bytes in the largest chunk that an upload would send: the last is longer, unless that is forbidden."""
        each = self._prober.chunk_size
        return each if self._wants("force_chunk_size") else 2 * each - 1

    def _size(self) -> Finding:
        """Whether the largest chunk of an upload is accepted. If it is not, it is halved until it is."""
        prober, largest = self._prober, self._largest()
        answer = prober.large(largest, **self._flags)
        if answer.accepted:
            return Finding("chunk size", f"{size(largest)} are accepted, and an upload sends no more at once")
        fits = prober.chunk_size if largest > prober.chunk_size else max(largest // 2, 1)
        while fits > prober.small and not prober.large(fits, **self._flags).accepted:
            fits = max(fits // 2, prober.small)
        forced = self._wants("force_chunk_size")
        if self._ceil and not forced:
            self._use("force_chunk_size", True, "--force-chunk-size")
        each = fits if self._ceil or forced else (fits + 1) // 2
        if each != prober.chunk_size:
            self._use("chunk_size", each, "--chunk-size", size_typed(each))
        needed = [*self._written.get("force_chunk_size", []), *self._written.get("chunk_size", [])]
        why = answer.status if answer.status is not None or answer.error is None else reason(answer.error)
        text = f"{size(largest)}, as an upload may send, are refused ({why}), {size(fits)} accepted"
        return Finding("chunk size", text, " ".join(needed), doubtful=True)

    def _failed(self, what: str, answer: Answer) -> Finding:
        if answer.error is not None:
            return Finding(what, explain(answer.error, examined=True), code=code_of(answer.error))
        advice = "check the URL and the port, and what stands before the server"
        if "in time" in str(answer.silence):
            advice = "see whether the server hangs; --timeout waits longer"
        return Finding(what, f"no usable answer came back: {answer.silence}", advice, ExitCode.EXHAUSTED)

    def _use(self, option: str, value: Any, *words: str) -> None:
        self._flags[option] = value
        self._written[option] = [*words]

    def _prescribe(self) -> None:
        flags = {**self._typed, **self._written}
        what = "What this server needs:" if self._written else "Uploads work with these flags:"
        if not flags:
            what = "Uploads work, and the defaults fit:"
        words = [word for written in flags.values() for word in written]
        again = command_again(["upload", *words, "FILE", self._target])
        self._console.print(styled((what, "bold"), f" {again}"), soft_wrap=True)


def _times(number: int) -> str:
    return {0: "never", 1: "once"}.get(number, f"{number} times")


def _said(text: str) -> str:
    """The first line of what the server said, to be put behind what it answered; nothing where that is markup."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or lines[0].lstrip().startswith("<"):
        return ""
    first = strip_control(lines[0].strip())
    return f"; it says: {first if len(first) <= _LONGEST_WORDS else f'{first[: _LONGEST_WORDS - 1]}…'}"


command.params.extend(
    [
        Option("-y", "--yes", is_flag=True, section=OTHER, help="Upload the probes without asking."),
        *token_flags(),
        certificate_flag(),
        *response_flags(),
        *(flag for flag in option_flags() if flag.section == SERVER or flag.name in ("timeout", "chunk_size")),
    ]
)
