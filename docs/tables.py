"""The tables of options, events and statuses, written into their pages from the rows themselves.

``make tables`` runs this; a test fails when a table and the rows differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from resumable.events import EVENTS
from resumable.options import OPTIONS
from resumable.statuses import STATUSES

DOCS = Path(__file__).parent
MARK = ".. The table below is written by docs/tables.py from the rows of the code.\n"


def prose(text: str) -> str:
    """The text with what reStructuredText would read as markup escaped."""
    return re.sub(r"[\\*`|]|(?<=\w)_(?!\w)", r"\\\g<0>", text)


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
    """The table of options."""
    rows = [("option", "resumable.js", "default", "takes", "meaning")]
    for row in OPTIONS.values():
        default = "required" if row.name == "target" else literal(repr(row.default))
        rows.append((literal(row.name), literal(row.js_name), default, prose(row.allowed), prose(row.help)))
    return table("20 20 15 20 25", rows)


def events() -> str:
    """The table of events."""
    rows = [("event", "resumable.js", "sender", "arguments", "meaning")]
    for row in EVENTS.values():
        arguments = literal(", ".join(row.arguments))
        rows.append((literal(row.name), literal(row.js_name), row.subject, arguments, prose(row.help)))
    return table("20 20 10 20 30", rows)


def statuses() -> str:
    """The table of statuses."""
    rows = [("status", "called", "what is done", "why", "hint")]
    for row in STATUSES.values():
        cells = (prose(row.name), row.decision.value, prose(row.reason), prose(row.hint) if row.hint else "–")
        rows.append((str(row.code), *cells))
    return table("10 20 15 30 25", rows)


TABLES = {"options.rst": options, "events.rst": events, "statuses.rst": statuses}


def renewed(name: str) -> str:
    """The text of the page with its table made anew."""
    above, mark, _ = (DOCS / name).read_text(encoding="utf-8").partition(MARK)
    return f"{above}{mark}\n{TABLES[name]()}"


if __name__ == "__main__":
    for name in TABLES:
        (DOCS / name).write_text(renewed(name), encoding="utf-8")
