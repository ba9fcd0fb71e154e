"""The reference of the command line, written into reference/command-line.rst from the commands themselves.

``make tables`` runs this; a test fails when the page and the commands differ.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path

import click

from resumable.cli.app import COMMANDS, group
from resumable.cli.output.exit_codes import MEANINGS
from resumable.cli.output.json_events import (
    FIELDS,
    NAMES,
    PARTS,
    fields_of,
)
from resumable.cli.params.command import Command

DOCS = Path(__file__).parent
MARK = ".. What follows is written by docs/commands.py from the commands.\n"


def title(text: str, line: str) -> str:
    """A heading with its underline."""
    return f"{text}\n{line * len(text)}\n"


def escaped(text: str) -> str:
    """The text with what reStructuredText would read as markup escaped."""
    return "".join(f"\\{letter}" if letter in "\\*`|_" else letter for letter in text).replace("://", r"\://")


def flags(rows: Iterable[tuple[str, str]]) -> str:
    """A definition for each flag."""
    return "".join(f"``{names}``\n    {escaped(' '.join(text.split()))}\n\n" for names, text in rows)


def reference(name: str) -> str:
    """One command: how it is called, what it does, its flags."""
    command = group.get_command(click.Context(group), name)
    assert isinstance(command, Command)
    context = click.Context(command, info_name=f"resumable {name}", **command.context_settings)
    usage = command.get_usage(context).removeprefix("Usage: ")
    parts = [title(f"resumable {name}", "-"), f".. code-block:: text\n\n    {' '.join(usage.split())}\n"]
    parts += [escaped(" ".join(part.split())) + "\n" for part in inspect.cleandoc(command.help or "").split("\n\n")]
    for section, rows in command.sections(context).items():
        parts += [title(section, "~"), flags(rows).rstrip() + "\n"]
    return "\n".join(parts)


def exit_codes() -> str:
    """What the commands say to the shell."""
    rows = ["   * - code", "     - meaning"]
    for code, meaning in MEANINGS.items():
        rows += [f"   * - {int(code)}", f"     - {escaped(meaning)}"]
    table = "\n".join([".. list-table::", "   :header-rows: 1", "   :widths: 10 90", "", *rows])
    return f"{title('Exit codes', '-')}\n{table}\n"


def objects() -> str:
    """What ``--json`` writes: which object has which fields, and what they mean."""
    rows = ["   * - event", "     - fields"]
    for name in NAMES:
        rows += [f"   * - ``{name}``", f"     - {', '.join(f'``{field}``' for field in fields_of(name)) or '–'}"]
    table = "\n".join([".. list-table::", "   :header-rows: 1", "   :widths: 30 70", "", *rows])
    meanings = []
    for field, meaning in FIELDS.items():
        parts = ", ".join(f"{part} ({text})" for part, text in PARTS.get(field, {}).items())
        meanings.append((field, f"{meaning}: {parts}" if parts else meaning))
    intro = "Every object has ``event`` and ``time``, and by its event these fields:"
    return f"{title('The objects of --json', '-')}\n{intro}\n\n{table}\n\n{flags(meanings).rstrip()}\n"


def renewed() -> str:
    """The text of the page with the reference made anew."""
    above, mark, _ = (DOCS / "reference" / "command-line.rst").read_text(encoding="utf-8").partition(MARK)
    return above + mark + "\n" + "\n".join([exit_codes(), objects(), *map(reference, COMMANDS)])


if __name__ == "__main__":
    (DOCS / "reference" / "command-line.rst").write_text(renewed(), encoding="utf-8")
