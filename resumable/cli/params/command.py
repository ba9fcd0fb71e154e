"""What all commands share: the layout of their help, and the console that they write to."""

from __future__ import annotations

import sys
from typing import IO, Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.text import Text

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
    "strip_control",
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
    """A flag in a section of the help."""

    def __init__(self, *names: str, section: str = OTHER, **settings: Any) -> None:
        super().__init__(names, **settings)
        self.section = section

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Return the flag, or the environment variable if the value is from there."""
        from_environment = ctx is not None and ctx.get_parameter_source(self.name or "") is ParameterSource.ENVIRONMENT
        return str(self.envvar) if from_environment else " / ".join(f"'{name}'" for name in self.opts)


class Command(click.Command):
    """A command whose help groups its flags by their section."""

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


def strip_control(text: str) -> str:
    """Replace what would move the cursor or change the colours: names of files and answers may contain anything."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def styled(*parts: tuple[str, str] | str) -> Text:
    """Assemble a line of text; a part may be (text, style)."""
    return Text.assemble(
        *((strip_control(part), "") if isinstance(part, str) else (strip_control(part[0]), part[1]) for part in parts)
    )
