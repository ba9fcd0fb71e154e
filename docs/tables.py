"""The tables of options, events and statuses and the state machines, written into their pages from the code itself.

``make tables`` runs this; a test fails when a table and the rows differ.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from pathlib import Path

from resumable.core import states
from resumable.events import EVENTS
from resumable.hooks import HOOKS
from resumable.options import OPTIONS, THEMES
from resumable.statuses import STATUSES
from resumable.testing import CHECKS

DOCS = Path(__file__).parent
MARK = ".. What follows is written by docs/tables.py from the rows of the code.\n"


def prose(text: str) -> str:
    """The text with what reStructuredText would read as markup escaped."""
    return re.sub(r"[\\*`|]|://|(?<=\w)_(?!\w)", r"\\\g<0>", text)


def literal(text: str | None) -> str:
    """The text in the type of code; a dash where there is none."""
    return f"``{text}``" if text else "–"


def table(widths: str, rows: Iterable[tuple[str, ...]]) -> str:
    """A list-table whose first row is the heading."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in rows:
        lines += [f"   {'*' if column == 0 else ' '} - {cell}" for column, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def options() -> str:
    """The tables of options, one for each theme."""
    parts = []
    for theme in THEMES:
        rows = [("option", "resumable.js", "default", "takes", "meaning")]
        for row in OPTIONS.values():
            if row.theme == theme:
                default = "required" if row.name == "target" else literal(repr(row.default))
                rows.append((literal(row.name), literal(row.js_name), default, prose(row.allowed), prose(row.help)))
        parts.append(f"{theme}\n{'-' * len(theme)}\n\n{table('20 20 15 20 25', rows)}")
    return "\n".join(parts)


def events() -> str:
    """The table of events."""
    rows = [("event", "resumable.js", "sender", "arguments", "meaning")]
    for row in EVENTS.values():
        arguments = literal(", ".join(row.arguments))
        rows.append((literal(row.name), literal(row.js_name), row.subject, arguments, prose(row.help)))
    return table("20 20 10 20 30", rows)


def hooks() -> str:
    """The table of hooks."""
    rows = [("hook", "is called with", "meaning")]
    for name, arguments in HOOKS.items():
        rows.append((literal(name), literal(", ".join(arguments)), prose(OPTIONS[name].help)))
    return table("25 20 55", rows)


def statuses() -> str:
    """The table of statuses."""
    rows = [("status", "called", "what is done", "why", "hint")]
    for row in STATUSES.values():
        cells = (prose(row.name), row.decision.value, prose(row.reason), prose(row.hint) if row.hint else "–")
        rows.append((str(row.code), *cells))
    return table("10 20 15 30 25", rows)


def checks() -> str:
    """The table of checks."""
    rows = [("check", "the server", "claim", "what a server that fails needs")]
    for row in CHECKS:
        rows.append((literal(row.name), row.severity.value, prose(row.sentence), prose(row.needs)))
    return table("20 10 30 40", rows)


def machine(
    title: str, table: Mapping[tuple[Enum, Enum], Enum], noops: Collection[tuple[Enum, Enum]] = frozenset()
) -> str:
    """One state machine: from each state an arrow for each event, and what is asked of it without effect."""
    order = list(type(next(iter(table.values()))))
    known = {state for pair, following in table.items() for state in (pair[0], following)}
    widest = max(len(state.value) for state in known) + 3
    longest = max(len(event.value) for _, event in table) + 2
    lines = []
    for state in (state for state in order if state in known):
        name = state.value
        for (before, event), following in table.items():
            if before is state:
                arrow = f"{event.value} ".ljust(longest, "-")
                lines.append(f"    {name:{widest}}-- {arrow}--> {following.value}")
                name = ""
        if name:
            lines.append(f"    {name:{widest}}(the end)")
        without = [event.value for before, event in _in_order(noops) if before is state]
        if without:
            lines.append(f"    {'':{widest}}no effect: {', '.join(without)}")
        lines.append("")
    return "\n".join([title, "-" * len(title), "", ".. code-block:: text", "", *lines])


def _in_order(pairs: Collection[tuple[Enum, Enum]]) -> list[tuple[Enum, Enum]]:
    return sorted(pairs, key=lambda pair: list(type(pair[1])).index(pair[1]))


def machines() -> str:
    """All state machines."""
    return "\n".join(
        [
            machine("Session", states.SESSION, states.SESSION_NOOPS),
            machine("File", states.FILE, states.FILE_NOOPS),
            machine("Chunk", states.CHUNK),
            machine("Confirmation", states.CONFIRMATION),
        ]
    )


TABLES = {
    "reference/options.rst": options,
    "reference/events.rst": events,
    "explanation/states.rst": machines,
    "reference/hooks.rst": hooks,
    "reference/statuses.rst": statuses,
    "how-to/testing.rst": checks,
}


def renewed(name: str) -> str:
    """The text of the page with its table made anew."""
    above, mark, _ = (DOCS / name).read_text(encoding="utf-8").partition(MARK)
    return f"{above}{mark}\n{TABLES[name]()}"


if __name__ == "__main__":
    for name in TABLES:
        (DOCS / name).write_text(renewed(name), encoding="utf-8")
