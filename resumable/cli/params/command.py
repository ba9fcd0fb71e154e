"""What all commands share: the layout of their help, and the console that they write to."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from typing import IO, Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.text import Text

from ...units import strip_control

__all__ = [
    "ACCESS",
    "FILES",
    "LIMITS",
    "NAMES",
    "OTHER",
    "OUTPUT",
    "SERVER",
    "STORAGE",
    "TRANSFER",
    "Command",
    "Option",
    "console",
    "styled",
]


FILES = "Files"
ACCESS = "Access"
TRANSFER = "Transfer"
STORAGE = "Storage"
LIMITS = "Limits"
OUTPUT = "Output"
SERVER = "Protocol"
NAMES = "Parameter names"
OTHER = "Options"
SECTIONS = (FILES, ACCESS, TRANSFER, STORAGE, LIMITS, OUTPUT, SERVER, NAMES, OTHER)
"""The sections of a command's help, in this order."""


class Option(click.Option):
    """A flag in a section of the full help. ``brief`` is what the short help says about it, if it is there."""

    def __init__(self, *names: str, section: str = OTHER, brief: str = "", **settings: Any) -> None:
        super().__init__(names, **settings)
        self.section = section
        self.brief = brief

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Return the flag, or the environment variable if the value is from there."""
        from_environment = ctx is not None and ctx.get_parameter_source(self.name or "") is ParameterSource.ENVIRONMENT
        return str(self.envvar) if from_environment else " / ".join(f"'{name}'" for name in self.opts)


class Command(click.Command):
    """A command whose full help groups its flags by their section.

    One with ``examples`` has a short help that fits on a screen, too: its first paragraph, the flags that are brief,
    the examples, and the exit ``codes``. ``--help-all`` shows the full one.
    """

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), codes: str = "", **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.examples = tuple(examples)
        self.codes = codes

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the arguments and flags, with ``--help-all`` if there is a short help."""
        params = super().get_params(ctx)
        if not self.examples:
            return params
        flag = Option(
            "--help-all",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=self._show_all,
            help="Show all flags.",
            brief="Show all flags.",
        )
        return [*params, flag]

    def full_help(self, ctx: click.Context) -> str:
        """Return the help with all flags."""
        formatter = ctx.make_formatter()
        super().format_help(ctx, formatter)
        self._write_examples(formatter)
        return formatter.getvalue().rstrip("\n")

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the short help, or the full one if there is no other."""
        if not self.examples:
            super().format_help(ctx, formatter)
            return
        self.format_usage(ctx, formatter)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(inspect.cleandoc(self.help or "").split("\n\n")[0])
        rows = [(record[0], flag.brief) for flag, record in self._flags(ctx) if flag.brief]
        with formatter.section("Options"):
            formatter.write_dl(rows, col_max=24)
        self._write_examples(formatter)

    def _show_all(self, ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            click.echo(self.full_help(ctx))
            ctx.exit()

    def _flags(self, ctx: click.Context) -> Iterator[tuple[Option, tuple[str, str]]]:
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, Option):
                yield parameter, record

    def _write_examples(self, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"{'':{formatter.current_indent}}{example}\n" for example in self.examples))
        if self.codes:
            formatter.write_paragraph()
            formatter.write_text(f"Exit codes: {self.codes}")

    def sections(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Return the flags of each section that is not empty, with their help."""
        found: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                found[getattr(parameter, "section", OTHER)].append(record)
        return {section: records for section, records in found.items() if records}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags, by section."""
        for section, records in self.sections(ctx).items():
            with formatter.section(section):
                formatter.write_dl(records)


def console(stream: IO[str] | None = None) -> Console:
    """Return a console for people, on the stream or on the standard error, with colours if the terminal has them."""
    return Console(file=stream or sys.stderr, highlight=False, markup=False, emoji=False)


def styled(*parts: tuple[str, str] | str) -> Text:
    """Assemble a line of text; a part may be (text, style)."""
    return Text.assemble(
        *((strip_control(part), "") if isinstance(part, str) else (strip_control(part[0]), part[1]) for part in parts)
    )
