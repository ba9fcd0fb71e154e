"""Manual pages, made from the commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import click

from .. import __version__
from .output.exit_codes import MEANINGS
from .params.command import Command

__all__ = ["page", "summary"]


def page(command: click.Command, name: str) -> str:
    """Return the manual page of a command, in roff. ``name`` is that of the page, as ``resumable-upload``."""
    context = click.Context(command, info_name=name.replace("-", " ", 1), **command.context_settings)
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    first, *others = [" ".join(part.split()) for part in inspect.cleandoc(command.help or "").split("\n\n")]
    parts = [
        f'.TH "{name.upper()}" "1" "" "resumable {__version__}" "Uploads that resume"',
        *_section("NAME", [f"{_text(name)} \\- {_text(command.get_short_help_str(200).rstrip('.'))}"]),
        *_section("SYNOPSIS", [_text(usage)]),
        *_section("DESCRIPTION", [_text(first), *(line for part in others for line in (".PP", _text(part)))]),
    ]
    if isinstance(command, Command):
        for section, rows in command.sections(context).items():
            parts += _section(section.upper(), _definitions(rows))
        if command.examples:
            parts += _section("EXAMPLES", [line for each in command.examples for line in (".PP", _text(each))])
    if isinstance(command, click.Group):
        pages = [(f"{name}-{each}(1)", summary(command, each)) for each in command.list_commands(context)]
        parts += _section("COMMANDS", _definitions(pages))
    codes = ((str(int(code)), meaning) for code, meaning in MEANINGS.items())
    return "\n".join([*parts, *_section("EXIT STATUS", _definitions(codes))]) + "\n"


def summary(group: click.Group, name: str) -> str:
    """Return what a command does, in a line."""
    command = group.get_command(click.Context(group), name)
    assert command is not None
    return command.get_short_help_str(200)


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return [f'.SH "{title}"', *lines]


def _definitions(rows: Iterable[tuple[str, str]]) -> list[str]:
    return [line for term, text in rows for line in (".TP", f"\\fB{_text(term)}\\fR", _text(" ".join(text.split())))]


def _text(text: str) -> str:
    """Return the text with what roff would take for a command or an escape written out."""
    written = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{written}" if written.startswith((".", "'")) else written
